use serde_json::{Value, json};

use super::*;
use crate::error::Code;
use crate::text::StreamDecoder;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tokenizers");

fn saved(name: &str) -> (Tokenizer, Value) {
    let read = |file: &str| std::fs::read(format!("{FOLDER}/{name}/{file}"));
    let models = ["tokenizer.model", "tiktoken.model", "qwen.tiktoken", "rwkv_vocab_v20230424.txt"];
    let tokenizer = match read("tokenizer.json") {
        Ok(json) => TokenizerFile::Json(json),
        Err(_) => models.iter().find_map(|n| Some(TokenizerFile::Model((*n).into(), read(n).ok()?))).unwrap(),
    };
    let config: Option<Value> = read("config.json").ok().map(|bytes| serde_json::from_slice(&bytes).unwrap());
    let files = TextFiles {
        label: name.into(),
        model_type: config.map(|config| config["model_type"].as_str().unwrap().to_owned()),
        tokenizer,
        tokenizer_config: Some(read("tokenizer_config.json").unwrap()),
        ..TextFiles::default()
    };
    (Tokenizer::from_files(&files, &[]).unwrap(), serde_json::from_slice(&read("expected.json").unwrap()).unwrap())
}

fn load(json: &Value) -> Result<Tokenizer> {
    let files = TextFiles {
        label: "m".into(),
        tokenizer: TokenizerFile::Json(json.to_string().into_bytes()),
        ..TextFiles::default()
    };
    Tokenizer::from_files(&files, &[])
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// A word-level tokenizer that changes may be made to.
fn words() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1, "b": 2, "<eot>": 3, "ab": 4}, "unk_token": "<unk>"},
    })
}

/// Expected values were written by transformers, and for families whose tokenizers are code beside the model by tiktoken
/// or by plain Python
/// (tests/parity/small_tokenizers.py, converted_tokenizers.py).
#[test]
fn does_what_transformers_does() {
    let names: Vec<String> =
        std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() >= 15, "{names:?}");
    let mut wrong = Vec::new();
    for name in &names {
        let (tokenizer, expected) = saved(name);
        let mut check = |what: String, ours: String, theirs: String| {
            if ours != theirs {
                wrong.push(format!("{name} {what}\n  {ours}\n  {theirs}"));
            }
        };
        check("size".into(), tokenizer.vocab_size().to_string(), expected["vocab_size"].to_string());
        let special: Vec<u32> = (0..tokenizer.vocab_size() as u32).filter(|id| tokenizer.is_special(*id)).collect();
        check("special".into(), format!("{special:?}"), format!("{:?}", ids(&expected["special"])));
        for case in expected["texts"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            for (key, add_special) in [("ids", false), ("with_special", true)] {
                let ours = tokenizer.encode(text, add_special).unwrap();
                check(format!("{key} of {text:?}"), format!("{ours:?}"), format!("{:?}", ids(&case[key])));
            }
        }
        for case in expected["ids"].as_array().unwrap() {
            let ids = ids(&case["ids"]);
            let text = |key: &str| case[key].as_str().unwrap().to_owned();
            check(format!("text of {ids:?}"), tokenizer.decode(&ids, false).unwrap(), text("text"));
            check(format!("plain text of {ids:?}"), tokenizer.decode(&ids, true).unwrap(), text("without_special"));
            let mut stream = StreamDecoder::new(&tokenizer, &[]).unwrap();
            let pieces: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
            check(format!("stream of {ids:?}"), pieces + &stream.finish().unwrap(), text("without_special"));
        }
    }
    assert!(wrong.is_empty(), "{} differ (ours, theirs):\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_answer_goes_on_behind_its_prompt() {
    let (tokenizer, _) = saved("llama");
    let prompt = tokenizer.encode("The harbour", true).unwrap();
    let whole = tokenizer.encode("The harbour wakes before the town", true).unwrap();
    assert_eq!(whole[..prompt.len()], prompt);
    let mut stream = StreamDecoder::new(&tokenizer, &prompt).unwrap();
    let text: String = whole[prompt.len()..].iter().map(|id| stream.push(*id).unwrap()).collect();
    assert_eq!(text + &stream.finish().unwrap(), " wakes before the town");
}

