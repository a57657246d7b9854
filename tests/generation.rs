//! Generations: what they give, how they are read, and how they end.

#[path = "support/run.rs"]
mod run;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use pocketmlx::{Code, Event, FinishReason, LoadOptions, Poll, Request, SessionOptions};
use run::{Loaded, Outcome, ask, collect, engine, ids, load_with, run, some_ids};
use support::Fixture;

fn tiny() -> Loaded {
    Loaded::new(&Fixture::new("llama"))
}

#[test]
fn events_come_in_order_and_add_up() {
    let loaded = tiny();
    let outcome = run(&loaded.session(), ids(&some_ids(40, 1), 12)).unwrap();
    assert_eq!(outcome.tokens.len(), 12);
    assert_eq!(outcome.progress.last(), Some(&(40, 40)));
    let done = outcome.done();
    assert_eq!(done.finish_reason, FinishReason::Length);
    assert_eq!((done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.cached_tokens), (40, 12, 0));
    assert!(done.timings.ttft_ms > 0.0 && done.timings.prefill_tokens_per_second > 0.0);
    assert!(done.timings.decode_tokens_per_second > 0.0);
    let text = loaded.model.text().detokenize(&outcome.tokens).unwrap();
    assert_eq!(outcome.text, text);
}

#[test]
fn sessions_together_give_what_each_gives_alone() {
    together_as_alone(&Fixture::new("llama"));
}

#[test]
fn sessions_of_a_quantized_model_together_give_what_each_gives_alone() {
    together_as_alone(&Fixture::case(&support::case("qwen3-4bit")));
}

fn together_as_alone(fixture: &Fixture) {
    let loaded = Loaded::new(fixture);
    let request = |n: usize| {
        let mut request = ids(&some_ids(5 + 3 * n, n), 24);
        if n % 3 == 1 {
            request.temperature = Some(0.8);
            request.seed = Some(n as u64);
        }
        request
    };
    let alone: Vec<_> = (0..32).map(|n| run(&loaded.session(), request(n)).unwrap()).collect();
    // A second model, so that nothing is found in the prefix cache.
    let loaded = Loaded::new(fixture);
    let started: Vec<_> = (0..32).map(|n| loaded.session().start(request(n)).unwrap()).collect();
    let together: Vec<_> = started.into_iter().map(|generation| collect(generation).unwrap()).collect();
    for (n, (alone, together)) in alone.iter().zip(&together).enumerate() {
        assert_eq!(alone.tokens, together.tokens, "session {n}");
        assert_eq!(alone.text, together.text, "session {n}");
        assert_eq!(together.done().usage.cached_tokens, 0);
    }
    let different: std::collections::HashSet<_> = together.iter().map(|o| o.tokens.clone()).collect();
    assert!(different.len() > 16, "the prompts do not lead to different answers");
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let loaded = tiny();
    let with_seed = |seed| {
        let request = Request { temperature: Some(1.0), seed: Some(seed), ..ids(&some_ids(8, 3), 30) };
        run(&loaded.session(), request).unwrap().tokens
    };
    assert_eq!(with_seed(7), with_seed(7));
    assert_ne!(with_seed(7), with_seed(8));
}

#[test]
fn log_probabilities_come_with_their_tokens() {
    let loaded = tiny();
    let request = Request { logprobs: Some(true), top_logprobs: Some(3), ..ids(&some_ids(8, 3), 10) };
    let outcome = run(&loaded.session(), request).unwrap();
    assert_eq!(outcome.logprobs.len(), 10);
    for (logprob, token) in outcome.logprobs.iter().zip(&outcome.tokens) {
        assert_eq!(logprob.token, *token);
        assert_eq!(logprob.top.len(), 3);
        assert_eq!(logprob.top[0].0, *token, "greedy picks the most likely token");
        assert!(logprob.logprob <= 0.0 && (logprob.logprob - logprob.top[0].1).abs() < 1e-6);
    }
    // The same numbers as scoring the whole text.
    let mut all = some_ids(8, 3);
    all.extend(&outcome.tokens);
    let score = loaded.model.score(&Request::prompt_ids(all)).unwrap();
    for (scored, generated) in score.logprobs[8..].iter().zip(&outcome.logprobs) {
        assert!((scored.unwrap() - generated.logprob).abs() < 1e-5);
    }
}

