//! One prompt computed in different ways gives the same log-probabilities.

mod chosen;
mod gguf;
mod parity;
mod precision;
mod recurrent;

use std::rc::Rc;
use std::sync::Arc;

use super::{Builder, Decoder, Sequence};
use crate::arch::{self, spec::Spec};
use crate::backend::cpu::{Cpu, Pool};
use crate::backend::{Backend, Ids, KvBits, Precision, Rows};
use crate::error::Code;
use crate::source;
use crate::support::{Fixture, case, tokens};
use crate::weights::{ModelFiles, Tensors, check_names};

/// A backend of each precision, and one with caches of 4 bits.
fn cpus() -> [Rc<Cpu>; 3] {
    let kinds = [(Precision::Exact, None), (Precision::Default, None), (Precision::Default, Some(KvBits::Four))];
    kinds.map(|(precision, kv)| Rc::new(Cpu::new(Pool::new(2).unwrap(), precision, kv).unwrap()))
}

fn decoder<B: Backend>(backend: &Rc<B>, fixture: &Fixture) -> Decoder<B> {
    let folder = fixture.build();
    decoder_of(backend, &folder.path().display().to_string())
}

fn decoder_of<B: Backend>(backend: &Rc<B>, source: &str) -> Decoder<B> {
    decoder_of_files(backend, &source::resolve(source).unwrap())
}

fn decoder_of_files<B: Backend>(backend: &Rc<B>, files: &ModelFiles) -> Decoder<B> {
    changed_decoder(backend, files, |_| ())
}

fn changed_decoder<B: Backend>(backend: &Rc<B>, files: &ModelFiles, change: fn(&mut Spec)) -> Decoder<B> {
    let mut spec = arch::spec(files).unwrap();
    change(&mut spec);
    let spec = Arc::new(spec);
    let tensors = Arc::new(Tensors::open(files).unwrap());
    check_names(&spec, &tensors).unwrap();
    let mut builder = Builder::new(Rc::clone(backend), spec, tensors);
    for _ in 1..builder.steps() {
        assert!(builder.step().unwrap().is_none());
    }
    builder.step().unwrap().unwrap()
}

/// Logits of each position of `ids`, appended to a sequence in slices of `slice`.
fn run<B: Backend>(decoder: &Decoder<B>, sequence: &mut Sequence<B>, ids: &[u32], slice: usize) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    for part in ids.chunks(slice) {
        let rows = Rows::new([(sequence.len(), part.len())]);
        let embedded = decoder.embed(Ids::Host(part)).unwrap();
        let hidden = decoder.forward(embedded, &rows, &mut [sequence], &|| false).unwrap();
        all.extend(logits(decoder, &hidden, part.len()));
    }
    all
}

fn logits<B: Backend>(decoder: &Decoder<B>, hidden: &B::Tensor, rows: usize) -> Vec<Vec<f32>> {
    let logits = decoder.logits(hidden, &(0..rows).collect::<Vec<_>>()).unwrap();
    let row = |row| {
        let mut out = Vec::new();
        decoder.backend.read_logits(&logits, row, &mut out).unwrap();
        out
    };
    (0..rows).map(row).collect()
}

fn assert_close(a: &[Vec<f32>], b: &[Vec<f32>], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (position, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a.len(), b.len());
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance, "{what}: position {position} differs by {worst}");
    }
}

/// Sequences of these lengths, computed at once, give what each gave in `whole`, bit for bit.
fn assert_batch_agrees<B: Backend, const N: usize>(
    decoder: &Decoder<B>,
    ids: &[u32],
    lengths: [usize; N],
    whole: &[Vec<f32>],
    what: &str,
) {
    let mut sequences = lengths.map(|_| decoder.new_sequence());
    let mut borrowed: Vec<_> = sequences.iter_mut().collect();
    let rows = Rows::new(lengths.map(|length| (0, length)));
    let all: Vec<u32> = lengths.iter().flat_map(|&length| &ids[..length]).copied().collect();
    let embedded = decoder.embed(Ids::Host(&all)).unwrap();
    let hidden = decoder.forward(embedded, &rows, &mut borrowed, &|| false).unwrap();
    let expected: Vec<_> = lengths.iter().flat_map(|&length| &whole[..length]).cloned().collect();
    assert_close(&logits(decoder, &hidden, rows.len()), &expected, 0.0, what);
}

/// Cases that between them have full and windowed layers, quantized and dense weights, fused and split projections.
fn fixtures() -> Vec<(&'static str, Fixture)> {
    ["llama", "llama-4bit-g64", "llama-sliding", "qwen3", "phi3-longrope"]
        .map(|name| (name, Fixture::case(&case(name))))
        .into()
}

fn slices_agree<B: Backend>(backend: &Rc<B>, tolerance: f32) {
    for (name, fixture) in fixtures() {
        let decoder = decoder(backend, &fixture);
        let ids: Vec<u32> = tokens().into_iter().cycle().take(150).collect();
        let whole = run(&decoder, &mut decoder.new_sequence(), &ids, ids.len());
        for slice in [7, 64, 1] {
            let sliced = run(&decoder, &mut decoder.new_sequence(), &ids, slice);
            assert_close(&whole, &sliced, tolerance, &format!("{name} in slices of {slice}"));
        }
    }
}

