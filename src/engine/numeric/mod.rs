//! PostgreSQL's `numeric` over Arrow's decimals, which have one scale for a whole column.
//!
//! Sums, differences and products have the scale that PostgreSQL shows. A quotient's number of digits
//! depends on its operands, so quotients are rounded as PostgreSQL rounds them and stored with
//! [`QUOTIENT_SCALE`] digits; [`display_scale`](crate::values::digits::display_scale) says how many of those are shown.

mod aggregate;
mod deviation;
mod divide;
mod frames;
mod functions;
mod moments;
mod operator;
mod roots;
mod whole;

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType};

use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;

pub(super) use operator::{Divide, Multiply};

use crate::values::digits::{DEVIATION_SCALE, FREE_SCALE, QUOTIENT_SCALE, VARIANCE_SCALE};

/// Replaces DataFusion's functions of numbers.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for function in functions::functions() {
        state.register_udf(function)?;
    }
    whole::register(state)?;
    deviation::register(state)?;
    aggregate::register(state)
}

/// Digits before the point for which a free numeric has room.
const FREE_WHOLE_DIGITS: u8 = 38;

/// Precision and scale of a whole number or a decimal.
pub(super) fn shape(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

/// The decimal of this precision, or of the greatest there is.
pub(super) fn decimal(precision: i32, scale: i8) -> DataType {
    let least = i32::from(scale.max(1));
    if precision.max(least) <= i32::from(DECIMAL128_MAX_PRECISION) {
        DataType::Decimal128(precision.max(least) as u8, scale)
    } else {
        let most = i32::from(DECIMAL256_MAX_PRECISION);
        DataType::Decimal256(precision.clamp(least, most) as u8, scale)
    }
}

/// The type of a numeric whose scale nobody declared.
pub(super) fn free() -> DataType {
    DataType::Decimal256(FREE_WHOLE_DIGITS + FREE_SCALE as u8, FREE_SCALE)
}

fn whole_digits((precision, scale): (u8, i8)) -> i32 {
    i32::from(precision) - i32::from(scale)
}

/// The type that holds every value of both exactly.
pub(super) fn common(left: (u8, i8), right: (u8, i8)) -> DataType {
    let scale = left.1.max(right.1).max(0);
    let whole = whole_digits(left).max(whole_digits(right));
    decimal(whole + i32::from(scale), scale)
}

/// The type of a sum or difference.
pub(super) fn sum(left: (u8, i8), right: (u8, i8)) -> DataType {
    let scale = left.1.max(right.1).max(0);
    let whole = whole_digits(left).max(whole_digits(right));
    decimal(whole + i32::from(scale) + 1, scale)
}

/// The type of a product. Products of many places are rounded to [`FREE_SCALE`].
pub(super) fn product(left: (u8, i8), right: (u8, i8)) -> DataType {
    let scale = (left.1.max(0) + right.1.max(0)).min(FREE_SCALE.max(left.1).max(right.1));
    let whole = whole_digits(left) + whole_digits(right);
    decimal(whole + i32::from(scale), scale)
}

/// The type of a quotient.
pub(super) fn quotient(left: (u8, i8), right: (u8, i8)) -> DataType {
    // Digits of what is computed are no declared ones.
    let own = |scale: i8| match scale {
        VARIANCE_SCALE | DEVIATION_SCALE => QUOTIENT_SCALE,
        scale => scale,
    };
    let scale = QUOTIENT_SCALE.max(own(left.1)).max(own(right.1));
    let whole = whole_digits(left) + i32::from(right.1.max(0));
    decimal(whole + i32::from(scale), scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_hold_every_result() {
        assert_eq!(sum((10, 2), (10, 0)), DataType::Decimal128(13, 2));
        assert_eq!(product((10, 2), (10, 0)), DataType::Decimal128(20, 2));
        assert_eq!(product((38, 10), (38, 10)), DataType::Decimal256(76, 20));
        assert_eq!(quotient((10, 2), (2, 1)), DataType::Decimal128(37, 28));
        assert_eq!(quotient((19, 0), (19, 0)), DataType::Decimal256(47, 28));
    }
}
