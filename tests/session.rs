//! Sessions: transcripts, and what of them is computed again.

#[path = "support/run.rs"]
mod run;
mod support;

use pocketmlx::{Code, ContextOverflow, Event, KvBits, LoadOptions, Message, Request, SessionOptions};
use run::{Loaded, ask, collect, engine, load_with, run, transcript};
use support::Fixture;

fn tiny() -> Loaded {
    Loaded::new(&Fixture::new("qwen3"))
}

#[test]
fn a_second_turn_computes_only_what_is_new() {
    let loaded = tiny();
    let session = loaded.session();
    let first = run(&session, ask("Hello there, how are you?", 20)).unwrap();
    let second = run(&session, ask("And now?", 20)).unwrap();
    let usage = second.done().usage;
    // The last token of the first answer was picked but never computed.
    let known = first.done().usage.prompt_tokens + 20 - 1;
    assert_eq!(usage.cached_tokens, known);
    assert!(usage.prompt_tokens > known);
    // What nobody read in time is replaced by newer progress, so only the last report is certain.
    assert_eq!(second.progress.last(), Some(&(usage.prompt_tokens, usage.prompt_tokens)));
    assert!(second.progress.iter().all(|&(done, total)| done >= known && total == usage.prompt_tokens));

    // The same as without any cache.
    let fresh = tiny();
    let session = fresh.session();
    run(&session, ask("Hello there, how are you?", 20)).unwrap();
    fresh.model.engine().trim().unwrap();
    let again = run(&session, ask("And now?", 20)).unwrap();
    assert_eq!(again.done().usage.cached_tokens, 0);
    assert_eq!(again.tokens, second.tokens);
}

#[test]
fn each_kind_of_cache_has_states_of_its_own() {
    let folder = Fixture::new("qwen3").build();
    let engine = engine();
    let mut loaded = Vec::new();
    for bits in [KvBits::Four, KvBits::Eight, KvBits::Sixteen] {
        let options = LoadOptions { kv_bits: Some(bits), ..LoadOptions::default() };
        let model = load_with(&engine, folder.path(), options).unwrap();
        assert_eq!(model.info().unwrap()["kv_cache"]["bits"], u64::from(bits));
        let session = model.session(SessionOptions::default()).unwrap();
        let first = run(&session, ask("Hello there, how are you?", 20)).unwrap();
        assert_eq!(first.done().usage.cached_tokens, 0, "{bits:?}: states of another kind");
        let second = run(&session, ask("And now?", 20)).unwrap();
        assert_eq!(second.done().usage.cached_tokens, first.done().usage.prompt_tokens + 20 - 1);
        // The same without any kept state.
        session.rewind(2).unwrap();
        engine.trim().unwrap();
        let again = run(&session, ask("And now?", 20)).unwrap();
        assert_eq!((again.done().usage.cached_tokens, again.tokens), (0, second.tokens), "{bits:?}");
        // The engine's next model of these files is another one, and this one keeps its states.
        loaded.push((model, session));
    }
}

#[test]
fn forks_share_what_was_computed() {
    let loaded = tiny();
    let session = loaded.session();
    let first = run(&session, ask("Hello", 10)).unwrap();
    let known = first.done().usage.prompt_tokens + 10 - 1;
    let fork = session.fork().unwrap();
    let here = run(&session, ask("one way", 10)).unwrap();
    let there = run(&fork, ask("another way", 10)).unwrap();
    assert_eq!(here.done().usage.cached_tokens, known);
    assert!(there.done().usage.cached_tokens >= known, "{:?}", there.done().usage);
    assert_eq!(transcript(&session).len(), 4);
    assert_eq!(transcript(&fork).len(), 4);
    assert_eq!(transcript(&fork)[2].1, "another way");
    // Forks do not disturb each other.
    let more = run(&session, ask("on", 5)).unwrap();
    assert_eq!(more.done().usage.cached_tokens, here.done().usage.prompt_tokens + 10 - 1);
}

#[test]
fn rewinding_uses_what_remains() {
    let loaded = tiny();
    let session = loaded.session();
    run(&session, ask("first", 10)).unwrap();
    let second = run(&session, ask("second", 10)).unwrap();
    session.rewind(2).unwrap();
    assert_eq!(transcript(&session).len(), 2);
    let again = run(&session, ask("second", 10)).unwrap();
    assert_eq!(again.tokens, second.tokens);
    assert!(again.done().usage.cached_tokens >= second.done().usage.cached_tokens);
    let error = session.rewind(9).err().unwrap();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains('9') && error.message().contains('4'), "{error}");
}

