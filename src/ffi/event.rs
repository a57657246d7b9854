//! Events: what a generation reports.

use std::ffi::{c_char, c_void};
use std::ptr;

use serde::Serialize;

use crate::{Error, Event, Result};

/// The prompt is being processed: `done` tokens of `total`.
pub const PMLX_EVENT_PROMPT: i32 = 1;
/// Newly generated text, with the `tokens` behind it.
pub const PMLX_EVENT_TEXT: i32 = 2;
#[expect(dead_code, reason = "not produced yet")]
/// Newly generated reasoning, with the `tokens` behind it.
pub const PMLX_EVENT_REASONING: i32 = 3;
#[expect(dead_code, reason = "not produced yet")]
/// A call of a tool, as `json`.
pub const PMLX_EVENT_TOOL_CALL: i32 = 4;
/// Log-probabilities of the tokens of the text that follows. `json` is a list of `{"token": id, "logprob": number,
/// "top": [[id, number], ...]}`.
pub const PMLX_EVENT_LOGPROBS: i32 = 5;
/// The end. `json` is `{"finish_reason": "stop" | "length" | "cancelled", "usage": {"prompt_tokens",
/// "completion_tokens", "cached_tokens"}, "timings": {"ttft_ms", "prefill_tokens_per_second",
/// "decode_tokens_per_second"}}`; later versions may add keys and reasons.
pub const PMLX_EVENT_DONE: i32 = 6;

/// One step of a generation. Fields that its kind does not use are "", `NULL` or 0. Borrowed: valid until the next call
/// on the same generation, or until the callback that got it returns.
#[repr(C)]
pub struct pmlx_event {
    /// Bytes of this struct that the library filled in.
    pub struct_size: u32,
    /// `PMLX_EVENT_PROMPT` and so on. Ignore kinds you don't know.
    pub kind: i32,
    /// TEXT, REASONING: whole UTF-8 characters with a NUL at the end; may be empty. Never `NULL`.
    pub text: *const c_char,
    /// Bytes of `text`.
    pub text_len: usize,
    /// TEXT, REASONING: the ids behind the text; `NULL` when there are none.
    pub tokens: *const u32,
    /// Number of `tokens`.
    pub tokens_len: usize,
    /// TOOL_CALL, LOGPROBS, DONE: JSON with a NUL at the end. Never `NULL`.
    pub json: *const c_char,
    /// Bytes of `json`.
    pub json_len: usize,
    /// PROMPT: tokens processed.
    pub done: u64,
    /// PROMPT: tokens of the whole prompt.
    pub total: u64,
}

/// Gets each event of a generation. Returns 0 to go on, 1 to cancel.
pub type pmlx_event_fn = Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const pmlx_event) -> i32>;

/// An event with the memory that its struct points into.
pub(super) struct Shown {
    event: pmlx_event,
    text: Vec<u8>,
    tokens: Vec<u32>,
}

// The pointers lead into the vectors beside them, which move along.
unsafe impl Send for Shown {}

impl Shown {
    pub(super) fn new(event: Event) -> Result<Self> {
        Ok(match event {
            Event::Prompt { done, total } => {
                let mut shown = Self::empty(PMLX_EVENT_PROMPT);
                shown.event.done = done as u64;
                shown.event.total = total as u64;
                shown
            }
            Event::Text { text, tokens } => {
                let mut shown = Self::empty(PMLX_EVENT_TEXT);
                (shown.event.text, shown.event.text_len) = shown.hold(text);
                shown.tokens = tokens;
                if !shown.tokens.is_empty() {
                    shown.event.tokens = shown.tokens.as_ptr();
                    shown.event.tokens_len = shown.tokens.len();
                }
                shown
            }
            Event::Logprobs(logprobs) => Self::with_json(PMLX_EVENT_LOGPROBS, &logprobs)?,
            Event::Done(done) => Self::with_json(PMLX_EVENT_DONE, &done)?,
        })
    }

    /// The struct for the host; valid while `self` lives.
    pub(super) fn event(&self) -> *const pmlx_event {
        &self.event
    }

    fn empty(kind: i32) -> Self {
        let event = pmlx_event {
            struct_size: size_of::<pmlx_event>() as u32,
            kind,
            text: c"".as_ptr(),
            text_len: 0,
            tokens: ptr::null(),
            tokens_len: 0,
            json: c"".as_ptr(),
            json_len: 0,
            done: 0,
            total: 0,
        };
        Self { event, text: Vec::new(), tokens: Vec::new() }
    }

    fn with_json(kind: i32, value: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_string(value).map_err(|e| Error::internal(format!("cannot write an event: {e}")))?;
        let mut shown = Self::empty(kind);
        (shown.event.json, shown.event.json_len) = shown.hold(json);
        Ok(shown)
    }

    fn hold(&mut self, text: String) -> (*const c_char, usize) {
        let len = text.len();
        self.text = text.into_bytes();
        self.text.push(0);
        (self.text.as_ptr().cast(), len)
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::{Done, FinishReason, Timings, TokenLogprob, Usage};

    fn json(event: Event) -> (i32, String) {
        let shown = Shown::new(event).unwrap();
        let event = unsafe { &*shown.event() };
        assert_eq!((event.text_len, event.tokens_len), (0, 0));
        let bytes = unsafe { slice::from_raw_parts(event.json.cast::<u8>(), event.json_len + 1) };
        assert_eq!(bytes.last(), Some(&0));
        (event.kind, String::from_utf8(bytes[..event.json_len].to_vec()).unwrap())
    }

    #[test]
    fn text_points_into_what_is_held() {
        let shown = Box::new(Shown::new(Event::Text { text: "grü\0n".to_owned(), tokens: vec![3, 4] }).unwrap());
        let event = unsafe { &*shown.event() };
        assert_eq!((event.kind, event.struct_size as usize), (PMLX_EVENT_TEXT, size_of::<pmlx_event>()));
        let text = unsafe { slice::from_raw_parts(event.text.cast::<u8>(), event.text_len + 1) };
        assert_eq!(text, "grü\0n\0".as_bytes());
        assert_eq!(unsafe { slice::from_raw_parts(event.tokens, event.tokens_len) }, [3, 4]);
        assert_eq!(event.json_len, 0);
    }

    #[test]
    fn logprobs_and_the_end_are_json() {
        let logprob = TokenLogprob { token: 3, logprob: -0.5, top: vec![(3, -0.5), (9, -1.0)] };
        let expected = r#"[{"token":3,"logprob":-0.5,"top":[[3,-0.5],[9,-1.0]]}]"#;
        assert_eq!(json(Event::Logprobs(vec![logprob])), (PMLX_EVENT_LOGPROBS, expected.to_owned()));
        let usage = Usage { prompt_tokens: 5, completion_tokens: 2, cached_tokens: 4 };
        let done = Done { finish_reason: FinishReason::Cancelled, usage, timings: Timings::default() };
        let (kind, text) = json(Event::Done(done));
        assert_eq!(kind, PMLX_EVENT_DONE);
        assert!(text.starts_with(r#"{"finish_reason":"cancelled","usage":{"prompt_tokens":5,"#), "{text}");
    }
}
