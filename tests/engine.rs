//! Engines: memory budgets, several models, suspending, loading.

#[path = "support/run.rs"]
mod run;
mod support;

use std::ops::ControlFlow;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pocketmlx::{Code, Device, Engine, EngineOptions, Event, Generation, LoadOptions, ProbeOptions, Request, probe};
use run::{Loaded, ask, collect, engine, engine_with, ids, load, load_with, run, some_ids};
use support::Fixture;

#[test]
fn weights_over_the_budget_are_refused_before_loading() {
    let folder = Fixture::new("llama").build();
    let engine = engine_with(EngineOptions { memory_limit_bytes: Some(100_000), ..EngineOptions::default() });
    let error = load(&engine, folder.path()).err().unwrap();
    assert_eq!(error.code(), Code::OutOfMemory);
    assert!(error.message().contains("100000"), "{error}");
    assert!(!error.hint().is_empty());
    assert_eq!(engine.info().unwrap()["memory_used_bytes"], 0);
}

#[test]
fn a_prompt_over_the_budget_is_refused_and_others_go_on() {
    let folder = Fixture::new("llama").build();
    let needed = {
        let info = probe(&folder.path().display().to_string(), &ProbeOptions::default()).unwrap();
        info["memory"]["weight_bytes"].as_u64().unwrap() + info["memory"]["work_bytes"].as_u64().unwrap()
    };
    let limit = Some(needed + 400_000);
    let engine = engine_with(EngineOptions { memory_limit_bytes: limit, ..EngineOptions::default() });
    let long = LoadOptions { context_length: Some(8192), ..LoadOptions::default() };
    let model = load_with(&engine, folder.path(), long).unwrap();
    let session = || model.session(Default::default()).unwrap();
    let error = run(&session(), ids(&some_ids(6000, 1), 4)).err().unwrap();
    assert_eq!(error.code(), Code::OutOfMemory, "{error}");
    assert_eq!(run(&session(), ids(&some_ids(50, 1), 4)).unwrap().tokens.len(), 4);
    // An answer that outgrows the budget ends with the error; its text was given.
    let generation = session().start(ids(&some_ids(50, 2), 8000)).unwrap();
    let mut tokens = 0;
    let error = loop {
        match generation.next_event() {
            Ok(Some(Event::Text { tokens: more, .. })) => tokens += more.len(),
            Ok(Some(_)) => {}
            Ok(None) => panic!("the answer fitted into {limit:?} bytes"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::OutOfMemory);
    assert!(tokens > 50);
    assert_eq!(generation.next_event().err().unwrap().message(), error.message(), "the error stays");
    // Kept states gave way before anything failed, and still do.
    assert_eq!(run(&session(), ids(&some_ids(60, 3), 4)).unwrap().tokens.len(), 4);
}

#[test]
fn kept_states_respect_their_own_limit() {
    let folder = Fixture::new("llama").build();
    let engine = engine_with(EngineOptions { prefix_cache_bytes: Some(0), ..EngineOptions::default() });
    let model = load(&engine, folder.path()).unwrap();
    let session = model.session(Default::default()).unwrap();
    run(&session, ask("Hello", 5)).unwrap();
    let second = run(&session, ask("again", 5)).unwrap();
    assert_eq!(second.done().usage.cached_tokens, 0);
    assert_eq!(model.info().unwrap()["state"]["activity"]["cache_bytes"], 0);
}

#[test]
fn suspending_pauses_and_resuming_goes_on() {
    let loaded = Loaded::new(&Fixture::new("llama"));
    let engine = loaded.model.engine().clone();
    let expected = run(&loaded.session(), ids(&some_ids(5, 1), 60)).unwrap();
    let generation = loaded.session().start(ids(&some_ids(5, 1), 60)).unwrap();
    engine.suspend(Duration::from_secs(10)).unwrap();
    let error = loaded.session().start(ask("hello", 3)).err().unwrap();
    assert_eq!(error.code(), Code::Suspended);
    let error = load(&engine, loaded.folder.path()).err().unwrap();
    assert_eq!(error.code(), Code::Suspended);
    // What was computed before is still read; then nothing more comes.
    let mut tokens = Vec::new();
    while let pocketmlx::Poll::Ready(event) = generation.poll(Duration::from_millis(200)).unwrap() {
        if let Event::Text { tokens: more, .. } = event {
            tokens.extend(more);
        }
    }
    let cancelled = loaded.session();
    assert!(cancelled.start(ask("x", 2)).is_err());
    engine.resume().unwrap();
    tokens.extend(collect(generation).unwrap().tokens);
    assert_eq!(tokens, expected.tokens);
    // An engine's suspension is its own.
    let other = Loaded::new(&Fixture::new("llama"));
    engine.suspend(Duration::from_secs(10)).unwrap();
    assert_eq!(run(&other.session(), ask("hello", 3)).unwrap().tokens.len(), 3);
    engine.resume().unwrap();
}

#[test]
fn cancelling_works_while_suspended() {
    let loaded = Loaded::new(&Fixture::new("llama"));
    let generation = loaded.session().start(ids(&some_ids(5, 1), 400)).unwrap();
    loaded.model.engine().suspend(Duration::from_secs(10)).unwrap();
    generation.cancel();
    let outcome = collect(generation).unwrap();
    assert_eq!(outcome.done().finish_reason, pocketmlx::FinishReason::Cancelled);
    loaded.model.engine().resume().unwrap();
}

#[test]
fn trimming_frees_kept_states() {
    let loaded = Loaded::new(&Fixture::new("llama"));
    run(&loaded.session(), ids(&some_ids(200, 1), 5)).unwrap();
    let freed = loaded.model.engine().trim().unwrap();
    assert!(freed > 30_000, "{freed} bytes");
    let again = run(&loaded.session(), ids(&some_ids(200, 1), 5)).unwrap();
    assert_eq!(again.done().usage.cached_tokens, 0);
}

#[test]
fn an_idle_model_is_unloaded_and_comes_back() {
    let folder = Fixture::new("llama").build();
    let engine = engine_with(EngineOptions { idle_unload_seconds: Some(1), ..EngineOptions::default() });
    let model = load(&engine, folder.path()).unwrap();
    let session = model.session(Default::default()).unwrap();
    let first = run(&session, ids(&some_ids(9, 1), 9)).unwrap();
    let state = || model.info().unwrap()["state"]["state"].as_str().unwrap().to_owned();
    assert_eq!(state(), "ready");
    let deadline = Instant::now() + Duration::from_secs(10);
    while state() != "unloaded" {
        assert!(Instant::now() < deadline, "still {}", state());
        std::thread::sleep(Duration::from_millis(50));
    }
    let again = run(&session, ids(&some_ids(9, 1), 9)).unwrap();
    assert_eq!(again.tokens, first.tokens);
    assert_eq!(again.done().usage.cached_tokens, 0);
    assert_eq!(state(), "ready");
}

/// Reads a generation on a thread of its own: its tokens, and the longest wait for one.
fn read(generation: Generation) -> JoinHandle<(Vec<u32>, Duration)> {
    std::thread::spawn(move || {
        let (mut tokens, mut worst, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
        for event in generation {
            if let Event::Text { tokens: more, .. } = event.unwrap() {
                worst = worst.max(last.elapsed());
                last = Instant::now();
                tokens.extend(more);
            }
        }
        (tokens, worst)
    })
}

#[test]
fn models_stream_side_by_side_while_another_loads() {
    let engine = engine();
    let first = Loaded::on(&engine, &Fixture::new("llama"));
    let second = Loaded::on(&engine, &Fixture::new("qwen3").quantized(4, 32));
    let third = Fixture::new("phi3").build();
    let alone = [&first, &second].map(|l| run(&l.session(), ids(&some_ids(5, 1), 200)).unwrap().tokens);
    engine.trim().unwrap();
    let readers = [&first, &second].map(|loaded| read(loaded.session().start(ids(&some_ids(5, 1), 200)).unwrap()));
    let third = load(&engine, third.path()).unwrap();
    assert_eq!(run(&third.session(Default::default()).unwrap(), ids(&some_ids(5, 1), 5)).unwrap().tokens.len(), 5);
    for (reader, alone) in readers.into_iter().zip(alone) {
        let (tokens, worst) = reader.join().unwrap();
        assert_eq!(tokens, alone);
        assert!(worst < Duration::from_secs(2), "a gap of {worst:?}");
    }
    assert_eq!(engine.info().unwrap()["models"].as_array().unwrap().len(), 3);
}

#[test]
#[ignore = "needs a model of a real size: POCKETMLX_LARGE names its folder"]
fn loading_a_large_model_stalls_no_stream() {
    let large = std::env::var("POCKETMLX_LARGE").expect("POCKETMLX_LARGE names the folder of a model");
    let engine = engine();
    let streaming =
        [Fixture::new("llama"), Fixture::new("qwen3").quantized(4, 32)].map(|fixture| Loaded::on(&engine, &fixture));
    let generations = streaming.each_ref().map(|l| l.session().start(ids(&some_ids(5, 1), 100_000)).unwrap());
    let cancellers = generations.each_ref().map(Generation::canceller);
    let readers = generations.map(read);
    for _ in 0..5 {
        drop(load(&engine, large.as_ref()).unwrap());
    }
    cancellers.iter().for_each(|canceller| canceller.cancel());
    for reader in readers {
        let (tokens, worst) = reader.join().unwrap();
        println!("{} tokens, the longest wait {worst:?}", tokens.len());
        assert!(worst < Duration::from_millis(200), "a gap of {worst:?}");
    }
}

#[test]
fn freeing_a_model_gives_its_memory_back() {
    let engine = engine();
    let loaded = Loaded::on(&engine, &Fixture::new("llama"));
    run(&loaded.session(), ask("Hello", 5)).unwrap();
    assert!(engine.info().unwrap()["memory_used_bytes"].as_u64().unwrap() > 0);
    drop(loaded);
    let info = engine.info().unwrap();
    assert_eq!(info["memory_used_bytes"], 0);
    assert_eq!(info["models"].as_array().unwrap().len(), 0);
}

#[test]
fn loading_reports_and_can_be_cancelled() {
    let folder = Fixture::new("llama").build();
    let engine = engine();
    let source = folder.path().display().to_string();
    let mut stages = Vec::new();
    let model = engine
        .load(&source, LoadOptions::default(), &mut |progress| {
            assert!(progress.done <= progress.total || progress.total == 0);
            stages.push(progress.stage as i32);
            ControlFlow::Continue(())
        })
        .unwrap();
    drop(model);
    assert!(stages.is_sorted(), "{stages:?}");
    assert!(stages.len() >= 3);
    for at in 0..stages.len() {
        let mut calls = 0;
        let result = engine.load(&source, LoadOptions::default(), &mut |_| {
            calls += 1;
            if calls > at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match result {
            Err(error) => assert_eq!(error.code(), Code::Cancelled),
            // There may be fewer reports than last time.
            Ok(_) => assert!(calls <= at),
        }
    }
    assert_eq!(engine.info().unwrap()["memory_used_bytes"], 0, "cancelled loads leave nothing behind");
}

#[test]
fn options_out_of_range_are_refused() {
    let new = |options| Engine::new(options).err().map(|error: pocketmlx::Error| error.code());
    assert_eq!(new(EngineOptions { threads: Some(0), ..Default::default() }), Some(Code::InvalidArgument));
    assert_eq!(new(EngineOptions { threads: Some(100_000), ..Default::default() }), Some(Code::InvalidArgument));
    assert_eq!(new(EngineOptions { memory_limit_bytes: Some(0), ..Default::default() }), Some(Code::InvalidArgument));
    #[cfg(not(feature = "mlx"))]
    for device in [Device::MlxCpu, Device::MlxGpu] {
        assert_eq!(new(EngineOptions { device, ..Default::default() }), Some(Code::Unsupported));
    }
    assert_eq!(new(EngineOptions { device: Device::Cpu, ..Default::default() }), None);
    let folder = Fixture::new("llama").build();
    for length in [0, 1, usize::MAX] {
        let options = LoadOptions { context_length: Some(length), ..LoadOptions::default() };
        let error = load_with(&engine(), folder.path(), options).err().unwrap();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}

#[test]
fn scores_and_generations_share_a_model() {
    let loaded = Loaded::new(&Fixture::new("qwen2"));
    let generation = loaded.session().start(ids(&some_ids(5, 1), 100)).unwrap();
    let score =
        loaded.model.score(&Request { top_logprobs: Some(2), ..Request::prompt_ids(some_ids(100, 4)) }).unwrap();
    assert_eq!((score.tokens.len(), score.logprobs.len(), score.top.len()), (100, 100, 100));
    assert!(score.top.iter().all(|top| top.len() == 2 && top[0].1 >= top[1].1));
    let mean = score.logprobs.iter().flatten().map(|p| f64::from(*p)).sum::<f64>() / 99.0;
    assert!((score.perplexity - (-mean).exp()).abs() < 1e-6 * score.perplexity);
    assert_eq!(collect(generation).unwrap().tokens.len(), 100);
}
