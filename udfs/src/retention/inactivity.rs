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

use crate::aggregate::{Metric, rows_of};
use crate::arguments::{
    Held, Times, all_equal, hold, hold_other, intervals, invalid_call, invalid_value, primitive,
    varying_argument,
};
use crate::constants::{ConstantId, Constants, PerRow};
use crate::retention::Outcome;
use crate::retention::counters::{count_field, counts, instant_field, instants};

/// The share of customers that is inactive.
#[derive(Debug, Clone)]
pub(super) struct InactiveShare {
    function: &'static str,
    limits: Constants<Limit>,
}

/// Customers known by then, and the inactive ones among them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Activity {
    customers: i64,
    inactive: i64,
    limit: Option<ConstantId>,
}

/// The two constant arguments of a group, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Limit {
    as_of: i128,
    inactivity: IntervalMonthDayNano,
    /// Who was active last before this is inactive; `None` if it cannot be told.
    cutoff: Option<i128>,
}

/// The argument columns.
#[derive(Debug)]
pub(super) struct ActivityColumns<'a> {
    last_activity: Times<'a>,
    as_of: AsOf<'a>,
    limits: PerRow,
}

/// The column `as_of` in the type that `coerce_as_of` has chosen for calendar arithmetic.
#[derive(Debug)]
struct AsOf<'a> {
    times: Times<'a>,
    ticks: &'a [i64],
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

impl<'a> AsOf<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        let (nanoseconds, zone) = match array.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => (true, zone),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => (false, zone),
            other => return internal_err!("as_of has type {other}"),
        };
        let ticks = if nanoseconds {
            primitive::<TimestampNanosecondType>(array)?.values()
        } else {
            primitive::<TimestampMicrosecondType>(array)?.values()
        };
        Ok(Self {
            times: Times::new(array)?,
            ticks,
            nanoseconds,
            zone: zone.as_deref().unwrap_or("+00:00").parse()?,
        })
    }

    /// `as_of - inactivity` by the calendar; `None` if that is outside of what a timestamp holds.
    fn less(&self, row: usize, inactivity: IntervalMonthDayNano) -> Option<i128> {
        let ticks = self.ticks[row];
        if self.nanoseconds {
            let moment = TimestampNanosecondType::subtract_month_day_nano;
            moment(ticks, inactivity, self.zone).map(i128::from)
        } else {
            let moment = TimestampMicrosecondType::subtract_month_day_nano;
            moment(ticks, inactivity, self.zone).map(|micros| i128::from(micros) * 1_000)
        }
    }
}

impl InactiveShare {
    pub(super) fn new(function: &'static str) -> Self {
        Self {
            function,
            limits: Constants::default(),
        }
    }

    /// The limit of a row that counts, and who was active before when is inactive.
    #[inline]
    fn limit(
        &self,
        columns: &ActivityColumns<'_>,
        row: usize,
    ) -> Result<(ConstantId, Limit, i128)> {
        let Some(id) = columns.limits.at(row) else {
            return internal_err!("a customer without as_of and inactivity was counted");
        };
        let limit = self.limits.get(id);
        match limit.cutoff {
            Some(cutoff) if cutoff <= limit.as_of => Ok((id, limit, cutoff)),
            cutoff => Err(self.invalid_limit(columns, row, cutoff)),
        }
    }

    fn hold_limit(&self, activity: &mut Activity, id: ConstantId, limit: Limit) -> Result<()> {
        if hold(&mut activity.limit, id) != Held::Differs {
            return Ok(());
        }
        let held = activity.limit.map(|held| self.limits.get(held));
        let as_of_differs = held.is_some_and(|held| held.as_of != limit.as_of);
        let argument = if as_of_differs { "as_of" } else { "inactivity" };
        Err(varying_argument(self.function, argument))
    }

    #[cold]
    fn invalid_limit(
        &self,
        columns: &ActivityColumns<'_>,
        row: usize,
        cutoff: Option<i128>,
    ) -> DataFusionError {
        let problem = if cutoff.is_some() {
            "inactivity is negative; write for example INTERVAL '30 days'".to_owned()
        } else {
            let as_of = columns.as_of.times.text(row);
            format!("inactivity reaches too far back from as_of {as_of}; shorten it")
        };
        invalid_call(self.function, problem)
    }

