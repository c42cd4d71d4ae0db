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

    /// Adds values, several at once.
    pub(crate) fn add_slice(&mut self, values: &[f64]) {
        match Whole::of(values) {
            Some(whole) => self.add(whole.sum),
            None => self.add_batch(BatchSum::of(values)),
        }
    }

    /// Adds the sum of a batch.
    pub(crate) fn add_batch(&mut self, batch: BatchSum) {
        self.add_wide(Wide::sum(batch.sum, batch.lost));
    }

    /// Adds `value · unit`, of which the unit is a power of two, with the digits of two doubles.
    pub(crate) fn add_multiple(&mut self, value: i128, unit: f64) {
        let high = value as f64;
        let low = (value - high as i128) as f64;
        self.add_wide(Wide {
            high: high * unit,
            low: low * unit,
        });
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

/// The sum of a batch, with the rounding errors of all additions added up beside it: on its way to a
/// [`FloatSum`] it is as exact, and takes half of the time. Source: Neumaier 1974.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BatchSum {
    sum: f64,
    lost: f64,
}

impl BatchSum {
    /// Of values, in several sums at once: an addition then need not wait for the one before.
    pub(crate) fn of(values: &[f64]) -> Self {
        const LANES: usize = 8;
        let mut lanes = [Self::default(); LANES];
        let lines = values.chunks_exact(LANES);
        let rest = lines.remainder();
        for line in lines {
            for (lane, value) in lanes.iter_mut().zip(line) {
                lane.add(*value);
            }
        }
        let mut all = Self::default();
        for lane in lanes {
            all.add(lane.sum);
            all.lost += lane.lost;
        }
        for value in rest {
            all.add(*value);
        }
        all
    }

    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let total = Wide::sum(self.sum, value);
        self.sum = total.high;
        self.lost += total.low;
    }

    /// Adds a value to the sum of whole numbers, of which nothing is lost.
    #[inline]
    pub(crate) fn add_whole(&mut self, value: f64) {
        self.sum += value;
    }

    /// Whether all values were finite, and none of the sums too large.
    pub(crate) fn is_finite(self) -> bool {
        (self.sum + self.lost).is_finite()
    }
}

/// Sums side by side: what is added to all of them takes vector instructions.
#[derive(Debug)]
pub(crate) struct FloatSums {
    rounded: Vec<f64>,
    lost: Vec<f64>,
}

impl FloatSums {
    /// So many sums of nothing.
    pub(crate) fn new(sums: usize) -> Self {
        Self {
            rounded: vec![0.0; sums],
            lost: vec![0.0; sums],
        }
    }

    /// Adds to each sum the exact product of its two values.
    pub(crate) fn add_products(&mut self, left: &[f64], right: &[f64]) {
        let sums = self.rounded.iter_mut().zip(&mut self.lost);
        for ((rounded, lost), (left, right)) in sums.zip(left.iter().zip(right)) {
            let mut sum = FloatSum {
                rounded: *rounded,
                lost: *lost,
            };
            sum.add_product(*left, *right);
            (*rounded, *lost) = (sum.rounded, sum.lost);
        }
    }

    /// Adds to each sum its value.
    pub(crate) fn add(&mut self, values: &[f64]) {
        let sums = self.rounded.iter_mut().zip(&mut self.lost);
        for ((rounded, lost), value) in sums.zip(values) {
            let mut sum = FloatSum {
                rounded: *rounded,
                lost: *lost,
            };
            sum.add(*value);
            (*rounded, *lost) = (sum.rounded, sum.lost);
        }
    }

    /// The sums, each rounded once.
    pub(crate) fn totals(self) -> Vec<f64> {
        let sums = self.rounded.into_iter().zip(self.lost);
        sums.map(|(rounded, lost)| rounded + lost).collect()
    }
}

/// So many sums of three numbers of [`Whole`] have a sum that a double holds.
pub(crate) const WHOLE_VALUES_MAX: usize = 1 << 21;

/// Numbers this large have no digits behind the point.
const ROUNDS: f64 = 6_755_399_441_055_744.0;
/// The largest whole number of 30 bits, as answers and counts are at most.
const LARGEST: f64 = 1_073_741_824.0;

