//! The same model from safetensors and from GGUF.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::parity::{error, run};
use super::{cpus, decoder_of, decoder_of_files};
use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::support::gguf::{CASES, F32, MODELS, Writer, converted, said};
use crate::support::tensors::Tensor;
use crate::support::{Fixture, case, known_models, tokens};
use crate::weights::ModelFiles;
use crate::weights::gguf::{BlockType, Blocks, Gguf};

/// Queries and keys of Llama are added up in another order.
const TOLERANCE: f32 = 2e-4;

fn files(writer: &Writer) -> ModelFiles {
    ModelFiles::Gguf(Arc::new(Gguf::parse("m.gguf", Arc::new(writer.finish())).unwrap()))
}

fn of_gguf<B: Backend>(backend: &Rc<B>, writer: &Writer, ids: &[u32]) -> Vec<Vec<f32>> {
    let decoder = decoder_of_files(backend, &files(writer));
    run(&decoder, &mut decoder.new_sequence(), ids, ids.len()).unwrap()
}

fn of_folder<B: Backend>(backend: &Rc<B>, folder: &tempfile::TempDir, ids: &[u32]) -> Vec<Vec<f32>> {
    let decoder = decoder_of(backend, &folder.path().display().to_string());
    run(&decoder, &mut decoder.new_sequence(), ids, ids.len()).unwrap()
}

fn exact() -> Rc<Cpu> {
    let [exact, ..] = cpus();
    exact
}

#[test]
fn dense_architectures_give_the_same() {
    let exact = exact();
    for name in CASES.into_iter().chain(["llama-bf16", "llama-f16"]) {
        let fixture = Fixture::case(&case(name));
        let expected = of_folder(&exact, &fixture.build(), &tokens());
        let ours = of_gguf(&exact, &converted(&fixture.config, &fixture.tensors()), &tokens());
        let worst = error(&ours, &expected);
        assert!(worst < TOLERANCE, "{name}: {worst}");
    }
}

#[test]
fn gemma_and_mixtures_of_experts_give_the_same() {
    let exact = exact();
    let all = known_models();
    for name in MODELS.into_iter().chain(["mixtral-plain-8bit"]) {
        let known = all.iter().find(|known| known.name == name).unwrap();
        let folder = known.build();
        let config = said(known);
        std::fs::write(folder.path().join("config.json"), Value::from(config.clone()).to_string()).unwrap();
        let expected = of_folder(&exact, &folder, &known.tokens);
        let ours = of_gguf(&exact, &converted(&config, &known.tensors()), &known.tokens);
        let worst = error(&ours, &expected);
        assert!(worst < TOLERANCE, "{name}: {worst}");
    }
}

/// A test that passes with wrong conventions is none.
#[test]
fn wrong_conventions_are_seen() {
    let exact = exact();
    let fixture = Fixture::case(&case("llama"));
    let expected = of_folder(&exact, &fixture.build(), &tokens());
    let seen = |config: &Map<String, Value>, tensors: &BTreeMap<String, Tensor>| {
        error(&of_gguf(&exact, &converted(config, tensors), &tokens()), &expected) > 20.0 * TOLERANCE
    };
    assert!(seen(&fixture.clone().set("rope_theta", 20_000.0).config, &fixture.tensors()));
    // Permuted for heads of another width.
    let mut config = fixture.config.clone();
    config.insert("num_attention_heads".into(), 8.into());
    config.insert("num_key_value_heads".into(), 4.into());
    assert!(seen(&config, &fixture.tensors()));
}

/// Where the f16 scales of a block are.
const SCALES: &[(BlockType, &[usize])] = &[
    (BlockType::Q4_0, &[0]),
    (BlockType::Q4_1, &[0, 2]),
    (BlockType::Q5_0, &[0]),
    (BlockType::Q5_1, &[0, 2]),
    (BlockType::Q8_0, &[0]),
    (BlockType::Q2_K, &[80, 82]),
    (BlockType::Q3_K, &[108]),
    (BlockType::Q4_K, &[0, 2]),
    (BlockType::Q5_K, &[0, 2]),
    (BlockType::Q6_K, &[208]),
    (BlockType::IQ4_NL, &[0]),
    (BlockType::IQ4_XS, &[0]),
    (BlockType::MXFP4, &[]),
];

/// Random blocks for a matrix, with numbers of about the size that those of a model have.
fn random_blocks(seed: u32, block: BlockType, offsets: &[usize], [rows, columns]: [usize; 2]) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    let mut bytes: Vec<u8> = (0..rows * columns / block.numbers() * block.bytes()).map(|_| byte()).collect();
    let rescale = |bytes: &mut Vec<u8>, scale: f32| {
        for block in bytes.chunks_exact_mut(block.bytes()) {
            for offset in offsets {
                block[*offset..offset + 2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
            }
            if offsets.is_empty() {
                block[0] = 121;
            }
        }
    };
    rescale(&mut bytes, 1e-3);
    let range = 0..bytes.len();
    let blocks = Blocks::new("random".into(), vec![rows, columns], block, Arc::new(bytes.clone()), range);
    let numbers = blocks.numbers(0..rows).unwrap();
    let size = (numbers.iter().map(|x| x * x).sum::<f32>() / numbers.len() as f32).sqrt();
    rescale(&mut bytes, 1e-3 * 0.06 / size);
    bytes
}

#[test]
fn blocks_compute_like_their_numbers() {
    check_blocks(&exact());
}

#[cfg(feature = "mlx")]
#[test]
fn blocks_compute_like_their_numbers_on_mlx() {
    crate::backend::mlx::on_worker(|| {
        use crate::backend::mlx::{Mlx, MlxDevice};
        check_blocks(&Rc::new(Mlx::new(MlxDevice::Cpu, crate::backend::Precision::Exact, None, || {}).unwrap()));
    });
}

/// Compares with the same numbers in f32 on the CPU backend.
fn check_blocks<B: Backend>(backend: &Rc<B>) {
    let fixture = Fixture::new("llama").set("hidden_size", 256).set("intermediate_size", 256).set("head_dim", 64);
    let exact = exact();
    for &(block, offsets) in SCALES {
        let mut quantized = converted(&fixture.config, &fixture.tensors());
        let mut seed = 0;
        quantized.replace(|_, shape| {
            let [rows, columns] = *shape else { return None };
            seed += 1;
            Some((block.number(), random_blocks(seed, block, offsets, [rows, columns])))
        });
        let gguf = Gguf::parse("m.gguf", Arc::new(quantized.finish())).unwrap();
        let mut dense = converted(&fixture.config, &fixture.tensors());
        dense.replace(|name, shape| {
            let [rows, columns] = *shape else { return None };
            let bytes = gguf.bytes(&gguf.tensors()[name]).to_vec();
            let range = 0..bytes.len();
            let blocks = Blocks::new(name.into(), vec![rows, columns], block, Arc::new(bytes), range);
            let numbers = blocks.numbers(0..rows).unwrap();
            Some((F32, numbers.iter().flat_map(|x| x.to_le_bytes()).collect()))
        });
        let worst = error(&of_gguf(backend, &quantized, &tokens()), &of_gguf(&exact, &dense, &tokens()));
        // How far what the matrices lose moves log-probabilities.
        let bound = match block {
            BlockType::Q4_K | BlockType::Q5_K | BlockType::IQ4_XS => 0.02,
            BlockType::Q6_K => 0.2,
            BlockType::Q2_K | BlockType::Q3_K => 1.5,
            _ => TOLERANCE,
        };
        println!("{block}: {worst}");
        assert!(worst < bound, "{block}: {worst}");
    }
}
