//! Values as text, as PostgreSQL's output functions give it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, FieldRef, i256};

use super::datetime::{
    Offsets, PgInterval, Style, put_date, put_interval, put_time, put_timestamp,
};
use super::nested::{Lists, encoded, lists, record_columns};
use super::number::{ExtraFloatDigits, put_decimal, put_decimal256, put_f32, put_f64};
use super::scalar::{Writer, scalar};
use super::{Column, ObjectNames, Put, TextStyle, json};
use crate::calendar::{TimeSettings, is_infinite, put_i64, put_u64};
use crate::catalog::pg_type::format_type;
use crate::error::{Error, Result};
use crate::values::types::{
    JSON, NO_TYPMOD, PgType, REGTYPE, column_type, element_of, vector_element,
};

/// Two hexadecimal digits per byte.
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes turned to hexadecimal at a time.
const HEX_CHUNK: usize = 32;

/// A column written as text.
pub(super) fn column(field: &FieldRef, array: &ArrayRef, style: &TextStyle) -> Result<Column> {
    Ok(Column::new(array, put(field, array, style)?))
}

fn put(field: &FieldRef, array: &ArrayRef, style: &TextStyle) -> Result<Put> {
    if let Some(put) = scalar(field, array, Text::new(array, style)) {
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
        return match vector_element(column_type(field).0) {
            Some(_) => vector_put(lists, style),
            None => array_put(lists, style),
        };
    }
    if let Some(columns) = record_columns(array, column) {
        return Ok(record_put(columns?));
    }
    Err(Error::feature_not_supported(format!(
        "cannot send values of type {}",
        array.data_type()
    )))
}

/// `{1,NULL,"a b"}`
fn array_put(lists: Lists, style: &TextStyle) -> Result<Put> {
    let elements = column(&lists.item, &lists.values, style)?;
    // The braces of a further dimension are not quoted.
    let nested = element_of(column_type(&lists.item).0).is_some();
    let range = lists.range;
    Ok(Box::new(move |row, out| {
        out.put_u8(b'{');
        for (i, element) in range(row).enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            if elements.is_null(element) {
                out.put_slice(b"NULL");
                continue;
            }
            let at = out.len();
            elements.put(element, out)?;
            if nested {
                continue;
            }
            quote(at, out, needs_quotes_in_array, |byte| match byte {
                b'"' | b'\\' => Some(b'\\'),
                _ => None,
            });
        }
        out.put_u8(b'}');
        Ok(())
    }))
}

/// `1 2 3`
fn vector_put(lists: Lists, style: &TextStyle) -> Result<Put> {
    let elements = column(&lists.item, &lists.values, style)?;
    let range = lists.range;
    Ok(Box::new(move |row, out| {
        for (i, element) in range(row).enumerate() {
            if i > 0 {
                out.put_u8(b' ');
            }
            elements.put(element, out)?;
        }
        Ok(())
    }))
}

/// `(1,"b c",)`
fn record_put(columns: Vec<Column>) -> Put {
    Box::new(move |row, out| {
        out.put_u8(b'(');
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            if column.is_null(row) {
                continue;
            }
            let at = out.len();
            column.put(row, out)?;
            quote(at, out, needs_quotes_in_record, |byte| match byte {
                b'"' | b'\\' => Some(*byte),
                _ => None,
            });
        }
        out.put_u8(b')');
        Ok(())
    })
}

/// White space to PostgreSQL's array and record parsers.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn needs_quotes_in_array(text: &[u8]) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case(b"NULL")
        || text
            .iter()
            .any(|b| matches!(b, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(*b))
}

fn needs_quotes_in_record(text: &[u8]) -> bool {
    text.is_empty()
        || text
            .iter()
            .any(|b| matches!(b, b'"' | b'\\' | b'(' | b')' | b',') || is_space(*b))
}

