//! Which digits of a numeric are shown, and how a declared precision and scale are packed.

/// The key of field metadata under which a declared type modifier stands, as PostgreSQL packs it.
pub const PG_TYPMOD_METADATA: &str = "pg_typmod";

/// PostgreSQL's packing of precision and scale: 16 bits each, the scale signed in 11, plus the
/// 4 bytes of a varlena header.
pub const fn numeric_typmod(precision: u8, scale: i8) -> i32 {
    (((precision as i32) << 16) | (scale as i32 & 0x7ff)) + 4
}

/// Digits behind the point of a quotient, an average and what else has as many as its value needs.
pub const QUOTIENT_SCALE: i8 = 28;

/// Digits behind the point of a variance. As those of a quotient, but none is shown of zero.
pub const VARIANCE_SCALE: i8 = 29;

/// Digits behind the point of a deviation, which has as many as the variance it is the root of.
pub const DEVIATION_SCALE: i8 = 30;

/// Digits behind the point of numerics whose scale nobody declared, such as floats or texts in a cast.
pub const FREE_SCALE: i8 = 38;

/// Significant digits of a quotient at the least.
pub const SIGNIFICANT_DIGITS_MIN: i32 = 16;

/// Digits behind the point of a quotient that is zero.
const ZERO_SCALE: i32 = 20;

/// How many of the `scale` digits behind the point are shown of a number with `digits` digits in all,
/// of which the last `zeros` are zero.
///
/// A scale below [`QUOTIENT_SCALE`] is shown in full. From there on, digits that PostgreSQL would have
/// computed are shown, and from [`FREE_SCALE`] on, digits that are not zero.
pub fn display_scale(scale: i8, digits: u32, zeros: u32, is_one: bool) -> i8 {
    if scale < QUOTIENT_SCALE {
        return scale;
    }
    let needed = i64::from(scale) - i64::from(zeros.min(scale.unsigned_abs().into()));
    let least = match scale < FREE_SCALE {
        false => 0,
        true if digits == 0 && [VARIANCE_SCALE, DEVIATION_SCALE].contains(&scale) => 0,
        true if digits == 0 => i64::from(ZERO_SCALE),
        true => {
            let exponent = i64::from(digits) - 1 - i64::from(scale);
            let exponent = if scale == DEVIATION_SCALE {
                exponent * 2
            } else {
                exponent
            };
            // Equal operands: PostgreSQL expects their quotient below one.
            let weight = exponent.div_euclid(4) - i64::from(is_one);
            i64::from(SIGNIFICANT_DIGITS_MIN) - weight * 4
        }
    };
    needed.max(least).clamp(0, i64::from(scale)) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_show_postgresqls_digits() {
        // select 1.0/3, 100.0/3, 1.0/1, 0.0001/3
        let digits = |whole: i32| (28 + whole) as u32;
        assert_eq!(display_scale(28, digits(0), 8, false), 20);
        assert_eq!(display_scale(28, digits(2), 12, false), 16);
        assert_eq!(display_scale(28, digits(1), 28, true), 20);
        assert_eq!(display_scale(28, digits(1), 28, false), 16);
        assert_eq!(display_scale(28, digits(-4), 4, false), 24);
        assert_eq!(display_scale(10, 12, 5, false), 10);
        // select var_pop(x), stddev_pop(x) from (values (100), (500)) v(x); of equal values
        assert_eq!(display_scale(29, 29 + 5, 4 + 29, false), 12);
        assert_eq!(display_scale(30, 30 + 3, 2 + 30, false), 12);
        assert_eq!(display_scale(29, 0, u32::MAX, false), 0);
        assert_eq!(display_scale(38, 39, 37, false), 1);
    }
}
