//! One run: some sessions that start together, and the engine's own clock.

use std::time::Instant;

use pocketmlx::{Done, Error, Event, Generation, Model, Request, SessionOptions};

use crate::failure::Failure;
use crate::interrupt;

/// What a run does.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Tokens of each prompt.
    pub prompt_tokens: u32,
    /// Tokens that each session generates.
    pub new_tokens: u32,
    /// Sessions at the same time.
    pub sessions: u32,
}

/// What a run took.
pub struct Run {
    /// Until the last session had its first token.
    pub ttft_seconds: f64,
    /// The rates of all sessions after their first tokens, summed.
    pub decode_tokens_per_second: f64,
    /// New tokens of all sessions over the time of the run.
    pub total_tokens_per_second: f64,
}

/// Runs all sessions to their end.
pub fn measure(model: &Model, load: Load) -> Result<Run, Failure> {
    let busy = interrupt::busy();
    let began = Instant::now();
    let generations = (0..load.sessions).map(|index| start(model, load, index)).collect::<Result<Vec<_>, _>>()?;
    let cancellers: Vec<_> = generations.iter().map(Generation::canceller).collect();
    busy.cancels(move || cancellers.iter().for_each(|canceller| canceller.cancel()));
    let ends: Vec<_> = std::thread::scope(|scope| {
        let readers: Vec<_> = generations.iter().map(|generation| scope.spawn(|| end(generation))).collect();
        let join = |reader: std::thread::ScopedJoinHandle<'_, Result<Done, Error>>| {
            reader.join().unwrap_or_else(|_| Err(Error::internal("a thread that read a generation panicked")))
        };
        readers.into_iter().map(join).collect::<Result<_, _>>()
    })?;
    let seconds = began.elapsed().as_secs_f64();
    if busy.hit() {
        return Err(Failure::Interrupted);
    }
    let expected = load.new_tokens as usize;
    if let Some(done) = ends.iter().find(|done| done.usage.completion_tokens != expected) {
        let tokens = done.usage.completion_tokens;
        return Err(Error::internal(format!("{tokens} tokens came where {expected} were asked for")).into());
    }
    Ok(Run {
        ttft_seconds: ends.iter().map(|done| done.timings.ttft_ms / 1e3).fold(0.0, f64::max),
        decode_tokens_per_second: ends.iter().map(|done| done.timings.decode_tokens_per_second).sum(),
        total_tokens_per_second: (expected * ends.len()) as f64 / seconds,
    })
}

fn start(model: &Model, load: Load, index: u32) -> Result<Generation, Error> {
    let request = Request {
        max_tokens: Some(load.new_tokens as usize),
        temperature: Some(0.0),
        ignore_eos: Some(true),
        ..Request::prompt_ids(prompt(load.prompt_tokens, index))
    };
    model.session(SessionOptions::default())?.start(request)
}

/// Reads a generation to its end. Random ids need not make text, and text events come with text: only the last
/// event tells how it went.
fn end(generation: &Generation) -> Result<Done, Error> {
    let mut end = None;
    while let Some(event) = generation.next_event()? {
        if let Event::Done(done) = event {
            end = Some(done);
        }
    }
    end.ok_or_else(|| Error::internal("a generation ended without its last event"))
}

/// The ids that the peers' scripts take; those of further sessions differ from the first one on.
fn prompt(tokens: u32, session: u32) -> Vec<u32> {
    (0..u64::from(tokens)).map(|i| ((i * 7919 + 13 + u64::from(session)) % 500) as u32).collect()
}

/// The middle value, the upper one of two.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_those_of_the_peers() {
        assert_eq!(prompt(4, 0), [13, 432, 351, 270]);
        assert_eq!(prompt(u16::MAX.into(), 0).len(), 65535);
        assert_ne!(prompt(4, 0)[0], prompt(4, 1)[0]);
    }

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([3.0, 1.0].into_iter()), 3.0);
    }
}
