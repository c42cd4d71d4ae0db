//! Values in PostgreSQL's binary form, as its `*_send` functions give it.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{FieldRef, i256};

use super::datetime::PgInterval;
use super::nested::{Lists, encoded, lists, record_columns};
use super::number::{put_numeric, put_numeric256};
use super::scalar::{Writer, scalar};
use super::{Column, Put, TextStyle, json};
use crate::error::{Error, Result};
use crate::postgres::types::{JSON, column_type};

/// The first index of an array's only dimension.
const LOWER_BOUND: i32 = 1;

/// A column written in binary; `style` serves the types that travel as JSON.
pub(super) fn column(field: &FieldRef, array: &ArrayRef, style: &TextStyle) -> Result<Column> {
    Ok(Column::new(array, put(field, array, style)?))
}

fn put(field: &FieldRef, array: &ArrayRef, style: &TextStyle) -> Result<Put> {
    if let Some(put) = scalar(field, array, Binary) {
        return Ok(put);
    }
    let column = |field: &FieldRef, array: &ArrayRef| column(field, array, style);
    if let Some(put) = encoded(field, array, column) {
        return put;
    }
    if column_type(field).0 == JSON {
        return json::put(field, array, style);
    }
    if let Some(lists) = lists(array) {
        return array_put(lists, style);
    }
    if let Some(columns) = record_columns(array, column) {
        let oids = array_fields(array)
            .iter()
            .map(|f| column_type(f).0.oid)
            .collect();
        return Ok(record_put(columns?, oids));
    }
    Err(Error::feature_not_supported(format!(
        "cannot send values of type {}",
        array.data_type()
    )))
}

/// The fields of a struct column; empty for any other.
fn array_fields(array: &ArrayRef) -> Vec<FieldRef> {
    use datafusion::arrow::datatypes::DataType;
    match array.data_type() {
        DataType::Struct(fields) => fields.iter().cloned().collect(),
        _ => vec![],
    }
}

/// Arrays: dimensions, whether there are nulls, element type, then size and lower bound of the one
/// dimension and the elements, each with its length. An empty array has no dimension.
fn array_put(lists: Lists, style: &TextStyle) -> Result<Put> {
    let element_oid = column_type(&lists.item).0.oid;
    let elements = column(&lists.item, &lists.values, style)?;
    let range = lists.range;
    Ok(Box::new(move |row, out| {
        let range = range(row);
        out.put_i32(i32::from(!range.is_empty()));
        out.put_i32(i32::from(range.clone().any(|i| elements.is_null(i))));
        out.put_u32(element_oid);
        if range.is_empty() {
            return Ok(());
        }
        out.put_i32(i32::try_from(range.len()).map_err(|_| {
            Error::program_limit_exceeded("array size exceeds the maximum allowed")
        })?);
        out.put_i32(LOWER_BOUND);
        for element in range {
            elements.put_sized(element, out)?;
        }
        Ok(())
    }))
}

/// Records: number of columns, then type, length and value of each.
fn record_put(columns: Vec<Column>, oids: Vec<u32>) -> Put {
    Box::new(move |row, out| {
        out.put_i32(columns.len() as i32);
        for (column, oid) in columns.iter().zip(&oids) {
            out.put_u32(*oid);
            column.put_sized(row, out)?;
        }
        Ok(())
    })
}

#[derive(Clone, Copy)]
struct Binary;

impl Writer for Binary {
    fn bool(&self, value: bool, out: &mut BytesMut) {
        out.put_u8(u8::from(value));
    }

    fn int2(&self, value: i16, out: &mut BytesMut) {
        out.put_i16(value);
    }

    fn int4(&self, value: i32, out: &mut BytesMut) {
        out.put_i32(value);
    }

    fn int8(&self, value: i64, out: &mut BytesMut) {
        out.put_i64(value);
    }

    fn float4(&self, value: f32, out: &mut BytesMut) {
        out.put_f32(value);
    }

    fn float8(&self, value: f64, out: &mut BytesMut) {
        out.put_f64(value);
    }

    fn numeric(&self, value: i128, scale: i8, out: &mut BytesMut) {
        put_numeric(value, scale, out);
    }

    fn numeric256(&self, value: i256, scale: i8, out: &mut BytesMut) {
        put_numeric256(value, scale, out);
    }

    fn text(&self, value: &[u8], out: &mut BytesMut) {
        out.put_slice(value);
    }

    fn json(&self, value: &[u8], out: &mut BytesMut) {
        out.put_slice(value);
    }

    fn bytea(&self, value: &[u8], out: &mut BytesMut) {
        out.put_slice(value);
    }

    fn uuid(&self, value: &[u8], out: &mut BytesMut) {
        out.put_slice(value);
    }

    fn date(&self, day: i32, out: &mut BytesMut) {
        out.put_i32(day);
    }

    fn time(&self, micros: i64, out: &mut BytesMut) {
        out.put_i64(micros);
    }

    fn timestamp(&self, micros: i64, out: &mut BytesMut) {
        out.put_i64(micros);
    }

    fn timestamptz(&self, micros: i64, out: &mut BytesMut) {
        out.put_i64(micros);
    }

    fn interval(&self, interval: PgInterval, out: &mut BytesMut) {
        out.put_i64(interval.micros);
        out.put_i32(interval.days);
        out.put_i32(interval.months);
    }
}
