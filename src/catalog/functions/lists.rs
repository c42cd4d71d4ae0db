//! Functions over lists: what `ARRAY(SELECT …)` and scalar subqueries of the catalog become, and
//! the bounds of an array.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, StringArray, StructArray,
    UInt64Array, UInt64Builder, new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::cast::as_int64_array;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::failed;
use crate::error::Error;
use crate::sqlstate::SqlState;

/// The one value of a list, NULL of an empty or NULL one, an error for more than one: the meaning
/// of a scalar subquery over its collected rows.
pub const SUBQUERY_VALUE: &str = "pg_subquery_value";
/// The list itself, empty for NULL: the meaning of `ARRAY(SELECT …)` over its collected rows.
pub const SUBQUERY_ARRAY: &str = "pg_subquery_array";
/// `ARRAY(SELECT prefix || x FROM unnest(list) x)`.
pub const PREFIX_ELEMENTS: &str = "pg_prefix_elements";

/// The elements of a list, each with its number from 1: the rows of
/// `information_schema._pg_expandarray(x)`.
pub const EXPAND_ARRAY: &str = "pg_expandarray_rows";
/// `name=value` texts split: the rows of `pg_options_to_table(x)`.
pub const OPTION_ROWS: &str = "pg_option_rows";

/// A field of a record, by its name as a constant. Not `get_field`, which the optimiser moves below the
/// unnesting of records, where the planner does not tell two columns of one name apart.
pub const RECORD_FIELD: &str = "pg_record_field";

/// The function [`SUBQUERY_VALUE`].
pub fn subquery_value() -> ScalarUDF {
    ScalarUDF::new_from_impl(ListFunction {
        name: SUBQUERY_VALUE,
        operation: Operation::Value,
        signature: Signature::any(1, Volatility::Immutable),
    })
}

pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    let functions = [
        (SUBQUERY_VALUE, Operation::Value, 1),
        (SUBQUERY_ARRAY, Operation::Array, 1),
        (PREFIX_ELEMENTS, Operation::Prefix, 2),
        (EXPAND_ARRAY, Operation::Expand, 1),
        (OPTION_ROWS, Operation::Options, 1),
        ("array_lower", Operation::Lower, 2),
        ("array_upper", Operation::Upper, 2),
    ];
    functions
        .into_iter()
        .map(|(name, operation, arguments)| {
            let signature = Signature::any(arguments, Volatility::Immutable);
            ScalarUDF::new_from_impl(ListFunction {
                name,
                operation,
                signature,
            })
        })
        .chain([ScalarUDF::new_from_impl(RecordField {
            signature: Signature::any(2, Volatility::Immutable),
        })])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RecordField {
    signature: Signature,
}

impl ScalarUDFImpl for RecordField {
    fn name(&self) -> &'static str {
        RECORD_FIELD
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        failed(Error::internal("the type of a field follows from its name"))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let record = args.arg_fields.first().map(|field| field.data_type());
        let name = args.scalar_arguments.get(1).copied().flatten();
        let name = name.and_then(|name| name.try_as_str().flatten());
        match (record, name) {
            (Some(DataType::Struct(fields)), Some(name)) => match fields.find(name) {
                Some((_, field)) => Ok(Arc::new(field.as_ref().clone().with_nullable(true))),
                None => failed(Error::undefined_column(format!(
                    "column \"{name}\" not found in data type record"
                ))),
            },
            _ => failed(Error::datatype_mismatch(
                "a field needs a record and a name",
            )),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [record, ColumnarValue::Scalar(name)] = args.args.as_slice() else {
            return failed(Error::internal("the name of a field is a constant"));
        };
        let record = record.to_array(args.number_rows)?;
        let field = name
            .try_as_str()
            .flatten()
            .and_then(|name| record.as_struct().column_by_name(name));
        match field {
            // A field of a record that is NULL is NULL.
            Some(field) => {
                let nulls = compute::is_null(&record)?;
                Ok(ColumnarValue::Array(compute::nullif(field, &nulls)?))
            }
            None => failed(Error::internal("a record has lost a field")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Value,
    Array,
    Prefix,
    Expand,
    Options,
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
            (Operation::Options, DataType::List(_)) => Ok(rows_type(option_fields())),
            (Operation::Expand, DataType::List(item)) => Ok(rows_type(expanded_fields(item))),
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
            Operation::Expand => Arc::new(expand(last.as_list::<i32>())?),
            Operation::Options => Arc::new(options(&last)?),
            Operation::Prefix => match arrays.pop() {
                Some(prefix) => Arc::new(prefix_elements(&prefix, &last)?),
                None => new_null_array(args.return_type(), rows),
            },
            Operation::Lower | Operation::Upper => match arrays.pop() {
                Some(list) => {
                    let vector = args.arg_fields.first().is_some_and(is_vector);
                    Arc::new(bound(&list, &last, self.operation, i64::from(!vector))?)
                }
                None => new_null_array(args.return_type(), rows),
            },
        };
        Ok(ColumnarValue::Array(result))
    }
}

/// Whether a column is an int2vector or oidvector, whose subscripts count from 0.
pub(super) fn is_vector(field: &FieldRef) -> bool {
    let name = field
        .metadata()
        .get(crate::catalog::pg_type::PG_TYPE_METADATA);
    name.is_some_and(|name| matches!(name.as_str(), "int2vector" | "oidvector"))
}

fn rows_type(fields: Fields) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(
        DataType::Struct(fields),
        true,
    )))
}

