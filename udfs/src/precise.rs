//! Sums that do not drift, and the arithmetic that variances need: pairs of doubles with about 30
//! digits, so that a small spread around a large mean is not lost, results do not depend on how
//! rows were split, and rows can leave a window frame without residue.
//!
//! Sources: Knuth's exact sum and Dekker's exact product of two doubles (1971).

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::{DataType, Field};
use datafusion_common::Result;

use crate::arguments::{doubles, finite, invalid_value};

/// A sum of doubles and the error that rounding has left out of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct FloatSum {
    rounded: f64,
    lost: f64,
}

impl FloatSum {
    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.add_wide(Wide::from(value));
    }

    /// Adds the exact product of two values.
    #[inline]
    pub(crate) fn add_product(&mut self, left: f64, right: f64) {
        self.add_wide(Wide::product(left, right));
    }

    /// Adds values in several sums at once: an addition then need not wait for the one before.
    pub(crate) fn add_slice(&mut self, values: &[f64]) {
        const LANES: usize = 8;
        if values.len() <= WHOLE_VALUES_MAX && all_whole(values) {
            // Nothing is lost of such sums.
            let mut sums = [0.0; LANES];
            let chunks = values.chunks_exact(LANES);
            let rest: f64 = chunks.remainder().iter().sum();
            for chunk in chunks {
                for (sum, value) in sums.iter_mut().zip(chunk) {
                    *sum += value;
                }
            }
            self.add(rest + sums.iter().sum::<f64>());
            return;
        }
        let mut lanes = [Self::default(); LANES];
        let mut chunks = values.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                lane.add(*value);
            }
        }
        for value in chunks.remainder() {
            self.add(*value);
        }
        for lane in lanes {
            self.merge(lane);
        }
    }

    #[inline]
    fn add_wide(&mut self, value: Wide) {
        let total = Wide::sum(self.rounded, value.high);
        let lost = total.low + (self.lost + value.low);
        // The larger part is the total, so that three operations split their sum again.
        self.rounded = total.high + lost;
        self.lost = lost - (self.rounded - total.high);
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: Self) {
        self.add_wide(Wide {
            high: other.rounded,
            low: other.lost,
        });
    }

    /// The sum, rounded once.
    pub(crate) fn total(self) -> f64 {
        self.rounded + self.lost
    }

    /// The sum with the digits that a double has no room for.
    pub(crate) fn wide(self) -> Wide {
        Wide::sum(self.rounded, self.lost)
    }

    /// Fields of the partial state of a sum with this name.
    pub(crate) fn fields(name: &str) -> Vec<Field> {
        vec![
            Field::new(name, DataType::Float64, true),
            Field::new(format!("{name}_lost"), DataType::Float64, true),
        ]
    }

    /// Sums as columns, matching [`FloatSum::fields`].
    pub(crate) fn write<'a>(sums: impl Iterator<Item = &'a Self> + Clone) -> Vec<ArrayRef> {
        let column = |part: fn(&Self) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(sums.clone().map(part)))
        };
        vec![column(|sum| sum.rounded), column(|sum| sum.lost)]
    }

    /// The reverse of [`FloatSum::write`].
    pub(crate) fn read(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let (rounded, lost) = (doubles(&columns[0])?, doubles(&columns[1])?);
        let pairs = rounded.values().iter().zip(lost.values());
        let sum = |(rounded, lost): (&f64, &f64)| Self {
            rounded: *rounded,
            lost: *lost,
        };
        Ok(pairs.map(sum).collect())
    }
}

/// So many sums of three whole numbers of [`all_whole`] have a sum that a double holds.
pub(crate) const WHOLE_VALUES_MAX: usize = 1 << 21;

/// Whether a value is a whole number of at most 30 bits, as answers and counts are.
#[inline]
pub(crate) fn is_whole(value: f64) -> bool {
    /// Numbers this large have no digits behind the point.
    const ROUNDS: f64 = 6_755_399_441_055_744.0;
    const LARGEST: f64 = 1_073_741_824.0;
    (value + ROUNDS) - ROUNDS == value && value.abs() <= LARGEST
}

/// The same of all values; looked at in whole so that it takes vector instructions.
pub(crate) fn all_whole(values: &[f64]) -> bool {
    let strange = |chunk: &[f64]| chunk.iter().filter(|value| !is_whole(**value)).count();
    values.chunks(64).all(|chunk| strange(chunk) == 0)
}

/// The unevaluated sum of two doubles, of which the second is below half a unit of the first's last
/// digit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wide {
    high: f64,
    low: f64,
}

/// `2^27 + 1`, which splits a double into two halves of 26 bits.
const SPLITTER: f64 = 134_217_729.0;

impl Wide {
    /// The exact sum of two doubles.
    #[inline]
    fn sum(left: f64, right: f64) -> Self {
        let high = left + right;
        let of_right = high - left;
        let low = (left - (high - of_right)) + (right - of_right);
        Self { high, low }
    }

