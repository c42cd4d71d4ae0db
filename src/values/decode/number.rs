//! Integers, floats and numerics as PostgreSQL reads them.

use std::num::IntErrorKind;
use std::str::FromStr;

use bytes::{Buf, BytesMut};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, i256,
};
use datafusion::scalar::ScalarValue;

use super::{cannot_read, invalid_syntax, is_space, malformed, out_of_range};
use crate::error::{Error, Result};
use crate::values::digits::FREE_SCALE;
use crate::values::types::{FLOAT4, FLOAT8, NUMERIC, PgType};

/// Decimal digits of a numeric on either side of the point at the most; Arrow holds 76 in all.
const DIGITS_MAX: usize = 1000;

/// Sign words of a binary numeric.
const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xc000;
const SIGN_INFINITY: u16 = 0xd000;
const SIGN_MINUS_INFINITY: u16 = 0xf000;

/// An integer in decimal, with a sign and white space around it.
pub(super) fn integer<T>(text: &str, pg_type: PgType) -> Result<T>
where
    T: FromStr<Err = std::num::ParseIntError>,
{
    let digits = text.trim_matches(is_space);
    digits
        .parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                Error::numeric_value_out_of_range(format!(
                    "value \"{text}\" is out of range for type {}",
                    pg_type.sql_name()
                ))
            }
            _ => invalid_syntax(pg_type, text),
        })
}

/// A `double precision`.
pub(super) fn float8(text: &str) -> Result<f64> {
    let digits = text.trim_matches(is_space);
    let value: f64 = digits.parse().map_err(|_| invalid_syntax(FLOAT8, text))?;
    check_float(value, digits, FLOAT8)?;
    Ok(value)
}

/// A `real`.
pub(super) fn float4(text: &str) -> Result<f32> {
    let digits = text.trim_matches(is_space);
    let value: f32 = digits.parse().map_err(|_| invalid_syntax(FLOAT4, text))?;
    check_float(value.into(), digits, FLOAT4)?;
    Ok(value)
}

/// 22003 for digits that overflowed to infinity or vanished to zero.
fn check_float(value: f64, digits: &str, pg_type: PgType) -> Result<()> {
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let has_digits = mantissa.contains(|c: char| ('1'..='9').contains(&c));
    if has_digits && (value.is_infinite() || value == 0.0) {
        return Err(Error::numeric_value_out_of_range(format!(
            "\"{digits}\" is out of range for type {}",
            pg_type.sql_name()
        )));
    }
    Ok(())
}

/// A numeric: sign, digits (most significant first, no leading zeros) and how many of them stand
/// behind the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    digits: Vec<u8>,
    scale: usize,
    special: Option<&'static str>,
}

impl Number {
    fn new(negative: bool, digits: &[u8], scale: usize) -> Self {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let digits = digits[zeros..].to_vec();
        Self {
            negative: negative && !digits.is_empty(),
            digits,
            scale,
            special: None,
        }
    }

    fn special(name: &'static str) -> Self {
        Self {
            negative: false,
            digits: vec![],
            scale: 0,
            special: Some(name),
        }
    }

    /// From text such as `-12.50`, `.5`, `1e3`, `NaN`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim_matches(is_space);
        let (negative, unsigned) = match trimmed.as_bytes() {
            [b'-', ..] => (true, &trimmed[1..]),
            [b'+', ..] => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        match unsigned.to_ascii_lowercase().as_str() {
            "nan" if unsigned.len() == trimmed.len() => return Ok(Self::special("NaN")),
            "inf" | "infinity" if negative => return Ok(Self::special("-Infinity")),
            "inf" | "infinity" => return Ok(Self::special("Infinity")),
            _ => {}
        }
        let invalid = || invalid_syntax(NUMERIC, text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (
                mantissa,
                exponent
                    .parse::<i32>()
                    .map_err(|error| match error.kind() {
                        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => too_large(),
                        _ => invalid(),
                    })?,
            ),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return Err(invalid());
        }
        let mut digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        let scale = fraction.len() as i64 - i64::from(exponent);
        let limit = DIGITS_MAX as i64;
        if digits.len() > DIGITS_MAX || !(-limit..=limit).contains(&scale) {
            return Err(too_large());
        }
        let missing = usize::try_from(-scale).unwrap_or(0);
        digits.resize(digits.len() + missing, b'0');
        Ok(Self::new(
            negative,
            &digits,
            usize::try_from(scale).unwrap_or(0),
        ))
    }

