//! Running models in tests of the public API. Included beside `mod support;`.
#![allow(dead_code)]

use std::ops::ControlFlow;
use std::path::Path;

use pocketmlx::{
    Device, Done, Engine, EngineOptions, Event, Generation, LoadOptions, Message, Model, Request, Result, Session,
    SessionOptions, TokenLogprob,
};
use tempfile::TempDir;

use crate::support::Fixture;

/// An engine on the CPU backend with two threads.
pub fn engine() -> Engine {
    engine_with(EngineOptions::default())
}

/// An engine on the CPU backend with two threads and some options of one's own.
pub fn engine_with(options: EngineOptions) -> Engine {
    Engine::new(EngineOptions { device: Device::Cpu, threads: Some(2), ..options }).unwrap()
}

/// Loads a folder with default options.
pub fn load(engine: &Engine, folder: &Path) -> Result<Model> {
    load_with(engine, folder, LoadOptions::default())
}

/// Loads a folder.
pub fn load_with(engine: &Engine, folder: &Path, options: LoadOptions) -> Result<Model> {
    engine.load(&folder.display().to_string(), options, &mut |_| ControlFlow::Continue(()))
}

/// A loaded model of a fixture, with the folder that holds it.
pub struct Loaded {
    pub model: Model,
    pub folder: TempDir,
}

impl Loaded {
    /// Loads a fixture on an engine of its own.
    pub fn new(fixture: &Fixture) -> Self {
        Self::on(&engine(), fixture)
    }

    /// Loads a fixture.
    pub fn on(engine: &Engine, fixture: &Fixture) -> Self {
        let folder = fixture.build();
        Self { model: load(engine, folder.path()).unwrap(), folder }
    }

    /// A session without instructions.
    pub fn session(&self) -> Session {
        self.model.session(SessionOptions::default()).unwrap()
    }
}

/// A request that appends a user message and ends after some tokens.
pub fn ask(text: &str, max_tokens: usize) -> Request {
    Request { max_tokens: Some(max_tokens), ignore_eos: Some(true), ..Request::user(text) }
}

/// A request that continues ids for some tokens.
pub fn ids(ids: &[u32], max_tokens: usize) -> Request {
    Request { max_tokens: Some(max_tokens), ignore_eos: Some(true), ..Request::prompt_ids(ids) }
}

/// `len` token ids of the fixtures' vocabulary without its special tokens.
pub fn some_ids(len: usize, seed: usize) -> Vec<u32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729 + 13) % 300) as u32).collect()
}

/// All that a generation gave.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Outcome {
    pub text: String,
    pub tokens: Vec<u32>,
    pub logprobs: Vec<TokenLogprob>,
    /// `(done, total)` of each progress event.
    pub progress: Vec<(usize, usize)>,
    pub done: Option<Done>,
}

impl Outcome {
    /// The summary; fails the test when the generation gave none.
    pub fn done(&self) -> &Done {
        self.done.as_ref().unwrap()
    }
}

/// Reads a generation to its end.
pub fn collect(generation: Generation) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for event in generation {
        match event? {
            Event::Prompt { done, total } => outcome.progress.push((done, total)),
            Event::Text { text, tokens } => {
                assert!(outcome.done.is_none(), "text after the last event");
                outcome.text.push_str(&text);
                outcome.tokens.extend(tokens);
            }
            Event::Logprobs(logprobs) => outcome.logprobs.extend(logprobs),
            Event::Done(done) => assert!(outcome.done.replace(done).is_none(), "two last events"),
            other => panic!("unexpected event {other:?}"),
        }
    }
    Ok(outcome)
}

/// Starts a request and reads it to its end.
pub fn run(session: &Session, request: Request) -> Result<Outcome> {
    collect(session.start(request)?)
}

/// The text of each message, with its role.
pub fn transcript(session: &Session) -> Vec<(String, String)> {
    let text = |message: &Message| (message.role.clone(), message.text().unwrap());
    session.history().iter().map(text).collect()
}

/// A folder beside the checkout that holds models for tests; tests that need it are skipped without it.
pub fn shared(name: &str) -> Option<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    if folder.exists() {
        return Some(folder);
    }
    println!("skipped: there is no {}", folder.display());
    None
}
