//! A GGUF file as the model.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::command::run;
use crate::support::Fixture;
use crate::support::gguf::{Q8_0, converted, write_vocabulary};

fn json(subcommand: &str, model: &Path, args: &[&str]) -> Value {
    let model = model.to_str().unwrap();
    serde_json::from_str(&run(&[&[subcommand, "-m", model], args, &["--json"]].concat()).succeeded()).unwrap()
}

#[test]
fn a_file_answers_like_the_folder_that_it_was_made_of() {
    let fixture = Fixture::new("qwen2");
    let folder = fixture.build();
    let mut writer = converted(&fixture.config, &fixture.tensors());
    write_vocabulary(&mut writer);
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("Model-F32.gguf");
    fs::write(&file, writer.finish()).unwrap();

    let args = ["Hello world", "--max-tokens", "12", "--ignore-eos"];
    let expected = json("generate", folder.path(), &args);
    for source in [file.as_path(), files.path()] {
        let report = json("generate", source, &args);
        for key in ["text", "tokens", "usage"] {
            assert_eq!(report[key], expected[key], "{key}");
        }
    }
    let text = "The world, and <|im_end|>\n 12 of you";
    assert_eq!(json("tokenize", &file, &[text]), json("tokenize", folder.path(), &[text]));
    assert!(json("probe", &file, &[]).get("conversions").is_none());
}

#[test]
fn probe_says_what_becomes_of_blocks() {
    let fixture = Fixture::new("llama");
    let mut writer = converted(&fixture.config, &fixture.tensors());
    // A scale of 2⁻⁸, and codes of all sizes.
    let block = |at: usize| [&[0x00, 0x1c][..], &(0..32).map(|i| (at * 7 + i * 37) as u8).collect::<Vec<_>>()].concat();
    writer.replace(|_, shape| {
        let [rows, columns] = *shape else { return None };
        Some((Q8_0, (0..rows * columns / 32).flat_map(block).collect()))
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    fs::write(&file, writer.finish()).unwrap();
    let facts = json("probe", &file, &[]);
    let [conversion] = facts["conversions"].as_array().unwrap().as_slice() else { panic!("{facts}") };
    assert_eq!(conversion["from"], "Q8_0");
    assert_eq!(conversion["to"], "affine, 8 bits in groups of 32");
    assert_eq!(conversion["relative_error"], 0.0);
    assert!(conversion["bytes"].as_u64().unwrap() <= facts["memory"]["weight_bytes"].as_u64().unwrap());
}
