//! Values as JSON text, as PostgreSQL's `to_json` gives it: for maps, lists of lists and unions.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, FieldRef, i256};

use super::datetime::{PgInterval, Style, put_date, put_interval, put_time, put_timestamp};
use super::nested::{Lists, encoded, lists, record_columns};
use super::scalar::{Writer, scalar};
use super::text::{Text, put_hex, put_uuid};
use super::{Column, Put, TextStyle, text};
use crate::error::{Error, Result};
use crate::values::types::PgType;

/// A column written as JSON.
pub(super) fn column(field: &FieldRef, array: &ArrayRef, style: &TextStyle) -> Result<Column> {
    Ok(Column::new(array, put(field, array, style)?))
}

/// The writer of one column's values as JSON.
pub(super) fn put(field: &FieldRef, array: &ArrayRef, style: &TextStyle) -> Result<Put> {
    if let Some(put) = scalar(field, array, Json(Text::new(array, style))) {
        return Ok(put);
    }
    let column = |field: &FieldRef, array: &ArrayRef| column(field, array, style);
    if let Some(put) = encoded(field, array, column) {
        return put;
    }
    if let Some(lists) = lists(field, array) {
        return list_put(lists, style);
    }
    if let Some(columns) = record_columns(array, column) {
        return Ok(record_put(field_names(array), columns?));
    }
    match array.data_type() {
        DataType::Map(..) => map_put(array, style),
        DataType::Union(..) => union_put(array, style),
        other => Err(Error::feature_not_supported(format!(
            "cannot send values of type {other}"
        ))),
    }
}

fn put_nullable(column: &Column, row: usize, out: &mut BytesMut) -> Result<()> {
    if column.is_null(row) {
        out.put_slice(b"null");
        Ok(())
    } else {
        column.put(row, out)
    }
}

fn list_put(lists: Lists, style: &TextStyle) -> Result<Put> {
    let elements = column(&lists.item, &lists.values, style)?;
    let range = lists.range;
    Ok(Box::new(move |row, out| {
        out.put_u8(b'[');
        for (i, element) in range(row).enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            put_nullable(&elements, element, out)?;
        }
        out.put_u8(b']');
        Ok(())
    }))
}

/// The keys of a struct column's objects, as JSON strings with the colon.
fn field_names(array: &ArrayRef) -> Vec<BytesMut> {
    let key = |field: &FieldRef| {
        let mut key = BytesMut::new();
        put_string(field.name().as_bytes(), &mut key);
        key.put_u8(b':');
        key
    };
    array
        .as_struct_opt()
        .map_or_else(Vec::new, |record| record.fields().iter().map(key).collect())
}

fn record_put(names: Vec<BytesMut>, columns: Vec<Column>) -> Put {
    Box::new(move |row, out| {
        out.put_u8(b'{');
        for (i, (name, column)) in names.iter().zip(&columns).enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            out.put_slice(name);
            put_nullable(column, row, out)?;
        }
        out.put_u8(b'}');
        Ok(())
    })
}

/// `{"key":value}`; keys are the text of whatever type they have.
fn map_put(array: &ArrayRef, style: &TextStyle) -> Result<Put> {
    let map = array.as_map();
    let (DataType::Struct(fields), entries) = (map.entries().data_type(), map.entries()) else {
        return Err(Error::internal("map without entries"));
    };
    let ([key_field, value_field], [keys, values]) = (&fields[..], entries.columns()) else {
        return Err(Error::internal("map entries are not pairs"));
    };
    let keys = text::column(key_field, keys, style)?;
    let values = column(value_field, values, style)?;
    let offsets = map.offsets().clone();
    Ok(Box::new(move |row, out| {
        out.put_u8(b'{');
        let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        let mut key = BytesMut::new();
        for entry in start..end {
            if entry > start {
                out.put_u8(b',');
            }
            key.clear();
            keys.put(entry, &mut key)?;
            put_string(&key, out);
            out.put_u8(b':');
            put_nullable(&values, entry, out)?;
        }
        out.put_u8(b'}');
        Ok(())
    }))
}

