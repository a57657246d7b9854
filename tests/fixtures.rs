//! The test checkpoints themselves: the same bytes as Python makes, and files that the usual readers take.

mod support;

use std::collections::BTreeSet;

use support::{Fixture, cases, tokenizer, tokens};

#[test]
fn python_computed_with_the_same_weights() {
    for case in cases() {
        assert_eq!(Fixture::case(&case).checksum(), case.reference().checksum, "{}", case.name);
    }
}

#[test]
fn references_are_complete() {
    let tokens = tokens();
    let names: BTreeSet<_> = cases().into_iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases().len(), "two cases of the same name");
    for case in cases() {
        let reference = case.reference();
        assert_eq!(reference.next.len(), tokens.len() - 1, "{}", case.name);
        assert_eq!(reference.top.len(), tokens.len(), "{}", case.name);
        assert!(reference.next.iter().all(|p| *p < 0.0), "{}", case.name);
        assert_eq!(reference.low_precision.is_some(), case.dtype != "f32", "{}", case.name);
    }
}

#[test]
fn shards_hold_all_tensors() {
    let fixture = Fixture::new("llama").shards(3);
    let folder = fixture.build();
    let index = std::fs::read(folder.path().join("model.safetensors.index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let map = index["weight_map"].as_object().unwrap();
    assert_eq!(map.len(), fixture.tensors().len());
    let files: BTreeSet<_> = map.values().map(|file| file.as_str().unwrap()).collect();
    assert_eq!(files.len(), 3);
    for (name, file) in map {
        let bytes = std::fs::read(folder.path().join(file.as_str().unwrap())).unwrap();
        assert!(safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor(name).is_ok(), "{name}");
    }
}

#[test]
fn the_tokenizer_is_lossless() {
    let folder = Fixture::new("llama").build();
    let tokenizer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.get_vocab_size(true), tokenizer::VOCAB);
    assert_eq!(tokenizer.token_to_id("<|im_end|>"), Some(tokenizer::IM_END));
    let text = "Hello world, you and the time: \t\n\n ünï¢ödé 🦀\u{0}";
    let encoding = tokenizer.encode(text, false).unwrap();
    assert_eq!(tokenizer.decode(encoding.get_ids(), false).unwrap(), text);
    assert!(encoding.get_ids().len() < text.len());
    let encoding = tokenizer.encode("<|im_start|>user\nHello<|im_end|>", false).unwrap();
    assert_eq!(encoding.get_ids().first(), Some(&tokenizer::IM_START));
    assert_eq!(encoding.get_ids().last(), Some(&tokenizer::IM_END));
}
