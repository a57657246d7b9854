//! Operations around entries, streams and rounding: both backends give the same.

use super::support::{Random, backend, on_worker};
use crate::arch::spec::{Activation, Candidates, EntryIndexer, HyperMixing, NormKind};
use crate::backend::cpu::{Cpu, Pool};
use crate::backend::{
    AttentionExtras, AttentionParams, Backend, CacheLayout, EntryChoice, EntryInput, Far, Ids, Precision, Rows,
};
use crate::weights::{LinearData, NormData};

fn tensor<B: Backend<Operands = B>>(backend: &B, width: usize, numbers: Vec<f32>) -> B::Tensor {
    let rows = numbers.len() / width;
    let table = LinearData::of_numbers("test", rows, width, numbers.into_iter(), None);
    let ids: Vec<u32> = (0..rows as u32).collect();
    backend.embed(&backend.load_linear(&[table]).unwrap(), Ids::Host(&ids)).unwrap()
}

fn values<B: Backend<Operands = B>>(backend: &B, x: &B::Tensor, rows: usize) -> Vec<f32> {
    let mut out = Vec::new();
    backend.queue(None, Some(x), std::iter::empty()).unwrap();
    (0..rows).for_each(|row| backend.read_logits(x, row, &mut out).unwrap());
    out
}

fn assert_same(what: &str, tolerance: f32, of: [Vec<f32>; 2]) {
    let [ours, theirs] = of;
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (at, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}: {a} and {b} at {at}");
    }
}

fn cpu() -> Cpu {
    Cpu::new(Pool::new(2).unwrap(), Precision::Exact, None).unwrap()
}

#[test]
fn both_backends_round_to_the_same_numbers() {
    fn rounded<B: Backend<Operands = B>>(backend: &B, activation: Activation) -> Vec<f32> {
        let mut random = Random::new(1);
        // From large to tiny, with zeros.
        let scale = |i: usize| if i.is_multiple_of(97) { 0.0 } else { 10f32.powi(4 - (i / 32 % 14) as i32) };
        let numbers = (0..40 * 64).map(|i| random.float() * scale(i)).collect();
        values(backend, &backend.activate(&tensor(backend, 64, numbers), activation).unwrap(), 40)
    }
    on_worker(|| {
        let roundings = [
            Activation::Float8 { group: 32 },
            Activation::Float4 { group: 32, fine: false },
            Activation::Float4 { group: 16, fine: true },
        ];
        for activation in roundings {
            let both = [rounded(&cpu(), activation), rounded(&backend(Precision::Exact), activation)];
            assert!(both[0].iter().any(|x| *x != 0.0));
            assert_same(&format!("{activation:?}"), 0.0, both);
        }
    });
}

#[test]
fn both_backends_mix_streams_alike() {
    fn mixtures<B: Backend<Operands = B>>(backend: &B, mixing: HyperMixing) -> Vec<f32> {
        let mut random = Random::new(2);
        let (rows, width) = (5, 16);
        let streams: Vec<_> =
            (0..mixing.streams).map(|_| tensor(backend, width, random.floats(rows * width))).collect();
        let all = mixing.streams * width;
        let (kind, size) = (NormKind::Rms, all);
        let norm = NormData {
            kind,
            weights: Vec::new(),
            times: None,
            bias: None,
            input: None,
            size,
            heads: 1,
            epsilon: 1e-6,
            offset: 0.0,
            factor: 1.0,
            narrow: false,
        };
        let (inputs, base) = (mixing.inputs(), random.floats(mixing.inputs()));
        let mixture = LinearData::of_numbers("test", inputs, all, random.floats(inputs * all).into_iter(), Some(base));
        let (norm, mixture) = (backend.load_norm(&norm).unwrap(), backend.load_linear(&[mixture]).unwrap());
        let found = values(backend, &backend.hyper_mixtures(&streams, &norm, &mixture, mixing).unwrap(), rows);
        assert_eq!(found.len(), rows * mixing.outputs());
        found
    }
    on_worker(|| {
        for (streams, iterations) in [(4, 20), (3, 1), (1, 2)] {
            let mixing = HyperMixing { streams, iterations, epsilon: 1e-3 };
            let found = mixtures(&cpu(), mixing);
            if iterations == 20 {
                // What each stream takes of the others adds up to 1, and so does what each gives.
                for row in found.chunks(mixing.outputs()) {
                    for stream in 0..streams {
                        let factors = &row[streams + stream * (streams + 1)..][..streams];
                        assert!((factors.iter().sum::<f32>() - 1.0).abs() < 0.01, "{factors:?}");
                    }
                }
            }
            assert_same(&format!("{mixing:?}"), 2e-6, [found, mixtures(&backend(Precision::Exact), mixing)]);
        }
    });
}

