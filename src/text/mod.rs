//! Text to tokens and back, and chats to text: tokenizer, streaming detokenizer, chat template.

mod bytes;
mod config;
mod convert;
mod decoder;
mod files;
mod growth;
mod guard;
mod longest;
mod stream;
mod template;
mod tokenizer;
mod vocabulary;

pub(crate) use convert::{Vocabulary, is_rwkv_name};
pub(crate) use files::{TextFiles, TokenizerFile};
pub(crate) use stream::StreamDecoder;
pub(crate) use template::ChatTemplate;
pub(crate) use tokenizer::Tokenizer;
pub(crate) use vocabulary::TokenizerFolder;
