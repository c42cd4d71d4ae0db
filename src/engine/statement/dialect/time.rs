//! Spellings of times: `INTERVAL '1' DAY`, `AT TIME ZONE`, `OVERLAPS`, types with a precision.

use datafusion::sql::sqlparser::ast::{
    DataType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, Interval, IntervalFields as SqlFields, TimezoneInfo,
};

use super::build::{argument, call, cast, folded, literal_text, number, string, take};
use crate::error::{Error, Result};

/// Digits of seconds that a timestamp has.
const PRECISION_MAX: u64 = 6;

/// Rewrites an interval literal or a change of zone.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Interval(interval) => {
            let rewritten = interval_literal(interval)?;
            *expr = rewritten;
        }
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => *expr = call("timezone", vec![take(time_zone), take(timestamp)]),
        _ => {}
    }
    Ok(())
}

fn interval_literal(interval: &mut Interval) -> Result<Expr> {
    if literal_text(&interval.value).is_none() {
        return Err(Error::syntax_error(format!(
            "syntax error at or near \"{}\"",
            interval.value
        )));
    }
    let field = |field: &Option<DateTimeField>| field.as_ref().map(ToString::to_string);
    let fields = match (field(&interval.leading_field), field(&interval.last_field)) {
        (None, _) => None,
        (Some(first), None) => Some(first),
        (Some(first), Some(last)) => Some(format!("{first} TO {last}")),
    };
    let precision = interval
        .fractional_seconds_precision
        .or(interval.leading_precision);
    Ok(interval_of(take(&mut interval.value), fields, precision))
}

/// A text as an interval of these fields.
fn interval_of(text: Expr, fields: Option<String>, precision: Option<u64>) -> Expr {
    if fields.is_none() && precision.is_none() {
        return cast(
            text,
            DataType::Interval {
                fields: None,
                precision: None,
            },
        );
    }
    let precision = precision.unwrap_or(PRECISION_MAX);
    call(
        "interval_in",
        vec![text, string(fields.unwrap_or_default()), number(precision)],
    )
}

/// The interval of a window's frame as a text, which is left alone.
pub(super) fn protect_offset(offset: &mut Expr) {
    let Expr::Interval(interval) = offset else {
        return;
    };
    if let (Some(text), None) = (literal_text(&interval.value), &interval.last_field) {
        let unit = interval.leading_field.as_ref();
        let text = match unit {
            Some(unit) => format!("{text} {unit}"),
            None => text.to_owned(),
        };
        *offset = string(text);
    }
}

/// The text of [`protect_offset`] as the interval that the planner wants there.
pub(super) fn release_offset(offset: &mut Expr) {
    if literal_text(offset).is_some() {
        *offset = Expr::Interval(Interval {
            value: Box::new(take(offset)),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        });
    }
}

/// `timestamp(3) '…'`: the literal of a time is a cast of its text.
pub(super) fn rewrite_typed(expr: &mut Expr) {
    let Expr::TypedString(typed) = expr else {
        return;
    };
    let is_time = matches!(
        typed.data_type,
        DataType::Timestamp(..) | DataType::Time(..) | DataType::Interval { .. }
    );
    if let (true, Some(text)) = (is_time, typed.value.clone().into_string()) {
        *expr = cast(string(text), typed.data_type.clone());
        rewrite_cast(expr);
    }
}

/// `x::timestamp(3)`, `x::interval day to second(3)`.
pub(super) fn rewrite_cast(expr: &mut Expr) {
    let Expr::Cast {
        expr: operand,
        data_type,
        ..
    } = expr
    else {
        return;
    };
    match data_type {
        DataType::Timestamp(precision, _) => {
            let digits = precision.replace(PRECISION_MAX);
            if let Some(digits) = digits.filter(|digits| *digits < PRECISION_MAX) {
                let inner = take(expr);
                *expr = call("timestamp_round", vec![inner, number(digits)]);
            }
        }
        DataType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            if let Some(digits) = precision.take().filter(|digits| *digits < PRECISION_MAX) {
                let inner = take(expr);
                *expr = call("time_round", vec![inner, number(digits)]);
            }
        }
        DataType::Interval { fields, precision } if fields.is_some() || precision.is_some() => {
            let named = fields.as_ref().map(SqlFields::to_string);
            let precision = *precision;
            let operand = take(operand);
            *expr = interval_of(operand, named, precision);
        }
        _ => {}
    }
}

/// The parameters of `make_interval`, all of which may be left out.
const INTERVAL_PARTS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];

/// Where a parameter of `make_interval` stands.
fn place_of(name: &Ident) -> Option<usize> {
    let name = folded(name);
    INTERVAL_PARTS.iter().position(|part| *part == name)
}

/// `make_interval(days => 10)`: every parameter in its place.
pub(super) fn rewrite_make_interval(function: &mut Function) -> Result<()> {
    let FunctionArguments::List(list) = &mut function.args else {
        return Ok(());
    };
    let mut parts: Vec<Option<Expr>> = vec![None; INTERVAL_PARTS.len()];
    for (at, given) in list.args.iter().enumerate() {
        let (place, value) = match argument(given) {
            Some((Some(name), value)) => (place_of(name), value.clone()),
            Some((None, value)) => (Some(at), value.clone()),
            None => (None, super::build::null()),
        };
        match place.and_then(|place| parts.get_mut(place)) {
            Some(part) if part.is_none() => *part = Some(value),
            _ => {
                return Err(Error::undefined_function(
                    "function make_interval with these arguments does not exist",
                ));
            }
        }
    }
    list.args = parts
        .into_iter()
        .map(|part| part.unwrap_or_else(|| number(0)))
        .map(|part| FunctionArg::Unnamed(FunctionArgExpr::Expr(part)))
        .collect();
    Ok(())
}

/// `(a, b) OVERLAPS (c, d)`.
pub(super) fn rewrite_overlaps(expr: &mut Expr) -> Result<()> {
    let Expr::BinaryOp { left, right, .. } = expr else {
        return Ok(());
    };
    let pair = |side: &mut Expr| match side {
        Expr::Tuple(items) if items.len() == 2 => Ok(std::mem::take(items)),
        _ => Err(Error::syntax_error(
            "wrong number of parameters on a side of OVERLAPS expression",
        )),
    };
    let mut arguments = pair(left)?;
    arguments.extend(pair(right)?);
    *expr = call("overlaps", arguments);
    Ok(())
}
