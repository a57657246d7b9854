//! Hostile and broken input through the public doors: each a typed error that names file and value.

#[path = "support/run.rs"]
mod run;
mod support;

use std::fs;
use std::path::Path;

use pocketmlx::{Code, EngineOptions, Error, LoadOptions, Model, ProbeOptions, Request, SessionOptions, Text, probe};
use run::{Loaded, engine, load, run};
use serde_json::{Value, json};
use support::Fixture;

fn load_error(folder: &Path) -> Error {
    let error = load(&engine(), folder).err().unwrap();
    assert!(!error.message().is_empty());
    assert_ne!(error.code(), Code::Internal, "{error}");
    error
}

fn edit_json(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn missing_and_misnamed_models() {
    let folder = tempfile::tempdir().unwrap();
    let source = |path: &Path| path.display().to_string();
    let missing = folder.path().join("nothing-here");
    let error = load_error(&missing);
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("nothing-here"), "{error}");
    assert_eq!(load_error(folder.path()).code(), Code::NotFound, "an empty folder");
    let file = folder.path().join("model.safetensors");
    fs::write(&file, b"x").unwrap();
    assert!(load(&engine(), &file).is_err());
    assert!(probe(&source(&file), &ProbeOptions::default()).is_err());
    assert!(Text::open(&source(folder.path())).is_err());
    let hub = probe("some-org/some-model", &ProbeOptions::default()).err().unwrap();
    assert!(!hub.hint().is_empty(), "{hub}");
}

#[test]
fn broken_configurations() {
    let fixture = Fixture::new("llama");
    let broken: &[(&str, Value)] = &[
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-1)),
        ("hidden_size", json!(1e300)),
        ("hidden_size", json!("64")),
        ("num_hidden_layers", json!(1_000_000_000u64)),
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!(7)),
        ("num_key_value_heads", json!(3)),
        ("num_key_value_heads", json!(0)),
        ("vocab_size", json!(u64::MAX)),
        ("vocab_size", json!(321)),
        ("intermediate_size", json!(0)),
        ("rms_norm_eps", json!(-1.0)),
        ("rope_theta", json!(0)),
        ("max_position_embeddings", json!(-5)),
        ("max_position_embeddings", json!(9_223_372_036_854_775_807u64)),
        ("rope_scaling", json!({"rope_type": "made-up", "factor": 2.0})),
        ("rope_scaling", json!({"rope_type": "yarn"})),
        ("hidden_act", json!("made-up")),
        ("quantization", json!({"group_size": 0, "bits": 4})),
        ("quantization", json!({"group_size": 64, "bits": 7})),
        ("quantization", json!({"group_size": 64, "bits": 4, "mode": "made-up"})),
        ("model_type", json!("lama")),
        ("model_type", Value::Null),
    ];
    for (key, value) in broken {
        let folder = fixture.build();
        edit_json(&folder.path().join("config.json"), |config| config[*key] = value.clone());
        let error = load_error(folder.path());
        assert!(
            matches!(error.code(), Code::CorruptFile | Code::Unsupported | Code::InvalidArgument | Code::NotFound),
            "{key} = {value}: {:?} {error}",
            error.code()
        );
        assert!(error.message().contains("config.json") || *key == "vocab_size", "{key} = {value}: {error}");
        let probed = probe(&folder.path().display().to_string(), &ProbeOptions::default());
        if *key != "vocab_size" {
            assert_eq!(probed.err().unwrap().code(), error.code(), "{key} = {value}");
        }
    }
    let folder = fixture.build();
    edit_json(&folder.path().join("config.json"), |config| config["model_type"] = json!("lama"));
    let error = load_error(folder.path());
    assert!(format!("{} {}", error.message(), error.hint()).contains("llama"), "names the nearest: {error}");
    for content in ["", "not json", "[]", "null", "{\"model_type\": \"llama\"}", &"[".repeat(100_000)] {
        let folder = fixture.build();
        fs::write(folder.path().join("config.json"), content).unwrap();
        assert!(load_error(folder.path()).message().contains("config.json"));
    }
}

