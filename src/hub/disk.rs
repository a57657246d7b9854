//! What goes wrong on the disk, with what to do about it.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::{Code, Error};

/// A failed write below the cache. What came so far stays, and is gone on with.
pub(super) fn failed(path: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        ErrorKind::StorageFull => {
            "the disk is full: make room with `pocketmlx gc` or `pocketmlx remove`, or set HF_HUB_CACHE to another disk; \
             what came so far is kept and gone on with"
        }
        ErrorKind::QuotaExceeded => {
            "your quota of this disk is used up: make room, or set HF_HUB_CACHE to another disk; what came so far is kept \
             and gone on with"
        }
        ErrorKind::FileTooLarge => {
            "the file system, or `ulimit -f`, takes no larger file: set HF_HUB_CACHE to another disk, or lift the limit; \
             what came so far is kept and gone on with"
        }
        ErrorKind::ReadOnlyFilesystem => "the cache can't be written: set HF_HUB_CACHE to a folder that can",
        ErrorKind::PermissionDenied => {
            "the cache belongs to somebody else: set HF_HUB_CACHE to a folder of your own, or change its owner"
        }
        _ => return Error::io(path, error),
    };
    Error::new(Code::Io, format!("{}: {error}", path.display())).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_a_hint_of_its_own() {
        let kinds = [
            (ErrorKind::StorageFull, "gc"),
            (ErrorKind::QuotaExceeded, "quota"),
            (ErrorKind::FileTooLarge, "ulimit"),
            (ErrorKind::ReadOnlyFilesystem, "can't be written"),
            (ErrorKind::PermissionDenied, "owner"),
        ];
        for (kind, part) in kinds {
            let error = failed(Path::new("/cache/blob"), &kind.into());
            assert_eq!(error.code(), Code::Io, "{error}");
            assert!(error.message().starts_with("/cache/blob: ") && error.hint().contains(part), "{error}");
        }
        assert_eq!(failed(Path::new("x"), &ErrorKind::NotFound.into()).code(), Code::NotFound);
    }
}
