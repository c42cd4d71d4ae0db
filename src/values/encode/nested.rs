//! Arrow's nesting and encodings taken apart: list ranges, record columns, dictionary and run keys.

use std::ops::Range;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, GenericListViewArray,
    OffsetSizeTrait, RunArray,
};
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Int16Type, Int32Type, Int64Type, RunEndIndexType,
};

use super::{Column, Put};
use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::error::{Error, Result};
use crate::values::types::{column_type, element_of, vector_element};

/// A list column: its elements in one array, and the range of them in each row.
pub(super) struct Lists {
    pub(super) item: FieldRef,
    pub(super) values: ArrayRef,
    pub(super) range: Box<dyn Fn(usize) -> Range<usize>>,
}

/// The lists of a column of any of the five list types. The type of their elements may be marked on the
/// column alone.
pub(super) fn lists(field: &FieldRef, array: &ArrayRef) -> Option<Lists> {
    let lists = plain_lists(array)?;
    let marked = column_type(field).0;
    let wanted = match column_type(&lists.item).0 {
        of if element_of(of).is_some() => marked,
        of => element_of(marked)
            .or_else(|| vector_element(marked))
            .unwrap_or(of),
    };
    if column_type(&lists.item).0 == wanted {
        return Some(lists);
    }
    let metadata = [(PG_TYPE_METADATA.to_owned(), wanted.name.to_owned())];
    let item = lists.item.as_ref().clone().with_metadata(metadata.into());
    Some(Lists {
        item: FieldRef::new(item),
        ..lists
    })
}

fn plain_lists(array: &ArrayRef) -> Option<Lists> {
    match array.data_type() {
        DataType::List(item) => Some(by_offsets(item, array.as_list::<i32>())),
        DataType::LargeList(item) => Some(by_offsets(item, array.as_list::<i64>())),
        DataType::ListView(item) => Some(by_views(item, array.as_list_view::<i32>())),
        DataType::LargeListView(item) => Some(by_views(item, array.as_list_view::<i64>())),
        DataType::FixedSizeList(item, _) => Some(by_size(item, array.as_fixed_size_list())),
        _ => None,
    }
}

fn by_offsets<O: OffsetSizeTrait>(item: &FieldRef, array: &GenericListArray<O>) -> Lists {
    let offsets = array.offsets().clone();
    Lists {
        item: FieldRef::clone(item),
        values: ArrayRef::clone(array.values()),
        range: Box::new(move |row| offsets[row].as_usize()..offsets[row + 1].as_usize()),
    }
}

fn by_views<O: OffsetSizeTrait>(item: &FieldRef, array: &GenericListViewArray<O>) -> Lists {
    let (offsets, sizes) = (array.offsets().clone(), array.sizes().clone());
    Lists {
        item: FieldRef::clone(item),
        values: ArrayRef::clone(array.values()),
        range: Box::new(move |row| {
            let start = offsets[row].as_usize();
            start..start + sizes[row].as_usize()
        }),
    }
}

fn by_size(item: &FieldRef, array: &FixedSizeListArray) -> Lists {
    let lists = array.clone();
    Lists {
        item: FieldRef::clone(item),
        values: ArrayRef::clone(array.values()),
        range: Box::new(move |row| {
            let start = lists.value_offset(row) as usize;
            start..start + lists.value_length() as usize
        }),
    }
}

/// The columns of a struct column.
pub(super) fn record_columns(
    array: &ArrayRef,
    column: impl Fn(&FieldRef, &ArrayRef) -> Result<Column>,
) -> Option<Result<Vec<Column>>> {
    let record = array.as_struct_opt()?;
    let columns = record.fields().iter().zip(record.columns());
    Some(columns.map(|(field, array)| column(field, array)).collect())
}

/// The writer of a dictionary or run-end encoded column; None for a plain one.
pub(super) fn encoded(
    field: &FieldRef,
    array: &ArrayRef,
    column: impl Fn(&FieldRef, &ArrayRef) -> Result<Column>,
) -> Option<Result<Put>> {
    let (keys, values, field) = match array.data_type() {
        DataType::Dictionary(_, value) => {
            let dictionary = array.as_any_dictionary();
            let values = ArrayRef::clone(dictionary.values());
            let keys = if values.is_empty() {
                vec![]
            } else {
                dictionary.normalized_keys()
            };
            let field = field
                .as_ref()
                .clone()
                .with_data_type(value.as_ref().clone());
            (Ok(keys), values, FieldRef::new(field))
        }
        DataType::RunEndEncoded(_, value) => {
            let (keys, values) = runs::<Int16Type>(array)
                .or_else(|| runs::<Int32Type>(array))
                .or_else(|| runs::<Int64Type>(array))?;
            (keys, values, FieldRef::clone(value))
        }
        _ => return None,
    };
    Some(keys.and_then(|keys| {
        let column = column(&field, &values)?;
        let put: Put = Box::new(move |row, out| {
            // A dictionary without values has null keys only, which do not come here.
            let key = keys
                .get(row)
                .ok_or_else(|| Error::internal("key of an empty dictionary"))?;
            column.put(*key, out)
        });
        Ok(put)
    }))
}

fn runs<R: RunEndIndexType>(array: &ArrayRef) -> Option<(Result<Vec<usize>>, ArrayRef)> {
    let runs = array.as_any().downcast_ref::<RunArray<R>>()?;
    let rows: Vec<u64> = (0..array.len() as u64).collect();
    let keys = runs
        .get_physical_indices(&rows)
        .map_err(|e| Error::internal("run ends do not cover the column").with_source(e));
    Some((keys, ArrayRef::clone(runs.values())))
}
