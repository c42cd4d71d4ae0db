//! Where a plan may not have aggregates and window functions: the engine says so only when it runs.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// # Errors
/// 42P20 for a window function in WHERE, HAVING or a join's condition, 42803 for an aggregate in the
/// latter.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Filter(filter) => {
                let clause = match filter.input.as_ref() {
                    LogicalPlan::Aggregate(_) => "HAVING",
                    _ => "WHERE",
                };
                found = found.take().or(misplaced(&filter.predicate, clause)?);
            }
            LogicalPlan::Join(join) => {
                if let Some(condition) = &join.filter {
                    found = found.take().or(misplaced(condition, "JOIN conditions")?);
                }
            }
            _ => {}
        }
        Ok(match found {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    })?;
    found.map_or(Ok(()), Err)
}

fn misplaced(condition: &Expr, clause: &str) -> datafusion::error::Result<Option<Error>> {
    let mut found = None;
    condition.apply(|expr| {
        let (state, what) = match expr {
            Expr::WindowFunction(_) => (SqlState::WindowingError, "window"),
            Expr::AggregateFunction(_) => (SqlState::GroupingError, "aggregate"),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        let message = format!("{what} functions are not allowed in {clause}");
        found = Some(Error::new(state, message));
        Ok(TreeNodeRecursion::Stop)
    })?;
    Ok(found)
}
