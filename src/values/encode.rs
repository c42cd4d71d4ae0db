//! RecordBatch to DataRow: result columns as text or binary, exactly as PostgreSQL 15 sends them.

mod binary;
pub(crate) mod datetime;
mod json;
mod nested;
pub(crate) mod number;
mod scalar;
mod text;

pub(crate) use text::put_uuid;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{Field, FieldRef, Schema};

use crate::calendar::{TimeSettings, Zone};
use crate::error::{Error, Result};
use crate::values::types::{Format, PgType, column_type};

/// Bytes of one cell; PostgreSQL's limit of one allocation, 1 GB less one byte.
pub const CELL_BYTES_MAX: usize = 0x3fff_ffff;

/// Columns of one result, as PostgreSQL limits a target list.
pub const COLUMNS_MAX: usize = 1664;

/// The names behind values of `regclass` and its like, as a session sees them.
pub trait ObjectNames: Debug + Send + Sync {
    /// The name of the object that a value of this type means; none if there is no such object.
    fn name(&self, reg_type: PgType, oid: u32) -> Option<String>;
}

/// The session's settings that decide how values look as text.
#[derive(Debug, Clone)]
pub struct TextStyle {
    /// Zone and styles of dates, times and intervals.
    pub time: TimeSettings,
    /// Above zero: floats in their shortest exact form; otherwise added to 15 (or 6) digits.
    pub extra_float_digits: i8,
    /// The names of objects; without them their OIDs are shown.
    pub names: Option<Arc<dyn ObjectNames>>,
    /// Whether bytes are shown by PostgreSQL's older form, `bytea_output = escape`.
    pub bytes_escaped: bool,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self::new(Zone::default())
    }
}

impl TextStyle {
    /// The default settings in a zone.
    pub fn new(zone: Zone) -> Self {
        Self {
            time: TimeSettings::in_zone(zone),
            extra_float_digits: 1,
            names: None,
            bytes_escaped: false,
        }
    }
}

/// One value that is not NULL as text.
pub(crate) fn value_text(
    field: &FieldRef,
    array: &ArrayRef,
    row: usize,
    style: &TextStyle,
) -> Result<String> {
    written(&text::column(field, array, style)?, row)
}

/// One value that is not NULL as JSON, as `to_json` gives it.
pub(crate) fn value_json(
    field: &FieldRef,
    array: &ArrayRef,
    row: usize,
    style: &TextStyle,
) -> Result<String> {
    written(&json::column(field, array, style)?, row)
}

fn written(column: &Column, row: usize) -> Result<String> {
    let mut out = BytesMut::new();
    column.put(row, &mut out)?;
    String::from_utf8(out.into())
        .map_err(|error| Error::internal("a value's text is not UTF-8").with_source(error))
}

/// Turns batches of one schema into DataRow messages.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    columns: Columns,
}

impl RowEncoder {
    /// An encoder for results of `schema`; `formats` has none, one, or one per column (Bind's rule).
    ///
    /// 08P01 when the number of formats does not fit, 54000 for more than [`COLUMNS_MAX`] columns.
    pub fn try_new(schema: &Schema, formats: &[Format], style: &TextStyle) -> Result<Self> {
        Ok(Self {
            columns: Columns::try_new(schema, formats, style)?,
        })
    }

    /// Appends one DataRow per row of `rows` (indices into `batch`) to `out`.
    ///
    /// After an error `out` ends with the last complete row. 54000 for a cell over
    /// [`CELL_BYTES_MAX`] or a message over 2 GB, 22008 for a date or time that PostgreSQL lacks.
    pub fn encode(
        &self,
        batch: &RecordBatch,
        rows: Range<usize>,
        out: &mut BytesMut,
    ) -> Result<()> {
        let bound = self.columns.bind(batch, rows)?;
        out.reserve(bound.rows * (7 + 12 * bound.cells.len()));
        for row in 0..bound.rows {
            message(b'D', out, |out| {
                out.put_i16(bound.cells.len() as i16);
                bound
                    .cells
                    .iter()
                    .try_for_each(|cell| cell.put_sized(row, out))
            })?;
        }
        Ok(())
    }
}

