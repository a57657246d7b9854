//! Metadata and search.

use pocketmlx::{FitOptions, Gated, SearchOptions, VersionKind};
use serde_json::{Value, json};

use super::server::About;
use super::*;

const README: &[u8] = b"---\nlicense: apache-2.0\nbase_model: Qwen/Qwen3-0.6B\ntags: [mlx]\n---\n# A model\n";

/// A configuration with so many layers.
fn config(model_type: &str, layers: usize) -> Vec<u8> {
    let config = json!({
        "model_type": model_type, "hidden_size": 1024, "num_hidden_layers": layers, "intermediate_size": 3072,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 40960, "tie_word_embeddings": true,
        "quantization": {"bits": 4, "group_size": 64},
    });
    config.to_string().into_bytes()
}

fn about(downloads: u64) -> About {
    let card = json!({"license": "apache-2.0", "base_model": "Qwen/Qwen3-0.6B", "language": ["en"]});
    let tags = ["mlx", "base_model:quantized:Qwen/Qwen3-0.6B", "4-bit"].map(str::to_owned).to_vec();
    About { card, tags, downloads, version_tags: vec!["v1.0"], ..About::default() }
}

fn setting() -> (TestHub, TempDir) {
    let server = TestHub::start();
    let config = config("qwen3", 28);
    let files =
        [("config.json", &config[..]), ("tokenizer.json", TOKENIZER), ("README.md", README), (WEIGHTS, &[7; 5000])];
    server.add("owner/Model-4bit", &files);
    server.describe("owner/Model-4bit", about(10));
    (server, tempfile::tempdir().unwrap())
}

fn hub(server: &TestHub, cache: &TempDir, offline: bool) -> Hub {
    let cache = Some(cache.path().to_owned());
    Hub::new(HubOptions { endpoints: vec![server.endpoint()], cache, offline: Some(offline), ..HubOptions::default() })
        .unwrap()
}

#[test]
fn a_model_is_told_without_its_weights() {
    let (server, cache) = setting();
    let info = hub(&server, &cache, false).info("owner/Model-4bit", &FitOptions::default()).unwrap();
    let about = &info.metadata;
    assert_eq!(about.license.as_deref(), Some("apache-2.0"));
    assert_eq!(
        (&about.base_models[..], about.base_relation.as_deref()),
        (&["Qwen/Qwen3-0.6B".to_owned()][..], Some("quantized"))
    );
    assert_eq!(about.last_modified.as_deref(), Some("2026-01-31T12:00:00.000Z"));
    let quantization = about.quantization.as_ref().unwrap();
    assert_eq!((quantization.name.as_str(), quantization.group_size), ("4bit", Some(64)));
    let small = (config("qwen3", 28).len() + TOKENIZER.len()) as u64;
    assert_eq!(about.weight_bytes, Some(5000));
    assert_eq!(
        (about.download_bytes, about.total_bytes),
        (Some(5000 + small), Some(5000 + small + README.len() as u64))
    );
    let versions: Vec<_> = about.versions.iter().map(|version| (version.name.as_str(), version.kind)).collect();
    assert_eq!(versions, [("main", VersionKind::Branch), ("v1.0", VersionKind::Tag)]);
    assert_eq!((info.support.supported, about.cached, about.gated), (Some(true), false, Gated::No));
    assert_eq!(info.context_length, Some(40_960));
    let fit = info.fit.unwrap();
    assert!(fit.fits && fit.weight_bytes == 5000 && fit.cache_bytes > 0, "{fit:?}");
    assert!(server.sent() < 1000, "weights were fetched");
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "nothing is written");
    let error = hub(&server, &cache, false).info("owner/absent", &FitOptions::default()).unwrap_err();
    assert!(error.code() == Code::NotFound && !error.hint().is_empty(), "{error}");
}

#[test]
fn what_does_not_run_or_fit_says_why() {
    let (server, cache) = setting();
    let odd = config("no-such-architecture", 28);
    server.add("owner/Odd", &[("config.json", &odd), (WEIGHTS, &[0; 9])]);
    server.add("owner/Gated", &[("config.json", &odd), (WEIGHTS, &[0; 9])]);
    server.describe("owner/Gated", About { gated: Some("manual"), ..about(1) });
    server.add("owner/Bare", &[("model.gguf", b"GGUF")]);
    let hub = hub(&server, &cache, false);
    let info = |id: &str| hub.info(id, &FitOptions { memory_bytes: Some(1000), ..FitOptions::default() }).unwrap();
    let odd = info("owner/Odd");
    assert_eq!(odd.support.supported, Some(false));
    assert!(odd.support.reason.contains("no-such-architecture") && !odd.support.hint.is_empty(), "{:?}", odd.support);
    let gated = info("owner/Gated");
    assert_eq!((gated.metadata.gated, gated.support.supported), (Gated::Manual, None));
    assert!(
        gated.access_hint.contains("HF_TOKEN") && gated.access_hint.contains("/owner/Gated"),
        "{}",
        gated.access_hint
    );
    let bare = info("owner/Bare");
    assert!(bare.support.supported.is_none() && bare.support.reason.contains("config.json"), "{:?}", bare.support);
    let large = info("owner/Model-4bit").fit.unwrap();
    assert!(!large.fits && large.missing_bytes == large.needed_bytes - 1000, "{large:?}");
}

