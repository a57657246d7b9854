//! What a transfer is, for hosts that bring their own (`URLSession` on iOS).

use std::io::{Read, Result};

/// A GET request. It carries no body, and redirects are not followed.
#[derive(Debug, Clone)]
pub struct TransportRequest {
    /// The whole address.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

/// An answer, of any status.
pub struct TransportResponse {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as it comes.
    pub body: Box<dyn Read + Send>,
}

/// Sends requests. Called from several threads at once.
pub trait Transport: Send + Sync {
    /// Sends a request and returns when the head of the answer is there. It does not follow redirects, decodes nothing
    /// and gives up on a server that is silent for a minute, while waiting and while reading the body.
    ///
    /// # Errors
    /// When there is no answer; an error of the body's reader when it breaks off. Both are tried again.
    fn get(&self, request: &TransportRequest) -> Result<TransportResponse>;
}

impl TransportResponse {
    /// The first header of a name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}
