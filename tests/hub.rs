//! Downloads from a hub on the loopback, and the cache they make.
#![cfg(feature = "hub")]

#[path = "hub/disk.rs"]
mod disk;
#[path = "hub/gguf.rs"]
mod gguf;
#[path = "hub/metadata.rs"]
mod metadata;
#[path = "support/hub.rs"]
mod server;
#[path = "hub/speed.rs"]
mod speed;
mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use pocketmlx::{Code, Error, Hub, HubOptions};
use server::{Answer, Incoming, TestHub, git, sha256};
use tempfile::TempDir;

const ID: &str = "owner/model";
const CONFIG: &[u8] = include_bytes!("../assets/demo/config.json");
const TOKENIZER: &[u8] = b"{}";
const WEIGHTS: &str = "model.safetensors";

struct Setting {
    server: TestHub,
    cache: TempDir,
    weights: Vec<u8>,
    commit: String,
}

impl Setting {
    fn new() -> Self {
        Self::with_weights(3_000_000)
    }

    fn with_weights(bytes: usize) -> Self {
        let server = TestHub::start();
        let weights: Vec<u8> = (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect();
        let commit = server.add(
            ID,
            &[("config.json", CONFIG), ("README.md", b"x"), ("tokenizer.json", TOKENIZER), (WEIGHTS, &weights)],
        );
        Self { server, cache: tempfile::tempdir().unwrap(), weights, commit }
    }

    /// Bytes that a run needs.
    fn bytes(&self) -> u64 {
        (CONFIG.len() + TOKENIZER.len() + self.weights.len()) as u64
    }

    fn hub(&self) -> Hub {
        self.hub_of(&[&self.server.endpoint()])
    }

    fn hub_of(&self, endpoints: &[&str]) -> Hub {
        Hub::new(HubOptions {
            endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
            token: Some("hf_secret".to_owned().into()),
            cache: Some(self.cache.path().to_owned()),
            offline: Some(false),
        })
        .unwrap()
    }

    fn download(&self) -> Result<PathBuf, Error> {
        download(&self.hub(), ID)
    }

    fn holds_all(&self, folder: &Path) {
        assert_eq!(fs::read(folder.join("config.json")).unwrap(), CONFIG);
        assert!(fs::read(folder.join(WEIGHTS)).unwrap() == self.weights, "other weights");
        assert!(!folder.join("README.md").exists(), "fetched, though nobody needs it");
    }

    fn blobs(&self) -> Vec<String> {
        let blobs = fs::read_dir(self.cache.path().join("models--owner--model/blobs")).unwrap();
        let mut names: Vec<_> = blobs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn download(hub: &Hub, id: &str) -> Result<PathBuf, Error> {
    hub.download(id, &|_| Ok(()), &mut |_| ControlFlow::Continue(()))
}

fn of_weights(request: &Incoming) -> bool {
    request.path.starts_with("/cdn/")
}

#[test]
fn a_model_is_fetched_once_into_the_layout_of_python() {
    let setting = Setting::new();
    let hub = setting.hub();
    assert_eq!(hub.cached(ID).unwrap(), None);
    let mut seen = Vec::new();
    let folder = hub
        .download(ID, &|_| Ok(()), &mut |progress| {
            seen.push((progress.done, progress.total));
            ControlFlow::Continue(())
        })
        .unwrap();
    setting.holds_all(&folder);
    let root = setting.cache.path().join("models--owner--model");
    assert_eq!(folder, root.join("snapshots").join(&setting.commit));
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), setting.commit);
    let mut blobs = [git(CONFIG), git(TOKENIZER), sha256(&setting.weights)];
    blobs.sort();
    assert_eq!(setting.blobs(), blobs);
    let link = fs::read_link(folder.join(WEIGHTS)).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(sha256(&setting.weights)));
    let all = setting.bytes();
    assert_eq!(seen.last(), Some(&(all, all)));
    assert_eq!(setting.server.sent(), all);
    // The token goes to the hub, not to where it redirects to.
    let requests = setting.server.requests();
    assert!(requests.iter().any(of_weights));
    for request in requests {
        assert_eq!(request.headers.contains_key("authorization"), !of_weights(&request), "{request:?}");
    }
    // Again, and by others: nothing more comes.
    assert_eq!(hub.cached(ID).unwrap(), Some(folder.clone()));
    assert_eq!(download(&hub, &format!("{ID}@{}", setting.commit)).unwrap(), folder);
    assert_eq!(setting.server.sent(), 0);
    let offline =
        HubOptions { cache: Some(setting.cache.path().to_owned()), offline: Some(true), ..Default::default() };
    let offline = Hub::new(offline).unwrap();
    assert_eq!(download(&offline, ID).unwrap(), folder);
    let error = download(&offline, "owner/other").unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
}

