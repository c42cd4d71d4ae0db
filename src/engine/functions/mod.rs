//! Functions of the server beside the loyalty library: PostgreSQL's that DataFusion lacks or answers
//! differently, limits on built-ins, and the session's own.

mod advisory;
mod alike;
mod arrays;
mod cron;
mod datetime;
mod elements;
mod format;
pub(crate) mod joined;
mod json;
mod json_edit;
mod json_operators;
pub(crate) mod lists;
mod numbering;
mod numbers;
pub(crate) mod ordered;
mod pattern;
pub(crate) mod quantified;
pub(crate) mod records;
pub(crate) mod regexes;
mod render;
mod rowwise;
mod sequences;
pub(crate) mod series;
mod session;
mod size_caps;
mod text;
mod trim;
mod types;
mod uuid;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::ExprPlanner;

use self::json_operators::JsonOperators;
pub(crate) use alike::LabelCases;
pub(crate) use datetime::{CastTimes, ExtractPlanner, SessionTime, TimeOperators};

use super::state::Parts;

/// Registers them; built-ins of the same name are replaced.
pub(crate) fn register(state: &mut SessionState, parts: &Parts) -> Result<()> {
    let (activity, clock) = (&parts.activity, &parts.clock);
    size_caps::register(state)?;
    types::register(state)?;
    advisory::register(state, activity)?;
    cron::register(state, parts.jobs.as_ref(), clock, parts.cron_zone)?;
    datetime::register(state, clock)?;
    session::register(state, activity)
}

/// The value of a scalar subquery whose rows were collected: more than one is an error.
pub(crate) fn subquery_value(list: Expr) -> Expr {
    let function = crate::catalog::functions::lists::subquery_value();
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![list]))
}

/// Planners of operators that become functions here.
pub(crate) fn operators() -> Vec<Arc<dyn ExprPlanner>> {
    vec![
        Arc::new(JsonOperators::new()),
        Arc::new(alike::ArrayPlanner::new()),
    ]
}

/// Registers those that replace functions of the catalog too.
pub(crate) fn register_last(state: &mut SessionState) -> Result<()> {
    alike::register(state)?;
    elements::register(state)?;
    numbering::register(state)?;
    lists::register(state)?;
    trim::register(state)?;
    sequences::register(state)?;
    uuid::register(state)?;
    ordered::register(state)?;
    quantified::register(state)?;
    records::register(state)?;
    series::register(state)?;
    rowwise::register(
        state,
        &[
            arrays::SPECS,
            json::JSONB_READERS,
            json::JSON_READERS,
            json::SPECS,
            json_edit::SPECS,
            joined::SPECS,
            numbers::SPECS,
            regexes::SPECS,
            text::SPECS,
        ],
    )
}
