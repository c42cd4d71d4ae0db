//! Arrow arrays as PostgreSQL's numbers, and back.
//!
//! Timestamps are microseconds from 2000-01-01, dates days from then, times of day microseconds.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, IntervalMonthDayNanoArray, StringArray,
    StringBuilder, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::error::Result;

use super::function::{Call, Column};
use crate::calendar::{
    DATE_INFINITIES, EPOCH_DAYS, EPOCH_MICROS, EPOCH_SECONDS, PgInterval, is_infinite, overflow,
};
use crate::error::Result as OwnResult;

/// Values of a column by row.
pub(crate) struct Values<T> {
    array: T,
    constant: bool,
}

impl<T: Array> Values<T> {
    fn index(&self, row: usize) -> Option<usize> {
        let index = if self.constant { 0 } else { row };
        self.array.is_valid(index).then_some(index)
    }
}

impl Values<Int64Array> {
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl Values<StringArray> {
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        self.index(row).map(|index| self.array.value(index))
    }

    /// The one value of all rows, if there is one.
    pub(crate) fn constant(&self) -> Option<&str> {
        self.constant.then(|| self.get(0)).flatten()
    }
}

impl Values<IntervalMonthDayNanoArray> {
    pub(crate) fn get(&self, row: usize) -> Option<PgInterval> {
        self.index(row)
            .map(|index| PgInterval::from_arrow(self.array.value(index)))
    }
}

impl Values<datafusion::arrow::array::Float64Array> {
    pub(crate) fn get(&self, row: usize) -> Option<f64> {
        self.index(row).map(|index| self.array.value(index))
    }
}

fn as_values<T>(column: &Column, array: T) -> Values<T> {
    Values {
        array,
        constant: column.constant,
    }
}

/// Timestamps of any unit.
pub(crate) fn timestamps(column: &Column) -> Result<Values<Int64Array>> {
    Ok(as_values(column, timestamp_micros(&column.array)?))
}

/// Timestamps of any unit as microseconds from 2000-01-01.
pub(crate) fn timestamp_micros(array: &ArrayRef) -> Result<Int64Array> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        return timestamp_micros(&micros);
    };
    let raw = array.to_data();
    let raw = Int64Array::from(raw.into_builder().data_type(DataType::Int64).build()?);
    let too_large = || overflow("timestamp out of range");
    Ok(match unit {
        TimeUnit::Microsecond => raw.unary(|value| match is_infinite(value) {
            true => value,
            false => value.saturating_sub(EPOCH_MICROS),
        }),
        TimeUnit::Nanosecond => raw.unary(|value| value.div_euclid(1000) - EPOCH_MICROS),
        TimeUnit::Millisecond => raw.try_unary::<_, Int64Type, crate::error::Error>(|value| {
            let shifted = value.checked_sub(EPOCH_SECONDS * 1000);
            shifted
                .and_then(|v| v.checked_mul(1000))
                .ok_or_else(too_large)
        })?,
        TimeUnit::Second => raw.try_unary::<_, Int64Type, crate::error::Error>(|value| {
            let shifted = value.checked_sub(EPOCH_SECONDS);
            shifted
                .and_then(|v| v.checked_mul(1_000_000))
                .ok_or_else(too_large)
        })?,
    })
}

/// Dates; the infinities are those of 32 bits.
pub(crate) fn dates(column: &Column) -> Result<Values<Int64Array>> {
    let days = cast(&column.array, &DataType::Date32)?;
    let days = days.as_primitive::<Date32Type>();
    let shifted: Int64Array = days.unary(|day| match DATE_INFINITIES.contains(&day) {
        true => i64::from(day),
        false => i64::from(day) - EPOCH_DAYS,
    });
    Ok(as_values(column, shifted))
}

/// Times of day.
pub(crate) fn times(column: &Column) -> Result<Values<Int64Array>> {
    let micros = cast(&column.array, &DataType::Time64(TimeUnit::Microsecond))?;
    let raw = micros
        .to_data()
        .into_builder()
        .data_type(DataType::Int64)
        .build()?;
    Ok(as_values(column, Int64Array::from(raw)))
}

/// Intervals of any kind.
pub(crate) fn intervals(column: &Column) -> Result<Values<IntervalMonthDayNanoArray>> {
    let spans = interval_array(&column.array)?;
    let spans = spans.as_primitive::<IntervalMonthDayNanoType>().clone();
    Ok(as_values(column, spans))
}

/// Intervals and durations in the one form that holds them all.
pub(crate) fn interval_array(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(
        array,
        &DataType::Interval(IntervalUnit::MonthDayNano),
    )?)
}

