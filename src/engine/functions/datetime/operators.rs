//! `+`, `-`, `*` and `/` of dates, times and intervals.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array};
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ScalarUDF, cast as cast_to};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::casts::midnight;
use super::function::{Call, Form, Function, Type};
use super::values::{
    date_column, dates, floats, integers, interval_column, intervals, time_column, times,
    timestamp_column, timestamps,
};
use crate::calendar::{
    DATE_INFINITIES, MICROS_PER_DAY, PgInterval, Zone, add_interval, checked_date,
    checked_timestamp, interval_out_of_range, is_infinite, overflow,
};
use crate::engine::semantics::type_of;
use crate::engine::semantics::{compares, is_arithmetic};
use crate::error::{Error, Result as OwnResult};
use crate::sqlstate::SqlState;
use Type::{Date, Float8, Int4, Int8, Interval, Time, Timestamp, TimestampTz};

/// Plans the operators: DataFusion has not all of them, and its own follow other rules.
#[derive(Debug)]
pub(crate) struct TimeOperators {
    plus: Arc<ScalarUDF>,
    minus: Arc<ScalarUDF>,
    times: Arc<ScalarUDF>,
    divide: Arc<ScalarUDF>,
}

impl TimeOperators {
    /// The planner.
    pub(crate) fn new() -> Self {
        let function = |name, forms| Arc::new(ScalarUDF::new_from_impl(Function::new(name, forms)));
        Self {
            plus: function("time_plus", PLUS),
            minus: function("time_minus", MINUS),
            times: function("time_times", TIMES),
            divide: function("time_divided", DIVIDE),
        }
    }

    /// The function of an operator between two types.
    fn function(&self, op: &BinaryOperator, left: Type, right: Type) -> Option<&Arc<ScalarUDF>> {
        let (function, forms) = match op {
            BinaryOperator::Plus => (&self.plus, PLUS),
            BinaryOperator::Minus => (&self.minus, MINUS),
            BinaryOperator::Multiply => (&self.times, TIMES),
            BinaryOperator::Divide => (&self.divide, DIVIDE),
            _ => return None,
        };
        let fits = |argument: Type, parameter: Type| {
            argument == parameter
                || (parameter == Float8 && matches!(argument, Int4 | Int8 | Type::Numeric))
                || (parameter == Int8 && argument == Int4)
                || (parameter == TimestampTz && argument == Timestamp)
                || (matches!(parameter, Timestamp | TimestampTz) && argument == Date)
        };
        let known = forms
            .iter()
            .any(|form| fits(left, form.parameters[0]) && fits(right, form.parameters[1]));
        known.then_some(function)
    }
}

impl ExprPlanner for TimeOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if compares(&expr.op) {
            return Ok(PlannerResult::Original(compared(expr, schema)));
        }
        let open = (is_open(&expr.left), is_open(&expr.right));
        let kind = |expr: &Expr| type_of(expr, schema).ok().and_then(|t| Type::of(&t));
        let (left, right) = match open {
            (false, false) => (kind(&expr.left), kind(&expr.right)),
            (true, false) => {
                let right = kind(&expr.right);
                (
                    right.and_then(|known| other_side(&expr.op, known, true)),
                    right,
                )
            }
            (false, true) => {
                let left = kind(&expr.left);
                (
                    left,
                    left.and_then(|known| other_side(&expr.op, known, false)),
                )
            }
            (true, true) => (None, None),
        };
        let (Some(of_left), Some(of_right)) = (left, right) else {
            return match open {
                (false, true) if left == Some(Date) && expr.op == BinaryOperator::Plus => {
                    Err(not_unique("date + unknown"))
                }
                (true, false) if right == Some(Date) && expr.op == BinaryOperator::Plus => {
                    Err(not_unique("unknown + date"))
                }
                _ => Ok(PlannerResult::Original(expr)),
            };
        };
        let Some(function) = self.function(&expr.op, of_left, of_right) else {
            return no_function(expr, of_left, of_right);
        };
        let arguments = vec![
            if open.0 {
                typed(expr.left, of_left)
            } else {
                expr.left
            },
            if open.1 {
                typed(expr.right, of_right)
            } else {
                expr.right
            },
        ];
        let call = ScalarFunction::new_udf(Arc::clone(function), arguments);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// A literal beside a time is a time of the same type; times of day are compared in the finer unit.
