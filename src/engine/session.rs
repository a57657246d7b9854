//! A session: a transcript with defaults. It holds no model state; that lies in the model's prefix cache, keyed by
//! tokens, so that forks, rewinds and whole transcripts all find what was computed before.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::channel::Channel;
use super::generation::Generation;
use super::guard::guarded;
use super::job::{Answer, GenerateJob, Job};
use super::model::Model;
use super::options::SessionOptions;
use super::worker::Worker;
use crate::error::{Code, Error, Result};
use crate::request::{ContextOverflow, Message, Request};
use crate::sample::Sampler;
use crate::text::Tokenizer;

/// How long a start waits for a generation that is being cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// A transcript with defaults for its requests. Cheap to clone; clones are the same session.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    model: Model,
    defaults: Request,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    transcript: Vec<Message>,
    known: Known,
    running: Option<Arc<Channel>>,
}

/// A rendered text whose tokens are known: the last prompt and the answer as the model gave it, token by token. Where
/// the next prompt goes on from an answer, these tokens are used as they are, because tokenizing the answer's text need
/// not give the tokens that the model picked.
#[derive(Clone, Default)]
struct Known {
    text: String,
    tokens: Vec<u32>,
    /// Where answers end: bytes of text, and tokens.
    answers: Vec<(usize, usize)>,
}

impl Known {
    /// The longest part that ends with an answer and that `text` goes on from with a special token, and the rest.
    fn begin_of<'a>(&self, text: &'a str, tokenizer: &Tokenizer) -> Option<(&[u32], &'a str)> {
        let common = self.text.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        let ends = self.answers.iter().rev().filter(|(bytes, _)| *bytes <= common);
        ends.filter_map(|(bytes, tokens)| Some((&self.tokens[..*tokens], text.get(*bytes..)?)))
            .find(|(_, rest)| tokenizer.starts_with_added_token(rest))
    }

    /// What is known after `answer` was generated for a prompt.
    fn extended(mut self, prompt: &str, prompt_tokens: Vec<u32>, answer: &str, answer_tokens: &[u32]) -> Self {
        let common = self.text.bytes().zip(prompt.bytes()).take_while(|(a, b)| a == b).count();
        let kept = |(bytes, tokens): &(usize, usize)| {
            *bytes <= common && prompt_tokens.get(..*tokens) == self.tokens.get(..*tokens)
        };
        self.answers.retain(kept);
        self.text = format!("{prompt}{answer}");
        self.tokens = prompt_tokens;
        self.tokens.extend(answer_tokens);
        self.answers.push((self.text.len(), self.tokens.len()));
        self
    }
}

/// A prompt ready to run.
struct Prompt {
    tokens: Vec<u32>,
    /// The rendered text and the new transcript, if it comes from a transcript.
    chat: Option<(String, Vec<Message>)>,
}

impl Session {
    pub(super) fn new(model: Model, options: SessionOptions) -> Result<Self> {
        let mut defaults = options.defaults;
        if defaults.messages.is_some()
            || defaults.transcript.is_some()
            || defaults.prompt.is_some()
            || defaults.prompt_ids.is_some()
        {
            return Err(Error::invalid("the session's defaults name a prompt")
                .with_hint("give messages to start from as \"transcript\" of the session"));
        }
        defaults.tools = defaults.tools.or(options.tools);
        defaults.check()?;
        let mut transcript: Vec<Message> =
            options.instructions.map(|text| Message::new("system", text)).into_iter().collect();
        transcript.extend(options.transcript);
        for message in &transcript {
            message.text()?;
        }
        Ok(Self::with_state(model, defaults, State { transcript, ..State::default() }))
    }

    fn with_state(model: Model, defaults: Request, state: State) -> Self {
        Self { inner: Arc::new(Inner { model, defaults, state: Mutex::new(state) }) }
    }