fn batches_agree<B: Backend>(backend: &Rc<B>, tolerance: f32) {
    for (name, fixture) in fixtures() {
        let decoder = decoder(backend, &fixture);
        let ids = tokens();
        let prompts = [&ids[..5], &ids[3..20], &ids[7..8]];
        let alone: Vec<_> =
            prompts.iter().map(|prompt| run(&decoder, &mut decoder.new_sequence(), prompt, 64)).collect();
        let mut sequences = prompts.map(|_| decoder.new_sequence());
        let mut borrowed: Vec<_> = sequences.iter_mut().collect();
        let rows = Rows::new(prompts.iter().map(|prompt| (0, prompt.len())));
        let embedded = decoder.embed(Ids::Host(&prompts.concat())).unwrap();
        let hidden = decoder.forward(embedded, &rows, &mut borrowed, &|| false).unwrap();
        assert_close(&logits(&decoder, &hidden, rows.len()), &alone.concat(), tolerance, name);
    }
}

fn forks_and_rewinds_agree<B: Backend>(backend: &Rc<B>, tolerance: f32) {
    for (name, fixture) in fixtures() {
        let decoder = decoder(backend, &fixture);
        let ids: Vec<u32> = tokens().into_iter().cycle().take(90).collect();
        let mut sequence = decoder.new_sequence();
        let whole = run(&decoder, &mut sequence, &ids, 64);
        // A fork that goes another way leaves the first one alone.
        let mut fork = sequence.fork();
        run(&decoder, &mut fork, &ids[..20], 64);
        assert_eq!((sequence.len(), fork.len()), (90, 110));
        assert!(fork.can_truncate(90));
        fork.truncate(90);
        let on = run(&decoder, &mut sequence, &ids[..9], 4);
        assert_close(&on, &run(&decoder, &mut fork, &ids[..9], 9), tolerance, name);
        if sequence.can_truncate(30) {
            sequence.truncate(30);
            let again = run(&decoder, &mut sequence, &ids[30..], 64);
            assert_close(&again, &whole[30..], tolerance, name);
        } else {
            assert_eq!(name, "llama-sliding", "only a window loses what a rewind needs");
        }
    }
}

fn interruptions_change_nothing<B: Backend>(backend: &Rc<B>, tolerance: f32) {
    let decoder = decoder(backend, &Fixture::case(&case("llama-sliding")));
    let ids = tokens();
    let mut sequence = decoder.new_sequence();
    run(&decoder, &mut sequence, &ids, 64);
    let mut other = sequence.fork();
    for layer in 0..2 {
        let asked = std::cell::Cell::new(0);
        let interrupted = || asked.replace(asked.get() + 1) == layer;
        let rows = Rows::new([(sequence.len(), 4)]);
        let embedded = decoder.embed(Ids::Host(&ids[..4])).unwrap();
        let stopped = decoder.forward(embedded, &rows, &mut [&mut sequence], &interrupted);
        assert_eq!(stopped.err().unwrap().code(), Code::Cancelled);
        assert_eq!(sequence.len(), ids.len());
    }
    let on = run(&decoder, &mut sequence, &ids[..6], 6);
    assert_close(&on, &run(&decoder, &mut other, &ids[..6], 6), tolerance, "after interruptions");
}

#[test]
fn slices_agree_on_the_cpu() {
    cpus().iter().for_each(|cpu| slices_agree(cpu, 0.0));
}

#[test]
fn batches_agree_on_the_cpu() {
    cpus().iter().for_each(|cpu| batches_agree(cpu, 0.0));
}

#[test]
fn forks_and_rewinds_agree_on_the_cpu() {
    cpus().iter().for_each(|cpu| forks_and_rewinds_agree(cpu, 0.0));
}

#[test]
fn interruptions_change_nothing_on_the_cpu() {
    cpus().iter().for_each(|cpu| interruptions_change_nothing(cpu, 0.0));
}

#[cfg(feature = "mlx")]
mod mlx {
    use super::*;
    use crate::backend::mlx::{Mlx, MlxDevice, on_worker};

    /// Kernels depend on the number of rows.
    const TOLERANCE: f32 = 1e-3;

    fn mlx() -> Rc<Mlx> {
        Rc::new(Mlx::new(MlxDevice::Cpu, Precision::Exact, None, || {}).unwrap())
    }

    #[test]
    fn slices_agree_on_mlx() {
        on_worker(|| slices_agree(&mlx(), TOLERANCE));
    }

    #[test]
    fn batches_agree_on_mlx() {
        on_worker(|| batches_agree(&mlx(), TOLERANCE));
    }

    #[test]
    fn forks_and_rewinds_agree_on_mlx() {
        on_worker(|| forks_and_rewinds_agree(&mlx(), TOLERANCE));
    }

    #[test]
    fn interruptions_change_nothing_on_mlx() {
        on_worker(|| interruptions_change_nothing(&mlx(), TOLERANCE));
    }
}
