//! Log-probabilities against mlx-lm's, for every case of `tests/data/cases.json`, and a real trained model's text.

#[path = "support/run.rs"]
mod run;
mod support;

use pocketmlx::{Device, Engine, EngineOptions, LoadOptions, Precision, Request, SessionOptions};
use run::{collect, load_with, shared};
use serde_json::Value;
use support::{Case, Fixture, KnownModel, cases, known_models, tokens};

/// What counts as equal: both sides compute in f32, in different orders.
const TOLERANCE: f32 = 1e-3;

fn engine(device: Device) -> Engine {
    Engine::new(EngineOptions { device, threads: Some(2), ..EngineOptions::default() }).unwrap()
}

fn check(engine: &Engine, case: &Case) {
    let fixture = Fixture::case(case);
    let reference = case.reference();
    assert_eq!(fixture.checksum(), reference.checksum, "{}: the reference is of other weights", case.name);
    let folder = fixture.build();
    let exact = LoadOptions { precision: Precision::Exact, ..LoadOptions::default() };
    let model = load_with(engine, folder.path(), exact).unwrap();
    let request = Request { top_logprobs: Some(5), ..Request::prompt_ids(tokens()) };
    let score = model.score(&request).unwrap();
    assert_eq!(score.logprobs.len(), tokens().len());
    assert_eq!(score.logprobs[0], None);
    for (at, (ours, theirs)) in score.logprobs[1..].iter().zip(&reference.next).enumerate() {
        let ours = ours.unwrap();
        assert!((ours - theirs).abs() < TOLERANCE, "{}: token {}: {ours} and {theirs}", case.name, at + 1);
    }
    for (at, (ours, theirs)) in score.top.iter().zip(&reference.top).enumerate() {
        for ((_, ours), (_, theirs)) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() < TOLERANCE, "{}: top after {at}: {ours} and {theirs}", case.name);
        }
    }
}

fn check_known(engine: &Engine, known: &KnownModel) {
    let folder = known.build();
    let exact = LoadOptions { precision: Precision::Exact, ..LoadOptions::default() };
    let model = load_with(engine, folder.path(), exact).unwrap_or_else(|e| panic!("{}: {e}", known.name));
    let request = Request { top_logprobs: Some(5), ..Request::prompt_ids(known.tokens.clone()) };
    let score = model.score(&request).unwrap_or_else(|e| panic!("{}: {e}", known.name));
    let ours = score.logprobs[1..].iter().map(|ours| ours.unwrap());
    let top = score.top.iter().flatten().map(|(_, ours)| *ours);
    let theirs = known.next.iter().chain(known.top.iter().flatten().map(|(_, theirs)| theirs));
    for (at, (ours, theirs)) in ours.chain(top).zip(theirs).enumerate() {
        assert!((ours - theirs).abs() < TOLERANCE, "{}: number {at}: {ours} and {theirs}", known.name);
    }
}

fn check_all(device: Device) {
    let engine = engine(device);
    let known = known_models();
    assert!(known.len() >= 70, "only {} models", known.len());
    known.iter().for_each(|known| check_known(&engine, known));
    let cases = cases();
    assert!(cases.len() >= 16, "only {} cases", cases.len());
    cases.iter().for_each(|case| check(&engine, case));
}

#[test]
fn log_probabilities_agree_on_the_cpu() {
    check_all(Device::Cpu);
}

#[cfg(feature = "mlx")]
#[test]
fn log_probabilities_agree_on_mlx() {
    check_all(Device::MlxCpu);
}

/// In the checkpoint's own dtype the error against f32 is at most this multiple of mlx-lm's own.
#[cfg(feature = "mlx")]
const LOW_PRECISION_FACTOR: f32 = 1.5;

#[cfg(feature = "mlx")]
#[test]
fn low_precision_is_as_good_as_mlx_lms() {
    let engine = engine(Device::MlxCpu);
    let mut checked = 0;
    for case in cases() {
        let reference = case.reference();
        let Some(theirs) = &reference.low_precision else { continue };
        let folder = Fixture::case(&case).build();
        let model = load_with(&engine, folder.path(), LoadOptions::default()).unwrap();
        let score = model.score(&Request::prompt_ids(tokens())).unwrap();
        let errors = score.logprobs[1..].iter().zip(&reference.next).map(|(a, b)| (a.unwrap() - b).abs());
        let mean = errors.clone().sum::<f32>() / reference.next.len() as f32;
        let max = errors.fold(0.0, f32::max);
        println!("{}: mean {mean} and {}, max {max} and {}", case.name, theirs.mean, theirs.max);
        assert!(mean > 0.0, "{}: the checkpoint's dtype was not used", case.name);
        assert!(mean <= LOW_PRECISION_FACTOR * theirs.mean, "{}: mean {mean}, mlx-lm's {}", case.name, theirs.mean);
        assert!(max <= LOW_PRECISION_FACTOR * theirs.max, "{}: max {max}, mlx-lm's {}", case.name, theirs.max);
        checked += 1;
    }
    assert!(checked >= 8, "only {checked} cases");
}

fn check_stories(device: Device) {
    let Some(folder) = shared("models/stories260k") else { return };
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let engine = engine(device);
    let model = load_with(&engine, &folder, LoadOptions::default()).unwrap();
    let session = model.session(SessionOptions::default()).unwrap();
    let request = Request { max_tokens: Some(100), ..Request::prompt("Once upon a time") };
    let outcome = collect(session.start(request).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&outcome.tokens).unwrap(), expected["greedy_ids"]);
    let full = expected["greedy_text"].as_str().unwrap();
    assert_eq!(format!("<s> Once upon a time{}", outcome.text), full);

    let score = model.score(&Request { top_logprobs: Some(5), ..Request::prompt("Once upon a time") }).unwrap();
    assert_eq!(serde_json::to_value(&score.tokens).unwrap(), expected["prompt_ids"]);
    let logprobs = expected["prompt_logprobs"].as_array().unwrap();
    for (ours, theirs) in score.logprobs[1..].iter().zip(logprobs) {
        assert!((f64::from(ours.unwrap()) - theirs.as_f64().unwrap()).abs() < 1e-3);
    }
    for ((id, logprob), theirs) in score.top[4].iter().zip(expected["next_top5"].as_array().unwrap()) {
        assert_eq!(u64::from(*id), theirs[0].as_u64().unwrap());
        assert!((f64::from(*logprob) - theirs[1].as_f64().unwrap()).abs() < 1e-3);
    }
}

#[test]
fn stories_on_the_cpu() {
    check_stories(Device::Cpu);
}

#[cfg(feature = "mlx")]
#[test]
fn stories_on_mlx() {
    check_stories(Device::MlxCpu);
}

/// A check that passes on a wrong model is none: each of these changes one number of the configuration.
#[test]
fn a_wrong_setting_is_seen() {
    let engine = engine(Device::Cpu);
    let case = support::case("llama");
    let reference = case.reference();
    for (key, value) in [("rms_norm_eps", 2e-2), ("rope_theta", 20_000.0)] {
        let folder = Fixture::case(&case).set(key, value).build();
        let exact = LoadOptions { precision: Precision::Exact, ..LoadOptions::default() };
        let model = load_with(&engine, folder.path(), exact).unwrap();
        let score = model.score(&Request::prompt_ids(tokens())).unwrap();
        let worst = score.logprobs[1..].iter().zip(&reference.next).map(|(a, b)| (a.unwrap() - b).abs());
        assert!(worst.fold(0.0, f32::max) > 2.0 * TOLERANCE, "{key} = {value} is not seen");
    }
}