    /// From the binary form: digit count, weight, sign, display scale, base-10000 digits.
    pub(super) fn from_binary(bytes: &[u8]) -> Result<Self> {
        let invalid = || malformed(NUMERIC);
        let mut rest = bytes;
        let mut word = || rest.try_get_u16().map_err(|_| invalid());
        let (count, weight, sign, scale) = (word()?, word()?.cast_signed(), word()?, word()?);
        if rest.len() != usize::from(count) * 2 {
            return Err(invalid());
        }
        let negative = match sign {
            SIGN_POSITIVE => false,
            SIGN_NEGATIVE => true,
            SIGN_NAN => return Ok(Self::special("NaN")),
            SIGN_INFINITY => return Ok(Self::special("Infinity")),
            SIGN_MINUS_INFINITY => return Ok(Self::special("-Infinity")),
            _ => return Err(invalid()),
        };
        let (scale, weight) = (usize::from(scale), i64::from(weight));
        let whole_groups = usize::try_from(weight + 1).unwrap_or(0);
        if scale > DIGITS_MAX || whole_groups * 4 > DIGITS_MAX || weight < -(DIGITS_MAX as i64) {
            return Err(too_large());
        }
        // Digits from the greater of the first group and the point's, down to the scale.
        let mut digits = vec![b'0'; usize::try_from(-weight - 1).unwrap_or(0) * 4];
        while rest.has_remaining() {
            let group = rest.get_u16();
            if group > 9999 {
                return Err(invalid());
            }
            digits.extend_from_slice(format!("{group:04}").as_bytes());
        }
        // Digits behind the scale are cut off, as PostgreSQL does; missing ones are zeros.
        digits.resize(whole_groups * 4 + scale, b'0');
        Ok(Self::new(negative, &digits, scale))
    }

    /// Digits before the point.
    pub(super) fn whole_digits(&self) -> usize {
        self.digits.len().saturating_sub(self.scale)
    }

    /// Digits behind the point.
    pub(super) fn scale(&self) -> usize {
        self.scale
    }

