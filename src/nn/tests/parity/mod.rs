//! Random checkpoints of every family against mlx-lm, in all the ways that a prompt may be computed.
//!
//! `cargo xtask parity` writes the cases and runs [`bench`] over them; see `tests/parity/bench.py`.

mod mutations;

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::arch::{self, spec::Spec};
use crate::backend::cpu::{Cpu, Pool};
use crate::backend::{Backend, Ids, Precision, Rows};
use crate::error::Result;
use crate::nn::{Builder, Decoder, Sequence};
use crate::source;
use crate::weights::{self, Tensors};

/// What counts as equal: both sides compute in f32, in different orders.
const TOLERANCE: f32 = 1e-3;

/// A change of one setting must make at least this difference, else a check proves nothing.
const SEEN: f32 = 2.0 * TOLERANCE;

/// A case as `bench.py` writes it.
#[derive(Deserialize)]
struct Case {
    model_type: String,
    variant: String,
    format: String,
    tokens: Vec<u32>,
    #[serde(skip)]
    folder: PathBuf,
}

impl Case {
    fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join("case.json")).ok()?;
        let case: Self = serde_json::from_slice(&text).unwrap();
        Some(Self { folder: folder.into(), ..case })
    }

    /// Log-probabilities of every token after each position.
    fn expected(&self) -> Vec<Vec<f32>> {
        let bytes = fs::read(self.folder.join("expected.bin")).unwrap();
        let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        numbers.chunks_exact(numbers.len() / self.tokens.len()).map(<[f32]>::to_vec).collect()
    }
}

/// The model of a folder, with a spec of one's own.
struct Model<B: Backend> {
    backend: Rc<B>,
    tensors: Arc<Tensors>,
}

impl<B: Backend> Model<B> {
    fn decoder(&self, spec: &Arc<Spec>) -> Result<Decoder<B>> {
        let mut builder = Builder::new(Rc::clone(&self.backend), Arc::clone(spec), Arc::clone(&self.tensors));
        loop {
            if let Some(decoder) = builder.step()? {
                return Ok(decoder);
            }
        }
    }
}

/// Log-probabilities of each position of `ids`, appended to a sequence in slices.
pub(super) fn run<B: Backend>(
    decoder: &Decoder<B>,
    sequence: &mut Sequence<B>,
    ids: &[u32],
    slice: usize,
) -> Result<Vec<Vec<f32>>> {
    let mut all = Vec::new();
    for part in ids.chunks(slice) {
        let rows = Rows::new([(sequence.len(), part.len())]);
        let hidden = decoder.forward(decoder.embed(Ids::Host(part))?, &rows, &mut [sequence], &|| false)?;
        all.extend(logprobs(decoder, &hidden, part.len())?);
    }
    Ok(all)
}

fn logprobs<B: Backend>(decoder: &Decoder<B>, hidden: &B::Tensor, rows: usize) -> Result<Vec<Vec<f32>>> {
    let logits = decoder.logits(hidden, &(0..rows).collect::<Vec<_>>())?;
    let row = |row| {
        let mut out = Vec::new();
        decoder.backend.read_logits(&logits, row, &mut out)?;
        let highest = out.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = out.iter().map(|x| f64::from(x - highest).exp()).sum();
        out.iter_mut().for_each(|x| *x -= highest + sum.ln() as f32);
        Ok(out)
    };
    (0..rows).map(row).collect()
}

/// The largest difference; a number that is none counts as infinite.
pub(super) fn error(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> f32 {
    let pairs = ours.iter().flatten().zip(theirs.iter().flatten());
    let worst = pairs
        .map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() })
        .fold(0.0, |worst, d| if d <= worst { worst } else { d });
    if worst.is_nan() || ours.len() != theirs.len() { f32::INFINITY } else { worst }
}

/// All ways to compute a prompt, with the error of each.
fn ways<B: Backend>(decoder: &Decoder<B>, ids: &[u32], expected: &[Vec<f32>]) -> Result<Vec<(&'static str, f32)>> {
    let mut all = Vec::new();
    for (name, slice) in [("whole", ids.len()), ("slices of 7", 7), ("token by token", 1)] {
        all.push((name, error(&run(decoder, &mut decoder.new_sequence(), ids, slice)?, expected)));
    }

    // Three sequences at once, the prompt in one go and then a token each.
    let lengths = [ids.len() - 3, 17, 1];
    let mut sequences = lengths.map(|_| decoder.new_sequence());
    let mut worst = 0.0f32;
    for step in 0..4 {
        let parts = lengths.map(|len| if step == 0 { 0..len } else { len + step - 1..len + step });
        let rows = Rows::new(parts.iter().map(|part| (part.start, part.len())));
        let all_ids: Vec<u32> = parts.iter().flat_map(|part| &ids[part.clone()]).copied().collect();
        let mut borrowed: Vec<_> = sequences.iter_mut().collect();
        let embedded = decoder.embed(Ids::Host(&all_ids))?;
        let hidden = decoder.forward(embedded, &rows, &mut borrowed, &|| false)?;
        let theirs: Vec<_> = parts.iter().flat_map(|part| &expected[part.clone()]).cloned().collect();
        worst = worst.max(error(&logprobs(decoder, &hidden, rows.len())?, &theirs));
    }
    all.push(("three at once", worst));

    // A fork goes another way, then both are cut back and go on. Where a state can't be cut back far, it is cut less.
    let mut sequence = decoder.new_sequence();
    run(decoder, &mut sequence, &ids[..25], 25)?;
    let mut fork = sequence.fork();
    run(decoder, &mut fork, &ids[..6], 6)?;
    let mut worst = 0.0f32;
    for sequence in [&mut fork, &mut sequence] {
        let reachable = [11, 20, 24, 25].into_iter().find(|&len| sequence.can_truncate(len));
        let Some(len) = reachable else { continue };
        sequence.truncate(len);
        worst = worst.max(error(&run(decoder, sequence, &ids[len..], 9)?, &expected[len..]));
    }
    all.push(("after rewind", worst));
    Ok(all)
}

