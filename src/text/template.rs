//! Chat templates: being written.

use serde_json::{Map, Value};

use super::TextFiles;
use crate::error::{Error, Result};
use crate::request::Message;

pub(crate) struct ChatTemplate;

impl ChatTemplate {
    pub(crate) fn from_files(_: &TextFiles) -> Result<Option<Self>> {
        Ok(None)
    }

    pub(crate) fn render(&self, _: &[Message], _: &[Value], _: bool, _: &Map<String, Value>) -> Result<String> {
        Err(Error::unsupported("chat templates"))
    }
}
