//! From what a host names as a model to the model's files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Code, Error, Result};
pub(crate) use crate::weights::ModelFiles;
use crate::weights::gguf::{Gguf, names};

/// The file without which nothing is a model.
const CONFIG: &str = "config.json";
/// The name of the model inside the program.
const DEMO: &str = "demo";
/// How many of a folder's names a message spells out.
const SPELLED_OUT: usize = 8;

/// Finds a model: the path of a folder that holds a `config.json` or one GGUF model, that of a `.gguf` file, `demo`, or
/// `owner/name` of a hub, perhaps with a GGUF file of it, which must be in the cache.
pub(crate) fn resolve(source: &str) -> Result<ModelFiles> {
    if source.is_empty() || source.contains('\0') {
        return Err(Error::invalid(format!("{source:?} is not the name of a model"))
            .with_hint("name the folder that holds the model's config.json"));
    }
    if source == DEMO {
        return demo();
    }
    let path = Path::new(source);
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => folder(path),
        Ok(_) if is_gguf(path) => gguf(path),
        Ok(_) => Err(not_a_folder(path)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && is_hub_id(source) => of_hub(source),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(missing(source, path)),
        Err(e) => Err(Error::io(path, &e)),
    }
}

/// [`resolve`], but a model of a hub that is not in the cache is fetched. `check` sees its folder before any weight is.
#[cfg(feature = "hub")]
pub(crate) fn fetch(
    source: &str,
    check: &dyn Fn(&ModelFiles) -> Result<()>,
    progress: &mut crate::hub::HubProgress<'_>,
) -> Result<ModelFiles> {
    let resolved = resolve(source);
    let absent = resolved.as_ref().is_err_and(|error| error.code() == Code::NotFound);
    if !absent || !is_hub_id(source) || Path::new(source).exists() {
        return resolved;
    }
    let check = |folder: &Path| check(&ModelFiles::Folder(folder.to_owned()));
    of_cache(&crate::hub::Hub::new(crate::hub::HubOptions::default())?.download(source, &check, progress)?)
}

/// A model in the cache: a folder, or a GGUF file.
#[cfg(feature = "hub")]
fn of_cache(path: &Path) -> Result<ModelFiles> {
    if path.is_file() { gguf(path) } else { folder(path) }
}

/// The model inside the program, read from where the program lies in memory.
#[cfg(feature = "demo")]
fn demo() -> Result<ModelFiles> {
    use crate::weights::Storage;

    macro_rules! files {
        ($($name:literal),*) => {
            [$((
                $name.to_owned(),
                Arc::new(include_bytes!(concat!("../assets/demo/", $name)).as_slice()) as Storage,
            )),*]
        };
    }
    let files = files!("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json");
    Ok(ModelFiles::Memory(files.into()))
}

#[cfg(not(feature = "demo"))]
fn demo() -> Result<ModelFiles> {
    Err(Error::unsupported("demo: this build embeds no model")
        .with_hint("build with feature demo, or name the folder that holds a model's config.json"))
}

/// A model of a hub, from the cache.
#[cfg(feature = "hub")]
fn of_hub(source: &str) -> Result<ModelFiles> {
    let hub = crate::hub::Hub::new(crate::hub::HubOptions { offline: Some(true), ..Default::default() })?;
    match hub.cached(source)? {
        Some(path) => of_cache(&path),
        None => Err(Error::new(
            Code::NotFound,
            format!("{source}: there is no such folder, and no such model in the cache"),
        )
        .with_hint(format!("fetch it with `pocketmlx pull {source}`"))),
    }
}

#[cfg(not(feature = "hub"))]
fn of_hub(source: &str) -> Result<ModelFiles> {
    Err(Error::unsupported(format!("{source}: there is no such folder, and this build has no downloads from a hub"))
        .with_hint(format!(
            "build with feature hub, or download it first, e.g. `hf download {source} --local-dir DIR`"
        )))
}

fn gguf(path: &Path) -> Result<ModelFiles> {
    Ok(ModelFiles::Gguf(Arc::new(Gguf::open(path)?)))
}

fn folder(path: &Path) -> Result<ModelFiles> {
    let files = ModelFiles::Folder(path.to_path_buf());
    let mut names: Vec<_> = fs::read_dir(path)
        .map_err(|e| Error::io(path, &e))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    let models: Vec<_> = names.iter().filter(|name| names::is_model(name)).collect();
    let has_safetensors = names.iter().any(|name| name.ends_with(".safetensors"));
    if files.exists(CONFIG) && (has_safetensors || models.is_empty()) {
        return Ok(files);
    }
    // A link of the hub's cache whose target is gone has an error of its own.
    files.read(CONFIG)?;
    if let [only] = *models {
        return gguf(&path.join(only));
    }
    let holds = match names.len() {
        0 => "is empty".to_string(),
        n if n > SPELLED_OUT => format!("holds {} and {} more", names[..SPELLED_OUT].join(", "), n - SPELLED_OUT),
        _ => format!("holds {}", names.join(", ")),
    };
    let hint = match models.first() {
        Some(first) => format!("name one of its GGUF files, such as {}", path.join(first).display()),
        None => match inner_model(path) {
            Some(inner) => format!("did you mean {inner}?"),
            None => "name the folder that holds the model's config.json".into(),
        },
    };
    let lacks = if models.is_empty() { format!("there is no {CONFIG}") } else { "there are several models".into() };
    Err(Error::new(Code::NotFound, format!("{}: {lacks}; the folder {holds}", path.display())).with_hint(hint))
}

