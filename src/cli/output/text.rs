//! The values of an Arrow column as PostgreSQL writes them, as text and in JSON.

use std::fmt::Write;
use std::ops::Range;

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};
use datafusion::arrow::array::{
    Array, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray,
    GenericListArray, LargeBinaryArray, OffsetSizeTrait, StructArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type, Float64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;

use crate::error::Error;

const SECONDS_PER_DAY: i64 = 86_400;
const MILLIS_PER_DAY: i64 = 86_400_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;
const NANOS_PER_MICRO: i64 = 1_000;
const MONTHS_PER_YEAR: i32 = 12;

/// One column of a batch, ready to be written row by row.
pub(super) struct Cells<'a> {
    nulls: Option<NullBuffer>,
    kind: Kind<'a>,
}

/// How a column's values are written.
enum Kind<'a> {
    Bool(&'a BooleanArray),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    /// Integers and decimals, whose text is also a JSON number.
    Number(ArrayFormatter<'a>),
    Text(ArrayFormatter<'a>),
    Bytes(Box<dyn Fn(usize) -> &'a [u8] + Send + 'a>),
    /// Seconds since 1970-01-01 and microseconds of the second.
    Timestamp {
        value: Box<dyn Fn(usize) -> (i64, i64) + Send + 'a>,
        zoned: bool,
    },
    /// Days since 1970-01-01.
    Date(Box<dyn Fn(usize) -> i64 + Send + 'a>),
    /// Microseconds since midnight.
    Time(Box<dyn Fn(usize) -> i64 + Send + 'a>),
    Interval(Box<dyn Fn(usize) -> Interval + Send + 'a>),
    List {
        items: Box<Cells<'a>>,
        range: Box<dyn Fn(usize) -> Range<usize> + Send + 'a>,
    },
    Struct {
        names: Vec<&'a str>,
        fields: Vec<Cells<'a>>,
    },
    Dictionary {
        keys: Vec<usize>,
        values: Box<Cells<'a>>,
    },
}

/// PostgreSQL's interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Interval {
    months: i32,
    days: i64,
    micros: i64,
}

impl<'a> Cells<'a> {
    /// Prepares a column; fails for a type that has no text.
    pub(super) fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(Self {
            nulls: array.logical_nulls(),
            kind: Kind::new(array)?,
        })
    }

    /// Appends the value's text; appends nothing and returns false if it is NULL.
    pub(super) fn append(&self, row: usize, text: &mut String) -> Result<bool> {
        if self.is_null(row) {
            return Ok(false);
        }
        match &self.kind {
            Kind::Bool(array) => text.push(if array.value(row) { 't' } else { 'f' }),
            Kind::Float32(values) => append_float(&values[row], f64::from(values[row]), 6, text),
            Kind::Float64(values) => append_float(&values[row], values[row], 15, text),
            Kind::Number(format) | Kind::Text(format) => format.value(row).write(text)?,
            Kind::Bytes(value) => append_bytes(value(row), text),
            Kind::Timestamp { value, zoned } => append_timestamp(value(row), *zoned, ' ', text)?,
            Kind::Date(value) => append_date(value(row), text)?,
            Kind::Time(value) => append_time(value(row), text),
            Kind::Interval(value) => append_interval(value(row), text),
            Kind::List { items, range } => append_array(items, range(row), text)?,
            Kind::Struct { fields, .. } => append_record(fields, row, text)?,
            Kind::Dictionary { keys, values } => return values.append(keys[row], text),
        }
        Ok(true)
    }

    /// Appends the value as PostgreSQL's to_json gives it.
    pub(super) fn append_json(&self, row: usize, text: &mut String) -> Result<()> {
        if self.is_null(row) {
            text.push_str("null");
            return Ok(());
        }
        match &self.kind {
            Kind::Bool(array) => text.push_str(if array.value(row) { "true" } else { "false" }),
            Kind::Float32(values) if values[row].is_finite() => {
                self.append(row, text)?;
            }
            Kind::Float64(values) if values[row].is_finite() => {
                self.append(row, text)?;
            }
            Kind::Number(format) => format.value(row).write(text)?,
            Kind::Timestamp { value, zoned } => {
                text.push('"');
                append_timestamp(value(row), *zoned, 'T', text)?;
                text.push('"');
            }
            Kind::List { items, range } => {
                append_joined(text, '[', ']', range(row), |item, text| {
                    items.append_json(item, text)
                })?;
            }
            Kind::Struct { names, fields } => {
                append_joined(text, '{', '}', 0..fields.len(), |field, text| {
                    append_json_string(names[field], text);
                    text.push(':');
                    fields[field].append_json(row, text)
                })?;
            }
            Kind::Dictionary { keys, values } => values.append_json(keys[row], text)?,
            _ => {
                let mut value = String::new();
                self.append(row, &mut value)?;
                append_json_string(&value, text);
            }
        }
        Ok(())
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Whether an array literal of these values nests instead of quoting.
    fn is_list(&self) -> bool {
        match &self.kind {
            Kind::List { .. } => true,
            Kind::Dictionary { values, .. } => values.is_list(),
            _ => false,
        }
    }
}

/// Strings without quotes or type names; an error is an error and not a text.
const PLAIN: FormatOptions<'static> = FormatOptions::new().with_display_error(false);

impl<'a> Kind<'a> {
    fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Float32 => Self::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Binary => Self::bytes(array.as_binary::<i32>(), BinaryArray::value),
            DataType::LargeBinary => Self::bytes(array.as_binary::<i64>(), LargeBinaryArray::value),
            DataType::BinaryView => Self::bytes(array.as_binary_view(), BinaryViewArray::value),
            DataType::FixedSizeBinary(_) => {
                Self::bytes(array.as_fixed_size_binary(), FixedSizeBinaryArray::value)
            }
            DataType::Timestamp(unit, zone) => Self::timestamp(array, *unit, zone.is_some()),
            DataType::Date32 => Self::Date(each::<Date32Type, _>(array, i64::from)),
            DataType::Date64 => Self::Date(each::<Date64Type, _>(array, |value| {
                value.div_euclid(MILLIS_PER_DAY)
            })),
            DataType::Time32(_) | DataType::Time64(_) => Self::time(array)?,
            DataType::Duration(unit) => Self::duration(array, *unit),
            DataType::Interval(unit) => Self::interval(array, *unit),
            DataType::List(_) => Self::list(array.as_list::<i32>())?,
            DataType::LargeList(_) => Self::list(array.as_list::<i64>())?,
            DataType::FixedSizeList(_, size) => {
                let size = usize::try_from(*size).unwrap_or_default();
                let items = Box::new(Cells::new(array.as_fixed_size_list().values().as_ref())?);
                Self::List {
                    items,
                    range: Box::new(move |row| row * size..(row + 1) * size),
                }
            }
            DataType::Struct(_) => Self::record(array.as_struct())?,
            DataType::Dictionary(..) => {
                let array = array.as_any_dictionary();
                let is_empty = array.values().is_empty();
                let keys = if is_empty {
                    Vec::new()
                } else {
                    array.normalized_keys()
                };
                Self::Dictionary {
                    keys,
                    values: Box::new(Cells::new(array.values().as_ref())?),
                }
            }
            other if other.is_numeric() => Self::Number(ArrayFormatter::try_new(array, &PLAIN)?),
            _ => Self::Text(ArrayFormatter::try_new(array, &PLAIN)?),
        })
    }

    fn bytes<A>(array: &'a A, value: fn(&'a A, usize) -> &'a [u8]) -> Self
    where
        A: Sync,
    {
        Self::Bytes(Box::new(move |row| value(array, row)))
    }

    fn timestamp(array: &'a dyn Array, unit: TimeUnit, zoned: bool) -> Self {
        fn split(value: i64, per_second: i64) -> (i64, i64) {
            let fraction = value.rem_euclid(per_second);
            let micros = fraction as i128 * MICROS_PER_SECOND as i128 / per_second as i128;
            (value.div_euclid(per_second), micros as i64)
        }
        let value: Box<dyn Fn(usize) -> (i64, i64) + Send> = match unit {
            TimeUnit::Second => each::<TimestampSecondType, _>(array, |value| split(value, 1)),
            TimeUnit::Millisecond => {
                each::<TimestampMillisecondType, _>(array, |value| split(value, 1_000))
            }
            TimeUnit::Microsecond => {
                each::<TimestampMicrosecondType, _>(array, |value| split(value, 1_000_000))
            }
            TimeUnit::Nanosecond => {
                each::<TimestampNanosecondType, _>(array, |value| split(value, 1_000_000_000))
            }
        };
        Self::Timestamp { value, zoned }
    }

    fn time(array: &'a dyn Array) -> Result<Self> {
        Ok(Self::Time(match array.data_type() {
            DataType::Time32(TimeUnit::Second) => each::<Time32SecondType, _>(array, |value| {
                i64::from(value).saturating_mul(MICROS_PER_SECOND)
            }),
            DataType::Time32(TimeUnit::Millisecond) => {
                each::<Time32MillisecondType, _>(array, |value| i64::from(value) * 1_000)
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                each::<Time64MicrosecondType, _>(array, |value| value)
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                each::<Time64NanosecondType, _>(array, |value| value / NANOS_PER_MICRO)
            }
            other => {
                return Err(
                    Error::feature_not_supported(format!("type {other} has no text")).into(),
                );
            }
        }))
    }

    /// A difference of timestamps: days and the rest, as PostgreSQL's subtraction gives it.
    fn duration(array: &'a dyn Array, unit: TimeUnit) -> Self {
        fn interval(micros: i128) -> Interval {
            let day = MICROS_PER_DAY as i128;
            Interval {
                months: 0,
                days: (micros / day) as i64,
                micros: (micros % day) as i64,
            }
        }
        Self::Interval(match unit {
            TimeUnit::Second => {
                each::<DurationSecondType, _>(array, |value| interval(value as i128 * 1_000_000))
            }
            TimeUnit::Millisecond => {
                each::<DurationMillisecondType, _>(array, |value| interval(value as i128 * 1_000))
            }
            TimeUnit::Microsecond => {
                each::<DurationMicrosecondType, _>(array, |value| interval(value as i128))
            }
            TimeUnit::Nanosecond => {
                each::<DurationNanosecondType, _>(array, |value| interval(value as i128 / 1_000))
            }
        })
    }

    fn interval(array: &'a dyn Array, unit: IntervalUnit) -> Self {
        Self::Interval(match unit {
            IntervalUnit::YearMonth => each::<IntervalYearMonthType, _>(array, |months| Interval {
                months,
                days: 0,
                micros: 0,
            }),
            IntervalUnit::DayTime => each::<IntervalDayTimeType, _>(array, |value| Interval {
                months: 0,
                days: i64::from(value.days),
                micros: i64::from(value.milliseconds) * 1_000,
            }),
            IntervalUnit::MonthDayNano => {
                each::<IntervalMonthDayNanoType, _>(array, |value| Interval {
                    months: value.months,
                    days: i64::from(value.days),
                    micros: value.nanoseconds / NANOS_PER_MICRO,
                })
            }
        })
    }

    fn list<O: OffsetSizeTrait>(array: &'a GenericListArray<O>) -> Result<Self> {
        let offsets = array.value_offsets();
        Ok(Self::List {
            items: Box::new(Cells::new(array.values().as_ref())?),
            range: Box::new(move |row| offsets[row].as_usize()..offsets[row + 1].as_usize()),
        })
    }

    fn record(array: &'a StructArray) -> Result<Self> {
        let fields: Result<Vec<_>> = array
            .columns()
            .iter()
            .map(|column| Cells::new(column.as_ref()))
            .collect();
        Ok(Self::Struct {
            names: array.column_names(),
            fields: fields?,
        })
    }
}

/// The values of a primitive column, each through `convert`.
fn each<'a, T: ArrowPrimitiveType, R>(
    array: &'a dyn Array,
    convert: impl Fn(T::Native) -> R + Send + 'a,
) -> Box<dyn Fn(usize) -> R + Send + 'a> {
    let values = array.as_primitive::<T>().values();
    Box::new(move |row| convert(values[row]))
}

