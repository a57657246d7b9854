//! What a generation reports: pieces of text, progress, and the summary at its end.

use serde::Serialize;

/// One step of a generation, in order: `Prompt` while the prompt is processed, then `Text` (and `Logprobs` when
/// asked for), and exactly one `Done` at the end unless the generation fails.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Prompt tokens processed so far. `done` starts at the number of tokens whose state was already held.
    Prompt {
        /// Tokens processed, tokens found in the prefix cache included.
        done: usize,
        /// Tokens of the whole prompt.
        total: usize,
    },
    /// Newly generated text.
    Text {
        /// Whole UTF-8 characters; may be empty when the tokens complete no character yet.
        text: String,
        /// The token ids behind it.
        tokens: Vec<u32>,
    },
    /// Log-probabilities of the tokens of the `Text` event that follows.
    Logprobs(Vec<TokenLogprob>),
    /// The end.
    Done(Done),
}

/// A token's log-probability (natural logarithm) and its most likely alternatives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenLogprob {
    /// The token id.
    pub token: u32,
    /// Its log-probability under the model, before temperature and other sampling filters.
    pub logprob: f32,
    /// The `top_logprobs` most likely ids with their log-probabilities, best first.
    pub top: Vec<(u32, f32)>,
}

/// Summary of a finished generation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Done {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Token counts.
    pub usage: Usage,
    /// Durations and rates.
    pub timings: Timings,
}

/// How far a long operation has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes done of `total`.
    pub done: u64,
    /// Bytes in all; 0 when not known.
    pub total: u64,
    /// The current rate.
    pub bytes_per_second: f64,
    /// What is being worked on, such as a file's name.
    pub item: String,
}

/// The stages of a long operation. The numbers are those of `include/pocketmlx.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
#[non_exhaustive]
pub enum Stage {
    /// Configuration and headers are read and checked.
    Check = 1,
    /// Weights are taken over by the device.
    Weights = 2,
    /// The tokenizer is read.
    Tokenizer = 3,
    /// Files are fetched from a hub.
    Download = 4,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended its answer, or a stop string was met.
    Stop,
    /// `max_tokens` or the end of the context was reached.
    Length,
    /// Cancelled by the host.
    Cancelled,
}

/// Token counts of a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, an end-of-text token included.
    pub completion_tokens: usize,
    /// Tokens of the prompt whose state was found in the prefix cache.
    pub cached_tokens: usize,
}

/// Durations in milliseconds and rates in tokens per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Timings {
    /// From the start of the generation to its first token.
    pub ttft_ms: f64,
    /// Prompt tokens computed per second (cached ones not counted).
    pub prefill_tokens_per_second: f64,
    /// Tokens after the first per second.
    pub decode_tokens_per_second: f64,
}