#[test]
fn offline_the_cache_tells() {
    let (server, cache) = setting();
    download(&hub(&server, &cache, false), "owner/Model-4bit").unwrap();
    server.requests();
    let info = hub(&server, &cache, true).info("owner/Model-4bit", &FitOptions::default()).unwrap();
    assert!(server.requests().is_empty());
    let about = &info.metadata;
    assert!(about.from_cache && about.cached && about.weight_bytes == Some(5000), "{about:?}");
    assert_eq!((info.support.supported, about.quantization.as_ref().unwrap().bits), (Some(true), 4));
    assert_eq!((about.versions[0].name.as_str(), about.versions[0].kind), ("main", VersionKind::Reference));
    // A card that Python fetched is read.
    let commit = about.commit.clone().unwrap();
    fs::write(cache.path().join(format!("models--owner--Model-4bit/snapshots/{commit}/README.md")), README).unwrap();
    let info = hub(&server, &cache, true).info("owner/Model-4bit", &FitOptions::default()).unwrap();
    assert_eq!(info.metadata.license.as_deref(), Some("apache-2.0"));
    let error = hub(&server, &cache, true).info("owner/absent", &FitOptions::default()).unwrap_err();
    assert!(error.code() == Code::NotFound && error.hint().contains("HF_HUB_OFFLINE"), "{error}");
}

