//! One arm per Arrow type: scalar columns as the values PostgreSQL has, handed to a writer.

use bytes::BytesMut;
use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    FieldRef, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};

use super::datetime::{PgInterval, pg_date, pg_duration, pg_time, pg_timestamp};
use super::{CELL_BYTES_MAX, Put, check_cell, primitive};
use crate::error::{Error, Result};
use crate::values::digits::{QUOTIENT_SCALE, display_scale};
use crate::values::types::{
    CID, INET, JSON, JSONB, NO_TYPMOD, OID, PgType, REG_TYPES, UUID, XID, column_type,
};

/// Milliseconds of a day, the unit of Date64.
const MILLIS_PER_DAY: i64 = 86_400_000;

/// How each PostgreSQL value is written; times are PostgreSQL's (see [`super::datetime`]).
pub(super) trait Writer: Clone + 'static {
    fn bool(&self, value: bool, out: &mut BytesMut);
    fn int2(&self, value: i16, out: &mut BytesMut);
    fn int4(&self, value: i32, out: &mut BytesMut);
    fn int8(&self, value: i64, out: &mut BytesMut);
    fn float4(&self, value: f32, out: &mut BytesMut);
    fn float8(&self, value: f64, out: &mut BytesMut);
    fn numeric(&self, value: i128, scale: i8, out: &mut BytesMut);
    fn numeric256(&self, value: i256, scale: i8, out: &mut BytesMut);
    fn text(&self, value: &[u8], out: &mut BytesMut);
    fn json(&self, value: &[u8], out: &mut BytesMut);
    fn jsonb(&self, value: &[u8], out: &mut BytesMut);
    fn oid(&self, value: u32, out: &mut BytesMut);
    fn object(&self, reg_type: PgType, oid: u32, out: &mut BytesMut);
    fn inet(&self, value: &[u8], out: &mut BytesMut) -> Result<()>;
    fn bytea(&self, value: &[u8], out: &mut BytesMut);
    fn uuid(&self, value: &[u8], out: &mut BytesMut);
    fn date(&self, day: i32, out: &mut BytesMut);
    fn time(&self, micros: i64, out: &mut BytesMut);
    fn timestamp(&self, micros: i64, out: &mut BytesMut);
    fn timestamptz(&self, micros: i64, out: &mut BytesMut);
    fn interval(&self, interval: PgInterval, out: &mut BytesMut);
}

/// The writer of a scalar column; None for nested types and encodings.
pub(super) fn scalar<W: Writer>(field: &FieldRef, array: &ArrayRef, w: W) -> Option<Put> {
    oid(field, array, w.clone())
        .or_else(|| number(field, array, w.clone()))
        .or_else(|| date_or_time(array, w.clone()))
        .or_else(|| interval(array, w.clone()))
        .or_else(|| bytes_or_text(field, array, w))
}

/// [`primitive`] for writers that cannot fail.
fn plain<T, F>(array: &dyn Array, put: F) -> Put
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native, &mut BytesMut) + 'static,
{
    primitive::<T, _>(array, move |value, out| {
        put(value, out);
        Ok(())
    })
}

/// Integers that are marked as OIDs, or as objects by their OID.
fn oid<W: Writer>(field: &FieldRef, array: &ArrayRef, w: W) -> Option<Put> {
    let pg_type = column_type(field).0;
    let is_object = REG_TYPES.contains(&pg_type);
    if !is_object && ![OID, XID, CID].contains(&pg_type) {
        return None;
    }
    let put = move |value: u32, out: &mut BytesMut| match is_object {
        true => w.object(pg_type, value, out),
        false => w.oid(value, out),
    };
    Some(match array.data_type() {
        DataType::UInt32 => plain::<UInt32Type, _>(array, put),
        DataType::Int32 => plain::<Int32Type, _>(array, move |v, out| put(v as u32, out)),
        DataType::Int64 => plain::<Int64Type, _>(array, move |v, out| put(v as u32, out)),
        _ => return None,
    })
}