/// Shortest digits that read back as the same value, in PostgreSQL's notation: with an exponent
/// below 1e-4 and from 10^`digits` on.
fn append_float(
    value: &(impl std::fmt::Display + std::fmt::LowerExp),
    wide: f64,
    digits: i32,
    text: &mut String,
) {
    if wide.is_nan() {
        text.push_str("NaN");
        return;
    }
    if wide.is_infinite() {
        text.push_str(if wide > 0.0 { "Infinity" } else { "-Infinity" });
        return;
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..digits).contains(&exponent) {
        append(text, format_args!("{value}"));
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        append(text, format_args!("{mantissa}e{sign}{:02}", exponent.abs()));
    }
}

/// Appends to a string, which cannot fail.
fn append(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).unwrap_or_default();
}

/// PostgreSQL's hex format of bytea.
fn append_bytes(bytes: &[u8], text: &mut String) {
    text.push_str("\\x");
    for byte in bytes {
        append(text, format_args!("{byte:02x}"));
    }
}

/// A moment in UTC, with `separator` between date and time.
fn append_timestamp(
    (seconds, micros): (i64, i64),
    zoned: bool,
    separator: char,
    text: &mut String,
) -> Result<()> {
    let moment = moment(seconds)?;
    append_day(moment, text);
    text.push(separator);
    append_clock(i64::from(moment.num_seconds_from_midnight()), micros, text);
    if zoned {
        text.push_str(if separator == 'T' { "+00:00" } else { "+00" });
    }
    append_era(moment, text);
    Ok(())
}

