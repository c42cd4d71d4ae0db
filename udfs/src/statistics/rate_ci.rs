//! A share of rows with Wilson's interval.
//!
//! `true rows / non-NULL rows`; the interval is that of [`crate::statistics::wilson_ci`].

use arrow::array::{ArrayRef, BooleanArray, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::cast::as_boolean_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::arguments::{condition, number, wrong_arity};
use crate::measure::{
    Measure, Names, Sign, Tallied, Tally, check_confidence, confidence_at, first_arguments,
    optional,
};
use crate::record::record_type;
use crate::statistics::wilson_ci::{FIELDS, Interval, columns};

/// The aggregate `rate_ci`.
#[user_doc(
    doc_section(label = "Statistics"),
    description = "Share of rows where a condition is true, with its confidence interval by Wilson's formula; for response rates, repeat rates, churn. A struct of rate, low and high, as fractions, and the number n of rows; write (rate_ci(success)).low or rate_ci(success)['low'] for one of them. Rows where the condition is NULL are skipped; without any row rate, low and high are NULL and n is 0. A confidence that is not between 0 and 1 is an error. Source: Wilson 1927; Newcombe, Statistics in Medicine 1998, method 3.",
    syntax_example = "rate_ci(success)",
    alternative_syntax = "rate_ci(success, confidence)",
    sql_example = r"```sql
> SELECT round(rate_ci(n <= 81)['low'], 4) AS low, round(rate_ci(n <= 81)['high'], 4) AS high
  FROM generate_series(1, 263) AS answers(n);
+--------+--------+
| low    | high   |
+--------+--------+
| 0.2553 | 0.3662 |
+--------+--------+
```",
    argument(name = "success", description = "Condition, one row per trial."),
    argument(
        name = "confidence",
        description = "Probability that the interval holds the true share, default 0.95; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RateCi;

export_aggregate!(RateCi, rate_ci, rate_ci_udaf);

const FORMS: &str = "rate_ci(success) or rate_ci(success, confidence)";

impl Definition for RateCi {
    const NAME: &'static str = "rate_ci";
    const PARAMETERS: &'static [&'static str] = &["success", "confidence"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let success = |given| condition(Self::NAME, "success", given);
        match types {
            [given] => Ok(vec![success(given)?]),
            [given, confidence] => Ok(vec![
                success(given)?,
                number(Self::NAME, "confidence", confidence)?,
            ]),
            _ => wrong_arity(Self::NAME, FORMS, types.len()),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(record_type(FIELDS))
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Share {
            arguments: types.len(),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Trials and successes.
#[derive(Debug, Clone)]
struct Share {
    arguments: usize,
}

impl Measure<2, 0, 1> for Share {
    type Columns<'a> = (&'a BooleanArray, Option<&'a Float64Array>);

    const NAMES: Names<2, 0, 1> = Names {
        counts: ["trials", "successes"],
        sums: [],
        constants: ["confidence"],
    };

    fn function(&self) -> &'static str {
        RateCi::NAME
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>> {
        Ok((as_boolean_array(&arguments[0])?, optional(arguments, 1)?))
    }

    #[inline]
    fn constants(&self, columns: &Self::Columns<'_>, row: usize) -> Result<[f64; 1]> {
        Ok([confidence_at(columns.1, row)])
    }

    fn check(&self, [confidence]: [f64; 1]) -> Result<()> {
        check_confidence(RateCi::NAME, confidence)
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<2, 0, 1>,
        columns: &Self::Columns<'_>,
        row: usize,
        _constants: [f64; 1],
        sign: Sign,
    ) -> Result<()> {
        tally.counts[0] += sign.one();
        tally.counts[1] += sign.one() * i64::from(columns.0.value(row));
        Ok(())
    }

    fn finish(&self, tallies: &[Tally<2, 0, 1>]) -> Result<ArrayRef> {
        let interval = |tally: &Tally<2, 0, 1>| match tally.constants {
            Some([confidence]) => Interval::new(tally.counts[1], tally.counts[0], confidence),
            None => Interval::default(),
        };
        columns(&tallies.iter().map(interval).collect::<Vec<_>>())
    }
}
