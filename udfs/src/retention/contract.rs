//! Form (ii) of churn and retention: customers with a contract that starts and ends.
//!
//! At risk is who is active at the start of the period; lost is who of these is no longer active at
//! its end. Active at t means `start <= t AND (end IS NULL OR end > t)`, so that `end` is the first
//! day without service (SQL:2011 periods). Who joins within the period is not counted.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::{Decimal128Type, Field, Int64Type};
use datafusion_common::{DataFusionError, Result, internal_err};

use crate::aggregate::{Metric, rows_of};
use crate::arguments::{
    Held, Times, hold, hold_other, invalid_call, invalid_value, primitive, varying_argument,
};
use crate::constants::{ConstantId, Constants, PerRow};
use crate::retention::Outcome;
use crate::retention::counters::{count_field, counts, instant_field, instants};

/// The rate over one period.
#[derive(Debug, Clone)]
pub(super) struct ContractRate {
    function: &'static str,
    outcome: Outcome,
    periods: Constants<Period>,
}

/// Contracts that ran at the start of the period, and those of them that ended in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Contracts {
    at_risk: i64,
    lost: i64,
    /// Rows that hold the period, at risk or not.
    rows: i64,
    period: Option<ConstantId>,
}

/// Nanoseconds since 1970, half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Period {
    start: i128,
    end: i128,
}

impl Contracts {
    /// Counts a contract `sign` times.
    #[inline]
    fn count(&mut self, start: i128, end: Option<i128>, period: Period, sign: i64) {
        self.rows += sign;
        if start <= period.start && end.is_none_or(|end| end > period.start) {
            self.at_risk += sign;
            if end.is_some_and(|end| end <= period.end) {
                self.lost += sign;
            }
        }
    }
}

/// The four time columns.
#[derive(Debug)]
pub(super) struct ContractColumns<'a> {
    start: Times<'a>,
    end: Times<'a>,
    period_start: Times<'a>,
    period_end: Times<'a>,
    periods: PerRow,
}

impl ContractRate {
    pub(super) fn new(function: &'static str, outcome: Outcome) -> Self {
        Self {
            function,
            outcome,
            periods: Constants::default(),
        }
    }

    /// The period of a row that counts.
    #[inline]
    fn period(&self, columns: &ContractColumns<'_>, row: usize) -> Result<(ConstantId, Period)> {
        match columns.periods.at(row) {
            Some(id) => Ok((id, self.periods.get(id))),
            None => internal_err!("a contract without a period was counted"),
        }
    }

    #[cold]
    fn reversed_contract(&self, columns: &ContractColumns<'_>, row: usize) -> DataFusionError {
        let (start, end) = (columns.start.text(row), columns.end.text(row));
        invalid_value(
            self.function,
            format!("end {end} is before start {start}; correct the row or filter it"),
        )
    }

    #[cold]
    fn reversed_period(&self, columns: &ContractColumns<'_>, row: usize) -> DataFusionError {
        let (start, end) = (columns.period_start.text(row), columns.period_end.text(row));
        invalid_call(
            self.function,
            format!("period_end {end} is before period_start {start}; swap them"),
        )
    }

    #[cold]
    fn varying_period(&self, held: Option<ConstantId>, found: Period) -> DataFusionError {
        let start_differs = held.is_some_and(|held| self.periods.get(held).start != found.start);
        varying_argument(
            self.function,
            if start_differs {
                "period_start"
            } else {
                "period_end"
            },
        )
    }
}

impl Metric for ContractRate {
    type State = Contracts;
    type Columns<'a> = ContractColumns<'a>;

