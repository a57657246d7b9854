//! What a host asks for: OpenAI-shaped JSON or the same as Rust values, checked before anything is queued.
//!
//! Fields left out fall back to the session's defaults, then to the values named at each field.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::object::{self, Object};

/// The most alternatives per token that `top_logprobs` may ask for.
pub const MAX_TOP_LOGPROBS: usize = 20;
/// The most stop strings a request may name.
pub const MAX_STOP_STRINGS: usize = 64;
/// The longest stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 4096;
/// The most entries `logit_bias` may have.
pub const MAX_LOGIT_BIASES: usize = 4096;

/// One request. Exactly one of `messages`, `transcript`, `prompt`, `prompt_ids` says what to continue.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Messages to append to the session's transcript.
    #[serde(deserialize_with = "object::optional_list", skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// Messages that replace the session's transcript.
    #[serde(deserialize_with = "object::optional_list", skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Vec<Message>>,
    /// Plain text to continue, without a template; special tokens such as BOS are added as the tokenizer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Token ids to continue, taken as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_ids: Option<Vec<u32>>,

    /// The most tokens to generate. Default: what is left of the context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// 0 always picks the most likely token. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Only the most likely tokens whose probabilities sum to this, in (0, 1]. Default: 1 (all).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Only this many most likely tokens; 0 means all. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Only tokens at least this likely relative to the most likely one, in [0, 1]. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Divides (positive) or multiplies (negative) the logits of tokens seen in prompt and answer; 1 is off (Keskar et al. 2019). Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f32>,
    /// Subtracted once from the logits of tokens already generated, in [-2, 2]. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f32>,
    /// Subtracted from the logits of a token for each time it was generated, in [-2, 2]. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f32>,
    /// Added to the logits of token ids (JSON object with decimal keys), each in [-100, 100].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<std::collections::BTreeMap<u32, f32>>,
    /// Seed of the random numbers; the same seed gives the same text. Default: a new one for each generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Texts that end the answer and are not part of it; one string or a list.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub stop: Option<Vec<String>>,
    /// Report the log-probability of each generated token. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// Alternatives per token in those reports, 0 to 20. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<usize>,
    /// What to do when the prompt does not fit. Default: an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_overflow: Option<ContextOverflow>,
    /// Go on past end-of-text tokens, for benchmarks. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_eos: Option<bool>,
    /// Tools offered to the model, rendered by its chat template (OpenAI shape).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Value>>,
    /// Only `"auto"` is supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// Only `{"type": "text"}` is supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// Extra variables for the chat template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Map<String, Value>>,
}

/// What to do when a prompt is longer than the context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextOverflow {
    /// Fail with [`Code::ContextOverflow`](crate::Code::ContextOverflow).
    #[default]
    Error,
    /// Leave out the oldest turns; the system message and the last turn stay.
    DropOldestTurns,
}

/// One message of a transcript (OpenAI shape).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or what else the model's template knows.
    pub role: String,
    /// Text, a list of parts, or nothing (an assistant message that only calls tools).
    #[serde(default)]
    pub content: Option<Content>,
    /// The author's name, for templates that use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tool calls of an assistant message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Value>>,
    /// The call that a `tool` message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Set on an assistant message whose generation was cancelled or failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

impl Message {
    /// A message with a role and text.
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self { role: role.into(), content: Some(Content::Text(text.into())), ..Self::default() }
    }

    /// The text of the message: its parts joined, `""` without content.
    ///
    /// # Errors
    /// `Unsupported` for parts other than text.
    pub fn text(&self) -> Result<String> {
        match &self.content {
            None => Ok(String::new()),
            Some(Content::Text(text)) => Ok(text.clone()),
            Some(Content::Parts(parts)) => parts.iter().map(Part::text).collect(),
        }
    }
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Parts, each an object with a `type`.
    Parts(Vec<Part>),
}

