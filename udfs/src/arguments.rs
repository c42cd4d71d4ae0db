//! What functions accept: coercion of argument types, typed readers of argument columns, and the
//! wording of refusals. Every message names the function, the argument, and what to do.

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, IntervalMonthDayNanoArray, PrimitiveArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Date64Type, IntervalUnit, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::util::display::array_value_to_string;
use datafusion_common::cast::{as_date32_array, as_float64_array, as_interval_mdn_array};
use datafusion_common::{DataFusionError, Result, internal_err, plan_err};

use crate::refusal::{Refusal, Refused};

/// Refuses a number of arguments that no form has.
pub(crate) fn wrong_arity<T>(function: &str, forms: &str, got: usize) -> Result<T> {
    let noun = if got == 1 { "argument" } else { "arguments" };
    plan_err!("{function}() was called with {got} {noun}; write {forms}")
}

/// The error for a value of a row that cannot be meant: out of range, NaN, infinite, reversed.
/// Whether a row is refused so must not depend on other rows.
#[cold]
pub(crate) fn invalid_value(function: &str, problem: impl AsRef<str>) -> DataFusionError {
    refusal(Refused::Value, function, problem.as_ref())
}

/// The error for a call that cannot be meant, whatever the values of single rows, and for results
/// that no type holds.
#[cold]
pub(crate) fn invalid_call(function: &str, problem: impl AsRef<str>) -> DataFusionError {
    refusal(Refused::Call, function, problem.as_ref())
}

fn refusal(refused: Refused, function: &str, problem: &str) -> DataFusionError {
    DataFusionError::External(Box::new(Refusal::new(refused, function, problem)))
}

/// The error for a constant argument that differs between rows of one group.
#[cold]
pub(crate) fn varying_argument(function: &str, argument: &str) -> DataFusionError {
    invalid_call(
        function,
        format!(
            "{argument} must be the same for all rows of a group; add it to GROUP BY, or make it \
             a constant"
        ),
    )
}

/// What [`hold`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// The first value: it is now held, and still has to be checked.
    First,
    /// The value that is held already.
    Same,
    /// Another value than the one held.
    Differs,
}

/// Keeps a constant argument of a group.
#[inline]
pub(crate) fn hold<T: Copy + PartialEq>(slot: &mut Option<T>, value: T) -> Held {
    match slot {
        Some(held) if *held == value => Held::Same,
        Some(_) => Held::Differs,
        None => {
            *slot = Some(value);
            Held::First
        }
    }
}

/// Keeps a constant argument that another part of the group has seen; false if they differ.
pub(crate) fn hold_other<T: Copy + PartialEq>(slot: &mut Option<T>, other: Option<T>) -> bool {
    other.is_none_or(|value| hold(slot, value) != Held::Differs)
}

/// A number: coerced to DOUBLE.
pub(crate) fn number(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match plain(given) {
        given if given.is_numeric() || given.is_null() => Ok(DataType::Float64),
        given if is_text(given) => plan_err!(
            "{function}(): {argument} is text; convert it to a number first, for example \
             CAST({argument} AS DOUBLE)"
        ),
        given => plan_err!("{function}(): {argument} must be a number, not {given}"),
    }
}

/// A whole number: coerced to BIGINT.
pub(crate) fn whole_number(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match plain(given) {
        given if given.is_integer() || given.is_null() => Ok(DataType::Int64),
        given if is_text(given) => plan_err!(
            "{function}(): {argument} is text; convert it to a whole number first, for example \
             CAST({argument} AS INT)"
        ),
        given => plan_err!("{function}(): {argument} must be a whole number, not {given}"),
    }
}

/// Money: DECIMAL stays DECIMAL, whole numbers stay whole, the rest becomes DOUBLE.
pub(crate) fn amount(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match plain(given) {
        DataType::UInt64 => Ok(DataType::UInt64),
        given if given.is_integer() => Ok(DataType::Int64),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => Ok(DataType::Decimal128(*precision, *scale)),
        DataType::Decimal256(_, scale) => {
            Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale))
        }
        given => number(function, argument, given),
    }
}

/// A condition: BOOLEAN only.
pub(crate) fn condition(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match plain(given) {
        DataType::Boolean | DataType::Null => Ok(DataType::Boolean),
        given => plan_err!(
            "{function}(): {argument} must be a condition, not {given}; compare it, for example \
             {argument} = 1"
        ),
    }
}

/// Text: coerced to a string view.
pub(crate) fn text(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match plain(given) {
        given if is_text(given) || given.is_null() => Ok(DataType::Utf8View),
        given => plan_err!("{function}(): {argument} must be text, not {given}"),
    }
}

/// A span of time: coerced to an INTERVAL of months, days and nanoseconds.
pub(crate) fn interval(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match plain(given) {
        DataType::Interval(_) | DataType::Duration(_) | DataType::Null => {
            Ok(DataType::Interval(IntervalUnit::MonthDayNano))
        }
        given => plan_err!(
            "{function}(): {argument} must be an interval, not {given}; write for example \
             INTERVAL '30 days'"
        ),
    }
}

