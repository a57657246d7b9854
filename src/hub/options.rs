//! Where the hub and the cache are: options first, then the variables that the ecosystem knows.

use std::env;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::object;

const ENDPOINT: &str = "https://huggingface.co";

/// How to reach a hub. What is `None` or empty comes from the environment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubOptions {
    /// Addresses of the hub and of mirrors, tried in order; else `HF_ENDPOINT`, else the public hub.
    pub endpoints: Vec<String>,
    /// The access token; else `HF_TOKEN`, else the file that `hf auth login` writes.
    pub token: Option<Token>,
    /// The folder of the cache; else `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub`.
    pub cache: Option<PathBuf>,
    /// Whether nothing is asked over the network; else `HF_HUB_OFFLINE`.
    pub offline: Option<bool>,
}

object::from_json!(HubOptions: "hub");

/// An access token, which never shows in a log or message.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(pub(super) String);

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Options with nothing left open.
pub(super) struct Settings {
    pub endpoints: Vec<String>,
    pub token: Option<Token>,
    pub cache: PathBuf,
    pub offline: bool,
}

impl HubOptions {
    pub(super) fn settle(self) -> Result<Settings> {
        let mut endpoints = self.endpoints;
        if endpoints.is_empty() {
            endpoints.push(variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()));
        }
        for endpoint in &mut endpoints {
            let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
            if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/') || rest.contains(['@', '?', '#', ' '])) {
                return Err(Error::invalid(format!("{endpoint:?} is no address of a hub"))
                    .with_hint("write it like https://huggingface.co; a token goes into HF_TOKEN"));
            }
            endpoint.truncate(endpoint.trim_end_matches('/').len());
        }
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            Some(cache.or_else(|| Some(env::home_dir()?.join(".cache")))?.join("huggingface"))
        });
        let cache = self.cache.or_else(|| variable("HF_HUB_CACHE").map(PathBuf::from));
        let Some(cache) = cache.or_else(|| Some(home.as_ref()?.join("hub"))) else {
            return Err(Error::invalid("there is no home folder for the cache of models")
                .with_hint("set HF_HUB_CACHE to a folder"));
        };
        let token_file = variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home?.join("token")));
        let token = self.token.or_else(|| variable("HF_TOKEN").map(Token)).or_else(|| {
            let text = fs::read_to_string(token_file?).ok()?;
            Some(Token(text.trim().to_owned()))
        });
        let offline = self.offline.unwrap_or_else(|| {
            let value = variable("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        });
        let token = token.filter(|token| !token.0.is_empty());
        if token.as_ref().is_some_and(|token| !token.0.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Error::invalid("the access token has characters that no token has")
                .with_hint("see HF_TOKEN, or the file that `hf auth login` wrote"));
        }
        Ok(Settings { endpoints, token, cache, offline })
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses() {
        let settle = |endpoint: &str| HubOptions { endpoints: vec![endpoint.into()], ..HubOptions::default() }.settle();
        assert_eq!(settle("http://127.0.0.1:8080/").unwrap().endpoints, ["http://127.0.0.1:8080"]);
        for endpoint in ["", "ftp://x", "huggingface.co", "https://", "https:///x", "https://me:secret@host"] {
            assert!(settle(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn tokens_do_not_show() {
        let options = HubOptions { token: Some("hf_secret".to_owned().into()), ..HubOptions::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
