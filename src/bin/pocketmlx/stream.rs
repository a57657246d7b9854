//! Following a generation to its end.

use pocketmlx::{Done, Error, Event, FinishReason, Request, Session, TokenLogprob};

use crate::failure::Failure;
use crate::interrupt;
use crate::progress::Bar;

/// All that a generation gave.
pub struct Answer {
    pub text: String,
    pub tokens: Vec<u32>,
    pub logprobs: Vec<TokenLogprob>,
    pub done: Done,
}

impl Answer {
    /// Whether Ctrl-C ended it.
    pub fn cancelled(&self) -> bool {
        self.done.finish_reason == FinishReason::Cancelled
    }
}

/// Starts a generation and hands each piece of text to `write` as it arrives. Ctrl-C cancels the generation.
pub fn follow(
    session: &Session,
    request: Request,
    mut write: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<Answer, Failure> {
    let busy = interrupt::busy();
    let mut bar = Bar::new();
    let (mut text, mut tokens, mut logprobs) = (String::new(), Vec::new(), Vec::new());
    let generation = session.start(request)?;
    let canceller = generation.canceller();
    busy.cancels(move || canceller.cancel());
    while let Some(event) = generation.next_event()? {
        match event {
            Event::Prompt { done, total } => bar.prompt(done, total),
            Event::Text { text: piece, tokens: ids } => {
                bar.clear();
                write(&piece)?;
                text.push_str(&piece);
                tokens.extend(ids);
            }
            Event::Logprobs(list) => logprobs.extend(list),
            Event::Done(done) => {
                tracing::info!(?done, "finished");
                return Ok(Answer { text, tokens, logprobs, done });
            }
            _ => {}
        }
    }
    Err(Error::internal("the generation ended without a summary").into())
}
