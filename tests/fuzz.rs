//! Mutated GGUF and safetensors files: whatever they hold, opening them ends with a report or a typed error.
//!
//! Deterministic: an input is a function of its number, which the failure names. `POCKETMLX_FUZZ` says how many of each
//! format there are; `cargo xtask fuzz` asks for many. `fuzz/` has the same for cargo-fuzz, which is led by coverage.

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use pocketmlx::{Code, ProbeOptions, probe};
use serde_json::json;
use support::gguf::{Q4_0, Q8_0, Writer, converted};
use support::{Fixture, known_models};

/// Inputs of each format where nothing else is asked for.
const FEW: u64 = 1_000;
/// No input may take longer, with wide margins for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Numbers that lengths, counts and offsets should not be believed with.
const NUMBERS: [u64; 12] =
    [0, 1, 31, 255, 1 << 16, (1 << 31) - 1, 1 << 31, u32::MAX as u64, 1 << 61, 1 << 62, 1 << 63, u64::MAX];

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) as usize) % bound.max(1)
    }

    /// A position, most often near the beginning, where headers are.
    fn position(&mut self, length: usize) -> usize {
        let bound = if self.below(10) < 8 { length.min(4096) } else { length };
        self.below(bound)
    }
}

/// One to eight changes of a file that is as it should be.
fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + random.below(8) {
        if bytes.is_empty() {
            break;
        }
        let at = random.position(bytes.len());
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'9'][random.below(8)],
            2 => bytes[at] = random.next() as u8,
            // A length, a count, an offset or a dimension.
            3 | 4 => {
                let width = [4, 8][random.below(2)].min(bytes.len() - at);
                let number = NUMBERS[random.below(NUMBERS.len())].wrapping_add(random.below(3) as u64).to_le_bytes();
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            5 => bytes.truncate(at),
            6 => {
                let length = random.below(64).min(bytes.len() - at);
                bytes.drain(at..at + length);
            }
            7 => {
                let length = random.below(64).min(bytes.len() - at);
                let copy = bytes[at..at + length].to_vec();
                let to = random.position(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let from = random.position(other.len());
                let length = random.below(256).min(other.len() - from).min(bytes.len() - at);
                bytes[at..at + length].copy_from_slice(&other[from..from + length]);
            }
        }
    }
    bytes
}

/// What became of the inputs.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    accepted: u64,
    refused: u64,
    slowest: Duration,
}

/// Opens one input; a panic or an error that blames this library fails the test.
fn open(source: &str, what: &str, outcome: &mut Outcome) {
    let began = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| probe(source, &ProbeOptions::default())));
    outcome.slowest = outcome.slowest.max(began.elapsed());
    match result {
        Ok(Ok(_)) => outcome.accepted += 1,
        Ok(Err(error)) => {
            assert_ne!(error.code(), Code::Internal, "{what}: {error}");
            assert!(!error.message().is_empty(), "{what}");
            outcome.refused += 1;
        }
        Err(_) => panic!("{what} made it panic"),
    }
}

/// Opens mutations of `seeds`, each written to `file` in a folder that `prepare` has made ready.
fn fuzz(format: &str, file: &str, seeds: &[(Vec<u8>, PathBuf)], source: impl Fn(&Path) -> PathBuf + Sync) {
    let count = std::env::var("POCKETMLX_FUZZ").map_or(FEW, |count| count.parse().unwrap());
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let run = |first: u64| {
        let mut outcome = Outcome::default();
        let folder = tempfile::tempdir().unwrap();
        for number in (first..count).step_by(threads as usize) {
            let (seed, beside) = &seeds[number as usize % seeds.len()];
            let other = &seeds[(number / 7) as usize % seeds.len()].0;
            let mut random = Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
            for _ in 0..4 {
                random.next();
            }
            if beside.is_dir() {
                fs::copy(beside.join("config.json"), folder.path().join("config.json")).unwrap();
            }
            let path = folder.path().join(file);
            fs::write(&path, mutated(seed, other, &mut random)).unwrap();
            open(&source(&path).display().to_string(), &format!("{format} input {number}"), &mut outcome);
        }
        outcome
    };
    let all = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || run(first))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).fold(Outcome::default(), |all, part| Outcome {
            accepted: all.accepted + part.accepted,
            refused: all.refused + part.refused,
            slowest: all.slowest.max(part.slowest),
        })
    });
    println!("{format}: {count} inputs, {} opened, {} refused, slowest {:?}", all.accepted, all.refused, all.slowest);
    assert_eq!(all.accepted + all.refused, count);
    // Else nothing but the first bytes is tried.
    assert!(all.accepted > count / 1000 && all.refused > count / 4, "{format}: {all:?}");
    assert!(all.slowest < PATIENCE, "{format}: {all:?}");
}

