//! Correlated subqueries and LATERAL joins that DataFusion's own rules refuse.
//!
//! The distinct values of the outer columns that a subquery refers to are joined with it once, and
//! the result is joined back to the outer rows by those values. So a subquery may have any shape:
//! LIMIT, aggregates, windows, set operations, functions in FROM.

mod push;

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{array_agg, count};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, SubqueryAlias,
    lit, when,
};
use datafusion::optimizer::AnalyzerRule;

use self::push::{Outer, push};
use super::functions::quantified;
use super::functions::subquery_value;
use crate::error::Error;

/// The rule; it goes after types are coerced.
#[derive(Debug)]
pub(super) struct Decorrelate;

impl AnalyzerRule for Decorrelate {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut names = Names::default();
        plan.transform_up_with_subqueries(|plan| rewrite(plan, &mut names))
            .data()
    }

    fn name(&self) -> &'static str {
        "decorrelate"
    }
}

/// Numbers for the columns that are made here.
#[derive(Debug, Default)]
pub(super) struct Names(usize);

impl Names {
    /// A name that no column of the statement has.
    fn column(&mut self, what: &str) -> Column {
        self.0 += 1;
        Column::from_name(format!("{what}\u{1f}{}", self.0))
    }
}

fn rewrite(plan: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(join) => rewrite_lateral(join, names),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Window(_) => rewrite_expressions(plan, names),
        other => Ok(Transformed::no(other)),
    }
}