fn number<W: Writer>(field: &FieldRef, array: &ArrayRef, w: W) -> Option<Put> {
    let shown = Shown::of(field);
    Some(match array.data_type() {
        DataType::Null => Box::new(|_, _| Err(Error::internal("value in a column of nulls"))),
        DataType::Boolean => {
            let values = array.as_boolean().values().clone();
            Box::new(move |row, out| {
                w.bool(values.value(row), out);
                Ok(())
            })
        }
        DataType::Int8 => plain::<Int8Type, _>(array, move |v, out| w.int2(v.into(), out)),
        DataType::Int16 => plain::<Int16Type, _>(array, move |v, out| w.int2(v, out)),
        DataType::Int32 => plain::<Int32Type, _>(array, move |v, out| w.int4(v, out)),
        DataType::Int64 => plain::<Int64Type, _>(array, move |v, out| w.int8(v, out)),
        DataType::UInt8 => plain::<UInt8Type, _>(array, move |v, out| w.int2(v.into(), out)),
        DataType::UInt16 => plain::<UInt16Type, _>(array, move |v, out| w.int4(v.into(), out)),
        DataType::UInt32 => plain::<UInt32Type, _>(array, move |v, out| w.int8(v.into(), out)),
        DataType::UInt64 => {
            plain::<UInt64Type, _>(array, move |v, out| w.numeric(v.into(), 0, out))
        }
        DataType::Float16 => {
            plain::<Float16Type, _>(array, move |v, out| w.float4(v.to_f32(), out))
        }
        DataType::Float32 => plain::<Float32Type, _>(array, move |v, out| w.float4(v, out)),
        DataType::Float64 => plain::<Float64Type, _>(array, move |v, out| w.float8(v, out)),
        DataType::Decimal32(_, s) => {
            let s = *s;
            plain::<Decimal32Type, _>(array, move |v, out| shown.put(v.into(), s, &w, out))
        }
        DataType::Decimal64(_, s) => {
            let s = *s;
            plain::<Decimal64Type, _>(array, move |v, out| shown.put(v.into(), s, &w, out))
        }
        DataType::Decimal128(_, s) => {
            let s = *s;
            plain::<Decimal128Type, _>(array, move |v, out| shown.put(v, s, &w, out))
        }
        DataType::Decimal256(_, s) => {
            let s = *s;
            plain::<Decimal256Type, _>(array, move |v, out| shown.put256(v, s, &w, out))
        }
        _ => return None,
    })
}

/// How many digits of a decimal are shown: all where its scale was declared.
#[derive(Clone, Copy)]
struct Shown {
    declared: bool,
}

impl Shown {
    fn of(field: &FieldRef) -> Self {
        Self {
            declared: column_type(field).1 != NO_TYPMOD,
        }
    }

    fn put<W: Writer>(self, value: i128, scale: i8, w: &W, out: &mut BytesMut) {
        if self.declared || scale < QUOTIENT_SCALE {
            return w.numeric(value, scale, out);
        }
        let (mut rest, mut zeros) = (value, 0);
        while rest != 0 && rest % 10 == 0 {
            rest /= 10;
            zeros += 1;
        }
        let digits = value
            .unsigned_abs()
            .checked_ilog10()
            .map_or(0, |log| log + 1);
        let is_one = rest.unsigned_abs() == 1 && zeros == u32::from(scale.unsigned_abs());
        let zeros = if value == 0 { u32::MAX } else { zeros };
        let places = display_scale(scale, digits, zeros, is_one);
        w.numeric(
            value / 10_i128.pow((scale - places).unsigned_abs().into()),
            places,
            out,
        );
    }

    fn put256<W: Writer>(self, value: i256, scale: i8, w: &W, out: &mut BytesMut) {
        if self.declared || scale < QUOTIENT_SCALE {
            return w.numeric256(value, scale, out);
        }
        if let Some(value) = value.to_i128() {
            return self.put(value, scale, w, out);
        }
        let text = value.to_string();
        let digits = text.trim_start_matches('-');
        let significant = digits.trim_end_matches('0');
        let zeros = (digits.len() - significant.len()) as u32;
        let is_one = significant == "1" && zeros == u32::from(scale.unsigned_abs());
        let places = display_scale(scale, digits.len() as u32, zeros, is_one);
        let power = (scale - places).unsigned_abs().into();
        match i256::from_i128(10).checked_pow(power) {
            Some(factor) => w.numeric256(value.wrapping_div(factor), places, out),
            None => w.numeric256(value, scale, out),
        }
    }
}

fn date_or_time<W: Writer>(array: &ArrayRef, w: W) -> Option<Put> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Some(match array.data_type() {
        DataType::Date32 => date::<Date32Type, W>(array, w, i64::from),
        DataType::Date64 => date::<Date64Type, W>(array, w, |v| v.div_euclid(MILLIS_PER_DAY)),
        DataType::Time32(Second) => time::<Time32SecondType, W>(array, w, Second),
        DataType::Time32(Millisecond) => time::<Time32MillisecondType, W>(array, w, Millisecond),
        DataType::Time64(Microsecond) => time::<Time64MicrosecondType, W>(array, w, Microsecond),
        DataType::Time64(Nanosecond) => time::<Time64NanosecondType, W>(array, w, Nanosecond),
        DataType::Timestamp(unit, zone) => {
            let zoned = zone.is_some();
            match unit {
                Second => timestamp::<TimestampSecondType, W>(array, w, *unit, zoned),
                Millisecond => timestamp::<TimestampMillisecondType, W>(array, w, *unit, zoned),
                Microsecond => timestamp::<TimestampMicrosecondType, W>(array, w, *unit, zoned),
                Nanosecond => timestamp::<TimestampNanosecondType, W>(array, w, *unit, zoned),
            }
        }
        _ => return None,
    })
}

