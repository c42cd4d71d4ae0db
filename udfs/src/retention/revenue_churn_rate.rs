//! Revenue churn: the share of recurring revenue lost, over customers who paid at the start.
//!
//! Gross: `1 − Σ min(end, start)/Σ start`, so that growth of one customer does not hide the loss of
//! another. Net: `1 − Σ end/Σ start`, which is negative where growth outweighs losses.

use arrow::array::{ArrayRef, Float64Array, StringViewArray};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::cast::as_string_view_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::answers::Answers;
use crate::arguments::{
    all_equal, doubles, invalid_call, invalid_value, number, text, wrong_arity,
};
use crate::measure::{Measure, Names, Sign, Tallied, Tally, Uniform, first_arguments};
use crate::precise::{MAX_SQUARABLE, all_within, squarable};
use crate::record::numbers;

/// The aggregate `revenue_churn_rate`.
#[user_doc(
    doc_section(label = "Retention"),
    description = "Share of recurring revenue lost over a period, one row per customer: over those who paid at its start, 'gross' is 1 - sum(the lesser of both amounts) / sum(mrr_start), a fraction 0 to 1; 'net' is 1 - sum(mrr_end) / sum(mrr_start), which is negative where growth outweighs losses. New customers (mrr_start 0) do not count. Rows where an argument is NULL are skipped: write 0 for a customer who left. Without revenue at the start the result is NULL. Negative amounts, another kind, NaN and infinity are errors. Source: gross and net revenue churn of subscription businesses.",
    syntax_example = "revenue_churn_rate(mrr_start, mrr_end)",
    alternative_syntax = "revenue_churn_rate(mrr_start, mrr_end, kind)",
    sql_example = r"```sql
> SELECT round(revenue_churn_rate(s, e), 4) AS gross, revenue_churn_rate(s, e, kind => 'net') AS net
  FROM (VALUES (100, 100), (100, 50), (100, 150), (0, 80)) AS customers(s, e);
