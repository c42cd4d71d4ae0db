//! Moves a join with outer values down through a subquery's plan until nothing below refers to
//! them any more.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, EmptyRelation, Expr, ExprFunctionExt, ExprSchemable,
    FetchType, Join, Limit, LogicalPlan, LogicalPlanBuilder, Operator, Projection, SkipType,
    SortExpr, Union, Unnest, Values, Window, lit, when,
};

use super::{Names, has_outer};
use crate::error::Error;

/// Outer values: a plan, its columns that are carried along, and which of them is which outer column.
pub(super) struct Outer {
    pub(super) plan: LogicalPlan,
    pub(super) keys: Vec<Column>,
    pub(super) bindings: HashMap<Column, Column>,
}

impl Outer {
    /// The expression with outer columns replaced by those that are carried along.
    fn bind(&self, expr: Expr) -> Result<Expr> {
        expr.transform_up(|expr| {
            Ok(match expr {
                Expr::OuterReferenceColumn(field, column) => match self.bindings.get(&column) {
                    Some(key) => Transformed::yes(Expr::Column(key.clone())),
                    None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                },
                other => Transformed::no(other),
            })
        })
        .data()
    }

    fn key_columns(&self) -> Vec<Expr> {
        self.keys.iter().cloned().map(Expr::Column).collect()
    }

    fn refers(&self, plan: &LogicalPlan) -> Result<bool> {
        let mut found = false;
        plan.apply_with_subqueries(|plan| {
            plan.apply_expressions(|expr| {
                found |= expr.exists(|expr| {
                    Ok(matches!(expr, Expr::OuterReferenceColumn(_, column) if self.bindings.contains_key(column)))
                })?;
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(found)
    }

    /// The same values under other names, for a second use beside the first.
    fn renamed(&self, names: &mut Names) -> Result<Self> {
        let keys: Vec<Column> = self
            .keys
            .iter()
            .map(|key| names.column(&key.name))
            .collect();
        let aliased = self
            .keys
            .iter()
            .zip(&keys)
            .map(|(key, new)| Expr::Column(key.clone()).alias(new.name.clone()));
        let plan = LogicalPlanBuilder::from(self.plan.clone())
            .project(aliased.collect::<Vec<_>>())?
            .build()?;
        let renamed = |column: &Column| {
            let at = self.keys.iter().position(|key| key == column);
            at.and_then(|at| keys.get(at))
                .cloned()
                .unwrap_or_else(|| column.clone())
        };
        let bindings = self
            .bindings
            .iter()
            .map(|(outer, key)| (outer.clone(), renamed(key)))
            .collect();
        Ok(Self {
            plan,
            keys,
            bindings,
        })
    }
}

/// Whether the rows of a plan follow from each outer row by itself, so that outer rows may go
/// through it as they are.
pub(super) fn is_rowwise(plan: &LogicalPlan) -> Result<bool> {
    let mut rowwise = true;
    plan.apply(|plan| {
        let plain = match plan {
            LogicalPlan::Join(join) => join.join_type == JoinType::Inner,
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::SubqueryAlias(_) => true,
            _ => !has_outer(plan)?,
        };
        rowwise &= plain;
        let below = matches!(
            plan,
            LogicalPlan::Join(_)
                | LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Unnest(_)
                | LogicalPlan::SubqueryAlias(_)
        );
        Ok(if below && rowwise {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Jump
        })
    })?;
    Ok(rowwise)
}

/// Whether DataFusion's own rules take a subquery: outer columns only in filters, in equalities and
/// below an aggregation of all rows for a scalar one, without LIMIT or anything else special.
pub(super) fn is_simple(plan: &LogicalPlan, scalar: bool) -> Result<bool> {
    let mut top = plan;
    while let LogicalPlan::Projection(Projection { input, .. }) = top {
        top = input;
    }
    let below = match (top, scalar) {
        (LogicalPlan::Aggregate(aggregate), true) if aggregate.group_expr.is_empty() => {
            if aggregate.contains_outer_reference_in_expressions() {
                return Ok(false);
            }
            aggregate.input.as_ref()
        }
        (_, true) => return Ok(false),
        (other, false) => other,
    };
    let mut simple = true;
    below.apply(|plan| {
        simple &= match plan {
            LogicalPlan::Filter(filter) => {
                let parts = datafusion::logical_expr::utils::split_conjunction(&filter.predicate);
                parts.into_iter().all(|part| match scalar {
                    true => is_plain_condition(part),
                    false => !has_subquery(part),
                })
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::TableScan(_) => !plan.contains_outer_reference(),
            LogicalPlan::Join(join) => {
                join.join_type == JoinType::Inner && !plan.contains_outer_reference()
            }
            _ => {
                !has_outer(plan)? && !matches!(plan, LogicalPlan::Limit(_) | LogicalPlan::Unnest(_))
            }
        };
        Ok(if simple {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    })?;
    Ok(simple)
}

trait OuterInExpressions {
    fn contains_outer_reference_in_expressions(&self) -> bool;
}

impl OuterInExpressions for Aggregate {
    fn contains_outer_reference_in_expressions(&self) -> bool {
        self.aggr_expr
            .iter()
            .chain(&self.group_expr)
            .any(Expr::contains_outer)
    }
}

/// A condition without outer columns, or an equality of an outer column and an inner one.
fn is_plain_condition(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) if expr.contains_outer() => {
            let outer = |expr: &Expr| matches!(expr, Expr::OuterReferenceColumn(..));
            let inner = |expr: &Expr| matches!(expr, Expr::Column(_));
            (outer(left) && inner(right)) || (inner(left) && outer(right))
        }
        other => !other.contains_outer() && !has_subquery(other),
    }
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)
        ))
    })
    .unwrap_or(true)
}

