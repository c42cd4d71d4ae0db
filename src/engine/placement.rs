//! Where a plan may not have aggregates, window functions and references of a recursive query to itself: the
//! engine says so only when it runs, or answers otherwise.

mod recursion;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// # Errors
/// 42P20 for a window function in WHERE, HAVING or a join's condition, 42803 for an aggregate in the
/// latter; 42P19 for a recursive query that PostgreSQL refuses; 0A000 for an aggregate that belongs to an
/// outer query.
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
            LogicalPlan::Aggregate(aggregate) => {
                for expr in &aggregate.aggr_expr {
                    found = found.take().or(of_outer_query(expr, &aggregate.input)?);
                }
            }
            LogicalPlan::RecursiveQuery(query) => {
                found = found.take().or(recursion::check(query)?);
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

/// An aggregate whose arguments are all columns of an outer query is that query's in SQL; here it would be
/// computed for each of its rows.
fn of_outer_query(
    aggregate: &Expr,
    input: &LogicalPlan,
) -> datafusion::error::Result<Option<Error>> {
    let (mut own, mut outer) = (false, false);
    aggregate.apply(|expr| {
        match expr {
            Expr::Column(_) => own = true,
            Expr::OuterReferenceColumn(..) => outer = true,
            Expr::ScalarSubquery(subquery) => {
                for column in &subquery.outer_ref_columns {
                    let is_own = matches!(column, Expr::OuterReferenceColumn(_, column)
                        if input.schema().has_column(column));
                    own |= is_own;
                    outer |= !is_own;
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((outer && !own).then(|| {
        Error::feature_not_supported(
            "an aggregate of an outer query's columns in a subquery is not supported",
        )
    }))
}