#[test]
fn end_of_text_ends_the_answer() {
    let loaded = tiny();
    let prompt = some_ids(10, 5);
    let free = run(&loaded.session(), ids(&prompt, 20)).unwrap();
    // The fixture's end-of-text token is made the most likely one.
    let request = Request {
        logit_bias: Some([(support::tokenizer::IM_END, 100.0)].into()),
        max_tokens: Some(20),
        ..Request::prompt_ids(prompt)
    };
    let ended = run(&loaded.session(), request).unwrap();
    assert_eq!(ended.tokens, [support::tokenizer::IM_END]);
    assert_eq!(ended.text, "");
    assert_eq!(ended.done().finish_reason, FinishReason::Stop);
    assert_eq!(ended.done().usage.completion_tokens, 1);
    assert_eq!(free.done().finish_reason, FinishReason::Length);
}

#[test]
fn stop_strings_end_the_answer_and_never_leak() {
    let loaded = tiny();
    let prompt = some_ids(10, 6);
    let free = run(&loaded.session(), ids(&prompt, 40)).unwrap();
    let chars: Vec<char> = free.text.chars().collect();
    let stop: String = chars[chars.len() / 2..chars.len() / 2 + 3].iter().collect();
    let cut = free.text.find(&stop).unwrap();
    let request = Request { stop: Some(vec!["never in the text".into(), stop.clone()]), ..ids(&prompt, 40) };
    let stopped = run(&loaded.session(), request).unwrap();
    assert_eq!(stopped.text, free.text[..cut]);
    assert_eq!(stopped.done().finish_reason, FinishReason::Stop);
    assert!(free.tokens.starts_with(&stopped.tokens));
}

#[test]
fn polling_and_waking_lose_nothing() {
    let loaded = tiny();
    let expected = run(&loaded.session(), ids(&some_ids(9, 9), 16)).unwrap();
    let generation = loaded.session().start(ids(&some_ids(9, 9), 16)).unwrap();
    let mut tokens = Vec::new();
    let wakes = Arc::new(AtomicUsize::new(0));
    loop {
        let (sender, woken) = mpsc::channel();
        let count = Arc::clone(&wakes);
        generation.on_ready(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            sender.send(()).unwrap();
        }));
        woken.recv_timeout(Duration::from_secs(20)).unwrap();
        match generation.poll(Duration::ZERO).unwrap() {
            Poll::Ready(Event::Text { tokens: more, .. }) => tokens.extend(more),
            Poll::Ready(_) => {}
            Poll::Pending => panic!("woken for nothing"),
            Poll::Finished => break,
        }
    }
    assert_eq!(tokens, expected.tokens);
    assert!(wakes.load(Ordering::Relaxed) > 3);
    assert_eq!(generation.next_event().unwrap(), None, "the end stays the end");
}

#[test]
fn a_slow_reader_slows_only_itself() {
    let loaded = tiny();
    let slow = loaded.session().start(ids(&some_ids(4, 1), 400)).unwrap();
    let began = Instant::now();
    let quick = run(&loaded.session(), ids(&some_ids(4, 2), 100)).unwrap();
    assert_eq!(quick.tokens.len(), 100);
    assert!(began.elapsed() < Duration::from_secs(20));
    // The slow one was paused, not dropped.
    let outcome = collect(slow).unwrap();
    assert_eq!(outcome.tokens.len(), 400);
}

#[test]
fn an_unread_generation_pauses() {
    let loaded = tiny();
    let unread = loaded.session().start(ids(&some_ids(4, 1), 400)).unwrap();
    let computed = || {
        let info = loaded.model.info().unwrap();
        info["state"]["activity"]["cache_bytes"].as_u64().unwrap()
    };
    std::thread::sleep(Duration::from_millis(500));
    let before = computed();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(before, computed(), "the generation goes on although nobody reads");
    assert_eq!(collect(unread).unwrap().tokens.len(), 400);
}

