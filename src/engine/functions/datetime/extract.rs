//! `extract` (numeric) and `date_part` (double precision).

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Decimal128Array, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::function::{Call, Column, Type, call};
use super::session_time::SessionTime;
use super::units::{Unit, not_supported};
use super::values::{dates, intervals, texts, times, timestamps};
use crate::calendar::{
    DATE_INFINITIES, EPOCH_DAYS, EPOCH_MICROS, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE,
    MICROS_PER_SECOND, Offsets, PgInterval, civil, day_of, is_infinite, iso_week, weekday,
};
use crate::error::{Error, Result as OwnResult};

/// Day number of 2000-01-01 in the Julian count.
const JULIAN_EPOCH: i64 = 2_451_545;

/// Digits of a numeric result.
const PRECISION: u8 = 38;

/// Digits behind the point of a Julian day with its time.
const JULIAN_SCALE: u8 = 20;

/// Seconds of a year and of a month, where an interval is taken for a number of seconds.
const SECONDS_PER_YEAR: i64 = 31_557_600;
const SECONDS_PER_MONTH: i64 = 2_592_000;

pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for numeric in [true, false] {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Extract::new(numeric))))?;
    }
    Ok(())
}

/// Plans `EXTRACT(unit FROM x)`.
#[derive(Debug)]
pub(crate) struct ExtractPlanner {
    function: Arc<ScalarUDF>,
}

impl ExtractPlanner {
    /// The planner.
    pub(crate) fn new() -> Self {
        Self {
            function: Arc::new(ScalarUDF::new_from_impl(Extract::new(true))),
        }
    }
}

impl ExprPlanner for ExtractPlanner {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let call = ScalarFunction::new_udf(Arc::clone(&self.function), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// Both functions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extract {
    numeric: bool,
    signature: Signature,
}

impl Extract {
    fn new(numeric: bool) -> Self {
        Self {
            numeric,
            signature: Signature::user_defined(Volatility::Stable),
        }
    }

    fn result(&self, scale: u8) -> DataType {
        match self.numeric {
            true => DataType::Decimal128(PRECISION, scale.cast_signed()),
            false => DataType::Float64,
        }
    }
}

impl ScalarUDFImpl for Extract {
    fn name(&self) -> &'static str {
        if self.numeric { "extract" } else { "date_part" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, of] = types else {
            return Err(Error::undefined_function(format!(
                "function {} takes a field and a value",
                self.name()
            ))
            .into());
        };
        let value = match Type::of(of) {
            // Only `extract` has a form of its own for dates.
            Some(Type::Date) if !self.numeric => Type::Timestamp.arrow(),
            Some(
                Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz | Type::Interval,
            ) => of.clone(),
            Some(Type::Text) => Type::TimestampTz.arrow(),
            None if of.is_null() => Type::TimestampTz.arrow(),
            _ => {
                return Err(Error::undefined_function(format!(
                    "function pg_catalog.{}(unknown, {}) does not exist",
                    self.name(),
                    super::function::type_name(of),
                ))
                .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
                .into());
            }
        };
        Ok(vec![DataType::Utf8, value])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result(6))
    }

    /// The scale of the result follows from the field.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let name = match args.scalar_arguments.first() {
            Some(Some(
                ScalarValue::Utf8(Some(name))
                | ScalarValue::Utf8View(Some(name))
                | ScalarValue::LargeUtf8(Some(name)),
            )) => Some(name.as_str()),
            _ => None,
        };
        let of = args
            .arg_fields
            .get(1)
            .and_then(|field| Type::of(field.data_type()));
        let scale = match (name, of) {
            (Some(name), Some(of)) => scale(Unit::named(name, type_name(of))?, of),
            _ => 6,
        };
        Ok(Arc::new(Field::new(self.name(), self.result(scale), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let time = SessionTime::of(&args.config_options)?;
        let scale = match args.return_field.data_type() {
            DataType::Decimal128(_, scale) => Some(*scale as u8),
            _ => None,
        };
        call(&args, &time, |call| extracted(call, scale))
    }
}

fn type_name(of: Type) -> &'static str {
    of.name()
}

fn scale(unit: Unit, of: Type) -> u8 {
    match (unit, of) {
        (Unit::Second, _) => 6,
        (Unit::Epoch | Unit::Julian, Type::Date) => 0,
        (Unit::Epoch, _) => 6,
        (Unit::Milliseconds, _) => 3,
        (Unit::Julian, _) => JULIAN_SCALE,
        _ => 0,
    }
}

/// A field's value: a number with digits behind the point, or one that no number holds.
enum Part {
    Number(i128, u8),
    Infinite(bool),
    Nothing,
}

