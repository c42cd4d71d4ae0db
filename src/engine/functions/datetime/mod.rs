//! Dates, times, intervals and zones as PostgreSQL computes them.

mod casts;
mod clocks;
mod extract;
mod format;
mod function;
mod make;
mod operators;
mod session_time;
mod spans;
mod truncate;
mod units;
mod values;
mod zones;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;

pub(crate) use casts::CastTimes;
pub(crate) use extract::ExtractPlanner;
use function::Function;
pub(crate) use operators::TimeOperators;
pub(crate) use session_time::SessionTime;

use crate::runtime::Clock;

/// Registers the functions; those of the base of the same name are replaced.
pub(super) fn register(state: &mut SessionState, clock: &Arc<dyn Clock>) -> Result<()> {
    for functions in [
        make::functions(),
        spans::functions(),
        truncate::functions(),
        zones::functions(),
    ] {
        for function in functions {
            add(state, function)?;
        }
    }
    for function in format::functions() {
        add(state, function)?;
    }
    format::register(state)?;
    extract::register(state)?;
    clocks::register(state, clock)
}

fn add(state: &mut SessionState, function: Function) -> Result<()> {
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(function)))?;
    Ok(())
}