/// The columns of a result and how each is written.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    fields: Vec<(FieldRef, Format)>,
    style: TextStyle,
}

/// [`Columns`] over the rows of one batch.
pub(crate) struct BoundColumns {
    pub(crate) cells: Vec<Column>,
    pub(crate) rows: usize,
}

impl Columns {
    pub(crate) fn try_new(schema: &Schema, formats: &[Format], style: &TextStyle) -> Result<Self> {
        let count = schema.fields().len();
        if count > COLUMNS_MAX {
            return Err(Error::program_limit_exceeded(format!(
                "target lists can have at most {COLUMNS_MAX} entries"
            )));
        }
        let codes: Vec<i16> = formats.iter().map(|format| format.code()).collect();
        let formats = Format::expand(&codes, count, "result formats but query has")?;
        let fields = schema.fields().iter().cloned().zip(formats).collect();
        Ok(Self {
            fields,
            style: style.clone(),
        })
    }

    /// Downcasts each column once. XX000 for a batch of another schema or rows beyond it.
    pub(crate) fn bind(&self, batch: &RecordBatch, rows: Range<usize>) -> Result<BoundColumns> {
        if rows.end > batch.num_rows() || rows.start > rows.end {
            return Err(Error::internal(format!(
                "rows {rows:?} of a batch of {} rows",
                batch.num_rows()
            )));
        }
        if batch.num_columns() != self.fields.len() {
            return Err(Error::internal(format!(
                "batch of {} columns for a result of {}",
                batch.num_columns(),
                self.fields.len()
            )));
        }
        let count = rows.len();
        let cells = self
            .fields
            .iter()
            .zip(batch.columns())
            .map(|((field, format), array)| {
                let field = actual_field(field, array)?;
                let array = array.slice(rows.start, count);
                match format {
                    Format::Text => text::column(&field, &array, &self.style),
                    Format::Binary => binary::column(&field, &array, &self.style),
                }
            });
        Ok(BoundColumns {
            cells: cells.collect::<Result<_>>()?,
            rows: count,
        })
    }
}

/// The field with the array's type: a plan may declare Utf8 and deliver Utf8View, which go out as
/// one type. XX000 when they do not.
fn actual_field(declared: &FieldRef, array: &ArrayRef) -> Result<FieldRef> {
    if declared.data_type() == array.data_type() {
        return Ok(FieldRef::clone(declared));
    }
    let actual = declared
        .as_ref()
        .clone()
        .with_data_type(array.data_type().clone());
    if column_type(declared).0 == column_type(&actual).0 {
        Ok(FieldRef::new(actual))
    } else {
        Err(Error::internal(format!(
            "column \"{}\" arrived as {} instead of {}",
            declared.name(),
            array.data_type(),
            declared.data_type()
        )))
    }
}

/// Writes one non-null value, given its row.
type Put = Box<dyn Fn(usize, &mut BytesMut) -> Result<()>>;

/// A column of one batch, ready to be written cell by cell.
pub(crate) struct Column {
    nulls: Option<NullBuffer>,
    put: Put,
}