/// The outer columns that a plan refers to and that `schema` has.
fn outer_columns(plan: &LogicalPlan, schema: &DFSchema) -> Result<Vec<Column>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr
                    && schema.has_column(column)
                    && seen.insert(column.clone())
                {
                    found.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn has_outer(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= plan.contains_outer_reference();
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

/// The rows of `input` are read twice: what gives other rows the second time cannot be.
fn check_repeatable(input: &LogicalPlan) -> Result<()> {
    let mut repeatable = true;
    input.apply_with_subqueries(|plan| {
        if let LogicalPlan::Limit(limit) = plan {
            repeatable &= matches!(limit.input.as_ref(), LogicalPlan::Sort(_));
        }
        plan.apply_expressions(|expr| {
            repeatable &= !expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    match repeatable {
        true => Ok(()),
        false => Err(Error::feature_not_supported(
            "a correlated subquery beside a volatile function or an unordered LIMIT is not supported",
        )
        .into()),
    }
}

/// The distinct values of the outer columns, under names of their own.
fn distinct_values(input: &LogicalPlan, columns: &[Column], names: &mut Names) -> Result<Outer> {
    check_repeatable(input)?;
    let keys: Vec<Column> = columns
        .iter()
        .map(|column| names.column(&column.name))
        .collect();
    let aliased = columns
        .iter()
        .zip(&keys)
        .map(|(column, key)| Expr::Column(column.clone()).alias(key.name.clone()));
    let plan = LogicalPlanBuilder::from(input.clone())
        .project(aliased.collect::<Vec<_>>())?
        .distinct()?
        .build()?;
    let bindings = columns.iter().cloned().zip(keys.iter().cloned()).collect();
    Ok(Outer {
        plan,
        keys,
        bindings,
    })
}

fn rewrite_lateral(join: Join, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let (subquery, alias) = match join.right.as_ref() {
        LogicalPlan::Subquery(subquery) => (subquery.clone(), None),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => match input.as_ref() {
            LogicalPlan::Subquery(subquery) => (subquery.clone(), Some(alias.clone())),
            _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
    };
    let mut inner = Arc::unwrap_or_clone(subquery.subquery);
    if let Some(alias) = alias {
        inner = LogicalPlanBuilder::from(inner).alias(alias)?.build()?;
    }
    let columns = outer_columns(&inner, join.left.schema())?;
    if columns.is_empty() {
        let join = Join {
            right: Arc::new(inner),
            ..join
        };
        return Ok(Transformed::yes(LogicalPlan::Join(join)));
    }
    let plan = match join.join_type {
        JoinType::Inner if push::is_rowwise(&inner)? => {
            lateral_rows(&join, &inner, &columns, names)?
        }
        JoinType::Inner | JoinType::Left => lateral_join(&join, &inner, &columns, names)?,
        _ => {
            return Err(Error::new(
                crate::sqlstate::SqlState::InvalidColumnReference,
                "invalid reference to FROM-clause entry: the combining JOIN type must be INNER or LEFT for a LATERAL reference",
            )
            .into());
        }
    };
    Ok(Transformed::yes(plan))
}

fn fields(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}

/// The outer rows themselves go through the subquery: nothing is read twice.
fn lateral_rows(
    join: &Join,
    inner: &LogicalPlan,
    columns: &[Column],
    names: &mut Names,
) -> Result<LogicalPlan> {
    let outer = Outer {
        plan: join.left.as_ref().clone(),
        keys: join.left.schema().columns(),
        bindings: columns
            .iter()
            .cloned()
            .map(|column| (column.clone(), column))
            .collect(),
    };
    let mut plan = LogicalPlanBuilder::from(push(inner, &outer, names)?);
    if let Some(condition) = conditions(join) {
        plan = plan.filter(condition)?;
    }
    plan.project(fields(&join.schema))?.build()
}

/// All conditions of a join as one.
fn conditions(join: &Join) -> Option<Expr> {
    let equalities = join
        .on
        .iter()
        .map(|(left, right)| left.clone().eq(right.clone()));
    equalities.chain(join.filter.clone()).reduce(Expr::and)
}

fn lateral_join(
    join: &Join,
    inner: &LogicalPlan,
    columns: &[Column],
    names: &mut Names,
) -> Result<LogicalPlan> {
    let outer = distinct_values(&join.left, columns, names)?;
    let right = push(inner, &outer, names)?;
    let keys = (columns.to_vec(), outer.keys.clone());
    LogicalPlanBuilder::from(join.left.as_ref().clone())
        .join_detailed(
            right,
            join.join_type,
            keys,
            conditions(join),
            NullEquality::NullEqualsNull,
        )?
        .project(fields(&join.schema))?
        .build()
}

fn rewrite_expressions(plan: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let mut wanted = false;
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            wanted |= needs_us(expr, &plan)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else {
        return Ok(Transformed::no(plan));
    };
    if !wanted {
        return Ok(Transformed::no(plan));
    }
    let original = Arc::clone(plan.schema());
    let mut input = (*input).clone();
    let preserver = NamePreserver::new(&plan);
    let before = plan.clone();
    let mut expressions = Vec::new();
    let plan_again = plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let rewritten = expr.transform_up(|expr| {
            if !needs_us(&expr, &before)? {
                return Ok(Transformed::no(expr));
            }
            let (joined, value) = attach(&input, expr, names)?;
            input = joined;
            Ok(Transformed::yes(value))
        })?;
        let rewritten = rewritten.update_data(|expr| name.restore(expr));
        expressions.push(rewritten.data.clone());
        Ok(rewritten)
    })?;
    let adds_columns = matches!(
        plan_again.data,
        LogicalPlan::Filter(_) | LogicalPlan::Window(_)
    );
    let expressions = plan_again.data.expressions();
    let mut rewritten = plan_again.data.with_new_exprs(expressions, vec![input])?;
    if adds_columns {
        rewritten = LogicalPlanBuilder::from(rewritten)
            .project(fields(&original))?
            .build()?;
    }
    Ok(Transformed::yes(rewritten))
}

/// Whether an expression is a subquery that DataFusion would refuse in this place.
fn needs_us(expr: &Expr, place: &LogicalPlan) -> Result<bool> {
    let (subquery, scalar) = match expr {
        Expr::ScalarSubquery(subquery) => (subquery, true),
        Expr::Exists(Exists { subquery, .. }) => (subquery, false),
        Expr::InSubquery(InSubquery { subquery, .. }) => (subquery, false),
        _ => return Ok(false),
    };
    let inner = subquery.subquery.as_ref();
    let correlated = has_outer(inner)?;
    let filter = matches!(place, LogicalPlan::Filter(_));
    if !correlated {
        return Ok(!scalar && !filter);
    }
    let projection = matches!(place, LogicalPlan::Projection(_));
    let simple = push::is_simple(inner, scalar)? && all_bound(inner, place)?;
    Ok(!(simple && (filter || (scalar && projection))))
}

/// Whether every outer column is one of this place's input, and not of a query further out.
fn all_bound(inner: &LogicalPlan, place: &LogicalPlan) -> Result<bool> {
    let inputs = place.inputs();
    let mut bound = true;
    inner.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr {
                    bound &= inputs.iter().any(|input| input.schema().has_column(column));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(bound)
}

/// Joins a subquery to `input`; gives the joined plan and the expression of the subquery's value.
fn attach(input: &LogicalPlan, expr: Expr, names: &mut Names) -> Result<(LogicalPlan, Expr)> {
    match expr {
        Expr::ScalarSubquery(subquery) => {
            let single = push::has_one_row(&subquery.subquery);
            attach_scalar(input, &subquery, single, names)
        }
        Expr::Exists(Exists { subquery, negated }) => {
            let counted = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
                .limit(0, Some(1))?
                .aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64))])?
                .build()?;
            let (joined, rows) = attach_scalar(input, &with_plan(subquery, counted), true, names)?;
            let operator = if negated { Operator::Eq } else { Operator::Gt };
            let found = Expr::BinaryExpr(BinaryExpr::new(
                Box::new(rows),
                operator,
                Box::new(lit(0_i64)),
            ));
            Ok((joined, found))
        }
        Expr::InSubquery(InSubquery {
            expr,
            subquery,
            negated,
        }) => {
            let column = Expr::Column(first_column(&subquery.subquery)?);
            let collected = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
                .aggregate(Vec::<Expr>::new(), vec![array_agg(column)])?
                .build()?;
            let (joined, list) =
                attach_scalar(input, &with_plan(subquery, collected), true, names)?;
            let found = when(list.clone().is_null(), lit(false))
                .otherwise(quantified::equals_any(*expr, list))?;
            Ok((
                joined,
                if negated {
                    Expr::Not(Box::new(found))
                } else {
                    found
                },
            ))
        }
        other => Ok((input.clone(), other)),
    }
}

fn with_plan(subquery: Subquery, plan: LogicalPlan) -> Subquery {
    Subquery {
        subquery: Arc::new(plan),
        ..subquery
    }
}

fn first_column(plan: &LogicalPlan) -> Result<Column> {
    let mut columns = plan.schema().columns().into_iter();
    match (columns.next(), columns.next()) {
        (Some(column), None) => Ok(column),
        _ => Err(Error::syntax_error("subquery must return only one column").into()),
    }
}

/// Joins the one value of a subquery. Where it may have more than one row, its rows are collected
/// first, so that more than one is an error.
fn attach_scalar(
    input: &LogicalPlan,
    subquery: &Subquery,
    single: bool,
    names: &mut Names,
) -> Result<(LogicalPlan, Expr)> {
    let inner = subquery.subquery.as_ref();
    let column = first_column(inner)?;
    let value = names.column("value");
    let columns = outer_columns(inner, input.schema())?;
    let collect = |plan: LogicalPlan| -> Result<LogicalPlan> {
        let item = Expr::Column(column.clone());
        match single {
            true => LogicalPlanBuilder::from(plan)
                .project(vec![item.alias(value.name.clone())])?
                .build(),
            false => LogicalPlanBuilder::from(plan)
                .aggregate(
                    Vec::<Expr>::new(),
                    vec![array_agg(item).alias(value.name.clone())],
                )?
                .build(),
        }
    };
    let taken = |column: Expr| match single {
        true => column,
        false => subquery_value(column),
    };
    if columns.is_empty() {
        // Only an aggregation has a row for certain.
        let one = matches!(inner, LogicalPlan::Aggregate(_)) && single;
        let item = match one {
            true => Expr::Column(column),
            false => array_agg(Expr::Column(column)),
        };
        let item = item.alias(value.name.clone());
        let plan = LogicalPlanBuilder::from(inner.clone());
        let plan = match one {
            true => plan.project(vec![item])?,
            false => plan.aggregate(Vec::<Expr>::new(), vec![item])?,
        };
        let joined = LogicalPlanBuilder::from(input.clone())
            .cross_join(plan.build()?)?
            .build()?;
        let value = Expr::Column(value);
        return Ok((joined, if one { value } else { subquery_value(value) }));
    }
    let outer = distinct_values(input, &columns, names)?;
    let inner = push(&collect(inner.clone())?, &outer, names)?;
    let joined = LogicalPlanBuilder::from(input.clone())
        .join_detailed(
            inner,
            JoinType::Left,
            (columns, outer.keys.clone()),
            None,
            NullEquality::NullEqualsNull,
        )?
        .build()?;
    Ok((joined, taken(Expr::Column(value))))
}