#[test]
fn a_cancelled_answer_stays_and_is_marked() {
    let loaded = tiny();
    let session = loaded.session();
    let generation = session.start(ask("Tell me a long story", 400)).unwrap();
    let mut text = String::new();
    while text.len() < 20 {
        if let Some(Event::Text { text: piece, .. }) = generation.next_event().unwrap() {
            text.push_str(&piece);
        }
    }
    generation.cancel();
    text.push_str(&collect(generation).unwrap().text);
    let history = session.history();
    assert_eq!(history.len(), 2);
    assert!(history[1].partial);
    assert_eq!(history[1].text().unwrap(), text);
    let next = run(&session, ask("go on", 5)).unwrap();
    assert!(next.done().usage.cached_tokens > 20, "{:?}", next.done().usage);
}

#[test]
fn behind_a_wrapped_window_the_prompt_is_computed_again() {
    let fixture =
        Fixture::new("llama").set("layer_types", vec!["sliding_attention", "full_attention"]).set("sliding_window", 16);
    let loaded = Loaded::new(&fixture);
    let session = loaded.session();
    let first = run(&session, ask("A message that is quite long", 300)).unwrap();
    let on = run(&session, ask("on", 5)).unwrap();
    assert!(on.done().usage.cached_tokens > 300, "going on needs nothing that was dropped");
    // What the prompt alone left behind is dropped, so it is computed again, and gives the same.
    session.rewind(0).unwrap();
    let again = run(&session, ask("A message that is quite long", 300)).unwrap();
    assert_eq!(again.done().usage.cached_tokens, 0);
    assert_eq!(again.tokens, first.tokens);
    assert_eq!(first.done().usage.prompt_tokens, again.done().usage.prompt_tokens);
}

#[test]
fn instructions_tools_and_defaults_apply() {
    let loaded = tiny();
    let options = SessionOptions {
        instructions: Some("Be brief.".into()),
        defaults: Request { max_tokens: Some(4), ignore_eos: Some(true), ..Request::default() },
        ..SessionOptions::default()
    };
    let session = loaded.model.session(options).unwrap();
    let outcome = run(&session, Request::user("Hello")).unwrap();
    assert_eq!(outcome.tokens.len(), 4);
    assert_eq!(transcript(&session)[0], ("system".into(), "Be brief.".into()));
    let own = run(&session, Request { max_tokens: Some(6), ..Request::user("Again") }).unwrap();
    assert_eq!(own.tokens.len(), 6);
}

#[test]
fn a_whole_transcript_finds_what_a_session_computed() {
    let loaded = tiny();
    let session = loaded.session();
    run(&session, ask("Hello there", 12)).unwrap();
    let mut messages = session.history();
    messages.push(Message::new("user", "and on"));
    let expected = run(&session, ask("and on", 12)).unwrap();
    let other = loaded.session();
    let request = Request { transcript: Some(messages), messages: None, ..ask("", 12) };
    let outcome = run(&other, request).unwrap();
    assert!(outcome.done().usage.cached_tokens > 0);
    assert_eq!(transcript(&other).len(), 4);
    // Where the answer's text leads to the same tokens again, so does the answer to it.
    if outcome.done().usage.prompt_tokens == expected.done().usage.prompt_tokens {
        assert_eq!(outcome.tokens, expected.tokens);
    }
}

#[test]
fn raw_prompts_leave_the_transcript_alone() {
    let loaded = tiny();
    let session = loaded.session();
    run(&session, ask("Hello", 3)).unwrap();
    run(&session, Request { max_tokens: Some(3), ..Request::prompt("Once upon a time") }).unwrap();
    assert_eq!(transcript(&session).len(), 2);
}

#[test]
fn too_long_a_transcript_is_refused_or_cut() {
    let engine = engine();
    let folder = Fixture::new("llama").build();
    let short = LoadOptions { context_length: Some(128), ..LoadOptions::default() };
    let model = load_with(&engine, folder.path(), short).unwrap();
    let options = SessionOptions { instructions: Some("system".into()), ..SessionOptions::default() };
    let session = model.session(options).unwrap();
    let long = "some words that take up room in the context";
    let error = loop {
        match session.start(ask(long, 8)) {
            Ok(generation) => collect(generation).unwrap(),
            Err(error) => break error,
        };
    };
    assert_eq!(error.code(), Code::ContextOverflow);
    assert!(error.message().contains("128"), "{error}");
    let before = transcript(&session);
    let request = Request { context_overflow: Some(ContextOverflow::DropOldestTurns), ..ask(long, 8) };
    let outcome = run(&session, request).unwrap();
    assert!(outcome.done().usage.prompt_tokens <= 120);
    assert_eq!(outcome.tokens.len(), 8);
    assert_eq!(transcript(&session).len(), before.len() + 2, "the transcript itself stays whole");
    let one = Request { context_overflow: Some(ContextOverflow::DropOldestTurns), ..ask(&long.repeat(9), 8) };
    assert_eq!(session.start(one).err().unwrap().code(), Code::ContextOverflow);
}