/// Texts.
pub(crate) fn texts(column: &Column) -> Result<Values<StringArray>> {
    let texts = cast(&column.array, &DataType::Utf8)?;
    Ok(as_values(column, texts.as_string::<i32>().clone()))
}

/// Whole numbers.
pub(crate) fn integers(column: &Column) -> Result<Values<Int64Array>> {
    let numbers = cast(&column.array, &DataType::Int64)?;
    Ok(as_values(
        column,
        numbers.as_primitive::<Int64Type>().clone(),
    ))
}

/// Numbers.
pub(crate) fn floats(column: &Column) -> Result<Values<datafusion::arrow::array::Float64Array>> {
    let numbers = cast(&column.array, &DataType::Float64)?;
    Ok(as_values(
        column,
        numbers.as_primitive::<Float64Type>().clone(),
    ))
}

/// Microseconds from 2000-01-01 as Arrow's; 22008 for the last thirty years of PostgreSQL's range,
/// which Arrow's count from 1970-01-01 does not reach.
pub(crate) fn to_arrow_timestamp(micros: i64) -> OwnResult<i64> {
    match is_infinite(micros) {
        true => Ok(micros),
        false => micros
            .checked_add(EPOCH_MICROS)
            .ok_or_else(|| overflow("timestamp out of range")),
    }
}

/// A column of timestamps.
pub(crate) fn timestamp_column(
    call: &Call<'_>,
    zoned: bool,
    value: impl Fn(usize) -> OwnResult<Option<i64>>,
) -> Result<ArrayRef> {
    let values = (0..call.rows)
        .map(|row| value(row)?.map(to_arrow_timestamp).transpose())
        .collect::<OwnResult<TimestampMicrosecondArray>>()?;
    Ok(zoned_as(values, zoned))
}

/// Timestamps with or without a zone.
fn zoned_as(values: TimestampMicrosecondArray, zoned: bool) -> ArrayRef {
    match zoned {
        true => Arc::new(values.with_timezone("UTC")),
        false => Arc::new(values),
    }
}

/// A column of timestamps from one argument, without a look at each NULL.
pub(crate) fn map_timestamps(
    column: &Column,
    zoned: bool,
    value: impl Fn(i64) -> OwnResult<i64>,
) -> Result<ArrayRef> {
    let micros = timestamp_micros(&column.array)?;
    let values =
        micros.try_unary::<_, TimestampMicrosecondType, crate::error::Error>(|micros| {
            value(micros).and_then(to_arrow_timestamp)
        })?;
    Ok(zoned_as(values, zoned))
}

/// A column of dates.
pub(crate) fn date_column(
    call: &Call<'_>,
    value: impl Fn(usize) -> OwnResult<Option<i32>>,
) -> Result<ArrayRef> {
    let values = (0..call.rows)
        .map(|row| {
            value(row)?
                .map(|day| match DATE_INFINITIES.contains(&day) {
                    true => Ok(day),
                    false => i32::try_from(i64::from(day) + EPOCH_DAYS)
                        .map_err(|_| overflow("date out of range")),
                })
                .transpose()
        })
        .collect::<OwnResult<Date32Array>>()?;
    Ok(Arc::new(values))
}

/// A column of times of day.
pub(crate) fn time_column(
    call: &Call<'_>,
    value: impl Fn(usize) -> OwnResult<Option<i64>>,
) -> Result<ArrayRef> {
    let values = (0..call.rows)
        .map(value)
        .collect::<OwnResult<Time64MicrosecondArray>>()?;
    Ok(Arc::new(values))
}

/// A column of intervals.
pub(crate) fn interval_column(
    call: &Call<'_>,
    value: impl Fn(usize) -> OwnResult<Option<PgInterval>>,
) -> Result<ArrayRef> {
    let values = (0..call.rows)
        .map(|row| value(row)?.map(PgInterval::to_arrow).transpose())
        .collect::<OwnResult<IntervalMonthDayNanoArray>>()?;
    Ok(Arc::new(values))
}

/// A column of texts, each written into a buffer; `false` for NULL.
pub(crate) fn text_column(
    rows: usize,
    mut put: impl FnMut(usize, &mut bytes::BytesMut) -> OwnResult<bool>,
) -> Result<ArrayRef> {
    let mut out = bytes::BytesMut::new();
    let mut texts = StringBuilder::with_capacity(rows, rows * 16);
    for row in 0..rows {
        out.clear();
        match put(row, &mut out)? {
            true => texts.append_value(String::from_utf8_lossy(&out)),
            false => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}
