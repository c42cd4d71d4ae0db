//! Wilson's interval of a share, from the number of successes and trials.
//!
//! `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`. NULL if an argument is NULL; without trials
//! the share and its bounds are NULL. Source: Wilson 1927; Newcombe 1998, method 3.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::for_each_row;
use crate::arguments::{doubles, finite, invalid_value, number, wrong_arity};
use crate::measure::{CONFIDENCE, check_confidence, confidence_at, only_value, optional};
use crate::precise::Whole;
use crate::record::{FieldList, counts, numbers, record, record_type};
use crate::scalar::{ScalarDefinition, export_scalar};
use crate::statistics::distributions::normal_within;

/// The scalar function `wilson_ci`.
#[user_doc(
    doc_section(label = "Statistics"),
    description = "Confidence interval of a share by Wilson's formula, which stays within 0 to 1 and holds for small numbers too: (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). A struct of rate, low and high, as fractions, and the number n of trials; write (wilson_ci(k, n)).low or wilson_ci(k, n)['low'] for one of them. NULL if an argument is NULL; without trials rate, low and high are NULL. Counts that are negative or not whole, more successes than trials and a confidence that is not between 0 and 1 are errors. Source: Wilson 1927; Newcombe, Statistics in Medicine 1998, method 3.",
    syntax_example = "wilson_ci(successes, trials)",
    alternative_syntax = "wilson_ci(successes, trials, confidence)",
    sql_example = r"```sql
