//! Form (iii) of churn: customers without a contract, who are lost when they have not been active
//! for some time. One row per customer: `last_activity < as_of - inactivity`.
//!
//! This is the share that is inactive on a day, not a rate per period.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::types::IntervalMonthDayNano;
use arrow::array::{Array, ArrayRef, Float64Array, IntervalMonthDayNanoArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion_common::{DataFusionError, Result, internal_err};

use crate::aggregate::Metric;
use crate::arguments::{
    Held, Times, hold, hold_other, intervals, invalid_value, primitive, varying_argument,
};
use crate::retention::Outcome;
use crate::retention::counters::{count_field, counts, instant_field, instants};

/// The share of customers that is inactive.
#[derive(Debug, Clone)]
pub(super) struct InactiveShare {
    pub(super) function: &'static str,
}

/// Customers known by then, and the inactive ones among them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Activity {
    customers: i64,
    inactive: i64,
    limit: Option<Limit>,
}

/// The two constant arguments of a group, and what follows from them.
#[derive(Debug, Clone, Copy)]
struct Limit {
    as_of: i128,
    inactivity: IntervalMonthDayNano,
    /// Who was active last before this is inactive.
    cutoff: i128,
}

impl PartialEq for Limit {
    fn eq(&self, other: &Self) -> bool {
        self.as_of == other.as_of && self.inactivity == other.inactivity
    }
}

/// The argument columns.
#[derive(Debug)]
pub(super) struct ActivityColumns<'a> {
    last_activity: Times<'a>,
    as_of: Times<'a>,
    /// The type that calendar arithmetic on `as_of` is done in, which `coerce_as_of` has chosen.
    clock: Clock,
    as_of_ticks: &'a [i64],
    inactivity: &'a IntervalMonthDayNanoArray,
}

#[derive(Debug)]
struct Clock {
    nanoseconds: bool,
    zone: Tz,
}

/// A type of `as_of` fine enough that subtracting an interval loses nothing that matters.
pub(super) fn coerce_as_of(given: DataType) -> DataType {
    match given {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            DataType::Timestamp(TimeUnit::Nanosecond, zone)
        }
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone),
        _ => DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

impl ActivityColumns<'_> {
    /// `as_of - inactivity` by the calendar; `None` if that is outside of what a timestamp holds.
    fn cutoff(&self, row: usize) -> Option<i128> {
        let (ticks, inactivity) = (self.as_of_ticks[row], self.inactivity.value(row));
        if self.clock.nanoseconds {
            let moment = TimestampNanosecondType::subtract_month_day_nano;
            moment(ticks, inactivity, self.clock.zone).map(i128::from)
        } else {
            let moment = TimestampMicrosecondType::subtract_month_day_nano;
            moment(ticks, inactivity, self.clock.zone).map(|micros| i128::from(micros) * 1_000)
        }
    }
}

impl InactiveShare {
    /// The limit of a row, computed only when it differs from the one the group holds.
    fn limit(
        &self,
        held: Option<Limit>,
        columns: &ActivityColumns<'_>,
        row: usize,
    ) -> Result<Limit> {
        let mut limit = Limit {
            as_of: columns.as_of.at(row),
            inactivity: columns.inactivity.value(row),
            cutoff: 0,
        };
        if let Some(held) = held
            && held == limit
        {
            return Ok(held);
        }
        match columns.cutoff(row) {
            Some(cutoff) if cutoff <= limit.as_of => limit.cutoff = cutoff,
            Some(_) => {
                return Err(invalid_value(
                    self.function,
                    "inactivity is negative; write for example INTERVAL '30 days'",
                ));
            }
            None => {
                let as_of = columns.as_of.text(row);
                return Err(invalid_value(
                    self.function,
                    format!("inactivity reaches too far back from as_of {as_of}; shorten it"),
                ));
            }
        }
        Ok(limit)
    }

    #[cold]
    fn future_activity(&self, columns: &ActivityColumns<'_>, row: usize) -> DataFusionError {
        let (last, as_of) = (columns.last_activity.text(row), columns.as_of.text(row));
        invalid_value(
            self.function,
            format!(
                "last_activity {last} is after as_of {as_of}; filter later activity before taking \
                 the last one, or move as_of"
            ),
        )
    }
}

impl Metric for InactiveShare {
    type State = Activity;
    type Columns<'a> = ActivityColumns<'a>;

