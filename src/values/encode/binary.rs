//! Values in PostgreSQL's binary form, as its `*_send` functions give it.

use std::net::IpAddr;
use std::ops::Range;

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{FieldRef, i256};

use super::datetime::PgInterval;
use super::nested::{Lists, encoded, lists, record_columns};
use super::number::{put_numeric, put_numeric256};
use super::scalar::{Writer, scalar};
use super::{Column, Put, TextStyle, json};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::values::types::{JSON, PgType, column_type, element_of, vector_element};
use crate::values::utf8;

/// Version byte of binary jsonb.
const JSONB_VERSION: u8 = 1;

/// The first index of an array's only dimension.
const LOWER_BOUND: i32 = 1;

/// Families of addresses in binary inet.
const INET_V4: u8 = 2;
const INET_V6: u8 = 3;

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
    if let Some(lists) = lists(field, array) {
        let is_vector = vector_element(column_type(field).0).is_some();
        return array_put(lists, is_vector, style);
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

/// Arrays: dimensions, whether there are nulls, element type, then size and lower bound of each
/// dimension and the elements, each with its length. An empty array has no dimension; an int2vector
/// or oidvector always has one, and counts from zero.
fn array_put(outer: Lists, is_vector: bool, style: &TextStyle) -> Result<Put> {
    let mut levels = vec![outer.range];
    let (mut item, mut values) = (outer.item, outer.values);
    while let Some(inner) =
        lists(&item, &values).filter(|_| element_of(column_type(&item).0).is_some())
    {
        levels.push(inner.range);
        (item, values) = (inner.item, inner.values);
    }
    let element_oid = column_type(&item).0.oid;
    let elements = column(&item, &values, style)?;
    Ok(Box::new(move |row, out| {
        let (mut sizes, indices) = dimensions(&levels, row)?;
        if is_vector && sizes.is_empty() {
            sizes.push(0);
        }
        out.put_i32(sizes.len() as i32);
        out.put_i32(i32::from(indices.iter().any(|i| elements.is_null(*i))));
        out.put_u32(element_oid);
        for size in sizes {
            out.put_i32(i32::try_from(size).map_err(|_| {
                Error::program_limit_exceeded("array size exceeds the maximum allowed")
            })?);
            out.put_i32(if is_vector { 0 } else { LOWER_BOUND });
        }
        for element in indices {
            elements.put_sized(element, out)?;
        }
        Ok(())
    }))
}

/// Family, length of the network, whether it is one, and the address with its length.
fn put_inet(family: u8, bits: Option<u8>, address: &[u8], out: &mut BytesMut) {
    out.put_u8(family);
    out.put_u8(bits.unwrap_or(8 * address.len() as u8));
    out.put_u8(0);
    out.put_u8(address.len() as u8);
    out.put_slice(address);
}

/// The size of each dimension of an array, and where its elements stand.
fn dimensions(
    levels: &[Box<dyn Fn(usize) -> Range<usize>>],
    row: usize,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let (mut sizes, mut indices) = (Vec::new(), vec![row]);
    for level in levels {
        let ranges: Vec<Range<usize>> = indices.iter().map(|index| level(*index)).collect();
        let size = ranges.first().map_or(0, Range::len);
        if ranges.iter().any(|range| range.len() != size) {
            return Err(Error::new(
                SqlState::ArraySubscriptError,
                "multidimensional arrays must have array expressions with matching dimensions",
            ));
        }
        sizes.push(size);
        indices = ranges.into_iter().flatten().collect();
    }
    if indices.is_empty() {
        sizes.clear();
    }
    Ok((sizes, indices))
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

    fn jsonb(&self, value: &[u8], out: &mut BytesMut) {
        out.put_u8(JSONB_VERSION);
        out.put_slice(value);
    }

    fn oid(&self, value: u32, out: &mut BytesMut) {
        out.put_u32(value);
    }

    fn object(&self, _: PgType, oid: u32, out: &mut BytesMut) {
        out.put_u32(oid);
    }

    fn inet(&self, value: &[u8], out: &mut BytesMut) -> Result<()> {
        let text = utf8(value)?;
        let malformed = || Error::internal(format!("\"{text}\" is no address"));
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| malformed())?)),
            None => (text, None),
        };
        match address.parse::<IpAddr>().map_err(|_| malformed())? {
            IpAddr::V4(address) => put_inet(INET_V4, bits, &address.octets(), out),
            IpAddr::V6(address) => put_inet(INET_V6, bits, &address.octets(), out),
        }
        Ok(())
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