/// Whether a subquery has at most one row for each outer row.
pub(super) fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(Projection { input, .. }) => has_one_row(input),
        LogicalPlan::Filter(filter) => has_one_row(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => has_one_row(&alias.input),
        LogicalPlan::Sort(sort) => has_one_row(&sort.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Limit(limit) => {
            matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1))))
        }
        _ => false,
    }
}

/// The expressions of a plan's columns, aliased so that names and qualifiers stay.
fn keep_names(expressions: Vec<Expr>, schema: &DFSchema) -> Vec<Expr> {
    let named = expressions.into_iter().zip(schema.iter());
    named
        .map(|(expr, (qualifier, field))| match &expr {
            Expr::Column(column)
                if column.relation.as_ref() == qualifier && column.name == *field.name() =>
            {
                expr
            }
            _ => expr.alias_qualified(qualifier.cloned(), field.name().clone()),
        })
        .collect()
}

fn columns_of(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}

/// The plan for every row of the outer values: its own columns, then the keys.
pub(super) fn push(plan: &LogicalPlan, outer: &Outer, names: &mut Names) -> Result<LogicalPlan> {
    if !outer.refers(plan)? {
        return match plan {
            LogicalPlan::EmptyRelation(EmptyRelation {
                produce_one_row: true,
                ..
            }) => LogicalPlanBuilder::from(outer.plan.clone())
                .project(outer.key_columns())?
                .build(),
            _ => LogicalPlanBuilder::from(plan.clone())
                .cross_join(outer.plan.clone())?
                .build(),
        };
    }
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let bound = expr.iter().cloned().map(|expr| outer.bind(expr));
            let mut items = keep_names(bound.collect::<Result<_>>()?, plan.schema());
            items.extend(outer.key_columns());
            LogicalPlanBuilder::from(push(input, outer, names)?)
                .project(items)?
                .build()
        }
        LogicalPlan::Filter(filter) => LogicalPlanBuilder::from(push(&filter.input, outer, names)?)
            .filter(outer.bind(filter.predicate.clone())?)?
            .build(),
        LogicalPlan::SubqueryAlias(alias) => {
            let mut items = keep_names(columns_of(alias.input.schema()), plan.schema());
            items.extend(outer.key_columns());
            LogicalPlanBuilder::from(push(&alias.input, outer, names)?)
                .project(items)?
                .build()
        }
        LogicalPlan::Subquery(subquery) => push(&subquery.subquery, outer, names),
        LogicalPlan::Sort(sort) => push(&sort.input, outer, names),
        LogicalPlan::Aggregate(aggregate) => push_aggregate(aggregate, outer, names),
        LogicalPlan::Limit(limit) => push_limit(limit, outer, names),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            LogicalPlanBuilder::from(push(input, outer, names)?)
                .distinct()?
                .build()
        }
        LogicalPlan::Join(join) => push_join(join, outer, names),
        LogicalPlan::Union(Union { inputs, schema }) => {
            let mut pushed = Vec::new();
            for input in inputs {
                let mut items = keep_names(columns_of(input.schema()), schema);
                items.extend(outer.key_columns());
                let input = LogicalPlanBuilder::from(push(input, outer, names)?).project(items)?;
                pushed.push(Arc::new(input.build()?));
            }
            Ok(LogicalPlan::Union(Union::try_new(pushed)?))
        }
        LogicalPlan::Window(window) => push_window(window, outer, names),
        LogicalPlan::Unnest(Unnest {
            input,
            exec_columns,
            options,
            ..
        }) => LogicalPlanBuilder::from(push(input, outer, names)?)
            .unnest_columns_with_options(exec_columns.clone(), options.clone())?
            .build(),
        LogicalPlan::Values(values) => push_values(values, outer),
        other => Err(Error::feature_not_supported(format!(
            "a correlated subquery with {} is not supported",
            other
                .display()
                .to_string()
                .split(['(', ':'])
                .next()
                .unwrap_or_default()
        ))
        .into()),
    }
}