+--------+-----+
| gross  | net |
+--------+-----+
| 0.1667 | 0.0 |
+--------+-----+
```",
    argument(
        name = "mrr_start",
        description = "Monthly revenue of the customer at the start."
    ),
    argument(
        name = "mrr_end",
        description = "Monthly revenue of the customer at the end, 0 if lost."
    ),
    argument(
        name = "kind",
        description = "'gross' (default) or 'net'; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RevenueChurnRate;

export_aggregate!(
    RevenueChurnRate,
    revenue_churn_rate,
    revenue_churn_rate_udaf
);

const FORMS: &str = "revenue_churn_rate(mrr_start, mrr_end) or \
                     revenue_churn_rate(mrr_start, mrr_end, kind)";

impl Definition for RevenueChurnRate {
    const NAME: &'static str = "revenue_churn_rate";
    const PARAMETERS: &'static [&'static str] = &["mrr_start", "mrr_end", "kind"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 2 | 3) {
            return wrong_arity(Self::NAME, FORMS, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| match *name {
                "kind" => text(Self::NAME, name, given),
                name => number(Self::NAME, name, given),
            })
            .collect()
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Revenue {
            arguments: types.len(),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Rows, revenue at the start, and what of it was kept.
#[derive(Debug, Clone)]
struct Revenue {
    arguments: usize,
}

/// The columns of a batch.
#[derive(Debug)]
struct Columns<'a> {
    start: &'a Float64Array,
    end: &'a Float64Array,
    kinds: Option<&'a StringViewArray>,
}

/// The kinds as constants of a group.
const GROSS: f64 = 0.0;
const NET: f64 = 1.0;

impl Measure<1, 2, 1> for Revenue {
    type Columns<'a> = Columns<'a>;

    const NAMES: Names<1, 2, 1> = Names {
        counts: ["rows"],
        sums: ["start", "kept"],
        constants: ["kind"],
    };

    fn function(&self) -> &'static str {
        RevenueChurnRate::NAME
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Columns<'a>> {
        let kinds = arguments.get(2).map(|kinds| as_string_view_array(kinds));
        Ok(Columns {
            start: doubles(&arguments[0])?,
            end: doubles(&arguments[1])?,
            kinds: kinds.transpose()?,
        })
    }

    #[inline]
    fn constants(&self, columns: &Columns<'_>, row: usize) -> Result<[f64; 1]> {
        match columns.kinds.map(|kinds| kinds.value(row)) {
            None | Some("gross") => Ok([GROSS]),
            Some("net") => Ok([NET]),
            Some(other) => Err(invalid_call(
                RevenueChurnRate::NAME,
                format!("there is no kind '{other}'; use 'gross' or 'net'"),
            )),
        }
    }

    fn check(&self, _constants: [f64; 1]) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<1, 2, 1>,
        columns: &Columns<'_>,
        row: usize,
        [kind]: [f64; 1],
        sign: Sign,
    ) -> Result<()> {
        let start = not_negative("mrr_start", columns.start.value(row))?;
        let end = not_negative("mrr_end", columns.end.value(row))?;
        tally.counts[0] += sign.one();
        tally.sums[0].add(sign.of(start));
        tally.sums[1].add(sign.of(kept_of(start, end, [kind])));
        Ok(())
    }

    fn count_all(&self, tally: &mut Tally<1, 2, 1>, columns: &Columns<'_>) -> Option<[f64; 1]> {
        let constants = self.kind(columns)?;
        let (starts, ends) = (columns.start.values(), columns.end.values());
        let valid = amounts(columns.start).add_within(&mut tally.sums[0], LEAST, MAX_SQUARABLE)
            && all_within(ends, LEAST, MAX_SQUARABLE);
        if !valid {
            return None;
        }
        let kept = starts.iter().zip(ends);
        let kept = kept.map(|(start, end)| kept_of(*start, *end, constants));
        tally.counts[0] = starts.len() as i64;
        tally.sums[1].add_slice(&kept.collect::<Vec<_>>());
        Some(constants)
    }

    const UNIFORM: bool = true;

    fn uniform(&self, columns: &Columns<'_>) -> Option<Uniform<1>> {
        let constants = self.kind(columns)?;
        let start = amounts(columns.start).whole_within(LEAST, MAX_SQUARABLE)?;
        let end = amounts(columns.end).whole_within(LEAST, MAX_SQUARABLE)?;
        let whole = start && end;
        Some(Uniform { constants, whole })
    }

    fn for_each_row(
        &self,
        columns: &Columns<'_>,
        constants: [f64; 1],
        mut take: impl FnMut([i64; 1], [f64; 2]),
    ) {
        for (start, end) in columns.start.values().iter().zip(columns.end.values()) {
            take([1], [*start, kept_of(*start, *end, constants)]);
        }
    }

    fn finish(&self, tallies: &[Tally<1, 2, 1>]) -> Result<ArrayRef> {
        Ok(numbers(tallies.iter().map(|tally| {
            let [start, kept] = tally.sums;
            let lost = start.wide().minus(kept.wide()).to_f64();
            let start = start.total();
            (start > 0.0).then(|| lost / start)
        })))
    }
}

impl Revenue {
    /// The one kind of a batch.
    fn kind(&self, columns: &Columns<'_>) -> Option<[f64; 1]> {
        let one_kind = columns.kinds.is_none_or(|kinds| all_equal(kinds.views()));
        let has_one = one_kind && !columns.start.is_empty();
        has_one.then(|| self.constants(columns, 0).ok()).flatten()
    }
}

/// The least amount that can be meant.
const LEAST: f64 = 0.0;

fn amounts(column: &Float64Array) -> Answers<'_> {
    Answers::Doubles(column)
}

/// What is kept of revenue that was there at the start.
#[inline]
fn kept_of(start: f64, end: f64, [kind]: [f64; 1]) -> f64 {
    let kept = if kind == NET { end } else { end.min(start) };
    if start > 0.0 { kept } else { 0.0 }
}

#[inline]
fn not_negative(argument: &str, amount: f64) -> Result<f64> {
    let amount = squarable(RevenueChurnRate::NAME, argument, amount)?;
    if amount >= 0.0 {
        return Ok(amount);
    }
    Err(invalid_value(
        RevenueChurnRate::NAME,
        format!("{argument} {amount} is negative; filter it or correct it"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revenue_is_not_negative() {
        assert_eq!(not_negative("mrr_end", 0.0).unwrap(), 0.0);
        assert!(not_negative("mrr_end", -1.0).is_err());
        assert!(not_negative("mrr_end", f64::NAN).is_err());
    }
}
