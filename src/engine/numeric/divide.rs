//! Quotients of decimals with as many digits as PostgreSQL computes.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, PrimitiveArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, i256};
use datafusion::error::Result;

use super::{decimal, shape};
use crate::error::Error;
use crate::values::digits::{QUOTIENT_SCALE, SIGNIFICANT_DIGITS_MIN, display_scale};

/// Decimal digits in one digit of PostgreSQL's numeric.
const GROUP_DIGITS: i32 = 4;

/// Decimal digits that an i128 is sure to hold.
const I128_DIGITS: i32 = 38;

/// `left / right` as decimals of type `target`; both sides are whole numbers or decimals.
///
/// 22012 for a zero on the right, 22003 for a quotient that leaves the type.
pub(super) fn divide(left: &ArrayRef, right: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let (Some((left_precision, left_scale)), Some((right_precision, right_scale))) =
        (shape(left.data_type()), shape(right.data_type()))
    else {
        return Err(Error::internal("a quotient of what is not numeric").into());
    };
    let wide = i32::from(left_precision) > I128_DIGITS
        || i32::from(right_precision) > I128_DIGITS
        || matches!(target, DataType::Decimal256(..));
    let scales = Scales {
        left: i32::from(left_scale.max(0)),
        right: i32::from(right_scale.max(0)),
        target: i32::from(shape(target).map_or(QUOTIENT_SCALE, |(_, scale)| scale)),
    };
    if wide {
        let left = wide_values(left, left_scale)?;
        let right = wide_values(right, right_scale)?;
        let quotients = each(&left, &right, |left, right| scales.wide(left, right))?;
        let quotients: Decimal256Array = quotients.into_iter().collect();
        finish_wide(quotients, target)
    } else {
        let left = narrow_values(left, left_scale)?;
        let right = narrow_values(right, right_scale)?;
        let quotients = each(&left, &right, |left, right| scales.narrow(left, right))?;
        let quotients: Decimal128Array = quotients.into_iter().collect();
        let (precision, scale) = shape(target).unwrap_or((38, QUOTIENT_SCALE));
        Ok(Arc::new(
            quotients.with_precision_and_scale(precision, scale)?,
        ))
    }
}

pub(super) fn finish_wide(quotients: Decimal256Array, target: &DataType) -> Result<ArrayRef> {
    let (precision, scale) = shape(target).unwrap_or((76, QUOTIENT_SCALE));
    if matches!(target, DataType::Decimal256(..)) {
        return Ok(Arc::new(
            quotients.with_precision_and_scale(precision, scale)?,
        ));
    }
    let narrow = quotients
        .iter()
        .map(|value| {
            value
                .map(|value| value.to_i128().ok_or_else(overflow))
                .transpose()
        })
        .collect::<std::result::Result<Decimal128Array, _>>()?;
    Ok(Arc::new(narrow.with_precision_and_scale(precision, scale)?))
}

fn each<T, V>(
    left: &PrimitiveArray<T>,
    right: &PrimitiveArray<T>,
    divide: impl Fn(V, V) -> Result<V>,
) -> Result<Vec<Option<V>>>
where
    T: datafusion::arrow::array::ArrowPrimitiveType<Native = V>,
    V: datafusion::arrow::datatypes::ArrowNativeType,
{
    let one = |array: &PrimitiveArray<T>, row: usize| {
        let row = if array.len() == 1 { 0 } else { row };
        array.is_valid(row).then(|| array.value(row))
    };
    (0..left.len().max(right.len()))
        .map(|row| match (one(left, row), one(right, row)) {
            (Some(left), Some(right)) => divide(left, right).map(Some),
            _ => Ok(None),
        })
        .collect()
}

fn narrow_values(array: &ArrayRef, scale: i8) -> Result<Decimal128Array> {
    let array = cast(array, &DataType::Decimal128(38, scale.max(0)))?;
    Ok(array.as_primitive::<Decimal128Type>().clone())
}

pub(super) fn wide_values(array: &ArrayRef, scale: i8) -> Result<Decimal256Array> {
    let array = cast(array, &DataType::Decimal256(76, scale.max(0)))?;
    Ok(array.as_primitive::<Decimal256Type>().clone())
}

/// The scales of the operands and of the result's type.
#[derive(Clone, Copy)]
struct Scales {
    left: i32,
    right: i32,
    target: i32,
}