fn union_put(array: &ArrayRef, style: &TextStyle) -> Result<Put> {
    let (DataType::Union(fields, _), Some(union)) = (array.data_type(), array.as_union_opt())
    else {
        return Err(Error::internal("union of another type"));
    };
    let members = fields
        .iter()
        .map(|(id, field)| Ok((id, column(field, union.child(id), style)?)))
        .collect::<Result<Vec<_>>>()?;
    let union = union.clone();
    Ok(Box::new(move |row, out| {
        let id = union.type_id(row);
        let member = members.iter().find(|(member, _)| *member == id);
        let (_, column) = member.ok_or_else(|| Error::internal("union value of no member"))?;
        put_nullable(column, union.value_offset(row), out)
    }))
}

/// Writes a JSON string with PostgreSQL's escapes: the short ones and `\u00XX` below a space.
fn put_string(text: &[u8], out: &mut BytesMut) {
    out.put_u8(b'"');
    let mut plain = 0;
    for (i, byte) in text.iter().enumerate() {
        let escaped: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            0x08 => b"\\b",
            0x0c => b"\\f",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"\\u00",
            _ => continue,
        };
        out.put_slice(&text[plain..i]);
        out.put_slice(escaped);
        if escaped == b"\\u00" {
            let digit = |d: u8| if d < 10 { b'0' + d } else { b'a' + d - 10 };
            out.put_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        plain = i + 1;
    }
    out.put_slice(&text[plain..]);
    out.put_u8(b'"');
}

fn quoted(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    out.put_u8(b'"');
    put(out);
    out.put_u8(b'"');
}

#[derive(Clone)]
struct Json(Text);

impl Writer for Json {
    fn bool(&self, value: bool, out: &mut BytesMut) {
        out.put_slice(if value { b"true" } else { b"false" });
    }

    fn int2(&self, value: i16, out: &mut BytesMut) {
        self.0.int2(value, out);
    }

    fn int4(&self, value: i32, out: &mut BytesMut) {
        self.0.int4(value, out);
    }

    fn int8(&self, value: i64, out: &mut BytesMut) {
        self.0.int8(value, out);
    }

    fn float4(&self, value: f32, out: &mut BytesMut) {
        if value.is_finite() {
            self.0.float4(value, out);
        } else {
            quoted(out, |out| self.0.float4(value, out));
        }
    }

    fn float8(&self, value: f64, out: &mut BytesMut) {
        if value.is_finite() {
            self.0.float8(value, out);
        } else {
            quoted(out, |out| self.0.float8(value, out));
        }
    }

    fn numeric(&self, value: i128, scale: i8, out: &mut BytesMut) {
        self.0.numeric(value, scale, out);
    }

    fn numeric256(&self, value: i256, scale: i8, out: &mut BytesMut) {
        self.0.numeric256(value, scale, out);
    }

    fn text(&self, value: &[u8], out: &mut BytesMut) {
        put_string(value, out);
    }

    fn json(&self, value: &[u8], out: &mut BytesMut) {
        out.put_slice(value);
    }

    fn jsonb(&self, value: &[u8], out: &mut BytesMut) {
        self.json(value, out);
    }

    fn oid(&self, value: u32, out: &mut BytesMut) {
        self.int8(value.into(), out);
    }

    fn object(&self, reg_type: PgType, oid: u32, out: &mut BytesMut) {
        let mut name = BytesMut::new();
        self.0.object(reg_type, oid, &mut name);
        self.text(&name, out);
    }

    fn inet(&self, value: &[u8], out: &mut BytesMut) -> Result<()> {
        self.text(value, out);
        Ok(())
    }

    fn bytea(&self, value: &[u8], out: &mut BytesMut) {
        // The backslash of `\x` is escaped.
        out.put_slice(b"\"\\");
        put_hex(value, out);
        out.put_u8(b'"');
    }

    fn uuid(&self, value: &[u8], out: &mut BytesMut) {
        quoted(out, |out| put_uuid(value, out));
    }

    fn date(&self, day: i32, out: &mut BytesMut) {
        quoted(out, |out| put_date(day, Style::ISO, out));
    }

    fn time(&self, micros: i64, out: &mut BytesMut) {
        quoted(out, |out| put_time(micros, out));
    }

    fn timestamp(&self, micros: i64, out: &mut BytesMut) {
        quoted(out, |out| {
            put_timestamp(micros, None, String::new, Style::Xsd, out);
        });
    }

    fn timestamptz(&self, micros: i64, out: &mut BytesMut) {
        quoted(out, |out| self.0.put_zoned(micros, Style::Xsd, out));
    }

    fn interval(&self, interval: PgInterval, out: &mut BytesMut) {
        let style = self.0.time().interval_style;
        quoted(out, |out| put_interval(interval, style, out));
    }
}
