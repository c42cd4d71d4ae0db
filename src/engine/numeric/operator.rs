//! `/` and `*` of numerics where Arrow's own would lose digits.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::{divide, product, quotient, shape};
use crate::error::Error;

/// `numeric / numeric` with PostgreSQL's digits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Divide {
    signature: Signature,
}

/// `numeric * numeric` of many digits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Multiply {
    signature: Signature,
}

impl Divide {
    /// The function.
    pub(in crate::engine) fn new() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl Multiply {
    /// The function.
    pub(in crate::engine) fn new() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Divide {
    fn name(&self) -> &'static str {
        "numeric_divide"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        result_type(types, quotient)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        apply(&args, divide::divide, Float::Divide)
    }
}

impl ScalarUDFImpl for Multiply {
    fn name(&self) -> &'static str {
        "numeric_multiply"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        result_type(types, product)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        apply(&args, divide::multiply, Float::Multiply)
    }
}

fn result_type(
    types: &[DataType],
    of: impl Fn((u8, i8), (u8, i8)) -> DataType,
) -> Result<DataType> {
    match types {
        // An operand may turn out to be a float only when types have been coerced.
        [left, right] if left.is_floating() || right.is_floating() => Ok(DataType::Float64),
        [left, right] => match (shape(left), shape(right)) {
            (Some(left), Some(right)) => Ok(of(left, right)),
            (Some(known), None) if right.is_null() => Ok(of(known, known)),
            (None, Some(known)) if left.is_null() => Ok(of(known, known)),
            _ => Err(Error::internal("arithmetic of what is not numeric").into()),
        },
        _ => Err(Error::internal("an operator takes two operands").into()),
    }
}

/// The operators on floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Float {
    Divide,
    Multiply,
}

impl Float {
    fn compute(self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let left = cast(left, &DataType::Float64)?;
        let right = cast(right, &DataType::Float64)?;
        let (left, right) = (
            left.as_primitive::<Float64Type>(),
            right.as_primitive::<Float64Type>(),
        );
        let at = |array: &Float64Array, row: usize| {
            let row = if array.len() == 1 { 0 } else { row };
            array.is_valid(row).then(|| array.value(row))
        };
        let results = (0..left.len().max(right.len()))
            .map(|row| match (at(left, row), at(right, row)) {
                (Some(left), Some(right)) if self == Self::Multiply => Ok(Some(left * right)),
                (Some(left), Some(right)) if right != 0.0 || left.is_nan() => {
                    Ok(Some(left / right))
                }
                (Some(_), Some(_)) => Err(Error::division_by_zero("division by zero")),
                _ => Ok(None),
            })
            .collect::<std::result::Result<Float64Array, _>>()?;
        Ok(Arc::new(results))
    }
}

fn apply(
    args: &ScalarFunctionArgs,
    compute: impl Fn(&ArrayRef, &ArrayRef, &DataType) -> Result<ArrayRef>,
    float: Float,
) -> Result<ColumnarValue> {
    let target = args.return_field.data_type();
    let mut constant = true;
    let mut operands = Vec::with_capacity(args.args.len());
    for argument in &args.args {
        operands.push(match argument {
            ColumnarValue::Array(array) => {
                constant = false;
                Arc::clone(array)
            }
            ColumnarValue::Scalar(value) if value.is_null() => {
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from(target)?));
            }
            ColumnarValue::Scalar(value) => value.to_array()?,
        });
    }
    let [left, right] = operands.as_slice() else {
        return Err(Error::internal("an operator takes two operands").into());
    };
    let empty = !constant && args.number_rows == 0;
    if empty {
        return Ok(ColumnarValue::Array(
            datafusion::arrow::array::new_empty_array(target),
        ));
    }
    let result = match target {
        DataType::Float64 => float.compute(left, right)?,
        target => compute(left, right, target)?,
    };
    match constant && result.len() == 1 {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
            &result, 0,
        )?)),
        false => Ok(ColumnarValue::Array(result)),
    }
}
