//! Cells and rows of system relations, and how they become Arrow arrays.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, ListArray, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};

use super::layout::Layout;
use crate::error::Error;

const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;

/// One value of a system relation or of a catalog function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Microseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// Seconds.
    Span(i32),
    List(Vec<Cell>),
}

impl Cell {
    /// The value at `row` of an argument; types without a form of their own come as text.
    pub(crate) fn from_array(array: &dyn Array, row: usize) -> Result<Self> {
        let value = ScalarValue::try_from_array(array, row)?;
        Self::from_scalar(&value)
    }

    pub(crate) fn from_scalar(value: &ScalarValue) -> Result<Self> {
        if value.is_null() {
            return Ok(Self::Null);
        }
        Ok(match value {
            ScalarValue::Boolean(Some(v)) => Self::Bool(*v),
            ScalarValue::Int8(Some(v)) => Self::Int(i64::from(*v)),
            ScalarValue::Int16(Some(v)) => Self::Int(i64::from(*v)),
            ScalarValue::Int32(Some(v)) => Self::Int(i64::from(*v)),
            ScalarValue::Int64(Some(v)) => Self::Int(*v),
            ScalarValue::UInt8(Some(v)) => Self::Int(i64::from(*v)),
            ScalarValue::UInt16(Some(v)) => Self::Int(i64::from(*v)),
            ScalarValue::UInt32(Some(v)) => Self::Int(i64::from(*v)),
            ScalarValue::UInt64(Some(v)) if i64::try_from(*v).is_ok() => Self::Int(*v as i64),
            ScalarValue::Float32(Some(v)) => Self::Float(f64::from(*v)),
            ScalarValue::Float64(Some(v)) => Self::Float(*v),
            ScalarValue::Utf8(Some(v))
            | ScalarValue::LargeUtf8(Some(v))
            | ScalarValue::Utf8View(Some(v)) => Self::Text(v.clone()),
            ScalarValue::List(list) => {
                let items = list.value(0);
                let cells = (0..items.len()).map(|row| Self::from_array(&items, row));
                Self::List(cells.collect::<Result<_>>()?)
            }
            ScalarValue::Dictionary(_, inner) => Self::from_scalar(inner)?,
            other => Self::Text(other.to_string()),
        })
    }

