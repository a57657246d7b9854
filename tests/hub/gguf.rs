//! Repositories that hold GGUF files.

use pocketmlx::FitOptions;

use super::*;
use crate::support::Fixture;
use crate::support::gguf::{Writer, converted, write_vocabulary};

const ID: &str = "owner/Model-GGUF";

/// A model in so many files.
fn model(seed: u64, parts: u16) -> Vec<Vec<u8>> {
    let fixture = Fixture::new("qwen2").seed(seed);
    let mut whole = converted(&fixture.config, &fixture.tensors());
    write_vocabulary(&mut whole);
    if parts == 1 {
        return vec![whole.finish()];
    }
    let number = |writer: &mut Writer, number: u16| {
        writer.value("split.count", 2, &parts.to_le_bytes());
        writer.value("split.no", 2, &number.to_le_bytes());
    };
    number(&mut whole, 0);
    let rest = (1..parts).map(|part| {
        let mut writer = Writer::new();
        number(&mut writer, part);
        writer.finish()
    });
    [whole.finish()].into_iter().chain(rest).collect()
}

struct Files {
    server: TestHub,
    cache: TempDir,
    small: Vec<u8>,
    large: Vec<u8>,
    parts: Vec<Vec<u8>>,
}

impl Files {
    fn new() -> Self {
        let (small, large, parts) = (model(1, 1).remove(0), model(2, 1).remove(0), model(3, 2));
        let server = TestHub::start();
        server.add(
            ID,
            &[
                ("README.md", b"---\nlicense: mit\n---\n"),
                ("config.json", b"{}"),
                ("Model-Q8_0.gguf", &large),
                ("Model-Q4_K_M.gguf", &small),
                ("mmproj-Q4_K_M.gguf", b"x"),
                ("BF16/Model-BF16-00001-of-00002.gguf", &parts[0]),
                ("BF16/Model-BF16-00002-of-00002.gguf", &parts[1]),
            ],
        );
        Self { server, cache: tempfile::tempdir().unwrap(), small, large, parts }
    }

    fn hub(&self, offline: bool) -> Hub {
        let (endpoints, cache) = (vec![self.server.endpoint()], Some(self.cache.path().to_owned()));
        Hub::new(HubOptions { endpoints, cache, offline: Some(offline), ..HubOptions::default() }).unwrap()
    }