fn append_date(days: i64, text: &mut String) -> Result<()> {
    let moment = moment(days.saturating_mul(SECONDS_PER_DAY))?;
    append_day(moment, text);
    append_era(moment, text);
    Ok(())
}

fn moment(seconds: i64) -> Result<NaiveDateTime> {
    let moment = DateTime::from_timestamp(seconds, 0).map(|moment| moment.naive_utc());
    Ok(moment.ok_or_else(|| Error::numeric_value_out_of_range("timestamp out of range"))?)
}

fn append_day(moment: NaiveDateTime, text: &mut String) {
    let year = moment.year();
    // There is no year 0: it is 1 BC.
    let year = if year > 0 { year } else { 1 - year };
    append(
        text,
        format_args!("{year:04}-{:02}-{:02}", moment.month(), moment.day()),
    );
}

fn append_era(moment: NaiveDateTime, text: &mut String) {
    if moment.year() <= 0 {
        text.push_str(" BC");
    }
}

fn append_time(micros: i64, text: &mut String) {
    append_clock(
        micros.div_euclid(MICROS_PER_SECOND),
        micros.rem_euclid(MICROS_PER_SECOND),
        text,
    );
}

/// Hours, minutes and seconds; of the fraction, only the digits that count.
fn append_clock(seconds: i64, micros: i64, text: &mut String) {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    append(text, format_args!("{hours:02}:{minutes:02}:{seconds:02}"));
    if micros > 0 {
        append(text, format_args!(".{micros:06}"));
        text.truncate(text.trim_end_matches('0').len());
    }
}

