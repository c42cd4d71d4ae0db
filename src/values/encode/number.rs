//! Numbers as PostgreSQL prints and sends them, written without a trip through a String.

use std::fmt::{self, Write};

use bytes::{BufMut, BytesMut};
use datafusion::arrow::datatypes::i256;

use crate::calendar::{put_two, u64_digits};

/// Decimal digits of u128::MAX.
const U128_DIGITS: usize = 39;

/// 10¹⁹, the greatest power of ten in a u64.
const TEN_19: u128 = 10_000_000_000_000_000_000;

/// Sign words of a binary numeric.
const NUMERIC_POSITIVE: u16 = 0x0000;
const NUMERIC_NEGATIVE: u16 = 0x4000;

/// Base-10000 digits that hold any 256-bit decimal shifted by up to three places, with room to spare.
const GROUPS_MAX: usize = 24;

/// Right-aligned digits of `value`; returns where they start.
fn u128_digits(mut value: u128, digits: &mut [u8; U128_DIGITS]) -> usize {
    let mut end = U128_DIGITS;
    while value >= TEN_19 {
        let low = (value % TEN_19) as u64;
        value /= TEN_19;
        let start = u64_digits(low, &mut digits[..end]);
        digits[end - 19..start].fill(b'0');
        end -= 19;
    }
    u64_digits(value as u64, &mut digits[..end])
}

/// Writes a decimal with its scale, trailing zeros and all; a negative scale appends zeros.
pub(crate) fn put_decimal(value: i128, scale: i8, out: &mut BytesMut) {
    let mut digits = [0; U128_DIGITS];
    let start = u128_digits(value.unsigned_abs(), &mut digits);
    put_scaled(value < 0, &digits[start..], scale, out);
}

/// [`put_decimal`] for 256 bits.
pub(crate) fn put_decimal256(value: i256, scale: i8, out: &mut BytesMut) {
    match value.to_i128() {
        Some(value) => put_decimal(value, scale, out),
        None => {
            let text = value.to_string();
            let digits = text.strip_prefix('-').unwrap_or(&text);
            put_scaled(value.is_negative(), digits.as_bytes(), scale, out);
        }
    }
}

/// Writes sign, digits and point.
fn put_scaled(negative: bool, digits: &[u8], scale: i8, out: &mut BytesMut) {
    if negative {
        out.put_slice(b"-");
    }
    let Ok(scale) = usize::try_from(scale) else {
        out.put_slice(digits);
        if digits != b"0" {
            out.put_bytes(b'0', usize::from(scale.unsigned_abs()));
        }
        return;
    };
    match digits.len().checked_sub(scale) {
        Some(_) if scale == 0 => out.put_slice(digits),
        Some(whole) if whole > 0 => {
            out.put_slice(&digits[..whole]);
            out.put_u8(b'.');
            out.put_slice(&digits[whole..]);
        }
        _ => {
            out.put_slice(b"0.");
            out.put_bytes(b'0', scale - digits.len());
            out.put_slice(digits);
        }
    }
}