    #[cold]
    fn future_activity(&self, columns: &ActivityColumns<'_>, row: usize) -> DataFusionError {
        let (last, as_of) = (
            columns.last_activity.text(row),
            columns.as_of.times.text(row),
        );
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

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<ActivityColumns<'a>> {
        let as_of = AsOf::new(&arguments[1])?;
        let inactivity = intervals(&arguments[2])?;
        let limit = |row: usize| {
            let (as_of, inactivity) = (&as_of, inactivity.value(row));
            Limit {
                as_of: as_of.times.at(row),
                inactivity,
                cutoff: as_of.less(row, inactivity),
            }
        };
        let one_inactivity = inactivity.null_count() == 0 && all_equal(inactivity.values());
        let same = (one_inactivity && as_of.times.same().is_some()).then(|| limit(0));
        let limits = self.limits.of_batch(rows_of(arguments), same, |row| {
            let known = as_of.times.get(row).is_some() && inactivity.is_valid(row);
            known.then(|| limit(row))
        })?;
        Ok(ActivityColumns {
            last_activity: Times::new(&arguments[0])?,
            as_of,
            limits,
        })
    }

    #[inline]
    fn add(
        &self,
        activity: &mut Activity,
        columns: &ActivityColumns<'_>,
        row: usize,
    ) -> Result<()> {
        let (id, limit, cutoff) = self.limit(columns, row)?;
        self.hold_limit(activity, id, limit)?;
        let last = columns.last_activity.at(row);
        if last > limit.as_of {
            return Err(self.future_activity(columns, row));
        }
        activity.customers += 1;
        activity.inactive += i64::from(last < cutoff);
        Ok(())
    }

    fn add_all(
        &self,
        activity: &mut Activity,
        columns: &ActivityColumns<'_>,
        rows: usize,
    ) -> Result<()> {
        if let (PerRow::Same(_), true) = (&columns.limits, rows > 0) {
            let (id, limit, cutoff) = self.limit(columns, 0)?;
            if columns.last_activity.count_before(limit.as_of + 1) == rows {
                self.hold_limit(activity, id, limit)?;
                activity.customers += rows as i64;
                activity.inactive += columns.last_activity.count_before(cutoff) as i64;
                return Ok(());
            }
        }
        (0..rows).try_for_each(|row| self.add(activity, columns, row))
    }

    const ADDS_GROUPS: bool = true;

    fn add_groups(
        &self,
        activities: &mut [Activity],
        columns: &ActivityColumns<'_>,
        groups: &[usize],
    ) -> Result<bool> {
        let last_activity = &columns.last_activity;
        if !matches!(columns.limits, PerRow::Same(_)) || groups.is_empty() {
            return Ok(false);
        }
        let (id, limit, cutoff) = self.limit(columns, 0)?;
        if last_activity.count_before(limit.as_of + 1) != groups.len() {
            return Ok(false);
        }
        let mut found = vec![[0; 2]; activities.len()];
        last_activity.for_each_before(cutoff, |row, inactive| {
            let [customers, lost] = &mut found[groups[row]];
            *customers += 1;
            *lost += i64::from(inactive);
        });
        for (activity, [customers, inactive]) in activities.iter_mut().zip(found) {
            if customers > 0 {
                self.hold_limit(activity, id, limit)?;
                activity.customers += customers;
                activity.inactive += inactive;
            }
        }
        Ok(true)
    }

    fn remove(
        &self,
        activity: &mut Activity,
        columns: &ActivityColumns<'_>,
        row: usize,
    ) -> Result<()> {
        let (_, _, cutoff) = self.limit(columns, row)?;
        activity.customers -= 1;
        activity.inactive -= i64::from(columns.last_activity.at(row) < cutoff);
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
        let limit = |state: &Activity| state.limit.map(|id| self.limits.get(id));
        let limits = || states.iter().map(limit);
        let inactivity = limits().map(|limit| limit.map(|limit| limit.inactivity));
        vec![
            counts(states.iter().map(|state| state.customers)),
            counts(states.iter().map(|state| state.inactive)),
            instants(limits().map(|limit| limit.map(|limit| limit.as_of))),
            Arc::new(inactivity.collect::<IntervalMonthDayNanoArray>()),
            instants(limits().map(|limit| limit.and_then(|limit| limit.cutoff))),
        ]
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<Activity>> {
        let customers = primitive::<Int64Type>(&columns[0])?;
        let inactive = primitive::<Int64Type>(&columns[1])?;
        let as_of = primitive::<Decimal128Type>(&columns[2])?;
        let inactivity = primitive::<IntervalMonthDayNanoType>(&columns[3])?;
        let cutoff = primitive::<Decimal128Type>(&columns[4])?;
        let state = |row: usize| {
            let limit = as_of.is_valid(row).then(|| Limit {
                as_of: as_of.value(row),
                inactivity: inactivity.value(row),
                cutoff: cutoff.is_valid(row).then(|| cutoff.value(row)),
            });
            Ok(Activity {
                customers: customers.value(row),
                inactive: inactive.value(row),
                limit: limit.map(|limit| self.limits.id(limit)).transpose()?,
            })
        };
        (0..customers.len()).map(state).collect()
    }

    fn heap_size(&self) -> usize {
        self.limits.heap_size()
    }
}