#[test]
fn eos_ids_are_those_of_all_files_once() {
    let files = TextFiles {
        tokenizer: TokenizerFile::Json(words().to_string().into_bytes()),
        tokenizer_config: Some(br#"{"eos_token": "<eot>"}"#.to_vec()),
        generation_config: Some(br#"{"eos_token_id": [2, 1]}"#.to_vec()),
        ..TextFiles::default()
    };
    let tokenizer = Tokenizer::from_files(&files, &[9, 2]).unwrap();
    assert_eq!(tokenizer.eos_ids(), [9, 2, 1, 3]);
    // The name makes it special.
    assert!(tokenizer.is_special(3) && tokenizer.is_added(3) && !tokenizer.is_added(1));
    assert_eq!(tokenizer.encode("a<eot>b", false).unwrap(), [1, 3, 2]);
    assert_eq!(tokenizer.decode(&[1, 3, 2, 77], true).unwrap(), "a b");
}

#[test]
fn tokens_that_the_model_may_not_have_are_not_added() {
    let config = json!({"pad_token": "<pad>", "added_tokens_decoder": {
        "5": {"content": "<five>"}, "9": {"content": "<nine>"}, "2": {"content": "b", "special": true}}});
    let files = TextFiles {
        tokenizer: TokenizerFile::Json(words().to_string().into_bytes()),
        tokenizer_config: Some(config.to_string().into_bytes()),
        ..TextFiles::default()
    };
    let tokenizer = Tokenizer::from_files(&files, &[]).unwrap();
    assert_eq!(tokenizer.token_id("<five>"), Some(5));
    assert_eq!((tokenizer.token_id("<nine>"), tokenizer.token_id("<pad>")), (None, None));
    assert!(tokenizer.is_special(2));
}

#[test]
fn a_text_may_begin_with_an_added_token() {
    let token = |id: u32, content: &str, flag: &str| {
        let mut token = json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true});
        if !flag.is_empty() {
            token[flag] = true.into();
        }
        token
    };
    let mut json = words();
    json["added_tokens"] = json!([
        token(5, "<|user|>", ""),
        token(6, "<left>", "lstrip"),
        token(7, "<word>", "single_word"),
        token(8, "<right>", "rstrip"),
        token(9, "<norm>", "normalized"),
    ]);
    let plain = load(&json).unwrap();
    assert!(plain.starts_with_added_token("<|user|>\nHi") && plain.starts_with_added_token("<right> x"));
    assert!(plain.starts_with_added_token("<norm>"));
    for text in ["", "a<|user|>", "<|use", "<left>", "<word>"] {
        assert!(!plain.starts_with_added_token(text), "{text}");
    }
    // A normalizer sees it together with what comes before.
    json["normalizer"] = json!({"type": "Prepend", "prepend": "a"});
    let normalizing = load(&json).unwrap();
    assert!(!normalizing.starts_with_added_token("<norm>") && normalizing.starts_with_added_token("<|user|>"));
}

#[test]
fn padding_truncation_and_dropout_are_off() {
    let mut json = words();
    json["truncation"] = json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<unk>"});
    assert_eq!(load(&json).unwrap().encode("a b a b", true).unwrap(), [1, 2, 1, 2]);
    json["model"] = json!({"type": "BPE", "dropout": 0.9, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]});
    let tokenizer = load(&json).unwrap();
    for _ in 0..50 {
        assert_eq!(tokenizer.encode("ab ab", false).unwrap(), [2, 2]);
    }
}

