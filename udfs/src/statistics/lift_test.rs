//! Whether a value differs between those who were treated and those who were not: Welch's t test.
//!
//! `t = (m₂ − m₁)/√(v₁/n₁ + v₂/n₂)` with Satterthwaite's degrees of freedom. Source: Welch 1947.

use arrow::array::{ArrayRef, BooleanArray, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::cast::as_boolean_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::arguments::{condition, doubles, number, wrong_arity};
use crate::measure::{
    Measure, Names, Sign, Tallied, Tally, check_confidence, confidence_at, first_arguments,
    optional,
};
use crate::precise::{FloatSum, deviations, squarable};
use crate::record::{FieldList, counts, numbers, record, record_type};
use crate::statistics::distributions::{student_two_sided, student_within};

/// The aggregate `lift_test`.
#[user_doc(
    doc_section(label = "Statistics"),
    description = "Whether a value differs between treated and untreated customers: Welch's t test, which does not assume equal variances. A struct of mean_control, mean_treated, difference (treated minus control), lift (difference divided by mean_control), t, df, the two-sided p_value, low and high of the difference, n_control and n_treated; write (lift_test(value, treated)).p_value for one of them. Rows where an argument is NULL are skipped. With fewer than two rows on a side, or no variance on both, what cannot be computed is NULL; lift is NULL if mean_control is 0. NaN, infinity, numbers beyond 1e140 and a confidence that is not between 0 and 1 are errors. Without random assignment the result is a difference, not an effect: members of a programme chose to be members. Source: Welch 1947; as scipy.stats.ttest_ind with equal_var=False.",
    syntax_example = "lift_test(value, treated)",
    alternative_syntax = "lift_test(value, treated, confidence)",
    sql_example = r"```sql
> SELECT round(t['difference'], 2) AS difference, round(t['lift'], 4) AS lift, round(t['p_value'], 4) AS p_value
  FROM (SELECT lift_test(v, g) AS t FROM (VALUES
        (52.1, false), (40.0, false), (61.5, false), (38.2, false), (47.7, false), (55.0, false),
        (60.2, true), (58.8, true), (49.9, true), (71.3, true), (66.0, true)) AS customers(v, g));
+------------+--------+---------+
| difference | lift   | p_value |
+------------+--------+---------+
| 12.16      | 0.2477 | 0.0423  |
+------------+--------+---------+
```",
    argument(
        name = "value",
        description = "What is compared, any number; one row per customer."
    ),
    argument(
        name = "treated",
        description = "True for those who were treated, false for the control group."
    ),
    argument(
        name = "confidence",
        description = "Probability that low to high holds the true difference, default 0.95; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LiftTest;

export_aggregate!(LiftTest, lift_test, lift_test_udaf);

const FORMS: &str = "lift_test(value, treated) or lift_test(value, treated, confidence)";

const FIELDS: FieldList = &[
    ("mean_control", DataType::Float64),
    ("mean_treated", DataType::Float64),
    ("difference", DataType::Float64),
    ("lift", DataType::Float64),
    ("t", DataType::Float64),
    ("df", DataType::Float64),
    ("p_value", DataType::Float64),
    ("low", DataType::Float64),
    ("high", DataType::Float64),
    ("n_control", DataType::Int64),
    ("n_treated", DataType::Int64),
];

impl Definition for LiftTest {
    const NAME: &'static str = "lift_test";
    const PARAMETERS: &'static [&'static str] = &["value", "treated", "confidence"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 2 | 3) {
            return wrong_arity(Self::NAME, FORMS, types.len());
        }
        let mut coerced = vec![
            number(Self::NAME, "value", &types[0])?,
            condition(Self::NAME, "treated", &types[1])?,
        ];
        if let Some(confidence) = types.get(2) {
            coerced.push(number(Self::NAME, "confidence", confidence)?);
        }
        Ok(coerced)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(record_type(FIELDS))
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Samples {
            arguments: types.len(),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Rows, treated rows, and for each side the sum of values and of their squares.
#[derive(Debug, Clone)]
struct Samples {
    arguments: usize,
}

/// The columns of a batch.
#[derive(Debug)]
struct SampleColumns<'a> {
    values: &'a Float64Array,
    treated: &'a BooleanArray,
    confidences: Option<&'a Float64Array>,
}

impl Measure<2, 4, 1> for Samples {
    type Columns<'a> = SampleColumns<'a>;

    const NAMES: Names<2, 4, 1> = Names {
        counts: ["rows", "rows_treated"],
        sums: ["control", "control_squares", "treated", "treated_squares"],
        constants: ["confidence"],
    };

    fn function(&self) -> &'static str {
        LiftTest::NAME
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<SampleColumns<'a>> {
        Ok(SampleColumns {
            values: doubles(&arguments[0])?,
            treated: as_boolean_array(&arguments[1])?,
            confidences: optional(arguments, 2)?,
        })
    }

    #[inline]
    fn constants(&self, columns: &SampleColumns<'_>, row: usize) -> Result<[f64; 1]> {
        Ok([confidence_at(columns.confidences, row)])
    }

    fn check(&self, [confidence]: [f64; 1]) -> Result<()> {
        check_confidence(LiftTest::NAME, confidence)
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<2, 4, 1>,
        columns: &SampleColumns<'_>,
        row: usize,
        _constants: [f64; 1],
        sign: Sign,
    ) -> Result<()> {
        let value = squarable(LiftTest::NAME, "value", columns.values.value(row))?;
        let treated = columns.treated.value(row);
        tally.counts[0] += sign.one();
        tally.counts[1] += sign.one() * i64::from(treated);
        let side = 2 * usize::from(treated);
        tally.sums[side].add(sign.of(value));
        tally.sums[side + 1].add_product(sign.of(value), value);
        Ok(())
    }

    fn finish(&self, tallies: &[Tally<2, 4, 1>]) -> Result<ArrayRef> {
        let tests: Vec<_> = tallies.iter().map(Welch::new).collect();
        let number = |field: fn(&Welch) -> Option<f64>| numbers(tests.iter().map(field));
        record(
            FIELDS,
            vec![
                number(|test| test.control.mean()),
                number(|test| test.treated.mean()),
                number(Welch::difference),
                number(Welch::lift),
                number(|test| test.outcome.map(|outcome| outcome.t)),
                number(|test| test.outcome.map(|outcome| outcome.degrees)),
                number(|test| test.outcome.map(|outcome| outcome.p_value)),
                number(|test| Some(test.difference()? - test.outcome?.width)),
                number(|test| Some(test.difference()? + test.outcome?.width)),
                counts(tests.iter().map(|test| test.control.rows)),
                counts(tests.iter().map(|test| test.treated.rows)),
            ],
        )
    }
}

/// One side of the comparison.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rows: i64,
    sum: FloatSum,
    squares: FloatSum,
}

impl Sample {
    fn mean(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.sum.total() / self.rows as f64)
    }

    /// Variance of the mean and its degrees of freedom.
    fn error(&self) -> Option<(f64, f64)> {
        let degrees = (self.rows > 1).then(|| (self.rows - 1) as f64)?;
        let spread = deviations(self.squares, self.sum, self.sum, self.rows);
        let spread = spread.to_f64().max(0.0);
        Some((spread / degrees / self.rows as f64, degrees))
    }
}

/// The test's result where it can be made.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    t: f64,
    degrees: f64,
    p_value: f64,
    width: f64,
}

/// Welch's test of two samples.
#[derive(Debug)]
struct Welch {
    control: Sample,
    treated: Sample,
    outcome: Option<Outcome>,
}

impl Welch {
    fn new(tally: &Tally<2, 4, 1>) -> Self {
        let [rows, rows_treated] = tally.counts;
        let sample = |rows, first: usize| Sample {
            rows,
            sum: tally.sums[first],
            squares: tally.sums[first + 1],
        };
        let mut test = Self {
            control: sample(rows - rows_treated, 0),
            treated: sample(rows_treated, 2),
            outcome: None,
        };
        test.outcome = tally
            .constants
            .and_then(|[confidence]| test.outcome(confidence));
        test
    }

    fn difference(&self) -> Option<f64> {
        Some(self.treated.mean()? - self.control.mean()?)
    }

    fn lift(&self) -> Option<f64> {
        let (difference, base) = (self.difference()?, self.control.mean()?);
        let lift = difference / base;
        lift.is_finite().then_some(lift)
    }

    fn outcome(&self, confidence: f64) -> Option<Outcome> {
        let (control, control_degrees) = self.control.error()?;
        let (treated, treated_degrees) = self.treated.error()?;
        let variance = control + treated;
        if variance <= 0.0 {
            return None;
        }
        // Shares of the variance instead of squares of it, which would overflow.
        let (control, treated) = (control / variance, treated / variance);
        let degrees =
            1.0 / (control * control / control_degrees + treated * treated / treated_degrees);
        let error = variance.sqrt();
        let t = self.difference()? / error;
        Some(Outcome {
            t,
            degrees,
            p_value: student_two_sided(t, degrees),
            width: student_within(confidence, degrees) * error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        let mut sample = Sample {
            rows: values.len() as i64,
            sum: FloatSum::default(),
            squares: FloatSum::default(),
        };
        for value in values {
            sample.sum.add(*value);
            sample.squares.add_product(*value, *value);
        }
        sample
    }

    fn test(control: &[f64], treated: &[f64]) -> Welch {
        let (control, treated) = (sample(control), sample(treated));
        let mut test = Welch {
            control,
            treated,
            outcome: None,
        };
        test.outcome = test.outcome(0.95);
        test
    }

    #[test]
    fn one_row_on_a_side_cannot_be_tested() {
        let test = test(&[1.0], &[2.0, 3.0]);
        assert_eq!(test.difference(), Some(1.5));
        assert!(test.outcome.is_none());
    }

    #[test]
    fn no_variance_cannot_be_tested() {
        assert!(test(&[1.0, 1.0], &[2.0, 2.0]).outcome.is_none());
    }

    #[test]
    fn swapping_the_sides_turns_the_sign() {
        let (low, high) = ([1.0, 2.0, 4.0], [5.0, 9.0]);
        let there = test(&low, &high).outcome.unwrap();
        let back = test(&high, &low).outcome.unwrap();
        assert_eq!(there.t, -back.t);
        assert_eq!(there.p_value, back.p_value);
        assert_eq!(there.width, back.width);
    }

    #[test]
    fn lift_over_nothing_is_unknown() {
        assert_eq!(test(&[-1.0, 1.0], &[2.0, 3.0]).lift(), None);
    }
}
