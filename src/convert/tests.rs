//! Conversions into several files.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::{ConvertOptions, convert_to_shards};
use crate::error::{Code, Result};
use crate::event::Progress;
use crate::support::{Fixture, Float};

/// Converts into files of 40 KB, which are a few, and stops when `stop` says so.
fn run(source: &Path, target: &Path, stop: impl Fn(&Progress) -> bool) -> Result<usize> {
    let options = ConvertOptions { bits: Some(4), group_size: Some(32), ..ConvertOptions::default() };
    let mut progress = |progress: &Progress| match stop(progress) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    convert_to_shards(source.to_str().unwrap(), target, &options, &mut progress, 40_000).map(|made| made.shards)
}

#[test]
fn the_first_missing_file_is_gone_on_with() {
    let source = Fixture::new("llama").dtype(Float::Bf16).build();
    let place = tempfile::tempdir().unwrap();
    let (whole, broken) = (place.path().join("whole"), place.path().join("broken"));
    let shards = run(source.path(), &whole, |_| false).unwrap();
    assert!((2..9).contains(&shards), "{shards}");
    let name = |i: usize| format!("model-{i:05}-of-{shards:05}.safetensors");
    for i in 1..=shards {
        assert!(fs::metadata(whole.join(name(i))).unwrap().len() < 60_000, "{i}");
    }

    // The first file is done, and all that was reported since is lost.
    let first_done = |progress: &Progress| broken.join(name(1)).exists() && progress.done > 0;
    // Reports are rare, so that only the last one may come after the first file.
    let error = run(source.path(), &broken, first_done).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    for i in 2..=shards {
        let _ = fs::remove_file(broken.join(name(i)));
    }
    fs::write(broken.join(format!("{}.incomplete", name(2))), "cut sho").unwrap();
    let made = |i: usize| fs::metadata(broken.join(name(i))).unwrap().modified().unwrap();
    let before = made(1);
    assert_eq!(run(source.path(), &broken, |_| false).unwrap(), shards);
    assert_eq!(made(1), before);
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&broken), names(&whole));
    for name in names(&whole) {
        assert!(fs::read(broken.join(&name)).unwrap() == fs::read(whole.join(&name)).unwrap(), "{name:?}");
    }
}
