//! Results of several fields: a STRUCT whose fields and types are written down once.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringViewArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::Result;

/// Names and types of the fields, in order.
pub(crate) type FieldList = &'static [(&'static str, DataType)];

/// The STRUCT type of the fields.
pub(crate) fn record_type(fields: FieldList) -> DataType {
    DataType::Struct(fields_of(fields))
}

fn fields_of(fields: FieldList) -> Fields {
    let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
    fields.iter().map(field).collect()
}

/// A column of structs from the columns of their fields.
pub(crate) fn record(fields: FieldList, columns: Vec<ArrayRef>) -> Result<ArrayRef> {
    Ok(Arc::new(StructArray::try_new(
        fields_of(fields),
        columns,
        None,
    )?))
}

/// A column of numbers, some of them unknown.
pub(crate) fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

/// A column of counts.
pub(crate) fn counts(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// A column of words.
pub(crate) fn words(values: impl Iterator<Item = Option<&'static str>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}