    /// The model that answers.
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// Starts to answer. `messages` are appended to the transcript, `transcript` replaces it, `prompt` and
    /// `prompt_ids` leave it alone.
    ///
    /// Template and tokenizer run on this thread, so that a malformed request fails here.
    ///
    /// # Errors
    /// `Busy` while another generation of this session runs; `Suspended`; `InvalidArgument`, `Unsupported`,
    /// `ContextOverflow` naming the key or the numbers.
    pub fn start(&self, request: Request) -> Result<Generation> {
        let started = Instant::now();
        request.check()?;
        let request = request.or(&self.inner.defaults);
        self.inner.model.check_ready()?;
        let worker = Worker::get()?;
        let channel = Arc::new(Channel::new(Box::new(move || worker.poke())));
        let before = {
            let mut state = self.idle_state()?;
            state.running = Some(Arc::clone(&channel));
            state.clone()
        };
        // Nothing else changes the transcript from here on: the session is busy.
        let job = guarded("preparing a prompt", || self.prepare(request, &before, &channel, started));
        match job {
            Ok((job, transcript)) => {
                if let Some(transcript) = transcript {
                    self.inner.state.lock().transcript = transcript;
                }
                self.inner.model.send(Job::Generate(Box::new(job)))?;
                Ok(Generation::new(channel, self.inner.model.clone()))
            }
            Err(error) => {
                self.inner.state.lock().running = None;
                channel.end(Err(error.clone()));
                Err(error)
            }
        }
    }

    /// The job for a request, and the transcript that it leads to.
    fn prepare(
        &self,
        request: Request,
        before: &State,
        channel: &Arc<Channel>,
        started: Instant,
    ) -> Result<(GenerateJob, Option<Vec<Message>>)> {
        let prompt = self.prompt(&request, before)?;
        let recipe = self.inner.model.recipe();
        let sampling = request.sampling(recipe.spec.vocab, fresh_seed())?;
        let room = recipe.context_length - prompt.tokens.len();
        let text = self.inner.model.text();
        let eos = if request.ignore_eos == Some(true) { Vec::new() } else { text.tokenizer.eos_ids().to_vec() };
        let job = GenerateJob {
            max_tokens: request.max_tokens.unwrap_or(usize::MAX).min(room),
            sampler: Sampler::new(sampling, recipe.spec.vocab),
            eos,
            stop: request.stop.unwrap_or_default(),
            decoder: text.stream_decoder(&prompt.tokens)?,
            channel: Arc::clone(channel),
            on_end: Some(self.on_end(before, &prompt)),
            started,
            prompt: prompt.tokens,
        };
        Ok((job, prompt.chat.map(|(_, transcript)| transcript)))
    }