    fn text(&self) -> String {
        if let Some(special) = self.special {
            return special.to_owned();
        }
        let mut padded = vec![b'0'; (self.scale + 1).saturating_sub(self.digits.len())];
        padded.extend_from_slice(&self.digits);
        let (whole, fraction) = padded.split_at(padded.len() - self.scale);
        let mut text = BytesMut::new();
        text.extend_from_slice(if self.negative { b"-" } else { b"" });
        text.extend_from_slice(whole);
        text.extend_from_slice(if fraction.is_empty() { b"" } else { b"." });
        text.extend_from_slice(fraction);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The number in the wanted type, rounded half away from zero where it has fewer places.
    pub(super) fn into_scalar(self, target: Option<&DataType>) -> Result<ScalarValue> {
        let natural;
        let target = match target {
            // A numeric without declared digits takes those it is written with, if they fit.
            Some(target) if !is_free(target) || self.special.is_some() => target,
            _ => {
                natural = decimal_type(self.whole_digits(), self.scale())?;
                &natural
            }
        };
        match target {
            DataType::Float64 => Ok(ScalarValue::Float64(Some(float8(&self.text())?))),
            DataType::Float32 => Ok(ScalarValue::Float32(Some(float4(&self.text())?))),
            DataType::Float16 => ScalarValue::Float32(Some(float4(&self.text())?))
                .cast_to(target)
                .map_err(|e| out_of_range(target).with_source(e)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                ScalarValue::Utf8(Some(self.text()))
                    .cast_to(target)
                    .map_err(|e| cannot_read(target, e))
            }
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => self.decimal(target, *p, *s),
            target if target.is_integer() => {
                let whole: i128 = self
                    .rescaled(0)?
                    .parse()
                    .map_err(|_| out_of_range(target))?;
                ScalarValue::Decimal128(Some(whole), DECIMAL128_MAX_PRECISION, 0)
                    .cast_to(target)
                    .map_err(|e| out_of_range(target).with_source(e))
            }
            target => Err(Error::feature_not_supported(format!(
                "cannot read a numeric parameter as {target}"
            ))),
        }
    }

    fn decimal(&self, target: &DataType, precision: u8, scale: i8) -> Result<ScalarValue> {
        let overflow = || {
            let whole = i16::from(precision) - i16::from(scale);
            Error::numeric_value_out_of_range("numeric field overflow").with_detail(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value \
                 less than 10^{whole}."
            ))
        };
        let digits = self.rescaled(scale)?;
        if digits.trim_start_matches('-').len() > usize::from(precision) {
            return Err(overflow());
        }
        let (p, s) = (precision, scale);
        Ok(match target {
            DataType::Decimal32(..) => {
                ScalarValue::Decimal32(Some(digits.parse().map_err(|_| overflow())?), p, s)
            }
            DataType::Decimal64(..) => {
                ScalarValue::Decimal64(Some(digits.parse().map_err(|_| overflow())?), p, s)
            }
            DataType::Decimal128(..) => {
                ScalarValue::Decimal128(Some(digits.parse().map_err(|_| overflow())?), p, s)
            }
            _ => {
                let value = i256::from_string(&digits).ok_or_else(overflow)?;
                ScalarValue::Decimal256(Some(value), p, s)
            }
        })
    }

    /// The unscaled value at another scale, rounded half away from zero, as decimal text.
    fn rescaled(&self, scale: i8) -> Result<String> {
        if let Some(special) = self.special {
            return Err(Error::feature_not_supported(format!(
                "numeric \"{special}\" is not supported"
            )));
        }
        let shift = i64::from(scale) - self.scale as i64;
        let mut digits = self.digits.clone();
        if let Ok(zeros) = usize::try_from(shift) {
            if !digits.is_empty() {
                digits.resize(digits.len() + zeros, b'0');
            }
        } else {
            let dropped = shift.unsigned_abs() as usize;
            let kept = digits.len().checked_sub(dropped);
            let round_up = kept
                .and_then(|kept| digits.get(kept))
                .is_some_and(|d| *d >= b'5');
            digits.truncate(kept.unwrap_or(0));
            if round_up {
                increment(&mut digits);
            }
        }
        if digits.is_empty() {
            return Ok("0".to_owned());
        }
        let sign = if self.negative { "-" } else { "" };
        Ok(format!("{sign}{}", String::from_utf8_lossy(&digits)))
    }
}

/// Adds one to a number of decimal digits.
fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

/// The narrowest decimal for so many digits before and behind the point; 22003 beyond 76.
pub(super) fn decimal_type(whole: usize, scale: usize) -> Result<DataType> {
    let precision = (whole + scale).max(1);
    if precision <= usize::from(DECIMAL128_MAX_PRECISION) {
        Ok(DataType::Decimal128(precision as u8, scale as i8))
    } else if precision <= usize::from(DECIMAL256_MAX_PRECISION) {
        Ok(DataType::Decimal256(precision as u8, scale as i8))
    } else {
        Err(Error::numeric_value_out_of_range(format!(
            "numeric values have at most {DECIMAL256_MAX_PRECISION} digits"
        )))
    }
}

/// Whether this is the decimal of numerics without declared digits.
pub(super) fn is_free(target: &DataType) -> bool {
    *target == DataType::Decimal256(DECIMAL256_MAX_PRECISION, FREE_SCALE)
}

fn too_large() -> Error {
    Error::numeric_value_out_of_range("value overflows numeric format")
}