#[test]
fn broken_weights() {
    let fixture = Fixture::new("llama");
    let folder = fixture.build();
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let cuts = (0..64).chain((64..header).step_by(97)).chain((header..whole.len()).step_by(7001));
    let engine = engine();
    for cut in cuts {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = load(&engine, folder.path()).err().unwrap();
        assert_eq!(error.code(), Code::CorruptFile, "cut at {cut}: {error}");
        assert!(error.message().contains("model.safetensors"), "cut at {cut}: {error}");
    }
    let mut longer = whole.clone();
    longer[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&path, &longer).unwrap();
    assert_eq!(load_error(folder.path()).code(), Code::CorruptFile);
    fs::remove_file(&path).unwrap();
    assert_eq!(load_error(folder.path()).code(), Code::NotFound);

    // A tensor of another model's shape, one too few and one too many.
    let folder = fixture.clone().set("intermediate_size", 128).build();
    fixture.write(tempfile::tempdir().unwrap().path());
    edit_json(&folder.path().join("config.json"), |config| config["intermediate_size"] = json!(64));
    let error = load_error(folder.path());
    assert!(error.message().contains("proj") && error.message().contains("128"), "{error}");
    let folder = fixture.build();
    edit_json(&folder.path().join("config.json"), |config| config["num_hidden_layers"] = json!(3));
    assert!(load_error(folder.path()).message().contains("layers.2"));
    let folder = fixture.build();
    edit_json(&folder.path().join("config.json"), |config| config["num_hidden_layers"] = json!(1));
    assert!(load_error(folder.path()).message().contains("layers.1"));
}

#[test]
fn hostile_shard_names() {
    let long = "x".repeat(4096);
    for name in ["../model.safetensors", "/etc/passwd", "a/../b.safetensors", "C:\\x", "\\\\host\\x", "", "a\0b", &long]
    {
        let folder = Fixture::new("llama").shards(2).build();
        edit_json(&folder.path().join("model.safetensors.index.json"), |index| {
            let map = index["weight_map"].as_object_mut().unwrap();
            map.values_mut().next().into_iter().for_each(|v| *v = json!(name));
        });
        let error = load_error(folder.path());
        assert!(matches!(error.code(), Code::CorruptFile | Code::NotFound), "{name:?}: {error}");
        assert!(error.message().contains("index.json"), "{name:?}: {error}");
    }
}