/// PostgreSQL's `intervalstyle = postgres`: a sign wherever it changes, and a time unless zero.
fn append_interval(value: Interval, text: &mut String) {
    let start = text.len();
    let mut negative_before = false;
    for (count, unit) in [
        (i64::from(value.months / MONTHS_PER_YEAR), "year"),
        (i64::from(value.months % MONTHS_PER_YEAR), "mon"),
        (value.days, "day"),
    ] {
        if count == 0 {
            continue;
        }
        let space = if text.len() > start { " " } else { "" };
        let sign = if negative_before && count > 0 {
            "+"
        } else {
            ""
        };
        let plural = if count == 1 { "" } else { "s" };
        append(text, format_args!("{space}{sign}{count} {unit}{plural}"));
        negative_before = count < 0;
    }
    if value.micros == 0 && text.len() > start {
        return;
    }
    if text.len() > start {
        text.push(' ');
    }
    if value.micros < 0 {
        text.push('-');
    } else if negative_before {
        text.push('+');
    }
    let micros = value.micros.unsigned_abs() as i128;
    let second = MICROS_PER_SECOND as i128;
    append_clock((micros / second) as i64, (micros % second) as i64, text);
}

/// A PostgreSQL array literal.
fn append_array(items: &Cells<'_>, range: Range<usize>, text: &mut String) -> Result<()> {
    append_joined(text, '{', '}', range, |item, text| {
        let mut value = String::new();
        if !items.append(item, &mut value)? {
            text.push_str("NULL");
        } else if items.is_list() || !array_item_is_quoted(&value) {
            text.push_str(&value);
        } else {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            append(text, format_args!("\"{escaped}\""));
        }
        Ok(())
    })
}

fn array_item_is_quoted(value: &str) -> bool {
    value.is_empty()
        || value.eq_ignore_ascii_case("null")
        || value.contains([
            '{', '}', ',', '"', '\\', ' ', '\t', '\n', '\r', '\u{b}', '\u{c}',
        ])
}

