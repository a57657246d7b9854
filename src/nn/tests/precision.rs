//! What default precision and small caches cost on trained models: the distance of their distributions from the exact
//! ones.

use std::rc::Rc;

use super::{Decoder, decoder_of, run};
use crate::backend::cpu::{Cpu, Pool};
use crate::backend::{KvBits, Precision};
use crate::nn::Sequence;

/// The largest mean of the Kullback-Leibler divergences, and the largest growth of perplexity.
const LIMITS: (f64, f64) = (1e-3, 0.005);

/// The same with caches of 4 bits: for heads of 64, and for heads of 8, where few products even errors out.
const FOUR_BITS: (f64, f64) = (5e-3, 0.01);
const FOUR_BITS_OF_NARROW_HEADS: (f64, f64) = (0.5, 0.6);

fn load(source: &str, precision: Precision, kv: Option<KvBits>) -> Decoder<Cpu> {
    decoder_of(&Rc::new(Cpu::new(Pool::new(2).unwrap(), precision, kv).unwrap()), source)
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
fn check(source: &str, prompt: &[u32], len: usize, kv: Option<KvBits>, limits: (f64, f64)) {
    let (exact, default) = (load(source, Precision::Exact, None), load(source, Precision::Default, kv));
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
    println!("{source}, {kv:?}: mean divergence {divergence:.2e}, perplexity {:+.3} %", 100.0 * growth);
    assert!(divergence > 0.0, "{source}: default precision is exact");
    assert!(divergence <= limits.0, "{source}: {divergence}");
    assert!(growth <= limits.1, "{source}: {growth}");
}

#[test]
fn stories_in_default_precision() {
    stories(None, LIMITS);
}

#[test]
fn stories_with_four_bits() {
    stories(Some(KvBits::Four), FOUR_BITS_OF_NARROW_HEADS);
}

fn stories(kv: Option<KvBits>, limits: (f64, f64)) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/stories260k");
    if !folder.exists() {
        println!("skipped: there is no {}", folder.display());
        return;
    }
    check(&folder.display().to_string(), &[1, 403, 407, 261, 378], 400, kv, limits);
}

#[cfg(feature = "demo")]
#[test]
fn demo_in_default_precision() {
    check("demo", &[1], 600, None, LIMITS);
}

#[cfg(feature = "demo")]
#[test]
fn demo_with_four_bits() {
    check("demo", &[1], 600, Some(KvBits::Four), FOUR_BITS);
}

/// Norms give the blocks 16 bits of a residual stream of f32, and of the experts' logits nothing is rounded. mlx-lm's own
/// error, with its kernels in plain operations, is 3.4e-2 here.
#[cfg(feature = "mlx")]
#[test]
fn a_wide_stream_in_default_precision() {
    use super::changed_decoder;
    use crate::arch::spec::Spec;
    use crate::backend::mlx::{Mlx, MlxDevice, on_worker};
    use crate::support::known_models;

    on_worker(|| {
        let known = known_models().into_iter().find(|known| known.name == "muse_spark-sliding-mxfp4").unwrap();
        let folder = known.build();
        let files = crate::source::resolve(&folder.path().display().to_string()).unwrap();
        let exact = load(&folder.path().display().to_string(), Precision::Exact, None);
        assert!(exact.spec().wide_stream);
        let right = run(&exact, &mut exact.new_sequence(), &known.tokens, 64);
        let mlx = Rc::new(Mlx::new(MlxDevice::Cpu, Precision::Default, None, || {}).unwrap());
        let error = |change: fn(&mut Spec)| {
            let decoder = changed_decoder(&mlx, &files, change);
            let given = run(&decoder, &mut decoder.new_sequence(), &known.tokens, 64);
            let differences = right.iter().flatten().zip(given.iter().flatten()).map(|(a, b)| (a - b).abs());
            differences.sum::<f32>() / right.iter().flatten().count() as f32
        };
        let (wide, narrow) = (error(|_| {}), error(|spec| spec.wide_stream = false));
        println!("mean error {wide:.2e}, with a narrow stream {narrow:.2e}");
        assert!(wide > 0.0 && wide < 1.5 * 0.034, "{wide}");
        assert!(wide < narrow, "{wide}, but {narrow} with a narrow stream");
    });
}