#[test]
fn a_search_puts_first_what_runs_and_fits() {
    let (server, cache) = setting();
    let add = |id: &str, model_type: &str, layers: usize, downloads: u64, tags: bool| {
        server.add(id, &[("config.json", &config(model_type, layers)), (WEIGHTS, &vec![0; layers * 1000])]);
        let mut about = about(downloads);
        if !tags {
            about.tags.clear();
        }
        server.describe(id, about);
    };
    add("owner/Model-a", "no-such", 2, 900, true);
    add("owner/Model-large", "qwen3", 400, 800, true);
    add("owner/Model-b", "qwen3", 2, 700, true);
    add("owner/Model-c", "qwen3", 2, 600, true);
    add("owner/Model-untagged", "qwen3", 2, 500, false);
    add("other/Model-d", "qwen3", 2, 400, true);
    let hub = hub(&server, &cache, false);
    let options =
        SearchOptions { query: "Model".into(), memory_bytes: Some(2_000_000_000), ..SearchOptions::default() };
    let found = hub.search(&options).unwrap();
    let ids: Vec<_> = found.iter().map(|model| model.metadata.id.as_str()).collect();
    // Pages of three are put together; the hub's order decides between equals.
    assert_eq!(
        ids,
        ["owner/Model-b", "owner/Model-c", "other/Model-d", "owner/Model-4bit", "owner/Model-large", "owner/Model-a"]
    );
    assert_eq!(found[0].metadata.downloads, Some(700));
    let missing = found[4].fit.as_ref().unwrap();
    assert!(!missing.fits && missing.missing_bytes > 0, "{missing:?}");
    assert!(found[5].support.reason.contains("no-such"));
    let ids = |options: SearchOptions| -> Vec<String> {
        hub.search(&options).unwrap().into_iter().map(|model| model.metadata.id).collect()
    };
    assert_eq!(ids(SearchOptions { author: Some("other".into()), ..SearchOptions::default() }), ["other/Model-d"]);
    assert_eq!(ids(SearchOptions { limit: 1, query: "Model-b".into(), ..SearchOptions::default() }), ["owner/Model-b"]);
    assert!(ids(SearchOptions { query: "nothing".into(), ..SearchOptions::default() }).is_empty());
    assert_eq!(ids(SearchOptions { limit: 5, tags: Vec::new(), ..SearchOptions::default() }).len(), 5);
    for wrong in [0, 201] {
        let error = hub.search(&SearchOptions { limit: wrong, ..SearchOptions::default() }).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
    let error = super::metadata::hub(&server, &cache, true).search(&options).unwrap_err();
    assert!(error.code() == Code::Network && error.hint().contains("HF_HUB_OFFLINE"), "{error}");
}

/// A hub whose pages never end is left after a few.
#[test]
fn endless_pages_end() {
    let (server, cache) = setting();
    for i in 0..40 {
        server.add(&format!("owner/Many-{i:02}"), &[("config.json", b"{}")]);
    }
    let options = SearchOptions { tags: Vec::new(), limit: 200, ..SearchOptions::default() };
    let found = hub(&server, &cache, false).search(&options).unwrap();
    assert_eq!(found.len(), 24, "eight pages of three");
    let asked = server.requests().iter().filter(|request| request.path.starts_with("/api/models?")).count();
    assert_eq!(asked, 8);
}

#[test]
fn the_command_prints_what_was_found() {
    let (server, cache) = setting();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pocketmlx"));
        command.args(args).env("HF_ENDPOINT", server.endpoint()).env("HF_HUB_CACHE", cache.path());
        let output = command.env("HF_HUB_OFFLINE", "0").env_remove("HF_TOKEN").output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let found = read(&run(&["search", "Model", "--json"]));
    assert_eq!((&found[0]["id"], &found[0]["supported"]), (&json!("owner/Model-4bit"), &json!(true)));
    assert_eq!(found[0]["quantization"]["name"], "4bit");
    let text = run(&["search", "Model"]);
    assert!(text.starts_with("+ owner/Model-4bit  4bit, apache-2.0\n"), "{text}");
    for verb in ["info", "probe"] {
        let info = read(&run(&[verb, "owner/Model-4bit", "--json"]));
        assert_eq!(
            (&info["license"], &info["cached"], &info["fit"]["fits"]),
            (&json!("apache-2.0"), &json!(false), &json!(true))
        );
    }
    run(&["pull", "owner/Model-4bit"]);
    let listed = read(&run(&["list", "--json"]));
    assert_eq!(
        (&listed[0]["id"], &listed[0]["revisions"][0]["references"]),
        (&json!("owner/Model-4bit"), &json!(["main"]))
    );
    assert!(listed[0]["last_used"].as_u64().unwrap() > 1_700_000_000);
    let all = read(&run(&["recommend", "--task", "code", "--memory", "6GB", "--json"]));
    assert_eq!(all[0]["fit"]["fits"], json!(true));
    let text = run(&["recommend", "--memory", "6GB", "--limit", "2"]);
    assert!(
        text.starts_with("+ ") && text.contains("does not fit or run") && text.contains("computed from shapes"),
        "{text}"
    );
}

/// Python's client reads our server's answers, so they have the real names.
#[test]
fn python_reads_the_same_answers() {
    let Some(python) = std::env::var_os("POCKETMLX_PYTHON") else {
        return eprintln!("skipped: POCKETMLX_PYTHON names no Python with huggingface_hub");
    };
    let (server, _cache) = setting();
    for i in 0..4 {
        server.add(&format!("owner/Other-{i}"), &[("config.json", CONFIG)]);
        server.describe(&format!("owner/Other-{i}"), About { gated: Some("auto"), ..about(i) });
    }
    let script = "
from huggingface_hub import HfApi
api = HfApi()
info = api.model_info('owner/Model-4bit', files_metadata=True)
print(info.card_data.license, info.gated, info.last_modified.isoformat(), info.safetensors.total, info.config['model_type'])
print(sorted((s.rfilename, s.size) for s in info.siblings)[-1])
refs = api.list_repo_refs('owner/Model-4bit')
print([b.name for b in refs.branches], [t.name for t in refs.tags], refs.tags[0].target_commit == info.sha)
print([m.id for m in api.list_models(author='owner', filter='mlx', sort='downloads', limit=5)])
print(next(api.list_models(search='Other-3', expand=['gated', 'downloads'])).gated)
";
    let output = Command::new(&python)
        .args(["-c", script])
        .env("HF_ENDPOINT", server.endpoint())
        .env("HF_HUB_OFFLINE", "0")
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "apache-2.0 False 2026-01-31T12:00:00+00:00 5000 qwen3");
    assert_eq!(lines[1], "('tokenizer.json', 2)");
    assert_eq!(lines[2], "['main'] ['v1.0'] True");
    assert_eq!(lines[3], "['owner/Model-4bit', 'owner/Other-3', 'owner/Other-2', 'owner/Other-1', 'owner/Other-0']");
    assert_eq!(lines[4], "auto");
}
