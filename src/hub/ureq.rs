//! Transfers by ureq: blocking, with TLS in Rust.

use std::io::{self, Result};
use std::time::Duration;

use ::ureq::Agent;

use super::transport::{Transport, TransportRequest, TransportResponse};

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(20);

pub(super) struct Ureq {
    agent: Agent,
}

impl Ureq {
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("pocketmlx/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .build();
        Self { agent: config.into() }
    }
}

impl Transport for Ureq {
    fn get(&self, request: &TransportRequest) -> Result<TransportResponse> {
        let mut call = self.agent.get(&request.url);
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        let response = call.call().map_err(io::Error::other)?;
        let (parts, body) = response.into_parts();
        let headers = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        Ok(TransportResponse {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body: Box::new(body.into_reader()),
        })
    }
}
