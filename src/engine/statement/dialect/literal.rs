//! Number constants with PostgreSQL's types: the first of integer, bigint and numeric that holds them.
//!
//! The planner reads whole numbers as bigint. So one that fits an integer gets a cast around it, and
//! one beyond bigint, or with an exponent, becomes a numeric with the digits that were written.
//! The casts name types of other dialects, so that [`crate::engine::semantics`] can tell a constant from
//! a cast that was written.
//! Numbers that are positions or counts of the syntax ([`protect_query`] and its like) stay bare.

use datafusion::sql::sqlparser::ast::{
    DataType, Distinct, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, GroupByExpr, LimitClause, OrderByKind, Query, Select, TableFactor,
    UnaryOperator, Value, WindowFrameBound, WindowSpec, WindowType,
};

use super::build::{cast, string};
use super::time;
use crate::error::{Error, Result};

/// Decimal digits that a numeric here has at the most.
const DIGITS_MAX: usize = 76;

/// Leaves ordinals of ORDER BY and numbers of LIMIT, OFFSET and FETCH as they are.
pub(super) fn protect_query(query: &mut Query) {
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(items) = &mut order.kind
    {
        for item in items {
            protect(&mut item.expr);
        }
    }
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            for count in limit
                .iter_mut()
                .chain(offset.iter_mut().map(|offset| &mut offset.value))
            {
                read_count(count);
                protect(count);
            }
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            protect(offset);
            protect(limit);
        }
        None => {}
    }
    if let Some(fetch) = &mut query.fetch {
        fetch.quantity.iter_mut().for_each(protect);
    }
}

/// A number of rows is a bigint, also where it is written as text or with decimals.
fn read_count(expr: &mut Expr) {
    if let Expr::Value(value) = expr
        && let Value::SingleQuotedString(text) | Value::Number(text, _) = &value.value
        && let Some(count) = whole_number(text)
    {
        value.value = Value::Number(count.to_string(), false);
    }
}

fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.split_once('.') {
        None => text.parse().ok(),
        Some((whole, decimals)) => {
            let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let whole: i64 = Some(whole).filter(|text| is_digits(text))?.parse().ok()?;
            let rounds_up = decimals
                .as_bytes()
                .first()
                .is_some_and(|digit| *digit >= b'5');
            is_digits(decimals).then_some(whole.checked_add(i64::from(rounds_up))?)
        }
    }
}

/// Leaves ordinals of GROUP BY and DISTINCT ON as they are.
pub(super) fn protect_select(select: &mut Select) {
    if let GroupByExpr::Expressions(items, _) = &mut select.group_by {
        items.iter_mut().for_each(protect_grouping);
    }
    if let Some(Distinct::On(items)) = &mut select.distinct {
        items.iter_mut().for_each(protect);
    }
    mark_named_windows(select, true);
}

/// After a SELECT was visited: the planner takes frames with bare numbers only.
pub(super) fn release_select(select: &mut Select) {
    mark_named_windows(select, false);
}

fn mark_named_windows(select: &mut Select, mark: bool) {
    for window in &mut select.named_window {
        if let datafusion::sql::sqlparser::ast::NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
            mark_window(spec, mark);
        }
    }
}

/// Leaves the bounds of a window's frame as they are.
pub(super) fn protect_function(function: &mut Function) {
    if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
        mark_window(spec, true);
    }
}

/// After a call was visited: the planner takes frames with bare numbers only.
pub(super) fn release_function(function: &mut Function) {
    if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
        mark_window(spec, false);
    }
}

/// Leaves the arguments of a function in FROM as they are: it takes constants only.
pub(super) fn protect_table_function(factor: &mut TableFactor) {
    match factor {
        TableFactor::Table {
            args: Some(list), ..
        } => protect_arguments(&mut list.args),
        TableFactor::Function { args, .. } => protect_arguments(args),
        TableFactor::TableFunction {
            expr: Expr::Function(function),
            ..
        } => {
            if let FunctionArguments::List(list) = &mut function.args {
                protect_arguments(&mut list.args);
            }
        }
        _ => {}
    }
}

fn protect_arguments(arguments: &mut [FunctionArg]) {
    for argument in arguments {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
            protect(expr);
        }
    }
}

fn protect_grouping(expr: &mut Expr) {
    match expr {
        Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
            sets.iter_mut().flatten().for_each(protect);
        }
        other => protect(other),
    }
}

fn mark_window(spec: &mut WindowSpec, mark: bool) {
    let Some(frame) = &mut spec.window_frame else {
        return;
    };
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()]
        .into_iter()
        .flatten()
    {
        if let WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr)) =
            bound
        {
            set_mark(expr, mark);
            match mark {
                true => time::protect_offset(expr),
                false => time::release_offset(expr),
            }
        }
    }
}

/// Marks a bare number; the planner does not look at the mark.
fn protect(expr: &mut Expr) {
    set_mark(expr, true);
}

fn set_mark(expr: &mut Expr, mark: bool) {
    match expr {
        Expr::Value(value) => {
            if let Value::Number(_, marked) = &mut value.value {
                *marked = mark;
            }
        }
        Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr,
        }
        | Expr::Nested(expr) => set_mark(expr, mark),
        _ => {}
    }
}

