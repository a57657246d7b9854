//! Text to tokens and back, and chats to text: tokenizer, streaming detokenizer, chat template.

mod bytes;
mod config;
mod decoder;
mod files;
mod growth;
mod guard;
mod stream;
mod template;
mod tokenizer;

pub(crate) use files::TextFiles;
pub(crate) use stream::StreamDecoder;
pub(crate) use template::ChatTemplate;
pub(crate) use tokenizer::Tokenizer;