#[test]
fn malformed_tokenizers_are_errors() {
    let with = |path: &str, value: Value| {
        let mut json = words();
        *json.pointer_mut(path).unwrap() = value;
        json
    };
    let bpe = |merges: Value| json!({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": merges});
    for (name, json) in [
        ("no model", with("/model", Value::Null)),
        ("unknown model", with("/model", json!({"type": "Oracle"}))),
        ("a merge longer than any token", with("/model", bpe(json!(["a b"])))),
        ("a merge of unknown tokens", with("/model", bpe(json!(["x y"])))),
        ("an id of 2^32", with("/model/vocab/a", json!(4_294_967_296u64))),
        (
            "a pattern that is none",
            with(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "(a"},
            "behavior": "Isolated", "invert": false}),
            ),
        ),
        ("an unknown decoder", with("/decoder", json!({"type": "Magic"}))),
        ("a decoder that is a number", with("/decoder", json!(5))),
        ("a garbage charsmap", with("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="}))),
        (
            "a normalizer that doubles the text 40 times",
            with(
                "/normalizer",
                json!({"type": "Sequence", "normalizers":
            vec![json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}); 40]}),
            ),
        ),
        ("an unknown version", with("/version", json!("9"))),
        (
            "a template without its token",
            with(
                "/post_processor",
                json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}], "pair": [], "special_tokens": {}}),
            ),
        ),
    ] {
        match load(&json) {
            Err(error) => {
                assert_eq!(error.code(), Code::CorruptFile, "{name}: {error}");
                assert!(error.message().starts_with("m/tokenizer.json: "), "{name}: {error}");
            }
            // Some only show when they are used.
            Ok(tokenizer) => assert_eq!(tokenizer.encode("a b", true).unwrap_err().code(), Code::CorruptFile, "{name}"),
        }
    }
    for bytes in [&b""[..], b"[]", b"{}", b"{\"model\":", b"\xff\xfe", b"{\"version\": \"\\ud800\"}"] {
        let files = TextFiles { tokenizer: TokenizerFile::Json(bytes.to_vec()), ..TextFiles::default() };
        assert_eq!(Tokenizer::from_files(&files, &[]).unwrap_err().code(), Code::CorruptFile);
    }
    let deep = format!("{{\"decoder\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let files = TextFiles { tokenizer: TokenizerFile::Json(deep.into_bytes()), ..TextFiles::default() };
    assert_eq!(Tokenizer::from_files(&files, &[]).unwrap_err().code(), Code::CorruptFile);
}

#[test]
fn odd_vocabularies_work() {
    let mut json = words();
    json["model"]["vocab"] = json!({"<unk>": 0, "a": 4_294_967_295u32, "<0x-1>": 7});
    let tokenizer = load(&json).unwrap();
    assert_eq!(tokenizer.encode("a b <0x-1>", false).unwrap(), [u32::MAX, 0, 7]);
    assert_eq!(tokenizer.decode(&[u32::MAX, 5, 7], true).unwrap(), "a <0x-1>");
    json["model"] = json!({"type": "BPE", "vocab": {}, "merges": []});
    assert_eq!(load(&json).unwrap().encode("anything", false).unwrap(), [0u32; 0]);
    // A decoder that fails where there is nothing to take off.
    let mut json = words();
    json["decoder"] = json!({"type": "Strip", "content": "a", "start": 0, "stop": 3});
    let tokenizer = load(&json).unwrap();
    assert_eq!(tokenizer.decode(&[1], true).unwrap_err().code(), Code::CorruptFile);
    assert_eq!(StreamDecoder::new(&tokenizer, &[]).unwrap().push(1).unwrap_err().code(), Code::CorruptFile);
}

#[test]
fn long_texts_are_tokenized_in_time_or_refused() {
    let (tokenizer, _) = saved("byte_level");
    for text in ["a".repeat(1 << 20), "\n".repeat(1 << 20), "The harbour wakes. ".repeat(50_000), "é".repeat(1 << 19)]
    {
        let start = std::time::Instant::now();
        let ids = tokenizer.encode(&text, false).unwrap();
        assert!(tokenizer.decode(&ids, false).unwrap() == text);
        assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    }
    // The pattern's engine gives up on this, and would leave the words behind it in one piece.
    let error = tokenizer.encode(&(" ".repeat(1 << 20) + "two words"), false).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("from byte 0 on: 1048585 bytes"), "{error}");
}

#[test]
fn threads_may_share_a_tokenizer_and_its_templates() {
    fn shared<T: Send + Sync>() {}
    shared::<Tokenizer>();
    shared::<StreamDecoder>();
    shared::<crate::text::ChatTemplate>();
}
