//! Net Promoter Score with the interval that holds the true score.
//!
//! Adjusted Wald: with `n' = n + 3`, `p' = (P + ¾)/n'`, `d' = (D + ¾)/n'` the interval is
//! `p' − d' ± z·√((p' + d' − (p' − d')²)/n')`, in points and within ±100. It is the best of six
//! methods in Rocks 2016 (The American Statistician 70:4). The score itself is not adjusted.

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::arguments::{doubles, number, wrong_arity};
use crate::measure::{
    CONFIDENCE, Measure, Names, Sign, Tallied, Tally, check_confidence, confidence_at,
    first_arguments, only_value, optional,
};
use crate::record::{FieldList, counts, numbers, record, record_type};
use crate::satisfaction::nps::{self, SCALE, Thresholds, check_scale};
use crate::statistics::distributions::normal_within;

/// The aggregate `nps_ci`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Net Promoter Score with its confidence interval in points, by the adjusted Wald method: three quarters of a promoter and of a detractor and one and a half passives are added for the interval, but not for the score. A struct of nps, low, high, the counts promoters, passives and detractors, and their sum n; write (nps_ci(score)).low or nps_ci(score)['low'] for one of them. Answers are 0 to 10. NULL scores are skipped; without any answer nps, low and high are NULL and the counts are 0. A score outside 0 to 10, NaN, infinity and a confidence that is not between 0 and 1 are errors. Source: Rocks, The American Statistician 70:4, 2016; MeasuringU 2021.",
    syntax_example = "nps_ci(score)",
    alternative_syntax = "nps_ci(score, confidence)",
    sql_example = r"```sql
> SELECT round(c['nps'], 2) AS nps, round(c['low'], 2) AS low, round(c['high'], 2) AS high, c['n'] AS n
  FROM (SELECT nps_ci(CASE WHEN i <= 15 THEN 9 WHEN i <= 25 THEN 8 ELSE 2 END) AS c FROM generate_series(1, 30) AS answers(i));
