//! Roots, powers and logarithms of numerics with PostgreSQL's digits.
//!
//! Computed in fixed point with [`PLACES`] digits behind the point, rounded to as many as PostgreSQL
//! gives, and returned with [`FREE_SCALE`] of them.

use datafusion::arrow::datatypes::i256;
use datafusion::error::{DataFusionError, Result};
use num_bigint::{BigInt, Sign};

use super::divide::overflow;
use crate::error::Error;
use crate::sqlstate::SqlState;
use crate::values::digits::FREE_SCALE;

/// Digits behind the point of what is computed on the way.
const PLACES: u32 = 90;

/// Significant digits of a result at the least.
const SIGNIFICANT_DIGITS_MIN: i32 = 16;

/// A number: digits, and how many of them stand behind the point.
type Number = (i256, i8);

/// 2201F
pub(super) fn negative_root() -> DataFusionError {
    Error::new(
        SqlState::InvalidArgumentForPowerFunction,
        "cannot take square root of a negative number",
    )
    .into()
}

/// 2201E
pub(super) fn bad_logarithm(of_zero: bool) -> DataFusionError {
    let what = if of_zero { "zero" } else { "a negative number" };
    Error::new(
        SqlState::InvalidArgumentForLogarithm,
        format!("cannot take logarithm of {what}"),
    )
    .into()
}

/// 2201F
pub(super) fn bad_power(of_zero: bool) -> DataFusionError {
    let message = if of_zero {
        "zero raised to a negative power is undefined"
    } else {
        "a negative number raised to a non-integer power yields a complex result"
    };
    Error::new(SqlState::InvalidArgumentForPowerFunction, message).into()
}

/// The square root.
pub(super) fn sqrt(of: Number) -> Result<i256> {
    let value = fixed(of);
    match value.sign() {
        Sign::Minus => return Err(negative_root()),
        Sign::NoSign => return Ok(i256::ZERO),
        Sign::Plus => {}
    }
    let weight = exponent(of).div_euclid(4);
    let whole_digits = match weight {
        weight @ 0.. => weight * 2 + 1,
        weight => 1 - (-weight) * 2,
    };
    let places = (SIGNIFICANT_DIGITS_MIN - whole_digits).max(i32::from(of.1));
    let root = (value * unit()).sqrt();
    finish(root, places)
}

/// e to the power.
pub(super) fn exp(of: Number) -> Result<i256> {
    let power = approximate(of);
    let digits = (power * std::f64::consts::LOG10_E) as i32;
    if digits > 38 {
        return Err(overflow().into());
    }
    let places = (SIGNIFICANT_DIGITS_MIN - digits).max(i32::from(of.1));
    finish(exponential(&fixed(of)), places)
}

/// The natural logarithm.
pub(super) fn ln(of: Number) -> Result<i256> {
    let value = positive(of)?;
    let result = logarithm(&value);
    finish(result, logarithm_places(approximate(of).ln(), of))
}

/// The logarithm to base 10.
pub(super) fn log10(of: Number) -> Result<i256> {
    let value = positive(of)?;
    let result = logarithm(&value) * unit() / logarithm(&(unit() * 10));
    finish(result, logarithm_places(approximate(of).log10(), of))
}

/// The logarithm of the second number to the base of the first.
pub(super) fn log_of(base: Number, of: Number) -> Result<i256> {
    let below = logarithm(&positive(base)?);
    let above = logarithm(&positive(of)?);
    if below.sign() == Sign::NoSign {
        return Err(Error::division_by_zero("division by zero").into());
    }
    let result = approximate(of).ln() / approximate(base).ln();
    let places = logarithm_places(result, of).max(i32::from(base.1));
    finish(above * unit() / below, places)
}

/// The first number to the power of the second.
pub(super) fn power(base: Number, to: Number) -> Result<i256> {
    let (value, power) = (fixed(base), fixed(to));
    let whole = (&power % unit()).sign() == Sign::NoSign;
    match value.sign() {
        Sign::NoSign if power.sign() == Sign::Minus => return Err(bad_power(true)),
        Sign::NoSign if power.sign() == Sign::NoSign => return finish(unit(), 16),
        Sign::NoSign => return Ok(i256::ZERO),
        Sign::Minus if !whole => return Err(bad_power(false)),
        _ => {}
    }
    let digits = approximate(to) * approximate(base).abs().log10();
    if digits > 38.0 {
        return Err(overflow().into());
    }
    if digits < -f64::from(PLACES) {
        return Ok(i256::ZERO);
    }
    let places = match whole {
        true => SIGNIFICANT_DIGITS_MIN,
        false => SIGNIFICANT_DIGITS_MIN - digits as i32,
    };
    let places = places.max(i32::from(base.1)).max(i32::from(to.1)).max(0);
    let result = match whole {
        true => whole_power(&value, &(&power / unit())),
        false => exponential(&(logarithm(&value) * &power / unit())),
    };
    finish(result, places)
}

/// By squaring; small results lose their last digits, which are not shown.
fn whole_power(value: &BigInt, power: &BigInt) -> BigInt {
    let mut result = unit();
    let mut square = value.clone();
    for bit in 0..power.magnitude().bits() {
        if power.magnitude().bit(bit) {
            result = result * &square / unit();
        }
        square = &square * &square / unit();
        // Beyond what a result can have: the limit on digits has let through only tiny powers.
        if square.bits() > 4096 {
            break;
        }
    }
    match power.sign() {
        Sign::Minus if result.sign() != Sign::NoSign => unit() * unit() / result,
        _ => result,
    }
}