/// Points in time that are compared with each other: each keeps its own unit, except that where
/// some carry a time zone, the others are read as local time of the first such zone.
pub(crate) fn times(function: &str, given: &[(&str, &DataType)]) -> Result<Vec<DataType>> {
    let zone = given.iter().find_map(|(_, given)| match plain(given) {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    });
    let coerce = |(argument, given): &(&str, &DataType)| match plain(given) {
        DataType::Timestamp(unit, own) => Ok(DataType::Timestamp(
            *unit,
            own.clone().or_else(|| zone.clone()),
        )),
        DataType::Date32 if zone.is_none() => Ok(DataType::Date32),
        DataType::Date32 => Ok(DataType::Timestamp(TimeUnit::Second, zone.clone())),
        DataType::Date64 => Ok(DataType::Timestamp(TimeUnit::Millisecond, zone.clone())),
        DataType::Null => Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
        given if is_text(given) => plan_err!(
            "{function}(): {argument} is text; write a date such as DATE '2024-01-31', or \
             CAST({argument} AS TIMESTAMP)"
        ),
        given => plan_err!("{function}(): {argument} must be a date or timestamp, not {given}"),
    };
    given.iter().map(coerce).collect()
}

/// Refuses values that are not numbers in the sense of arithmetic.
#[inline]
pub(crate) fn finite(function: &str, argument: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(not_finite(function, argument, value))
}

/// The error of [`finite`].
#[cold]
pub(crate) fn not_finite(function: &str, argument: &str, value: f64) -> DataFusionError {
    let value = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    invalid_value(
        function,
        format!("{argument} is {value}; filter it or replace it by NULL"),
    )
}

/// A column of DOUBLE.
pub(crate) fn doubles(array: &ArrayRef) -> Result<&Float64Array> {
    as_float64_array(array)
}

/// A column of INTERVAL.
pub(crate) fn intervals(array: &ArrayRef) -> Result<&IntervalMonthDayNanoArray> {
    as_interval_mdn_array(array)
}

/// A column of points in time, readable as nanoseconds since 1970 whatever its unit. 128 bits,
/// because year 9999, the usual "no end yet", does not fit in 64.
#[derive(Debug)]
pub(crate) struct Times<'a> {
    array: &'a ArrayRef,
    ticks: Ticks<'a>,
    nanoseconds_per_tick: i128,
}

#[derive(Debug)]
enum Ticks<'a> {
    Days(&'a Date32Array),
    Counts(&'a ScalarBuffer<i64>),
}

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;
/// Nanoseconds of a day of UTC.
pub(crate) const NANOSECONDS_PER_DAY: i128 = 86_400 * NANOSECONDS_PER_SECOND;

impl<'a> Times<'a> {
    /// A view of a DATE or TIMESTAMP column.
    pub(crate) fn new(array: &'a ArrayRef) -> Result<Self> {
        let (ticks, nanoseconds_per_tick) = match array.data_type() {
            DataType::Date32 => (Ticks::Days(as_date32_array(array)?), NANOSECONDS_PER_DAY),
            DataType::Date64 => (counts::<Date64Type>(array)?, 1_000_000),
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => (
                    counts::<TimestampSecondType>(array)?,
                    NANOSECONDS_PER_SECOND,
                ),
                TimeUnit::Millisecond => (counts::<TimestampMillisecondType>(array)?, 1_000_000),
                TimeUnit::Microsecond => (counts::<TimestampMicrosecondType>(array)?, 1_000),
                TimeUnit::Nanosecond => (counts::<TimestampNanosecondType>(array)?, 1),
            },
            other => return internal_err!("a time column has type {other}"),
        };
        Ok(Self {
            array,
            ticks,
            nanoseconds_per_tick,
        })
    }

    /// Nanoseconds since 1970-01-01; meaningless where the column is NULL.
    #[inline]
    pub(crate) fn at(&self, row: usize) -> i128 {
        let ticks = match &self.ticks {
            Ticks::Days(days) => i128::from(days.values()[row]),
            Ticks::Counts(counts) => i128::from(counts[row]),
        };
        ticks * self.nanoseconds_per_tick
    }

    /// The same, `None` where the column is NULL.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<i128> {
        self.array.is_valid(row).then(|| self.at(row))
    }

    /// The value of all rows, if it is the same in all of them and never NULL.
    pub(crate) fn same(&self) -> Option<i128> {
        let same = self.array.null_count() == 0
            && match &self.ticks {
                Ticks::Days(days) => all_equal(days.values()),
                Ticks::Counts(counts) => all_equal(counts),
            };
        (same && !self.array.is_empty()).then(|| self.at(0))
    }

    /// How many values are before a moment; meaningless where the column has NULL.
    pub(crate) fn count_before(&self, moment: i128) -> usize {
        let mut before = 0;
        self.for_each_before(moment, |_, is_before| before += usize::from(is_before));
        before
    }

    /// Tells of each row whether its value is before a moment; meaningless where the column has
    /// NULL.
    #[inline]
    pub(crate) fn for_each_before(&self, moment: i128, mut tell: impl FnMut(usize, bool)) {
        let tick = self.nanoseconds_per_tick;
        let part = i128::from(moment.rem_euclid(tick) != 0);
        let Ok(moment) = i64::try_from(moment.div_euclid(tick) + part) else {
            return (0..self.array.len()).for_each(|row| tell(row, moment > 0));
        };
        match &self.ticks {
            Ticks::Days(days) => {
                let days = days.values().iter().enumerate();
                days.for_each(|(row, day)| tell(row, i64::from(*day) < moment));
            }
            Ticks::Counts(counts) => {
                let counts = counts.iter().enumerate();
                counts.for_each(|(row, count)| tell(row, *count < moment));
            }
        }
    }

    /// Nanoseconds since 1970-01-01 of all rows, if 64 bits hold them; meaningless where the
    /// column is NULL.
    pub(crate) fn nanoseconds(&self) -> Option<Vec<i64>> {
        let tick = i64::try_from(self.nanoseconds_per_tick).ok()?;
        match &self.ticks {
            Ticks::Days(days) => {
                let days = days.values().iter();
                days.map(|day| i64::from(*day).checked_mul(tick)).collect()
            }
            Ticks::Counts(counts) => counts.iter().map(|count| count.checked_mul(tick)).collect(),
        }
    }

    /// The value as SQL shows it, for messages.
    pub(crate) fn text(&self, row: usize) -> String {
        array_value_to_string(self.array, row).unwrap_or_else(|_| "?".to_owned())
    }
}