    fn required(&self) -> &'static [usize] {
        &[0, 2, 3]
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<ContractColumns<'a>> {
        let period_start = Times::new(&arguments[2])?;
        let period_end = Times::new(&arguments[3])?;
        let period = |(start, end): (Option<i128>, Option<i128>)| {
            Some(Period {
                start: start?,
                end: end?,
            })
        };
        let same = period((period_start.same(), period_end.same()));
        let periods = self.periods.of_batch(rows_of(arguments), same, |row| {
            period((period_start.get(row), period_end.get(row)))
        })?;
        Ok(ContractColumns {
            start: Times::new(&arguments[0])?,
            end: Times::new(&arguments[1])?,
            period_start,
            period_end,
            periods,
        })
    }

    #[inline]
    fn add(
        &self,
        contracts: &mut Contracts,
        columns: &ContractColumns<'_>,
        row: usize,
    ) -> Result<()> {
        let (start, end) = (columns.start.at(row), columns.end.get(row));
        if end.is_some_and(|end| end < start) {
            return Err(self.reversed_contract(columns, row));
        }
        let (id, period) = self.period(columns, row)?;
        match hold(&mut contracts.period, id) {
            Held::Same => {}
            Held::First if period.end < period.start => {
                return Err(self.reversed_period(columns, row));
            }
            Held::First => {}
            Held::Differs => return Err(self.varying_period(contracts.period, period)),
        }
        contracts.count(start, end, period, 1);
        Ok(())
    }

    fn remove(
        &self,
        contracts: &mut Contracts,
        columns: &ContractColumns<'_>,
        row: usize,
    ) -> Result<()> {
        let (_, period) = self.period(columns, row)?;
        let (start, end) = (columns.start.at(row), columns.end.get(row));
        contracts.count(start, end, period, -1);
        if contracts.rows == 0 {
            contracts.period = None;
        }
        Ok(())
    }

    fn merge(&self, contracts: &mut Contracts, other: &Contracts) -> Result<()> {
        if !hold_other(&mut contracts.period, other.period) {
            return Err(varying_argument(self.function, "the period"));
        }
        contracts.at_risk += other.at_risk;
        contracts.lost += other.lost;
        contracts.rows += other.rows;
        Ok(())
    }

    fn finish(&self, states: &[Contracts]) -> Result<ArrayRef> {
        let rates = states
            .iter()
            .map(|state| self.outcome.rate(state.lost, state.at_risk));
        Ok(Arc::new(rates.collect::<Float64Array>()))
    }

    fn state_fields(&self) -> Vec<Field> {
        vec![
            count_field("at_risk"),
            count_field("lost"),
            count_field("rows"),
            instant_field("period_start"),
            instant_field("period_end"),
        ]
    }

    fn write(&self, states: &[Contracts]) -> Vec<ArrayRef> {
        let period = |state: &Contracts| state.period.map(|id| self.periods.get(id));
        let periods = || states.iter().map(period);
        vec![
            counts(states.iter().map(|state| state.at_risk)),
            counts(states.iter().map(|state| state.lost)),
            counts(states.iter().map(|state| state.rows)),
            instants(periods().map(|period| period.map(|period| period.start))),
            instants(periods().map(|period| period.map(|period| period.end))),
        ]
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<Contracts>> {
        let at_risk = primitive::<Int64Type>(&columns[0])?.values();
        let lost = primitive::<Int64Type>(&columns[1])?.values();
        let rows = primitive::<Int64Type>(&columns[2])?.values();
        let starts = primitive::<Decimal128Type>(&columns[3])?.iter();
        let periods = starts.zip(primitive::<Decimal128Type>(&columns[4])?);
        let state = |(row, (start, end)): (usize, (Option<i128>, Option<i128>))| {
            let period = start.zip(end).map(|(start, end)| Period { start, end });
            Ok(Contracts {
                at_risk: at_risk[row],
                lost: lost[row],
                rows: rows[row],
                period: period.map(|period| self.periods.id(period)).transpose()?,
            })
        };
        periods.enumerate().map(state).collect()
    }

    fn heap_size(&self) -> usize {
        self.periods.heap_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JANUARY: Period = Period { start: 31, end: 62 };

    fn churn(contracts: &[(i128, Option<i128>)]) -> Option<f64> {
        let mut state = Contracts::default();
        for (start, end) in contracts {
            state.count(*start, *end, JANUARY, 1);
        }
        Outcome::Churn.rate(state.lost, state.at_risk)
    }

    #[test]
    fn who_joined_and_left_within_the_period_is_not_counted() {
        assert_eq!(churn(&[(0, None), (40, Some(50))]), Some(0.0));
    }

    #[test]
    fn the_end_is_the_first_day_without_service() {
        assert_eq!(churn(&[(0, Some(31))]), None, "gone when the period starts");
        assert_eq!(
            churn(&[(0, Some(62))]),
            Some(1.0),
            "no longer there when it ends"
        );
        assert_eq!(
            churn(&[(0, Some(63))]),
            Some(0.0),
            "still there when it ends"
        );
    }

    #[test]
    fn who_starts_on_the_first_day_is_at_risk() {
        assert_eq!(churn(&[(31, None), (32, None)]), Some(0.0));
    }
}
