//! Margin of error of a Net Promoter Score: `z · 100 · √(Var/n)`, `Var = p + d − (p − d)²`.
//!
//! Half the width of the plain interval, in points. 0 for a single answer and where all are of one
//! kind, which says nothing about the truth: [`crate::satisfaction::nps_ci`] does. Source: variance
//! of a variable that is 1, 0 or −1.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::measure::Tallied;
use crate::record::numbers;
use crate::satisfaction::nps_ci::{AnswerTally, Answers, coerce, mean_and_variance};
use crate::statistics::distributions::normal_within;

/// The aggregate `nps_moe`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Margin of error of a Net Promoter Score in points: half the width of its plain confidence interval, z x 100 x sqrt(Var/n) with Var = p + d - (p - d)², where p and d are the shares of promoters and detractors. Answers are 0 to 10. NULL scores are skipped; without any answer the result is NULL. With a single answer, or where all answers are of one kind, it is 0 and not to be relied on; use nps_ci there. A score outside 0 to 10, NaN, infinity and a confidence that is not between 0 and 1 are errors. Source: variance of a variable that is 1, 0 or -1; cybaea.net 2016.",
    syntax_example = "nps_moe(score)",
    alternative_syntax = "nps_moe(score, confidence)",
    sql_example = r"```sql
> SELECT round(nps_moe(CASE WHEN i <= 15 THEN 9 WHEN i <= 25 THEN 8 ELSE 2 END), 2) AS moe
  FROM generate_series(1, 30) AS answers(i);
+-------+
| moe   |
+-------+
| 26.67 |
+-------+
```",
    argument(
        name = "score",
        description = "The answer of one customer, any number from 0 to 10."
    ),
    argument(
        name = "confidence",
        description = "Probability that the true score is within the margin, default 0.95; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NpsMoe;

export_aggregate!(NpsMoe, nps_moe, nps_moe_udaf);

impl Definition for NpsMoe {
    const NAME: &'static str = "nps_moe";
    const PARAMETERS: &'static [&'static str] = &["score", "confidence"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(Self::NAME, types)
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Answers {
            function: Self::NAME,
            arguments: types.len(),
            finish: |tallies| Ok(numbers(tallies.iter().map(margin))),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn margin(tally: &AnswerTally) -> Option<f64> {
    let [answers, promoters, detractors] = tally.counts.map(|count| count as f64);
    let (_, variance) = mean_and_variance(answers, promoters, detractors)?;
    let [confidence] = tally.constants?;
    Some(normal_within(confidence) * 100.0 * (variance / answers).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn margin_of(answers: i64, promoters: i64, detractors: i64) -> Option<f64> {
        margin(&AnswerTally {
            counts: [answers, promoters, detractors],
            constants: Some([0.95]),
            ..AnswerTally::default()
        })
    }

    #[test]
    fn more_answers_leave_less_doubt() {
        assert!(margin_of(400, 200, 100).unwrap() < margin_of(40, 20, 10).unwrap());
    }

    #[test]
    fn answers_of_one_kind_leave_no_margin() {
        assert_eq!(margin_of(7, 7, 0), Some(0.0));
        assert_eq!(margin_of(1, 0, 0), Some(0.0));
        assert_eq!(margin_of(0, 0, 0), None);
    }
}