fn extracted(call: &Call<'_>, scale: Option<u8>) -> Result<ArrayRef> {
    let names = texts(&call.columns[0])?;
    let value = &call.columns[1];
    let of = Type::of(value.array.data_type()).unwrap_or(Type::TimestampTz);
    let constant = match names.constant() {
        Some(name) => Some(Unit::named(name, type_name(of))?),
        None => None,
    };
    let part_of = parts(call, value, of)?;
    let at = |row: usize| -> OwnResult<Option<Part>> {
        let Some(name) = names.get(row) else {
            return Ok(None);
        };
        let unit = match constant {
            Some(unit) => unit,
            None => Unit::named(name, type_name(of))?,
        };
        part_of(row, unit)
            .transpose()
            .map(|part| {
                part.and_then(|part| part.ok_or_else(|| not_supported(name, type_name(of))))
            })
            .transpose()
    };
    match scale {
        Some(scale) => {
            let numbers = (0..call.rows)
                .map(|row| numeric(at(row)?, scale))
                .collect::<OwnResult<Decimal128Array>>()?;
            Ok(Arc::new(numbers.with_precision_and_scale(
                PRECISION,
                scale.cast_signed(),
            )?))
        }
        None => {
            let numbers = (0..call.rows)
                .map(|row| Ok(at(row)?.and_then(double)))
                .collect::<OwnResult<Float64Array>>()?;
            Ok(Arc::new(numbers))
        }
    }
}

fn numeric(part: Option<Part>, scale: u8) -> OwnResult<Option<i128>> {
    match part {
        None | Some(Part::Nothing) => Ok(None),
        Some(Part::Infinite(_)) => Err(Error::feature_not_supported(
            "infinite values of type numeric are not supported",
        )
        .with_hint("date_part() gives double precision, which has them.")),
        Some(Part::Number(value, digits)) => Ok(Some(match scale.checked_sub(digits) {
            Some(more) => value.saturating_mul(10_i128.pow(u32::from(more))),
            None => value / 10_i128.pow(u32::from(digits - scale)),
        })),
    }
}

fn double(part: Part) -> Option<f64> {
    match part {
        Part::Nothing => None,
        Part::Infinite(true) => Some(f64::INFINITY),
        Part::Infinite(false) => Some(f64::NEG_INFINITY),
        Part::Number(value, 0) => Some(value as f64),
        // The whole part first: a quotient of two large doubles is less exact.
        Part::Number(value, JULIAN_SCALE) => {
            let unit = 10_i128.pow(u32::from(JULIAN_SCALE));
            Some((value / unit) as f64 + (value % unit) as f64 / unit as f64)
        }
        Part::Number(value, digits) => Some(value as f64 / 10_f64.powi(i32::from(digits))),
    }
}

/// What gives the fields of each row: the outer None is NULL, the inner one a unit that the type lacks.
type PartOf<'a> = Box<dyn Fn(usize, Unit) -> OwnResult<Option<Option<Part>>> + 'a>;

fn parts<'a>(call: &'a Call<'_>, value: &'a Column, of: Type) -> Result<PartOf<'a>> {
    Ok(match of {
        Type::Date => {
            let days = dates(value)?;
            Box::new(move |row, unit| Ok(days.get(row).map(|day| of_date(day, unit))))
        }
        Type::Time => {
            let micros = times(value)?;
            Box::new(move |row, unit| Ok(micros.get(row).map(|time| of_clock(time, unit))))
        }
        Type::Interval => {
            let spans = intervals(value)?;
            Box::new(move |row, unit| Ok(spans.get(row).map(|span| of_interval(span, unit))))
        }
        Type::Timestamp => {
            let micros = timestamps(value)?;
            Box::new(move |row, unit| {
                Ok(micros
                    .get(row)
                    .map(|local| of_timestamp(local, local, unit)))
            })
        }
        _ => {
            let micros = timestamps(value)?;
            let offsets = Offsets::new(call.time.settings.zone, call.rows);
            Box::new(move |row, unit| {
                Ok(micros
                    .get(row)
                    .map(|micros| of_instant(micros, unit, &offsets)))
            })
        }
    })
}

fn whole(value: i64) -> Part {
    Part::Number(i128::from(value), 0)
}

/// Infinite times have the fields that grow with time.
fn of_infinity(after: bool, unit: Unit) -> Part {
    match unit {
        Unit::Year
        | Unit::Decade
        | Unit::Century
        | Unit::Millennium
        | Unit::Julian
        | Unit::Isoyear
        | Unit::Epoch => Part::Infinite(after),
        _ => Part::Nothing,
    }
}

fn of_date(day: i64, unit: Unit) -> Option<Part> {
    let [before, after] = DATE_INFINITIES.map(i64::from);
    let supported = !matches!(
        unit,
        Unit::Hour
            | Unit::Minute
            | Unit::Second
            | Unit::Milliseconds
            | Unit::Microseconds
            | Unit::Timezone
            | Unit::TimezoneHour
            | Unit::TimezoneMinute
    );
    match unit {
        _ if !supported => None,
        unit if day == before || day == after => Some(of_infinity(day == after, unit)),
        Unit::Epoch => Some(whole((day + EPOCH_DAYS) * 86_400)),
        Unit::Julian => Some(whole(day + JULIAN_EPOCH)),
        unit => of_day(day, unit),
    }
}

