//! Casts from, to and between dates, times and intervals, by the session's zone and styles.
//!
//! DataFusion reads and shows times in its own forms and takes the zone of a timestamp from its
//! type. PostgreSQL takes it from the session, so that every such cast becomes a function here.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast as cast_to,
};
use datafusion::optimizer::AnalyzerRule;

use super::function::{Call, Column, Type, call};
use super::session_time::SessionTime;
use super::values::{
    date_column, dates, interval_column, intervals, map_timestamps, text_column, texts,
    time_column, times, timestamp_column, timestamps,
};
use crate::calendar::{
    DATE_INFINITIES, INFINITIES, MICROS_PER_DAY, Offsets, PgInterval, Style, checked_date,
    checked_timestamp, interval, is_infinite, overflow, put_date, put_interval, put_time,
    put_timestamp,
};
use crate::engine::semantics::rewrite_expressions;
use crate::error::{Error, Result as OwnResult};

/// Replaces the casts of a plan, after types are coerced.
#[derive(Debug)]
pub(crate) struct CastTimes;

impl AnalyzerRule for CastTimes {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| rewrite(expr, schema, options))
    }

    fn name(&self) -> &'static str {
        "cast_times"
    }
}

fn rewrite(expr: Expr, schema: &DFSchema, options: &ConfigOptions) -> Result<Transformed<Expr>> {
    let Expr::Cast(Cast {
        expr: operand,
        field,
    }) = &expr
    else {
        return Ok(Transformed::no(expr));
    };
    if let Expr::Literal(value, _) = operand.as_ref()
        && let Some(Some(text)) = value.try_as_str()
    {
        check_constant(text, field.data_type(), &SessionTime::of(options)?)
            .map_err(|error| error.with_constant(text))?;
    }
    match operand.get_type(schema) {
        Ok(from) if is_ours(&from, field.data_type()) => Ok(Transformed::yes(cast_time(
            operand.as_ref().clone(),
            field.data_type().clone(),
        ))),
        Ok(from) => match impossible(&from, field.data_type()) {
            Some(error) => Err(error.into()),
            None => Ok(Transformed::no(expr)),
        },
        _ => Ok(Transformed::no(expr)),
    }
}

/// A constant that is no value of its type is an error before anything runs.
fn check_constant(text: &str, target: &DataType, time: &SessionTime) -> OwnResult<()> {
    let reader = time.reader();
    match Type::of(target) {
        Some(Type::Date) => reader.date(text).map(|_| ()),
        Some(Type::Time) => reader.time(text).map(|_| ()),
        Some(Type::Timestamp) => reader.timestamp(text).map(|_| ()),
        Some(Type::TimestampTz) => reader.timestamptz(text).map(|_| ()),
        Some(Type::Interval) => {
            interval(text, time.settings.interval_style, None, None).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// The cast of an expression by the session's settings.
pub(crate) fn cast_time(expr: Expr, target: DataType) -> Expr {
    let function = ScalarUDF::new_from_impl(CastTime::new(target));
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![expr]))
}

/// 42846 for types of which PostgreSQL makes no time.
fn impossible(from: &DataType, to: &DataType) -> Option<Error> {
    use Type::{Bool, Date, Float8, Int4, Int8, Interval, Numeric, Time, Timestamp, TimestampTz};
    let (from, to) = (Type::of(from)?, Type::of(to)?);
    let none = matches!(
        (from, to),
        (
            Bool | Float8 | Int4 | Int8 | Numeric,
            Date | Time | Timestamp | TimestampTz | Interval,
        ) | (Date, Time | Interval)
            | (Timestamp | TimestampTz, Interval)
            | (Time | Interval, Date | Timestamp | TimestampTz)
    );
    let (from, to) = (from.name(), to.name());
    none.then(|| Error::cannot_coerce(format!("cannot cast type {from} to {to}")))
}

/// Whether a cast is done here.
fn is_ours(from: &DataType, to: &DataType) -> bool {
    use Type::{Date, Interval, Text, Time, Timestamp, TimestampTz};
    let (Some(from), Some(to)) = (Type::of(from), Type::of(to)) else {
        return false;
    };
    matches!(
        (from, to),
        (Text, Date | Time | Timestamp | TimestampTz | Interval)
            | (Date | Time | Timestamp | TimestampTz | Interval, Text)
            | (Timestamp, TimestampTz | Date | Time)
            | (TimestampTz, Timestamp | Date | Time)
            | (Date, Timestamp | TimestampTz)
            | (Time, Interval)
            | (Interval, Time)
    )
}

/// One cast; the operand may be of any type that [`is_ours`] allows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CastTime {
    target: DataType,
    name: String,
    signature: Signature,
}