    /// The state, when nothing runs. A generation that was cancelled is waited for.
    fn idle_state(&self) -> Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.inner.state.lock();
        if let Some(running) = state.running.clone() {
            drop(state);
            if !(running.is_cancelled() && running.wait_ended(CANCEL_GRACE)) {
                return Err(busy());
            }
            state = self.inner.state.lock();
            if state.running.is_some() {
                return Err(busy());
            }
        }
        Ok(state)
    }

    /// What to do with the answer: put it into the transcript, and remember its tokens.
    fn on_end(&self, before: &State, prompt: &Prompt) -> super::job::OnEnd {
        let inner = Arc::clone(&self.inner);
        let before = (before.transcript.clone(), before.known.clone());
        let chat = prompt.chat.as_ref().map(|(text, _)| (text.clone(), prompt.tokens.clone()));
        Box::new(move |answer: Answer| {
            let mut state = inner.state.lock();
            state.running = None;
            let Some((text, tokens)) = chat else { return };
            if answer.failed_early {
                (state.transcript, state.known) = before;
                return;
            }
            if let Some(generated) = &answer.tokens {
                state.known = before.1.extended(&text, tokens, &answer.text, generated);
            }
            let partial = !answer.complete;
            state.transcript.push(Message { partial, ..Message::new("assistant", answer.text) });
        })
    }

    fn prompt(&self, request: &Request, state: &State) -> Result<Prompt> {
        let transcript = match (&request.messages, &request.transcript) {
            (Some(messages), _) => Some(state.transcript.iter().chain(messages).cloned().collect()),
            (None, Some(transcript)) => Some(transcript.clone()),
            (None, None) => None,
        };
        let Some(transcript) = transcript else {
            let tokens = self.inner.model.tokens(request)?.ok_or_else(|| {
                Error::invalid("the request has no prompt")
                    .with_hint("give one of messages, transcript, prompt, prompt_ids")
            })?;
            if tokens.is_empty() {
                return Err(Error::invalid("the prompt is empty").with_hint("give at least one token"));
            }
            if tokens.len() >= self.inner.model.recipe().context_length {
                return Err(self.inner.model.too_long(tokens.len()));
            }
            return Ok(Prompt { tokens, chat: None });
        };
        let (text, tokens) = self.fit(&transcript, request, state)?;
        Ok(Prompt { tokens, chat: Some((text, transcript)) })
    }

    /// Renders and tokenizes a transcript, without its oldest turns if it is too long and the request allows that.
    fn fit(&self, transcript: &[Message], request: &Request, state: &State) -> Result<(String, Vec<u32>)> {
        let context = self.inner.model.recipe().context_length;
        let dropping = request.context_overflow == Some(ContextOverflow::DropOldestTurns);
        // Dropping makes room for an answer, too, or the next turn would overflow again.
        let answer = if dropping { request.max_tokens.unwrap_or(context).min(context / 4).max(1) } else { 1 };
        let mut shown = transcript.to_vec();
        loop {
            let text = self.inner.model.text().render_messages(&shown, request)?;
            let tokens = self.tokenize(&text, &state.known)?;
            if tokens.is_empty() {
                return Err(Error::invalid("the chat template renders these messages as an empty prompt"));
            }
            if tokens.len() + answer <= context {
                return Ok((text, tokens));
            }
            if !dropping || !drop_oldest_turn(&mut shown) {
                return if tokens.len() < context {
                    Ok((text, tokens))
                } else {
                    Err(self.inner.model.too_long(tokens.len()))
                };
            }
        }
    }

    /// Tokens of a rendered prompt, the known ones taken over where it goes on from them.
    fn tokenize(&self, text: &str, known: &Known) -> Result<Vec<u32>> {
        let tokenizer = &self.inner.model.text().tokenizer;
        let (begin, rest) = known.begin_of(text, tokenizer).unwrap_or((&[], text));
        let mut tokens = begin.to_vec();
        tokens.extend(tokenizer.encode(rest, false)?);
        self.inner.model.checked(tokens)
    }

    /// Cancels what runs or waits in this session. Any thread, never blocks on the model.
    pub fn cancel(&self) {
        let running = self.inner.state.lock().running.clone();
        if let Some(running) = running {
            running.cancel();
        }
    }

    /// The transcript so far.
    pub fn history(&self) -> Vec<Message> {
        self.inner.state.lock().transcript.clone()
    }

    /// A second session with the same transcript. What the model has computed for it is shared.
    ///
    /// # Errors
    /// `Busy` while a generation runs.
    pub fn fork(&self) -> Result<Self> {
        let state = self.idle_state()?.clone();
        Ok(Self::with_state(self.inner.model.clone(), self.inner.defaults.clone(), state))
    }

    /// Keeps the first `messages` messages of the transcript.
    ///
    /// # Errors
    /// `Busy` while a generation runs; `InvalidArgument` when there are fewer.
    pub fn rewind(&self, messages: usize) -> Result<()> {
        let mut state = self.idle_state()?;
        if messages > state.transcript.len() {
            return Err(Error::invalid(format!(
                "rewind to {messages} messages: the transcript has {}",
                state.transcript.len()
            )));
        }
        state.transcript.truncate(messages);
        Ok(())
    }
}

/// Removes the oldest turn: a user message and what follows it up to the next one. The system message and the last
/// turn stay.
fn drop_oldest_turn(messages: &mut Vec<Message>) -> bool {
    let first = messages.iter().take_while(|m| matches!(m.role.as_str(), "system" | "developer")).count();
    let next = messages.iter().enumerate().skip(first + 1).find(|(_, m)| m.role == "user").map(|(index, _)| index);
    match next {
        Some(next) => {
            messages.drain(first..next);
            true
        }
        None => false,
    }
}

/// A seed that no other generation has.
fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn busy() -> Error {
    Error::new(Code::Busy, "the session is already generating")
        .with_hint("wait for its last event or cancel it; use another session, or a fork, to generate at the same time")
}