    fn run(&self, offline: &str, args: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pocketmlx"));
        command.args(args).env("HF_ENDPOINT", self.server.endpoint()).env("HF_HUB_CACHE", self.cache.path());
        let output = command.env("HF_HUB_OFFLINE", offline).env_remove("HF_TOKEN").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn one_file_is_fetched_and_no_other() {
    let files = Files::new();
    let hub = files.hub(false);
    assert_eq!(hub.cached(ID).unwrap(), None);
    let path = download(&hub, ID).unwrap();
    assert!(path.ends_with("Model-Q4_K_M.gguf") && fs::read(&path).unwrap() == files.small, "{}", path.display());
    assert_eq!(files.server.sent(), files.small.len() as u64);
    // It is there, also as one of its name and of its quantization.
    for source in [ID, "owner/Model-GGUF:q4_k_m", "owner/Model-GGUF/Model-Q4_K_M.gguf", "owner/Model-GGUF:Q4_K_M@main"]
    {
        assert_eq!(hub.cached(source).unwrap().as_deref(), Some(path.as_path()), "{source}");
        assert_eq!(download(&hub, source).unwrap(), path, "{source}");
        assert_eq!(download(&files.hub(true), source).unwrap(), path, "{source}");
    }
    assert_eq!(files.server.sent(), 0);
    assert_eq!(hub.cached("owner/Model-GGUF:Q8_0").unwrap(), None);

    let path = download(&hub, "owner/Model-GGUF:Q8_0").unwrap();
    assert!(fs::read(&path).unwrap() == files.large);
    assert_eq!(files.server.sent(), files.large.len() as u64);
    let first = download(&hub, "owner/Model-GGUF:BF16").unwrap();
    assert!(first.ends_with("BF16/Model-BF16-00001-of-00002.gguf"));
    assert!(fs::read(first.with_file_name("Model-BF16-00002-of-00002.gguf")).unwrap() == files.parts[1]);
    assert_eq!(files.server.sent(), files.parts.iter().map(|part| part.len() as u64).sum::<u64>());

    let [cached] = hub.list().unwrap().try_into().unwrap();
    let [revision] = cached.revisions.try_into().unwrap();
    assert!(revision.complete);
    assert_eq!(revision.gguf, ["BF16/Model-BF16-00001-of-00002.gguf", "Model-Q4_K_M.gguf", "Model-Q8_0.gguf"]);
    assert!(hub.collect_garbage(None).unwrap().is_empty());

    let removed = hub.remove("owner/Model-GGUF:BF16").unwrap();
    assert_eq!(removed.bytes, files.parts.iter().map(|part| part.len() as u64).sum::<u64>());
    assert!(!first.exists() && hub.cached(ID).unwrap().is_some());
    assert_eq!(hub.remove("owner/Model-GGUF:BF16").unwrap_err().code(), Code::NotFound);
    hub.remove("owner/Model-GGUF:Q4_K_M").unwrap();
    assert!(hub.cached(ID).unwrap().unwrap().ends_with("Model-Q8_0.gguf"));
    hub.remove("owner/Model-GGUF:Q8_0").unwrap();
    assert!(hub.list().unwrap().is_empty());
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let files = Files::new();
    let hub = files.hub(false);
    for source in ["owner/Model-GGUF:Q2_K", "owner/Model-GGUF/Other.gguf"] {
        let error = download(&hub, source).unwrap_err();
        assert!(error.code() == Code::NotFound && error.message().contains(source), "{error}");
        assert!(error.hint().contains("Model-Q8_0.gguf") && !error.hint().contains("mmproj"), "{}", error.hint());
    }
    files.server.add("owner/Two", &[("a.gguf", b"x"), ("b.gguf", b"y")]);
    assert_eq!(hub.info("owner/Two", &FitOptions::default()).unwrap().metadata.gguf, None);
    let error = download(&hub, "owner/Two").unwrap_err();
    assert!(error.message().contains("several") && error.hint().contains("owner/Two/FILE: a.gguf, b.gguf"), "{error}");
    files.server.add("owner/Part", &[("m-Q8_0-00001-of-00002.gguf", b"x")]);
    let error = download(&hub, "owner/Part").unwrap_err();
    assert!(error.code() == Code::CorruptFile && error.message().contains("m-Q8_0-00002-of-00002.gguf"), "{error}");
    assert_eq!(files.server.sent(), 0);
    // Safetensors come first, unless a file is named.
    files.server.add("owner/Both", &[("config.json", CONFIG), (WEIGHTS, b"x"), ("m.gguf", b"y")]);
    assert!(download(&hub, "owner/Both").unwrap().is_dir());
    assert!(download(&hub, "owner/Both/m.gguf").unwrap().ends_with("m.gguf"));
}

#[test]
fn metadata_are_those_of_the_file() {
    let files = Files::new();
    let about = |offline: bool, source: &str| files.hub(offline).info(source, &FitOptions::default()).unwrap().metadata;
    let told = about(false, "owner/Model-GGUF:Q8_0");
    let length = Some(files.large.len() as u64);
    assert_eq!((told.weight_bytes, told.download_bytes, told.cached), (length, length, false));
    assert_eq!((told.gguf.as_deref(), told.id.as_str()), (Some("Model-Q8_0.gguf"), ID));
    assert_eq!(told.quantization.unwrap().name, "8bit");
    assert_eq!(about(false, ID).gguf.as_deref(), Some("Model-Q4_K_M.gguf"));
    download(&files.hub(false), ID).unwrap();
    let kept = about(true, ID);
    assert!(kept.cached && kept.from_cache && kept.weight_bytes == Some(files.small.len() as u64), "{kept:?}");
}

#[test]
fn the_command_takes_files_by_their_names() {
    let files = Files::new();
    let ask = |source: &str| files.run("0", &["generate", "-m", source, "--max-tokens", "4", "--ignore-eos", "Hello"]);
    let (done, first, said) = ask("owner/Model-GGUF:Q8_0");
    assert!(done, "{said}");
    let (done, second, said) = ask(ID);
    assert!(done && first == second, "what is in the cache is taken: {said}");
    let (done, text, said) = files.run("0", &["pull", ID]);
    assert!(done && text.contains("Model-Q4_K_M.gguf"), "{text}{said}");
    let (done, list, _) = files.run("1", &["list"]);
    assert!(done && list.contains("  Model-Q4_K_M.gguf\n") && list.contains("  Model-Q8_0.gguf\n"), "{list}");
    let (done, info, said) = files.run("1", &["info", "owner/Model-GGUF:Q8_0"]);
    assert!(done && info.contains("Model-Q8_0.gguf"), "{info}{said}");
    let (done, said, _) = files.run("1", &["remove", "owner/Model-GGUF:Q8_0"]);
    assert!(done && said.starts_with("removed owner/Model-GGUF:Q8_0"), "{said}");
    let (done, _, said) = files.run("0", &["generate", "-m", "owner/Model-GGUF:Q2_K", "Hello"]);
    assert!(!done && said.contains("no such GGUF file"), "{said}");
}