/// Adds the keys to the groups. Without groups there is a row for every outer row, also where
/// there was nothing to aggregate.
fn push_aggregate(aggregate: &Aggregate, outer: &Outer, names: &mut Names) -> Result<LogicalPlan> {
    if aggregate
        .group_expr
        .iter()
        .any(|expr| matches!(expr, Expr::GroupingSet(_)))
    {
        return Err(Error::feature_not_supported(
            "a correlated subquery with grouping sets is not supported",
        )
        .into());
    }
    let bind = |expr: &Expr| outer.bind(expr.clone());
    let schema = &aggregate.schema;
    let results = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
    let kept = keep_names(results.map(bind).collect::<Result<_>>()?, schema);
    let strip = |expr: &Expr| expr.clone().unalias();
    let (groups, values) = kept.split_at(aggregate.group_expr.len());
    let mut group_expr: Vec<Expr> = groups.iter().map(strip).collect();
    group_expr.extend(outer.key_columns());
    let internal: Vec<Column> = values.iter().map(|_| names.column("aggregate")).collect();
    let aliased = values
        .iter()
        .zip(&internal)
        .map(|(value, name)| strip(value).alias(name.name.clone()));
    let grouped = LogicalPlanBuilder::from(push(&aggregate.input, outer, names)?)
        .aggregate(group_expr.clone(), aliased.collect::<Vec<_>>())?
        .build()?;
    let mut columns: Vec<Expr> = group_expr
        .iter()
        .take(groups.len())
        .map(|expr| Expr::Column(Column::from_name(expr.schema_name().to_string())))
        .collect();
    for (index, expr) in columns.iter_mut().enumerate() {
        // Group columns keep their own qualifier in the schema of the aggregation.
        let (qualifier, field) = grouped.schema().qualified_field(index);
        *expr = Expr::Column(Column::new(qualifier.cloned(), field.name()));
    }
    columns.extend(internal.iter().cloned().map(Expr::Column));
    if !aggregate.group_expr.is_empty() {
        let mut items = keep_names(columns, schema);
        items.extend(outer.key_columns());
        return LogicalPlanBuilder::from(grouped).project(items)?.build();
    }
    let again = outer.renamed(names)?;
    let joined = LogicalPlanBuilder::from(again.plan.clone())
        .join_detailed(
            grouped,
            JoinType::Left,
            (again.keys.clone(), outer.keys.clone()),
            None,
            NullEquality::NullEqualsNull,
        )?
        .build()?;
    let mut items = Vec::new();
    for (column, value) in columns.into_iter().zip(&aggregate.aggr_expr) {
        items.push(or_default(column, value)?);
    }
    let mut items = keep_names(items, schema);
    for (key, new) in outer.keys.iter().zip(&again.keys) {
        let key = Expr::Column(new.clone()).alias_qualified(key.relation.clone(), key.name.clone());
        items.push(key);
    }
    LogicalPlanBuilder::from(joined).project(items)?.build()
}

