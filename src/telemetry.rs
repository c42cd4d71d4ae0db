//! Logging: structured lines on standard error, quiet unless something needs a person.

use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};

/// The environment variable that chooses what is logged, in `tracing`'s filter syntax.
const FILTER_VARIABLE: &str = "LOYALHOUSE_LOG";

/// Starts logging. Results and the line that says where the server listens go to standard output,
/// everything else goes through here.
pub fn start() -> Result<()> {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| Error::internal("logging was started twice").with_source(error))
}