impl CastTime {
    fn new(target: DataType) -> Self {
        let name = format!("cast_as {target}");
        Self {
            target,
            name,
            signature: Signature::any(1, Volatility::Stable),
        }
    }
}

impl ScalarUDFImpl for CastTime {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.target.clone())
    }

    /// Where the zone makes no difference the base's own cast is as good, and filters over it can
    /// skip row groups.
    fn simplify(&self, mut args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let utc = SessionTime::of(info.config_options())?
            .settings
            .zone
            .is_utc();
        let from = args
            .first()
            .map(|arg| info.get_data_type(arg))
            .transpose()?;
        let plain = match (from.as_ref().and_then(Type::of), Type::of(&self.target)) {
            (Some(Type::Date), Some(Type::Timestamp)) => true,
            (Some(Type::Timestamp | Type::Date), Some(Type::TimestampTz)) => utc,
            (Some(Type::TimestampTz), Some(Type::Timestamp)) => utc,
            _ => false,
        };
        match (plain, args.pop()) {
            (true, Some(operand)) if !matches!(operand, Expr::Literal(..)) => Ok(
                ExprSimplifyResult::Simplified(cast_to(operand, self.target.clone())),
            ),
            (_, operand) => Ok(ExprSimplifyResult::Original(operand.into_iter().collect())),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let time = SessionTime::of(&args.config_options)?;
        call(&args, &time, |call| self.run(call))
    }
}

impl CastTime {
    fn run(&self, call: &Call<'_>) -> Result<ArrayRef> {
        let column = &call.columns[0];
        let from = Type::of(column.array.data_type());
        let result = match (from, Type::of(&self.target)) {
            (None, _) => return Ok(cast(&column.array, &self.target)?),
            (Some(Type::Text), Some(to)) => from_text(call, column, to)?,
            (Some(from), Some(Type::Text)) => to_text(call, column, from)?,
            (Some(from), Some(to)) => between(call, column, from, to)?,
            (_, None) => return Ok(cast(&column.array, &self.target)?),
        };
        to_unit(result, &self.target)
    }
}

fn from_text(call: &Call<'_>, column: &Column, to: Type) -> Result<ArrayRef> {
    let texts = texts(column)?;
    let reader = call.time.reader();
    match to {
        Type::Date => date_column(call, |row| {
            texts.get(row).map(|t| reader.date(t)).transpose()
        }),
        Type::Time => time_column(call, |row| {
            texts.get(row).map(|t| reader.time(t)).transpose()
        }),
        Type::Interval => {
            let style = call.time.settings.interval_style;
            interval_column(call, |row| {
                let text = texts.get(row);
                text.map(|text| interval(text, style, None, None))
                    .transpose()
            })
        }
        Type::TimestampTz => timestamp_column(call, true, |row| {
            texts.get(row).map(|t| reader.timestamptz(t)).transpose()
        }),
        _ => timestamp_column(call, false, |row| {
            texts.get(row).map(|t| reader.timestamp(t)).transpose()
        }),
    }
}

fn to_text(call: &Call<'_>, column: &Column, from: Type) -> Result<ArrayRef> {
    let settings = &call.time.settings;
    let style = Style::of(settings);
    match from {
        Type::Date => {
            let days = dates(column)?;
            text_column(call.rows, |row, out| {
                Ok(days
                    .get(row)
                    .map(|day| put_date(day as i32, style, out))
                    .is_some())
            })
        }
        Type::Time => {
            let micros = times(column)?;
            text_column(call.rows, |row, out| {
                Ok(micros.get(row).map(|time| put_time(time, out)).is_some())
            })
        }
        Type::Interval => {
            let spans = intervals(column)?;
            text_column(call.rows, |row, out| {
                let span = spans.get(row);
                Ok(span
                    .map(|span| put_interval(span, settings.interval_style, out))
                    .is_some())
            })
        }
        zoned => {
            let micros = timestamps(column)?;
            let offsets = Offsets::new(settings.zone, call.rows);
            text_column(call.rows, |row, out| {
                let Some(micros) = micros.get(row) else {
                    return Ok(false);
                };
                let micros = match is_infinite(micros) {
                    true => micros,
                    false => checked_timestamp(Some(micros))?,
                };
                let offset = (zoned == Type::TimestampTz).then(|| {
                    if is_infinite(micros) {
                        0
                    } else {
                        offsets.at(micros)
                    }
                });
                put_timestamp(
                    micros,
                    offset,
                    || settings.zone.abbreviation(micros),
                    style,
                    out,
                );
                Ok(true)
            })
        }
    }
}

