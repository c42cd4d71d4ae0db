//! Divisors, multiples and factorials of whole numbers, and the digits behind a numeric's point.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Decimal256Array, Int32Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal256Type, Int64Type, i256};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::divide::overflow;
use super::{free, shape};
use crate::error::Error;
use crate::values::digits::FREE_SCALE;

/// The greatest number whose factorial has no more than 76 digits.
const FACTORIAL_MAX: i64 = 56;

/// Registers them.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for (name, kind) in [
        ("gcd", Kind::Divisor),
        ("lcm", Kind::Multiple),
        ("factorial", Kind::Factorial),
        ("min_scale", Kind::LeastScale),
        ("trim_scale", Kind::Trimmed),
    ] {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Whole {
            name,
            kind,
            signature: Signature::user_defined(Volatility::Immutable),
        })))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Divisor,
    Multiple,
    Factorial,
    LeastScale,
    Trimmed,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Whole {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl Whole {
    fn undefined(&self) -> Error {
        let text = format!("function {} of these types does not exist", self.name);
        Error::undefined_function(text).with_hint(
            "No function matches the given name and argument types. You might need to add \
             explicit type casts.",
        )
    }
}

impl ScalarUDFImpl for Whole {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_open = |of: &DataType| of.is_null() || of.is_string();
        let is_whole = |of: &DataType| of.is_integer() || is_open(of);
        let is_small = |of: &DataType| {
            matches!(of, DataType::Int8 | DataType::Int16 | DataType::Int32) || is_open(of)
        };
        match (self.kind, types) {
            (Kind::Divisor | Kind::Multiple, [left, right])
                if is_whole(left) && is_whole(right) =>
            {
                let of = match is_small(left) && is_small(right) {
                    true => DataType::Int32,
                    false => DataType::Int64,
                };
                Ok(vec![of.clone(), of])
            }
            (Kind::Factorial, [of]) if is_whole(of) => Ok(vec![DataType::Int64]),
            (Kind::LeastScale | Kind::Trimmed, [of]) if shape(of).is_some() || is_open(of) => {
                Ok(vec![free()])
            }
            _ => Err(self.undefined().into()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Divisor | Kind::Multiple => types.first().cloned().unwrap_or(DataType::Int64),
            Kind::Factorial => DataType::Decimal256(76, 0),
            Kind::LeastScale => DataType::Int32,
            Kind::Trimmed => free(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let result: ArrayRef = match (self.kind, arrays.as_slice()) {
            (Kind::Divisor | Kind::Multiple, [left, right]) => {
                let pair = (
                    cast(left, &DataType::Int64)?,
                    cast(right, &DataType::Int64)?,
                );
                let most = match args.return_type() {
                    DataType::Int32 => i64::from(i32::MAX),
                    _ => i64::MAX,
                };
                let numbers = of_pairs(&pair, self.kind, most)?;
                cast(&numbers, args.return_type())?
            }
            (Kind::Factorial, [of]) => Arc::new(
                of.as_primitive::<Int64Type>()
                    .iter()
                    .map(|of| of.map(factorial).transpose())
                    .collect::<Result<Decimal256Array>>()?
                    .with_precision_and_scale(76, 0)?,
            ),
            (Kind::LeastScale, [of]) => {
                let values = of.as_primitive::<Decimal256Type>();
                Arc::new(Int32Array::from_iter(
                    values.iter().map(|value| value.map(least_scale)),
                ))
            }
            (Kind::Trimmed, [of]) => Arc::clone(of),
            _ => return Err(self.undefined().into()),
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn of_pairs((left, right): &(ArrayRef, ArrayRef), kind: Kind, most: i64) -> Result<Int64Array> {
    let pairs = left
        .as_primitive::<Int64Type>()
        .iter()
        .zip(right.as_primitive::<Int64Type>());
    pairs
        .map(|pair| {
            let (Some(left), Some(right)) = pair else {
                return Ok(None);
            };
            let divisor = divisor(left.unsigned_abs(), right.unsigned_abs());
            let number = match (kind, divisor) {
                (Kind::Multiple, 0) => Some(0),
                (Kind::Multiple, divisor) => {
                    (left.unsigned_abs() / divisor).checked_mul(right.unsigned_abs())
                }
                (_, divisor) => Some(divisor),
            };
            let number = number
                .and_then(|number| i64::try_from(number).ok())
                .filter(|number| *number <= most);
            match number {
                Some(number) => Ok(Some(number)),
                None => {
                    let of = if most == i64::MAX {
                        "bigint"
                    } else {
                        "integer"
                    };
                    Err(Error::numeric_value_out_of_range(format!("{of} out of range")).into())
                }
            }
        })
        .collect()
}

fn divisor(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

fn factorial(of: i64) -> Result<i256> {
    if of < 0 {
        let text = "factorial of a negative number is undefined";
        return Err(Error::numeric_value_out_of_range(text).into());
    }
    if of > FACTORIAL_MAX {
        return Err(overflow().into());
    }
    Ok((2..=of).fold(i256::ONE, |product, factor| {
        product.wrapping_mul(i256::from_i128(factor.into()))
    }))
}

/// Digits behind the point up to the last that is not zero.
fn least_scale(value: i256) -> i32 {
    let text = value.to_string();
    let zeros = text.len() - text.trim_end_matches('0').len();
    match value == i256::ZERO {
        true => 0,
        false => (i32::from(FREE_SCALE) - zeros as i32).max(0),
    }
}