/// Whether a value is a whole number of at most 30 bits.
#[inline]
pub(crate) fn is_whole(value: f64) -> bool {
    (value + ROUNDS) - ROUNDS == value && value.abs() <= LARGEST
}

/// What one look at whole numbers of at most 30 bits tells, of which there are no more than
/// [`WHOLE_VALUES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Whole {
    least: f64,
    largest: f64,
    /// Nothing is lost of it.
    pub(crate) sum: f64,
}

/// Whole numbers of at most this have products that are whole numbers of at most 30 bits.
pub(crate) const WHOLE_FACTOR_MAX: f64 = 32_768.0;

/// `Σ left · right`, in several sums at once; exact for whole numbers up to [`WHOLE_FACTOR_MAX`].
pub(crate) fn sum_of_products(left: &[f64], right: &[f64]) -> f64 {
    const LANES: usize = 4;
    let mut sums = [0.0; LANES];
    let (lefts, rights) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    for (left, right) in lefts.remainder().iter().zip(rights.remainder()) {
        sums[0] += left * right;
    }
    for (left, right) in lefts.zip(rights) {
        for (sum, (left, right)) in sums.iter_mut().zip(left.iter().zip(right)) {
            *sum += left * right;
        }
    }
    sums.iter().sum()
}

impl Whole {
    /// `None` if a value is not such a number.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        Self::of_multiples(values, 1.0)
    }

    /// The same of multiples of a unit, a power of two. Written so that it takes vector
    /// instructions.
    pub(crate) fn of_multiples(values: &[f64], unit: f64) -> Option<Self> {
        const LANES: usize = 4;
        const CHUNK: usize = 512;
        if values.len() > WHOLE_VALUES_MAX {
            return None;
        }
        let rounds = ROUNDS * unit;
        let mut least = [f64::INFINITY; LANES];
        let mut largest = [f64::NEG_INFINITY; LANES];
        let mut sums = [0.0; LANES];
        for chunk in values.chunks(CHUNK) {
            // Bits of what rounding takes from a value: none of zero, some of everything else.
            let mut lost = [0; LANES];
            let mut look = |lane: usize, value: f64| {
                least[lane] = if value < least[lane] {
                    value
                } else {
                    least[lane]
                };
                largest[lane] = if value > largest[lane] {
                    value
                } else {
                    largest[lane]
                };
                lost[lane] |= ((value + rounds) - rounds - value).to_bits();
                sums[lane] += value;
            };
            let lines = chunk.chunks_exact(LANES);
            for value in lines.remainder() {
                look(0, *value);
            }
            for line in lines {
                for (lane, value) in line.iter().enumerate() {
                    look(lane, *value);
                }
            }
            if lost != [0; LANES] {
                return None;
            }
        }
        let whole = Self {
            least: least.into_iter().fold(f64::INFINITY, f64::min),
            largest: largest.into_iter().fold(f64::NEG_INFINITY, f64::max),
            sum: sums.into_iter().sum(),
        };
        whole
            .is_within(-LARGEST * unit, LARGEST * unit)
            .then_some(whole)
    }

    /// The same of integers.
    pub(crate) fn of_integers(values: &[i32]) -> Option<Self> {
        const CHUNK: usize = 512;
        /// The sum of a chunk of these has 32 bits.
        const SMALL: i32 = 1 << 20;
        if values.len() > WHOLE_VALUES_MAX {
            return None;
        }
        let (mut least, mut largest, mut sum) = (i32::MAX, i32::MIN, 0_i64);
        for chunk in values.chunks(CHUNK) {
            let (mut low, mut high, mut small_sum) = (i32::MAX, i32::MIN, 0_i32);
            for value in chunk {
                low = low.min(*value);
                high = high.max(*value);
                small_sum = small_sum.wrapping_add(*value);
            }
            sum += match low >= -SMALL && high <= SMALL {
                true => i64::from(small_sum),
                false => chunk.iter().copied().map(i64::from).sum(),
            };
            (least, largest) = (least.min(low), largest.max(high));
        }
        let bounds = match values {
            [] => [f64::INFINITY, f64::NEG_INFINITY],
            _ => [least, largest].map(f64::from),
        };
        let whole = Self {
            least: bounds[0],
            largest: bounds[1],
            sum: sum as f64,
        };
        whole.is_within(-LARGEST, LARGEST).then_some(whole)
    }

    /// Whether all are within bounds, which they are if there are none.
    pub(crate) fn is_within(self, low: f64, high: f64) -> bool {
        self.least >= low && self.largest <= high
    }
}