> SELECT round(wilson_ci(0, 20)['low'], 4) AS low, round(wilson_ci(0, 20)['high'], 4) AS high;
+-----+--------+
| low | high   |
+-----+--------+
| 0.0 | 0.1611 |
+-----+--------+
```",
    argument(name = "successes", description = "How often it happened."),
    argument(name = "trials", description = "How often it could have happened."),
    argument(
        name = "confidence",
        description = "Probability that the interval holds the true share, default 0.95."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct WilsonCi;

export_scalar!(WilsonCi, wilson_ci, wilson_ci_udf);

/// Fields of the result.
pub(super) const FIELDS: FieldList = &[
    ("rate", DataType::Float64),
    ("low", DataType::Float64),
    ("high", DataType::Float64),
    ("n", DataType::Int64),
];

/// Largest whole number up to which a double counts without gaps.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

impl ScalarDefinition for WilsonCi {
    const NAME: &'static str = "wilson_ci";
    const PARAMETERS: &'static [&'static str] = &["successes", "trials", "confidence"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 2 | 3) {
            let forms = "wilson_ci(successes, trials) or wilson_ci(successes, trials, confidence)";
            return wrong_arity(Self::NAME, forms, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| number(Self::NAME, name, given))
            .collect()
    }

    fn return_type(&self) -> DataType {
        record_type(FIELDS)
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = arguments[0].len();
        let nulls = NullBuffer::union_many(arguments.iter().map(Array::nulls));
        let (successes, trials) = (doubles(&arguments[0])?, doubles(&arguments[1])?);
        let confidences = optional(arguments, 2)?;
        if nulls.is_none()
            && let Some(confidence) = only_value(confidences, CONFIDENCE)
            && let Some(intervals) = intervals_of(successes.values(), trials.values(), confidence)
        {
            return record(FIELDS, intervals);
        }
        let mut intervals = vec![Interval::default(); rows];
        for_each_row(nulls.as_ref(), rows, |row| {
            let successes = whole("successes", successes.value(row))?;
            let trials = whole("trials", trials.value(row))?;
            if successes > trials {
                return Err(invalid_value(
                    Self::NAME,
                    format!(
                        "successes {successes} are more than trials {trials}; swap them or correct one"
                    ),
                ));
            }
            let confidence = confidence_at(confidences, row);
            check_confidence(Self::NAME, confidence)?;
            intervals[row] = Interval::new(successes as i64, trials as i64, confidence);
            Ok(())
        })?;
        let intervals = columns(&intervals)?;
        match nulls {
            None => Ok(intervals),
            Some(nulls) => {
                let absent = BooleanArray::new(!nulls.inner(), None);
                Ok(compute::nullif(&intervals, &absent)?)
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The columns of whole columns of counts, which takes vector instructions; `None` if a row has to
/// be looked at by itself.
fn intervals_of(successes: &[f64], trials: &[f64], confidence: f64) -> Option<Vec<ArrayRef>> {
    check_confidence(WilsonCi::NAME, confidence).ok()?;
    let counts = [Whole::of(successes)?, Whole::of(trials)?];
    let more = successes.iter().zip(trials);
    let more = more.filter(|(successes, trials)| successes > trials);
    if !counts[0].is_within(0.0, f64::MAX)
        || !counts[1].is_within(1.0, f64::MAX)
        || more.count() > 0
    {
        return None;
    }
    let z = normal_within(confidence);
    let mut bounds = [(); 3].map(|()| vec![0.0; trials.len()]);
    let [rates, lows, highs] = &mut bounds;
    let results = rates.iter_mut().zip(lows).zip(highs);
    for (((rate, low), high), (successes, trials)) in results.zip(successes.iter().zip(trials)) {
        // The two zeros are one count.
        [*rate, *low, *high] = share(*successes + 0.0, *trials, z);
    }
    let trials = trials.iter().map(|trials| *trials as i64);
    let trials: ArrayRef = Arc::new(Int64Array::from_iter_values(trials));
    let bounds = bounds.into_iter();
    let bounds = bounds.map(|bounds| Arc::new(Float64Array::from(bounds)) as ArrayRef);
    Some(bounds.chain([trials]).collect())
}

fn whole(argument: &str, value: f64) -> Result<f64> {
    let value = finite(WilsonCi::NAME, argument, value)?;
    if (0.0..=MAX_COUNT).contains(&value) && value.fract() == 0.0 {
        return Ok(value);
    }
    Err(invalid_value(
        WilsonCi::NAME,
        format!("{argument} {value} is not a count; give a whole number from 0"),
    ))
}

/// The share of `k` in `n` and its bounds, `z` standard deviations away.
#[inline]
fn share(k: f64, n: f64, z: f64) -> [f64; 3] {
    let square = z * z;
    let middle = (k + square / 2.0) / (n + square);
    let width = z * (k * (n - k) / n + square / 4.0).sqrt() / (n + square);
    // At the ends the bound is exact, whatever rounding makes of the difference.
    let low = if k == 0.0 {
        0.0
    } else {
        (middle - width).max(0.0)
    };
    let high = if k == n {
        1.0
    } else {
        (middle + width).min(1.0)
    };
    [k / n, low, high]
}

/// A share and its bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Interval {
    rate: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    trials: i64,
}

impl Interval {
    /// The interval of a confidence that has been checked.
    pub(super) fn new(successes: i64, trials: i64, confidence: f64) -> Self {
        if trials <= 0 {
            return Self::default();
        }
        let z = normal_within(confidence);
        let [rate, low, high] = share(successes as f64, trials as f64, z);
        Self {
            rate: Some(rate),
            low: Some(low),
            high: Some(high),
            trials,
        }
    }
}

/// Intervals as a column of structs.
pub(super) fn columns(intervals: &[Interval]) -> Result<ArrayRef> {
    record(
        FIELDS,
        vec![
            numbers(intervals.iter().map(|interval| interval.rate)),
            numbers(intervals.iter().map(|interval| interval.low)),
            numbers(intervals.iter().map(|interval| interval.high)),
            counts(intervals.iter().map(|interval| interval.trials)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_within_zero_and_one_and_hold_the_share() {
        for trials in 1..40 {
            for successes in 0..=trials {
                let interval = Interval::new(successes, trials, 0.99);
                let (low, high) = (interval.low.unwrap(), interval.high.unwrap());
                let rate = interval.rate.unwrap();
                assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
            }
        }
    }

    #[test]
    fn whole_columns_give_what_rows_give() {
        let counts: Vec<_> = (1..30).flat_map(|n| (0..=n).map(move |k| (k, n))).collect();
        let k: Vec<_> = counts.iter().map(|(k, _)| *k as f64).collect();
        let n: Vec<_> = counts.iter().map(|(_, n)| *n as f64).collect();
        let by_row: Vec<_> = counts
            .iter()
            .map(|(k, n)| Interval::new(*k, *n, 0.9))
            .collect();
        let at_once = record(FIELDS, intervals_of(&k, &n, 0.9).unwrap()).unwrap();
        assert_eq!(at_once.as_ref(), columns(&by_row).unwrap().as_ref());
        let none = record(FIELDS, intervals_of(&[-0.0], &[2.0], 0.9).unwrap()).unwrap();
        let of_row = columns(&[Interval::new(0, 2, 0.9)]).unwrap();
        assert_eq!(none.as_ref(), of_row.as_ref());
        for (k, n) in [
            (2.0, 1.0),
            (-1.0, 1.0),
            (0.0, 0.0),
            (0.5, 2.0),
            (f64::NAN, 2.0),
        ] {
            assert!(
                intervals_of(&[1.0, k], &[2.0, n], 0.9).is_none(),
                "{k} of {n}"
            );
        }
        assert!(intervals_of(&[1.0], &[2.0], 1.0).is_none());
    }

    #[test]
    fn failures_mirror_successes() {
        let (one, other) = (Interval::new(3, 29, 0.95), Interval::new(26, 29, 0.95));
        assert!((one.low.unwrap() - (1.0 - other.high.unwrap())).abs() < 1e-15);
    }

    #[test]
    fn no_trials_say_nothing() {
        assert_eq!(Interval::new(0, 0, 0.95), Interval::default());
    }

    #[test]
    fn half_a_success_is_refused() {
        assert!(whole("successes", 0.5).is_err());
        assert!(whole("successes", -1.0).is_err());
        assert!(whole("trials", f64::NAN).is_err());
    }
}
