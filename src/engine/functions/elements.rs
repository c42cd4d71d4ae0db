//! `array_remove` and `array_replace`: every element that is not distinct from a value, NULL included.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt64Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::compute::{filter, not, take};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::numbering::met;
use crate::error::Error;

/// Registers them.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for name in ["array_remove", "array_replace"] {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Elements {
            name,
            signature: Signature::user_defined(Volatility::Immutable),
        })))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Elements {
    name: &'static str,
    signature: Signature,
}

impl Elements {
    fn undefined(&self) -> datafusion::error::DataFusionError {
        let text = format!("function {} of these types does not exist", self.name);
        Error::undefined_function(text).into()
    }
}

impl ScalarUDFImpl for Elements {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let count = if self.name == "array_remove" { 2 } else { 3 };
        let [list, values @ ..] = types else {
            return Err(self.undefined());
        };
        if types.len() != count {
            return Err(self.undefined());
        }
        let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) =
            list
        else {
            return match list {
                DataType::Null => Ok(types.to_vec()),
                _ => Err(self.undefined()),
            };
        };
        if item.data_type().is_list() {
            return Ok(types.to_vec());
        }
        let common = values
            .iter()
            .fold(item.data_type().clone(), |common, value| {
                met(&common, value)
            });
        let item = item.as_ref().clone().with_data_type(common.clone());
        let mut coerced = vec![DataType::List(Arc::new(item))];
        coerced.extend(values.iter().map(|_| common.clone()));
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let list = args.arg_fields.first();
        let list = list.ok_or_else(|| Error::internal("elements of no array"))?;
        Ok(Arc::new(list.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let lists = arrays.first().and_then(|array| array.as_list_opt::<i32>());
        let (Some(lists), Some(sought)) = (lists, arrays.get(1)) else {
            // Of NULL of no type.
            let rows = arrays.first().map_or(0, Array::len);
            let none = datafusion::arrow::array::new_null_array(args.return_type(), rows);
            return Ok(ColumnarValue::Array(none));
        };
        if lists.value_type().is_list() {
            return Err(match self.name {
                "array_remove" => Error::feature_not_supported(
                    "removing elements from multidimensional arrays is not supported",
                ),
                _ => Error::feature_not_supported(
                    "replacing elements of multidimensional arrays is not supported",
                ),
            }
            .into());
        }
        let rows = rows(lists);
        let first = usize::try_from(lists.value_offsets()[0]).unwrap_or(0);
        let values = lists.values().slice(first, rows.len());
        let found = not_distinct(&values, &take(sought, &rows, None)?)?;
        let result = match arrays.get(2) {
            Some(instead) => {
                let instead = take(instead, &rows, None)?;
                with_values(lists, zip(&found, &instead, &values)?)?
            }
            None => without(lists, first, &values, &found)?,
        };
        Ok(ColumnarValue::Array(result))
    }
}

/// The row of each element.
fn rows(lists: &ListArray) -> UInt64Array {
    let offsets = lists.value_offsets().windows(2).enumerate();
    offsets
        .flat_map(|(row, bounds)| (bounds[0]..bounds[1]).map(move |_| row as u64))
        .collect()
}

fn item(lists: &ListArray) -> Result<FieldRef> {
    match lists.data_type() {
        DataType::List(item) => Ok(Arc::clone(item)),
        _ => Err(Error::internal("a list array without a list type").into()),
    }
}

fn with_values(lists: &ListArray, values: ArrayRef) -> Result<ArrayRef> {
    let lengths = lists.value_offsets().windows(2);
    let lengths = lengths.map(|bounds| usize::try_from(bounds[1] - bounds[0]).unwrap_or(0));
    Ok(Arc::new(ListArray::try_new(
        item(lists)?,
        OffsetBuffer::from_lengths(lengths),
        values,
        lists.nulls().cloned(),
    )?))
}

fn without(
    lists: &ListArray,
    first: usize,
    values: &ArrayRef,
    found: &BooleanArray,
) -> Result<ArrayRef> {
    let place = |offset: i32| usize::try_from(offset).unwrap_or(0).saturating_sub(first);
    let lengths = lists.value_offsets().windows(2).map(|bounds| {
        (place(bounds[0])..place(bounds[1]))
            .filter(|at| !found.value(*at))
            .count()
    });
    Ok(Arc::new(ListArray::try_new(
        item(lists)?,
        OffsetBuffer::from_lengths(lengths),
        filter(values, &not(found)?)?,
        lists.nulls().cloned(),
    )?))
}
