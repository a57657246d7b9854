//! Conversions of tiny models: what is written, what is refused, what a break leaves behind.

#[path = "convert/gguf.rs"]
mod gguf;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use pocketmlx::{
    Code, ConvertOptions, Converted, Device, Dtype, Engine, EngineOptions, Error, LoadOptions, Precision,
    QuantizationMode, Recipe, Request, convert,
};
use safetensors::SafeTensors;
use serde_json::Value;
use support::checkpoint::{write_json, write_tensors};
use support::tensors::Tensor;
use support::{Fixture, Float};
use tempfile::TempDir;

fn four_bits() -> ConvertOptions {
    ConvertOptions { bits: Some(4), group_size: Some(32), ..ConvertOptions::default() }
}

fn converted(source: &Path, target: &Path, options: &ConvertOptions) -> Result<Converted, Error> {
    convert(source.to_str().unwrap(), target, options, &mut |_| ControlFlow::Continue(()))
}

fn refused(source: &Path, target: &Path, options: &ConvertOptions) -> Error {
    let error = converted(source, target, options).unwrap_err();
    assert!(!error.hint().is_empty(), "{error}");
    error
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Names, formats, shapes and bytes of a model's single file of tensors.
fn tensors(folder: &Path) -> BTreeMap<String, (String, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let all = file.iter();
    all.map(|(name, view)| {
        (name.to_owned(), (format!("{:?}", view.dtype()), view.shape().to_vec(), view.data().to_vec()))
    })
    .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Log-probabilities of a text.
fn scores(folder: &Path) -> Vec<f32> {
    let engine = Engine::new(EngineOptions { device: Device::Cpu, ..EngineOptions::default() }).unwrap();
    let options = LoadOptions { precision: Precision::Exact, ..LoadOptions::default() };
    let model = engine.load(folder.to_str().unwrap(), options, &mut |_| ControlFlow::Continue(())).unwrap();
    let ids: Vec<u32> = (0..24).map(|i| i * 13 % 95).collect();
    let request = Request { prompt_ids: Some(ids), ..Request::default() };
    model.score(&request).unwrap().logprobs.into_iter().flatten().collect()
}

#[test]
fn floats_stay_as_they_are() {
    let source = Fixture::new("qwen3").dtype(Float::Bf16).shards(3).build();
    let target = tempfile::tempdir().unwrap();
    let folder = target.path().join("new/model");
    fs::write(source.path().join("README.md"), "# A model").unwrap();
    fs::write(source.path().join("weights.bin"), "not of the model").unwrap();
    let said = converted(source.path(), &folder, &ConvertOptions::default()).unwrap();
    assert_eq!((said.shards, said.bytes, said.bits_per_weight()), (1, said.source_bytes, 16.0));
    let expected = Fixture::new("qwen3").dtype(Float::Bf16).tensors();
    let written = tensors(&folder);
    assert!(written.keys().eq(expected.keys()));
    for (name, tensor) in &expected {
        assert!(written[name].2 == tensor.bytes && written[name].1 == tensor.shape, "{name}");
    }
    let known = ["README.md", "config.json", "model.safetensors", "model.safetensors.index.json"];
    let rest: Vec<_> = names(&folder).into_iter().filter(|name| !name.starts_with("tokenizer")).collect();
    assert_eq!(rest, known);
    assert_eq!(json_of(&folder.join("config.json")).get("quantization"), None);
    assert_eq!(scores(&folder), scores(source.path()));
}

/// The new model's numbers are the old ones, up to the steps of the codes.
#[test]
fn quantized_models_answer_about_the_same() {
    let source = Fixture::new("llama").dtype(Float::Bf16).build();
    let exact = scores(source.path());
    let error = |options: &ConvertOptions| {
        let target = tempfile::tempdir().unwrap();
        let said = converted(source.path(), target.path(), options).unwrap();
        let config = json_of(&target.path().join("config.json"));
        assert_eq!(config["quantization"], config["quantization_config"]);
        let differences = scores(target.path()).into_iter().zip(&exact).map(|(a, b)| (a - b).abs());
        (differences.sum::<f32>() / exact.len() as f32, said.bits_per_weight())
    };
    let of = |bits: usize| ConvertOptions { bits: Some(bits), group_size: Some(32), ..ConvertOptions::default() };
    let mode = |mode| ConvertOptions { mode: Some(mode), ..ConvertOptions::default() };
    let (eight, bits) = error(&of(8));
    assert!(eight > 0.0 && eight < 0.1 && (9.0..9.5).contains(&bits), "{eight} at {bits} bits");
    let (four, bits) = error(&of(4));
    assert!(four > 4.0 * eight && four < 1.0 && (5.0..5.5).contains(&bits), "{four} at {bits} bits");
    let (eight, bits) = error(&mode(QuantizationMode::Mxfp8));
    assert!(eight < 0.4 && (8.2..8.8).contains(&bits), "{eight} at {bits} bits");
    for (name, low, high) in [(QuantizationMode::Mxfp4, 4.2, 4.8), (QuantizationMode::Nvfp4, 4.5, 5.0)] {
        let (four, bits) = error(&mode(name));
        assert!(four > 0.0 && four < 1.5 && (low..high).contains(&bits), "{name:?}: {four} at {bits} bits");
    }
}

#[test]
fn recipes_give_some_matrices_more() {
    let source = Fixture::new("llama").set("tie_word_embeddings", false).build();
    let target = tempfile::tempdir().unwrap();
    let options = ConvertOptions {
        recipe: Some(Recipe::Mixed3And6),
        group_size: Some(32),
        dtype: Some(Dtype::F16),
        ..ConvertOptions::default()
    };
    converted(source.path(), target.path(), &options).unwrap();
    let config = json_of(&target.path().join("config.json"));
    let bits = |name: &str| config["quantization"][name]["bits"].as_u64();
    assert_eq!((bits("lm_head"), bits("model.embed_tokens")), (Some(6), Some(3)));
    // Of two layers the second is in the last eighth.
    assert_eq!(bits("model.layers.1.mlp.down_proj"), Some(6));
    assert_eq!(bits("model.layers.0.mlp.down_proj"), Some(3));
    assert_eq!(config["torch_dtype"], "float16");
    assert!(tensors(target.path())["lm_head.scales"].0 == "F16");
    assert!(scores(target.path()).iter().all(|x| x.is_finite()));
}

/// Makers publish experts one by one.
#[test]
fn experts_are_stacked() {
    let place = tempfile::tempdir().unwrap();
    let (apart, stacked) = (place.path().join("apart"), place.path().join("stacked"));
    let model = support::known_models().into_iter().find(|model| model.name == "qwen3_moe-plain-f32").unwrap();
    for folder in [&apart, &stacked] {
        fs::create_dir(folder).unwrap();
        write_json(&folder.join("config.json"), &model.config.clone().into());
    }
    let all = model.tensors();
    write_tensors(&stacked.join("model.safetensors"), all.iter());
    let mut published = BTreeMap::new();
    for (name, Tensor { dtype, shape, bytes }) in all {
        let Some((block, rest)) = name.split_once(".switch_mlp.") else {
            published.insert(name, Tensor { dtype, shape, bytes });
            continue;
        };
        for (i, part) in bytes.chunks(bytes.len() / shape[0]).enumerate() {
            let part = Tensor { dtype, shape: shape[1..].to_vec(), bytes: part.to_vec() };
            published.insert(format!("{block}.experts.{i}.{rest}"), part);
        }
    }
    write_tensors(&apart.join("model.safetensors"), published.iter());

    let targets = [place.path().join("a"), place.path().join("b")];
    for (source, target) in [&apart, &stacked].into_iter().zip(&targets) {
        converted(source, target, &four_bits()).unwrap();
    }
    let [a, b] = targets.each_ref().map(|target| tensors(target));
    assert!(a.contains_key("model.layers.0.mlp.switch_mlp.up_proj.scales"), "{:?}", a.keys());
    assert_eq!(a, b);
    // They are loaded as they are, too.
    support::tokenizer::write(&apart);
    support::tokenizer::write(&stacked);
    assert_eq!(scores(&apart), scores(&stacked));

    // One is missing.
    published.remove("model.layers.1.mlp.experts.2.up_proj.weight").unwrap();
    write_tensors(&apart.join("model.safetensors"), published.iter());
    let error = converted(&apart, &place.path().join("c"), &four_bits()).unwrap_err();
    assert_eq!(error.code(), Code::CorruptFile);
    assert!(error.message().contains("experts.2.up_proj"), "{error}");
}

/// Rows and columns of a matrix exchanged.
fn turned(bytes: &[u8], columns: usize) -> Vec<u8> {
    let numbers: Vec<&[u8]> = bytes.chunks(4).collect();
    (0..columns).flat_map(|column| numbers[column..].iter().step_by(columns).copied().flatten().copied()).collect()
}

/// Converts a known model as it is and as `publish` lays it out. Gives the two folders' place.
fn converted_alike(name: &str, publish: impl Fn(BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor>) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let model = support::known_models().into_iter().find(|model| model.name == name).unwrap();
    for (folder, tensors) in [("own", model.tensors()), ("published", publish(model.tensors()))] {
        let folder = place.path().join(folder);
        fs::create_dir(&folder).unwrap();
        write_json(&folder.join("config.json"), &model.config.clone().into());
        write_tensors(&folder.join("model.safetensors"), tensors.iter());
        support::tokenizer::write(&folder);
        converted(&folder, &folder.with_extension("new"), &four_bits()).unwrap();
    }
    let [a, b] = ["own.new", "published.new"].map(|folder| tensors(&place.path().join(folder)));
    assert_eq!(a, b);
    place
}

/// DBRX has the matrices of all experts in one, one below the other, and the last one turned.
#[test]
fn experts_of_one_matrix_are_taken_apart() {
    let place = converted_alike("dbrx-plain-f32", |all| {
        let mut published: BTreeMap<String, Tensor> = BTreeMap::new();
        for (name, Tensor { dtype, shape, bytes }) in all {
            let Some((block, own)) = name.split_once(".experts.") else {
                published.insert(name, Tensor { dtype, shape, bytes });
                continue;
            };
            let part = own.split('.').nth(1).unwrap();
            let (rows, bytes) = if part == "w2" { (shape[1], turned(&bytes, shape[1])) } else { (shape[0], bytes) };
            let columns = shape[0] * shape[1] / rows;
            let whole = published.entry(format!("{block}.experts.mlp.{part}"));
            let whole = whole.or_insert(Tensor { dtype, shape: vec![0, columns], bytes: Vec::new() });
            whole.shape[0] += rows;
            whole.bytes.extend(bytes);
        }
        published
    });
    // They are loaded as they are, too.
    assert_eq!(scores(&place.path().join("own")), scores(&place.path().join("published")));
}

/// Makers keep in one matrix what makes keys and values of compressed vectors.
#[test]
fn keys_and_values_are_divided() {
    converted_alike("deepseek_v3-plain-f32", |mut all| {
        let blocks: Vec<String> =
            all.keys().filter_map(|name| name.strip_suffix(".embed_q.weight")).map(str::to_owned).collect();
        for block in blocks {
            let [keys, values] =
                ["embed_q", "unembed_out"].map(|part| all.remove(&format!("{block}.{part}.weight")).unwrap());
            let (heads, latent, plain) = (keys.shape[0], keys.shape[1], keys.shape[2]);
            let of_head = |tensor: &Tensor, head: usize| {
                tensor.bytes.chunks(tensor.bytes.len() / heads).nth(head).unwrap().to_vec()
            };
            let bytes = (0..heads).flat_map(|head| [turned(&of_head(&keys, head), plain), of_head(&values, head)]);
            let (dtype, shape, bytes) =
                (keys.dtype, vec![heads * (plain + values.shape[1]), latent], bytes.flatten().collect());
            all.insert(format!("{block}.kv_b_proj.weight"), Tensor { dtype, shape, bytes });
        }
        all
    });
}

#[test]
fn what_cannot_be_converted_right_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("new");
    let quantized = Fixture::new("llama").quantized(4, 32).build();
    let error = refused(quantized.path(), &target, &four_bits());
    assert!(error.code() == Code::Unsupported && error.message().contains("already"), "{error}");

    let source = Fixture::new("llama").build();
    for options in [
        ConvertOptions { bits: Some(7), ..ConvertOptions::default() },
        ConvertOptions { group_size: Some(48), ..ConvertOptions::default() },
        ConvertOptions { mode: Some(QuantizationMode::Mxfp4), bits: Some(8), ..ConvertOptions::default() },
        ConvertOptions { recipe: Some(Recipe::Mixed2And6), bits: Some(4), ..ConvertOptions::default() },
        ConvertOptions {
            recipe: Some(Recipe::Mixed2And6),
            mode: Some(QuantizationMode::Nvfp4),
            ..ConvertOptions::default()
        },
        ConvertOptions { dtype: Some(Dtype::U32), ..ConvertOptions::default() },
    ] {
        assert_eq!(refused(source.path(), &target, &options).code(), Code::InvalidArgument, "{options:?}");
    }

    let mut all = Fixture::new("llama").tensors();
    let extra = all["model.norm.weight"].bytes.clone();
    let extra = Tensor { dtype: safetensors::Dtype::F32, shape: vec![64], bytes: extra };
    all.insert("model.layers.0.adapter".into(), extra);
    write_tensors(&source.path().join("model.safetensors"), all.iter());
    let error = refused(source.path(), &target, &four_bits());
    assert!(error.code() == Code::CorruptFile && error.message().contains("adapter"), "{error}");
    all.remove("model.layers.0.adapter");
    all.get_mut("model.layers.1.mlp.up_proj.weight").unwrap().bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    write_tensors(&source.path().join("model.safetensors"), all.iter());
    assert_eq!(names(place.path()), [""; 0], "nothing is written for a model that is refused");
    let error = refused(source.path(), &target, &four_bits());
    assert!(error.code() == Code::CorruptFile && error.message().contains("layers.1.mlp.up_proj"), "{error}");
    assert!(!target.join("config.json").exists() && !target.join("model.safetensors").exists());
}

#[test]
fn folders_of_others_are_left_alone() {
    let source = Fixture::new("llama").build();
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("letter.txt"), "dear").unwrap();
    let error = refused(source.path(), place.path(), &four_bits());
    assert!(error.code() == Code::InvalidArgument && error.message().contains("not empty"), "{error}");
    assert_eq!(names(place.path()), ["letter.txt"]);
    // Into itself, and into a file.
    assert_eq!(refused(source.path(), source.path(), &four_bits()).code(), Code::InvalidArgument);
    assert!(converted(source.path(), &place.path().join("letter.txt"), &four_bits()).is_err());
}