#[test]
fn a_new_commit_brings_only_what_changed_and_the_old_one_can_be_collected() {
    let setting = Setting::new();
    let old = setting.download().unwrap();
    setting.server.sent();
    let config = b"{\"model_type\": \"qwen3\"}";
    setting.server.add(ID, &[("config.json", config), ("tokenizer.json", TOKENIZER), (WEIGHTS, &setting.weights)]);
    let new = setting.download().unwrap();
    assert_ne!(old, new);
    assert_eq!(setting.server.sent(), config.len() as u64);
    assert_eq!(fs::read(old.join("config.json")).unwrap(), CONFIG, "the old snapshot stays as it was");
    let hub = setting.hub();
    let removed = hub.collect_garbage(None).unwrap();
    assert_eq!((removed[0].bytes, removed[0].whole), (CONFIG.len() as u64, false));
    assert!(!old.exists() && new.exists());
    assert_eq!(hub.collect_garbage(None).unwrap(), []);
    let [model] = &hub.list().unwrap()[..] else { panic!() };
    assert_eq!((model.id.as_str(), model.bytes), (ID, (config.len() + TOKENIZER.len() + setting.weights.len()) as u64));
    assert!(model.revisions[0].complete && model.revisions[0].references == ["main"]);
    assert_eq!(hub.collect_garbage(Some(model.bytes)).unwrap(), []);
    assert!(hub.collect_garbage(Some(model.bytes - 1)).unwrap()[0].whole);
    assert!(hub.list().unwrap().is_empty());
    assert_eq!(hub.remove(ID).unwrap_err().code(), Code::NotFound);
}

#[test]
fn without_its_tokenizer_a_model_is_not_complete() {
    let setting = Setting::new();
    let folder = setting.download().unwrap();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    assert_eq!(setting.hub().cached(ID).unwrap(), None);
    assert!(!setting.hub().list().unwrap()[0].revisions[0].complete);
    setting.server.sent();
    setting.holds_all(&setting.download().unwrap());
    assert_eq!(setting.server.sent(), 0, "its blob was there");
    assert_eq!(setting.hub().cached(ID).unwrap(), Some(folder));
}