/// One part of a message's content.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Part {
    /// `text`; others are `Unsupported`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The part's other keys.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Part {
    fn text(&self) -> Result<&str> {
        match (self.kind.as_str(), self.fields.get("text")) {
            ("text", Some(Value::String(text))) => Ok(text),
            ("text", _) => Err(Error::invalid("a content part of type \"text\" has no string \"text\"")),
            (kind, _) => {
                Err(Error::unsupported(format!("content part of type {kind:?}"))
                    .with_hint("this version takes text only"))
            }
        }
    }
}

/// How tokens are picked: the checked numbers of a [`Request`].
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// See [`Request::temperature`].
    pub temperature: f32,
    /// See [`Request::top_p`].
    pub top_p: f32,
    /// See [`Request::top_k`].
    pub top_k: usize,
    /// See [`Request::min_p`].
    pub min_p: f32,
    /// See [`Request::repetition_penalty`].
    pub repetition_penalty: f32,
    /// See [`Request::presence_penalty`].
    pub presence_penalty: f32,
    /// See [`Request::frequency_penalty`].
    pub frequency_penalty: f32,
    /// See [`Request::logit_bias`]; sorted by id.
    pub logit_bias: Vec<(u32, f32)>,
    /// See [`Request::seed`].
    pub seed: u64,
    /// Whether log-probabilities are reported, and how many alternatives.
    pub logprobs: Option<usize>,
}