fn expanded_fields(item: &FieldRef) -> Fields {
    Fields::from(vec![
        item.as_ref().clone().with_name("x"),
        Field::new("n", DataType::Int32, true),
    ])
}

fn option_fields() -> Fields {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Fields::from(vec![text("option_name"), text("option_value")])
}

fn rows(fields: Fields, columns: Vec<ArrayRef>, lengths: Vec<usize>) -> Result<ListArray> {
    let records = StructArray::try_new(fields.clone(), columns, None)?;
    let item = Arc::new(Field::new_list_field(DataType::Struct(fields), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(ListArray::try_new(item, offsets, Arc::new(records), None)?)
}

fn expand(list: &ListArray) -> Result<ListArray> {
    let whole = empty_for_null(list)?;
    let DataType::List(item) = list.data_type() else {
        return failed(Error::internal("a list array without a list type"));
    };
    let lengths: Vec<usize> = whole.offsets().lengths().collect();
    let numbers = lengths
        .iter()
        .flat_map(|length| 1..=i32::try_from(*length).unwrap_or(i32::MAX));
    let numbers: Int32Array = numbers.map(Some).collect();
    let columns = vec![Arc::clone(whole.values()), Arc::new(numbers) as ArrayRef];
    rows(expanded_fields(item), columns, lengths)
}

fn options(list: &ArrayRef) -> Result<ListArray> {
    let list = compute::cast(list, &DataType::List(text_item()))?;
    let whole = empty_for_null(list.as_list::<i32>())?;
    let texts = whole.values().as_string::<i32>();
    let split = |text: Option<&str>| match text.and_then(|text| text.split_once('=')) {
        Some((name, value)) => (Some(name.to_owned()), Some(value.to_owned())),
        None => (text.map(str::to_owned), None),
    };
    let (names, values): (Vec<_>, Vec<_>) = texts.iter().map(split).unzip();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names)),
        Arc::new(StringArray::from(values)),
    ];
    let lengths = whole.offsets().lengths().collect();
    rows(option_fields(), columns, lengths)
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
                return failed(Error::new(
                    SqlState::CardinalityViolation,
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
fn bound(
    list: &ArrayRef,
    dimension: &ArrayRef,
    operation: Operation,
    first: i64,
) -> Result<Int64Array> {
    let dimension = compute::cast(dimension, &DataType::Int64)?;
    let dimension = as_int64_array(&dimension)?;
    let Some(list) = list.as_list_opt::<i32>() else {
        return Ok(Int64Array::new_null(list.len()));
    };
    let bounds = (0..list.len()).map(|row| {
        let known = list.is_valid(row) && dimension.is_valid(row) && dimension.value(row) == 1;
        let length = if known { list.value_length(row) } else { 0 };
        (length > 0).then_some(if operation == Operation::Lower {
            first
        } else {
            first + i64::from(length) - 1
        })
    });
    Ok(bounds.collect())
}

#[cfg(test)]
mod tests {
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
        let upper = bound(&list, &dimension, Operation::Upper, 1).unwrap();
        assert_eq!(upper, Int64Array::from(vec![Some(2), None, None]));
    }
}
