//! What variances and deviations are computed from: exact sums of any size, or floats.

use datafusion::arrow::datatypes::i256;
use datafusion::error::Result;
use num_bigint::{BigInt, Sign};

use super::divide::{div_places, overflow};
use crate::values::digits::{DEVIATION_SCALE, FREE_SCALE, VARIANCE_SCALE};

/// Digits of the decimals that results are stored in.
pub(super) const PRECISION: u8 = 76;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Measure {
    /// Of a sample, not of all there are.
    pub(super) sample: bool,
    /// The deviation, not the variance.
    pub(super) root: bool,
}

impl Measure {
    pub(super) fn scale(self) -> i8 {
        match self.root {
            true => DEVIATION_SCALE,
            false => VARIANCE_SCALE,
        }
    }
}

/// A sum of any size; most fit the small part.
#[derive(Debug, Clone, Default)]
pub(super) struct Total {
    small: i128,
    large: Option<BigInt>,
}

impl Total {
    pub(super) fn add(&mut self, value: i128) {
        match self.small.checked_add(value) {
            Some(sum) => self.small = sum,
            None => {
                let small = BigInt::from(std::mem::replace(&mut self.small, value));
                self.add_wide(&small);
            }
        }
    }

    pub(super) fn add_wide(&mut self, value: &BigInt) {
        *self.large.get_or_insert_default() += value;
    }

    pub(super) fn value(&self) -> BigInt {
        let small = BigInt::from(self.small);
        match &self.large {
            Some(large) => large + small,
            None => small,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Exact {
    pub(super) count: i64,
    pub(super) sum: Total,
    pub(super) squares: Total,
}

impl Exact {
    pub(super) fn add(&mut self, value: i128, sign: i8) {
        match value.checked_mul(value) {
            Some(square) => {
                self.count += i64::from(sign);
                self.sum.add(value * i128::from(sign));
                self.squares.add(square * i128::from(sign));
            }
            None => self.add_wide(&BigInt::from(value), sign),
        }
    }

    pub(super) fn add_wide(&mut self, value: &BigInt, sign: i8) {
        self.count += i64::from(sign);
        self.sum.add_wide(&(value * sign));
        self.squares.add_wide(&(value * value * sign));
    }

    /// The result with the digits that PostgreSQL gives, scaled to those that are stored.
    pub(super) fn result(&self, measure: Measure, scale: i8) -> Result<Option<i256>> {
        if self.count <= i64::from(measure.sample) {
            return Ok(None);
        }
        let sum = self.sum.value();
        let count = BigInt::from(self.count);
        let above: BigInt = self.squares.value() * &count - &sum * &sum;
        if above.sign() != Sign::Plus {
            return Ok(Some(i256::ZERO));
        }
        let below = &count * (&count - i32::from(measure.sample));
        let below = if measure.sample {
            below
        } else {
            &count * &count
        };
        let of = 2 * u32::from(scale.unsigned_abs());
        // Numerics of no declared scale have digits behind the point that are not their own.
        let least = if scale < FREE_SCALE { of as i32 } else { 0 };
        let places = div_places(&above.to_string(), of as i32, &below.to_string())
            .max(least)
            .clamp(0, VARIANCE_SCALE.into())
            .unsigned_abs();
        let ten = |power: u32| BigInt::from(10).pow(power);
        let below = below * ten(of);
        let variance: BigInt = (above * ten(places) * 2 + &below) / (below * 2);
        let shown = match measure.root {
            false => variance,
            true => {
                let square = variance * ten(places);
                let root = square.sqrt();
                let twice: BigInt = &root * 2 + 1;
                let up = &twice * &twice <= square * 4;
                root + i32::from(up)
            }
        };
        let stored: BigInt = shown * ten(u32::from(measure.scale().unsigned_abs()) - places);
        let digits = stored.to_string();
        if digits.len() > usize::from(PRECISION) {
            return Err(overflow().into());
        }
        Ok(i256::from_string(&digits))
    }
}

/// Number, sum and sum of the squared distances from the mean, by the algorithm of Youngs and Cramer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floats {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) squares: f64,
}

impl Floats {
    pub(super) fn push(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        if self.count > 1.0 {
            let distance = value * self.count - self.sum;
            self.squares += distance * distance / (self.count * (self.count - 1.0));
            if self.sum.is_infinite() || self.squares.is_infinite() {
                self.squares = f64::NAN;
            }
        } else if !value.is_finite() {
            self.squares = f64::NAN;
        }
    }

    pub(super) fn join(&mut self, later: &Self) {
        if later.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *later;
            return;
        }
        let count = self.count + later.count;
        let between = self.sum / self.count - later.sum / later.count;
        self.squares += later.squares + self.count * later.count * between * between / count;
        self.count = count;
        self.sum += later.sum;
    }

    pub(super) fn measure(&self, measure: Measure) -> Option<f64> {
        let below = self.count - f64::from(u8::from(measure.sample));
        let variance = (below > 0.0).then(|| self.squares / below)?;
        Some(if measure.root {
            variance.sqrt()
        } else {
            variance
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(values: &[i128], scale: i8, sample: bool, root: bool) -> Option<String> {
        let mut moments = Exact::default();
        for value in values {
            moments.add(*value, 1);
        }
        let result = moments.result(Measure { sample, root }, scale).unwrap();
        result.map(|digits| digits.to_string().trim_end_matches('0').to_owned())
    }

    #[test]
    fn digits_are_postgresqls() {
        // select var_pop(x), stddev_pop(x), var_samp(x), stddev_samp(x) from (values (1), (2), (4)) v(x)
        let values = [1, 2, 4];
        assert_eq!(
            exact(&values, 0, false, false).unwrap(),
            "15555555555555556"
        );
        assert_eq!(exact(&values, 0, false, true).unwrap(), "12472191289246471");
        assert_eq!(exact(&values, 0, true, false).unwrap(), "23333333333333333");
        assert_eq!(exact(&values, 0, true, true).unwrap(), "15275252316519467");
        assert_eq!(exact(&[5], 0, true, true), None);
        assert_eq!(exact(&[5], 0, false, true).unwrap(), "");
    }

    #[test]
    fn sums_grow_beyond_128_bits() {
        let most = i128::MAX;
        let mut moments = Exact::default();
        for value in [most, -most, most] {
            moments.add(value, 1);
        }
        moments.add(most, -1);
        assert_eq!(moments.count, 2);
        assert_eq!(moments.sum.value(), BigInt::from(0));
        assert_eq!(
            moments.squares.value(),
            BigInt::from(most) * BigInt::from(most) * 2
        );
    }

    #[test]
    fn infinities_have_no_deviation() {
        let mut floats = Floats::default();
        floats.push(f64::INFINITY);
        let all = Measure {
            sample: false,
            root: false,
        };
        assert!(floats.measure(all).unwrap().is_nan());
    }
}
