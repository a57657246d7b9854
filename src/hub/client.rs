//! Asking a hub: redirects, the token, retries of short answers, mirrors.

use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::options::Token;
use super::retry::{self, TRIES};
use super::transport::{Transport, TransportRequest, TransportResponse};
use crate::error::{Code, Error, Result};

/// Redirects that are followed.
const HOPS: usize = 8;
/// The longest answer that is no file.
const ANSWER_LIMIT: u64 = 64 << 20;
/// What stays as it is in a part of a path.
const PART: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A hub and its mirrors.
pub(super) struct Client {
    pub endpoints: Vec<String>,
    token: Option<Token>,
    transport: Arc<dyn Transport>,
}

/// A short answer.
pub(super) struct Page {
    pub body: Vec<u8>,
    /// Path and query of what comes next.
    pub next: Option<String>,
}

/// Why there is no answer, and whether another try may help.
pub(super) struct Refusal {
    pub error: Error,
    pub transient: bool,
    /// What the server asked for.
    pub retry_after: Option<String>,
    /// The status, where there was one.
    pub status: Option<u16>,
}

impl Client {
    pub fn new(endpoints: Vec<String>, token: Option<Token>, transport: Arc<dyn Transport>) -> Self {
        Self { endpoints, token, transport }
    }

    /// The body of a short answer, from the first endpoint that gives one.
    ///
    /// # Errors
    /// That of the last endpoint; `Cancelled` as soon as `stopped` says so.
    pub fn text(&self, path: &str, stopped: &dyn Fn() -> bool) -> Result<Vec<u8>> {
        self.page(path, stopped).map(|page| page.body)
    }

    /// The same, with where the answer goes on.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn page(&self, path: &str, stopped: &dyn Fn() -> bool) -> Result<Page> {
        let mut last = Error::internal("a hub has no endpoint");
        for endpoint in &self.endpoints {
            for tried in 1..=TRIES {
                let refusal = match self.read(endpoint, path) {
                    Ok(page) => return Ok(page),
                    Err(refusal) => refusal,
                };
                tracing::debug!(endpoint, path, tried, error = %refusal.error, "the hub gave no answer");
                last = refusal.error;
                if !refusal.transient || tried == TRIES {
                    break;
                }
                pause(retry::wait(tried, refusal.retry_after.as_deref()), stopped)?;
            }
        }
        Err(last)
    }

    fn read(&self, endpoint: &str, path: &str) -> Result<Page, Refusal> {
        let response = self.get(endpoint, path, Vec::new())?;
        let next = response.header("link").and_then(next_page);
        let mut body = Vec::new();
        response.body.take(ANSWER_LIMIT + 1).read_to_end(&mut body).map_err(|e| Refusal {
            error: network(format!("{endpoint}{path}: the answer broke off: {e}")),
            transient: true,
            retry_after: None,
            status: None,
        })?;
        if body.len() as u64 > ANSWER_LIMIT {
            let error = network(format!("{endpoint}{path}: the answer has more than {ANSWER_LIMIT} bytes"));
            return Err(Refusal { error, transient: false, retry_after: None, status: None });
        }
        Ok(Page { body, next })
    }

    /// Whether there is a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A successful answer (200 or 206), after redirects. The token goes to the endpoint alone.
    pub fn get(
        &self,
        endpoint: &str,
        path: &str,
        headers: Vec<(String, String)>,
    ) -> Result<TransportResponse, Refusal> {
        let mut url = format!("{endpoint}{path}");
        for _ in 0..=HOPS {
            let mut request = TransportRequest { url: url.clone(), headers: headers.clone() };
            if let Some(token) = self.token.as_ref().filter(|_| origin(&url) == origin(endpoint)) {
                request.headers.push(("authorization".into(), format!("Bearer {}", token.0)));
            }
            let response = self.transport.get(&request).map_err(|e| Refusal {
                error: network(format!("{}: {e}", shown(&url)))
                    .with_hint("check the connection; HF_ENDPOINT names another hub, HF_HUB_OFFLINE=1 asks none"),
                transient: true,
                retry_after: None,
                status: None,
            })?;
            match response.status {
                200 | 206 => return Ok(response),
                301 | 302 | 303 | 307 | 308 => {
                    let to = response.header("location").and_then(|location| join(&url, location));
                    url = to.ok_or_else(|| Refusal {
                        error: network(format!("{}: a redirect to nowhere", shown(&url))),
                        transient: false,
                        retry_after: None,
                        status: Some(response.status),
                    })?;
                }
                status => {
                    return Err(Refusal {
                        error: self.refused(endpoint, &url, status, &response),
                        // A signed address may have run out; the hub signs another.
                        transient: retry::is_transient(status) || (status == 403 && origin(&url) != origin(endpoint)),
                        retry_after: response.header("retry-after").map(str::to_owned),
                        status: Some(status),
                    });
                }
            }
        }
        let error = network(format!("{endpoint}{path}: more than {HOPS} redirects"));
        Err(Refusal { error, transient: false, retry_after: None, status: None })
    }

    fn refused(&self, endpoint: &str, url: &str, status: u16, response: &TransportResponse) -> Error {
        let said = response.header("x-error-message").map(|said| format!(" ({said})")).unwrap_or_default();
        let message = format!("{}: status {status}{said}", shown(url));
        let gated = response.header("x-error-code") == Some("GatedRepo");
        match status {
            401 | 403 if gated || status == 403 => network(message).with_hint(match self.token {
                Some(_) => format!("the token has no access: accept the model's terms on its page at {endpoint}"),
                None => format!("accept the model's terms on its page at {endpoint}, then set HF_TOKEN"),
            }),
            401 | 404 | 410 => Error::new(Code::NotFound, message).with_hint(match self.token {
                Some(_) => "check the name, the revision and what the token may see",
                None => "check the name and the revision; a private model needs HF_TOKEN",
            }),
            _ => network(message),
        }
    }
}