/// One case on one backend, as JSON.
fn check<B: Backend>(backend: &Rc<B>, case: &Case, device: &str) -> Value {
    let mut report = Map::new();
    for (key, value) in [("model_type", &case.model_type), ("variant", &case.variant), ("format", &case.format)] {
        report.insert(key.into(), value.as_str().into());
    }
    report.insert("device".into(), device.into());
    match compare(backend, case) {
        Ok((worst, ways, unseen)) => {
            report.insert("error".into(), json!(worst));
            report.insert("ways".into(), json!(ways));
            report.insert("unseen".into(), json!(unseen));
            report.insert("passed".into(), (worst <= TOLERANCE && unseen.is_empty()).into());
        }
        Err(error) => {
            report.insert("failure".into(), error.to_string().into());
            report.insert("passed".into(), false.into());
        }
    }
    report.into()
}

type Comparison = (f32, Vec<(&'static str, f32)>, Vec<String>);

fn compare<B: Backend>(backend: &Rc<B>, case: &Case) -> Result<Comparison> {
    let files = source::resolve(&case.folder.display().to_string())?;
    let spec = Arc::new(arch::spec(&files)?);
    let tensors = Arc::new(Tensors::open(&files)?);
    weights::check_names(&spec, &tensors)?;
    let model = Model { backend: Rc::clone(backend), tensors };
    let expected = case.expected();
    let ways = ways(&model.decoder(&spec)?, &case.tokens, &expected)?;
    let worst = ways.iter().map(|(_, error)| *error).fold(0.0, f32::max);
    let mut unseen = Vec::new();
    if case.format == "f32" && B::BATCH_INVARIANT {
        for (what, changed) in mutations::of(&spec) {
            let decoder = model.decoder(&Arc::new(changed))?;
            let ours = run(&decoder, &mut decoder.new_sequence(), &case.tokens, case.tokens.len())?;
            if error(&ours, &expected) < SEEN {
                unseen.push(what);
            }
        }
    }
    Ok((worst, ways, unseen))
}

/// Every case of the folder that `POCKETMLX_PARITY` names, on the device of `POCKETMLX_PARITY_DEVICE`; a line of JSON
/// each goes to `results-DEVICE.jsonl` there.
#[test]
#[ignore = "cargo xtask parity runs it"]
fn bench() {
    match device().as_str() {
        "cpu" => all(&Rc::new(Cpu::new(Pool::new(2).unwrap(), Precision::Exact, None).unwrap())),
        #[cfg(feature = "mlx")]
        "mlx-cpu" => on_mlx(crate::backend::mlx::MlxDevice::Cpu),
        #[cfg(feature = "mlx")]
        "mlx-gpu" => on_mlx(crate::backend::mlx::MlxDevice::Gpu),
        other => panic!("no device {other:?} in this build"),
    }
}

#[cfg(feature = "mlx")]
fn on_mlx(device: crate::backend::mlx::MlxDevice) {
    use crate::backend::mlx::{Mlx, on_worker};
    on_worker(move || all(&Rc::new(Mlx::new(device, Precision::Exact, None, || {}).unwrap())));
}

fn device() -> String {
    std::env::var("POCKETMLX_PARITY_DEVICE").unwrap_or_else(|_| "cpu".into())
}

fn all<B: Backend>(backend: &Rc<B>) {
    let folder = PathBuf::from(std::env::var_os("POCKETMLX_PARITY").expect("run by `cargo xtask parity`"));
    let mut folders: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let device = device();
    let cases = folders.iter().filter_map(|folder| Case::read(folder));
    let lines: Vec<String> = cases.map(|case| check(backend, &case, &device).to_string()).collect();
    assert!(!lines.is_empty(), "no cases in {}", folder.display());
    fs::write(folder.join(format!("results-{device}.jsonl")), lines.join("\n") + "\n").unwrap();
}
