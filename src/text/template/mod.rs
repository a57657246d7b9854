//! Chat templates, rendered as transformers renders them: Jinja with `trim_blocks`, `lstrip_blocks`, loop controls,
//! Python's string and dictionary methods, and a few functions of its own.
//!
//! A template comes with a model and is not trusted: it runs with fuel, a recursion limit, and limits on the size of
//! values and of the output.

mod functions;
mod limits;
mod source;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value as JinjaValue};
use minijinja::{Environment, ErrorKind};
use serde_json::{Map, Value, json};

use super::config::TokenizerConfig;
use super::files::TextFiles;
use crate::error::{Code, Error, Result};
use crate::request::Message;

/// Instructions that a rendering may take; real templates need some thousands.
const FUEL: u64 = 5_000_000;
/// How deep macros may call each other.
const RECURSION: usize = 100;
/// The longest prompt in bytes.
const OUTPUT_LIMIT: usize = 64 << 20;
/// The longest template source in bytes.
const SOURCE_LIMIT: usize = 1 << 20;
/// The template that is used when no other fits.
const DEFAULT: &str = "default";
/// The template that is used when the request has tools, if there is one.
const TOOL_USE: &str = "tool_use";

/// A model's chat templates, compiled.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    /// Special tokens by name, as variables of the template.
    tokens: Vec<(String, String)>,
    label: String,
}

impl ChatTemplate {
    /// Compiles the templates that a model's files hold; nothing when there are none. `chat_template.jinja` and the
    /// templates beside it win over tokenizer_config.json.
    ///
    /// # Errors
    /// `CorruptFile` naming the file for a template that does not parse.
    pub(crate) fn from_files(files: &TextFiles) -> Result<Option<Self>> {
        let config = TokenizerConfig::parse(files)?;
        let mut templates = in_config(files, config.chat_template.as_ref())?;
        for (name, source) in &files.chat_templates {
            templates.retain(|(other, _)| other != name);
            templates.push((name.clone(), source.clone()));
        }
        if templates.is_empty() {
            return Ok(None);
        }
        let mut environment = Environment::new();
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(|e| Error::internal(format!("the template syntax is refused: {e}")))?,
        );
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        functions::add_to(&mut environment);
        limits::add_to(&mut environment);
        for (name, text) in templates {
            if text.len() > SOURCE_LIMIT {
                let message = format!("chat template {name:?} has {} bytes, more than {SOURCE_LIMIT}", text.len());
                return Err(Error::corrupt(&files.label, message));
            }
            let prepared = source::prepare(&text);
            environment.add_template_owned(name.clone(), prepared).map_err(|error| {
                let line = error.line().unwrap_or(0);
                Error::corrupt(&files.label, format!("chat template {name:?}, line {line}: {}", describe(&error)))
            })?;
        }
        Ok(Some(Self { environment, tokens: config.named, label: files.label.clone() }))
    }

    /// The prompt for a list of messages. `extra` are further variables of the template.
    ///
    /// # Errors
    /// `InvalidArgument` with the template's own message when it refuses the messages, or when it runs too long.
    pub(crate) fn render(
        &self,
        messages: &[Message],
        tools: &[Value],
        add_generation_prompt: bool,
        extra: &Map<String, Value>,
    ) -> Result<String> {
        let template = Some(TOOL_USE)
            .filter(|_| !tools.is_empty())
            .and_then(|name| self.environment.get_template(name).ok())
            .or_else(|| self.environment.get_template(DEFAULT).ok())
            .or_else(|| self.environment.templates().next().map(|(_, template)| template))
            .ok_or_else(|| Error::internal("a model's chat templates are gone"))?;
        if let Some(name) =
            ["messages", "tools", "add_generation_prompt"].iter().find(|name| extra.contains_key(**name))
        {
            return Err(Error::invalid(format!("the request's template variables name {name:?}"))
                .with_hint("that variable is made from the request itself"));
        }
        let mut variables = Map::new();
        variables.insert("documents".into(), Value::Null);
        for (name, token) in &self.tokens {
            variables.insert(name.clone(), token.clone().into());
        }
        variables.extend(extra.clone());
        variables.insert("messages".into(), messages.iter().map(message).collect::<Result<Vec<_>>>()?.into());
        variables.insert("tools".into(), if tools.is_empty() { Value::Null } else { tools.to_vec().into() });
        variables.insert("add_generation_prompt".into(), add_generation_prompt.into());

        let mut output = Limited::default();
        let rendered = template.render_captured_to(JinjaValue::from(Serde(&variables)), &mut output);
        match rendered {
            Ok(_) => String::from_utf8(output.bytes).map_err(|_| Error::internal("a chat template gave no UTF-8")),
            Err(_) if output.overflowed => Err(self.refused(format!("renders more than {OUTPUT_LIMIT} bytes"))),
            Err(error) => Err(self.refused(describe(&error))),
        }
    }

    fn refused(&self, message: String) -> Error {
        Error::new(Code::InvalidArgument, format!("the chat template of {}: {message}", self.label))
            .with_hint("the model's template does not take these messages; see which roles and orders it knows")
    }
}

/// The templates of tokenizer_config.json: one text, or a list of names and texts.
fn in_config(files: &TextFiles, value: Option<&Value>) -> Result<Vec<(String, String)>> {
    let wrong = || Error::corrupt(files.name("tokenizer_config.json"), "chat_template is no text and no list of them");
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![(DEFAULT.to_owned(), text.clone())]),
        Some(Value::Array(list)) => list
            .iter()
            .map(|entry| match (entry["name"].as_str(), entry["template"].as_str()) {
                (Some(name), Some(text)) => Ok((name.to_owned(), text.to_owned())),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// A message as templates expect it and mlx-lm gives it: a text even without content, the arguments of tool calls as
/// objects.
fn message(message: &Message) -> Result<Value> {
    let mut value = Map::new();
    value.insert("role".into(), message.role.clone().into());
    value.insert("content".into(), message.text()?.into());
    if let Some(name) = &message.name {
        value.insert("name".into(), name.clone().into());
    }
    if let Some(id) = &message.tool_call_id {
        value.insert("tool_call_id".into(), id.clone().into());
    }
    if let Some(calls) = &message.tool_calls {
        value.insert("tool_calls".into(), calls.iter().map(tool_call).collect::<Vec<_>>().into());
    }
    Ok(value.into())
}

/// OpenAI's arguments are JSON in a text; most templates want the object.
fn tool_call(call: &Value) -> Value {
    let mut call = call.clone();
    if let Some(arguments) = call.get_mut("function").and_then(|function| function.get_mut("arguments"))
        && let Some(object) = arguments.as_str().and_then(|text| serde_json::from_str::<Map<_, _>>(text).ok())
    {
        *arguments = json!(object);
    }
    call
}

/// An error without minijinja's own decoration.
fn describe(error: &minijinja::Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => format!("takes more than {FUEL} steps"),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    }
}

/// Collects output up to the limit.
#[derive(Default)]
struct Limited {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_LIMIT {
            self.overflowed = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
