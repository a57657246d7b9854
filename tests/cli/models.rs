//! The subcommands on a tiny model.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{run, run_with};
use crate::support::{Fixture, tokenizer};

/// A model, and its folder's name for `-m`.
struct Model {
    folder: TempDir,
}

impl Model {
    fn new() -> Self {
        Self { folder: Fixture::new("llama").build() }
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Runs `subcommand -m MODEL …` and gives its stdout.
    fn run(&self, subcommand: &str, args: &[&str]) -> String {
        run(&[&[subcommand, "-m", self.path()], args].concat()).succeeded()
    }

    fn json(&self, subcommand: &str, args: &[&str]) -> Value {
        let line = self.run(subcommand, &[args, &["--json"]].concat());
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        serde_json::from_str(&line).unwrap()
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn text_goes_to_stdout_and_json_tells_all() {
    let model = Model::new();
    let args = ["Hello", "--max-tokens", "12", "--ignore-eos"];
    let report = model.json("generate", &args);
    assert_eq!(keys(&report), ["model", "text", "tokens", "finish_reason", "usage", "timings"]);
    assert_eq!(keys(&report["usage"]), ["prompt_tokens", "completion_tokens", "cached_tokens"]);
    let timings = ["load_ms", "ttft_ms", "prefill_tokens_per_second", "decode_tokens_per_second"];
    assert_eq!(keys(&report["timings"]), timings);
    for key in timings {
        assert!(report["timings"][key].as_f64().unwrap() > 0.0, "{key}: {report}");
    }
    assert_eq!(report["model"], model.path());
    assert_eq!(report["finish_reason"], "length");
    assert_eq!(report["usage"]["completion_tokens"], 12);
    assert_eq!(report["tokens"].as_array().unwrap().len(), 12);

    let text = report["text"].as_str().unwrap();
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    assert_eq!(model.run("generate", &args), format!("{text}{newline}"));
}

#[test]
fn a_prompt_comes_from_arguments_stdin_ids_or_a_request() {
    let model = Model::new();
    let flags = ["generate", "-m", model.path(), "--max-tokens", "6", "--json"];
    let tokens = |args: &[&str], stdin: &str| {
        let line = run_with(&[&flags, args].concat(), stdin.as_bytes()).succeeded();
        serde_json::from_str::<Value>(&line).unwrap()["tokens"].clone()
    };
    let chat = tokens(&["Hello you"], "");
    assert_eq!(tokens(&[], "Hello you\n"), chat);
    let request = json!({"messages": [{"role": "user", "content": "Hello you"}], "max_tokens": 3}).to_string();
    assert_eq!(tokens(&["--request", "-"], &request), chat, "--max-tokens wins over the request's");

    let raw = tokens(&["--raw", "Hello you"], "");
    assert_ne!(raw, chat);
    assert_eq!(tokens(&["--raw"], "Hello you"), raw);
    let ids = model.run("tokenize", &["Hello you"]);
    assert_eq!(tokens(&["--ids", &ids], ""), raw);
    assert_eq!(tokens(&["--ids", &ids.trim().replace(' ', ",")], ""), raw);

    let brief = tokens(&["--system", "Be brief.", "Hello you"], "");
    assert_ne!(brief, chat);
    assert_eq!(tokens(&["--request", "-", "--system", "Be brief."], &request), brief);
}

#[test]
fn sampling_follows_the_seed() {
    let model = Model::new();
    let text =
        |seed: &str| model.json("generate", &["Hi", "--max-tokens=20", "--temp=1", "--seed", seed])["tokens"].clone();
    assert_eq!(text("1"), text("1"));
    assert_ne!(text("1"), text("2"));
}

#[test]
fn logprobs_come_with_json_when_a_request_asks_for_them() {
    let model = Model::new();
    let request = r#"{"prompt": "Hello", "max_tokens": 3, "top_logprobs": 2}"#;
    let line = run_with(&["generate", "-m", model.path(), "--request", "-", "--json"], request.as_bytes()).succeeded();
    let report: Value = serde_json::from_str(&line).unwrap();
    let logprobs = report["logprobs"].as_array().unwrap();
    assert_eq!(logprobs.len(), 3);
    assert_eq!(logprobs[0]["token"], report["tokens"][0]);
    assert_eq!(logprobs[0]["top"].as_array().unwrap().len(), 2);
}

#[test]
fn scores_are_log_probabilities_of_the_text() {
    let model = Model::new();
    let score = model.json("score", &["Hello world", "--top-k", "3"]);
    assert_eq!(keys(&score), ["tokens", "logprobs", "top", "perplexity"]);
    let tokens = score["tokens"].as_array().unwrap();
    let logprobs = score["logprobs"].as_array().unwrap();
    assert_eq!((tokens.len(), logprobs.len()), (2, 2));
    assert_eq!(logprobs[0], Value::Null);
    let logprob = logprobs[1].as_f64().unwrap();
    assert!(logprob < 0.0 && (score["perplexity"].as_f64().unwrap() - (-logprob).exp()).abs() < 1e-3, "{score}");
    assert_eq!(score["top"][0].as_array().unwrap().len(), 3);

    let ids = model.run("tokenize", &["Hello world"]);
    assert_eq!(model.json("score", &["--ids", &ids, "--top-k", "3"]), score);
    let table = model.run("score", &["Hello world", "--top-k", "3"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains("\" world\"") && table.contains("2 tokens, perplexity "), "{table}");
}

/// Ids of `tests/data/tokenizers`, whose folders have neither weights nor a tokenizer.json.
#[test]
fn tokenizers_of_other_files_are_converted() {
    let folder = |name: &str| format!("{}/tests/data/tokenizers/{name}", env!("CARGO_MANIFEST_DIR"));
    for (name, ids) in [
        ("sp_bpe", "1 352 264 313 309 274 371"),
        ("tiktoken_kimi", "84 258 309 305 115 46"),
        ("tiktoken_qwen", "84 258 309 305 115 46"),
    ] {
        let printed = run(&["tokenize", "-m", &folder(name), "The harbour wakes."]).succeeded();
        assert_eq!(printed.trim_end(), ids, "{name}");
    }
}

#[test]
fn tokenize_and_render_need_no_weights() {
    let model = Model::new();
    fs::remove_file(model.folder.path().join("model.safetensors")).unwrap();
    let ids = model.run("tokenize", &["<|im_start|>Hello"]);
    let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert_eq!((ids[0], ids.len()), (tokenizer::IM_START, 2));
    assert_eq!(model.json("tokenize", &["--no-special", "<|im_start|>Hello"]), json!({ "tokens": ids }));

    let prompt = "<|im_start|>user\nhi\n<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(model.run("render", &["hi\n"]), prompt);
    let request = r#"{"messages": [{"role": "user", "content": "hi\n"}]}"#;
    let file = model.folder.path().join("request.json");
    fs::write(&file, request).unwrap();
    assert_eq!(model.run("render", &["--request", file.to_str().unwrap()]), prompt);
    assert_eq!(
        model.run("render", &["hi\n", "--system", "Be brief."]),
        format!("<|im_start|>system\nBe brief.<|im_end|>\n{prompt}")
    );
}

#[test]
fn probe_and_info_tell_facts() {
    let model = Model::new();
    let facts = model.json("probe", &["--context-length", "256"]);
    assert_eq!((&facts["supported"], &facts["model_type"]), (&json!(true), &json!("llama")));
    assert!(facts["memory"].is_object(), "{facts}");
    let caches = |bits: &str| {
        let facts = model.json("probe", &["--context-length", "256", "--kv-bits", bits]);
        assert_eq!(facts["kv_cache"]["bits"].to_string(), bits);
        facts["memory"]["cache_bytes"].as_u64().unwrap()
    };
    assert!(caches("4") < caches("8") && caches("8") < caches("16"));
    let info: Value = serde_json::from_str(&run(&["info", model.path(), "--json"]).succeeded()).unwrap();
    assert_eq!(info["memory"], Value::Null);
    assert_eq!(info["text"]["prompt_example"], "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
    for subcommand in ["probe", "info"] {
        let outline = model.run(subcommand, &[]);
        assert!(outline.contains("model type: llama\n") && outline.contains("    0–1:\n"), "{outline}");
    }
}

#[test]
fn bench_prints_the_keys_of_the_peers() {
    let model = Fixture::new("llama").set("vocab_size", 512).build();
    let path = model.path().to_str().unwrap();
    let line = run(&["bench", "-m", path, "--prompt-tokens=20", "--new-tokens=10", "--repeats=2", "--device=cpu"]);
    let report: Value = serde_json::from_str(&line.succeeded()).unwrap();
    let expected = [
        "engine",
        "device",
        "prompt_tokens",
        "new_tokens",
        "load_seconds",
        "ttft_seconds",
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "peak_bytes",
    ];
    assert_eq!(keys(&report), expected);
    assert_eq!((&report["engine"], &report["device"]), (&json!("pocketmlx"), &json!("cpu")));
    assert_eq!((&report["prompt_tokens"], &report["new_tokens"]), (&json!(20), &json!(10)));
    assert!(report["peak_bytes"].as_u64().unwrap() > 0, "{report}");
    for key in ["prefill_tokens_per_second", "decode_tokens_per_second"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{report}");
    }
}

#[test]
fn bench_runs_sessions_together_and_profiles() {
    let model = Fixture::new("llama").set("vocab_size", 512).build();
    let path = model.path().to_str().unwrap();
    let args = ["--prompt-tokens=20", "--new-tokens=10", "--repeats=1", "--device=cpu", "--sessions=3", "--profile"];
    let line = run(&[&["bench", "-m", path], &args[..]].concat());
    let report: Value = serde_json::from_str(&line.succeeded()).unwrap();
    assert_eq!(report["sessions"], 3);
    assert!(report["total_tokens_per_second"].as_f64().unwrap() > 0.0, "{report}");
    let profile = &report["profile"];
    assert!(profile["read_bytes_per_second"].as_f64().unwrap() > 1e8, "{profile}");
    for phase in ["prefill", "decode"] {
        let operations = profile[phase]["operations"].as_array().unwrap();
        let names: Vec<_> = operations.iter().map(|operation| operation["name"].as_str().unwrap()).collect();
        for name in ["embed", "norm_linear", "attention", "linear_add", "gated_mlp"] {
            assert!(names.contains(&name), "{phase}: {names:?}");
        }
        let shares: f64 = operations.iter().map(|operation| operation["share"].as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 0.02, "{profile}");
    }
    // Two layers, and three sessions that share a step or not.
    let operations = profile["decode"]["operations"].as_array().unwrap();
    let mlp = operations.iter().find(|operation| operation["name"] == "gated_mlp").unwrap();
    assert!((0.6..=2.0).contains(&mlp["calls_per_token"].as_f64().unwrap()), "{mlp}");
    assert!(mlp["bytes_per_token"].as_f64().unwrap() > 0.0, "{mlp}");
}

#[test]
fn what_cannot_run_says_why() {
    let model = Model::new();
    for (args, message) in [
        (&["generate", "hi", "-m", "/no/such/model"][..], "/no/such/model"),
        (&["probe", "/no/such/model"], "/no/such/model"),
        (&["tokenize", "hi", "-m", "/no/such/model"], "/no/such/model"),
        (&["generate", "-m", model.path(), "--ids", "320"], "320"),
        (&["generate", "-m", model.path(), "--ids", ""], "empty"),
        (&["score", "-m", model.path(), "--ids", ""], "no tokens"),
        (&["generate", "-m", model.path(), "hi", "--context-length", "4"], "the context has 4"),
        (&["generate", "-m", model.path(), "hi", "--threads", "0"], "threads is 0"),
        (&["generate", "-m", model.path(), "hi", "--memory-limit", "1KB"], "memory"),
    ] {
        let stderr = run(args).failed(1);
        assert!(stderr.starts_with("error: ") && stderr.contains(message), "{args:?}: {stderr}");
    }
    assert!(run(&["probe", "/no/such/model"]).failed(1).contains("\nhint: "));
}

#[test]
fn a_talk_can_be_scripted_and_saved() {
    let model = Model::new();
    let saved = model.folder.path().join("talk.json");
    let script = format!(
        "Hello\n\n/bogus\nAnd you?\n/save {saved}\n/reset\nHello\n/save {saved}.2\n/exit\nnever said\n",
        saved = saved.display()
    );
    let args = ["chat", "-m", model.path(), "--system", "Be brief.", "--max-tokens", "5"];
    let ran = run_with(&args, script.as_bytes());
    assert!(ran.stderr.contains("unknown command /bogus"), "{}", ran.stderr);
    ran.succeeded();

    let first = roles(&saved);
    assert_eq!(first.0, ["system", "user", "assistant", "user", "assistant"]);
    let second = roles(Path::new(&format!("{}.2", saved.display())));
    assert_eq!(second.0, ["system", "user", "assistant"]);
    assert_eq!(second.1, first.1[..3], "/reset begins anew");
    assert!(model.run("render", &["--request", saved.to_str().unwrap()]).contains("And you?"));
}

/// Roles and texts of a saved transcript.
fn roles(path: &Path) -> (Vec<String>, Vec<String>) {
    let saved: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let messages = saved["transcript"].as_array().unwrap();
    let part = |key: &str| messages.iter().map(|m| m[key].as_str().unwrap().to_owned()).collect();
    (part("role"), part("content"))
}

#[test]
fn a_talk_goes_on_after_a_failure_and_says_so_at_the_end() {
    let model = Model::new();
    let long = "so ".repeat(100);
    let args = ["chat", "-m", model.path(), "--context-length", "64", "--max-tokens", "9", "--ignore-eos"];
    let ran = run_with(&args, format!("{long}\nHi\n").as_bytes());
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: the prompt has ") && ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert!(!ran.stdout.is_empty());
}

#[test]
fn a_talk_may_outgrow_the_context() {
    let model = Model::new();
    let args = ["chat", "-m", model.path(), "--context-length", "96", "--max-tokens", "9", "--ignore-eos"];
    let script = "Tell me about the sea.\n".repeat(8);
    let ran = run_with(&args, script.as_bytes());
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("error: the prompt has "), "{}", ran.stderr);
    run_with(&[&args[..], &["--drop-oldest-turns"]].concat(), script.as_bytes()).succeeded();
}
