//! Form (iv) of churn and retention: customers seen by their events.
//!
//! The base is the distinct customers with an event in `[base_start, period_start)`; kept are those
//! of them with an event in `[period_start, period_end)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, UInt8Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, UInt8Type};
use datafusion_common::{DataFusionError, Result, internal_err};

use crate::aggregate::rows_of;
use crate::arguments::{Held, Times, hold, hold_other, invalid_call, primitive, varying_argument};
use crate::constants::{ConstantId, Constants, PerRow};
use crate::distinct::{DistinctMetric, KeyArgument, Seen};
use crate::retention::Outcome;
use crate::retention::counters::{instant_field, instants};

/// The rate from one window to the next.
#[derive(Debug, Clone)]
pub(super) struct EventRate {
    function: &'static str,
    outcome: Outcome,
    keys: [KeyArgument; 1],
    bounds: Constants<Bounds>,
}

impl EventRate {
    pub(super) fn new(function: &'static str, outcome: Outcome, customer: &DataType) -> Self {
        let customer = KeyArgument {
            position: 0,
            name: "customer_id",
            data_type: customer.clone(),
        };
        Self {
            function,
            outcome,
            keys: [customer],
            bounds: Constants::default(),
        }
    }

    #[cold]
    fn reversed(&self, columns: &EventColumns<'_>, row: usize) -> DataFusionError {
        let [base_start, period_start, period_end] =
            [0, 1, 2].map(|bound| columns.bounds[bound].text(row));
        invalid_call(
            self.function,
            format!(
                "base_start {base_start}, period_start {period_start} and period_end {period_end} \
                 must follow each other in this order"
            ),
        )
    }

    #[cold]
    fn varying(&self, held: Option<ConstantId>, found: Bounds) -> DataFusionError {
        let names = ["base_start", "period_start", "period_end"];
        let differs = held.and_then(|held| {
            let held = self.bounds.get(held);
            (0..3).find(|bound| held[*bound] != found[*bound])
        });
        varying_argument(self.function, names[differs.unwrap_or(0)])
    }
}

/// Base start, period start and period end in nanoseconds.
type Bounds = [i128; 3];

/// Customers in the base, and those of them who came back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Returning {
    base: i64,
    kept: i64,
    bounds: Option<ConstantId>,
}

/// In which of the two windows a customer was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Windows(u8);

impl Windows {
    const BASE: Self = Self(1);
    const PERIOD: Self = Self(2);
    const BOTH: Self = Self(3);

    /// The window of an event, if it is in one.
    #[inline]
    fn of(event: i128, [base_start, period_start, period_end]: Bounds) -> Option<Self> {
        if event < base_start || event >= period_end {
            None
        } else if event < period_start {
            Some(Self::BASE)
        } else {
            Some(Self::PERIOD)
        }
    }
}

impl Returning {
    #[inline]
    fn count(&mut self, windows: &mut Windows, also: Windows) {
        let before = *windows;
        windows.0 |= also.0;
        self.base += i64::from(windows.0 & !before.0 & Windows::BASE.0 != 0);
        self.kept += i64::from(*windows == Windows::BOTH && before != Windows::BOTH);
    }
}

/// The time columns.
#[derive(Debug)]
pub(super) struct EventColumns<'a> {
    event_time: Times<'a>,
    bounds: [Times<'a>; 3],
    bounds_of_rows: PerRow,
}

impl DistinctMetric for EventRate {
    type Group = Returning;
    type Mark = Windows;
    type Columns<'a> = EventColumns<'a>;
    type Row = Windows;

