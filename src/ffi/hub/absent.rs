//! The calls of the hub in a build that has none.

use std::ops::ControlFlow;

use crate::ffi::text::pmlx_string;
use crate::{Error, Progress, Result};

type Report<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

pub fn download(_source: &str, _options: &[u8], _report: &mut Report<'_>) -> Result<pmlx_string> {
    absent()
}

pub fn list(_options: &[u8]) -> Result<pmlx_string> {
    absent()
}

pub fn remove(_source: &str, _options: &[u8]) -> Result<pmlx_string> {
    absent()
}

pub fn info(_source: &str, _request: &[u8], _options: &[u8]) -> Result<pmlx_string> {
    absent()
}

pub fn search(_request: &[u8], _options: &[u8]) -> Result<pmlx_string> {
    absent()
}

pub fn recommend(_request: &[u8]) -> Result<pmlx_string> {
    absent()
}

fn absent() -> Result<pmlx_string> {
    Err(Error::unsupported("this build has no downloads from a hub")
        .with_hint("build with feature hub, or fetch the model by the app's own means and load its folder"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn all_say_what_is_missing() {
        let mut report = |_: &Progress| ControlFlow::Continue(());
        let answers = [
            download("a/b", b"", &mut report),
            list(b""),
            remove("a/b", b""),
            info("a/b", b"", b""),
            search(b"", b""),
            recommend(b""),
        ];
        for answer in answers {
            let error = answer.err().unwrap();
            assert!(error.code() == Code::Unsupported && error.hint().contains("feature hub"), "{error}");
        }
    }
}