fn compared(mut expr: RawBinaryExpr, schema: &DFSchema) -> RawBinaryExpr {
    let of = |expr: &Expr| match is_literal(expr) {
        true => None,
        false => type_of(expr, schema).ok().filter(is_time),
    };
    match (of(&expr.left), of(&expr.right)) {
        (Some(left), None) if is_literal(&expr.right) => {
            expr.right = cast_to(expr.right, left);
        }
        (None, Some(right)) if is_literal(&expr.left) => {
            expr.left = cast_to(expr.left, right);
        }
        (Some(left), Some(right))
            if left != right && Type::of(&left) == Some(Time) && Type::of(&right) == Some(Time) =>
        {
            let finest = DataType::Time64(TimeUnit::Nanosecond);
            expr.left = cast_to(expr.left, finest.clone());
            expr.right = cast_to(expr.right, finest);
        }
        _ => {}
    }
    expr
}

fn is_time(data_type: &DataType) -> bool {
    matches!(
        Type::of(data_type),
        Some(Date | Time | Timestamp | TimestampTz | Interval)
    )
}

/// A text without a type.
fn is_literal(expr: &Expr) -> bool {
    !matches!(
        expr,
        Expr::Placeholder(_) | Expr::Literal(ScalarValue::Null, _)
    ) && is_open(expr)
}

/// 42883 for operators that times do not have.
fn no_function(
    expr: RawBinaryExpr,
    left: Type,
    right: Type,
) -> Result<PlannerResult<RawBinaryExpr>> {
    let times = [left, right].iter().any(|of| is_time(&of.arrow()));
    if !is_arithmetic(&expr.op) || !times {
        return Ok(PlannerResult::Original(expr));
    }
    let operator = format!("{} {} {}", left.name(), expr.op, right.name());
    Err(
        Error::undefined_function(format!("operator does not exist: {operator}"))
            .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
            .into(),
    )
}

fn not_unique(operator: &str) -> datafusion::error::DataFusionError {
    Error::new(
        SqlState::AmbiguousFunction,
        format!("operator is not unique: {operator}"),
    )
    .with_hint(
        "Could not choose a best candidate operator. You might need to add explicit type casts.",
    )
    .into()
}

/// Whether the type of an operand is still open: a literal text, NULL, or a parameter.
fn is_open(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => matches!(
            value,
            ScalarValue::Null
                | ScalarValue::Utf8(_)
                | ScalarValue::Utf8View(_)
                | ScalarValue::LargeUtf8(_)
        ),
        Expr::Placeholder(placeholder) => placeholder.field.is_none(),
        _ => false,
    }
}

/// What an open operand is beside one of type `known`, as PostgreSQL decides.
fn other_side(op: &BinaryOperator, known: Type, open_is_left: bool) -> Option<Type> {
    Some(match (op, known) {
        (BinaryOperator::Plus, Timestamp | TimestampTz | Time | Interval) => Interval,
        (BinaryOperator::Minus, Interval) => Interval,
        (BinaryOperator::Minus, Timestamp | TimestampTz | Date | Time) => known,
        (BinaryOperator::Multiply, Interval) => Float8,
        (BinaryOperator::Divide, Interval) if !open_is_left => Float8,
        _ => return None,
    })
}

/// An open operand as a value of a type.
fn typed(expr: Expr, of: Type) -> Expr {
    match expr {
        Expr::Placeholder(placeholder) => {
            let field = Field::new("", of.arrow(), true);
            Expr::Placeholder(Placeholder::new_with_field(
                placeholder.id,
                Some(Arc::new(field)),
            ))
        }
        other => cast_to(other, of.arrow()),
    }
}

