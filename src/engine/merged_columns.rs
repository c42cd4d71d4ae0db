//! Columns that RIGHT and FULL JOIN … USING merge.
//!
//! DataFusion reads such a column from the left side, where it is NULL for rows that only the right
//! side has. The value of either side is what SQL means.

use datafusion::common::Column;
use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, Join, JoinConstraint, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

/// The rule; it goes before types are coerced.
#[derive(Debug)]
pub(super) struct MergeColumns;

impl AnalyzerRule for MergeColumns {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(merge).data()
    }

    fn name(&self) -> &'static str {
        "merge_columns"
    }
}

fn merge(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(Join {
        join_type: JoinType::Right | JoinType::Full,
        join_constraint: JoinConstraint::Using,
        ..
    }) = &plan
    else {
        return Ok(Transformed::no(plan));
    };
    let LogicalPlan::Join(join) = &plan else {
        return Ok(Transformed::no(plan));
    };
    let merged = |column: &Column| {
        join.on
            .iter()
            .find_map(|(left, right)| match (left, right) {
                (Expr::Column(left), Expr::Column(_)) if left == column => {
                    Some(coalesce(vec![Expr::Column(left.clone()), right.clone()]))
                }
                _ => None,
            })
    };
    let items = join
        .schema
        .columns()
        .into_iter()
        .map(|column| match merged(&column) {
            Some(value) => value.alias_qualified(column.relation, column.name),
            None => Expr::Column(column),
        });
    let items: Vec<Expr> = items.collect();
    let plan = LogicalPlanBuilder::from(plan).project(items)?.build()?;
    Ok(Transformed::yes(plan))
}
