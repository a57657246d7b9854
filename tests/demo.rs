//! The embedded model, end to end: a chat of several turns.
#![cfg(feature = "demo")]

#[path = "support/run.rs"]
mod run;
mod support;

use std::ops::ControlFlow;

use pocketmlx::{FinishReason, LoadOptions, Model, Request, SessionOptions};
use run::{engine, run};

fn demo() -> Model {
    engine().load("demo", LoadOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap()
}

fn say(text: &str) -> Request {
    Request { max_tokens: Some(200), ..Request::user(text) }
}

#[test]
fn it_says_what_it_is() {
    let session = demo().session(SessionOptions::default()).unwrap();
    let outcome = run(&session, say("Who are you?")).unwrap();
    assert!(outcome.text.contains("PocketMLX"), "{}", outcome.text);
    assert_eq!(outcome.done().finish_reason, FinishReason::Stop);
}

#[test]
fn it_recalls_over_turns_that_are_computed_once() {
    let session = demo().session(SessionOptions::default()).unwrap();
    let mut known = 0;
    for (text, expected) in [
        ("Hi! My name is Lena.", ""),
        ("What is 7 plus 5?", "12"),
        ("Tell me a short story about a boat.", "boat"),
        ("What is my name?", "Lena"),
    ] {
        let outcome = run(&session, say(text)).unwrap();
        assert!(outcome.text.contains(expected), "{text}: {}", outcome.text);
        assert_eq!(outcome.done().finish_reason, FinishReason::Stop, "{text}");
        let usage = outcome.done().usage;
        assert_eq!(usage.cached_tokens, known, "{text}");
        // The token that ends the answer was picked but not computed.
        known = usage.prompt_tokens + usage.completion_tokens - 1;
    }
    assert_eq!(session.history().len(), 8);
}

#[test]
fn it_obeys_a_system_prompt() {
    let options = SessionOptions { instructions: Some("Your name is Robin.".into()), ..SessionOptions::default() };
    let session = demo().session(options).unwrap();
    let outcome = run(&session, say("What is your name?")).unwrap();
    assert!(outcome.text.contains("Robin"), "{}", outcome.text);
}
