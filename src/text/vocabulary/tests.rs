use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::error::Code;
use crate::support::gguf::Writer;
use crate::text::{TextFiles, Tokenizer, TokenizerFile};
use crate::weights::gguf::Gguf;

/// What separates texts in llama.cpp's `.inp` files.
const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// Kinds of which nothing is claimed, by the names of their files.
const UNSUPPORTED: [&str; 1] = ["bert-bge"];

fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let label = path.display().to_string();
    let file = Gguf::parse(&label, Arc::new(std::fs::read(path).unwrap()))?;
    let vocabulary = read(file.metadata())?;
    let files = TextFiles { label, tokenizer: TokenizerFile::Vocabulary(Box::new(vocabulary)), ..TextFiles::default() };
    Tokenizer::from_files(&files, &[])
}

/// `POCKETMLX_VOCABULARIES` names the folder `models` of llama.cpp's source distribution, whose `ggml-vocab-*.gguf` come
/// with texts and the ids that the models' own tokenizers make of them.
#[test]
fn ids_are_those_that_llama_cpp_expects() {
    let Some(folder) = std::env::var_os("POCKETMLX_VOCABULARIES") else {
        eprintln!("skipped: POCKETMLX_VOCABULARIES names no folder of vocabularies");
        return;
    };
    let mut compared = 0;
    let mut wrong = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "gguf")) {
        let name = path.file_stem().unwrap().to_str().unwrap().trim_start_matches("ggml-vocab-").to_owned();
        let start = std::time::Instant::now();
        let tokenizer = match tokenizer(path) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                assert!(UNSUPPORTED.contains(&&*name) && error.code() == Code::Unsupported, "{name}: {error}");
                continue;
            }
        };
        let took = start.elapsed();
        let beside = |extension: &str| std::fs::read_to_string(format!("{}.{extension}", path.display())).ok();
        let (Some(texts), Some(expected)) = (beside("inp"), beside("out")) else {
            eprintln!("{name}: loads in {took:?}, nothing to compare with");
            continue;
        };
        let texts: Vec<&str> = texts.split(SEPARATOR).collect();
        let expected: Vec<Vec<u32>> =
            expected.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
        eprintln!("{name}: loads in {took:?}, {} texts", expected.len());
        assert!(expected.len() > 40 && texts.len() >= expected.len(), "{name}: {} {}", texts.len(), expected.len());
        for (text, expected) in texts.iter().zip(&expected) {
            let ids = tokenizer.encode(text, false).unwrap();
            if ids != *expected {
                wrong.push(format!("{name} {text:?}\n  got      {ids:?}\n  expected {expected:?}"));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 500, "{compared}");
}

/// A file with these keys and nothing else.
fn file(write: impl FnOnce(&mut Writer)) -> Gguf {
    let mut writer = Writer::new();
    write(&mut writer);
    Gguf::parse("m.gguf", Arc::new(writer.finish())).unwrap()
}

#[test]
fn every_key_is_read() {
    let file = file(|writer| {
        writer.string("tokenizer.ggml.model", "llama");
        writer.string("tokenizer.ggml.pre", "default");
        writer.string("general.name", "M");
        writer.strings("tokenizer.ggml.tokens", &["<s>", "▁a"]);
        writer.f32s("tokenizer.ggml.scores", &[0.0, -1.5]);
        writer.i32s("tokenizer.ggml.token_type", &[3, 1]);
        writer.strings("tokenizer.ggml.merges", &["▁ a"]);
        for (id, name) in ["bos", "eos", "eot", "eom", "unknown", "padding"].iter().enumerate() {
            writer.u32(&format!("tokenizer.ggml.{name}_token_id"), 10 + id as u32);
        }
        for name in ["add_bos_token", "add_eos_token", "add_space_prefix", "remove_extra_whitespaces"] {
            writer.bool(&format!("tokenizer.ggml.{name}"), name != "add_bos_token");
        }
        writer.i32s("tokenizer.ggml.precompiled_charsmap", &[-1, 7]);
        writer.string("tokenizer.chat_template", "A");
        writer.string("tokenizer.chat_template.tool_use", "B");
        writer.strings("tokenizer.chat_templates", &["tool_use"]);
    });
    let vocabulary = read(file.metadata()).unwrap();
    assert_eq!((vocabulary.model.as_str(), vocabulary.pre.as_deref()), ("llama", Some("default")));
    assert_eq!((vocabulary.name.as_deref(), vocabulary.tokens), (Some("M"), vec!["<s>".to_owned(), "▁a".to_owned()]));
    assert_eq!((vocabulary.scores, vocabulary.kinds), (vec![0.0, -1.5], vec![3, 1]));
    assert_eq!((vocabulary.merges, vocabulary.charsmap), (vec!["▁ a".to_owned()], vec![255, 7]));
    assert_eq!((vocabulary.bos, vocabulary.eos, vocabulary.eot), (Some(10), Some(11), Some(12)));
    assert_eq!((vocabulary.eom, vocabulary.unk, vocabulary.pad), (Some(13), Some(14), Some(15)));
    assert_eq!((vocabulary.add_bos, vocabulary.add_eos), (Some(false), Some(true)));
    assert_eq!((vocabulary.add_space_prefix, vocabulary.remove_extra_whitespaces), (Some(true), Some(true)));
    let templates = chat_templates(file.metadata()).unwrap();
    assert_eq!(templates, [("default".into(), "A".into()), ("tool_use".into(), "B".into())]);
}

#[test]
fn keys_of_another_type_are_named() {
    type Write = fn(&mut Writer);
    let cases: [(Write, &str); 7] = [
        (|writer| writer.i32s("tokenizer.ggml.token_type", &vec![1; MAX_ENTRIES + 1]), "has 4194305 entries"),
        (|_| {}, "tokenizer.ggml.model is missing"),
        (|writer| writer.u32("tokenizer.ggml.model", 1), "tokenizer.ggml.model must be a string"),
        (|writer| writer.strings("tokenizer.ggml.tokens", &[&b"\xff"[..]]), "tokenizer.ggml.tokens [0] is not UTF-8"),
        (|writer| writer.i32s("tokenizer.ggml.tokens", &[1]), "tokenizer.ggml.tokens is no array of strings"),
        (|writer| writer.strings("tokenizer.ggml.scores", &["x"]), "tokenizer.ggml.scores is no array of numbers"),
        (|writer| writer.string("tokenizer.ggml.bos_token_id", "x"), "tokenizer.ggml.bos_token_id must be"),
    ];
    for (write, part) in cases {
        let file = file(|writer| {
            if !part.contains("model") {
                writer.string("tokenizer.ggml.model", "gpt2");
            }
            write(writer);
        });
        let error = read(file.metadata()).unwrap_err();
        assert_eq!(error.code(), Code::CorruptFile);
        assert!(error.message().contains(part), "{part}: {error}");
    }
}