    fn required(&self) -> &'static [usize] {
        &[0, 1, 2]
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<ActivityColumns<'a>> {
        let as_of = &arguments[1];
        let (nanoseconds, zone) = match as_of.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => (true, zone),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => (false, zone),
            other => return internal_err!("as_of has type {other}"),
        };
        let as_of_ticks = if nanoseconds {
            primitive::<TimestampNanosecondType>(as_of)?.values()
        } else {
            primitive::<TimestampMicrosecondType>(as_of)?.values()
        };
        Ok(ActivityColumns {
            last_activity: Times::new(&arguments[0])?,
            as_of: Times::new(as_of)?,
            clock: Clock {
                nanoseconds,
                zone: zone.as_deref().unwrap_or("+00:00").parse()?,
            },
            as_of_ticks,
            inactivity: intervals(&arguments[2])?,
        })
    }

    #[inline]
    fn add(
        &self,
        activity: &mut Activity,
        columns: &ActivityColumns<'_>,
        row: usize,
    ) -> Result<()> {
        let limit = self.limit(activity.limit, columns, row)?;
        if hold(&mut activity.limit, limit) == Held::Differs {
            let as_of_differs = activity.limit.is_some_and(|held| held.as_of != limit.as_of);
            let argument = if as_of_differs { "as_of" } else { "inactivity" };
            return Err(varying_argument(self.function, argument));
        }
        let last = columns.last_activity.at(row);
        if last > limit.as_of {
            return Err(self.future_activity(columns, row));
        }
        activity.customers += 1;
        activity.inactive += i64::from(last < limit.cutoff);
        Ok(())
    }

    fn remove(
        &self,
        activity: &mut Activity,
        columns: &ActivityColumns<'_>,
        row: usize,
    ) -> Result<()> {
        let limit = self.limit(activity.limit, columns, row)?;
        activity.customers -= 1;
        activity.inactive -= i64::from(columns.last_activity.at(row) < limit.cutoff);
        if activity.customers == 0 {
            activity.limit = None;
        }
        Ok(())
    }

    fn merge(&self, activity: &mut Activity, other: &Activity) -> Result<()> {
        if !hold_other(&mut activity.limit, other.limit) {
            return Err(varying_argument(self.function, "as_of and inactivity"));
        }
        activity.customers += other.customers;
        activity.inactive += other.inactive;
        Ok(())
    }

    fn finish(&self, states: &[Activity]) -> Result<ArrayRef> {
        let rate = |state: &Activity| Outcome::Churn.rate(state.inactive, state.customers);
        Ok(Arc::new(states.iter().map(rate).collect::<Float64Array>()))
    }

    fn state_fields(&self) -> Vec<Field> {
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        vec![
            count_field("customers"),
            count_field("inactive"),
            instant_field("as_of"),
            Field::new("inactivity", interval, true),
            instant_field("cutoff"),
        ]
    }

    fn write(&self, states: &[Activity]) -> Vec<ArrayRef> {
        let limits = || states.iter().map(|state| state.limit);
        let inactivity = limits().map(|limit| limit.map(|limit| limit.inactivity));
        vec![
            counts(states.iter().map(|state| state.customers)),
            counts(states.iter().map(|state| state.inactive)),
            instants(limits().map(|limit| limit.map(|limit| limit.as_of))),
            Arc::new(inactivity.collect::<IntervalMonthDayNanoArray>()),
            instants(limits().map(|limit| limit.map(|limit| limit.cutoff))),
        ]
    }

    fn read(&self, columns: &[ArrayRef]) -> Result<Vec<Activity>> {
        let customers = primitive::<Int64Type>(&columns[0])?;
        let inactive = primitive::<Int64Type>(&columns[1])?;
        let as_of = primitive::<Decimal128Type>(&columns[2])?;
        let inactivity = primitive::<IntervalMonthDayNanoType>(&columns[3])?;
        let cutoff = primitive::<Decimal128Type>(&columns[4])?;
        let state = |row: usize| Activity {
            customers: customers.value(row),
            inactive: inactive.value(row),
            limit: as_of.is_valid(row).then(|| Limit {
                as_of: as_of.value(row),
                inactivity: inactivity.value(row),
                cutoff: cutoff.value(row),
            }),
        };
        Ok((0..customers.len()).map(state).collect())
    }
}