/// Before its parts are visited: a negated number is one constant, and the least integer of a type
/// has no positive twin.
pub(super) fn rewrite_negative(expr: &mut Expr) -> Result<()> {
    let Expr::UnaryOp {
        op: UnaryOperator::Minus,
        expr: operand,
    } = expr
    else {
        return Ok(());
    };
    if let Some(digits) = unmarked(operand)
        && let Some(typed) = typed(&format!("-{digits}"))?
    {
        *expr = typed;
    }
    Ok(())
}

/// Before its parts are visited: a constant that is cast to a float is read as one, since a numeric of as
/// many digits may not exist here.
pub(super) fn rewrite_cast(expr: &mut Expr) {
    let Expr::Cast {
        expr: operand,
        data_type:
            DataType::DoublePrecision
            | DataType::Float8
            | DataType::Float(_)
            | DataType::Real
            | DataType::Float4,
        ..
    } = expr
    else {
        return;
    };
    let mut inner = operand.as_mut();
    while let Expr::Nested(nested) = inner {
        inner = nested.as_mut();
    }
    let text = match &*inner {
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => unmarked(expr).map(|digits| format!("-{digits}")),
        other => unmarked(other).map(str::to_owned),
    };
    if let Some(text) = text {
        **operand = string(text);
    }
}

/// A number that is not marked gets its type.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    if let Some(digits) = unmarked(expr)
        && let Some(typed) = typed(digits)?
    {
        *expr = typed;
    }
    Ok(())
}

fn unmarked(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => Some(digits),
            _ => None,
        },
        _ => None,
    }
}

/// The constant with its type; none where the planner gives it by itself.
fn typed(text: &str) -> Result<Option<Expr>> {
    if text.parse::<i32>().is_ok() {
        let marked =
            |digits: &str| Expr::Value(Value::Number(digits.into(), true).with_empty_span());
        let number = match text.strip_prefix('-') {
            // A string, because the planner would see a negation of what does not fit.
            Some(_) => string(text),
            None => marked(text),
        };
        return Ok(Some(cast(number, DataType::Int32)));
    }
    if text.parse::<i64>().is_ok() {
        return Ok(text
            .starts_with('-')
            .then(|| cast(string(text), DataType::Int64)));
    }
    let (digits, scale) = plain(text)?;
    let count = digits.trim_start_matches('-').len();
    if count > DIGITS_MAX || scale > DIGITS_MAX {
        return Err(Error::feature_not_supported(format!(
            "numeric constants have at most {DIGITS_MAX} digits here"
        )));
    }
    let at = digits.len() - scale;
    let written = match scale {
        0 => digits.clone(),
        _ => format!("{}.{}", &digits[..at], &digits[at..]),
    };
    let precision = count.max(scale).max(1) as u64;
    let numeric = ExactNumberInfo::PrecisionAndScale(precision, scale as i64);
    Ok(Some(cast(string(written), DataType::BigDecimal(numeric))))
}

/// Sign and digits without point and exponent, and how many of them stand behind the point.
fn plain(text: &str) -> Result<(String, usize)> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let out_of_range = || Error::numeric_value_out_of_range("value overflows numeric format");
    let exponent: i64 = exponent.parse().map_err(|_| out_of_range())?;
    let scale = fraction.len() as i64 - exponent;
    if scale.unsigned_abs() > 16_383 {
        return Err(out_of_range());
    }
    let mut digits = format!("{whole}{fraction}");
    digits.extend(std::iter::repeat_n(
        '0',
        usize::try_from(-scale).unwrap_or(0),
    ));
    let scale = usize::try_from(scale).unwrap_or(0);
    let significant = digits.trim_start_matches('0').len().max(scale).max(1);
    let digits = match digits.len().checked_sub(significant) {
        Some(zeros) => digits.split_off(zeros),
        None => format!("{}{digits}", "0".repeat(significant - digits.len())),
    };
    Ok((format!("{sign}{digits}"), scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        typed(text)
            .unwrap()
            .map_or_else(|| text.to_owned(), |expr| expr.to_string())
    }

    #[test]
    fn constants_have_the_first_type_that_holds_them() {
        assert_eq!(shown("1"), "CAST(1L AS Int32)");
        assert_eq!(shown("-2147483648"), "CAST('-2147483648' AS Int32)");
        assert_eq!(shown("2147483648"), "2147483648");
        assert_eq!(
            shown("-9223372036854775808"),
            "CAST('-9223372036854775808' AS INT64)"
        );
        assert_eq!(
            shown("9223372036854775808"),
            "CAST('9223372036854775808' AS BIGDECIMAL(19,0))"
        );
        assert_eq!(shown("1.50"), "CAST('1.50' AS BIGDECIMAL(3,2))");
        assert_eq!(shown(".5"), "CAST('.5' AS BIGDECIMAL(1,1))");
        assert_eq!(shown("1."), "CAST('1' AS BIGDECIMAL(1,0))");
        assert_eq!(shown("1e3"), "CAST('1000' AS BIGDECIMAL(4,0))");
        assert_eq!(shown("-12.5e-3"), "CAST('-.0125' AS BIGDECIMAL(4,4))");
        assert_eq!(typed("1e99").unwrap_err().state().code(), "0A000");
    }
}