/// Whether a batch holds one value only; looked at in whole so that it takes vector instructions.
pub(crate) fn all_equal<T: Copy + PartialEq>(values: &[T]) -> bool {
    values.first().is_none_or(|first| {
        let differing = |chunk: &[T]| chunk.iter().filter(|value| *value != first).count();
        values.chunks(64).all(|chunk| differing(chunk) == 0)
    })
}

fn counts<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> Result<Ticks<'_>> {
    Ok(Ticks::Counts(primitive::<T>(array)?.values()))
}

/// A column of a primitive type.
pub(crate) fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<&PrimitiveArray<T>> {
    match array.as_primitive_opt::<T>() {
        Some(array) => Ok(array),
        None => internal_err!(
            "expected a column of {}, got {}",
            T::DATA_TYPE,
            array.data_type()
        ),
    }
}

/// The type of the values, without dictionary or run-length encoding.
pub(crate) fn plain(given: &DataType) -> &DataType {
    match given {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

fn is_text(given: &DataType) -> bool {
    matches!(
        given,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{TimestampMillisecondArray, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn the_same_moment_is_equal_in_every_unit() {
        let date: ArrayRef = Arc::new(Date32Array::from(vec![1]));
        let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![86_400_000]));
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![86_400_000_000_000]));
        let at = |array| Times::new(array).unwrap().at(0);
        assert_eq!(at(&date), at(&millis));
        assert_eq!(at(&date), at(&nanos));
    }

    #[test]
    fn year_9999_does_not_overflow() {
        let far: ArrayRef = Arc::new(Date32Array::from(vec![2_932_896]));
        assert_eq!(
            Times::new(&far).unwrap().at(0),
            2_932_896 * NANOSECONDS_PER_DAY
        );
        assert_eq!(Times::new(&far).unwrap().text(0), "9999-12-31");
    }

    #[test]
    fn values_before_a_moment_are_those_below_it() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![-3, 0, 1, 2_932_896]));
        let millis: ArrayRef =
            Arc::new(TimestampMillisecondArray::from(vec![-5, 0, 1, 86_400_000]));
        for array in [&dates, &millis] {
            let times = Times::new(array).unwrap();
            let day = NANOSECONDS_PER_DAY;
            for moment in [
                -1,
                0,
                1,
                999_999,
                1_000_000,
                1_000_001,
                day,
                day + 1,
                i128::MAX,
                i128::MIN,
            ] {
                let expected = (0..4).filter(|row| times.at(*row) < moment).count();
                assert_eq!(times.count_before(moment), expected, "{moment}");
            }
        }
    }

    #[test]
    fn a_zone_is_shared_by_the_times_without_one() {
        let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let got = times("f", &[("a", &DataType::Date32), ("b", &zoned)]).unwrap();
        assert_eq!(
            got[0],
            DataType::Timestamp(TimeUnit::Second, Some("UTC".into()))
        );
        assert_eq!(got[1], zoned);
    }

    #[test]
    fn a_dictionary_counts_as_its_values() {
        let dictionary =
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Float32));
        assert_eq!(number("f", "x", &dictionary).unwrap(), DataType::Float64);
    }

    #[test]
    fn text_is_refused_with_a_remedy() {
        let error = number("nps", "score", &DataType::Utf8View)
            .unwrap_err()
            .to_string();
        assert!(error.contains("nps(): score is text"), "{error}");
        assert!(error.contains("CAST(score AS DOUBLE)"), "{error}");
    }
}
