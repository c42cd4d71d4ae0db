//! Rows of the sample as Arrow columns.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int16Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::calendar::Calendar;
use crate::error::{Error, Result};

/// Digits of an amount of money after the point.
const SCALE: i8 = 2;

/// Digits of an order's amount.
pub(super) const AMOUNT_DIGITS: u8 = 12;

const MICROSECONDS: i64 = 1_000_000;

/// A column that holds no NULL.
pub(super) fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

/// A column that may hold NULL.
pub(super) fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// The type of every point in time: timestamptz with microseconds.
pub(super) fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of money with the given number of digits, two of them after the point.
pub(super) fn money_type(digits: u8) -> DataType {
    DataType::Decimal128(digits, SCALE)
}

pub(super) fn bigints(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub(super) fn ints(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

pub(super) fn smallints(values: impl Iterator<Item = Option<i16>>) -> ArrayRef {
    Arc::new(values.collect::<Int16Array>())
}

pub(super) fn bools(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

pub(super) fn texts(values: impl Iterator<Item = impl AsRef<str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(super) fn optional_texts(values: impl Iterator<Item = Option<impl AsRef<str>>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// Dates from days since 1970-01-01.
pub(super) fn dates(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Date32Array>())
}

/// Points in time from seconds since 1970-01-01 UTC.
pub(super) fn moments(seconds: impl Iterator<Item = i64>) -> ArrayRef {
    let values = seconds.map(|second| second * MICROSECONDS);
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

/// Money from cents.
pub(super) fn money(cents: impl Iterator<Item = i64>, digits: u8) -> Result<ArrayRef> {
    let values = Decimal128Array::from_iter_values(cents.map(i128::from));
    let values = values
        .with_precision_and_scale(digits, SCALE)
        .map_err(misfit)?;
    Ok(Arc::new(values))
}

/// The hive keys of a monthly table, which follow its own columns.
pub(super) fn month_fields() -> [Field; 2] {
    [
        required("year", DataType::Int32),
        required("month", DataType::Int32),
    ]
}

/// The values of [`month_fields`] for rows at the given seconds.
pub(super) fn month_columns(
    calendar: &Calendar,
    seconds: impl Iterator<Item = i64> + Clone,
) -> [ArrayRef; 2] {
    [
        ints(seconds.clone().map(|second| calendar.month(second).0)),
        ints(seconds.map(|second| calendar.month(second).1)),
    ]
}

/// The batch of the given columns.
pub(super) fn batch(schema: &Arc<Schema>, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(misfit)
}

fn misfit(source: datafusion::arrow::error::ArrowError) -> Error {
    Error::internal("the columns of a sample table do not fit its schema").with_source(source)
}