const PLUS: &[Form] = &[
    form(&[Timestamp, Interval], Timestamp, |call| {
        shift(call, 0, 1, None, false)
    }),
    form(&[Interval, Timestamp], Timestamp, |call| {
        shift(call, 1, 0, None, false)
    }),
    form(&[TimestampTz, Interval], TimestampTz, |call| {
        shift(call, 0, 1, Some(call.time.settings.zone), false)
    }),
    form(&[Interval, TimestampTz], TimestampTz, |call| {
        shift(call, 1, 0, Some(call.time.settings.zone), false)
    }),
    form(&[Date, Interval], Timestamp, |call| {
        shift_date(call, 0, 1, false)
    }),
    form(&[Interval, Date], Timestamp, |call| {
        shift_date(call, 1, 0, false)
    }),
    form(&[Time, Interval], Time, |call| shift_time(call, 0, 1, 1)),
    form(&[Interval, Time], Time, |call| shift_time(call, 1, 0, 1)),
    form(&[Date, Int8], Date, |call| add_days(call, 0, 1, 1)),
    form(&[Int8, Date], Date, |call| add_days(call, 1, 0, 1)),
    form(&[Date, Time], Timestamp, |call| at_time(call, 0, 1)),
    form(&[Time, Date], Timestamp, |call| at_time(call, 1, 0)),
    form(&[Interval, Interval], Interval, |call| {
        let (left, right) = (intervals(&call.columns[0])?, intervals(&call.columns[1])?);
        interval_column(call, |row| {
            combine(left.get(row), right.get(row), PgInterval::checked_add)
        })
    }),
];

const MINUS: &[Form] = &[
    form(&[Timestamp, Interval], Timestamp, |call| {
        shift(call, 0, 1, None, true)
    }),
    form(&[TimestampTz, Interval], TimestampTz, |call| {
        shift(call, 0, 1, Some(call.time.settings.zone), true)
    }),
    form(&[Date, Interval], Timestamp, |call| {
        shift_date(call, 0, 1, true)
    }),
    form(&[Time, Interval], Time, |call| shift_time(call, 0, 1, -1)),
    form(&[Date, Int8], Date, |call| add_days(call, 0, 1, -1)),
    form(&[Date, Date], Int4, days_between),
    form(&[Timestamp, Timestamp], Interval, time_between),
    form(&[TimestampTz, TimestampTz], Interval, time_between),
    form(&[Time, Time], Interval, |call| {
        let (left, right) = (times(&call.columns[0])?, times(&call.columns[1])?);
        interval_column(call, |row| {
            let pair = left.get(row).zip(right.get(row));
            Ok(pair.map(|(left, right)| PgInterval {
                micros: left - right,
                ..PgInterval::default()
            }))
        })
    }),
    form(&[Interval, Interval], Interval, |call| {
        let (left, right) = (intervals(&call.columns[0])?, intervals(&call.columns[1])?);
        interval_column(call, |row| {
            combine(left.get(row), right.get(row), |left, right| {
                left.checked_add(right.checked_neg()?)
            })
        })
    }),
];

const TIMES: &[Form] = &[
    form(&[Interval, Float8], Interval, |call| scale(call, 0, 1)),
    form(&[Float8, Interval], Interval, |call| scale(call, 1, 0)),
];

const DIVIDE: &[Form] = &[form(&[Interval, Float8], Interval, |call| {
    let (spans, numbers) = (intervals(&call.columns[0])?, floats(&call.columns[1])?);
    interval_column(call, |row| match numbers.get(row) {
        Some(0.0) if spans.get(row).is_some() => Err(Error::division_by_zero("division by zero")),
        divisor => combine(spans.get(row), divisor, PgInterval::checked_div),
    })
})];