impl Scales {
    fn narrow(self, left: i128, right: i128) -> Result<i128> {
        if right == 0 {
            return Err(Error::division_by_zero("division by zero").into());
        }
        if left == 0 {
            return Ok(0);
        }
        let (above, below) = (left.unsigned_abs(), right.unsigned_abs());
        let places = self.places(
            above.ilog10(),
            below.ilog10(),
            |digits| leading(above, digits),
            |digits| leading(below, digits),
            (zeros(above), zeros(below)),
        );
        let power = places + self.right - self.left;
        let fits = above.ilog10() as i32 + power.max(0) < I128_DIGITS
            && below.ilog10() as i32 - power.min(0) < I128_DIGITS
            && self.target - places < I128_DIGITS;
        if !fits {
            let wide = self.wide(i256::from_i128(left), i256::from_i128(right))?;
            return wide.to_i128().ok_or_else(|| overflow().into());
        }
        let above = above * 10_u128.pow(power.max(0).unsigned_abs());
        let below = below * 10_u128.pow((-power).max(0).unsigned_abs());
        let rest = above % below;
        let rounded = above / below + u128::from(rest >= below - rest);
        let stored = i128::try_from(rounded)
            .ok()
            .and_then(|value| value.checked_mul(10_i128.pow((self.target - places).unsigned_abs())))
            .ok_or_else(overflow)?;
        Ok(if (left < 0) == (right < 0) {
            stored
        } else {
            -stored
        })
    }

    fn wide(self, left: i256, right: i256) -> Result<i256> {
        if right == i256::ZERO {
            return Err(Error::division_by_zero("division by zero").into());
        }
        if left == i256::ZERO {
            return Ok(i256::ZERO);
        }
        let (above, below) = (left.wrapping_abs(), right.wrapping_abs());
        let (above_digits, below_digits) = (above.to_string(), below.to_string());
        let trailing = |text: &str| (text.len() - text.trim_end_matches('0').len()) as u32;
        let places = self.places(
            above_digits.len() as u32 - 1,
            below_digits.len() as u32 - 1,
            |digits| leading_of(&above_digits, digits),
            |digits| leading_of(&below_digits, digits),
            (trailing(&above_digits), trailing(&below_digits)),
        );
        let power = places + self.right - self.left;
        let above = scaled(above, power.max(0))?;
        let below = scaled(below, (-power).max(0))?;
        let rest = above.wrapping_rem(below);
        let mut rounded = above.wrapping_div(below);
        if rest >= below.wrapping_sub(rest) {
            rounded = rounded.wrapping_add(i256::ONE);
        }
        let stored = scaled(rounded, self.target - places)?;
        let negative = (left < i256::ZERO) != (right < i256::ZERO);
        Ok(if negative {
            stored.wrapping_neg()
        } else {
            stored
        })
    }

    /// PostgreSQL's `select_div_scale`: digits behind the point so that the quotient has 16
    /// significant ones, and no fewer than either operand shows.
    fn places(
        self,
        above_log: u32,
        below_log: u32,
        above_leading: impl Fn(i32) -> u32,
        below_leading: impl Fn(i32) -> u32,
        (above_zeros, below_zeros): (u32, u32),
    ) -> i32 {
        let above_exponent = above_log as i32 - self.left;
        let below_exponent = below_log as i32 - self.right;
        let above_weight = above_exponent.div_euclid(GROUP_DIGITS);
        let below_weight = below_exponent.div_euclid(GROUP_DIGITS);
        let first = |exponent: i32| exponent.rem_euclid(GROUP_DIGITS) + 1;
        let smaller = above_leading(first(above_exponent)) <= below_leading(first(below_exponent));
        let weight = above_weight - below_weight - i32::from(smaller);
        let shown = |scale: i32, log: u32, zeros: u32| {
            i32::from(display_scale(scale as i8, log + 1, zeros, false))
        };
        (SIGNIFICANT_DIGITS_MIN - weight * GROUP_DIGITS)
            .max(shown(self.left, above_log, above_zeros))
            .max(shown(self.right, below_log, below_zeros))
            .clamp(0, self.target)
    }
}

/// PostgreSQL's `select_div_scale` for positive numbers of any size: `above` has `scale` of its digits
/// behind the point, `below` none.
pub(super) fn div_places(above: &str, scale: i32, below: &str) -> i32 {
    let above_exponent = above.len() as i32 - 1 - scale;
    let below_exponent = below.len() as i32 - 1;
    let first = |text: &str, exponent: i32| leading_of(text, exponent.rem_euclid(GROUP_DIGITS) + 1);
    let smaller = first(above, above_exponent) <= first(below, below_exponent);
    let weight = above_exponent.div_euclid(GROUP_DIGITS)
        - below_exponent.div_euclid(GROUP_DIGITS)
        - i32::from(smaller);
    SIGNIFICANT_DIGITS_MIN - weight * GROUP_DIGITS
}

/// The number that the first `digits` decimal digits of a value make.
fn leading(value: u128, digits: i32) -> u32 {
    let count = value.ilog10() as i32 + 1;
    let first = match count - digits {
        more @ 0.. => value / 10_u128.pow(more.unsigned_abs()),
        missing => value * 10_u128.pow(missing.unsigned_abs()),
    };
    first as u32
}