/// Writes a binary numeric: digit count, weight, sign, display scale, base-10000 digits.
pub(crate) fn put_numeric(value: i128, scale: i8, out: &mut BytesMut) {
    let mut groups = Groups::default();
    let mut rest = value.unsigned_abs();
    let partial = groups.align(scale);
    if partial != 0 {
        let unit = 10_u128.pow(partial);
        groups.push((rest % unit) as u16 * 10_u16.pow(4 - partial));
        rest /= unit;
    }
    while rest > u128::from(u64::MAX) {
        groups.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    let mut rest = rest as u64;
    while rest != 0 {
        groups.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    groups.put(value < 0, scale, out);
}

/// [`put_numeric`] for 256 bits.
pub(crate) fn put_numeric256(value: i256, scale: i8, out: &mut BytesMut) {
    if let Some(value) = value.to_i128() {
        return put_numeric(value, scale, out);
    }
    let text = value.to_string();
    let mut digits = text.strip_prefix('-').unwrap_or(&text).as_bytes();
    let number = |digits: &[u8]| {
        digits
            .iter()
            .fold(0_u16, |n, d| n * 10 + u16::from(d - b'0'))
    };
    let mut groups = Groups::default();
    let partial = groups.align(scale);
    if partial != 0 {
        let (whole, low) = digits.split_at(digits.len() - partial as usize);
        groups.push(number(low) * 10_u16.pow(4 - partial));
        digits = whole;
    }
    while !digits.is_empty() {
        let (whole, low) = digits.split_at(digits.len().saturating_sub(4));
        groups.push(number(low));
        digits = whole;
    }
    groups.put(value.is_negative(), scale, out);
}

/// Base-10000 digits, least significant first.
#[derive(Default)]
struct Groups {
    digits: [u16; GROUPS_MAX],
    count: usize,
    /// The power of 10000 of the first digit.
    lowest: i16,
}

impl Groups {
    /// Sets the place of the first group; returns how many decimal digits that group takes from
    /// the low end of the unscaled value (0: a full group).
    fn align(&mut self, scale: i8) -> u32 {
        let scale = i16::from(scale);
        self.lowest = -scale.div_euclid(4);
        let partial = scale.rem_euclid(4);
        if partial != 0 {
            self.lowest -= 1;
        }
        partial as u32
    }

    fn push(&mut self, digit: u16) {
        if let Some(slot) = self.digits.get_mut(self.count) {
            *slot = digit;
            self.count += 1;
        }
    }

    fn put(&self, negative: bool, scale: i8, out: &mut BytesMut) {
        let digits = &self.digits[..self.count];
        let first = digits.iter().position(|d| *d != 0).unwrap_or(digits.len());
        let last = digits
            .iter()
            .rposition(|d| *d != 0)
            .map_or(first, |last| last + 1);
        let weight = if first == last {
            0
        } else {
            self.lowest + last as i16 - 1
        };
        out.put_u16((last - first) as u16);
        out.put_i16(weight);
        out.put_u16(if negative {
            NUMERIC_NEGATIVE
        } else {
            NUMERIC_POSITIVE
        });
        out.put_u16(u16::from(scale.max(0).unsigned_abs()));
        for digit in digits[first..last].iter().rev() {
            out.put_u16(*digit);
        }
    }
}

/// How many digits a float is printed with: PostgreSQL's `extra_float_digits`.
///
/// From 1 up it asks for the shortest text that reads back as the same number; 0 and below for
/// 15 (float8) or 6 (float4) digits plus the setting.
pub(crate) type ExtraFloatDigits = i8;

/// Writes a double.
pub(crate) fn put_f64(value: f64, extra: ExtraFloatDigits, out: &mut BytesMut) {
    if put_special(value, out) {
        return;
    }
    if extra <= 0 {
        return put_general(value, 15 + i32::from(extra), out);
    }
    if let Some((digits, scale)) = short_f64(value) {
        return put_decimal(i128::from(digits), scale, out);
    }
    let mut shortest = Scientific::of(format_args!("{value:e}"));
    let parts = f64_parts(value);
    if value.abs() >= MIDPOINTS_F64 && shortest.is_midpoint(parts) {
        let reads_back = |text: &str| text.parse::<f64>().is_ok_and(|parsed| parsed == value);
        shortest = shortest.with_more_digits(value, parts, reads_back);
    } else if shortest.is_tie(parts) {
        shortest = shortest.or_even(value, |text| text.parse::<f64>().is_ok_and(|v| v == value));
    }
    shortest.put(15, out);
}

/// Writes a float.
pub(crate) fn put_f32(value: f32, extra: ExtraFloatDigits, out: &mut BytesMut) {
    if put_special(f64::from(value), out) {
        return;
    }
    if extra <= 0 {
        return put_general(f64::from(value), 6 + i32::from(extra), out);
    }
    let mut shortest = Scientific::of(format_args!("{value:e}"));
    let parts = f32_parts(value);
    let reads_back = |text: &str| text.parse::<f32>().is_ok_and(|parsed| parsed == value);
    if value.abs() >= MIDPOINTS_F32 && shortest.is_midpoint(parts) {
        shortest = shortest.with_more_digits(f64::from(value), parts, reads_back);
    } else if shortest.is_tie(parts) {
        shortest = shortest.or_even(f64::from(value), reads_back);
    }
    shortest.put(6, out);
}

/// From here up two neighbours are at least 2 apart, so that the midpoint between them is whole.
const MIDPOINTS_F64: f64 = 9_007_199_254_740_992.0;
const MIDPOINTS_F32: f32 = 16_777_216.0;

/// Writes what has no digits, or only one: NaN, the infinities, the zeros.
fn put_special(value: f64, out: &mut BytesMut) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value.is_infinite() {
        if value > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        }
    } else if value == 0.0 {
        if value.is_sign_negative() {
            b"-0"
        } else {
            b"0"
        }
    } else {
        return false;
    };
    out.put_slice(text);
    true
}

