//! The parameters of the shifted beta-geometric model that make the survivors of a cohort most
//! likely.

use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::arguments::{finite, invalid_call, invalid_value, number, wrong_arity};
use crate::lifetime::customer::not_negative;
use crate::lifetime::fit::{Fitting, fit_form};
use crate::lifetime::fits::{mean, settle};
use crate::lifetime::model::{Fit, Kind};
use crate::lifetime::optimise::maximise;
use crate::lifetime::prediction::PERIODS_MAX;
use crate::lifetime::sbg::{Span, log_likelihood};

/// The aggregate `sbg_fit`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Fits the shifted beta-geometric model of contracts that are renewed each period or not to one cohort by maximum likelihood: ln P(T = t) = ln B(alpha + 1, beta + t - 1) - ln B(alpha, beta) for each customer lost in period t, ln S(t) = ln B(alpha, beta + t) - ln B(alpha, beta) for those left at the end. Each row is a period with the number of customers who are left at its end; period 0 is the start, with all customers of the cohort. Rows may come in any order; a period that is not there is a count that was not taken, and its losses are counted as ln(S(t1) - S(t2)) between the counts around it. The result is a struct of model, alpha, beta, log_likelihood, n, iterations and converged, and is a model for sbg_survival, sbg_retention and sbg_residual_lifetime; n is the size of the cohort. Rows with NULL are skipped. With fewer than three periods, with nobody lost, or if the likelihood has no maximum (as for a retention that does not grow with age), converged is false and parameters are NULL, and so are predictions. Shares work as numbers of customers do, except that log_likelihood and n are then of shares. A period twice, survivors that grow, no period 0, a period that is no whole number or outside 0..10000, survivors that are negative or above 9e15, NaN and infinity are errors. Source: Fader and Hardie 2007.",
    syntax_example = "sbg_fit(period, survivors)",
    sql_example = r"```sql
> SELECT CAST(m['alpha'] AS DECIMAL(8, 3)) AS alpha, CAST(m['beta'] AS DECIMAL(8, 3)) AS beta,
         CAST(m['log_likelihood'] AS DECIMAL(8, 1)) AS log_likelihood, m['n'] AS n
  FROM (SELECT sbg_fit(period, survivors) AS m
        FROM (VALUES (0, 1000), (1, 869), (2, 743), (3, 653), (4, 593), (5, 551), (6, 517), (7, 491))
             AS cohort(period, survivors));
