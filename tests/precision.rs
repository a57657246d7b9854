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
/// as one id, so nearly all of the probability has to be among them.
fn divergence(exact: &Score, other: &Score) -> f64 {
    let (mut total, mut left) = (0.0, 0.0);
    for (exact, other) in exact.top.iter().zip(&other.top) {
        let (mut rest_p, mut rest_q) = (1.0, 1.0);
        for (id, p) in exact {
            if let Some((_, q)) = other.iter().find(|(other, _)| other == id) {
                let (p, q) = (f64::from(*p), f64::from(*q));
                total += p.exp() * (p - q);
                (rest_p, rest_q) = (rest_p - p.exp(), rest_q - q.exp());
            }
        }
        if rest_p > 1e-9 && rest_q > 1e-9 {
            total += rest_p * (rest_p / rest_q).ln();
        }
        left += rest_p;
    }
    let count = exact.top.len() as f64;
    assert!(left / count < 0.05, "20 ids leave {} of the probability out", left / count);
    total / count
}

fn both(name: &str, models: &[Model; 2], request: &Request) -> [Score; 2] {
    let request = Request { top_logprobs: Some(20), ..request.clone() };
    let [exact, default] = [0, 1].map(|i| models[i].score(&request).unwrap());
    assert_eq!(exact.tokens, default.tokens);
    assert!(exact.tokens.len() >= 90, "{name}: {} tokens say little", exact.tokens.len());
    let growth = default.perplexity / exact.perplexity;
    println!("{name}: {} tokens, perplexity {:.4} grows by {growth:.5}", exact.tokens.len(), exact.perplexity);
    assert!(growth <= GROWTH, "{name}: perplexity grows from {} by {growth}", exact.perplexity);
    [exact, default]
}

#[cfg(feature = "demo")]
#[test]
fn the_demo_model_hardly_changes() {
    let models = [Precision::Exact, Precision::Default].map(|precision| load("demo", precision));
    // What it says itself.
    let session = models[0].session(SessionOptions::default()).unwrap();
    for text in ["Hi! My name is Lena.", "What is 17 plus 25?", "Tell me a short story about a boat.", "Who are you?"] {
        run(&session, Request { max_tokens: Some(200), ..Request::user(text) }).unwrap();
    }
    let chat = Request { messages: Some(session.history().to_vec()), ..Request::default() };
    let [exact, default] = both("chat", &models, &chat);
    let divergence = divergence(&exact, &default);
    println!("divergence {divergence:.2e}");
    // The weights are 4-bit codes: integer products are not the same.
    assert!(divergence > 0.0 && divergence <= DIVERGENCE, "divergence {divergence}");
    // Text that it knows nothing about: no 20 ids stand out there.
    let strange: String = include_str!("../assets/demo/README.md").chars().take(1500).collect();
    both("strange text", &models, &Request::prompt(strange));
}

#[test]
fn what_is_stored_in_f32_stays_exact() {
    let Some(folder) = shared("models/stories260k") else { return };
    let folder = folder.display().to_string();
    let models = [Precision::Exact, Precision::Default].map(|precision| load(&folder, precision));
    let expected = std::fs::read(format!("{folder}/expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
    let ids = ["prompt_ids", "greedy_ids"].into_iter().flat_map(|key| expected[key].as_array().unwrap());
    let ids: Vec<u32> = ids.map(|id| id.as_u64().unwrap() as u32).collect();
    let [exact, default] = both("stories260k", &models, &Request::prompt_ids(ids));
    assert_eq!(divergence(&exact, &default), 0.0);
}
