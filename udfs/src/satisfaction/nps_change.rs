//! Whether a Net Promoter Score has changed: a two-sample z test on answers that count 1, 0 and −1.
//!
//! `z = (m₂ − m₁)/√(v₁/n₁ + v₂/n₂)` with `v = p + d − (p − d)²`, two-sided; in points.

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
use crate::record::{FieldList, counts, numbers, record, record_type};
use crate::satisfaction::nps::{Thresholds, check_scale};
use crate::satisfaction::nps_ci::{REMEDY, mean_and_variance};
use crate::statistics::distributions::{normal_two_sided, normal_within};

/// The aggregate `nps_change`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Whether a Net Promoter Score has changed: a two-sample z test. A struct of nps_before, nps_after, difference (after minus before) and its standard error se, all in points, z, the two-sided p_value, low and high of the difference, n_before and n_after; write (nps_change(score, is_after)).p_value for one of them. Answers are 0 to 10. Rows where an argument is NULL are skipped; without answers on one side what cannot be computed is NULL, and z and p_value are NULL where nobody on either side differs. A score outside 0 to 10, NaN, infinity and a confidence that is not between 0 and 1 are errors. Source: two-sample z test on scores of 1, 0 and -1.",
    syntax_example = "nps_change(score, is_after)",
    alternative_syntax = "nps_change(score, is_after, confidence)",
    sql_example = r"```sql
> SELECT round(c['difference'], 2) AS difference, round(c['p_value'], 4) AS p_value, round(c['low'], 2) AS low
  FROM (SELECT nps_change(CASE WHEN i % 200 < k THEN 9 WHEN i % 200 < 180 THEN 8 ELSE 2 END, after) AS c
        FROM (SELECT i, i >= 200 AS after, CASE WHEN i < 200 THEN 90 ELSE 130 END AS k FROM generate_series(0, 399) AS all_answers(i)));
