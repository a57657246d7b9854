//! What integer products cost in quality: trained models, each with default and with exact precision.

#[path = "support/run.rs"]
mod run;
mod support;

use std::ops::ControlFlow;

use pocketmlx::{LoadOptions, Model, Precision, Request, Score, SessionOptions};
use run::{engine, run, shared};

/// The most that the mean divergence may be, in nats.
const DIVERGENCE: f64 = 1e-3;
/// The most that perplexity may grow.
const GROWTH: f64 = 1.005;

fn load(source: &str, precision: Precision) -> Model {
    let options = LoadOptions { precision, ..LoadOptions::default() };
    engine().load(source, options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The mean Kullback-Leibler divergence of `other` from `exact`. What is not among the 20 most likely ids of both counts
/// as one id; there is hardly anything left in it.
fn divergence(exact: &Score, other: &Score) -> f64 {
    let positions = exact.top.iter().zip(&other.top).map(|(exact, other)| {
        let (mut sum, mut rest_p, mut rest_q) = (0.0, 1.0, 1.0);
        for (id, p) in exact {
            if let Some((_, q)) = other.iter().find(|(other, _)| other == id) {
                let (p, q) = (f64::from(*p), f64::from(*q));
                sum += p.exp() * (p - q);
                (rest_p, rest_q) = (rest_p - p.exp(), rest_q - q.exp());
            }
        }
        let rest = if rest_p > 1e-9 && rest_q > 1e-9 { rest_p * (rest_p / rest_q).ln() } else { 0.0 };
        assert!(rest_p < 0.5, "20 ids have {} of the probability only", 1.0 - rest_p);
        sum + rest
    });
    positions.sum::<f64>() / exact.top.len() as f64
}

/// Compares both precisions on a text; gives the divergence.
fn compare(name: &str, exact: &Model, default: &Model, request: &Request) -> f64 {
    let request = Request { top_logprobs: Some(20), ..request.clone() };
    let (exact, default) = (exact.score(&request).unwrap(), default.score(&request).unwrap());
    assert_eq!(exact.tokens, default.tokens);
    assert!(exact.tokens.len() >= 90, "{name}: {} tokens say little", exact.tokens.len());
    let (divergence, growth) = (divergence(&exact, &default), default.perplexity / exact.perplexity);
    println!(
        "{name}: {} tokens, divergence {divergence:.2e}, perplexity {:.4} * {growth:.5}",
        exact.tokens.len(),
        exact.perplexity
    );
    assert!(divergence <= DIVERGENCE, "{name}: divergence {divergence}");
    assert!(growth <= GROWTH, "{name}: perplexity grows from {} by {growth}", exact.perplexity);
    divergence
}

#[cfg(feature = "demo")]
#[test]
fn the_demo_model_hardly_changes() {
    let (exact, default) = (load("demo", Precision::Exact), load("demo", Precision::Default));
    // What it says itself, and text that it knows nothing about.
    let session = exact.session(SessionOptions::default()).unwrap();
    for text in ["Hi! My name is Lena.", "What is 17 plus 25?", "Tell me a short story about a boat.", "Who are you?"] {
        run(&session, Request { max_tokens: Some(200), ..Request::user(text) }).unwrap();
    }
    let chat = Request { messages: Some(session.history().to_vec()), ..Request::default() };
    let divergence = compare("demo, chat", &exact, &default, &chat);
    // The weights are 4-bit codes: integer products are not the same.
    assert!(divergence > 0.0);
    let readme = include_str!("../assets/demo/README.md");
    let strange: String = readme.chars().take(1500).collect();
    compare("demo, strange text", &exact, &default, &Request::prompt(strange));
}

#[test]
fn plain_weights_stay_exact() {
    let Some(folder) = shared("models/stories260k") else { return };
    let folder = folder.display().to_string();
    let (exact, default) = (load(&folder, Precision::Exact), load(&folder, Precision::Default));
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(format!("{folder}/expected.json")).unwrap()).unwrap();
    let ids = expected["prompt_ids"].as_array().unwrap().iter().chain(expected["greedy_ids"].as_array().unwrap());
    let ids: Vec<u32> = ids.map(|id| id.as_u64().unwrap() as u32).collect();
    assert_eq!(compare("stories260k", &exact, &default, &Request::prompt_ids(ids)), 0.0);
}
