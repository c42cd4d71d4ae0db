//! Functions over lists: what `ARRAY(SELECT …)` and scalar subqueries of the catalog become, and
//! the bounds of an array.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, UInt64Array, UInt64Builder,
    new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::cast::as_int64_array;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::failed;
use crate::error::Error;

/// The one value of a list, NULL of an empty or NULL one, an error for more than one: the meaning
/// of a scalar subquery over its collected rows.
pub const SUBQUERY_VALUE: &str = "pg_subquery_value";
/// The list itself, empty for NULL: the meaning of `ARRAY(SELECT …)` over its collected rows.
pub const SUBQUERY_ARRAY: &str = "pg_subquery_array";
/// `ARRAY(SELECT prefix || x FROM unnest(list) x)`.
pub const PREFIX_ELEMENTS: &str = "pg_prefix_elements";

pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    let functions = [
        (SUBQUERY_VALUE, Operation::Value, 1),
        (SUBQUERY_ARRAY, Operation::Array, 1),
        (PREFIX_ELEMENTS, Operation::Prefix, 2),
        ("array_lower", Operation::Lower, 2),
        ("array_upper", Operation::Upper, 2),
    ];
    functions.into_iter().map(|(name, operation, arguments)| {
        let signature = Signature::any(arguments, Volatility::Immutable);
        ScalarUDF::new_from_impl(ListFunction {
            name,
            operation,
            signature,
        })
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Value,
    Array,
    Prefix,
    Lower,
    Upper,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListFunction {
    name: &'static str,
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for ListFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let list = arguments.get(usize::from(self.operation == Operation::Prefix));
        let list = list.unwrap_or(&DataType::Null);
        match (self.operation, list) {
            (Operation::Lower | Operation::Upper, _) => Ok(DataType::Int64),
            (Operation::Prefix, _) => Ok(DataType::List(text_item())),
            (Operation::Value, DataType::List(item)) => Ok(item.data_type().clone()),
            (Operation::Array, DataType::List(_)) => Ok(list.clone()),
            (_, other) => failed(Error::datatype_mismatch(format!(
                "{} needs a list and not {other}",
                self.name
            ))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let mut arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(last) = arrays.pop() else {
            return failed(Error::internal(format!("{} without arguments", self.name)));
        };
        let result: ArrayRef = match self.operation {
            Operation::Value => value(last.as_list::<i32>())?,
            Operation::Array => Arc::new(empty_for_null(last.as_list::<i32>())?),
            Operation::Prefix => match arrays.pop() {
                Some(prefix) => Arc::new(prefix_elements(&prefix, &last)?),
                None => new_null_array(args.return_type(), rows),
            },
            Operation::Lower | Operation::Upper => match arrays.pop() {
                Some(list) => Arc::new(bound(&list, &last, self.operation)?),
                None => new_null_array(args.return_type(), rows),
            },
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn text_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Utf8, true))
}

fn value(list: &ListArray) -> Result<ArrayRef> {
    let mut indices = UInt64Builder::with_capacity(list.len());
    for row in 0..list.len() {
        let length = if list.is_null(row) {
            0
        } else {
            list.value_length(row)
        };
        match length {
            0 => indices.append_null(),
            1 => indices.append_value(u64::try_from(list.value_offsets()[row]).unwrap_or(0)),
            _ => {
                return failed(Error::invalid_parameter_value(
                    "more than one row returned by a subquery used as an expression",
                ));
            }
        }
    }
    Ok(compute::take(list.values(), &indices.finish(), None)?)
}

fn empty_for_null(list: &ListArray) -> Result<ListArray> {
    let mut indices = Vec::with_capacity(list.values().len());
    let mut lengths = Vec::with_capacity(list.len());
    for row in 0..list.len() {
        let range = if list.is_null(row) {
            0..0
        } else {
            list.value_offsets()[row]..list.value_offsets()[row + 1]
        };
        lengths.push(range.len());
        indices.extend(range.map(|index| u64::try_from(index).unwrap_or(0)));
    }
    let values = compute::take(list.values(), &UInt64Array::from(indices), None)?;
    let DataType::List(item) = list.data_type() else {
        return failed(Error::internal("a list array without a list type"));
    };
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(ListArray::try_new(Arc::clone(item), offsets, values, None)?)
}

fn prefix_elements(prefix: &ArrayRef, list: &ArrayRef) -> Result<ListArray> {
    let prefix = compute::cast(prefix, &DataType::Utf8)?;
    let list = compute::cast(list, &DataType::List(text_item()))?;
    let (prefix, list) = (prefix.as_string::<i32>(), list.as_list::<i32>());
    let mut values: Vec<Option<String>> = Vec::new();
    let mut lengths = Vec::with_capacity(list.len());
    for row in 0..list.len() {
        let before = values.len();
        if list.is_valid(row) {
            let items = list.value(row);
            let items = items.as_string::<i32>();
            let head = prefix.is_valid(row).then(|| prefix.value(row));
            values.extend(items.iter().map(|item| Some(format!("{}{}", head?, item?))));
        }
        lengths.push(values.len() - before);
    }
    let values = Arc::new(StringArray::from(values));
    Ok(ListArray::try_new(
        text_item(),
        OffsetBuffer::from_lengths(lengths),
        values,
        None,
    )?)
}

/// Bounds of the first dimension, as bigint because generate_series takes nothing else; NULL of an empty or NULL list and of other dimensions.
fn bound(list: &ArrayRef, dimension: &ArrayRef, operation: Operation) -> Result<Int64Array> {
    let dimension = compute::cast(dimension, &DataType::Int64)?;
    let dimension = as_int64_array(&dimension)?;
    let Some(list) = list.as_list_opt::<i32>() else {
        return Ok(Int64Array::new_null(list.len()));
    };
    let bounds = (0..list.len()).map(|row| {
        let known = list.is_valid(row) && dimension.is_valid(row) && dimension.value(row) == 1;
        let length = if known { list.value_length(row) } else { 0 };
        (length > 0).then_some(if operation == Operation::Lower {
            1
        } else {
            i64::from(length)
        })
    });
    Ok(bounds.collect())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int32Array;
    use datafusion::arrow::array::types::Int32Type;

    use super::*;

    fn lists(rows: Vec<Option<Vec<Option<i32>>>>) -> ListArray {
        ListArray::from_iter_primitive::<Int32Type, _, _>(rows)
    }

    #[test]
    fn a_subquerys_value_is_its_only_row() {
        let list = lists(vec![
            Some(vec![Some(7)]),
            None,
            Some(vec![]),
            Some(vec![None]),
        ]);
        let values = value(&list).unwrap();
        assert_eq!(
            values.as_primitive::<Int32Type>(),
            &Int32Array::from(vec![Some(7), None, None, None])
        );
    }

    #[test]
    fn two_rows_are_an_error() {
        assert!(value(&lists(vec![Some(vec![Some(1), Some(2)])])).is_err());
    }

    #[test]
    fn no_rows_make_an_empty_array() {
        let list = empty_for_null(&lists(vec![None, Some(vec![Some(1), None])])).unwrap();
        assert!(list.is_valid(0));
        assert_eq!(list.value_length(0), 0);
        assert_eq!(
            list.value(1).as_primitive::<Int32Type>(),
            &Int32Array::from(vec![Some(1), None])
        );
    }

    #[test]
    fn bounds_count_from_one() {
        let list: ArrayRef = Arc::new(lists(vec![
            Some(vec![Some(5), Some(6)]),
            Some(vec![]),
            None,
        ]));
        let dimension: ArrayRef = Arc::new(Int32Array::from(vec![1, 1, 1]));
        let upper = bound(&list, &dimension, Operation::Upper).unwrap();
        assert_eq!(upper, Int64Array::from(vec![Some(2), None, None]));
    }
}
