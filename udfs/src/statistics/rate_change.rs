//! Whether a share differs between two groups of rows: before and after, or A and B.
//!
//! `z = (p₂ − p₁) / √(p(1−p)(1/n₁ + 1/n₂))` with the pooled share `p`, two-sided.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::cast::as_boolean_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::arguments::{condition, wrong_arity};
use crate::measure::{Measure, Names, Sign, Tallied, Tally};
use crate::record::{FieldList, counts, numbers, record, record_type};
use crate::statistics::distributions::normal_two_sided;

/// The aggregate `rate_change`.
#[user_doc(
    doc_section(label = "Statistics"),
    description = "Whether a share has changed: the two-sample z test with pooled variance. A struct of rate_before, rate_after, difference (after minus before), z, the two-sided p_value, n_before and n_after; write (rate_change(success, is_after)).p_value for one of them. Rows where an argument is NULL are skipped; without rows on one side, and where all rows agree, what cannot be computed is NULL. A small p_value says that chance alone seldom makes such a difference, not what caused it. Source: two-proportion z test with pooled variance, as in statsmodels proportions_ztest.",
    syntax_example = "rate_change(success, is_after)",
    sql_example = r"```sql
> SELECT round(c['difference'], 4) AS difference, round(c['z'], 4) AS z, round(c['p_value'], 4) AS p_value
  FROM (SELECT rate_change(CASE WHEN n <= 200 THEN n <= 45 ELSE n <= 230 END, n > 200) AS c
        FROM generate_series(1, 410) AS answers(n));
+------------+---------+---------+
| difference | z       | p_value |
+------------+---------+---------+
| -0.0821    | -2.1505 | 0.0315  |
+------------+---------+---------+
```",
    argument(name = "success", description = "Condition, one row per trial."),
    argument(
        name = "is_after",
        description = "True for the rows of the second group, false for those of the first."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RateChange;

export_aggregate!(RateChange, rate_change, rate_change_udaf);

const FIELDS: FieldList = &[
    ("rate_before", DataType::Float64),
    ("rate_after", DataType::Float64),
    ("difference", DataType::Float64),
    ("z", DataType::Float64),
    ("p_value", DataType::Float64),
    ("n_before", DataType::Int64),
    ("n_after", DataType::Int64),
];

impl Definition for RateChange {
    const NAME: &'static str = "rate_change";
    const PARAMETERS: &'static [&'static str] = &["success", "is_after"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [success, is_after] => Ok(vec![
                condition(Self::NAME, "success", success)?,
                condition(Self::NAME, "is_after", is_after)?,
            ]),
            _ => wrong_arity(Self::NAME, "rate_change(success, is_after)", types.len()),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(record_type(FIELDS))
    }

    fn form(&self, _types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Shares))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Rows, rows of the second group, and the successes of each group.
#[derive(Debug, Clone)]
struct Shares;

impl Measure<4, 0, 0> for Shares {
    type Columns<'a> = [&'a BooleanArray; 2];

    const NAMES: Names<4, 0, 0> = Names {
        counts: ["rows", "rows_after", "successes_before", "successes_after"],
        sums: [],
        constants: [],
    };

    fn function(&self) -> &'static str {
        RateChange::NAME
    }

    fn required(&self) -> &'static [usize] {
        &[0, 1]
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>> {
        Ok([
            as_boolean_array(&arguments[0])?,
            as_boolean_array(&arguments[1])?,
        ])
    }

    fn constants(&self, _columns: &Self::Columns<'_>, _row: usize) -> Result<[f64; 0]> {
        Ok([])
    }

    fn check(&self, _constants: [f64; 0]) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<4, 0, 0>,
        [successes, is_after]: &Self::Columns<'_>,
        row: usize,
        _constants: [f64; 0],
        sign: Sign,
    ) -> Result<()> {
        let after = is_after.value(row);
        tally.counts[0] += sign.one();
        tally.counts[1] += sign.one() * i64::from(after);
        tally.counts[2 + usize::from(after)] += sign.one() * i64::from(successes.value(row));
        Ok(())
    }

    fn finish(&self, tallies: &[Tally<4, 0, 0>]) -> Result<ArrayRef> {
        let changes: Vec<_> = tallies
            .iter()
            .map(|tally| Change::new(tally.counts))
            .collect();
        let number = |field: fn(&Change) -> Option<f64>| numbers(changes.iter().map(field));
        record(
            FIELDS,
            vec![
                number(|change| change.before),
                number(|change| change.after),
                number(|change| change.difference),
                number(|change| change.z),
                number(|change| change.z.map(normal_two_sided)),
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

#[derive(Debug)]
struct Change {
    before: Option<f64>,
    after: Option<f64>,
    difference: Option<f64>,
    z: Option<f64>,
}

impl Change {
    fn new([rows, rows_after, successes_before, successes_after]: [i64; 4]) -> Self {
        let rate = |successes: i64, rows: i64| (rows > 0).then(|| successes as f64 / rows as f64);
        let rows_before = rows - rows_after;
        let (before, after) = (
            rate(successes_before, rows_before),
            rate(successes_after, rows_after),
        );
        let difference = before.zip(after).map(|(before, after)| after - before);
        let pooled = rate(successes_before + successes_after, rows);
        let z = difference.zip(pooled).and_then(|(difference, pooled)| {
            let inverse = 1.0 / rows_before as f64 + 1.0 / rows_after as f64;
            let error = (pooled * (1.0 - pooled) * inverse).sqrt();
            (error > 0.0).then(|| difference / error)
        });
        Self {
            before,
            after,
            difference,
            z,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapping_the_sides_turns_the_sign() {
        let there = Change::new([410, 210, 45, 30]).z.unwrap();
        let back = Change::new([410, 200, 30, 45]).z.unwrap();
        assert_eq!(there, -back);
    }

    #[test]
    fn rows_that_all_agree_cannot_be_tested() {
        let change = Change::new([4, 2, 2, 2]);
        assert_eq!((change.difference, change.z), (Some(0.0), None));
        assert_eq!(Change::new([2, 0, 1, 0]).difference, None);
    }
}