/// Waits, as long as nothing is stopped.
///
/// # Errors
/// `Cancelled`.
pub(super) fn pause(mut time: Duration, stopped: &dyn Fn() -> bool) -> Result<()> {
    const STEP: Duration = Duration::from_millis(50);
    while !time.is_zero() {
        if stopped() {
            return Err(Error::cancelled());
        }
        let step = time.min(STEP);
        thread::sleep(step);
        time -= step;
    }
    Ok(())
}

/// A part of a path, encoded.
pub(super) fn encode(part: &str) -> String {
    utf8_percent_encode(part, &PART).to_string()
}

/// A failed transfer.
pub(super) fn network(message: impl Into<String>) -> Error {
    Error::new(Code::Network, message).with_hint(
        "the hub, or something on the way to it, has a problem; try again later, or name a mirror in HF_ENDPOINT",
    )
}

/// Scheme, host and port.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

/// Path and query of the next page, from a `Link` header (RFC 8288). The host is left out: a mirror may pass on the
/// header of the hub that it mirrors, and nobody else is to be asked.
fn next_page(link: &str) -> Option<String> {
    link.split(',').find_map(|part| {
        let (url, parameters) = part.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"));
        let path = &url[if url.starts_with('/') { 0 } else { origin(url).len() }..];
        (is_next && path.starts_with('/') && !path.starts_with("//")).then(|| path.to_owned())
    })
}

/// An address without its query, which may hold a signature.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Where a redirect leads. Not from TLS to no TLS.
fn join(from: &str, location: &str) -> Option<String> {
    let scheme = &from[..from.find("://")?];
    let to = if location.starts_with("https://") || location.starts_with("http://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{}{location}", origin(from))
    } else {
        return None;
    };
    (scheme != "https" || to.starts_with("https://")).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        let link = r#"<https://hub.example/api/models?cursor=abc>; rel="next""#;
        assert_eq!(next_page(link).as_deref(), Some("/api/models?cursor=abc"));
        assert_eq!(next_page(r#"</a?x=1>; rel="prev", </b?x=2>; rel="next""#).as_deref(), Some("/b?x=2"));
        for link in ["", "<>", "</a>", r#"<//evil/x>; rel="next""#, r#"</a>; rel="last""#, r#"<https://h>; rel="next""#]
        {
            assert_eq!(next_page(link), None, "{link}");
        }
    }

    #[test]
    fn redirects_are_joined() {
        let from = "https://hub.example/a/b?c=d";
        assert_eq!(join(from, "/x?y").as_deref(), Some("https://hub.example/x?y"));
        assert_eq!(join(from, "//cdn.example/x").as_deref(), Some("https://cdn.example/x"));
        assert_eq!(join(from, "https://cdn.example/x").as_deref(), Some("https://cdn.example/x"));
        assert_eq!(join(from, "http://cdn.example/x"), None);
        assert_eq!(join(from, "file:///etc/passwd"), None);
        assert_eq!(origin("http://h:1/x"), "http://h:1");
        assert_eq!(origin("http://h:1?x"), "http://h:1");
        assert_ne!(origin("https://hub.example.evil/x"), origin(from));
    }
}