/// Whether all values are numbers within bounds, which takes vector instructions to tell.
pub(crate) fn all_within(values: &[f64], low: f64, high: f64) -> bool {
    let outside = |chunk: &[f64]| {
        let strangers = chunk.iter().filter(|value| !(low..=high).contains(*value));
        strangers.count()
    };
    values.chunks(64).all(|chunk| outside(chunk) == 0)
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
    fn a_large_multiple_keeps_the_digits_of_two_doubles() {
        let value = (1_i128 << 110) + (1 << 60) + 1;
        for (value, rest) in [(value, 1.0), (-value, -1.0), (3, 0.0)] {
            let mut sum = FloatSum::default();
            sum.add_multiple(value, 0.25);
            let large = value - rest as i128;
            assert_eq!(sum.total(), value as f64 * 0.25);
            sum.add(-(large as f64) * 0.25);
            sum.add((large as f64 as i128 - large) as f64 * 0.25);
            assert_eq!(sum.total(), rest * 0.25);
        }
    }

    #[test]
    fn multiples_are_told_from_others() {
        assert!(Whole::of_multiples(&[0.25, -7.5, 0.0], 0.25).is_some());
        assert!(Whole::of_multiples(&[0.25, 0.125], 0.25).is_none());
        assert!(Whole::of_multiples(&[1e9], 0.25).is_none());
        assert!(Whole::of_multiples(&[0.1], 1.0 / 1_024.0).is_none());
    }

    #[test]
    fn whole_numbers_are_told_from_others() {
        assert!(Whole::of(&[0.0, -0.0, 3.0, -7.0, 1_073_741_824.0]).is_some());
        for other in [0.5, 1e10, f64::NAN, f64::INFINITY, 5e-324, -1.0 / 3.0] {
            assert!(Whole::of(&[1.0, other]).is_none(), "{other}");
        }
    }

    #[test]
    fn one_look_tells_bounds_and_sum() {
        for rows in [1, 3, 4, 511, 512, 1_030] {
            let values: Vec<_> = (0..rows).map(|n| f64::from(n % 11) - 3.0).collect();
            let whole = Whole::of(&values).unwrap();
            assert_eq!(whole.sum, values.iter().sum::<f64>(), "{rows}");
            let largest = f64::from(rows.min(11)) - 4.0;
            assert!(whole.is_within(-3.0, largest), "{rows}");
            assert!(!whole.is_within(-2.0, largest), "{rows}");
            assert!(!whole.is_within(-3.0, largest - 1.0), "{rows}");
            for odd in [0.5, f64::NAN, f64::INFINITY, 1e300] {
                for place in [0, rows as usize - 1] {
                    let mut values = values.clone();
                    values[place] = odd;
                    assert_eq!(Whole::of(&values), None, "{odd} in {rows}");
                    assert_eq!(all_within(&values, -3.0, 10.0), odd == 0.5, "{odd}");
                }
            }
        }
        assert_eq!(Whole::of(&[]).map(|none| none.sum), Some(0.0));
    }

    #[test]
    fn whole_numbers_multiply_as_they_do_one_by_one() {
        for rows in [0, 1, 4, 1_030] {
            let left: Vec<_> = (0..rows).map(|n| f64::from(n % 11) - 3.0).collect();
            let right: Vec<_> = (0..rows).map(|n| f64::from(n % 7)).collect();
            let expected: f64 = left.iter().zip(&right).map(|(l, r)| l * r).sum();
            assert_eq!(sum_of_products(&left, &right), expected, "{rows}");
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