/// Fields of the calendar.
fn of_day(day: i64, unit: Unit) -> Option<Part> {
    let (year, month, of_month) = civil(day);
    // Before Christ there is no year 0.
    let counted = if year > 0 { year } else { year - 1 };
    Some(whole(match unit {
        Unit::Day => i64::from(of_month),
        Unit::Month => i64::from(month),
        Unit::Quarter => i64::from((month - 1) / 3 + 1),
        Unit::Year => counted,
        Unit::Decade => year.div_euclid(10),
        Unit::Century => ages(year, 100),
        Unit::Millennium => ages(year, 1000),
        Unit::Week => iso_week(day).1,
        Unit::Isoyear => match iso_week(day).0 {
            year if year > 0 => year,
            year => year - 1,
        },
        Unit::Dow => weekday(day),
        Unit::Isodow => match weekday(day) {
            0 => 7,
            other => other,
        },
        Unit::Doy => day - day_of(year, 1, 1)? + 1,
        _ => return None,
    }))
}

/// Centuries or millennia: the first has the years 1 to 100, the one before is -1.
fn ages(year: i64, years: i64) -> i64 {
    if year > 0 {
        (year + years - 1) / years
    } else {
        -((years - 1 - (year - 1)) / years)
    }
}

/// Fields of a clock.
fn of_clock(time: i64, unit: Unit) -> Option<Part> {
    let second = i128::from(time % MICROS_PER_MINUTE);
    Some(match unit {
        Unit::Hour => whole(time / MICROS_PER_HOUR),
        Unit::Minute => whole(time / MICROS_PER_MINUTE % 60),
        Unit::Second => Part::Number(second, 6),
        Unit::Milliseconds => Part::Number(second, 3),
        Unit::Microseconds => Part::Number(second, 0),
        Unit::Epoch => Part::Number(i128::from(time), 6),
        _ => return None,
    })
}

/// `micros` is the time that the epoch counts from.
fn of_timestamp(local: i64, micros: i64, unit: Unit) -> Option<Part> {
    let day = local.div_euclid(MICROS_PER_DAY);
    let time = local.rem_euclid(MICROS_PER_DAY);
    match unit {
        Unit::Timezone | Unit::TimezoneHour | Unit::TimezoneMinute => None,
        unit if is_infinite(local) => Some(of_infinity(local > 0, unit)),
        Unit::Epoch => Some(Part::Number(
            i128::from(micros) + i128::from(EPOCH_MICROS),
            6,
        )),
        Unit::Julian => {
            let unit = 10_i128.pow(u32::from(JULIAN_SCALE));
            let day_micros = i128::from(MICROS_PER_DAY);
            let part = (i128::from(time) * unit + day_micros / 2) / day_micros;
            let value = i128::from(day + JULIAN_EPOCH) * unit + part;
            Some(Part::Number(value, JULIAN_SCALE))
        }
        Unit::Hour | Unit::Minute | Unit::Second | Unit::Milliseconds | Unit::Microseconds => {
            of_clock(time, unit)
        }
        unit => of_day(day, unit),
    }
}

fn of_instant(micros: i64, unit: Unit, offsets: &Offsets) -> Option<Part> {
    if is_infinite(micros) {
        return Some(of_infinity(micros > 0, unit));
    }
    let offset = i64::from(offsets.at(micros));
    match unit {
        Unit::Timezone => Some(whole(offset)),
        Unit::TimezoneHour => Some(whole(offset / 3600)),
        Unit::TimezoneMinute => Some(whole(offset / 60 % 60)),
        unit => of_timestamp(
            micros.saturating_add(offset * MICROS_PER_SECOND),
            micros,
            unit,
        ),
    }
}

fn of_interval(span: PgInterval, unit: Unit) -> Option<Part> {
    let months = i64::from(span.months);
    let years = months / 12;
    Some(match unit {
        Unit::Day => whole(i64::from(span.days)),
        Unit::Month => whole(months % 12),
        Unit::Quarter => whole(months % 12 / 3 + 1),
        Unit::Year => whole(years),
        Unit::Decade => whole(years / 10),
        Unit::Century => whole(years / 100),
        Unit::Millennium => whole(years / 1000),
        Unit::Epoch => {
            let seconds = years * SECONDS_PER_YEAR + months % 12 * SECONDS_PER_MONTH;
            let seconds = i128::from(seconds) + i128::from(span.days) * 86_400;
            let micros = seconds * i128::from(MICROS_PER_SECOND) + i128::from(span.micros);
            Part::Number(micros, 6)
        }
        unit => return of_clock(span.micros, unit),
    })
}