/// What an aggregate gives for no rows, such as 0 of a count, where the join found none.
fn or_default(column: Expr, aggregate: &Expr) -> Result<Expr> {
    let Expr::AggregateFunction(function) = aggregate.clone().unalias() else {
        return Ok(column);
    };
    let data_type = datafusion::arrow::datatypes::DataType::Int64;
    let default = function.func.default_value(&data_type)?;
    match default.is_null() {
        true => Ok(column),
        false => when(column.clone().is_null(), lit(default)).otherwise(column),
    }
}

fn push_limit(limit: &Limit, outer: &Outer, names: &mut Names) -> Result<LogicalPlan> {
    let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
        (limit.get_skip_type()?, limit.get_fetch_type()?)
    else {
        return Err(Error::feature_not_supported(
            "a correlated subquery whose LIMIT is no constant is not supported",
        )
        .into());
    };
    // The order may stand below a projection of its columns.
    let mut sorted = limit.input.as_ref();
    while let LogicalPlan::Projection(Projection { input, .. }) = sorted {
        sorted = input;
    }
    let input = limit.input.as_ref();
    let (below, order): (&LogicalPlan, Vec<SortExpr>) = match (input, sorted) {
        (LogicalPlan::Sort(sort), _) => (sort.input.as_ref(), sort.expr.clone()),
        (_, LogicalPlan::Sort(sort)) => {
            let numbered = number_rows(
                push(&sort.input, outer, names)?,
                outer,
                sort.expr.clone(),
                names,
            )?;
            return keep_first(input, numbered, (skip, fetch), outer);
        }
        _ => (input, Vec::new()),
    };
    let numbered = number_rows(push(below, outer, names)?, outer, order, names)?;
    let (plan, number) = numbered;
    let filtered = LogicalPlanBuilder::from(plan).filter(between(number, skip, fetch))?;
    let mut items = columns_of(input.schema());
    items.extend(outer.key_columns());
    filtered.project(items)?.build()
}