+-------+-------+----------------+------+
| alpha | beta  | log_likelihood | n    |
+-------+-------+----------------+------+
| 0.668 | 3.806 | -1611.2        | 1000 |
+-------+-------+----------------+------+
```",
    argument(
        name = "period",
        description = "Periods since the start of the cohort, 0 for the start itself."
    ),
    argument(
        name = "survivors",
        description = "Customers who are left at the end of the period."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SbgFit;

export_aggregate!(SbgFit, sbg_fit, sbg_fit_udaf);

impl Definition for SbgFit {
    const NAME: &'static str = "sbg_fit";
    const PARAMETERS: &'static [&'static str] = FitSbg::COLUMNS;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != Self::PARAMETERS.len() {
            return wrong_arity(Self::NAME, "sbg_fit(period, survivors)", types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| number(Self::NAME, name, given))
            .collect()
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(Kind::Sbg.data_type())
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(fit_form::<FitSbg>(types))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Whole numbers up to here are exact.
const SURVIVORS_MAX: f64 = 9e15;
/// One free parameter per loss: fewer counts than this leave one open.
const COUNTS_MIN: usize = 3;
/// Where the searches start.
const STARTS: [[f64; 2]; 2] = [[1.0, 2.0], [0.3, 10.0]];

/// Fits sBG; its customers are counts of survivors.
#[derive(Debug)]
struct FitSbg;

impl Fitting for FitSbg {
    const KIND: Kind = Kind::Sbg;
    const FUNCTION: &'static str = SbgFit::NAME;
    const COLUMNS: &'static [&'static str] = &["period", "survivors"];

    fn accept(values: &[f64]) -> Result<Option<[f64; 3]>> {
        let refused = |problem: String| Err(invalid_value(Self::FUNCTION, problem));
        let period = finite(Self::FUNCTION, "period", values[0])?;
        if period.fract() != 0.0 || !(0.0..=PERIODS_MAX as f64).contains(&period) {
            return refused(format!(
                "period {period} must be a whole number from 0 to {PERIODS_MAX}; it is the number \
                 of periods since the start"
            ));
        }
        let survivors = not_negative(Self::FUNCTION, "survivors", values[1])?;
        if survivors > SURVIVORS_MAX {
            return refused(format!(
                "survivors {survivors} is above {SURVIVORS_MAX}; pass a number of customers"
            ));
        }
        // Adding zero makes a zero without sign.
        Ok(Some([period + 0.0, survivors + 0.0, 0.0]))
    }

    fn fit(counts: Vec<([f64; 3], f64)>) -> Result<Fit> {
        let spans = spans(&counts)?;
        let survivors =
            |count: Option<&([f64; 3], f64)>| count.map_or(0.0, |([_, left, _], _)| *left);
        let (all, kept) = (survivors(counts.first()), survivors(counts.last()));
        let mut fit = Fit {
            n: all.round() as i64,
            ..Fit::default()
        };
        if counts.len() < COUNTS_MIN || kept == all {
            return Ok(fit);
        }
        let starts = STARTS.map(|start| start.map(f64::ln));
        let surface = |point: &[f64; 2]| mean(log_likelihood(point, &spans, kept), all);
        let end = maximise(&starts, &surface)?;
        settle(&mut fit, end, all, 0.0, |_, value| value);
        Ok(fit)
    }
}

/// What lies between counts that are sorted by period; refuses those that no cohort has.
fn spans(counts: &[([f64; 3], f64)]) -> Result<Vec<Span>> {
    if let Some(([first, ..], _)) = counts.first()
        && *first != 0.0
    {
        return Err(refused(format!(
            "the first period is {first}, and period 0 with all customers of the cohort is missing; \
             add it, or subtract {first} if the periods are counted from there"
        )));
    }
    let twice = |period: &f64| {
        refused(format!(
            "period {period} is there twice; pass one cohort per group, with one row per period"
        ))
    };
    if let Some(([period, ..], _)) = counts.iter().find(|(_, rows)| *rows > 1.0) {
        return Err(twice(period));
    }
    let between = |pair: &[([f64; 3], f64)]| {
        let ([from, before, _], [to, after, _]) = (pair[0].0, pair[1].0);
        if from == to {
            return Err(twice(&to));
        }
        if after > before {
            return Err(refused(format!(
                "survivors grow from {before} in period {from} to {after} in period {to}; count \
                 those who have been customers in every period since the start"
            )));
        }
        let lost = before - after;
        Ok(Span { from, to, lost })
    };
    counts.windows(2).map(between).collect()
}

#[cold]
fn refused(problem: String) -> DataFusionError {
    invalid_call(SbgFit::NAME, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifetime::sbg::Sbg;

    fn counts(all: &[(f64, f64)]) -> Vec<([f64; 3], f64)> {
        let count = |(period, left): &(f64, f64)| ([*period, *left, 0.0], 1.0);
        all.iter().map(count).collect()
    }

    /// Without noise the parameters come back, whichever periods were counted.
    #[test]
    fn gaps_between_counts_do_not_change_the_parameters() {
        let model = Sbg {
            alpha: 0.9,
            beta: 3.5,
        };
        for periods in [vec![0, 1, 2, 3], vec![0, 2, 7, 12], vec![0, 5, 200, 900]] {
            let left = |period: &u32| (f64::from(*period), 1e6 * model.survival(*period));
            let all: Vec<_> = periods.iter().map(left).collect();
            let found = FitSbg::fit(counts(&all)).unwrap().parameters.unwrap();
            assert!((found[0] / 0.9 - 1.0).abs() < 1e-6, "{periods:?} {found:?}");
            assert!((found[1] / 3.5 - 1.0).abs() < 1e-6, "{periods:?} {found:?}");
        }
    }

    #[test]
    fn what_says_too_little_is_not_identified() {
        for (all, n) in [
            (&[][..], 0),
            (&[(0.0, 100.0)], 100),
            (&[(0.0, 100.0), (1.0, 80.0)], 100),
            (&[(0.0, 100.0), (1.0, 100.0), (2.0, 100.0)], 100),
            (&[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)], 0),
            // Everybody at once, and a retention that stays the same or falls.
            (&[(0.0, 100.0), (1.0, 0.0), (2.0, 0.0)], 100),
            (
                &[(0.0, 800.0), (1.0, 400.0), (2.0, 200.0), (3.0, 100.0)],
                800,
            ),
            (
                &[(0.0, 800.0), (1.0, 700.0), (2.0, 400.0), (3.0, 100.0)],
                800,
            ),
        ] {
            let fit = FitSbg::fit(counts(all)).unwrap();
            assert_eq!((fit.parameters, fit.n), (None, n), "{all:?}");
        }
    }
}
