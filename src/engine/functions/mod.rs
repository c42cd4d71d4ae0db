//! Functions of the server beside the loyalty library: limits on built-ins, and the session's own.

mod advisory;
mod datetime;
mod session;
mod size_caps;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionState;

pub(crate) use datetime::{CastTimes, ExtractPlanner, SessionTime, TimeOperators};

use super::activity::Activity;
use crate::runtime::Clock;

/// Registers them; built-ins of the same name are replaced.
pub(crate) fn register(
    state: &mut SessionState,
    activity: &Arc<Activity>,
    clock: &Arc<dyn Clock>,
) -> Result<()> {
    size_caps::register(state)?;
    advisory::register(state, activity)?;
    datetime::register(state, clock)?;
    session::register(state, activity)
}
