//! A loaded model.

use std::sync::Arc;
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use super::handle::Engine;
use super::job::{Job, ScoreJob};
use super::load;
use super::options::SessionOptions;
use super::recipe::Recipe;
use super::score::{Score, nothing_to_score};
use super::session::Session;
use super::text::Text;
use super::worker::Worker;
use crate::error::{Code, Error, Result};
use crate::request::Request;

/// A loaded model. Cheap to clone; clones are the same model. The last of the model's handles, sessions and
/// generations to go gives its memory back.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    recipe: Arc<Recipe>,
    text: Arc<Text>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        load::free(&self.recipe);
    }
}

impl Model {
    pub(super) fn new(engine: Engine, recipe: Arc<Recipe>, text: Arc<Text>) -> Self {
        Self { inner: Arc::new(Inner { engine, recipe, text }) }
    }

    pub(super) fn recipe(&self) -> &Recipe {
        &self.inner.recipe
    }

    /// The engine that runs the model.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The model's tokenizer and chat template.
    pub fn text(&self) -> &Arc<Text> {
        &self.inner.text
    }

    /// What the model is and what it is doing, as JSON.
    pub fn info(&self) -> Result<Value> {
        let recipe = self.recipe();
        let id = recipe.id;
        let state = Worker::get()?.call(move |state| state.describe_model(id))?;
        let spec = &recipe.spec;
        Ok(json!({
            "source": recipe.label(),
            "model_type": spec.model_type,
            "device": self.inner.engine.shared.compute.device().name(),
            "precision": recipe.options.precision,
            "kv_cache": super::kv::describe(&recipe.compute, spec, recipe.precision, recipe.options.kv_bits),
            "context_length": recipe.context_length,
            "trained_context_length": spec.context_length,
            "vocab": spec.vocab,
            "hidden": spec.hidden,
            "layers": spec.layers.len(),
            "quantization": spec.quantization,
            "weight_bytes": recipe.weight_bytes,
            "chat_template": self.inner.text.has_template(),
            "state": state,
        }))
    }

    /// A session: a transcript with defaults for its requests.
    ///
    /// # Errors
    /// `InvalidArgument` or `Unsupported` for defaults that no request may have.
    pub fn session(&self, options: SessionOptions) -> Result<Session> {
        Session::new(self.clone(), options)
    }

    /// Log-probabilities of the tokens of a text (`prompt`, `prompt_ids` or `messages` of the request); its
    /// `top_logprobs` says how many alternatives to give for each position. Blocks until they are computed.
    ///
    /// # Errors
    /// As [`Session::start`]; sampling fields are not used.
    pub fn score(&self, request: &Request) -> Result<Score> {
        request.check()?;
        self.check_ready()?;
        let tokens = self.tokens(request)?.ok_or_else(nothing_to_score)?;
        if tokens.is_empty() {
            return Err(nothing_to_score());
        }
        if tokens.len() > self.recipe().context_length {
            return Err(self.too_long(tokens.len()));
        }
        let (reply, result) = channel();
        let job = Job::Score(ScoreJob { tokens, top: request.top_logprobs.unwrap_or(0), reply });
        self.send(job)?;
        result.recv().map_err(|_| Error::internal("the engine dropped a text to score"))?
    }

    /// The tokens that a request names without a transcript; nothing if it names none.
    pub(super) fn tokens(&self, request: &Request) -> Result<Option<Vec<u32>>> {
        let tokens = if let Some(ids) = &request.prompt_ids {
            let vocab = self.recipe().spec.vocab;
            if let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= vocab) {
                return Err(Error::invalid(format!("token {id} at position {at}: the vocabulary has {vocab}")));
            }
            ids.clone()
        } else if let Some(prompt) = &request.prompt {
            self.checked(self.text().tokenize(prompt, true)?)?
        } else if request.messages.is_some() || request.transcript.is_some() {
            self.checked(self.text().tokenize(&self.text().render(request)?, false)?)?
        } else {
            return Ok(None);
        };
        Ok(Some(tokens))
    }

    /// Tokens of the tokenizer, which may know more of them than the model.
    pub(super) fn checked(&self, tokens: Vec<u32>) -> Result<Vec<u32>> {
        let vocab = self.recipe().spec.vocab;
        match tokens.iter().find(|id| **id as usize >= vocab) {
            Some(id) => Err(Error::new(
                Code::CorruptFile,
                format!("the tokenizer's token {id} is outside the model's vocabulary of {vocab}"),
            )
            .with_hint("the tokenizer belongs to another model")),
            None => Ok(tokens),
        }
    }

    /// The error for a prompt that does not fit.
    pub(super) fn too_long(&self, tokens: usize) -> Error {
        Error::new(
            Code::ContextOverflow,
            format!("the prompt has {tokens} tokens; the context has {}", self.recipe().context_length),
        )
        .with_hint(
            "shorten the prompt, set context_overflow to \"drop_oldest_turns\", or load with a longer context_length",
        )
    }

    pub(super) fn check_ready(&self) -> Result<()> {
        if self.recipe().is_suspended() { Err(load::suspended()) } else { Ok(()) }
    }

    pub(super) fn send(&self, job: Job) -> Result<()> {
        let id = self.recipe().id;
        Worker::get()?.send(move |state| state.start(id, job));
        Ok(())
    }
}
