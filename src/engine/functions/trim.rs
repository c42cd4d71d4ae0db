//! `trim_array`: an array without its last elements.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Int64Array, ListArray, UInt64Array};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::render::type_name;
use crate::error::Error;
use crate::sqlstate::SqlState;

/// Registers it.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(TrimArray {
        signature: Signature::user_defined(Volatility::Immutable),
    })))?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TrimArray {
    signature: Signature,
}

impl ScalarUDFImpl for TrimArray {
    fn name(&self) -> &'static str {
        "trim_array"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [list @ DataType::List(_), count] if count.is_integer() || count.is_null() => {
                Ok(vec![list.clone(), DataType::Int64])
            }
            types => {
                let types: Vec<String> = types.iter().map(type_name).collect();
                let text = format!("function trim_array({}) does not exist", types.join(", "));
                Err(Error::undefined_function(text).into())
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types
            .first()
            .cloned()
            .ok_or_else(|| Error::internal("trim_array without an array").into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields.first() {
            Some(list) => Ok(Arc::new(
                Field::new(self.name(), list.data_type().clone(), true)
                    .with_metadata(list.metadata().clone()),
            )),
            None => Err(Error::internal("trim_array without an array").into()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        match arrays.as_slice() {
            [lists, counts] => Ok(ColumnarValue::Array(Arc::new(trimmed(
                lists.as_list(),
                counts.as_primitive::<Int64Type>(),
            )?))),
            _ => Err(Error::internal("trim_array without an array").into()),
        }
    }
}

fn trimmed(lists: &ListArray, counts: &Int64Array) -> Result<ListArray> {
    let offsets = lists.value_offsets();
    let bound = |at: usize| usize::try_from(offsets[at]).unwrap_or(0);
    let (mut indices, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..lists.len() {
        let known = lists.is_valid(row) && counts.is_valid(row);
        let mut kept = 0;
        if known {
            let length = bound(row + 1) - bound(row);
            kept = usize::try_from(counts.value(row))
                .ok()
                .and_then(|count| length.checked_sub(count))
                .ok_or_else(|| {
                    Error::new(
                        SqlState::ArraySubscriptError,
                        format!("number of elements to trim must be between 0 and {length}"),
                    )
                })?;
            indices.extend((bound(row)..bound(row) + kept).map(|at| at as u64));
        }
        lengths.push(kept);
        valid.push(known);
    }
    let DataType::List(item) = lists.data_type() else {
        return Err(Error::internal("a list array without a list type").into());
    };
    Ok(ListArray::try_new(
        Arc::clone(item),
        OffsetBuffer::from_lengths(lengths),
        take(lists.values(), &UInt64Array::from(indices), None)?,
        Some(NullBuffer::from(valid)),
    )?)
}