fn tiny(model_type: &str) -> Fixture {
    let sizes = [("hidden_size", 32), ("intermediate_size", 32), ("num_hidden_layers", 1), ("vocab_size", 32)];
    let heads = [("num_attention_heads", 2), ("num_key_value_heads", 1), ("head_dim", 16)];
    sizes.into_iter().chain(heads).fold(Fixture::new(model_type), |fixture, (key, size)| fixture.set(key, size))
}

/// The same with a vocabulary, and with half of the matrices in blocks.
fn with_more(mut writer: Writer) -> Vec<u8> {
    let texts: Vec<String> = (0..32).map(|id| format!("<{id}>")).collect();
    writer.string("tokenizer.ggml.model", "gpt2");
    writer.strings("tokenizer.ggml.tokens", &texts);
    writer.strings("tokenizer.ggml.merges", &["a b", "b c"]);
    writer.i32s("tokenizer.ggml.token_type", &[1; 32]);
    writer.bool("tokenizer.ggml.add_bos_token", true);
    let mut index = 0;
    writer.replace(|_, shape| {
        let [rows, columns] = *shape else { return None };
        index += 1;
        let (block, bytes) = if index % 2 == 0 { (Q4_0, 18) } else { (Q8_0, 34) };
        (index % 3 > 0).then(|| (block, vec![0x11; rows * columns / 32 * bytes]))
    });
    writer.finish()
}

#[test]
fn mutated_gguf_files_are_opened_or_refused() {
    let mut seeds = Vec::new();
    for model_type in ["llama", "qwen3", "phi3"] {
        let fixture = tiny(model_type).set("rope_scaling", json!({"type": "linear", "factor": 4.0}));
        seeds.push((with_more(converted(&fixture.config, &fixture.tensors())), PathBuf::new()));
    }
    for known in known_models() {
        if ["gemma3_text-linear-f32", "qwen2_moe-traditional-f32"].contains(&known.name.as_str()) {
            seeds.push((converted(&known.config, &known.tensors()).finish(), PathBuf::new()));
        }
    }
    assert_eq!(seeds.len(), 5);
    fuzz("GGUF", "model.gguf", &seeds, Path::to_owned);
}

#[test]
fn mutated_safetensors_files_are_opened_or_refused() {
    let fixtures = [tiny("llama"), tiny("qwen3"), tiny("llama").quantized(4, 32)];
    let folders = fixtures.map(|fixture| fixture.build());
    let seeds: Vec<_> = folders
        .iter()
        .map(|folder| (fs::read(folder.path().join("model.safetensors")).unwrap(), folder.path().to_owned()))
        .collect();
    fuzz("safetensors", "model.safetensors", &seeds, |path| path.parent().unwrap().to_owned());
}

#[test]
fn mutated_configurations_are_read_or_refused() {
    let linear = json!({"type": "linear", "factor": 4.0});
    let folders = [tiny("llama").build(), tiny("llama").set("rope_scaling", linear).build()];
    let seeds: Vec<_> =
        folders.iter().map(|folder| (fs::read(folder.path().join("config.json")).unwrap(), PathBuf::new())).collect();
    let weights = fs::read(folders[0].path().join("model.safetensors")).unwrap();
    fuzz("config.json", "config.json", &seeds, |path| {
        let folder = path.parent().unwrap();
        let beside = folder.join("model.safetensors");
        if !beside.exists() {
            fs::write(beside, &weights).unwrap();
        }
        folder.to_owned()
    });
}
