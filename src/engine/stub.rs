//! Signatures only; replaced by the engine.
#![allow(missing_docs, unused_variables, clippy::unimplemented)]
use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::*;
use crate::error::Result;
use crate::event::{Event, Progress};
use crate::request::{Message, Request};

pub fn probe(source: &str, options: &ProbeOptions) -> Result<Value> {
    unimplemented!()
}
pub fn system_info() -> Value {
    unimplemented!()
}
#[derive(Clone)]
pub struct Engine;
impl Engine {
    pub fn new(options: EngineOptions) -> Result<Engine> {
        unimplemented!()
    }
    pub fn load(
        &self,
        source: &str,
        options: LoadOptions,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Model> {
        unimplemented!()
    }
    pub fn info(&self) -> Result<Value> {
        unimplemented!()
    }
    pub fn suspend(&self, timeout: Duration) -> Result<()> {
        unimplemented!()
    }
    pub fn resume(&self) -> Result<()> {
        unimplemented!()
    }
    pub fn trim(&self) -> Result<u64> {
        unimplemented!()
    }
}
#[derive(Clone)]
pub struct Model;
impl Model {
    pub fn info(&self) -> Result<Value> {
        unimplemented!()
    }
    pub fn text(&self) -> &Text {
        unimplemented!()
    }
    pub fn score(&self, request: &Request) -> Result<Score> {
        unimplemented!()
    }
    pub fn session(&self, options: SessionOptions) -> Result<Session> {
        unimplemented!()
    }
}
pub struct Text;
impl Text {
    pub fn open(source: &str) -> Result<Text> {
        unimplemented!()
    }
    pub fn tokenize(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        unimplemented!()
    }
    pub fn detokenize(&self, ids: &[u32]) -> Result<String> {
        unimplemented!()
    }
    pub fn render(&self, request: &Request) -> Result<String> {
        unimplemented!()
    }
}
#[derive(Clone)]
pub struct Session;
impl Session {
    pub fn start(&self, request: Request) -> Result<Generation> {
        unimplemented!()
    }
    pub fn cancel(&self) {
        unimplemented!()
    }
    pub fn history(&self) -> Vec<Message> {
        unimplemented!()
    }
    pub fn fork(&self) -> Result<Session> {
        unimplemented!()
    }
    pub fn rewind(&self, messages: usize) -> Result<()> {
        unimplemented!()
    }
}
pub struct Generation;
pub enum Poll {
    Ready(Event),
    Pending,
    Finished,
}
#[derive(Clone)]
pub struct Canceller;
impl Canceller {
    pub fn cancel(&self) {
        unimplemented!()
    }
}
impl Generation {
    pub fn next_event(&self) -> Result<Option<Event>> {
        unimplemented!()
    }
    pub fn poll(&self, timeout: Duration) -> Result<Poll> {
        unimplemented!()
    }
    pub fn on_ready(&self, wake: Box<dyn FnOnce() + Send>) {
        unimplemented!()
    }
    pub fn cancel(&self) {
        unimplemented!()
    }
    pub fn canceller(&self) -> Canceller {
        unimplemented!()
    }
}
impl Iterator for Generation {
    type Item = Result<Event>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_event().transpose()
    }
}
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    pub tokens: Vec<u32>,
    pub logprobs: Vec<Option<f32>>,
    pub top: Vec<Vec<(u32, f32)>>,
    pub perplexity: f64,
}
