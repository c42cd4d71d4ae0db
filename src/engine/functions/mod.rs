//! Functions of the server beside the loyalty library: limits on built-ins, and the session's own.

mod advisory;
mod refused;
mod session;
mod size_caps;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionState;

use super::activity::Activity;

/// Registers them; built-ins of the same name are replaced.
pub(crate) fn register(state: &mut SessionState, activity: &Arc<Activity>) -> Result<()> {
    size_caps::register(state)?;
    refused::register(state)?;
    advisory::register(state, activity)?;
    session::register(state, activity)
}