+------------+---------+------+
| difference | p_value | low  |
+------------+---------+------+
| 20.0       | 0.0025  | 7.04 |
+------------+---------+------+
```",
    argument(
        name = "score",
        description = "The answer of one customer, any number from 0 to 10."
    ),
    argument(
        name = "is_after",
        description = "True for the answers of the second period, false for those of the first."
    ),
    argument(
        name = "confidence",
        description = "Probability that low to high holds the true difference, default 0.95; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NpsChange;

export_aggregate!(NpsChange, nps_change, nps_change_udaf);

const FORMS: &str = "nps_change(score, is_after) or nps_change(score, is_after, confidence)";

const FIELDS: FieldList = &[
    ("nps_before", DataType::Float64),
    ("nps_after", DataType::Float64),
    ("difference", DataType::Float64),
    ("se", DataType::Float64),
    ("z", DataType::Float64),
    ("p_value", DataType::Float64),
    ("low", DataType::Float64),
    ("high", DataType::Float64),
    ("n_before", DataType::Int64),
    ("n_after", DataType::Int64),
];

impl Definition for NpsChange {
    const NAME: &'static str = "nps_change";
    const PARAMETERS: &'static [&'static str] = &["score", "is_after", "confidence"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 2 | 3) {
            return wrong_arity(Self::NAME, FORMS, types.len());
        }
        let mut coerced = vec![
            number(Self::NAME, "score", &types[0])?,
            condition(Self::NAME, "is_after", &types[1])?,
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
        Ok(Box::new(MetricForm(Tallied(TwoPeriods {
            arguments: types.len(),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Answers, later answers, and the promoters and detractors of each period.
#[derive(Debug, Clone)]
struct TwoPeriods {
    arguments: usize,
}

/// The columns of a batch.
#[derive(Debug)]
struct Columns<'a> {
    scores: &'a Float64Array,
    is_after: &'a BooleanArray,
    confidences: Option<&'a Float64Array>,
}

impl Measure<6, 0, 1> for TwoPeriods {
    type Columns<'a> = Columns<'a>;

    const NAMES: Names<6, 0, 1> = Names {
        counts: [
            "answers",
            "answers_after",
            "promoters_before",
            "detractors_before",
            "promoters_after",
            "detractors_after",
        ],
        sums: [],
        constants: ["confidence"],
    };

    fn function(&self) -> &'static str {
        NpsChange::NAME
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Columns<'a>> {
        Ok(Columns {
            scores: doubles(&arguments[0])?,
            is_after: as_boolean_array(&arguments[1])?,
            confidences: optional(arguments, 2)?,
        })
    }

    #[inline]
    fn constants(&self, columns: &Columns<'_>, row: usize) -> Result<[f64; 1]> {
        Ok([confidence_at(columns.confidences, row)])
    }

    fn check(&self, [confidence]: [f64; 1]) -> Result<()> {
        check_confidence(NpsChange::NAME, confidence)
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<6, 0, 1>,
        columns: &Columns<'_>,
        row: usize,
        _constants: [f64; 1],
        sign: Sign,
    ) -> Result<()> {
        let score = columns.scores.value(row);
        check_scale(NpsChange::NAME, score, REMEDY)?;
        let after = columns.is_after.value(row);
        let first = 2 + 2 * usize::from(after);
        tally.counts[0] += sign.one();
        tally.counts[1] += sign.one() * i64::from(after);
        tally.counts[first] += sign.one() * i64::from(Thresholds::STANDARD.is_promoter(score));
        tally.counts[first + 1] += sign.one() * i64::from(Thresholds::STANDARD.is_detractor(score));
        Ok(())
    }

    fn finish(&self, tallies: &[Tally<6, 0, 1>]) -> Result<ArrayRef> {
        let changes: Vec<_> = tallies.iter().map(Change::new).collect();
        let number = |field: fn(&Change) -> Option<f64>| numbers(changes.iter().map(field));
        record(
            FIELDS,
            vec![
                number(|change| change.before),
                number(|change| change.after),
                number(|change| change.difference),
                number(|change| change.error),
                number(Change::z),
                number(|change| change.z().map(normal_two_sided)),
                number(|change| Some(change.difference? - change.width?)),
                number(|change| Some(change.difference? + change.width?)),
                counts(
                    tallies
                        .iter()
                        .map(|tally| tally.counts[0] - tally.counts[1]),
                ),
                counts(tallies.iter().map(|tally| tally.counts[1])),
            ],
        )
    }
}

/// The scores of both periods and their difference, in points.
#[derive(Debug, Default, PartialEq)]
struct Change {
    before: Option<f64>,
    after: Option<f64>,
    difference: Option<f64>,
    error: Option<f64>,
    width: Option<f64>,
}

impl Change {
    fn new(tally: &Tally<6, 0, 1>) -> Self {
        let [
            answers,
            later,
            promoters_before,
            detractors_before,
            promoters_after,
            detractors_after,
        ] = tally.counts.map(|count| count as f64);
        let earlier = answers - later;
        let before = mean_and_variance(earlier, promoters_before, detractors_before);
        let after = mean_and_variance(later, promoters_after, detractors_after);
        let both = before.zip(after);
        let error =
            both.map(|((_, before), (_, after))| 100.0 * (before / earlier + after / later).sqrt());
        let z = tally
            .constants
            .map(|[confidence]| normal_within(confidence));
        Self {
            before: before.map(|(mean, _)| 100.0 * mean),
            after: after.map(|(mean, _)| 100.0 * mean),
            difference: both.map(|((before, _), (after, _))| 100.0 * (after - before)),
            error,
            width: error.zip(z).map(|(error, z)| z * error),
        }
    }

    fn z(&self) -> Option<f64> {
        let error = self.error.filter(|error| *error > 0.0)?;
        Some(self.difference? / error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: [i64; 3], after: [i64; 3]) -> Change {
        let (earlier, later): (i64, i64) = (before.iter().sum(), after.iter().sum());
        Change::new(&Tally {
            counts: [
                earlier + later,
                later,
                before[0],
                before[2],
                after[0],
                after[2],
            ],
            constants: Some([0.95]),
            ..Tally::default()
        })
    }

    #[test]
    fn swapping_the_periods_turns_the_sign() {
        let there = change([15, 10, 5], [14, 10, 6]);
        let back = change([14, 10, 6], [15, 10, 5]);
        assert_eq!(there.z(), back.z().map(|z| -z));
        assert_eq!(there.width, back.width);
    }

    #[test]
    fn one_period_alone_has_its_score_and_nothing_to_compare() {
        let change = change([3, 0, 1], [0, 0, 0]);
        assert_eq!((change.before, change.after), (Some(50.0), None));
        assert_eq!(
            (change.difference, change.error, change.z()),
            (None, None, None)
        );
    }

    #[test]
    fn answers_that_all_agree_cannot_be_tested() {
        let change = change([0, 3, 0], [2, 0, 0]);
        assert_eq!((change.difference, change.error), (Some(100.0), Some(0.0)));
        assert_eq!(change.z(), None);
    }
}