fn logarithm_places(result: f64, of: Number) -> i32 {
    let digits = match result.abs() {
        0.0 => 0,
        size => (size.log10()).floor().max(-38.0) as i32,
    };
    (SIGNIFICANT_DIGITS_MIN - digits.max(0)).max(i32::from(of.1))
}

fn positive(of: Number) -> Result<BigInt> {
    let value = fixed(of);
    match value.sign() {
        Sign::Plus => Ok(value),
        sign => Err(bad_logarithm(sign == Sign::NoSign)),
    }
}

fn ten(power: u32) -> BigInt {
    BigInt::from(10).pow(power)
}

fn unit() -> BigInt {
    ten(PLACES)
}

fn fixed((value, scale): Number) -> BigInt {
    let value = BigInt::from_signed_bytes_le(&value.to_le_bytes());
    value * ten(PLACES - u32::from(scale.unsigned_abs()))
}

fn approximate((value, scale): Number) -> f64 {
    let digits: f64 = value.to_string().parse().unwrap_or(f64::MAX);
    digits / 10_f64.powi(scale.into())
}

/// The power of ten of the first digit.
fn exponent((value, scale): Number) -> i32 {
    let digits = value.to_string();
    digits.trim_start_matches('-').len() as i32 - 1 - i32::from(scale)
}

/// By its series, after taking out powers of two.
fn exponential(power: &BigInt) -> BigInt {
    let two = logarithm_of_two();
    let twos = power / &two;
    let rest = power - &twos * &two;
    let (mut term, mut sum) = (unit(), unit());
    for n in 1_u32..200 {
        term = term * &rest / unit() / n;
        if term.sign() == Sign::NoSign {
            break;
        }
        sum += &term;
    }
    let shift: i64 = twos.try_into().unwrap_or(0);
    match shift {
        shift @ 0.. => sum << shift.unsigned_abs(),
        shift => sum >> shift.unsigned_abs(),
    }
}

/// By the series of the inverse hyperbolic tangent, after taking out powers of two.
fn logarithm(value: &BigInt) -> BigInt {
    let mut rest = value.clone();
    let mut twos = 0_i64;
    let (above, below) = (unit() * 4 / 3, unit() * 2 / 3);
    while rest > above {
        rest >>= 1;
        twos += 1;
    }
    while rest < below && rest.sign() == Sign::Plus {
        rest <<= 1;
        twos -= 1;
    }
    // Dividing by two may have cut off digits: the value is divided once instead.
    if twos > 0 {
        rest = value / (BigInt::from(1) << twos.unsigned_abs());
    }
    inverse_tangent(&(&rest - unit()), &(&rest + unit())) * 2 + logarithm_of_two() * twos
}

fn logarithm_of_two() -> BigInt {
    inverse_tangent(&BigInt::from(1), &BigInt::from(3)) * 2
}

fn inverse_tangent(above: &BigInt, below: &BigInt) -> BigInt {
    let t = above * unit() / below;
    let square = &t * &t / unit();
    let (mut power, mut sum) = (t.clone(), t);
    for n in (3_u32..600).step_by(2) {
        power = power * &square / unit();
        if power.sign() == Sign::NoSign {
            break;
        }
        sum += &power / n;
    }
    sum
}

/// Rounded to `places`, with [`FREE_SCALE`] digits.
fn finish(value: BigInt, places: i32) -> Result<i256> {
    let places = places.clamp(0, FREE_SCALE.into()).unsigned_abs();
    let factor = ten(PLACES - places);
    let half: BigInt = &factor / 2;
    let rounded: BigInt = match value.sign() {
        Sign::Minus => (value - half) / factor,
        _ => (value + half) / factor,
    };
    let stored: BigInt = rounded * ten(u32::from(FREE_SCALE.unsigned_abs()) - places);
    i256::from_string(&stored.to_string()).ok_or_else(|| overflow().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(result: Result<i256>) -> String {
        let text = result.unwrap().to_string();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text.as_str()),
        };
        let padded = format!("{digits:0>39}");
        let (whole, fraction) = padded.split_at(padded.len() - 38);
        let number = format!("{sign}{whole}.{fraction}");
        number
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    }

    fn number(digits: i128, scale: i8) -> Number {
        (i256::from_i128(digits), scale)
    }

    #[test]
    fn digits_are_postgresqls() {
        assert_eq!(shown(sqrt(number(20, 1))), "1.414213562373095");
        assert_eq!(shown(sqrt(number(2, 2))), "0.1414213562373095");
        assert_eq!(shown(sqrt(number(2, 5))), "0.0044721359549995794");
        assert_eq!(shown(sqrt(number(123450, 1))), "111.1080555135405");
        assert_eq!(shown(exp(number(10, 1))), "2.7182818284590452");
        assert_eq!(shown(exp(number(105, 1))), "36315.502674246638");
        assert_eq!(shown(exp(number(-30, 1))), "0.04978706836786394");
        assert_eq!(shown(ln(number(20, 1))), "0.6931471805599453");
        assert_eq!(shown(ln(number(1000000, 1))), "11.512925464970228");
        assert_eq!(shown(log10(number(10000, 1))), "3");
        assert_eq!(shown(log10(number(35, 1))), "0.5440680443502756");
        assert_eq!(shown(log_of(number(20, 1), number(80, 1))), "3");
        assert_eq!(
            shown(power(number(20, 1), number(5, 1))),
            "1.414213562373095"
        );
        assert_eq!(shown(power(number(20, 1), number(-3, 0))), "0.125");
        assert_eq!(
            shown(power(number(11, 1), number(100, 0))),
            "13780.6123398222701841"
        );
        assert_eq!(
            shown(power(number(5, 1), number(25, 1))),
            "0.1767766952966369"
        );
    }
}