    fn function(&self) -> &'static str {
        self.function
    }

    fn keys(&self) -> &[KeyArgument] {
        &self.keys
    }

    fn required(&self) -> &'static [usize] {
        &[0, 1, 2, 3, 4]
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<EventColumns<'a>> {
        let bounds = [
            Times::new(&arguments[2])?,
            Times::new(&arguments[3])?,
            Times::new(&arguments[4])?,
        ];
        let all = |of: &dyn Fn(&Times<'_>) -> Option<i128>| -> Option<Bounds> {
            Some([of(&bounds[0])?, of(&bounds[1])?, of(&bounds[2])?])
        };
        let same = all(&|times| times.same());
        let bounds_of_rows = self
            .bounds
            .of_batch(rows_of(arguments), same, |row| all(&|times| times.get(row)))?;
        Ok(EventColumns {
            event_time: Times::new(&arguments[1])?,
            bounds,
            bounds_of_rows,
        })
    }

    #[inline]
    fn accept(
        &self,
        group: &mut Returning,
        columns: &EventColumns<'_>,
        row: usize,
    ) -> Result<Option<Windows>> {
        let Some(id) = columns.bounds_of_rows.at(row) else {
            return internal_err!("an event without a period was counted");
        };
        let bounds = self.bounds.get(id);
        match hold(&mut group.bounds, id) {
            Held::Same => {}
            Held::First if !bounds.is_sorted() => return Err(self.reversed(columns, row)),
            Held::First => {}
            Held::Differs => return Err(self.varying(group.bounds, bounds)),
        }
        Ok(Windows::of(columns.event_time.at(row), bounds))
    }

    #[inline]
    fn observe(&self, group: &mut Returning, mark: &mut Windows, _seen: Seen, row: Windows) {
        group.count(mark, row);
    }

    fn merge_group(&self, group: &mut Returning, other: &Returning) -> Result<()> {
        if hold_other(&mut group.bounds, other.bounds) {
            return Ok(());
        }
        Err(varying_argument(
            self.function,
            "base_start, period_start and period_end",
        ))
    }

    fn merge_mark(&self, group: &mut Returning, mark: &mut Windows, _seen: Seen, other: Windows) {
        group.count(mark, other);
    }

    fn group_fields(&self) -> Vec<Field> {
        ["base_start", "period_start", "period_end"]
            .map(instant_field)
            .to_vec()
    }

    fn write_groups(&self, groups: &[Returning]) -> Vec<ArrayRef> {
        let bound = |bound: usize| {
            instants(
                groups
                    .iter()
                    .map(|group| group.bounds.map(|id| self.bounds.get(id)[bound])),
            )
        };
        vec![bound(0), bound(1), bound(2)]
    }

    fn read_groups(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Returning>> {
        let bounds = [
            primitive::<Decimal128Type>(&columns[0])?,
            primitive::<Decimal128Type>(&columns[1])?,
            primitive::<Decimal128Type>(&columns[2])?,
        ];
        let group = |row: usize| {
            let known = bounds.iter().all(|bound| Array::is_valid(bound, row));
            let bounds = known.then(|| bounds.map(|bound| bound.value(row)));
            Ok(Returning {
                bounds: bounds.map(|bounds| self.bounds.id(bounds)).transpose()?,
                ..Returning::default()
            })
        };
        (0..rows).map(group).collect()
    }

    fn mark_fields(&self) -> Vec<Field> {
        vec![Field::new("windows", DataType::UInt8, true)]
    }

    fn write_marks(&self, marks: &[Windows]) -> Vec<ArrayRef> {
        vec![Arc::new(UInt8Array::from_iter_values(
            marks.iter().map(|windows| windows.0),
        ))]
    }

    fn read_marks(&self, columns: &[ArrayRef], _rows: usize) -> Result<Vec<Windows>> {
        let windows = primitive::<UInt8Type>(&columns[0])?;
        Ok(windows
            .values()
            .iter()
            .map(|bits| Windows(*bits & Windows::BOTH.0))
            .collect())
    }

    fn finish(&self, groups: &[Returning]) -> Result<ArrayRef> {
        let rate = |group: &Returning| self.outcome.rate(group.base - group.kept, group.base);
        Ok(Arc::new(groups.iter().map(rate).collect::<Float64Array>()))
    }

    fn heap_size(&self) -> usize {
        self.bounds.heap_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = [0, 10, 20];

    #[test]
    fn windows_are_half_open() {
        let window = |event| Windows::of(event, BOUNDS);
        assert_eq!(window(-1), None);
        assert_eq!(window(0), Some(Windows::BASE));
        assert_eq!(window(9), Some(Windows::BASE));
        assert_eq!(window(10), Some(Windows::PERIOD));
        assert_eq!(window(20), None);
    }

    #[test]
    fn a_customer_counts_once_whatever_the_order_of_events() {
        let mut state = Returning::default();
        let mut windows = Windows::default();
        for window in [
            Windows::PERIOD,
            Windows::PERIOD,
            Windows::BASE,
            Windows::BASE,
        ] {
            state.count(&mut windows, window);
        }
        assert_eq!((state.base, state.kept), (1, 1));
    }

    #[test]
    fn a_new_customer_is_not_in_the_base() {
        let mut state = Returning::default();
        state.count(&mut Windows::default(), Windows::PERIOD);
        assert_eq!((state.base, state.kept), (0, 0));
    }
}