/// Puts what was written from `at` on into double quotes if it needs them; `escape` gives the byte
/// that goes before another.
fn quote(
    at: usize,
    out: &mut BytesMut,
    needed: impl Fn(&[u8]) -> bool,
    escape: impl Fn(&u8) -> Option<u8>,
) {
    if !needed(&out[at..]) {
        return;
    }
    let plain = out[at..].to_vec();
    out.truncate(at);
    out.put_u8(b'"');
    for byte in &plain {
        if let Some(before) = escape(byte) {
            out.put_u8(before);
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

/// Writes `\x` and the bytes in hexadecimal.
pub(super) fn put_hex(bytes: &[u8], out: &mut BytesMut) {
    out.reserve(2 + 2 * bytes.len());
    out.put_slice(b"\\x");
    put_hex_digits(bytes, out);
}

/// Printable ASCII as it is, a backslash doubled, every other byte as a backslash and three octal digits.
fn put_escaped(bytes: &[u8], out: &mut BytesMut) {
    for &byte in bytes {
        match byte {
            b'\\' => out.put_slice(b"\\\\"),
            b' '..=b'~' => out.put_u8(byte),
            _ => out.put_slice(&[
                b'\\',
                b'0' + (byte >> 6),
                b'0' + (byte >> 3 & 7),
                b'0' + (byte & 7),
            ]),
        }
    }
}

fn put_hex_digits(bytes: &[u8], out: &mut BytesMut) {
    let mut digits = [0; 2 * HEX_CHUNK];
    for chunk in bytes.chunks(HEX_CHUNK) {
        for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        out.put_slice(&digits[..2 * chunk.len()]);
    }
}

/// Writes 16 bytes as `8-4-4-4-12` hexadecimal digits.
pub(crate) fn put_uuid(bytes: &[u8], out: &mut BytesMut) {
    let mut rest = bytes;
    for (i, len) in [4, 2, 2, 2, 6].into_iter().enumerate() {
        if i > 0 {
            out.put_u8(b'-');
        }
        let (part, after) = rest.split_at(len.min(rest.len()));
        put_hex_digits(part, out);
        rest = after;
    }
}

#[derive(Clone)]
pub(super) struct Text {
    offsets: Rc<Offsets>,
    time: TimeSettings,
    extra_float_digits: ExtraFloatDigits,
    names: Option<Arc<dyn ObjectNames>>,
    bytes_escaped: bool,
}

impl Text {
    pub(super) fn new(array: &ArrayRef, style: &TextStyle) -> Self {
        // Only zoned timestamps look offsets up.
        let look_ups = match array.data_type() {
            DataType::Timestamp(_, Some(_)) => array.len(),
            _ => 0,
        };
        Self {
            offsets: Rc::new(Offsets::new(style.time.zone, look_ups)),
            time: style.time,
            extra_float_digits: style.extra_float_digits,
            names: style.names.clone(),
            bytes_escaped: style.bytes_escaped,
        }
    }

    /// The styles of intervals and dates.
    pub(super) fn time(&self) -> &TimeSettings {
        &self.time
    }

    pub(super) fn put_zoned(&self, micros: i64, style: Style, out: &mut BytesMut) {
        let name = || self.time.zone.abbreviation(micros);
        let offset = match is_infinite(micros) {
            true => 0,
            false => self.offsets.at(micros),
        };
        put_timestamp(micros, Some(offset), name, style, out);
    }
}

impl Writer for Text {
    fn bool(&self, value: bool, out: &mut BytesMut) {
        out.put_u8(if value { b't' } else { b'f' });
    }

    fn int2(&self, value: i16, out: &mut BytesMut) {
        put_i64(value.into(), out);
    }

    fn int4(&self, value: i32, out: &mut BytesMut) {
        put_i64(value.into(), out);
    }

    fn int8(&self, value: i64, out: &mut BytesMut) {
        put_i64(value, out);
    }

    fn float4(&self, value: f32, out: &mut BytesMut) {
        put_f32(value, self.extra_float_digits, out);
    }

    fn float8(&self, value: f64, out: &mut BytesMut) {
        put_f64(value, self.extra_float_digits, out);
    }

    fn numeric(&self, value: i128, scale: i8, out: &mut BytesMut) {
        put_decimal(value, scale, out);
    }

    fn numeric256(&self, value: i256, scale: i8, out: &mut BytesMut) {
        put_decimal256(value, scale, out);
    }

    fn text(&self, value: &[u8], out: &mut BytesMut) {
        out.put_slice(value);
    }

    fn json(&self, value: &[u8], out: &mut BytesMut) {
        out.put_slice(value);
    }

    fn jsonb(&self, value: &[u8], out: &mut BytesMut) {
        out.put_slice(value);
    }

    fn oid(&self, value: u32, out: &mut BytesMut) {
        put_u64(value.into(), out);
    }

    fn object(&self, reg_type: PgType, oid: u32, out: &mut BytesMut) {
        if oid == 0 {
            return out.put_u8(b'-');
        }
        let built_in = match reg_type {
            REGTYPE => format_type(oid, NO_TYPMOD),
            _ => None,
        };
        let looked_up = || self.names.as_ref()?.name(reg_type, oid);
        let name = built_in.or_else(looked_up);
        match name {
            Some(name) => out.put_slice(name.as_bytes()),
            None => put_u64(oid.into(), out),
        }
    }

    fn inet(&self, value: &[u8], out: &mut BytesMut) -> Result<()> {
        out.put_slice(value);
        Ok(())
    }

    fn bytea(&self, value: &[u8], out: &mut BytesMut) {
        if self.bytes_escaped {
            put_escaped(value, out);
            return;
        }
        put_hex(value, out);
    }

    fn uuid(&self, value: &[u8], out: &mut BytesMut) {
        put_uuid(value, out);
    }

    fn date(&self, day: i32, out: &mut BytesMut) {
        put_date(day, Style::of(&self.time), out);
    }

    fn time(&self, micros: i64, out: &mut BytesMut) {
        put_time(micros, out);
    }

    fn timestamp(&self, micros: i64, out: &mut BytesMut) {
        put_timestamp(micros, None, String::new, Style::of(&self.time), out);
    }

    fn timestamptz(&self, micros: i64, out: &mut BytesMut) {
        self.put_zoned(micros, Style::of(&self.time), out);
    }

    fn interval(&self, interval: PgInterval, out: &mut BytesMut) {
        put_interval(interval, self.time.interval_style, out);
    }
}
