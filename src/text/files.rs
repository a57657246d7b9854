//! What a model brings for its text side.

use super::convert::Vocabulary;

/// The contents of a model's text files; nothing in here reads a path.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextFiles {
    /// The folder's or file's name, for messages.
    pub(crate) label: String,
    /// `model_type` of the model's `config.json`.
    pub(crate) model_type: Option<String>,
    /// What the tokenizer is made from.
    pub(crate) tokenizer: TokenizerFile,
    /// `tokenizer_config.json`.
    pub(crate) tokenizer_config: Option<Vec<u8>>,
    /// `generation_config.json`.
    pub(crate) generation_config: Option<Vec<u8>>,
    /// `added_tokens.json`, which older models have.
    pub(crate) added_tokens: Option<Vec<u8>>,
    /// `special_tokens_map.json`, which older models have.
    pub(crate) special_tokens_map: Option<Vec<u8>>,
    /// Name and text of chat templates in files of their own: `default` for `chat_template.jinja`, the stem for those
    /// in `additional_chat_templates/`.
    pub(crate) chat_templates: Vec<(String, String)>,
}

/// What a tokenizer is made from.
#[derive(Debug, Clone)]
pub(crate) enum TokenizerFile {
    /// `tokenizer.json`.
    Json(Vec<u8>),
    /// A SentencePiece model, a list of tiktoken's ranks, or RWKV's list of tokens, by the file's name.
    Model(String, Vec<u8>),
    /// The vocabulary in a GGUF file.
    Vocabulary(Box<Vocabulary>),
}

impl Default for TokenizerFile {
    fn default() -> Self {
        Self::Json(Vec::new())
    }
}

impl TextFiles {
    /// A file's name as messages give it.
    pub(super) fn name(&self, file: &str) -> String {
        if self.label.is_empty() { file.to_owned() } else { format!("{}/{file}", self.label) }
    }

    /// The name of the file that the tokenizer is made from.
    pub(super) fn tokenizer_name(&self) -> String {
        match &self.tokenizer {
            TokenizerFile::Json(_) => self.name("tokenizer.json"),
            TokenizerFile::Model(name, _) => self.name(name),
            TokenizerFile::Vocabulary(_) => self.label.clone(),
        }
    }
}