/// A model one level below, or below `snapshots`, where the hub's cache keeps them.
fn inner_model(path: &Path) -> Option<String> {
    let below = |folder: &Path| {
        let mut models: Vec<_> = fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|inner| inner.join(CONFIG).is_file())
            .collect();
        models.sort();
        models.into_iter().next()
    };
    let inner = below(path).or_else(|| below(&path.join("snapshots")))?;
    Some(inner.display().to_string())
}

fn not_a_folder(path: &Path) -> Error {
    let shown = path.display();
    let error = Error::invalid(format!("{shown} is a file, not the folder of a model"));
    match path.parent().filter(|parent| parent.join(CONFIG).is_file()) {
        Some(parent) if parent.as_os_str().is_empty() => error.with_hint("name the folder: ."),
        Some(parent) => error.with_hint(format!("name the folder: {}", parent.display())),
        None => error.with_hint("name the folder that holds the model's config.json"),
    }
}

fn missing(source: &str, path: &Path) -> Error {
    if is_gguf(path) {
        return Error::new(Code::NotFound, format!("{source}: no such file"))
            .with_hint("name the path of a .gguf file, or the folder that holds a model's config.json");
    }
    if is_hub_id(source) {
        return Error::unsupported(format!(
            "{source}: there is no such folder, and downloads from the hub are not in this version"
        ))
        .with_hint(format!("download it first, e.g. `hf download {source} --local-dir DIR`, and name DIR"));
    }
    let hint = match source.strip_prefix("~/") {
        Some(rest) => format!("`~` is expanded by shells only; write $HOME/{rest}"),
        None => "name the folder that holds the model's config.json".into(),
    };
    Error::new(Code::NotFound, format!("{source}: no such folder")).with_hint(hint)
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Whether a missing path can be meant as `org/name`, or as a revision or a GGUF file of it. Below an existing folder it is
/// rather a path with a typing error.
fn is_hub_id(source: &str) -> bool {
    let id = source.split_once('@').map_or(source, |(id, _)| id);
    let id = id.split_once(':').map_or(id, |(id, _)| id);
    let mut parts = id.split('/');
    let (Some(org), Some(name)) = (parts.next(), parts.next()) else { return false };
    // With three parts or more the last one is a file's.
    let names_file = is_gguf(Path::new(id));
    if names_file != parts.next().is_some() {
        return false;
    }
    let is_word = |word: &str| {
        (1..=96).contains(&word.len())
            && !word.starts_with(['.', '-'])
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    is_word(org) && is_word(name) && !Path::new(org).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a model of a hub that was not fetched is.
    const HUB: Code = if cfg!(feature = "hub") { Code::NotFound } else { Code::Unsupported };

    /// The error for a source, which must have one and a hint.
    fn refused(source: &str) -> Error {
        let error = resolve(source).err().expect(source);
        assert!(!error.hint().is_empty(), "{error}");
        error
    }

    #[test]
    fn a_folder_with_a_config_is_a_model() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), "{}").unwrap();
        let files = resolve(folder.path().to_str().unwrap()).unwrap();
        assert_eq!((*files.read(CONFIG).unwrap().unwrap()).as_ref(), b"{}");
        assert_eq!(files.label(), folder.path().to_str().unwrap());
    }

    #[test]
    fn the_embedded_model_is_there_when_it_was_built_in() {
        if cfg!(feature = "demo") {
            assert!(resolve("demo").unwrap().exists("model.safetensors"));
        } else {
            assert_eq!(refused("demo").code(), Code::Unsupported);
        }
    }

    #[test]
    fn other_sources_are_refused_by_name() {
        for (source, code, part) in [
            ("", Code::InvalidArgument, "not the name"),
            ("a\0b", Code::InvalidArgument, "not the name"),
            ("no-such-owner/Qwen3-0.6B-4bit", HUB, "no such folder"),
            ("no-such-owner/Qwen3-0.6B-4bit@main", HUB, "no such folder"),
            ("no-such-owner/Qwen3-0.6B-GGUF:Q4_K_M", HUB, "no such folder"),
            ("no-such-owner/Qwen3-0.6B-GGUF/a/m.gguf", HUB, "no such folder"),
            ("src/models/x.gguf", Code::NotFound, "no such file"),
            ("src/typo", Code::NotFound, "no such folder"),
            ("./org/name", Code::NotFound, "no such folder"),
            ("/no/such/folder", Code::NotFound, "no such folder"),
            ("~/models/x", Code::NotFound, "no such folder"),
            ("models/x.gguf", Code::NotFound, "no such file"),
        ] {
            let error = refused(source);
            assert_eq!(error.code(), code, "{source}: {error}");
            assert!(error.message().contains(part), "{source}: {error}");
        }
    }

    #[test]
    fn files_are_refused_with_the_folder_to_name() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        let gguf = folder.path().join("model.GGUF");
        fs::write(folder.path().join(CONFIG), "{}").unwrap();
        fs::write(&weights, "").unwrap();
        fs::write(&gguf, "GGUX").unwrap();
        let error = refused(weights.to_str().unwrap());
        assert!(error.hint().contains(folder.path().to_str().unwrap()), "{}", error.hint());
        assert_eq!(refused(gguf.to_str().unwrap()).code(), Code::CorruptFile);
    }

    #[test]
    fn a_gguf_file_is_a_model_and_so_is_a_folder_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Model-Q4_K_M.gguf");
        fs::write(&file, crate::support::gguf::Writer::new().finish()).unwrap();
        for source in [file.as_path(), folder.path()] {
            let files = resolve(source.to_str().unwrap()).unwrap();
            assert_eq!(files.label(), file.display().to_string());
            assert!(files.gguf().is_some() && files.read(CONFIG).unwrap().is_none());
        }
        for beside in ["mmproj-f16.gguf", "imatrix.dat", CONFIG] {
            fs::write(folder.path().join(beside), "{}").unwrap();
            assert!(resolve(folder.path().to_str().unwrap()).unwrap().gguf().is_some(), "{beside}");
        }
        fs::write(folder.path().join("other.gguf"), "").unwrap();
        let several = refused(folder.path().to_str().unwrap());
        assert!(several.message().contains("several models") && several.hint().contains("Model-Q4_K_M.gguf"));
    }

    #[test]
    fn a_gguf_model_in_parts_is_opened_by_its_first() {
        use crate::support::gguf::{F32, Writer};
        let folder = tempfile::tempdir().unwrap();
        let path = |number: usize| folder.path().join(format!("m-{number:05}-of-00003.gguf"));
        let write = |number: usize, claimed: u16, tensor: &str| {
            let mut writer = Writer::new();
            writer.value("split.count", 2, &3u16.to_le_bytes());
            writer.value("split.no", 2, &claimed.to_le_bytes());
            writer.tensor(tensor, &[1], F32, (number as f32).to_le_bytes().to_vec());
            fs::write(path(number), writer.finish()).unwrap();
        };
        write(1, 0, "a");
        write(2, 1, "b");
        assert!(refused(path(1).to_str().unwrap()).message().contains("00003-of-00003.gguf: this part"));
        write(3, 2, "b");
        let twice = resolve(path(1).to_str().unwrap()).err().unwrap();
        assert!(twice.message().contains("is in an earlier part"), "{twice}");
        write(3, 1, "c");
        let number = resolve(path(1).to_str().unwrap()).err().unwrap();
        assert!(number.message().contains("is not part 3 of 3"), "{number}");
        write(3, 2, "c");
        let files = resolve(folder.path().to_str().unwrap()).unwrap();
        let gguf = files.gguf().unwrap();
        for (name, number) in [("a", 1.0f32), ("b", 2.0), ("c", 3.0)] {
            assert_eq!(gguf.bytes(&gguf.tensors()[name]), number.to_le_bytes());
        }
        assert!(refused(path(2).to_str().unwrap()).hint().contains("00001-of-00003.gguf"));
    }

    #[test]
    fn a_folder_without_config_is_told_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert!(refused(path).message().contains("is empty"));
        for i in 0..10 {
            fs::write(folder.path().join(format!("file{i}")), "").unwrap();
        }
        let error = refused(path);
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.message().contains("file7 and 2 more"), "{error}");

        let inner = folder.path().join("snapshots/abc");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join(CONFIG), "{}").unwrap();
        assert!(refused(path).hint().contains("snapshots/abc"));
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_and_dangling_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let (model, blobs) = (folder.path().join("model"), folder.path().join("blobs"));
        fs::create_dir_all(&model).unwrap();
        fs::create_dir_all(&blobs).unwrap();
        std::os::unix::fs::symlink("../blobs/1", model.join(CONFIG)).unwrap();
        let error = refused(model.to_str().unwrap());
        assert!(error.message().contains("blobs/1, which does not exist"), "{error}");
        fs::write(blobs.join("1"), "{}").unwrap();
        assert!(resolve(model.to_str().unwrap()).is_ok());
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        let files = ModelFiles::Folder("src".into());
        for name in ["../Cargo.toml", "/etc/passwd", "a/../../x", "", "a\\b", "c:x", "a\0", "a//b", &"x".repeat(4096)] {
            assert!(!files.exists(name), "{name}");
            assert_eq!(files.read(name).err().map(|e| e.code()), Some(Code::InvalidArgument), "{name}");
        }
        assert!(files.read("weights/mod.rs").unwrap().is_some());
        assert!(files.read("weights").is_err());
        assert!(files.list("backend").unwrap().contains(&"backend/mod.rs".to_string()));
        assert!(files.list("nothing").unwrap().is_empty());
    }
}