impl Column {
    fn new(array: &dyn Array, put: Put) -> Self {
        Self {
            nulls: array.logical_nulls().filter(|nulls| nulls.null_count() > 0),
            put,
        }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes the value without a length; the row must not be null.
    pub(crate) fn put(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        (self.put)(row, out)
    }

    /// Writes the length and the value, -1 for null.
    pub(crate) fn put_sized(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let at = out.len();
        out.put_i32(0);
        self.put(row, out)?;
        let len = out.len() - at - 4;
        if len > CELL_BYTES_MAX {
            return Err(cell_too_large(len));
        }
        out[at..at + 4].copy_from_slice(&(len as i32).to_be_bytes());
        Ok(())
    }
}

/// 54000, before a value is copied that cannot be sent.
fn check_cell(len: usize) -> Result<()> {
    if len > CELL_BYTES_MAX {
        Err(cell_too_large(len))
    } else {
        Ok(())
    }
}

fn cell_too_large(len: usize) -> Error {
    Error::program_limit_exceeded("value exceeds the limit of 1 GB")
        .with_detail(format!("The value takes {len} bytes."))
}

/// Writes a message: tag, length, then what `body` writes. On an error `out` is as before.
pub(crate) fn message(
    tag: u8,
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut) -> Result<()>,
) -> Result<()> {
    let at = out.len();
    out.put_u8(tag);
    out.put_i32(0);
    let written = body(out).and_then(|()| {
        i32::try_from(out.len() - at - 1).map_err(|_| {
            Error::program_limit_exceeded("row exceeds the limit of 2 GB of a message")
        })
    });
    match written {
        Ok(len) => {
            out[at + 1..at + 5].copy_from_slice(&len.to_be_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(at);
            Err(error)
        }
    }
}

/// A writer for a primitive column: `put` gets each value.
fn primitive<T, F>(array: &dyn Array, put: F) -> Put
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native, &mut BytesMut) -> Result<()> + 'static,
{
    let values = array.as_primitive::<T>().values().clone();
    Box::new(move |row, out| put(values[row], out))
}

/// Where a result column comes from: the table's OID and the column's number, or zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColumnOrigin {
    /// `pg_class.oid`.
    pub table_oid: u32,
    /// `pg_attribute.attnum`.
    pub column: i16,
}

/// Keys of the field metadata that tell a column's origin.
const TABLE_METADATA: &str = "pg_table_oid";
const COLUMN_METADATA: &str = "pg_attnum";

impl ColumnOrigin {
    /// The field metadata that tells it.
    pub fn metadata(self) -> [(String, String); 2] {
        [
            (TABLE_METADATA.to_owned(), self.table_oid.to_string()),
            (COLUMN_METADATA.to_owned(), self.column.to_string()),
        ]
    }

    fn of(field: &Field) -> Option<Self> {
        let told = |key| field.metadata().get(key);
        Some(Self {
            table_oid: told(TABLE_METADATA)?.parse().ok()?,
            column: told(COLUMN_METADATA)?.parse().ok()?,
        })
    }
}

/// The RowDescription of a result.
///
/// `names` replaces the schema's names where it has one; `formats` follows Bind's rule. 08P01 and
/// 54000 as in [`RowEncoder::try_new`], 54000 for names that do not fit.
pub fn row_description(schema: &Schema, names: &[String], formats: &[Format]) -> Result<Bytes> {
    let codes: Vec<i16> = formats.iter().map(|format| format.code()).collect();
    let count = schema.fields().len();
    if count > COLUMNS_MAX {
        return Err(Error::program_limit_exceeded(format!(
            "target lists can have at most {COLUMNS_MAX} entries"
        )));
    }
    let formats = Format::expand(&codes, count, "result formats but query has")?;
    let mut out = BytesMut::new();
    message(b'T', &mut out, |out| {
        out.put_i16(count as i16);
        for (i, (field, format)) in schema.fields().iter().zip(formats).enumerate() {
            let name = names.get(i).unwrap_or(field.name());
            put_field(field, name, format, out);
        }
        Ok(())
    })?;
    Ok(out.freeze())
}

fn put_field(field: &Field, name: &str, format: Format, out: &mut BytesMut) {
    let (pg_type, typmod) = column_type(field);
    let origin = ColumnOrigin::of(field).unwrap_or_default();
    // A NUL ends the name in the message.
    out.put_slice(name.split('\0').next().unwrap_or_default().as_bytes());
    out.put_u8(0);
    out.put_u32(origin.table_oid);
    out.put_i16(origin.column);
    out.put_u32(pg_type.oid);
    out.put_i16(pg_type.size);
    out.put_i32(typmod);
    out.put_i16(format.code());
}

#[cfg(test)]
#[expect(
    clippy::cloned_ref_to_slice_refs,
    clippy::excessive_precision,
    reason = "expected values stand as PostgreSQL prints them"
)]
mod tests;