/// Numbers the rows of each outer row.
fn number_rows(
    plan: LogicalPlan,
    outer: &Outer,
    order: Vec<SortExpr>,
    names: &mut Names,
) -> Result<(LogicalPlan, Column)> {
    let name = names.column("row");
    let order = order
        .into_iter()
        .map(|key| {
            Ok(SortExpr {
                expr: outer.bind(key.expr)?,
                ..key
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut number = row_number().partition_by(outer.key_columns());
    if !order.is_empty() {
        number = number.order_by(order);
    }
    let number = number.build()?.alias(name.name.clone());
    Ok((
        LogicalPlanBuilder::from(plan)
            .window(vec![number])?
            .build()?,
        name,
    ))
}

fn between(number: Column, skip: usize, fetch: Option<usize>) -> Expr {
    let bound = |rows: usize| lit(rows as u64);
    let number = Expr::Column(number);
    let after = number.clone().gt(bound(skip));
    match fetch {
        Some(fetch) => after.and(number.lt_eq(bound(skip.saturating_add(fetch)))),
        None => after,
    }
}

/// The projections above the sort, over its first rows.
fn keep_first(
    projections: &LogicalPlan,
    (plan, number): (LogicalPlan, Column),
    (skip, fetch): (usize, Option<usize>),
    outer: &Outer,
) -> Result<LogicalPlan> {
    let filtered = LogicalPlanBuilder::from(plan)
        .filter(between(number, skip, fetch))?
        .build()?;
    let mut chain = Vec::new();
    let mut at = projections;
    while let LogicalPlan::Projection(projection) = at {
        chain.push(projection);
        at = projection.input.as_ref();
    }
    let mut plan = filtered;
    for projection in chain.into_iter().rev() {
        let bound = projection.expr.iter().cloned().map(|expr| outer.bind(expr));
        let mut items = keep_names(bound.collect::<Result<_>>()?, &projection.schema);
        items.extend(outer.key_columns());
        plan = LogicalPlanBuilder::from(plan).project(items)?.build()?;
    }
    Ok(plan)
}

fn push_window(window: &Window, outer: &Outer, names: &mut Names) -> Result<LogicalPlan> {
    let inputs = window.input.schema().fields().len();
    let mut expressions = Vec::new();
    for (index, expr) in window.window_expr.iter().enumerate() {
        let mut bound = outer.bind(expr.clone().unalias())?;
        if let Expr::WindowFunction(function) = &mut bound {
            let function: &mut WindowFunction = function;
            function.params.partition_by.extend(outer.key_columns());
        }
        let (qualifier, field) = window.schema.qualified_field(inputs + index);
        expressions.push(bound.alias_qualified(qualifier.cloned(), field.name().clone()));
    }
    let numbered =
        LogicalPlanBuilder::from(push(&window.input, outer, names)?).window(expressions)?;
    let mut items = columns_of(&window.schema);
    items.extend(outer.key_columns());
    numbered.project(items)?.build()
}

fn push_values(values: &Values, outer: &Outer) -> Result<LogicalPlan> {
    let mut rows = Vec::new();
    for row in &values.values {
        let bound = row
            .iter()
            .cloned()
            .zip(values.schema.fields())
            .map(|(value, field)| {
                outer
                    .bind(value)?
                    .cast_to(field.data_type(), outer.plan.schema())
            });
        let mut items = keep_names(bound.collect::<Result<_>>()?, &values.schema);
        items.extend(outer.key_columns());
        let row = LogicalPlanBuilder::from(outer.plan.clone()).project(items)?;
        rows.push(Arc::new(row.build()?));
    }
    match rows.len() {
        1 => Ok(Arc::unwrap_or_clone(rows.remove(0))),
        _ => Ok(LogicalPlan::Union(Union::try_new(rows)?)),
    }
}

/// One side, or both, depend on the outer values; where both do, they are the same values.
fn push_join(join: &Join, outer: &Outer, names: &mut Names) -> Result<LogicalPlan> {
    let (left, right) = (outer.refers(&join.left)?, outer.refers(&join.right)?);
    let own = join
        .on
        .iter()
        .map(|(a, b)| Ok((outer.bind(a.clone())?, outer.bind(b.clone())?)));
    let on: Vec<(Expr, Expr)> = own.collect::<Result<_>>()?;
    let filter = join
        .filter
        .clone()
        .map(|filter| outer.bind(filter))
        .transpose()?;
    let conditions = on.into_iter().map(|(a, b)| match join.null_equality {
        NullEquality::NullEqualsNothing => a.eq(b),
        NullEquality::NullEqualsNull => Expr::BinaryExpr(BinaryExpr::new(
            Box::new(a),
            Operator::IsNotDistinctFrom,
            Box::new(b),
        )),
    });
    let mut conditions: Vec<Expr> = conditions.chain(filter).collect();
    // The side that keeps its rows must have the keys.
    let (on_left, on_right) = match join.join_type {
        JoinType::Inner => (left || !right, right),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            (true, right)
        }
        JoinType::Right => (left, true),
        _ => {
            return Err(Error::feature_not_supported(
                "a correlated subquery with a FULL JOIN is not supported",
            )
            .into());
        }
    };
    let plan = |side: &Arc<LogicalPlan>| side.as_ref().clone();
    let (left, right) = match (on_left, on_right) {
        (true, true) => {
            let again = outer.renamed(names)?;
            let same = outer.keys.iter().zip(&again.keys).map(|(a, b)| {
                Expr::BinaryExpr(BinaryExpr::new(
                    Box::new(Expr::Column(a.clone())),
                    Operator::IsNotDistinctFrom,
                    Box::new(Expr::Column(b.clone())),
                ))
            });
            conditions.extend(same);
            match join.join_type {
                JoinType::Right => (
                    push(&join.left, &again, names)?,
                    push(&join.right, outer, names)?,
                ),
                _ => (
                    push(&join.left, outer, names)?,
                    push(&join.right, &again, names)?,
                ),
            }
        }
        (true, false) => (push(&join.left, outer, names)?, plan(&join.right)),
        (false, _) => (plan(&join.left), push(&join.right, outer, names)?),
    };
    let joined = LogicalPlanBuilder::from(left).join_on(right, join.join_type, conditions)?;
    let mut items = columns_of(&join.schema);
    items.extend(outer.key_columns());
    joined.project(items)?.build()
}