#[test]
fn downloads_that_nobody_goes_on_with_are_collected() {
    let setting = Setting::with_weights(20_000_000);
    let interrupt = || {
        let mut answers = [Answer::CutAfter(5_000_000), Answer::Status(404, &[])].into_iter().cycle();
        setting.server.on_request(move |request| match of_weights(request) {
            true => answers.next().unwrap_or(Answer::Right),
            false => Answer::Right,
        });
        assert_eq!(setting.download().unwrap_err().code(), Code::NotFound);
        setting.server.on_request(|_| Answer::Right);
    };
    interrupt();
    let hub = setting.hub();
    assert!(!hub.list().unwrap()[0].revisions[0].complete);
    let removed = hub.collect_garbage(None).unwrap();
    let small = (CONFIG.len() + TOKENIZER.len()) as u64;
    assert_eq!((removed[0].bytes, removed[0].whole), (5_000_000 + small, true));
    assert!(hub.list().unwrap().is_empty());
    setting.holds_all(&setting.download().unwrap());
    // What another client left without weights, and named, is none of ours.
    let other = setting.cache.path().join("models--other--encoder");
    for (name, content) in [("snapshots/abc/config.json", "{}"), ("refs/main", "abc"), ("blobs/x", "kept")] {
        let path = other.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    hub.collect_garbage(None).unwrap();
    assert!(other.join("snapshots/abc/config.json").exists());
}

/// How every kind of misbehaviour ends, and how many bytes of the file may come a second time.
#[test]
fn faults_of_the_server_are_overcome() {
    let faults: [(&str, Vec<Answer>); 9] = [
        ("cut", vec![Answer::CutAfter(100_000), Answer::CutAfter(0), Answer::CutAfter(1_000_000)]),
        ("ranges ignored", vec![Answer::CutAfter(700_000), Answer::IgnoreRange]),
        ("wrong range", vec![Answer::CutAfter(700_000), Answer::WrongRange]),
        ("busy", vec![Answer::Status(503, &[]), Answer::Status(429, &[("Retry-After", "1")])]),
        ("signature ran out", vec![Answer::Status(403, &[])]),
        ("corrupt once", vec![Answer::Corrupt]),
        ("endless", vec![Answer::Endless]),
        ("compressed", vec![Answer::Compressed]),
        ("unknown part", vec![Answer::CutAfter(9), Answer::Status(416, &[])]),
    ];
    for (name, faults) in faults {
        let setting = Setting::new();
        let mut left = faults.clone().into_iter();
        setting.server.on_request(move |request| match of_weights(request) {
            true => left.next().unwrap_or(Answer::Right),
            false => Answer::Right,
        });
        let folder = setting.download().unwrap_or_else(|error| panic!("{name}: {error}"));
        setting.holds_all(&folder);
        assert_eq!(setting.blobs().len(), 3, "{name}");
        if name == "cut" {
            assert_eq!(setting.server.sent(), setting.bytes(), "what came was kept");
            let requests = setting.server.requests();
            let asked = requests.iter().filter(|request| of_weights(request));
            let ranges: Vec<_> = asked.filter_map(|request| request.headers.get("range")).collect();
            assert_eq!(ranges, ["bytes=100000-", "bytes=100000-", "bytes=1100000-"]);
            assert!(
                requests.iter().filter(|r| of_weights(r)).any(|r| r.headers.get("if-range") == Some(&"\"cdn\"".into()))
            );
        }
    }
}

#[test]
fn what_can_not_be_overcome_is_an_error_that_says_what_and_leaves_no_wrong_file() {
    let cases = [
        (Answer::Corrupt, Code::CorruptFile, "does not match its hash"),
        (Answer::Loop, Code::Network, "redirects"),
        (Answer::Status(404, &[]), Code::NotFound, "status 404"),
        (Answer::Status(401, &[]), Code::NotFound, "status 401"),
    ];
    for (answer, code, part) in cases {
        let setting = Setting::new();
        let fault = answer.clone();
        setting.server.on_request(move |request| if of_weights(request) { fault.clone() } else { Answer::Right });
        let error = setting.download().unwrap_err();
        assert_eq!(error.code(), code, "{answer:?}: {error}");
        assert!(error.message().contains(part) && !error.hint().is_empty(), "{answer:?}: {error}");
        assert!(!error.message().contains("secret"), "{error}");
        assert!(!setting.blobs().contains(&sha256(&setting.weights)));
        assert_eq!(setting.hub().cached(ID).unwrap(), None);
    }
    let setting = Setting::new();
    setting.server.on_request(|_| Answer::Status(403, &[("X-Error-Code", "GatedRepo")]));
    let error = setting.download().unwrap_err();
    assert!(error.code() == Code::Network && error.hint().contains("terms"), "{error} {}", error.hint());
    let error = download(&setting.hub_of(&["http://127.0.0.1:1"]), ID).unwrap_err();
    assert_eq!(error.code(), Code::Network, "{error}");
}

#[test]
fn mirrors_are_tried_in_order() {
    let setting = Setting::new();
    let broken = TestHub::start();
    broken.add(ID, &[("config.json", CONFIG), ("tokenizer.json", TOKENIZER), (WEIGHTS, &setting.weights)]);
    broken.on_request(|request| if of_weights(request) { Answer::Corrupt } else { Answer::Status(404, &[]) });
    let folder = download(&setting.hub_of(&[&broken.endpoint(), &setting.server.endpoint()]), ID).unwrap();
    setting.holds_all(&folder);
    assert!(!broken.requests().is_empty());
}

#[test]
fn without_a_hub_the_cache_is_used() {
    let setting = Setting::new();
    let folder = setting.download().unwrap();
    setting.server.on_request(|_| Answer::Status(500, &[]));
    assert_eq!(setting.download().unwrap(), folder);
}

#[test]
fn hostile_repositories_are_refused_and_write_nothing_outside() {
    let long = "x".repeat(4000);
    for name in ["../../../escaped", "/escaped", "\\\\host\\share", "a/../../../../escaped", &long] {
        let setting = Setting::new();
        setting.server.add(ID, &[("config.json", CONFIG), (name, b"x")]);
        let error = setting.download().unwrap_err();
        assert!(error.code() == Code::Network && error.message().contains("lead out"), "{name}: {error}");
        assert_eq!(fs::read_dir(setting.cache.path()).unwrap().count(), 0, "{name}");
    }
    let setting = Setting::new();
    let index = br#"{"weight_map": {"x": "../../../../../etc/passwd"}}"#;
    setting.server.add(ID, &[("config.json", CONFIG), ("model.safetensors.index.json", index), (WEIGHTS, b"x")]);
    let error = setting.download().unwrap_err();
    assert_eq!(error.code(), Code::CorruptFile, "{error}");
    // A link that somebody put into the cache is replaced, not written through.
    let setting = Setting::new();
    let outside = setting.cache.path().join("outside");
    fs::write(&outside, "precious").unwrap();
    let snapshot = setting.cache.path().join("models--owner--model/snapshots").join(&setting.commit);
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink(&outside, snapshot.join(WEIGHTS)).unwrap();
    setting.holds_all(&setting.download().unwrap());
    assert_eq!(fs::read(outside).unwrap(), b"precious");
}

#[test]
fn nothing_is_fetched_for_what_the_check_refuses() {
    let setting = Setting::new();
    let refuse = |folder: &Path| {
        assert_eq!(fs::read(folder.join("config.json")).unwrap(), CONFIG);
        Err(Error::unsupported("no such architecture"))
    };
    let error = setting.hub().download(ID, &refuse, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert_eq!(setting.server.sent(), (CONFIG.len() + TOKENIZER.len()) as u64);
}

#[test]
fn a_cancelled_download_ends_soon_and_goes_on_later() {
    let setting = Setting::with_weights(40_000_000);
    let began = Instant::now();
    let mut seen = 0;
    let error = setting
        .hub()
        .download(ID, &|_| Ok(()), &mut |progress| {
            seen = progress.done;
            if progress.done > 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(30) && seen > 1000);
    setting.holds_all(&setting.download().unwrap());
    assert!(setting.server.sent() <= setting.bytes() + (16 << 20), "much came twice");
    assert_eq!(setting.hub().verify(&mut |_| ControlFlow::Continue(())).unwrap(), Vec::<PathBuf>::new());
    let blob = setting.cache.path().join("models--owner--model/blobs").join(sha256(&setting.weights));
    fs::write(&blob, "damaged").unwrap();
    assert_eq!(setting.hub().verify(&mut |_| ControlFlow::Continue(())).unwrap(), [blob]);
    setting.holds_all(&setting.download().unwrap());
}

#[test]
fn two_at_once_fetch_every_byte_once() {
    let setting = Setting::with_weights(20_000_000);
    let (results, inbox) = mpsc::channel();
    for _ in 0..2 {
        let (hub, results) = (setting.hub(), results.clone());
        std::thread::spawn(move || results.send(download(&hub, ID)).unwrap());
    }
    for _ in 0..2 {
        setting.holds_all(&inbox.recv().unwrap().unwrap());
    }
    assert_eq!(setting.server.sent(), setting.bytes());
}

/// The command is killed while it fetches, again and again, and nothing that was written comes a second time.
#[test]
fn killed_downloads_are_gone_on_with() {
    let setting = Setting::with_weights(20_000_000);
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_pocketmlx"))
            .args(["pull", ID])
            .env("HF_ENDPOINT", setting.server.endpoint())
            .env("HF_HUB_CACHE", setting.cache.path())
            .env("HF_HUB_OFFLINE", "0")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let part = format!("models--owner--model/blobs/{}.incomplete", sha256(&setting.weights));
    let part = setting.cache.path().join(part);
    let mut held = 0;
    for turn in 0..20 {
        let more = 1 + turn * 370_003 % 900_000;
        setting
            .server
            .on_request(move |request| if of_weights(request) { Answer::StallAfter(more) } else { Answer::Right });
        held += more as u64;
        let mut child = start();
        let deadline = Instant::now() + Duration::from_secs(60);
        while fs::metadata(&part).map_or(0, |metadata| metadata.len()) != held {
            assert!(Instant::now() < deadline, "turn {turn}: {held} bytes did not arrive");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    setting.server.on_request(|_| Answer::Right);
    assert!(start().wait().unwrap().success());
    setting.holds_all(&setting.hub().cached(ID).unwrap().unwrap());
    assert_eq!(setting.server.sent(), setting.bytes());
}

#[test]
fn a_model_is_named_fetched_and_run() {
    let server = TestHub::start();
    let read = |name: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo").join(name)).unwrap();
    let files = ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"].map(|name| (name, read(name)));
    server.add("owner/demo", &files.each_ref().map(|(name, content)| (*name, content.as_slice())));
    server.add("owner/unknown", &[("config.json", br#"{"model_type": "no-such"}"#), (WEIGHTS, b"x")]);
    let cache = tempfile::tempdir().unwrap();
    let run = |offline: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pocketmlx"));
        command.args(args).env("HF_ENDPOINT", server.endpoint()).env("HF_HUB_CACHE", cache.path());
        let output = command.env("HF_HUB_OFFLINE", offline).env_remove("HF_TOKEN").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let ask = ["generate", "-m", "owner/demo", "--max-tokens", "20", "Who are you?"];
    let (done, _, said) = run("1", &ask);
    assert!(!done && said.contains("owner/demo") && said.contains("HF_HUB_OFFLINE"), "{said}");
    let (done, text, said) = run("0", &ask);
    assert!(done && text.contains("PocketMLX"), "{text} {said}");
    server.requests();
    assert_eq!(run("0", &ask), (true, text.clone(), said.clone()));
    assert!(server.requests().is_empty(), "a model in the cache needs no hub");
    assert_eq!(run("1", &ask).1, text);
    let (done, list, _) = run("1", &["list"]);
    assert!(done && list.contains("owner/demo") && !list.contains("not complete"), "{list}");
    let (done, said, _) = run("1", &["doctor", "--verify"]);
    assert!(done && said.contains("every file"), "{said}");
    let blob = cache.path().join("models--owner--demo/blobs").join(git(&files[0].1));
    fs::write(&blob, "x").unwrap();
    let (done, _, said) = run("1", &["doctor", "--verify"]);
    assert!(!done && said.contains(blob.to_str().unwrap()), "{said}");
    fs::write(&blob, &files[0].1).unwrap();
    server.sent();
    let (done, _, said) = run("0", &["generate", "-m", "owner/unknown", "Hi"]);
    assert!(!done && said.contains("no-such"), "{said}");
    assert!(server.sent() < 100, "weights of an unknown architecture were fetched");
    let (done, said, _) = run("1", &["remove", "owner/demo"]);
    assert!(done && said.starts_with("removed owner/demo"), "{said}");
    assert!(!run("1", &ask).0);
    let (done, said, _) = run("0", &["gc", "--keep-under", "0"]);
    assert!(done && said.contains("owner/unknown"), "{said}");
}

/// Python's client, where there is one, takes our server for a hub and our cache for its own.
#[test]
fn python_shares_the_cache() {
    let Some(python) = std::env::var_os("POCKETMLX_PYTHON") else {
        return eprintln!("skipped: POCKETMLX_PYTHON names no Python with huggingface_hub");
    };
    let setting = Setting::new();
    let script = "
import os, sys
from huggingface_hub import scan_cache_dir, snapshot_download
print(snapshot_download('owner/model', allow_patterns=['*.json', '*.safetensors']))
report = scan_cache_dir()
assert not report.warnings, report.warnings
print(','.join(sorted(f'{r.repo_id} {r.size_on_disk} {sorted(r.refs)}' for r in report.repos)))
";
    let run = |endpoint: &str, cache: &Path, offline: &str| {
        let output = Command::new(&python)
            .args(["-c", script])
            .env("HF_ENDPOINT", endpoint)
            .env("HF_HUB_CACHE", cache)
            .env("HF_HUB_OFFLINE", offline)
            .env("HF_HUB_DISABLE_XET", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // What it fetched, we find.
    let theirs = run(&setting.server.endpoint(), setting.cache.path(), "0");
    setting.server.sent();
    let folder = setting.hub().cached(ID).unwrap().unwrap();
    assert_eq!(theirs.lines().next(), folder.to_str());
    setting.holds_all(&folder);
    assert_eq!(setting.download().unwrap(), folder);
    assert_eq!(setting.server.sent(), 0);
    // What we fetched, it finds.
    let ours = Setting::new();
    let folder = ours.download().unwrap();
    let found = run("http://127.0.0.1:1", ours.cache.path(), "1");
    let bytes = ours.bytes();
    assert_eq!(found.lines().collect::<Vec<_>>(), [folder.to_str().unwrap(), &format!("owner/model {bytes} ['main']")]);
}
