//! References of a recursive query to itself that PostgreSQL refuses.

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, RecursiveQuery};

use crate::error::Error;
use crate::sqlstate::SqlState;

/// 42P19 for a reference that is not one row source of the recursive term.
pub(super) fn check(query: &RecursiveQuery) -> Result<Option<Error>> {
    let name = query.name.as_str();
    let term = query.recursive_term.as_ref();
    let mut wrong = None;
    term.apply(|plan| {
        let place = match plan {
            LogicalPlan::Aggregate(aggregate)
                if !aggregate.aggr_expr.is_empty() && reads(&aggregate.input, name)? =>
            {
                wrong = Some(
                    "aggregate functions are not allowed in a recursive query's recursive term"
                        .to_owned(),
                );
                None
            }
            LogicalPlan::Join(join) => {
                let (left, right) = (reads(&join.left, name)?, reads(&join.right, name)?);
                match join.join_type {
                    JoinType::Left if right => Some("an outer join"),
                    JoinType::Right if left => Some("an outer join"),
                    JoinType::Full if left || right => Some("an outer join"),
                    _ => None,
                }
            }
            LogicalPlan::RecursiveQuery(_) => return Ok(TreeNodeRecursion::Jump),
            _ => None,
        };
        if let Some(place) = place {
            wrong = Some(within(name, place));
        }
        Ok(match wrong {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    })?;
    if wrong.is_none() {
        let (mut sources, mut all) = (0, 0);
        let count = |plan: &LogicalPlan, found: &mut usize| {
            *found += usize::from(is_reference(plan, name));
            Ok(TreeNodeRecursion::Continue)
        };
        term.apply(|plan| count(plan, &mut sources))?;
        term.apply_with_subqueries(|plan| count(plan, &mut all))?;
        wrong = (all > sources).then(|| within(name, "a subquery"));
    }
    Ok(wrong.map(|text| Error::new(SqlState::InvalidRecursion, text)))
}

fn within(name: &str, place: &str) -> String {
    format!("recursive reference to query \"{name}\" must not appear within {place}")
}

fn reads(plan: &LogicalPlan, name: &str) -> Result<bool> {
    plan.exists(|plan| Ok(is_reference(plan, name)))
}

fn is_reference(plan: &LogicalPlan, name: &str) -> bool {
    let LogicalPlan::TableScan(scan) = plan else {
        return false;
    };
    source_as_provider(&scan.source).is_ok_and(|provider| {
        provider
            .downcast_ref::<CteWorkTable>()
            .is_some_and(|table| table.name() == name)
    })
}