/// The shortest form of a double that is a decimal of few digits, as prices and counts are.
///
/// Exact: a whole number below 2⁵³ divided by a power of ten is rounded once, so an equal quotient
/// means that the decimal reads back as `value`; and at most one decimal of up to 15 digits does.
fn short_f64(value: f64) -> Option<(i64, i8)> {
    const SCALES: [(f64, i8); 3] = [(1.0, 0), (1e2, 2), (1e4, 4)];
    /// Least magnitude printed without an exponent.
    const FIXED_MIN: f64 = 1e-4;
    const DIGITS_15: f64 = 1e15;
    if value.abs() < FIXED_MIN {
        return None;
    }
    for (power, scale) in SCALES {
        let scaled = (value * power).round_ties_even();
        if scaled.abs() >= DIGITS_15 {
            return None;
        }
        if scaled / power == value {
            let (mut digits, mut scale) = (scaled as i64, scale);
            while scale > 0 && digits % 10 == 0 {
                digits /= 10;
                scale -= 1;
            }
            return Some((digits, scale));
        }
    }
    None
}

/// C's `%.*g` with the given precision.
fn put_general(value: f64, precision: i32, out: &mut BytesMut) {
    let precision = precision.max(1);
    let mut digits = Scientific::of(format_args!("{value:.*e}", precision as usize - 1));
    while digits.count > 1 && digits.digits[digits.count - 1] == b'0' {
        digits.count -= 1;
    }
    digits.put(precision, out);
}

/// A normal float's mantissa, mantissa digits in binary, and exponent: value = m · 2ᵉ.
type Parts = (u64, u32, i32);

fn f64_parts(value: f64) -> Parts {
    let bits = value.to_bits();
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    (
        mantissa,
        f64::MANTISSA_DIGITS,
        ((bits >> 52) & 0x7ff) as i32 - 1075,
    )
}

fn f32_parts(value: f32) -> Parts {
    let bits = value.to_bits();
    let mantissa = u64::from((bits & ((1 << 23) - 1)) | (1 << 23));
    (
        mantissa,
        f32::MANTISSA_DIGITS,
        ((bits >> 23) & 0xff) as i32 - 150,
    )
}

/// Sign, decimal digits and exponent of a float, taken from Rust's `{:e}` without allocation.
struct Scientific {
    negative: bool,
    digits: [u8; Self::DIGITS_MAX],
    count: usize,
    exponent: i32,
}

impl Scientific {
    /// Shortest forms have up to 17 digits, fixed precisions here up to 17 too.
    const DIGITS_MAX: usize = 20;

    fn of(text: fmt::Arguments<'_>) -> Self {
        let mut buffer = Buffer {
            bytes: [0; 40],
            len: 0,
        };
        // Cannot fail: 40 bytes hold the sign, the digits, the point and the exponent.
        let _ = buffer.write_fmt(text);
        let mut parsed = Self {
            negative: false,
            digits: [0; Self::DIGITS_MAX],
            count: 0,
            exponent: 0,
        };
        let mut bytes = buffer.bytes[..buffer.len].iter();
        for byte in bytes.by_ref() {
            match byte {
                b'-' => parsed.negative = true,
                b'0'..=b'9' if parsed.count < Self::DIGITS_MAX => {
                    parsed.digits[parsed.count] = *byte;
                    parsed.count += 1;
                }
                b'e' => break,
                _ => {}
            }
        }
        let mut negative = false;
        for byte in bytes {
            match byte {
                b'-' => negative = true,
                digit => parsed.exponent = parsed.exponent * 10 + i32::from(digit - b'0'),
            }
        }
        if negative {
            parsed.exponent = -parsed.exponent;
        }
        parsed
    }