const RATIO: usize = 2;
const WIDTH: usize = 32;

/// Two sequences in several steps: entries, choices from all and from candidates, attention to a window and to them.
fn attended<B: Backend<Operands = B>>(backend: &B) -> Vec<f32> {
    let mut random = Random::new(3);
    let layout = |window, index| CacheLayout { kv_heads: 1, head_dim: WIDTH, window, index };
    let caches = |layout| -> Vec<B::Cache> { (0..2).map(|_| backend.new_cache(layout)).collect() };
    let (mut own, mut entries, mut keys) =
        (caches(layout(Some(3), false)), caches(layout(None, false)), caches(layout(None, true)));
    let mut states = vec![B::State::default(), B::State::default()];
    let sinks = backend.load_vector(vec![0.3, -0.2]).unwrap();
    let indexer = |candidates| EntryIndexer {
        heads: 4,
        head_dim: WIDTH,
        rounding: None,
        keys: None,
        keys_of: 0,
        ratio: RATIO,
        count: 3,
        candidates,
    };
    let mut found = Vec::new();
    for lengths in [[(0, 23), (0, 1)], [(23, 1), (1, 1)], [(24, 4), (2, 19)], [(28, 1), (21, 1)]] {
        let rows = Rows::new(lengths);
        let count = rows.len();
        let mut numbers = |width: usize| tensor(backend, width, random.floats(count * width));
        let (input, qkv) = (numbers(2 * WIDTH), numbers(4 * WIDTH));
        let (queries, weights) = (numbers(4 * WIDTH), numbers(4));
        if let Some(pooled) = backend.pool(&input, RATIO, &rows, &mut states).unwrap() {
            let made = lengths.map(|(position, len)| (position / RATIO, (position + len) / RATIO - position / RATIO));
            let made_rows = Rows::new(made.into_iter().filter(|(_, count)| *count > 0));
            found.extend(values(backend, &pooled, made_rows.len()));
            for caches in [&mut entries, &mut keys] {
                let caches = caches.iter_mut().zip(made).filter(|(_, (_, count))| *count > 0).map(|(cache, _)| cache);
                backend.keep(&pooled, &made_rows, &mut caches.collect::<Vec<_>>()).unwrap();
            }
        }
        let (keys, far): (Vec<_>, Vec<_>) = (keys.iter().collect(), entries.iter().collect());
        let input = EntryInput { queries: &queries, weights: &weights, among: None };
        let leaves = indexer(Candidates::Leaves { size: 2, count: 2 });
        let first = backend.choose_entries(input, &leaves, &rows, &keys).unwrap();
        let input = EntryInput { among: first.candidates.as_ref(), ..input };
        let second = backend.choose_entries(input, &indexer(Candidates::Of(0)), &rows, &keys).unwrap();
        let chosen = [first, second].map(|EntryChoice { chosen, .. }| chosen);
        for chosen in &chosen {
            let mut own: Vec<B::Cache> = own.iter().map(crate::backend::Cache::fork).collect();
            found.extend(attention(backend, &qkv, &rows, &mut own, Far { caches: &far, chosen }, &sinks));
        }
        attention(backend, &qkv, &rows, &mut own, Far { caches: &far, chosen: &chosen[0] }, &sinks);
    }
    found
}

fn attention<B: Backend<Operands = B>>(
    backend: &B,
    qkv: &B::Tensor,
    rows: &Rows,
    caches: &mut [B::Cache],
    far: Far<'_, B>,
    sinks: &B::Vector,
) -> Vec<f32> {
    let params = AttentionParams {
        heads: 2,
        kv_heads: 1,
        head_dim: WIDTH,
        scale: 0.4,
        query_norm: None,
        key_norm: None,
        rope: None,
        window: Some(3),
        extras: AttentionExtras { sinks: Some(sinks), far: Some(far), ..AttentionExtras::default() },
    };
    let mut caches: Vec<_> = caches.iter_mut().collect();
    let attended = backend.attention(qkv, &params, rows, &mut caches).unwrap();
    values(backend, &attended, rows.len())
}

#[test]
fn both_backends_make_choose_and_read_the_same_entries() {
    on_worker(|| assert_same("entries", 1e-5, [attended(&cpu()), attended(&backend(Precision::Exact))]));
}
