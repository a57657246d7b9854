//! A model's tokenizer and chat template, usable without its weights.

use serde_json::Map;

use crate::arch;
use crate::error::{Code, Error, Result};
use crate::request::{Message, Request};
use crate::source;
use crate::text::{ChatTemplate, StreamDecoder, TextFiles, Tokenizer, TokenizerFile, is_rwkv_name};
use crate::weights::ModelFiles;

/// The folder of chat templates that have a name.
const NAMED_TEMPLATES: &str = "additional_chat_templates";

/// A model's tokenizer and chat template.
pub struct Text {
    pub(super) tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    label: String,
}

impl Text {
    /// Reads tokenizer and template of a model; its weights need not be there.
    ///
    /// # Errors
    /// `NotFound`, `CorruptFile` or `Unsupported` naming the file.
    pub fn open(source: &str) -> Result<Self> {
        let files = source::resolve(source)?;
        let eos_ids = arch::spec(&files).map(|spec| spec.eos_ids).unwrap_or_default();
        super::guard::guarded("reading the tokenizer", || Self::read(&files, &eos_ids))
    }

    pub(super) fn read(files: &ModelFiles, eos_ids: &[u32]) -> Result<Self> {
        let files = text_files(files)?;
        let tokenizer = Tokenizer::from_files(&files, eos_ids)?;
        let template = ChatTemplate::from_files(&files)?;
        Ok(Self { tokenizer, template, label: files.label })
    }

    /// Token ids of a text. `add_special` adds the tokens that the tokenizer puts around a text, such as BOS.
    pub fn tokenize(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        self.tokenizer.encode(text, add_special)
    }

    /// The text of token ids, special tokens included.
    ///
    /// # Errors
    /// `InvalidArgument` for an id that the tokenizer does not know.
    pub fn detokenize(&self, ids: &[u32]) -> Result<String> {
        if let Some(id) = ids.iter().find(|id| self.tokenizer.token(**id).is_none()) {
            return Err(Error::invalid(format!("token {id}: the tokenizer of {} has none of this id", self.label)));
        }
        self.tokenizer.decode(ids, false)
    }

    /// The prompt that the chat template makes of a request's `messages` or `transcript` and `tools`, ready for the
    /// assistant's answer.
    ///
    /// # Errors
    /// `Unsupported` when the model has no template; `InvalidArgument` when the template refuses the messages.
    pub fn render(&self, request: &Request) -> Result<String> {
        request.check()?;
        let messages = request.messages.as_ref().or(request.transcript.as_ref()).ok_or_else(|| {
            Error::invalid("the request has no messages to render").with_hint("give messages or transcript")
        })?;
        self.render_messages(messages, request)
    }

    /// Like [`render`](Self::render), for other messages than those of the request.
    pub(super) fn render_messages(&self, messages: &[Message], request: &Request) -> Result<String> {
        let template = self.template.as_ref().ok_or_else(|| {
            Error::unsupported(format!("{} has no chat template", self.label))
                .with_hint("give a plain prompt instead (--raw on the command line, \"prompt\" in a request)")
        })?;
        let none = Map::new();
        template.render(
            messages,
            request.tools.as_deref().unwrap_or_default(),
            true,
            request.template.as_ref().unwrap_or(&none),
        )
    }

    /// Whether the model has a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Makes text of the tokens that follow `prompt`.
    pub(super) fn stream_decoder(&self, prompt: &[u32]) -> Result<StreamDecoder> {
        StreamDecoder::new(&self.tokenizer, prompt)
    }
}

/// Reads the files that the text side of a model consists of.
fn text_files(files: &ModelFiles) -> Result<TextFiles> {
    if let Some(gguf) = files.gguf() {
        return TextFiles::of_gguf(gguf);
    }
    let read = |name: &str| Ok(files.read(name)?.map(|bytes| (*bytes).as_ref().to_vec()));
    let tokenizer = tokenizer_file(files)?;
    let template = |path: &str| -> Result<Option<String>> {
        let text = read(path)?.map(String::from_utf8).transpose();
        text.map_err(|_| Error::corrupt(files.file_label(path), "not UTF-8"))
    };
    let mut chat_templates = Vec::new();
    if let Some(text) = template("chat_template.jinja")? {
        chat_templates.push(("default".to_owned(), text));
    }
    for path in files.list(NAMED_TEMPLATES)? {
        let stem =
            path.strip_prefix(NAMED_TEMPLATES).and_then(|name| name.trim_start_matches('/').strip_suffix(".jinja"));
        if let (Some(stem), Some(text)) = (stem, template(&path)?) {
            chat_templates.push((stem.to_owned(), text));
        }
    }
    Ok(TextFiles {
        label: files.label(),
        model_type: model_type(files)?,
        tokenizer,
        tokenizer_config: read("tokenizer_config.json")?,
        generation_config: read("generation_config.json")?,
        added_tokens: read("added_tokens.json")?,
        special_tokens_map: read("special_tokens_map.json")?,
        chat_templates,
    })
}

/// What the tokenizer is made from: `tokenizer.json` if there is one, as transformers has it, else a SentencePiece model
/// a list of tiktoken's ranks, or RWKV's list of tokens.
fn tokenizer_file(files: &ModelFiles) -> Result<TokenizerFile> {
    let read = |name: &str| Ok(files.read(name)?.map(|bytes| (*bytes).as_ref().to_vec()));
    if let Some(json) = read("tokenizer.json")? {
        return Ok(TokenizerFile::Json(json));
    }
    let mut names = vec!["tokenizer.model".to_owned(), "tiktoken.model".to_owned()];
    names.extend(files.list("")?.into_iter().filter(|name| name.ends_with(".tiktoken") || is_rwkv_name(name)));
    for name in names {
        if let Some(bytes) = read(&name)? {
            return Ok(TokenizerFile::Model(name, bytes));
        }
    }
    Err(Error::new(Code::NotFound, format!("{}: there is no such file", files.file_label("tokenizer.json"))).with_hint(
        "the model's folder must hold its tokenizer.json, tokenizer.model, a .tiktoken file or rwkv_vocab_….txt",
    ))
}

/// `model_type` of `config.json`, where there is one; what else is wrong in that file is found by who reads it.
fn model_type(files: &ModelFiles) -> Result<Option<String>> {
    let config = files.read("config.json")?;
    let config = config.and_then(|bytes| serde_json::from_slice::<serde_json::Value>((*bytes).as_ref()).ok());
    Ok(config.and_then(|config| Some(config.get("model_type")?.as_str()?.to_owned())))
}