fn date<T, W>(array: &ArrayRef, w: W, days: impl Fn(T::Native) -> i64 + 'static) -> Put
where
    T: ArrowPrimitiveType,
    W: Writer,
{
    primitive::<T, _>(array, move |v, out| {
        w.date(pg_date(days(v))?, out);
        Ok(())
    })
}

fn time<T, W>(array: &ArrayRef, w: W, unit: TimeUnit) -> Put
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
    W: Writer,
{
    primitive::<T, _>(array, move |v, out| {
        w.time(pg_time(unit, v.into())?, out);
        Ok(())
    })
}

fn timestamp<T, W>(array: &ArrayRef, w: W, unit: TimeUnit, zoned: bool) -> Put
where
    T: ArrowPrimitiveType<Native = i64>,
    W: Writer,
{
    if zoned {
        primitive::<T, _>(array, move |v, out| {
            w.timestamptz(pg_timestamp(unit, v)?, out);
            Ok(())
        })
    } else {
        primitive::<T, _>(array, move |v, out| {
            w.timestamp(pg_timestamp(unit, v)?, out);
            Ok(())
        })
    }
}

fn interval<W: Writer>(array: &ArrayRef, w: W) -> Option<Put> {
    Some(match array.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            plain::<IntervalYearMonthType, _>(array, move |months, out| {
                w.interval(
                    PgInterval {
                        micros: 0,
                        days: 0,
                        months,
                    },
                    out,
                );
            })
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            plain::<IntervalDayTimeType, _>(array, move |v, out| {
                let micros = i64::from(v.milliseconds) * 1000;
                w.interval(
                    PgInterval {
                        micros,
                        days: v.days,
                        months: 0,
                    },
                    out,
                );
            })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            plain::<IntervalMonthDayNanoType, _>(array, move |v, out| {
                w.interval(PgInterval::from_arrow(v), out);
            })
        }
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => duration::<DurationSecondType, W>(array, w, *unit),
            TimeUnit::Millisecond => duration::<DurationMillisecondType, W>(array, w, *unit),
            TimeUnit::Microsecond => duration::<DurationMicrosecondType, W>(array, w, *unit),
            TimeUnit::Nanosecond => duration::<DurationNanosecondType, W>(array, w, *unit),
        },
        _ => return None,
    })
}

fn duration<T, W>(array: &ArrayRef, w: W, unit: TimeUnit) -> Put
where
    T: ArrowPrimitiveType<Native = i64>,
    W: Writer,
{
    primitive::<T, _>(array, move |v, out| {
        w.interval(pg_duration(unit, v)?, out);
        Ok(())
    })
}

fn bytes_or_text<W: Writer>(field: &FieldRef, array: &ArrayRef, w: W) -> Option<Put> {
    let pg_type = column_type(field).0;
    let is_text = matches!(
        array.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    if pg_type == UUID {
        slices(array, move |v, out| w.uuid(v, out))
    } else if is_text && pg_type == JSONB {
        slices(array, move |v, out| w.jsonb(v, out))
    } else if is_text && pg_type == INET {
        fallible_slices(array, move |v, out| w.inet(v, out))
    } else if is_text && pg_type == JSON {
        slices(array, move |v, out| w.json(v, out))
    } else if is_text {
        slices(array, move |v, out| w.text(v, out))
    } else {
        slices(array, move |v, out| w.bytea(v, out))
    }
}

/// A writer over the bytes of each string or binary value.
fn slices(array: &ArrayRef, put: impl Fn(&[u8], &mut BytesMut) + 'static) -> Option<Put> {
    fallible_slices(array, move |value, out| {
        put(value, out);
        Ok(())
    })
}

/// [`slices`] for writers that can fail.
fn fallible_slices(
    array: &ArrayRef,
    put: impl Fn(&[u8], &mut BytesMut) -> Result<()> + 'static,
) -> Option<Put> {
    /// The closure over one array type; `$value` gives its bytes.
    macro_rules! over {
        ($array:expr, $($bytes:ident)*) => {{
            let values = $array.clone();
            Box::new(move |row, out| {
                let value = values.value(row) $(.$bytes())*;
                check_cell(value.len())?;
                put(value, out)
            })
        }};
    }
    Some(match array.data_type() {
        DataType::Utf8 => over!(array.as_string::<i32>(), as_bytes),
        DataType::LargeUtf8 => over!(array.as_string::<i64>(), as_bytes),
        DataType::Utf8View => over!(array.as_string_view(), as_bytes),
        DataType::Binary => over!(array.as_binary::<i32>(),),
        DataType::LargeBinary => over!(array.as_binary::<i64>(),),
        DataType::BinaryView => over!(array.as_binary_view(),),
        DataType::FixedSizeBinary(_) => over!(array.as_fixed_size_binary(),),
        _ => return None,
    })
}

const _: () = assert!(
    CELL_BYTES_MAX < i32::MAX as usize,
    "a cell's length is sent in 31 bits"
);
