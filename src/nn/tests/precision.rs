//! What default precision costs on trained models: the distance of its distributions from the exact ones.

use std::rc::Rc;

use super::{Decoder, decoder_of, run};
use crate::backend::Precision;
use crate::backend::cpu::{Cpu, Pool};
use crate::nn::Sequence;

/// The largest mean of the Kullback-Leibler divergences.
const DIVERGENCE: f64 = 1e-3;

/// The largest growth of perplexity.
const GROWTH: f64 = 0.005;

fn load(source: &str, precision: Precision) -> Decoder<Cpu> {
    decoder_of(&Rc::new(Cpu::new(Pool::new(2).unwrap(), precision).unwrap()), source)
}

fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().fold(f64::NEG_INFINITY, |max, x| max.max(f64::from(*x)));
    let sum: f64 = logits.iter().map(|x| (f64::from(*x) - max).exp()).sum();
    logits.iter().map(|x| f64::from(*x) - max - sum.ln()).collect()
}

/// A text that the model itself makes up after `prompt`, drawn with numbers made from `seed`.
fn sampled(decoder: &Decoder<Cpu>, prompt: &[u32], len: usize, mut seed: u64) -> Vec<u32> {
    let mut sequence: Sequence<Cpu> = decoder.new_sequence();
    let mut ids = prompt.to_vec();
    let mut last = run(decoder, &mut sequence, prompt, 64).pop().unwrap();
    while ids.len() < len {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut left = (seed >> 11) as f64 / (1u64 << 53) as f64;
        let probabilities = log_probabilities(&last);
        let drawn = probabilities.iter().position(|p| {
            left -= p.exp();
            left < 0.0
        });
        ids.push(drawn.unwrap_or(0) as u32);
        last = run(decoder, &mut sequence, &ids[ids.len() - 1..], 1).pop().unwrap();
    }
    ids
}

/// Mean divergence and growth of perplexity over texts of `len` tokens.
fn check(source: &str, prompt: &[u32], len: usize) {
    let (exact, default) = (load(source, Precision::Exact), load(source, Precision::Default));
    let (mut divergence, mut difference, mut count) = (0.0, 0.0, 0.0);
    for seed in 1..=6 {
        let ids = sampled(&exact, prompt, len, seed);
        let of = |decoder: &Decoder<Cpu>| run(decoder, &mut decoder.new_sequence(), &ids, 64);
        for (position, (exact, default)) in of(&exact).iter().zip(of(&default)).enumerate() {
            let (p, q) = (log_probabilities(exact), log_probabilities(&default));
            divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            if let Some(next) = ids.get(position + 1) {
                difference += p[*next as usize] - q[*next as usize];
            }
            count += 1.0;
        }
    }
    let (divergence, growth) = (divergence / count, (difference / count).exp() - 1.0);
    println!("{source}: mean divergence {divergence:.2e}, perplexity {:+.3} %", 100.0 * growth);
    assert!(divergence > 0.0, "{source}: default precision is exact");
    assert!(divergence <= DIVERGENCE, "{source}: {divergence}");
    assert!(growth <= GROWTH, "{source}: {growth}");
}

#[test]
fn stories_in_default_precision() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/stories260k");
    if !folder.exists() {
        println!("skipped: there is no {}", folder.display());
        return;
    }
    check(&folder.display().to_string(), &[1, 403, 407, 261, 378], 400);
}

#[cfg(feature = "demo")]
#[test]
fn demo_in_default_precision() {
    check("demo", &[1], 600);
}