impl Request {
    /// Parses a request from JSON and checks it ([`Request::check`]).
    ///
    /// # Errors
    /// `InvalidArgument` naming the key and value that is wrong, or the unknown key.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let Object(request): Object<Self> =
            serde_json::from_slice(json).map_err(|e| Error::invalid(format!("request: {e}")))?;
        request.check()?;
        Ok(request)
    }

    /// A request that appends one user message.
    pub fn user(text: impl Into<String>) -> Self {
        Self { messages: Some(vec![Message::new("user", text)]), ..Self::default() }
    }

    /// A request that continues plain text.
    pub fn prompt(text: impl Into<String>) -> Self {
        Self { prompt: Some(text.into()), ..Self::default() }
    }

    /// A request that continues token ids.
    pub fn prompt_ids(ids: impl Into<Vec<u32>>) -> Self {
        Self { prompt_ids: Some(ids.into()), ..Self::default() }
    }

    /// This request with what it leaves out taken from `defaults`. What to continue is never taken over.
    pub fn or(mut self, defaults: &Request) -> Self {
        macro_rules! fill {
            ($($field:ident),*) => { $( if self.$field.is_none() { self.$field = defaults.$field.clone(); } )* };
        }
        fill!(
            max_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            logit_bias,
            seed,
            stop,
            logprobs,
            top_logprobs,
            context_overflow,
            ignore_eos,
            tools,
            tool_choice,
            response_format,
            template
        );
        self
    }

    /// Checks every number and that at most one input is named.
    ///
    /// # Errors
    /// `InvalidArgument` naming the key and its value; `Unsupported` for tool choices and response formats that this
    /// version can't hold.
    pub fn check(&self) -> Result<()> {
        let inputs = [
            ("messages", self.messages.is_some()),
            ("transcript", self.transcript.is_some()),
            ("prompt", self.prompt.is_some()),
            ("prompt_ids", self.prompt_ids.is_some()),
        ];
        let named: Vec<_> = inputs.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if named.len() > 1 {
            return Err(Error::invalid(format!("request names {} at once", named.join(" and ")))
                .with_hint("give one of messages, transcript, prompt, prompt_ids"));
        }
        for messages in [&self.messages, &self.transcript].into_iter().flatten() {
            if messages.is_empty() {
                return Err(Error::invalid("the list of messages is empty"));
            }
            for message in messages {
                message.text()?;
            }
        }
        in_range("temperature", self.temperature, 0.0, 100.0)?;
        in_range("top_p", self.top_p, f32::MIN_POSITIVE, 1.0)?;
        in_range("min_p", self.min_p, 0.0, 1.0)?;
        in_range("repetition_penalty", self.repetition_penalty, f32::MIN_POSITIVE, 100.0)?;
        in_range("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        in_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        if self.max_tokens == Some(0) {
            return Err(Error::invalid("max_tokens is 0").with_hint("ask for at least one token"));
        }
        if let Some(bias) = &self.logit_bias {
            if bias.len() > MAX_LOGIT_BIASES {
                return Err(Error::invalid(format!(
                    "logit_bias has {} entries, more than {MAX_LOGIT_BIASES}",
                    bias.len()
                )));
            }
            for (id, value) in bias {
                in_range(&format!("logit_bias of token {id}"), Some(*value), -100.0, 100.0)?;
            }
        }
        if let Some(k) = self.top_logprobs.filter(|k| *k > MAX_TOP_LOGPROBS) {
            return Err(Error::invalid(format!("top_logprobs is {k}, more than {MAX_TOP_LOGPROBS}")));
        }
        let stop = self.stop.as_deref().unwrap_or_default();
        if stop.len() > MAX_STOP_STRINGS {
            return Err(Error::invalid(format!("{} stop strings, more than {MAX_STOP_STRINGS}", stop.len())));
        }
        for text in stop {
            if text.is_empty() || text.len() > MAX_STOP_BYTES {
                return Err(Error::invalid(format!(
                    "a stop string of {} bytes; it must have 1 to {MAX_STOP_BYTES}",
                    text.len()
                )));
            }
        }
        if let Some(choice) = self.tool_choice.as_ref().filter(|c| *c != "auto") {
            return Err(Error::unsupported(format!("tool_choice {choice}")).with_hint("only \"auto\" is supported"));
        }
        if let Some(format) = self.response_format.as_ref().filter(|f| **f != serde_json::json!({"type": "text"})) {
            return Err(Error::unsupported(format!("response_format {format}"))
                .with_hint("only {\"type\": \"text\"} is supported"));
        }
        Ok(())
    }

    /// The sampling numbers, with `fresh_seed` where the request names none.
    ///
    /// # Errors
    /// `InvalidArgument` when `logit_bias` names an id outside the vocabulary.
    pub fn sampling(&self, vocab: usize, fresh_seed: u64) -> Result<Sampling> {
        let logit_bias: Vec<_> = self.logit_bias.iter().flatten().map(|(id, bias)| (*id, *bias)).collect();
        if let Some((id, _)) = logit_bias.iter().find(|(id, _)| *id as usize >= vocab) {
            return Err(Error::invalid(format!("logit_bias names token {id}, but the vocabulary has {vocab}")));
        }
        let logprobs = match (self.logprobs, self.top_logprobs) {
            (Some(false), Some(k)) if k > 0 => {
                return Err(Error::invalid(format!("top_logprobs is {k} while logprobs is false")));
            }
            (Some(false) | None, None | Some(0)) => None,
            (_, k) => Some(k.unwrap_or(0)),
        };
        Ok(Sampling {
            temperature: self.temperature.unwrap_or(0.0),
            top_p: self.top_p.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(0),
            min_p: self.min_p.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            presence_penalty: self.presence_penalty.unwrap_or(0.0),
            frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
            logit_bias,
            seed: self.seed.unwrap_or(fresh_seed),
            logprobs,
        })
    }
}

fn in_range(key: &str, value: Option<f32>, low: f32, high: f32) -> Result<()> {
    match value {
        Some(v) if !(low..=high).contains(&v) => {
            let low = if low == f32::MIN_POSITIVE { "above 0".to_owned() } else { format!("at least {low}") };
            Err(Error::invalid(format!("{key} is {v}; it must be {low} and at most {high}")))
        }
        _ => Ok(()),
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a string or a list of strings")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<OneOrMany>::deserialize(deserializer)?.map(|stop| match stop {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    }))
}