    /// The text a client would see.
    pub(crate) fn to_text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Bool(v) => Some(if *v { "t" } else { "f" }.to_owned()),
            Self::Int(v) | Self::Timestamp(v) => Some(v.to_string()),
            Self::Span(v) => Some(v.to_string()),
            Self::Float(v) => Some(v.to_string()),
            Self::Text(v) => Some(v.clone()),
            Self::List(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| item.to_text().unwrap_or("NULL".into()))
                    .collect();
                Some(format!("{{{}}}", items.join(",")))
            }
        }
    }

    /// The value as an OID: a number, or digits in text.
    pub(crate) fn to_oid(&self) -> Option<u32> {
        match self {
            Self::Int(v) => u32::try_from(*v).ok(),
            Self::Text(v) => v.trim().parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn to_int(&self) -> Option<i64> {
        match self {
            Self::Int(v) => Some(*v),
            Self::Text(v) => v.trim().parse().ok(),
            _ => None,
        }
    }
}

macro_rules! cell_from {
    ($($source:ty => $variant:ident($conversion:expr);)*) => {
        $(impl From<$source> for Cell {
            fn from(value: $source) -> Self {
                Self::$variant($conversion(value))
            }
        })*
    };
}

cell_from! {
    bool => Bool(|v| v);
    char => Text(String::from);
    f64 => Float(|v| v);
    i16 => Int(i64::from);
    i32 => Int(i64::from);
    i64 => Int(|v| v);
    u32 => Int(i64::from);
    &str => Text(str::to_owned);
    String => Text(|v| v);
    &String => Text(String::clone);
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Cell>> From<Vec<T>> for Cell {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// The rows of one system relation while they are being collected.
#[derive(Debug)]
pub(crate) struct Rows {
    layout: Arc<Layout>,
    columns: Vec<Vec<Cell>>,
    len: usize,
}

impl Rows {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        let columns = vec![Vec::new(); layout.columns.len()];
        Self {
            layout,
            columns,
            len: 0,
        }
    }

    /// Adds a row; columns that are not named hold NULL, or zero where PostgreSQL allows no NULL.
    pub(crate) fn push(&mut self, cells: Vec<(&'static str, Cell)>) -> Result<()> {
        for (column, layout) in self.columns.iter_mut().zip(&self.layout.columns) {
            column.push(if layout.not_null {
                zero(layout.type_oid)
            } else {
                Cell::Null
            });
        }
        for (name, cell) in cells {
            let position = self
                .layout
                .position(name)
                .ok_or_else(|| self.no_column(name))?;
            if let Some(last) = self.columns[position].last_mut() {
                *last = cell;
            }
        }
        self.len += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<RecordBatch> {
        let fields = self.layout.arrow.fields();
        let arrays = fields
            .iter()
            .zip(&self.columns)
            .map(|(field, cells)| to_array(field.data_type(), cells))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        let schema = Arc::clone(&self.layout.arrow);
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    fn no_column(&self, name: &str) -> DataFusionError {
        let relation = self.layout.name;
        Error::internal(format!("system relation {relation} has no column {name}")).into()
    }
}

/// Adds a row to [`Rows`] with the cells converted: `row!(rows, oid: 1_u32, nspname: "public")`.
macro_rules! row {
    ($rows:expr, $($column:ident: $value:expr),* $(,)?) => {
        $rows.push(vec![$((stringify!($column), crate::catalog::cells::Cell::from($value))),*])
    };
}
pub(crate) use row;

/// What an unset NOT NULL column holds.
fn zero(type_oid: u32) -> Cell {
    match type_oid {
        16 => Cell::Bool(false),
        20 | 21 | 23 | 24 | 26 | 28 => Cell::Int(0),
        700 | 701 => Cell::Float(0.0),
        18 | 19 | 25 | 194 => Cell::Text(String::new()),
        22 | 30 => Cell::List(Vec::new()),
        _ => Cell::Null,
    }
}

/// Cells of one column as an array; a cell that does not fit its column's type is an error.
pub(crate) fn to_array(data_type: &DataType, cells: &[Cell]) -> Result<ArrayRef> {
    let misfit = |cell: &Cell| -> DataFusionError {
        Error::internal(format!(
            "{cell:?} does not fit a catalog column of {data_type}"
        ))
        .into()
    };
    macro_rules! numbers {
        ($array:ty, $native:ty) => {{
            let values = cells.iter().map(|cell| match cell {
                Cell::Null => Ok(None),
                Cell::Int(v) => <$native>::try_from(*v).map(Some).map_err(|_| misfit(cell)),
                _ => Err(misfit(cell)),
            });
            Arc::new(values.collect::<Result<$array>>()?) as ArrayRef
        }};
    }
    let float = |cell: &Cell| match cell {
        Cell::Null => Ok(None),
        Cell::Float(v) => Ok(Some(*v)),
        Cell::Int(v) => Ok(Some(*v as f64)),
        _ => Err(misfit(cell)),
    };
    Ok(match data_type {
        DataType::Boolean => {
            let values = cells.iter().map(|cell| match cell {
                Cell::Null => Ok(None),
                Cell::Bool(v) => Ok(Some(*v)),
                _ => Err(misfit(cell)),
            });
            Arc::new(values.collect::<Result<BooleanArray>>()?)
        }
        DataType::Int16 => numbers!(Int16Array, i16),
        DataType::Int32 => numbers!(Int32Array, i32),
        DataType::Int64 => numbers!(Int64Array, i64),
        DataType::UInt32 => numbers!(UInt32Array, u32),
        DataType::Float32 => {
            let values = cells.iter().map(|cell| Ok(float(cell)?.map(|v| v as f32)));
            Arc::new(values.collect::<Result<Float32Array>>()?)
        }
        DataType::Float64 => Arc::new(cells.iter().map(float).collect::<Result<Float64Array>>()?),
        DataType::Utf8 => Arc::new(cells.iter().map(Cell::to_text).collect::<StringArray>()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = cells.iter().map(|cell| match cell {
                Cell::Null => Ok(None),
                Cell::Timestamp(v) => Ok(Some(*v)),
                _ => Err(misfit(cell)),
            });
            let array = values.collect::<Result<TimestampMicrosecondArray>>()?;
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = cells.iter().map(|cell| match cell {
                Cell::Null => Ok(None),
                Cell::Span(seconds) => Ok(Some(IntervalMonthDayNanoType::make_value(
                    0,
                    0,
                    i64::from(*seconds) * NANOSECONDS_PER_SECOND,
                ))),
                _ => Err(misfit(cell)),
            });
            Arc::new(values.collect::<Result<IntervalMonthDayNanoArray>>()?)
        }
        DataType::List(item) => {
            let mut flat = Vec::new();
            let mut lengths = Vec::with_capacity(cells.len());
            for cell in cells {
                let before = flat.len();
                match cell {
                    Cell::Null => {}
                    Cell::List(items) => flat.extend(items.iter().cloned()),
                    _ => return Err(misfit(cell)),
                }
                lengths.push(flat.len() - before);
            }
            let nulls: NullBuffer = cells.iter().map(|cell| *cell != Cell::Null).collect();
            let items = to_array(item.data_type(), &flat)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::try_new(
                Arc::clone(item),
                offsets,
                items,
                Some(nulls),
            )?)
        }
        other if cells.iter().all(|cell| *cell == Cell::Null) => new_null_array(other, cells.len()),
        _ => return Err(misfit(cells.first().unwrap_or(&Cell::Null))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::layout::layout;
    use super::*;

    #[test]
    fn unset_cells_are_zero_or_null() {
        let mut rows = Rows::new(layout("pg_catalog", "pg_class").unwrap());
        row!(rows, oid: 16384_u32, relname: "customers", relkind: 'r').unwrap();
        let batch = rows.finish().unwrap();
        assert_eq!(batch.num_rows(), 1);
        assert!(batch.column_by_name("relchecks").unwrap().is_valid(0));
        assert!(batch.column_by_name("reloptions").unwrap().is_null(0));
    }

    #[test]
    fn an_unknown_column_is_an_error() {
        let mut rows = Rows::new(layout("pg_catalog", "pg_class").unwrap());
        assert!(row!(rows, nosuch: 1_i32).is_err());
    }

    #[test]
    fn lists_keep_nulls_and_lengths() {
        let list = DataType::List(Arc::new(
            datafusion::arrow::datatypes::Field::new_list_field(DataType::UInt32, true),
        ));
        let array = to_array(&list, &[Cell::from(vec![1_u32, 2]), Cell::Null]).unwrap();
        assert_eq!(array.len(), 2);
        assert!(array.is_null(1));
        let cell = Cell::from_array(&array, 0).unwrap();
        assert_eq!(cell, Cell::List(vec![Cell::Int(1), Cell::Int(2)]));
    }
}