+-------+------+-------+----+
| nps   | low  | high  | n  |
+-------+------+-------+----+
| 33.33 | 4.78 | 55.83 | 30 |
+-------+------+-------+----+
```",
    argument(
        name = "score",
        description = "The answer of one customer, any number from 0 to 10."
    ),
    argument(
        name = "confidence",
        description = "Probability that the interval holds the true score, default 0.95; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NpsCi;

export_aggregate!(NpsCi, nps_ci, nps_ci_udaf);

const FIELDS: FieldList = &[
    ("nps", DataType::Float64),
    ("low", DataType::Float64),
    ("high", DataType::Float64),
    ("promoters", DataType::Int64),
    ("passives", DataType::Int64),
    ("detractors", DataType::Int64),
    ("n", DataType::Int64),
];

impl Definition for NpsCi {
    const NAME: &'static str = "nps_ci";
    const PARAMETERS: &'static [&'static str] = &["score", "confidence"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(Self::NAME, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(record_type(FIELDS))
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Answers {
            function: Self::NAME,
            arguments: types.len(),
            finish,
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Coercion of a score with or without a confidence.
pub(super) fn coerce(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    if !matches!(types.len(), 1 | 2) {
        let forms = format!("{function}(score) or {function}(score, confidence)");
        return wrong_arity(function, &forms, types.len());
    }
    let named = ["score", "confidence"].into_iter().zip(types);
    named
        .map(|(name, given)| number(function, name, given))
        .collect()
}

/// Answers, promoters and detractors, and the confidence asked for.
pub(super) type AnswerTally = Tally<3, 0, 1>;

/// Counts of answers; what is made of them at the end is each function's own.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    /// For messages.
    pub(super) function: &'static str,
    /// Number of arguments.
    pub(super) arguments: usize,
    /// The result.
    pub(super) finish: fn(&[AnswerTally]) -> Result<ArrayRef>,
}

/// What to do about a score off the scale where there are no thresholds to give.
pub(super) const REMEDY: &str = "rescale it to 0..10";

impl Measure<3, 0, 1> for Answers {
    type Columns<'a> = (&'a Float64Array, Option<&'a Float64Array>);

    const NAMES: Names<3, 0, 1> = Names {
        counts: ["answers", "promoters", "detractors"],
        sums: [],
        constants: ["confidence"],
    };

    fn function(&self) -> &'static str {
        self.function
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>> {
        Ok((doubles(&arguments[0])?, optional(arguments, 1)?))
    }

    #[inline]
    fn constants(&self, columns: &Self::Columns<'_>, row: usize) -> Result<[f64; 1]> {
        Ok([confidence_at(columns.1, row)])
    }

    fn check(&self, [confidence]: [f64; 1]) -> Result<()> {
        check_confidence(self.function, confidence)
    }

    #[inline]
    fn count(
        &self,
        tally: &mut AnswerTally,
        columns: &Self::Columns<'_>,
        row: usize,
        _constants: [f64; 1],
        sign: Sign,
    ) -> Result<()> {
        let score = columns.0.value(row);
        check_scale(self.function, score, REMEDY)?;
        tally.counts[0] += sign.one();
        tally.counts[1] += sign.one() * i64::from(Thresholds::STANDARD.is_promoter(score));
        tally.counts[2] += sign.one() * i64::from(Thresholds::STANDARD.is_detractor(score));
        Ok(())
    }

    fn count_all(
        &self,
        tally: &mut AnswerTally,
        (scores, confidences): &Self::Columns<'_>,
    ) -> Option<[f64; 1]> {
        let confidence = only_value(*confidences, CONFIDENCE)?;
        let answers = nps::Tally::of_all(scores.values(), &SCALE, Thresholds::STANDARD)?;
        tally.counts = answers.counts();
        Some([confidence])
    }

    fn finish(&self, tallies: &[AnswerTally]) -> Result<ArrayRef> {
        (self.finish)(tallies)
    }
}

/// The mean and the variance of answers that count 1, 0 and −1; `None` without answers.
pub(super) fn mean_and_variance(
    answers: f64,
    promoters: f64,
    detractors: f64,
) -> Option<(f64, f64)> {
    if answers <= 0.0 {
        return None;
    }
    let mean = (promoters - detractors) / answers;
    let variance = (promoters + detractors) / answers - mean * mean;
    // Rounding may leave less than nothing where all answers agree.
    Some((mean, variance.max(0.0)))
}

/// Passives added for the interval.
const ADDED_PASSIVES: f64 = 1.5;
/// Promoters, and detractors, added for the interval.
const ADDED_EXTREMES: f64 = 0.75;

/// The interval in points.
fn interval(tally: &AnswerTally) -> Option<(f64, f64)> {
    let [answers, promoters, detractors] = tally.counts.map(|count| count as f64);
    let [confidence] = tally.constants.filter(|_| answers > 0.0)?;
    let answers = answers + ADDED_PASSIVES + 2.0 * ADDED_EXTREMES;
    let (promoters, detractors) = (promoters + ADDED_EXTREMES, detractors + ADDED_EXTREMES);
    let (mean, variance) = mean_and_variance(answers, promoters, detractors)?;
    let width = normal_within(confidence) * (variance / answers).sqrt();
    Some((
        (100.0 * (mean - width)).max(-100.0),
        (100.0 * (mean + width)).min(100.0),
    ))
}

fn finish(tallies: &[AnswerTally]) -> Result<ArrayRef> {
    let score = |tally: &AnswerTally| {
        let [answers, promoters, detractors] = tally.counts;
        (answers > 0).then(|| 100.0 * (promoters - detractors) as f64 / answers as f64)
    };
    let intervals: Vec<_> = tallies.iter().map(interval).collect();
    let count =
        |field: fn([i64; 3]) -> i64| counts(tallies.iter().map(move |tally| field(tally.counts)));
    record(
        FIELDS,
        vec![
            numbers(tallies.iter().map(score)),
            numbers(intervals.iter().map(|interval| Some((*interval)?.0))),
            numbers(intervals.iter().map(|interval| Some((*interval)?.1))),
            count(|[_, promoters, _]| promoters),
            count(|[answers, promoters, detractors]| answers - promoters - detractors),
            count(|[_, _, detractors]| detractors),
            count(|[answers, _, _]| answers),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(promoters: i64, passives: i64, detractors: i64) -> AnswerTally {
        AnswerTally {
            counts: [promoters + passives + detractors, promoters, detractors],
            constants: Some([0.95]),
            ..AnswerTally::default()
        }
    }

    #[test]
    fn three_promoters_of_three_are_not_certain() {
        let (low, high) = interval(&tally(3, 0, 0)).unwrap();
        assert!((low + 6.6).abs() < 0.05, "{low}");
        assert_eq!(high, 100.0);
    }

    #[test]
    fn bounds_stay_on_the_scale_and_mirror_each_other() {
        for promoters in 0..12 {
            for detractors in 0..12 {
                let (low, high) = interval(&tally(promoters, 1, detractors)).unwrap();
                assert!(-100.0 <= low && low <= high && high <= 100.0);
                let (mirrored, _) = interval(&tally(detractors, 1, promoters)).unwrap();
                assert!((high + mirrored).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn nobody_answered_is_unknown() {
        assert_eq!(interval(&AnswerTally::default()), None);
        assert_eq!(mean_and_variance(0.0, 0.0, 0.0), None);
    }
}
