//! What the library logs, on stderr.

use std::io;

use pocketmlx::Error;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

const VARIABLE: &str = "POCKETMLX_LOG";

/// Starts logging when it was asked for by `-v` or POCKETMLX_LOG; otherwise startup pays nothing for it.
pub fn start(verbose: u8) -> Result<(), Failure> {
    let filter = match (std::env::var(VARIABLE), verbose) {
        (Ok(filter), _) if !filter.is_empty() => filter,
        (_, 0) => return Ok(()),
        (_, 1) => "pocketmlx=info".to_owned(),
        _ => "pocketmlx=debug".to_owned(),
    };
    let filter = EnvFilter::builder()
        .parse(&filter)
        .map_err(|e| Failure::Usage(Error::invalid(format!("{VARIABLE}={filter:?}: {e}"))))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).finish();
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|e| Error::internal(format!("logging did not start: {e}")).into())
}
