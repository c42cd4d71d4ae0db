//! Answers of surveys: numbers, which mostly are small and whole.

use arrow::array::{Array, ArrayRef, Float64Array, Int32Array};
use arrow::datatypes::{DataType, Int32Type};
use datafusion_common::Result;

use crate::arguments::{doubles, number, plain, primitive};
use crate::precise::{BatchSum, FloatSum, Whole, all_within};

/// The type of an answer: whole numbers that an INT holds become one, other numbers DOUBLE.
pub(crate) fn answer(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match plain(given) {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            Ok(DataType::Int32)
        }
        given => number(function, argument, given),
    }
}

/// A column of a type that [`answer`] returned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answers<'a> {
    Whole(&'a Int32Array),
    Doubles(&'a Float64Array),
}

impl<'a> Answers<'a> {
    /// Looks at a batch's column.
    pub(crate) fn new(array: &'a ArrayRef) -> Result<Self> {
        match array.data_type() {
            DataType::Int32 => primitive::<Int32Type>(array).map(Self::Whole),
            _ => doubles(array).map(Self::Doubles),
        }
    }

    /// How many there are.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Whole(answers) => answers.len(),
            Self::Doubles(answers) => answers.len(),
        }
    }

    #[inline]
    pub(crate) fn value(self, row: usize) -> f64 {
        match self {
            Self::Whole(answers) => f64::from(answers.value(row)),
            Self::Doubles(answers) => answers.value(row),
        }
    }

    /// Takes all of them in order.
    #[inline]
    pub(crate) fn for_each(self, mut take: impl FnMut(f64)) {
        match self {
            Self::Whole(answers) => {
                let answers = answers.values().iter();
                answers.for_each(|answer| take(f64::from(*answer)));
            }
            Self::Doubles(answers) => answers.values().iter().for_each(|answer| take(*answer)),
        }
    }

    /// Whether all are numbers within bounds, and if so, whether they are [`Whole`].
    pub(crate) fn whole_within(self, low: f64, high: f64) -> Option<bool> {
        match self.look() {
            Some(whole) => whole.is_within(low, high).then_some(true),
            None => self.all_within(low, high).then_some(false),
        }
    }

    /// Adds all if they are numbers within bounds; false, and nothing changes, if not.
    pub(crate) fn add_within(self, sum: &mut FloatSum, low: f64, high: f64) -> bool {
        match self.look() {
            Some(whole) if whole.is_within(low, high) => sum.add(whole.sum),
            None if self.all_within(low, high) => match self {
                Self::Whole(_) => self.for_each(|answer| sum.add(answer)),
                Self::Doubles(answers) => sum.add_batch(BatchSum::of(answers.values())),
            },
            _ => return false,
        }
        true
    }

    /// How many are at least so large.
    pub(crate) fn count_from(self, least: f64) -> usize {
        let mut count = 0;
        self.for_each(|answer| count += usize::from(answer >= least));
        count
    }

    fn look(self) -> Option<Whole> {
        match self {
            Self::Whole(answers) => Whole::of_integers(answers.values()),
            Self::Doubles(answers) => Whole::of(answers.values()),
        }
    }

    /// Whether all are numbers within bounds, which they are if there are none.
    pub(crate) fn all_within(self, low: f64, high: f64) -> bool {
        match self {
            Self::Whole(answers) => {
                let answers = || answers.values().iter().copied();
                let (least, most) = (
                    answers().fold(i32::MAX, i32::min),
                    answers().fold(i32::MIN, i32::max),
                );
                least > most || f64::from(least) >= low && f64::from(most) <= high
            }
            Self::Doubles(answers) => all_within(answers.values(), low, high),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn both_types_tell_the_same() {
        for values in [
            vec![],
            vec![1, 5, 7, 0],
            (0..2_000).map(|n| n % 9 - 2).collect(),
            vec![i32::MAX, i32::MIN, 3],
        ] {
            let doubles: Float64Array = values.iter().map(|value| f64::from(*value)).collect();
            let integers = Int32Array::from(values.clone());
            let arrays: [ArrayRef; 2] = [Arc::new(integers), Arc::new(doubles)];
            let [whole, double] = arrays.each_ref().map(|array| Answers::new(array).unwrap());
            for (low, high) in [(0.0, 7.0), (-2.0, 6.0), (0.5, 6.5), (f64::MIN, f64::MAX)] {
                let expected = double.whole_within(low, high);
                assert_eq!(whole.whole_within(low, high), expected, "{values:?}");
                let mut sums = [FloatSum::default(); 2];
                let added = [whole, double]
                    .into_iter()
                    .zip(&mut sums)
                    .map(|(answers, sum)| answers.add_within(sum, low, high));
                let added: Vec<_> = added.collect();
                assert_eq!(added, [expected.is_some(); 2], "{values:?}");
                assert_eq!(sums[0].total(), sums[1].total(), "{values:?}");
                if expected.is_some() {
                    let total: i64 = values.iter().map(|value| i64::from(*value)).sum();
                    assert_eq!(sums[0].total(), total as f64, "{values:?}");
                }
            }
            for least in [-2.0, 4.5, 6.0, f64::MAX] {
                let expected = values
                    .iter()
                    .filter(|value| f64::from(**value) >= least)
                    .count();
                assert_eq!(
                    [whole, double].map(|answers| answers.count_from(least)),
                    [expected; 2]
                );
            }
            for row in 0..values.len() {
                assert_eq!(whole.value(row), double.value(row));
            }
        }
    }

    #[test]
    fn only_whole_numbers_that_an_int_holds_become_one() {
        for (given, expected) in [
            (DataType::UInt16, DataType::Int32),
            (DataType::UInt32, DataType::Float64),
            (DataType::Int64, DataType::Float64),
            (DataType::Null, DataType::Float64),
        ] {
            assert_eq!(answer("f", "score", &given).unwrap(), expected);
        }
        assert!(answer("f", "score", &DataType::Utf8).is_err());
    }
}