#[test]
fn cancelling_is_quick_and_keeps_the_text() {
    let engine = engine();
    let folder = Fixture::new("llama").build();
    let long = LoadOptions { context_length: Some(8192), ..LoadOptions::default() };
    let model = load_with(&engine, folder.path(), long).unwrap();
    let mut slowest = Duration::ZERO;
    for round in 0..40 {
        let session = model.session(SessionOptions::default()).unwrap();
        // Even rounds are cancelled in prefill, odd ones in decode.
        let request = ids(&some_ids(if round % 2 == 0 { 4000 } else { 5 }, round), 2000);
        let generation = session.start(request).unwrap();
        let mut outcome = Outcome::default();
        if round % 2 == 1 {
            while outcome.tokens.len() < 5 {
                if let Some(Event::Text { text, tokens }) = generation.next_event().unwrap() {
                    outcome.text.push_str(&text);
                    outcome.tokens.extend(tokens);
                }
            }
        }
        let canceller = generation.canceller();
        let (sender, cancelled_at) = mpsc::channel();
        std::thread::spawn(move || {
            let at = Instant::now();
            canceller.cancel();
            sender.send(at).unwrap();
        });
        let rest = collect(generation).unwrap();
        slowest = slowest.max(cancelled_at.recv().unwrap().elapsed());
        assert_eq!(rest.done().finish_reason, FinishReason::Cancelled, "round {round}");
        // The session goes on.
        let again = run(&session, ids(&some_ids(5, round), 3)).unwrap();
        assert_eq!(again.tokens.len(), 3);
    }
    assert!(slowest < Duration::from_secs(2), "a cancel took {slowest:?}");
}

#[test]
fn a_cancelled_prefill_leaves_a_valid_state() {
    let engine = engine();
    let folder = Fixture::new("llama").build();
    let long = LoadOptions { context_length: Some(8192), ..LoadOptions::default() };
    let model = load_with(&engine, folder.path(), long).unwrap();
    let prompt = some_ids(3000, 77);
    let session = model.session(SessionOptions::default()).unwrap();
    let generation = session.start(ids(&prompt, 8)).unwrap();
    while let Some(event) = generation.next_event().unwrap() {
        if matches!(event, Event::Prompt { done, .. } if done > 0) {
            generation.cancel();
        }
    }
    let after_cancel = run(&session, ids(&prompt, 8)).unwrap();
    assert!(after_cancel.done().usage.cached_tokens > 0, "what was computed is used again");
    let fresh = load_with(&engine, folder.path(), LoadOptions { context_length: Some(8192), ..LoadOptions::default() });
    let fresh = run(&fresh.unwrap().session(SessionOptions::default()).unwrap(), ids(&prompt, 8)).unwrap();
    assert_eq!(after_cancel.tokens, fresh.tokens);
}

#[test]
fn one_generation_a_session_at_a_time() {
    let loaded = tiny();
    let session = loaded.session();
    let generation = session.start(ids(&some_ids(4, 1), 300)).unwrap();
    assert_eq!(session.start(ask("hello", 3)).err().unwrap().code(), Code::Busy);
    assert_eq!(session.rewind(0).err().unwrap().code(), Code::Busy);
    drop(generation);
    // Dropping cancels, and a start after it waits for that.
    assert_eq!(run(&session, ask("hello", 3)).unwrap().tokens.len(), 3);
}

#[test]
fn handles_may_go_in_any_order() {
    let engine = engine();
    let loaded = Loaded::on(&engine, &Fixture::new("llama"));
    let session = loaded.session();
    let generation = session.start(ids(&some_ids(6, 1), 50)).unwrap();
    drop(engine);
    drop(loaded.model);
    drop(session);
    assert_eq!(collect(generation).unwrap().tokens.len(), 50);
}

#[test]
fn a_long_prompt_beside_short_requests_makes_no_long_gap() {
    let engine = engine();
    let folder = Fixture::new("llama").build();
    let long = LoadOptions { context_length: Some(8192), ..LoadOptions::default() };
    let model = load_with(&engine, folder.path(), long).unwrap();
    let session = || model.session(SessionOptions::default()).unwrap();
    let streaming = session().start(ids(&some_ids(6, 1), 1500)).unwrap();
    let reader = std::thread::spawn(move || {
        let mut gaps = Vec::new();
        let mut last = None;
        for event in streaming {
            if let Event::Text { .. } = event.unwrap() {
                let now = Instant::now();
                gaps.extend(last.replace(now).map(|last: Instant| now - last));
            }
        }
        gaps.into_iter().max().unwrap()
    });
    let prompt = run(&session(), ids(&some_ids(4000, 2), 2)).unwrap();
    assert_eq!(prompt.tokens.len(), 2);
    let worst = reader.join().unwrap();
    assert!(worst < Duration::from_secs(1), "a gap of {worst:?}");
}
