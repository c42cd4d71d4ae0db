//! Aggregates that DataFusion lacks, made of those that it has.
//!
//! An ordered-set aggregate such as `mode() WITHIN GROUP (ORDER BY x)` is a function of all values
//! in order; `json_agg(x)` is one of the values as JSON.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments,
    Ident, ObjectName, OrderByExpr, OrderByOptions,
};

use super::build::{arguments_mut, call, function_name, number, take};
use super::subquery::identifiers;
use crate::engine::functions::joined::{TEXT_AFTER, TEXTS_JOINED};
use crate::engine::functions::ordered::{DISCRETE, DISCRETE_ALL, MODE};
use crate::error::{Error, Result};

/// Rewrites one call in place.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    let Expr::Function(function) = expr else {
        return Ok(());
    };
    let name = function_name(function);
    if !function.within_group.is_empty() {
        return rewrite_ordered_set(expr, &name);
    }
    match name.as_str() {
        "count" if matches!(&function.args, FunctionArguments::List(list) if list.args.is_empty()) =>
        {
            return Err(Error::wrong_object_type(
                "count(*) must be used to call a parameterless aggregate function",
            ));
        }
        "every" => rename(function, "bool_and"),
        "variance" => rename(function, "var_samp"),
        "string_agg" if has_varying_delimiter(function) => {
            if is_distinct(function) {
                return Err(Error::feature_not_supported(
                    "string_agg of DISTINCT values with a delimiter of each row is not supported",
                ));
            }
            collect(expr, TEXTS_JOINED, |values| call(TEXT_AFTER, values));
        }
        "array_agg" | "string_agg" => order_distinct(function),
        "json_agg" => collect(expr, "json_list", |values| call("json_value", values)),
        "jsonb_agg" => collect(expr, "jsonb_list", |values| call("json_value", values)),
        "json_object_agg" => collect(expr, "json_object_list", |values| {
            call("json_member", values)
        }),
        "jsonb_object_agg" => collect(expr, "jsonb_object_list", |values| {
            call("json_member", values)
        }),
        _ => {}
    }
    Ok(())
}

fn rename(function: &mut Function, name: &str) {
    function.name = ObjectName::from(vec![Ident::new(name)]);
}

/// Whether the delimiter is read from the rows: the engine's own aggregate wants a constant.
fn has_varying_delimiter(function: &mut Function) -> bool {
    let mut names = Vec::new();
    if let [_, delimiter] = arguments_mut(function).as_slice() {
        identifiers(&**delimiter, &mut names);
    }
    !names.is_empty()
}

fn is_distinct(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list)
        if matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct)))
}

/// PostgreSQL finds equal values by sorting them, which shows in the order of the result.
fn order_distinct(function: &mut Function) {
    let distinct = is_distinct(function);
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    let ordered = list
        .clauses
        .iter()
        .any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
    if !distinct || ordered {
        return;
    }
    let Some(first) = arguments_mut(function)
        .first()
        .map(|first| (**first).clone())
    else {
        return;
    };
    if let FunctionArguments::List(list) = &mut function.args {
        list.clauses
            .push(FunctionArgumentClause::OrderBy(vec![ascending(first)]));
    }
}

fn ascending(expr: Expr) -> OrderByExpr {
    OrderByExpr {
        expr,
        options: OrderByOptions::default(),
        with_fill: None,
    }
}

/// `outer(array_agg(inner(arguments) …))` with the clauses of the call on the array_agg.
fn collect(expr: &mut Expr, outer: &str, inner: impl Fn(Vec<Expr>) -> Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    let arguments: Vec<Expr> = arguments_mut(function).into_iter().map(take).collect();
    let mut collected = function.clone();
    rename(&mut collected, "array_agg");
    if let (FunctionArguments::List(list), Expr::Function(values)) = (
        &mut collected.args,
        call("array_agg", vec![inner(arguments)]),
    ) && let FunctionArguments::List(values) = values.args
    {
        list.args = values.args;
    }
    *expr = call(outer, vec![Expr::Function(collected)]);
}