/// A PostgreSQL record literal.
fn append_record(fields: &[Cells<'_>], row: usize, text: &mut String) -> Result<()> {
    append_joined(text, '(', ')', 0..fields.len(), |field, text| {
        let mut value = String::new();
        if !fields[field].append(row, &mut value)? {
            return Ok(());
        }
        let special = [
            '(', ')', ',', '"', '\\', ' ', '\t', '\n', '\r', '\u{b}', '\u{c}',
        ];
        if value.is_empty() || value.contains(special) {
            let escaped = value.replace('\\', "\\\\").replace('"', "\"\"");
            append(text, format_args!("\"{escaped}\""));
        } else {
            text.push_str(&value);
        }
        Ok(())
    })
}

/// The items of a range with commas between them and brackets around them.
fn append_joined(
    text: &mut String,
    open: char,
    close: char,
    range: Range<usize>,
    append_item: impl Fn(usize, &mut String) -> Result<()>,
) -> Result<()> {
    text.push(open);
    let first = range.start;
    for item in range {
        if item > first {
            text.push(',');
        }
        append_item(item, text)?;
    }
    text.push(close);
    Ok(())
}

/// A JSON string with its quotes.
pub(super) fn append_json_string(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0'..='\u{1f}' => append(text, format_args!("\\u{:04x}", u32::from(c))),
            _ => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        ArrayRef, Date32Array, Decimal128Array, DictionaryArray, DurationSecondArray, Float32Array,
        Float64Array, Int32Array, IntervalMonthDayNanoArray, ListArray, NullArray, StringArray,
        StringViewArray, Time64MicrosecondArray, TimestampMillisecondArray,
        TimestampNanosecondArray, TimestampSecondArray,
    };
    use datafusion::arrow::datatypes::{Field, Int8Type, IntervalMonthDayNano};

    use super::*;

    fn texts(array: &dyn Array) -> Vec<String> {
        let cells = Cells::new(array).unwrap();
        (0..array.len())
            .map(|row| {
                let mut text = String::new();
                if cells.append(row, &mut text).unwrap() {
                    text
                } else {
                    "NULL!".to_owned()
                }
            })
            .collect()
    }

    fn jsons(array: &dyn Array) -> Vec<String> {
        let cells = Cells::new(array).unwrap();
        (0..array.len())
            .map(|row| {
                let mut text = String::new();
                cells.append_json(row, &mut text).unwrap();
                text
            })
            .collect()
    }

    fn interval(months: i32, days: i64, micros: i64) -> String {
        let mut text = String::new();
        append_interval(
            Interval {
                months,
                days,
                micros,
            },
            &mut text,
        );
        text
    }

    #[test]
    fn floats_are_shortest_and_in_postgres_notation() {
        let values = Float64Array::from(vec![
            1.0,
            0.1,
            -0.0,
            1e14,
            1e15,
            123_456_789_012_345_680.0,
            0.0001,
            0.000_012,
            1e300,
            f64::NAN,
            f64::NEG_INFINITY,
        ]);
        assert_eq!(
            texts(&values),
            [
                "1",
                "0.1",
                "-0",
                "100000000000000",
                "1e+15",
                "1.2345678901234568e+17",
                "0.0001",
                "1.2e-05",
                "1e+300",
                "NaN",
                "-Infinity"
            ]
        );
        assert_eq!(
            texts(&Float32Array::from(vec![0.1, 999_999.0, 1e6])),
            ["0.1", "999999", "1e+06"]
        );
        assert_eq!(
            jsons(&Float64Array::from(vec![Some(1e20), Some(f64::NAN), None])),
            ["1e+20", "\"NaN\"", "null"]
        );
    }

    #[test]
    fn timestamps_keep_the_digits_that_count() {
        let millis = TimestampMillisecondArray::from(vec![0, -1, 1_706_695_200_120]);
        assert_eq!(
            texts(&millis),
            [
                "1970-01-01 00:00:00",
                "1969-12-31 23:59:59.999",
                "2024-01-31 10:00:00.12"
            ]
        );
        let nanos = TimestampNanosecondArray::from(vec![1_234_567_890_123_456_789]);
        assert_eq!(
            texts(&nanos.with_timezone("+02:00")),
            ["2009-02-13 23:31:30.123456+00"]
        );
        let seconds = TimestampSecondArray::from(vec![-62_135_596_801, 253_402_300_800]);
        assert_eq!(
            texts(&seconds),
            ["0001-12-31 23:59:59 BC", "10000-01-01 00:00:00"]
        );
        let far = TimestampSecondArray::from(vec![i64::MAX]);
        assert!(
            Cells::new(&far)
                .unwrap()
                .append(0, &mut String::new())
                .is_err()
        );
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(
            texts(&Date32Array::from(vec![0, -719_163])),
            ["1970-01-01", "0001-12-31 BC"]
        );
        let times = Time64MicrosecondArray::from(vec![0, 86_399_500_000]);
        assert_eq!(texts(&times), ["00:00:00", "23:59:59.5"]);
        assert_eq!(jsons(&times), ["\"00:00:00\"", "\"23:59:59.5\""]);
    }

    #[test]
    fn intervals_show_signs_where_they_change() {
        assert_eq!(interval(0, 0, 0), "00:00:00");
        assert_eq!(
            interval(14, 3, 14_706_500_000),
            "1 year 2 mons 3 days 04:05:06.5"
        );
        assert_eq!(interval(-14, 1, 0), "-1 years -2 mons +1 day");
        assert_eq!(interval(0, -1, 7_200_000_000), "-1 days +02:00:00");
        assert_eq!(interval(1, 0, -1), "1 mon -00:00:00.000001");
        assert_eq!(interval(0, 0, i64::MIN), "-2562047788:00:54.775808");
        let value = IntervalMonthDayNano::new(0, 2, 3_000_000_000);
        let array = IntervalMonthDayNanoArray::from(vec![value]);
        assert_eq!(texts(&array), ["2 days 00:00:03"]);
        let durations = DurationSecondArray::from(vec![90_061, -90_061]);
        assert_eq!(texts(&durations), ["1 day 01:01:01", "-1 days -01:01:01"]);
    }

    #[test]
    fn numbers_text_and_bytes() {
        let decimals = Decimal128Array::from(vec![1_250, -5])
            .with_precision_and_scale(12, 2)
            .unwrap();
        assert_eq!(texts(&decimals), ["12.50", "-0.05"]);
        assert_eq!(jsons(&decimals), ["12.50", "-0.05"]);
        assert_eq!(
            texts(&BinaryArray::from(vec![&b"\x00\xffa"[..], b""])),
            ["\\x00ff61", "\\x"]
        );
        assert_eq!(
            texts(&StringViewArray::from(vec!["плед", ""])),
            ["плед", ""]
        );
        assert_eq!(
            jsons(&StringArray::from(vec!["\"a\\b\"\n\u{1}é"])),
            ["\"\\\"a\\\\b\\\"\\n\\u0001é\""]
        );
        assert_eq!(texts(&NullArray::new(1)), ["NULL!"]);
    }

    #[test]
    fn lists_are_array_literals() {
        let list = ListArray::from_iter_primitive::<Int8Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ]);
        assert_eq!(texts(&list), ["{1,NULL}", "NULL!", "{}"]);
        assert_eq!(jsons(&list), ["[1,null]", "null", "[]"]);
        assert_eq!(texts(&list.slice(2, 1)), ["{}"]);
        let words: ArrayRef = Arc::new(StringArray::from(vec!["a", "", "null", "x y", "q\"\\"]));
        let field = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let offsets = datafusion::arrow::buffer::OffsetBuffer::from_lengths([5]);
        let list = ListArray::new(field, offsets, words, None);
        assert_eq!(texts(&list), [r#"{a,"","null","x y","q\"\\"}"#]);
        let field = Arc::new(Field::new_list_field(list.data_type().clone(), true));
        let offsets = datafusion::arrow::buffer::OffsetBuffer::from_lengths([1]);
        let nested = ListArray::new(field, offsets, Arc::new(list.slice(0, 1)), None);
        assert_eq!(texts(&nested), [r#"{{a,"","null","x y","q\"\\"}}"#]);
    }

    #[test]
    fn structs_are_record_literals() {
        let fields: Vec<(Arc<Field>, ArrayRef)> = vec![
            (
                Arc::new(Field::new("a", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![1])),
            ),
            (
                Arc::new(Field::new("b", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![None::<&str>])),
            ),
            (
                Arc::new(Field::new("c", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec!["x, \"y\""])),
            ),
        ];
        let record = StructArray::from(fields);
        assert_eq!(texts(&record), [r#"(1,,"x, ""y""")"#]);
        assert_eq!(jsons(&record), [r#"{"a":1,"b":null,"c":"x, \"y\""}"#]);
    }

    #[test]
    fn dictionaries_show_their_values() {
        let array: DictionaryArray<Int8Type> =
            vec![Some("web"), None, Some("web")].into_iter().collect();
        assert_eq!(texts(&array), ["web", "NULL!", "web"]);
        assert_eq!(jsons(&array), ["\"web\"", "null", "\"web\""]);
        let empty: DictionaryArray<Int8Type> = vec![None::<&str>].into_iter().collect();
        assert_eq!(texts(&empty), ["NULL!"]);
    }
}
