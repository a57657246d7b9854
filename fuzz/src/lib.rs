//! What the targets share.

use std::fs;

use pocketmlx::{Code, ProbeOptions, probe};

/// Opens a model of these files, by the path of the first one or the folder of all. Errors must be typed ones that don't
/// blame the library.
pub fn open(files: &[(&str, &[u8])], by_file: bool) {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
    }
    FOLDER.with(|folder| {
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).expect("a written file");
        }
        let path = if by_file { folder.path().join(files[0].0) } else { folder.path().to_owned() };
        if let Err(error) = probe(&path.display().to_string(), &ProbeOptions::default()) {
            assert_ne!(error.code(), Code::Internal, "{error}");
        }
    });
}