fn rewrite_ordered_set(expr: &mut Expr, name: &str) -> Result<()> {
    let Expr::Function(function) = expr else {
        return Ok(());
    };
    if !matches!(
        name,
        "mode"
            | "percentile_disc"
            | "percentile_cont"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
    ) {
        return Ok(());
    }
    if function.over.is_some() {
        return Err(Error::feature_not_supported(format!(
            "OVER is not supported for ordered-set aggregate {name}"
        )));
    }
    let arguments: Vec<Expr> = arguments_mut(function)
        .into_iter()
        .map(|argument| argument.clone())
        .collect();
    let [key] = function.within_group.as_slice() else {
        return Err(Error::feature_not_supported(format!(
            "{name} WITHIN GROUP of more than one key is not supported"
        )));
    };
    let key = key.clone();
    let filter = function.filter.take();
    match (name, arguments.as_slice()) {
        ("mode", []) => *expr = call(MODE, vec![ordered(key, filter)]),
        ("percentile_disc", [fraction]) => {
            let name = if is_array(fraction) {
                DISCRETE_ALL
            } else {
                DISCRETE
            };
            *expr = call(name, vec![ordered(key, filter), fraction.clone()]);
        }
        ("percentile_cont", [fraction]) if is_array(fraction) => {
            let list = ordered(key, filter);
            *expr = call("percentile_cont_list", vec![list, fraction.clone()]);
        }
        ("percentile_cont", _) => function.filter = filter,
        (_, [value]) => *expr = hypothetical(name, value, &key, filter.as_deref()),
        _ => {
            return Err(Error::feature_not_supported(format!(
                "{name} WITHIN GROUP of these arguments is not supported"
            )));
        }
    }
    Ok(())
}

fn is_array(expr: &Expr) -> bool {
    match expr {
        Expr::Array(_) => true,
        Expr::Nested(inner) => is_array(inner),
        Expr::Cast { data_type, .. } => {
            matches!(
                data_type,
                datafusion::sql::sqlparser::ast::DataType::Array(_)
            )
        }
        _ => false,
    }
}

/// `array_agg(x ORDER BY x …) FILTER (WHERE x IS NOT NULL)`
fn ordered(key: OrderByExpr, filter: Option<Box<Expr>>) -> Expr {
    let present = Expr::IsNotNull(Box::new(Expr::Nested(Box::new(key.expr.clone()))));
    let mut list = call("array_agg", vec![key.expr.clone()]);
    if let Expr::Function(function) = &mut list {
        if let FunctionArguments::List(arguments) = &mut function.args {
            arguments
                .clauses
                .push(FunctionArgumentClause::OrderBy(vec![key]));
        }
        function.filter = Some(Box::new(both(Some(present), filter.map(|filter| *filter))));
    }
    list
}

fn both(left: Option<Expr>, right: Option<Expr>) -> Expr {
    let nested = |expr: Expr| Expr::Nested(Box::new(expr));
    let parts = [left, right].into_iter().flatten().map(nested).collect();
    super::build::join(&BinaryOperator::And, parts).unwrap_or_else(super::build::null)
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }))
}

/// The rank that a row with `value` would have among the rows.
fn hypothetical(name: &str, value: &Expr, key: &OrderByExpr, filter: Option<&Expr>) -> Expr {
    let descending = key.options.asc == Some(false);
    let nulls_first = key.options.nulls_first.unwrap_or(descending);
    let before = |or_equal: bool| {
        let op = match (descending, or_equal) {
            (false, false) => BinaryOperator::Lt,
            (false, true) => BinaryOperator::LtEq,
            (true, false) => BinaryOperator::Gt,
            (true, true) => BinaryOperator::GtEq,
        };
        let compared = binary(key.expr.clone(), op, value.clone());
        match nulls_first {
            true => binary(
                compared,
                BinaryOperator::Or,
                Expr::IsNull(Box::new(Expr::Nested(Box::new(key.expr.clone())))),
            ),
            false => compared,
        }
    };
    let count = |what: Expr, condition: Option<Expr>, distinct: bool| {
        let mut count = call("count", vec![what]);
        if let Expr::Function(function) = &mut count {
            let filter = filter.cloned();
            if condition.is_some() || filter.is_some() {
                function.filter = Some(Box::new(both(condition, filter)));
            }
            if let FunctionArguments::List(list) = &mut function.args {
                list.duplicate_treatment = distinct.then_some(DuplicateTreatment::Distinct);
            }
        }
        count
    };
    let one = || number(1);
    let add_one = |expr: Expr| binary(expr, BinaryOperator::Plus, one());
    let double = |expr: Expr| {
        super::build::cast(
            expr,
            datafusion::sql::sqlparser::ast::DataType::DoublePrecision,
        )
    };
    match name {
        "rank" => add_one(count(one(), Some(before(false)), false)),
        "dense_rank" => add_one(count(key.expr.clone(), Some(before(false)), true)),
        "percent_rank" => {
            let rows = call("nullif", vec![count(one(), None, false), number(0)]);
            let share = binary(
                double(count(one(), Some(before(false)), false)),
                BinaryOperator::Divide,
                rows,
            );
            call("coalesce", vec![share, double(number(0))])
        }
        _ => binary(
            double(add_one(count(one(), Some(before(true)), false))),
            BinaryOperator::Divide,
            add_one(count(one(), None, false)),
        ),
    }
}
