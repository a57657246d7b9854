//! Models in GGUF files.

use serde_json::{Map, json};

use super::*;
use crate::support::gguf::{CASES, F32, MODELS, Q4_0, Q8_0, Writer, converted as gguf_of, said, write_vocabulary};
use crate::support::{case, known_models};

/// ggml's number of Q6_K.
const Q6_K: u32 = 14;
/// Queries and keys of Llama are added up in another order than from the file itself.
const TOLERANCE: f32 = 2e-4;

fn write(folder: &Path, writer: &mut Writer) -> std::path::PathBuf {
    write_vocabulary(writer);
    let file = folder.join("model.gguf");
    fs::write(&file, writer.finish()).unwrap();
    file
}

/// A model as a folder in f32, and the same as a file.
fn both(name: &str) -> (tempfile::TempDir, Map<String, Value>, BTreeMap<String, Tensor>) {
    if let Some(known) = known_models().into_iter().find(|known| known.name == name) {
        let folder = known.build();
        let config = said(&known);
        write_json(&folder.path().join("config.json"), &config.clone().into());
        return (folder, config, known.tensors());
    }
    let fixture = Fixture::case(&case(name));
    (fixture.build(), fixture.config.clone(), fixture.tensors())
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_file_becomes_the_folder_that_it_was_made_of() {
    for name in CASES.into_iter().chain(MODELS) {
        let (folder, config, all) = both(name);
        let place = tempfile::tempdir().unwrap();
        let file = write(place.path(), &mut gguf_of(&config, &all));
        let (ours, expected) = (place.path().join("ours"), place.path().join("expected"));
        converted(&file, &ours, &ConvertOptions::default()).unwrap();
        converted(folder.path(), &expected, &ConvertOptions::default()).unwrap();
        let (ours_tensors, expected_tensors) = (tensors(&ours), tensors(&expected));
        assert!(ours_tensors.keys().eq(expected_tensors.keys()), "{name}: {:?}", ours_tensors.keys());
        for (tensor, (dtype, shape, bytes)) in &ours_tensors {
            let same = &expected_tensors[tensor];
            assert_eq!((dtype, shape), (&same.0, &same.1), "{name}: {tensor}");
            // One was added to these, and is taken away again.
            let rounded = name.starts_with("gemma") && tensor.ends_with("norm.weight");
            assert!(rounded || *bytes == same.2, "{name}: {tensor}");
        }
        let worst = furthest(&scores(&ours), &scores(folder.path()));
        assert!(worst < TOLERANCE, "{name}: {worst}");
        assert!(furthest(&scores(&ours), &scores(&file)) < TOLERANCE, "{name}");
    }
}

/// Random blocks with scales that make the numbers small.
fn blocks(seed: usize, block: u32, numbers: usize) -> Vec<u8> {
    let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
    let scale = |size: f32| half::f16::from_f32(size).to_le_bytes();
    let of = |count: usize, make: &dyn Fn(usize) -> Vec<u8>| (0..numbers / count).flat_map(make).collect();
    let random = move |at: usize, length: usize| (0..length).map(move |i| byte(seed * 7919 + at * 331 + i));
    match block {
        Q8_0 => of(32, &|at| scale(1e-3).into_iter().chain(random(at, 32)).collect()),
        Q4_0 => of(32, &|at| scale(2e-2).into_iter().chain(random(at, 16)).collect()),
        Q6_K => of(256, &|at| random(at, 208).chain(scale(2e-5)).collect()),
        other => panic!("no blocks of {other}"),
    }
}

fn mixed() -> (tempfile::TempDir, std::path::PathBuf) {
    let fixture = Fixture::new("llama").set("hidden_size", 256).set("intermediate_size", 256).set("head_dim", 64);
    let mut writer = gguf_of(&fixture.config, &fixture.tensors());
    let mut seed = 0;
    writer.replace(|name, shape| {
        let [rows, columns] = *shape else { return None };
        seed += 1;
        let block = match name {
            "token_embd.weight" => Q6_K,
            _ if name.contains("attn_q") => Q8_0,
            _ if name.contains("attn_v") => return None,
            _ => Q4_0,
        };
        Some((block, blocks(seed, block, rows * columns)))
    });
    let place = tempfile::tempdir().unwrap();
    let file = write(place.path(), &mut writer);
    (place, file)
}

#[test]
fn blocks_stay_as_near_as_can_be() {
    let (place, file) = mixed();
    let folder = place.path().join("kept");
    let said =
        converted(&file, &folder, &ConvertOptions { dtype: Some(Dtype::F32), ..ConvertOptions::default() }).unwrap();
    let lost: Vec<_> = said.conversions.iter().map(|made| (made.from.as_str(), made.relative_error)).collect();
    let [("Q4_0", none), ("Q6_K", some), ("Q8_0", 0.0)] = *lost else { panic!("{lost:?}") };
    assert!(none == 0.0 && some > 0.0 && some < 0.01, "{lost:?}");
    let config = json_of(&folder.join("config.json"));
    let quantization = &config["quantization"];
    assert_eq!(quantization["bits"], 4);
    assert_eq!(quantization["model.embed_tokens"], json!({"bits": 8, "group_size": 32, "mode": "affine"}));
    assert_eq!(quantization["model.layers.0.self_attn.q_proj"]["bits"], 8);
    assert_eq!(quantization.get("model.layers.0.mlp.up_proj"), None);
    assert_eq!(config["torch_dtype"], "float32");
    let all = tensors(&folder);
    assert!(!all.contains_key("model.layers.0.self_attn.v_proj.scales") && all["model.norm.weight"].0 == "F32");
    let worst = furthest(&scores(&folder), &scores(&file));
    assert!(worst < TOLERANCE, "{worst}");

    // Scales are f16 in the file, and stay so by default.
    let usual = place.path().join("usual");
    converted(&file, &usual, &ConvertOptions::default()).unwrap();
    assert_eq!(json_of(&usual.join("config.json"))["torch_dtype"], "float16");
    let usual = tensors(&usual);
    assert_eq!(usual["model.layers.0.mlp.up_proj.scales"].0, "F16");
    assert_eq!(usual["model.layers.0.mlp.up_proj.weight"], all["model.layers.0.mlp.up_proj.weight"]);
    // Where scales are rounded, that is told.
    let bf16 = ConvertOptions { dtype: Some(Dtype::Bf16), ..ConvertOptions::default() };
    let said = converted(&file, &place.path().join("bf16"), &bf16).unwrap();
    assert!(said.conversions.iter().all(|made| made.relative_error > 1e-4), "{:?}", said.conversions);
}

#[test]
fn a_file_is_quantized_like_its_numbers() {
    let (place, file) = mixed();
    let float = ConvertOptions { dtype: Some(Dtype::F16), dequantize: true, ..ConvertOptions::default() };
    let folder = place.path().join("floats");
    converted(&file, &folder, &float).unwrap();
    assert_eq!(json_of(&folder.join("config.json")).get("quantization"), None);
    let options = ConvertOptions { dtype: Some(Dtype::F16), ..four_bits() };
    let (ours, expected) = (place.path().join("ours"), place.path().join("expected"));
    assert!(converted(&file, &ours, &options).unwrap().conversions.is_empty());
    converted(&folder, &expected, &options).unwrap();
    assert!(tensors(&ours) == tensors(&expected));
    assert_eq!(names(&ours), names(&expected));

    // An interrupted conversion goes on, but not with another file.
    let broken = place.path().join("broken");
    let cancel = &mut |progress: &pocketmlx::Progress| {
        if progress.done > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = convert(file.to_str().unwrap(), &broken, &options, cancel).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    converted(&file, &broken, &options).unwrap();
    assert!(tensors(&ours) == tensors(&broken));
    let again = place.path().join("again");
    convert(file.to_str().unwrap(), &again, &options, cancel).unwrap_err();
    fs::write(&file, [fs::read(&file).unwrap(), vec![0; 32]].concat()).unwrap();
    assert!(refused(&file, &again, &options).message().contains("have changed"));
}

#[test]
fn factors_that_no_configuration_has_are_refused() {
    let fixture = Fixture::new("llama");
    let mut writer = gguf_of(&fixture.config, &fixture.tensors());
    let factors: Vec<u8> = (0..8).flat_map(|i| (1.0 + (i * 5 % 7) as f32).to_le_bytes()).collect();
    writer.tensor("rope_freqs.weight", &[8], F32, factors);
    let place = tempfile::tempdir().unwrap();
    let file = write(place.path(), &mut writer);
    let error = refused(&file, &place.path().join("new"), &ConvertOptions::default());
    assert!(error.code() == Code::Unsupported && error.message().contains("rope_freqs"), "{error}");
}

/// GGUF's first mixtures of experts have them in tensors of their own.
#[test]
fn experts_apart_are_stacked() {
    let known = known_models().into_iter().find(|known| known.name == "mixtral-plain-8bit").unwrap();
    let place = tempfile::tempdir().unwrap();
    let (stacked, apart) = (place.path().join("stacked"), place.path().join("apart"));
    let files = [&stacked, &apart].map(|folder| {
        fs::create_dir(folder).unwrap();
        let mut writer = gguf_of(&known.config, &known.tensors());
        writer.replace(|name, shape| {
            let seed = name.len() + shape[0];
            name.contains("_exps").then(|| (Q8_0, blocks(seed, Q8_0, shape.iter().product())))
        });
        if folder == &apart {
            writer.split_first_dimension(|name, expert| {
                let (before, behind) = name.split_once("_exps.")?;
                Some(format!("{before}.{expert}.{behind}"))
            });
        }
        write(folder, &mut writer)
    });
    let [a, b] = files.each_ref().map(|file| scores(file));
    assert_eq!(a, b);
    let folders = files.each_ref().map(|file| {
        let folder = file.with_file_name("new");
        converted(file, &folder, &ConvertOptions::default()).unwrap();
        tensors(&folder)
    });
    assert!(folders[0].contains_key("model.layers.0.block_sparse_moe.switch_mlp.up_proj.scales"));
    assert!(folders[0] == folders[1]);
}

/// The text side of the folder is that of the file.
#[test]
fn tokenizer_and_template_are_written() {
    let fixture = Fixture::new("qwen2");
    let place = tempfile::tempdir().unwrap();
    let file = write(place.path(), &mut gguf_of(&fixture.config, &fixture.tensors()));
    let folder = place.path().join("new");
    converted(&file, &folder, &ConvertOptions::default()).unwrap();
    let texts = [&file, &folder].map(|path| pocketmlx::Text::open(path.to_str().unwrap()).unwrap());
    for text in ["Hello world", "The world, and <|im_end|>\n 12 of you", "   äöü 你好\r\n\n"] {
        let [ours, theirs] = texts.each_ref().map(|side| side.tokenize(text, true).unwrap());
        assert_eq!(ours, theirs);
    }
    let request: Request = serde_json::from_value(json!({"messages": [{"role": "user", "content": "Hi"}]})).unwrap();
    let [ours, theirs] = texts.each_ref().map(|side| side.render(&request).unwrap());
    assert_eq!(ours, theirs);
}
