//! Aggregates and keys of one column that differ in a cast only: `sum(x), sum(x::float8)`.
//!
//! DataFusion leaves casts out of the names of expressions, and refuses two aggregates of one name. All
//! but the first get a FILTER that lets every row in, each its own.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    Value, VisitMut, VisitorMut,
};

use super::build::{Order, call, function_name, join, number, take, visit_own};

/// Aggregates of the engine; those of the loyalty library take no casts of one column.
const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "max",
    "median",
    "min",
    "percentile_cont",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
];

/// Tells the aggregates of a query apart, and keys of GROUP BY, after they were rewritten.
pub(super) fn separate(query: &mut Query) {
    separate_keys(query);
    let mut known = Texts::new();
    let mut separate = |expr: &mut Expr| tell_apart(&mut known, expr);
    if let SetExpr::Select(select) = query.body.as_mut() {
        let Select {
            projection, having, ..
        } = select.as_mut();
        visit_own(projection, Order::After, &mut separate);
        visit_own(having, Order::After, &mut separate);
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(keys) = &mut order_by.kind
        {
            visit_own(keys, Order::After, &mut separate);
        }
    }
}

/// `GROUP BY x, x::text`: the planner calls both keys `x`. The cast becomes the only argument of a coalesce,
/// wherever it stands.
fn separate_keys(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return;
    };
    let GroupByExpr::Expressions(keys, _) = &select.group_by else {
        return;
    };
    let items = select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    let items: Vec<&Expr> = items.collect();
    let at_position = |key: &Expr| match key {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => {
                let place: usize = digits.parse().ok()?;
                items.get(place.checked_sub(1)?).copied()
            }
            _ => None,
        },
        _ => None,
    };
    let keys: Vec<Expr> = keys
        .iter()
        .map(|key| at_position(key).unwrap_or(key).clone())
        .collect();
    let bare = |expr: &Expr| {
        let mut expr = expr.clone();
        let _: ControlFlow<()> = VisitMut::visit(&mut expr, &mut WithoutCasts);
        expr.to_string()
    };
    let casts: Vec<Expr> = keys
        .iter()
        .filter(|key| matches!(key, Expr::Cast { .. }))
        .filter(|key| keys.iter().filter(|other| bare(other) == bare(key)).count() > 1)
        .cloned()
        .collect();
    if casts.is_empty() {
        return;
    }
    let mut separate = |expr: &mut Expr| {
        if casts.contains(expr) {
            *expr = call("coalesce", vec![take(expr)]);
        }
    };
    let select = select.as_mut();
    visit_own(&mut select.projection, Order::After, &mut separate);
    visit_own(&mut select.group_by, Order::After, &mut separate);
    visit_own(&mut select.having, Order::After, &mut separate);
    if let Some(order_by) = &mut query.order_by
        && let OrderByKind::Expressions(keys) = &mut order_by.kind
    {
        visit_own(keys, Order::After, &mut separate);
    }
}

/// By the text of an aggregate without casts: the texts that there are.
type Texts = HashMap<String, Vec<String>>;

fn tell_apart(known: &mut Texts, expr: &mut Expr) {
    if let Expr::Function(function) = expr
        && AGGREGATES.contains(&function_name(function).as_str())
    {
        let text = function.to_string();
        let mut bare = Expr::Function(function.clone());
        let _: ControlFlow<()> = VisitMut::visit(&mut bare, &mut WithoutCasts);
        let texts = known.entry(bare.to_string()).or_default();
        let place = texts.iter().position(|known| *known == text);
        let place = place.unwrap_or_else(|| {
            texts.push(text);
            texts.len() - 1
        });
        if place > 0 {
            let_all_in(function, place as u64);
        }
    }
}

struct WithoutCasts;

impl VisitorMut for WithoutCasts {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
            *expr = take(inner);
        }
        ControlFlow::Continue(())
    }
}

/// `FILTER (WHERE … AND n = n)`
fn let_all_in(function: &mut Function, place: u64) {
    let always = Expr::BinaryOp {
        left: Box::new(number(place)),
        op: BinaryOperator::Eq,
        right: Box::new(number(place)),
    };
    let conditions = function
        .filter
        .take()
        .map(Expr::Nested)
        .into_iter()
        .chain([always])
        .collect();
    function.filter = join(&BinaryOperator::And, conditions).map(Box::new);
}