    /// The exact product of two doubles that neither overflows nor underflows.
    #[inline]
    fn product(left: f64, right: f64) -> Self {
        let high = left * right;
        let halves = |value: f64| {
            let scaled = SPLITTER * value;
            let upper = scaled - (scaled - value);
            (upper, value - upper)
        };
        let ((a, b), (c, d)) = (halves(left), halves(right));
        let low = ((a * c - high) + a * d + b * c) + b * d;
        Self { high, low }
    }

    /// The nearest double.
    pub(crate) fn to_f64(self) -> f64 {
        self.high + self.low
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        let high = Self::sum(self.high, -other.high);
        Self::sum(high.high, high.low + (self.low - other.low))
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        let low = product.low + (self.high * other.low + self.low * other.high);
        Self::sum(product.high, low)
    }

    pub(crate) fn over(self, divisor: Self) -> Self {
        let quotient = self.high / divisor.high;
        let rest = self.minus(divisor.times(Self::from(quotient)));
        Self::sum(quotient, rest.high / divisor.high)
    }

    /// Zero, if what is left of a sum of so many parts is nothing but their rounding errors.
    pub(crate) fn or_zero(self, amount: Self, parts: i64) -> Self {
        if self.high.abs() <= NOTHING * parts as f64 * amount.high.abs() {
            return Self::from(0.0);
        }
        self
    }
}

impl From<f64> for Wide {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

/// Rounding error of one addition, as a share of the sum, with some room.
const NOTHING: f64 = 1.0 / (1_u128 << 100) as f64;

/// `Σ(x − mean x)(y − mean y)` from `Σxy`, `Σx`, `Σy` and their number.
pub(crate) fn deviations(products: FloatSum, left: FloatSum, right: FloatSum, count: i64) -> Wide {
    let of_means = left
        .wide()
        .times(right.wide())
        .over(Wide::from(count as f64));
    let products = products.wide();
    products.minus(of_means).or_zero(products, count)
}

/// Largest size of a value whose square, and sums of squares, are far from overflow.
pub(crate) const MAX_SQUARABLE: f64 = 1e140;

/// Refuses values that cannot be squared.
#[inline]
pub(crate) fn squarable(function: &str, argument: &str, value: f64) -> Result<f64> {
    if value.abs() <= MAX_SQUARABLE {
        return Ok(value);
    }
    finite(function, argument, value)?;
    Err(invalid_value(
        function,
        format!("{argument} {value:e} is too large; filter it or use larger units"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_change_survives_a_large_payment_and_its_refund() {
        let mut sum = FloatSum::default();
        for value in [1e16, 1.0, -1e16] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 1.0);
    }

    #[test]
    fn whole_numbers_are_told_from_others() {
        assert!(all_whole(&[0.0, -0.0, 3.0, -7.0, 1_073_741_824.0]));
        for other in [0.5, 1e10, f64::NAN, f64::INFINITY, 5e-324, -1.0 / 3.0] {
            assert!(!all_whole(&[1.0, other]), "{other}");
        }
    }

    #[test]
    fn a_slice_adds_up_to_what_its_values_do() {
        for step in [1.0, 0.1, 1e16] {
            let values: Vec<_> = (0..1_001).map(|n| step * f64::from(n % 17 - 5)).collect();
            let (mut whole, mut one_by_one) = (FloatSum::default(), FloatSum::default());
            whole.add_slice(&values);
            for value in values {
                one_by_one.add(value);
            }
            assert_eq!(whole.total(), one_by_one.total(), "{step}");
        }
    }

    fn squared_deviations(values: &[f64]) -> f64 {
        let (mut sum, mut squares) = (FloatSum::default(), FloatSum::default());
        for value in values {
            sum.add(*value);
            squares.add_product(*value, *value);
        }
        deviations(squares, sum, sum, values.len() as i64).to_f64()
    }

    #[test]
    fn a_small_spread_around_a_large_mean_is_kept() {
        let values = [4.0, 7.0, 13.0, 16.0].map(|value| 1e9 + value / 1024.0);
        let expected = 90.0 / 1024.0 / 1024.0;
        let got = squared_deviations(&values);
        assert!((got / expected - 1.0).abs() < 1e-9, "{got}");
    }

    #[test]
    fn equal_values_have_no_spread() {
        assert_eq!(squared_deviations(&[0.1; 1_000]), 0.0);
        assert_eq!(squared_deviations(&[1e140 / 3.0; 7]), 0.0);
    }

    #[test]
    fn a_product_keeps_all_digits() {
        let (left, right) = (1.0 + f64::EPSILON, 1.0 - f64::EPSILON);
        let product = Wide::product(left, right);
        assert_eq!(
            (product.high, product.low),
            (1.0, -f64::EPSILON * f64::EPSILON)
        );
    }
}