fn leading_of(text: &str, digits: i32) -> u32 {
    let digits = digits.unsigned_abs() as usize;
    let first = text.get(..digits).unwrap_or(text);
    let value: u32 = first.parse().unwrap_or(0);
    value * 10_u32.pow((digits - first.len()) as u32)
}

fn zeros(mut value: u128) -> u32 {
    let mut count = 0;
    while value != 0 && value.is_multiple_of(10) {
        value /= 10;
        count += 1;
    }
    count
}

pub(super) fn scaled(value: i256, power: i32) -> Result<i256> {
    i256::from_i128(10)
        .checked_pow(power.unsigned_abs())
        .and_then(|factor| value.checked_mul(factor))
        .ok_or_else(|| overflow().into())
}

pub(super) fn overflow() -> Error {
    Error::numeric_value_out_of_range("value overflows numeric format")
}

/// `left * right` as decimals of type `target`, rounded where it has fewer places.
pub(super) fn multiply(left: &ArrayRef, right: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let (Some(of_left), Some(of_right), Some(of_target)) = (
        shape(left.data_type()),
        shape(right.data_type()),
        shape(target),
    ) else {
        return Err(Error::internal("a product of what is not numeric").into());
    };
    let excess =
        i32::from(of_left.1.max(0)) + i32::from(of_right.1.max(0)) - i32::from(of_target.1);
    let left = wide_values(left, of_left.1)?;
    let right = wide_values(right, of_right.1)?;
    let products = each(&left, &right, |left: i256, right: i256| {
        if left == i256::ZERO || right == i256::ZERO {
            return Ok(i256::ZERO);
        }
        // Zeros at the end go first, so that only digits that count can overflow.
        let (mut left, mut right, mut excess) = (left, right, excess);
        let ten = i256::from_i128(10);
        for side in [&mut left, &mut right] {
            while excess > 0 && side.wrapping_rem(ten) == i256::ZERO {
                *side = side.wrapping_div(ten);
                excess -= 1;
            }
        }
        let product = left.checked_mul(right).ok_or_else(overflow)?;
        Ok(rounded(product, excess))
    })?;
    let products: Decimal256Array = products.into_iter().collect();
    finish_wide(products, target)
}

/// The value without its last `places` digits, rounded half away from zero.
pub(super) fn rounded(value: i256, places: i32) -> i256 {
    let Some(factor) = i256::from_i128(10).checked_pow(places.max(0).unsigned_abs()) else {
        return i256::ZERO;
    };
    let rest = value.wrapping_rem(factor).wrapping_abs();
    let whole = value.wrapping_div(factor);
    if rest == i256::ZERO || rest < factor.wrapping_sub(rest) {
        whole
    } else if value < i256::ZERO {
        whole.wrapping_sub(i256::ONE)
    } else {
        whole.wrapping_add(i256::ONE)
    }
}

/// The type that a sum of this type of decimals is added up in.
pub(super) fn total(precision: u8, scale: i8) -> DataType {
    /// Digits that the number of rows may add.
    const ROW_DIGITS: i32 = 19;
    decimal(i32::from(precision) + ROW_DIGITS, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotient(left: (i128, i8), right: (i128, i8)) -> (i128, DataType) {
        let array = |(value, scale)| {
            let array = Decimal128Array::from(vec![value]);
            Arc::new(array.with_precision_and_scale(15, scale).unwrap()) as ArrayRef
        };
        let target = super::super::quotient((15, left.1), (15, right.1));
        let result = divide(&array(left), &array(right), &target).unwrap();
        let wide = cast(&result, &DataType::Decimal256(76, QUOTIENT_SCALE)).unwrap();
        let value = wide.as_primitive::<Decimal256Type>().value(0);
        (value.to_i128().unwrap(), target)
    }

    #[test]
    fn quotients_are_rounded_where_postgresql_rounds_them() {
        let places =
            |digits: &str, zeros: u32| digits.parse::<i128>().unwrap() * 10_i128.pow(zeros);
        // 1 / 3.0, 100 / 3.0, 2 / 3.0, -2.00 / 3, 7.0 / 4
        assert_eq!(
            quotient((1, 0), (30, 1)).0,
            places("33333333333333333333", 8)
        );
        assert_eq!(
            quotient((100, 0), (30, 1)).0,
            places("333333333333333333", 12)
        );
        assert_eq!(
            quotient((2, 0), (30, 1)).0,
            places("66666666666666666667", 8)
        );
        assert_eq!(
            quotient((-200, 2), (3, 0)).0,
            places("-66666666666666666667", 8)
        );
        assert_eq!(quotient((70, 1), (4, 0)).0, places("175", 26));
        assert_eq!(
            quotient((1, 2), (123456, 0)).0,
            places("81000518403317781", 4)
        );
    }
}
