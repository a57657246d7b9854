//! What a model brings for its text side.

/// The contents of a model's text files; nothing in here reads a path.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextFiles {
    /// The folder's name, for messages.
    pub(crate) label: String,
    /// `tokenizer.json`.
    pub(crate) tokenizer: Vec<u8>,
    /// `tokenizer_config.json`.
    pub(crate) tokenizer_config: Option<Vec<u8>>,
    /// `generation_config.json`.
    pub(crate) generation_config: Option<Vec<u8>>,
    /// `special_tokens_map.json`, which older models have.
    pub(crate) special_tokens_map: Option<Vec<u8>>,
    /// Name and text of chat templates in files of their own: `default` for `chat_template.jinja`, the stem for those
    /// in `additional_chat_templates/`.
    pub(crate) chat_templates: Vec<(String, String)>,
}

impl TextFiles {
    /// A file's name as messages give it.
    pub(super) fn name(&self, file: &str) -> String {
        if self.label.is_empty() { file.to_owned() } else { format!("{}/{file}", self.label) }
    }
}