fn between(call: &Call<'_>, column: &Column, from: Type, to: Type) -> Result<ArrayRef> {
    let zone = call.time.settings.zone;
    let offsets = Offsets::new(zone, call.rows);
    let local = |micros: i64| {
        let local = offsets.to_local(micros);
        local.ok_or_else(|| overflow("timestamp out of range"))
    };
    let instant = |local: i64| {
        let instant = zone.to_instant(local);
        instant.ok_or_else(|| overflow("timestamp out of range"))
    };
    match (from, to) {
        (Type::Timestamp, Type::TimestampTz) => map_timestamps(column, true, instant),
        (Type::TimestampTz, Type::Timestamp) => map_timestamps(column, false, local),
        (Type::Date, Type::Timestamp | Type::TimestampTz) => {
            let days = dates(column)?;
            let zoned = to == Type::TimestampTz;
            timestamp_column(call, zoned, |row| {
                let micros = days.get(row).map(midnight).transpose()?;
                match micros {
                    Some(micros) if zoned => instant(micros).map(Some),
                    micros => Ok(micros),
                }
            })
        }
        (Type::Timestamp | Type::TimestampTz, _) => {
            let micros = timestamps(column)?;
            let local_at = |row| match micros.get(row) {
                Some(micros) if from == Type::TimestampTz => local(micros).map(Some),
                micros => Ok(micros),
            };
            match to {
                Type::Date => date_column(call, |row| local_at(row)?.map(day_of_local).transpose()),
                _ => time_column(call, |row| {
                    let local = local_at(row)?.filter(|local| !is_infinite(*local));
                    Ok(local.map(|local| local.rem_euclid(MICROS_PER_DAY)))
                }),
            }
        }
        (Type::Time, _) => {
            let micros = times(column)?;
            interval_column(call, |row| {
                Ok(micros.get(row).map(|micros| PgInterval {
                    micros,
                    ..PgInterval::default()
                }))
            })
        }
        _ => {
            let spans = intervals(column)?;
            time_column(call, |row| {
                Ok(spans
                    .get(row)
                    .map(|span| span.micros.rem_euclid(MICROS_PER_DAY)))
            })
        }
    }
}

/// A date's first moment.
pub(crate) fn midnight(day: i64) -> OwnResult<i64> {
    if day == i64::from(DATE_INFINITIES[0]) {
        return Ok(INFINITIES[0]);
    }
    if day == i64::from(DATE_INFINITIES[1]) {
        return Ok(INFINITIES[1]);
    }
    checked_timestamp(day.checked_mul(MICROS_PER_DAY))
        .map_err(|_| overflow("date out of range for timestamp"))
}

/// The day of a local time.
pub(crate) fn day_of_local(local: i64) -> OwnResult<i32> {
    if local == INFINITIES[0] {
        return Ok(DATE_INFINITIES[0]);
    }
    if local == INFINITIES[1] {
        return Ok(DATE_INFINITIES[1]);
    }
    checked_date(local.div_euclid(MICROS_PER_DAY))
}

/// Microseconds in the unit of the target; infinities become its least and greatest value.
fn to_unit(array: ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(array);
    }
    let DataType::Timestamp(unit, _) = target else {
        return Ok(cast(&array, target)?);
    };
    let raw = array
        .to_data()
        .into_builder()
        .data_type(DataType::Int64)
        .build()?;
    let raw = Int64Array::from(raw);
    let scaled: PrimitiveArray<Int64Type> = raw.unary(|value| match unit {
        _ if is_infinite(value) => value,
        TimeUnit::Nanosecond => value.saturating_mul(1000),
        TimeUnit::Microsecond => value,
        TimeUnit::Millisecond => value.div_euclid(1000),
        TimeUnit::Second => value.div_euclid(1_000_000),
    });
    let scaled: ArrayRef = Arc::new(scaled);
    let data = scaled
        .to_data()
        .into_builder()
        .data_type(target.clone())
        .build()?;
    Ok(datafusion::arrow::array::make_array(data))
}