/// What is left of a conversion that was cancelled is no model, is nobody else's, and is gone on with.
#[test]
fn an_interrupted_conversion_goes_on() {
    let source = Fixture::new("llama").dtype(Float::Bf16).build();
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("model");
    let mut reports = 0;
    let error = convert(source.path().to_str().unwrap(), &target, &four_bits(), &mut |progress| {
        reports += 1;
        if progress.done > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap_err();
    assert!(error.code() == Code::Cancelled && reports > 1, "{error}");
    assert!(!target.join("config.json").exists() && !target.join("model.safetensors").exists());

    let other = ConvertOptions { bits: Some(8), ..four_bits() };
    let error = refused(source.path(), &target, &other);
    assert!(error.code() == Code::InvalidArgument, "{error}");
    assert!(error.message().contains("\"bits\":4") && error.message().contains("\"bits\":8"), "{error}");

    converted(source.path(), &target, &four_bits()).unwrap();
    let whole = place.path().join("whole");
    converted(source.path(), &whole, &four_bits()).unwrap();
    assert_eq!(names(&target), names(&whole));
    for name in names(&whole) {
        assert!(fs::read(target.join(&name)).unwrap() == fs::read(whole.join(&name)).unwrap(), "{name}");
    }
    // Done is done.
    assert_eq!(refused(source.path(), &target, &four_bits()).code(), Code::InvalidArgument);
}

/// A process that was killed between two files: the first one is not written again.
#[test]
fn complete_files_are_kept() {
    let source = Fixture::new("llama").dtype(Float::Bf16).build();
    let place = tempfile::tempdir().unwrap();
    let (target, whole) = (place.path().join("model"), place.path().join("whole"));
    converted(source.path(), &whole, &four_bits()).unwrap();
    let cancel = &mut |progress: &pocketmlx::Progress| {
        if progress.done > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    convert(source.path().to_str().unwrap(), &target, &four_bits(), cancel).unwrap_err();
    let weights = target.join("model.safetensors");
    fs::copy(whole.join("model.safetensors"), &weights).unwrap();
    fs::write(target.join("config.json.incomplete"), "{").unwrap();
    let before = fs::metadata(&weights).unwrap().modified().unwrap();
    converted(source.path(), &target, &four_bits()).unwrap();
    assert_eq!(fs::metadata(&weights).unwrap().modified().unwrap(), before);
    assert_eq!(names(&target), names(&whole));

    // The source is another one by now.
    let again = place.path().join("again");
    convert(source.path().to_str().unwrap(), &again, &four_bits(), cancel).unwrap_err();
    Fixture::new("llama").dtype(Float::Bf16).seed(2).write(source.path());
    let error = refused(source.path(), &again, &four_bits());
    assert!(error.message().contains("have changed"), "{error}");
}

#[test]
#[cfg(feature = "cli")]
fn the_command_says_what_it_made() {
    let source = Fixture::new("llama").dtype(Float::Bf16).build();
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("model");
    let run = |arguments: &[&str]| {
        let command = &mut std::process::Command::new(env!("CARGO_BIN_EXE_pocketmlx"));
        command.arg("convert").arg(source.path()).arg(&target).args(arguments).output().unwrap()
    };
    assert_eq!(run(&["--mode", "int4"]).status.code(), Some(2));
    let output = run(&["--mode", "nvfp4"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("bits per weight"), "{said}");
    assert_eq!(json_of(&target.join("config.json"))["quantization"]["mode"], "nvfp4");
    let again = run(&["--mode", "nvfp4"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"));
}

/// Runs a script beside mlx-lm, where there is one.
#[cfg(feature = "cli")]
fn python(script: &str, models: &[&str]) {
    let Some(python) = std::env::var_os("POCKETMLX_PYTHON") else {
        return eprintln!("skipped: POCKETMLX_PYTHON names no Python with mlx-lm");
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(script);
    let output = std::process::Command::new(python)
        .args([script.as_os_str(), env!("CARGO_BIN_EXE_pocketmlx").as_ref()])
        .args(models)
        .env("MLX_DISABLE_COMPILE", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(", 0 not"), "{said}");
}

/// mlx-lm makes the same of the same models, and reads ours.
#[test]
#[cfg(feature = "cli")]
fn python_converts_the_same() {
    let models = [
        "llama",
        "qwen3_moe",
        "mixtral",
        "gemma3_text",
        "granitemoe",
        "qwen3_5_moe",
        "deepseek_v2",
        "longcat_flash",
        "bailing_moe_v3",
    ];
    python("convert.py", &models);
}

/// mlx-lm computes the same with what we make of GGUF files as with their numbers.
#[test]
#[cfg(feature = "cli")]
fn python_reads_what_becomes_of_gguf() {
    python("gguf_folder.py", &[]);
}