#[test]
fn broken_tokenizers() {
    for content in ["", "{}", "null", "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": [\"a b\"]}}"] {
        let folder = Fixture::new("llama").build();
        fs::write(folder.path().join("tokenizer.json"), content).unwrap();
        let error = load_error(folder.path());
        assert!(error.message().contains("tokenizer.json"), "{content:?}: {error}");
    }
    let folder = Fixture::new("llama").build();
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(load_error(folder.path()).code(), Code::NotFound);
}

fn with_template(template: &str) -> Loaded {
    let folder = Fixture::new("llama").build();
    edit_json(&folder.path().join("tokenizer_config.json"), |config| config["chat_template"] = json!(template));
    let model = load(&engine(), folder.path()).unwrap();
    Loaded { model, folder }
}

#[test]
fn hostile_templates_end_in_errors() {
    let templates = [
        "{{ raise_exception('no system role') }}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% set x = i %}{% endfor %}{% endfor %}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{{ messages[0].made.up.attribute }}",
        "{{ 'x' * 10000000000 }}",
    ];
    for template in templates {
        let loaded = with_template(template);
        let began = std::time::Instant::now();
        let error = loaded.session().start(Request::user("hi")).err().unwrap_or_else(|| panic!("{template} renders"));
        assert_ne!(error.code(), Code::Internal, "{template}: {error}");
        assert!(began.elapsed().as_secs() < 10, "{template} took {:?}", began.elapsed());
    }
    let error = with_template(templates[0]).session().start(Request::user("hi")).err().unwrap();
    assert!(error.message().contains("no system role"), "{error}");
    // A template that does not parse is an error of the file, when it is read or when it is used.
    let folder = Fixture::new("llama").build();
    edit_json(&folder.path().join("tokenizer_config.json"), |c| c["chat_template"] = json!("{% if %}"));
    let error = match load(&engine(), folder.path()) {
        Err(error) => error,
        Ok(model) => start_error(&model, Request::user("hi")),
    };
    assert_eq!(error.code(), Code::CorruptFile, "{error}");
    assert_eq!(with_template("").session().start(Request::user("hi")).err().unwrap().code(), Code::InvalidArgument);
}

fn start_error(model: &Model, request: Request) -> Error {
    let session = model.session(SessionOptions::default()).unwrap();
    let error = session.start(request).err().unwrap();
    // A refused request leaves the session as it was.
    assert!(session.history().is_empty());
    let outcome = run(&session, Request { max_tokens: Some(2), ..Request::prompt("ok") }).unwrap();
    assert!(!outcome.tokens.is_empty());
    error
}

#[test]
fn bad_requests() {
    let loaded = Loaded::new(&Fixture::new("llama"));
    let invalid: &[&str] = &[
        r#"{"prompt": ""}"#,
        r#"{}"#,
        r#"{"prompt_ids": []}"#,
        r#"{"prompt_ids": [320]}"#,
        r#"{"prompt_ids": [4294967295]}"#,
        r#"{"prompt_ids": [-1]}"#,
        r#"{"messages": []}"#,
        r#"{"prompt": "x", "prompt_ids": [1]}"#,
        r#"{"prompt": "x", "temperature": -1}"#,
        r#"{"prompt": "x", "temperature": 1e39}"#,
        r#"{"prompt": "x", "top_p": 0}"#,
        r#"{"prompt": "x", "top_p": 1.1}"#,
        r#"{"prompt": "x", "min_p": 2}"#,
        r#"{"prompt": "x", "top_k": -1}"#,
        r#"{"prompt": "x", "repetition_penalty": 0}"#,
        r#"{"prompt": "x", "presence_penalty": 3}"#,
        r#"{"prompt": "x", "logit_bias": {"320": 1}}"#,
        r#"{"prompt": "x", "logit_bias": {"1": 101}}"#,
        r#"{"prompt": "x", "logit_bias": {"a": 1}}"#,
        r#"{"prompt": "x", "max_tokens": 0}"#,
        r#"{"prompt": "x", "max_tokens": -1}"#,
        r#"{"prompt": "x", "top_logprobs": 21}"#,
        r#"{"prompt": "x", "stop": [""]}"#,
        r#"{"prompt": "x", "made_up": 1}"#,
        r#"{"prompt": "x", "seed": -1}"#,
        r#"{"messages": [{"role": "user", "content": "x", "made_up": 1}]}"#,
        r#"{"messages": [{"content": "x"}]}"#,
        "",
        "[]",
        "{",
        "\u{0}",
    ];
    for json in invalid {
        let error = match Request::from_json(json.as_bytes()) {
            Err(error) => error,
            Ok(request) => start_error(&loaded.model, request),
        };
        assert_eq!(error.code(), Code::InvalidArgument, "{json}: {error}");
    }
    for (json, names) in [
        (r#"{"prompt": "x", "tool_choice": "required"}"#, "required"),
        (r#"{"prompt": "x", "response_format": {"type": "json_object"}}"#, "json_object"),
        (r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}"#, "image_url"),
    ] {
        let error = Request::from_json(json.as_bytes()).err().unwrap();
        assert_eq!(error.code(), Code::Unsupported, "{json}");
        assert!(error.message().contains(names), "{json}: {error}");
    }
    assert!(Request::from_json(br#"{"prompt": "x", "made_up": 1}"#).err().unwrap().message().contains("made_up"));
    assert!(Request::from_json(b"{\"prompt\": \"\xff\"}").is_err());
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        let request = Request { temperature: Some(value), ..Request::prompt("x") };
        assert_eq!(start_error(&loaded.model, request).code(), Code::InvalidArgument);
    }
    let context = 512;
    let error = start_error(&loaded.model, Request::prompt_ids(vec![1; context]));
    assert_eq!(error.code(), Code::ContextOverflow);
    assert!(error.message().contains("512"), "{error}");
    assert!(loaded.model.score(&Request::prompt("")).is_err());
    assert!(loaded.model.score(&Request::prompt_ids(vec![320])).is_err());
}

#[test]
fn unknown_option_keys_are_named() {
    let json = br#"{"made_up": 1}"#;
    let errors = [
        EngineOptions::from_json(json).err(),
        LoadOptions::from_json(json).err(),
        ProbeOptions::from_json(json).err(),
        SessionOptions::from_json(json).err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("made_up"), "{error}");
    }
    assert!(EngineOptions::from_json(br#"{"device": "tpu"}"#).err().unwrap().message().contains("tpu"));
    assert_eq!(EngineOptions::from_json(b"").unwrap(), EngineOptions::default());
}