    /// Whether the digits lie exactly between the float and a neighbour. PostgreSQL does not
    /// accept such a text as the float's own, Rust does where ties go to the float.
    fn is_midpoint(&self, (mantissa, mantissa_digits, exponent): Parts) -> bool {
        let mut zeros = self.zeros();
        let mut number = self.digits[..self.count]
            .iter()
            .fold(0_u128, |n, d| n * 10 + u128::from(d - b'0'));
        // number · 10^zeros as odd · 2^twos; a midpoint's odd part has at most one bit more than
        // the mantissa, which bounds the fives.
        let twos = number.trailing_zeros() as i32 + zeros;
        number >>= number.trailing_zeros();
        while zeros > 0 && number.ilog2() <= mantissa_digits + 1 {
            number *= 5;
            zeros -= 1;
        }
        if zeros != 0 {
            return false;
        }
        // The lower neighbour of a power of two is at half the distance; its midpoint has two
        // bits more than the mantissa.
        let midpoint = |m: u64, e: i32| {
            let odd = u128::from(m >> m.trailing_zeros());
            number == odd && twos == e + m.trailing_zeros() as i32
        };
        midpoint(2 * mantissa + 1, exponent - 1)
            || midpoint(2 * mantissa - 1, exponent - 1)
            || (mantissa.is_power_of_two() && midpoint(4 * mantissa - 1, exponent - 2))
    }

    /// The power of ten of the last digit.
    fn zeros(&self) -> i32 {
        self.exponent - (self.count as i32 - 1)
    }

    /// Whether the float lies exactly between the digits and others as short, which PostgreSQL
    /// decides for the even last digit and Rust does not: then exactly one more digit, a five,
    /// would write the float in full.
    fn is_tie(&self, (mantissa, mantissa_digits, exponent): Parts) -> bool {
        /// The greatest power of five below 2⁵³.
        const FIVES_MAX: u32 = 22;
        let twos = mantissa.trailing_zeros();
        let zeros = self.zeros();
        if exponent + twos as i32 != zeros - 1 || mantissa_digits <= twos {
            return false;
        }
        let fives = zeros.max(0).unsigned_abs();
        fives <= FIVES_MAX && (mantissa >> twos) % 5_u64.pow(fives) == 0
    }

    /// As many digits of the float, rounded to even, if they read back as well.
    fn or_even(self, value: f64, reads_back: impl Fn(&str) -> bool) -> Self {
        let text = format!("{value:.*e}", self.count - 1);
        if reads_back(&text) {
            Self::of(format_args!("{text}"))
        } else {
            self
        }
    }

    /// The shortest longer form that reads back as the float and is no midpoint.
    fn with_more_digits(self, value: f64, parts: Parts, reads_back: impl Fn(&str) -> bool) -> Self {
        const DIGITS_ENOUGH: usize = 17;
        for precision in self.count..DIGITS_ENOUGH {
            let text = format!("{value:.precision$e}");
            let longer = Self::of(format_args!("{text}"));
            if reads_back(&text) && !longer.is_midpoint(parts) {
                return longer;
            }
        }
        self
    }

    /// Writes as printf's `%g` does: with an exponent below 10⁻⁴ and from 10^`fixed_digits` up.
    fn put(&self, fixed_digits: i32, out: &mut BytesMut) {
        let digits = &self.digits[..self.count];
        if self.negative {
            out.put_u8(b'-');
        }
        if self.exponent < -4 || self.exponent >= fixed_digits {
            out.put_slice(&digits[..1]);
            if digits.len() > 1 {
                out.put_u8(b'.');
                out.put_slice(&digits[1..]);
            }
            out.put_slice(if self.exponent < 0 { b"e-" } else { b"e+" });
            put_two(self.exponent.unsigned_abs(), out);
        } else if self.exponent < 0 {
            out.put_slice(b"0.");
            out.put_bytes(b'0', (-self.exponent - 1) as usize);
            out.put_slice(digits);
        } else {
            let whole = self.exponent as usize + 1;
            if digits.len() <= whole {
                out.put_slice(digits);
                out.put_bytes(b'0', whole - digits.len());
            } else {
                out.put_slice(&digits[..whole]);
                out.put_u8(b'.');
                out.put_slice(&digits[whole..]);
            }
        }
    }
}

/// A place for `write!` on the stack.
struct Buffer {
    bytes: [u8; 40],
    len: usize,
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let target = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        target.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
