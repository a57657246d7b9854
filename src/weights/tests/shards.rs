use super::super::{Dtype, ModelFiles, Tensors};
use super::{model, tensors};
use crate::{Code, Error};

const INDEX: &str = "model.safetensors.index.json";

fn index(entries: &[(&str, &str)]) -> (&'static str, Vec<u8>) {
    let entries: Vec<_> = entries.iter().map(|(tensor, file)| format!("{tensor:?}:{file:?}")).collect();
    (INDEX, format!("{{\"metadata\":{{}},\"weight_map\":{{{}}}}}", entries.join(",")).into_bytes())
}

fn refused(files: &ModelFiles) -> Error {
    let error = Tensors::open(files).err().unwrap();
    assert!(error.message().len() < 800, "{} bytes", error.message().len());
    error
}

#[test]
fn one_file() {
    let files = model([("model.safetensors", tensors(&[("a", "F32", &[2]), ("i", "I64", &[1])]))]);
    let opened = Tensors::open(&files).unwrap();
    assert_eq!(opened.bytes(), 16);
    assert_eq!(opened.names().collect::<Vec<_>>(), ["a", "i"]);
    let view = opened.get("a").unwrap();
    assert_eq!((view.dtype, view.bytes().len()), (Dtype::F32, 8));
    assert!(opened.get("i").is_none() && opened.contains("i"));
    let error = opened.need("i").err().unwrap();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.message().contains("\"i\"") && error.message().contains("I64"), "{error}");
}

#[test]
fn a_folder_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), tensors(&[("a", "F32", &[2])])).unwrap();
    let files = ModelFiles::Folder(folder.path().into());
    for opened in [Tensors::open(&files).unwrap(), Tensors::probe(&files).unwrap()] {
        // The map outlives the name.
        drop(std::fs::remove_file(folder.path().join("model.safetensors")));
        assert_eq!(opened.get("a").unwrap().bytes(), [0; 8]);
    }
    std::fs::write(folder.path().join("model.safetensors"), "").unwrap();
    assert!(refused(&files).message().contains("is empty"));
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    std::fs::create_dir(folder.path().join("model.safetensors")).unwrap();
    assert!(refused(&files).message().contains("model.safetensors"));
}

#[test]
fn shards_with_and_without_an_index() {
    let one = ("model-00001-of-00002.safetensors", tensors(&[("a", "F32", &[2])]));
    let two = ("model-00002-of-00002.safetensors", tensors(&[("b", "F32", &[3])]));
    let map = index(&[("a", one.0), ("b", two.0)]);
    let other = ("other.safetensors", vec![1, 2, 3]);
    for files in [model([one.clone(), two.clone(), other.clone()]), model([one, two, other, map])] {
        let opened = Tensors::open(&files).unwrap();
        assert_eq!(opened.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(opened.bytes(), 20);
    }
}

#[test]
fn no_weights() {
    let error = refused(&model([("config.json", vec![])]));
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("model.safetensors"), "{error}");
    let error = refused(&model([("pytorch_model.bin", vec![])]));
    assert!(error.hint().contains("pytorch_model.bin"), "{}", error.hint());
}

#[test]
fn shard_names_must_be_plain() {
    let long = format!("{}.safetensors", "x".repeat(4096));
    for name in [
        "../model.safetensors",
        "..",
        ".",
        "",
        "/etc/model.safetensors",
        "sub/model.safetensors",
        "sub\\model.safetensors",
        "\\\\server\\share\\model.safetensors",
        "C:model.safetensors",
        "model.bin",
        &long,
    ] {
        let error = refused(&model([index(&[("a", name)])]));
        assert_eq!(error.code(), Code::CorruptFile, "{name}");
        assert!(error.message().contains("\"a\" is in"), "{error}");
    }
    let error = refused(&model([(INDEX, br#"{"weight_map":{"a":"m\u0000.safetensors"}}"#.to_vec())]));
    assert!(error.message().contains("\\0.safetensors"), "{error}");
}

#[test]
fn the_index_must_fit_the_shards() {
    let file = "model-1.safetensors";
    let error = refused(&model([index(&[("a", file)])]));
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains(file), "{error}");

    let error = refused(&model([index(&[("a", file), ("b", file)]), (file, tensors(&[("a", "F32", &[1])]))]));
    assert_eq!(error.code(), Code::CorruptFile);
    assert!(error.message().contains(file) && error.message().contains("\"b\""), "{error}");

    for bad in ["", "[]", "{}", "{\"weight_map\":{}}", "{\"weight_map\":{\"a\":1}}", &"[".repeat(100_000)] {
        assert_eq!(refused(&model([(INDEX, bad.into())])).code(), Code::CorruptFile, "{bad:.20}");
    }
    let twice = format!(r#"{{"weight_map":{{"a":"{file}","a":"model-2.safetensors"}}}}"#);
    assert!(refused(&model([(INDEX, twice.into())])).message().contains("\"a\" is there twice"));
}

#[test]
fn a_tensor_in_two_shards() {
    let one = ("model-1.safetensors", tensors(&[("a", "F32", &[2])]));
    let two = ("model-2.safetensors", tensors(&[("a", "F32", &[2])]));
    let error = refused(&model([one, two]));
    assert_eq!(error.code(), Code::CorruptFile);
    for part in ["\"a\"", "model-1.safetensors", "model-2.safetensors"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[test]
#[cfg(unix)]
fn links_into_the_blobs_of_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshots/abc");
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir(folder.path().join("blobs")).unwrap();
    let link = snapshot.join("model.safetensors");
    std::os::unix::fs::symlink("../../blobs/123", &link).unwrap();
    let files = ModelFiles::Folder(snapshot);
    let error = refused(&files);
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("blobs/123"), "{error}");
    std::fs::write(folder.path().join("blobs/123"), tensors(&[("a", "F32", &[2])])).unwrap();
    assert!(Tensors::open(&files).unwrap().contains("a"));
}