const fn form(
    parameters: &'static [Type],
    result: Type,
    run: fn(&Call<'_>) -> Result<ArrayRef>,
) -> Form {
    Form {
        parameters,
        result,
        run,
    }
}

fn combine<A, B>(
    left: Option<A>,
    right: Option<B>,
    sum: impl FnOnce(A, B) -> Option<PgInterval>,
) -> OwnResult<Option<PgInterval>> {
    match left.zip(right) {
        None => Ok(None),
        Some((left, right)) => sum(left, right).map(Some).ok_or_else(interval_out_of_range),
    }
}

/// A span, turned round if it is taken away.
fn directed(span: PgInterval, minus: bool) -> OwnResult<PgInterval> {
    match minus {
        true => span.checked_neg().ok_or_else(interval_out_of_range),
        false => Ok(span),
    }
}

fn shift(
    call: &Call<'_>,
    timestamp: usize,
    span: usize,
    zone: Option<Zone>,
    minus: bool,
) -> Result<ArrayRef> {
    let micros = timestamps(&call.columns[timestamp])?;
    let spans = intervals(&call.columns[span])?;
    timestamp_column(call, zone.is_some(), |row| {
        let pair = micros.get(row).zip(spans.get(row));
        pair.map(|(micros, span)| add_interval(micros, directed(span, minus)?, zone))
            .transpose()
    })
}

fn shift_date(call: &Call<'_>, date: usize, span: usize, minus: bool) -> Result<ArrayRef> {
    let days = dates(&call.columns[date])?;
    let spans = intervals(&call.columns[span])?;
    timestamp_column(call, false, |row| {
        let pair = days.get(row).zip(spans.get(row));
        pair.map(|(day, span)| add_interval(midnight(day)?, directed(span, minus)?, None))
            .transpose()
    })
}

/// A time of day moved round the clock.
fn shift_time(call: &Call<'_>, time: usize, span: usize, sign: i64) -> Result<ArrayRef> {
    let micros = times(&call.columns[time])?;
    let spans = intervals(&call.columns[span])?;
    time_column(call, |row| {
        let pair = micros.get(row).zip(spans.get(row));
        Ok(pair.map(|(time, span)| {
            (time + sign * (span.micros % MICROS_PER_DAY)).rem_euclid(MICROS_PER_DAY)
        }))
    })
}

fn add_days(call: &Call<'_>, date: usize, number: usize, sign: i64) -> Result<ArrayRef> {
    let days = dates(&call.columns[date])?;
    let numbers = integers(&call.columns[number])?;
    date_column(call, |row| {
        let pair = days.get(row).zip(numbers.get(row));
        pair.map(|(day, number)| match i32::try_from(day) {
            Ok(day) if DATE_INFINITIES.contains(&day) => Ok(day),
            _ => checked_date(day.saturating_add(number.saturating_mul(sign))),
        })
        .transpose()
    })
}

fn at_time(call: &Call<'_>, date: usize, time: usize) -> Result<ArrayRef> {
    let days = dates(&call.columns[date])?;
    let micros = times(&call.columns[time])?;
    timestamp_column(call, false, |row| {
        let pair = days.get(row).zip(micros.get(row));
        pair.map(|(day, time)| {
            let midnight = midnight(day)?;
            match is_infinite(midnight) {
                true => Ok(midnight),
                false => checked_timestamp(midnight.checked_add(time)),
            }
        })
        .transpose()
    })
}

fn days_between(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (dates(&call.columns[0])?, dates(&call.columns[1])?);
    let days = (0..call.rows)
        .map(|row| {
            let Some((left, right)) = left.get(row).zip(right.get(row)) else {
                return Ok(None);
            };
            let infinite = |day: i64| {
                DATE_INFINITIES
                    .iter()
                    .any(|infinity| i64::from(*infinity) == day)
            };
            match infinite(left) || infinite(right) {
                true => Err(overflow("cannot subtract infinite dates")),
                false => Ok(Some((left - right) as i32)),
            }
        })
        .collect::<OwnResult<Int32Array>>()?;
    Ok(Arc::new(days))
}

/// Whole days and the rest of the time.
fn time_between(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (timestamps(&call.columns[0])?, timestamps(&call.columns[1])?);
    interval_column(call, |row| {
        let Some((left, right)) = left.get(row).zip(right.get(row)) else {
            return Ok(None);
        };
        if is_infinite(left) || is_infinite(right) {
            return Err(overflow("cannot subtract infinite timestamps"));
        }
        let micros = left.checked_sub(right).ok_or_else(interval_out_of_range)?;
        Ok(Some(PgInterval {
            micros: micros % MICROS_PER_DAY,
            days: (micros / MICROS_PER_DAY) as i32,
            months: 0,
        }))
    })
}

fn scale(call: &Call<'_>, span: usize, number: usize) -> Result<ArrayRef> {
    let spans = intervals(&call.columns[span])?;
    let numbers = floats(&call.columns[number])?;
    interval_column(call, |row| {
        combine(spans.get(row), numbers.get(row), PgInterval::checked_mul)
    })
}
