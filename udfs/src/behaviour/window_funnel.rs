//! How far a customer comes through a series of steps within a span of time from the first one.
//!
//! Semantics are those of ClickHouse's windowFunnel: the longest chain `cond1, cond2, …` of events in
//! time order, all at most `window` after their `cond1`. Other than there, the order of rows with
//! equal times does not matter: rows of earlier steps come first, and one row makes one step of a chain.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, IntervalMonthDayNanoArray, StringViewArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion_common::Result;
use datafusion_common::cast::as_string_view_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::arguments::{
    Times, interval, intervals, invalid_call, invalid_value, plain, text, times, wrong_arity,
};
use crate::bag::{Bag, BagMetric, Gathered};
use crate::behaviour::retention::{Conditions, MAX_CONDITIONS, conditions};
use crate::calendar::{add_interval, is_negative};
use crate::distinct::KeyArgument;
use crate::measure::first_arguments;

/// The aggregate `window_funnel`.
#[user_doc(
    doc_section(label = "Behaviour"),
    description = "How many steps of a funnel a customer has taken: the length of the longest chain of events that meet cond1, cond2, … in time order, all within window of the one that met cond1 (a window that is exactly reached counts). Use it per customer. Modes: 'strict_order' lets no other event come between (A, B, D, C reaches 2 of A, B, C, D), 'strict_deduplication' ends at an event whose step was taken already, 'strict_increase' counts only steps with later times than the one before. A NULL condition is not met; rows whose ts, window or mode is NULL are skipped; without rows the result is 0, the one exception to NULL for nothing. A negative window, an unknown mode and more than 32 conditions are errors. Source: ClickHouse's windowFunnel; modes as deduplication, fixed and increase of Doris and StarRocks.",
    syntax_example = "window_funnel(window, ts, cond1, cond2)",
    alternative_syntax = "window_funnel(window, mode, ts, cond1, cond2, cond3)",
    sql_example = r"```sql
> SELECT window_funnel(INTERVAL '1 hour', ts, event = 'view', event = 'cart', event = 'buy') AS steps
  FROM (VALUES (TIMESTAMP '2024-01-01 10:00:00', 'view'), (TIMESTAMP '2024-01-01 10:20:00', 'cart'),
               (TIMESTAMP '2024-01-01 11:30:00', 'buy')) AS events(ts, event);
+-------+
| steps |
+-------+
| 2     |
+-------+
```",
    argument(
        name = "window",
        description = "Interval in which all steps must lie; the same in all rows of a group."
    ),
    argument(
        name = "mode",
        description = "'strict_order', 'strict_deduplication' or 'strict_increase'; the same in all rows of a group."
    ),
    argument(name = "ts", description = "Date or timestamp of the event."),
    argument(name = "cond1", description = "Condition of the first step."),
    argument(name = "cond2", description = "Condition of the second step."),
    argument(name = "cond3", description = "And so on, up to 32.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct WindowFunnel;

export_aggregate!(WindowFunnel, window_funnel, window_funnel_udaf);

const FORMS: &str = "window_funnel(window, ts, cond1, cond2, …) or \
                     window_funnel(window, mode, ts, cond1, cond2, …) with up to 32 conditions";

impl Definition for WindowFunnel {
    const NAME: &'static str = "window_funnel";
    const PARAMETERS: &'static [&'static str] = &[];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let own = 2 + usize::from(types.get(1).is_some_and(is_mode));
        if types.len() <= own || types.len() > own + MAX_CONDITIONS {
            return wrong_arity(Self::NAME, FORMS, types.len());
        }
        let mut coerced = vec![interval(Self::NAME, "window", &types[0])?];
        if own == 3 {
            coerced.push(text(Self::NAME, "mode", &types[1])?);
        }
        coerced.extend(times(Self::NAME, &[("ts", &types[own - 1])])?);
        coerced.extend(conditions(Self::NAME, &types[own..])?);
        Ok(coerced)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let own = 2 + usize::from(types.get(1).is_some_and(is_mode));
        Ok(Box::new(Bag::new(Steps {
            own,
            steps: types.len().saturating_sub(own),
        })?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn is_mode(given: &DataType) -> bool {
    matches!(
        plain(given),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// What else a chain must hold to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Order,
    Deduplication,
    Increase,
}

impl Mode {
    const NAMED: [(Self, &'static str); 3] = [
        (Self::Order, "strict_order"),
        (Self::Deduplication, "strict_deduplication"),
        (Self::Increase, "strict_increase"),
    ];

    fn named(name: &str) -> Result<Self> {
        let known = Self::NAMED.iter().find(|(_, known)| *known == name);
        known.map(|(mode, _)| *mode).ok_or_else(|| {
            invalid_call(
                WindowFunnel::NAME,
                format!(
                    "there is no mode '{name}'; use 'strict_order', 'strict_deduplication' or \
                     'strict_increase'"
                ),
            )
        })
    }

    fn code(self) -> i64 {
        let place = Self::NAMED.iter().position(|(mode, _)| *mode == self);
        place.map_or(-1, |place| place as i64)
    }

    fn of_code(code: i64) -> Self {
        let place = usize::try_from(code).ok();
        let mode = place.and_then(|place| Self::NAMED.get(place));
        mode.map_or(Self::Plain, |(mode, _)| *mode)
    }
}

/// The events of a group: a time, and the conditions met then.
#[derive(Debug, Clone)]
struct Steps {
    /// Arguments before the conditions.
    own: usize,
    /// Number of conditions.
    steps: usize,
}

/// The columns of a batch.
#[derive(Debug)]
struct Columns<'a> {
    windows: &'a IntervalMonthDayNanoArray,
    modes: Option<&'a StringViewArray>,
    times: Times<'a>,
    conditions: Conditions<'a>,
}

/// Nanoseconds of a microsecond.
const NANOSECONDS: i128 = 1_000;
/// Bits of a key that hold the conditions; above them are nanoseconds within the microsecond.
const MASK_BITS: u32 = 32;

/// The window in a group's constants.
fn window_of([months, days, nanoseconds, _]: [i64; 4]) -> IntervalMonthDayNano {
    IntervalMonthDayNano::new(months as i32, days as i32, nanoseconds)
}

impl BagMetric<4> for Steps {
    type Columns<'a> = Columns<'a>;

    const FUNCTION: &'static str = WindowFunnel::NAME;
    const CONSTANTS: [&'static str; 4] = ["window", "window", "window", "mode"];

    fn key(&self) -> Option<&KeyArgument> {
        None
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.own)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Columns<'a>> {
        let modes = (self.own == 3).then(|| as_string_view_array(&arguments[1]));
        Ok(Columns {
            windows: intervals(&arguments[0])?,
            modes: modes.transpose()?,
            times: Times::new(&arguments[self.own - 1])?,
            conditions: Conditions::new(&arguments[self.own..])?,
        })
    }

    #[inline]
    fn constants(&self, columns: &Columns<'_>, row: usize) -> Result<[i64; 4]> {
        let window = columns.windows.value(row);
        let mode = match columns.modes {
            Some(modes) => Mode::named(modes.value(row))?,
            None => Mode::Plain,
        };
        Ok([
            i64::from(window.months),
            i64::from(window.days),
            window.nanoseconds,
            mode.code(),
        ])
    }

    fn check(&self, constants: [i64; 4]) -> Result<()> {
        if !is_negative(window_of(constants)) {
            return Ok(());
        }
        Err(invalid_call(
            WindowFunnel::NAME,
            "window is negative; write for example INTERVAL '1 hour'",
        ))
    }

    #[inline]
    fn item(
        &self,
        columns: &Columns<'_>,
        row: usize,
        [.., mode]: [i64; 4],
    ) -> Result<Option<(u64, i64)>> {
        let mask = columns.conditions.mask(row);
        // Events of no step matter only where they may not come between.
        if mask == 0 && Mode::of_code(mode) != Mode::Order {
            return Ok(None);
        }
        let time = columns.times.at(row);
        let microseconds = i64::try_from(time.div_euclid(NANOSECONDS)).map_err(|_| {
            invalid_value(WindowFunnel::NAME, "ts is out of the range of timestamps")
        })?;
        let key = (time.rem_euclid(NANOSECONDS) as u64) << MASK_BITS | u64::from(mask);
        Ok(Some((key, microseconds)))
    }

    fn finish(&self, groups: &[Gathered<'_, 4>]) -> Result<ArrayRef> {
        let level = |group: &Gathered<'_, 4>| {
            let Some(constants) = group.constants else {
                return 0;
            };
            let mut events: Vec<_> = group
                .entries
                .iter()
                .map(|entry| {
                    let nanoseconds = i128::from(entry.key >> MASK_BITS);
                    let time = i128::from(entry.place) * NANOSECONDS + nanoseconds;
                    (time, entry.key as u32, entry.rows)
                })
                .collect();
            // Of equal times the rows of earlier steps first.
            events.sort_unstable_by_key(|(time, mask, _)| (*time, mask.trailing_zeros(), *mask));
            let mut funnel = Funnel::new(
                self.steps,
                window_of(constants),
                Mode::of_code(constants[3]),
            );
            funnel.run(&events);
            funnel.level() as i32
        };
        Ok(Arc::new(Int32Array::from_iter_values(
            groups.iter().map(level),
        )))
    }
}

/// For each step, the chain that reached it last: when it began and when it got there.
#[derive(Debug)]
struct Funnel {
    reached: Vec<Option<(i128, i128)>>,
    window: IntervalMonthDayNano,
    mode: Mode,
}

impl Funnel {
    fn new(steps: usize, window: IntervalMonthDayNano, mode: Mode) -> Self {
        Self {
            reached: vec![None; steps],
            window,
            mode,
        }
    }

    fn level(&self) -> usize {
        self.reached
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |step| step + 1)
    }

    /// Takes the events in order, until one ends the funnel.
    fn run(&mut self, events: &[(i128, u32, i64)]) {
        for (time, mask, rows) in events {
            // A third equal row changes nothing that the second has not.
            for _ in 0..(*rows).min(2) {
                if !self.row(*time, *mask) {
                    return;
                }
            }
        }
    }

    /// Takes one row; false if it ends the funnel.
    fn row(&mut self, time: i128, mask: u32) -> bool {
        let begun = self.reached[0].is_some();
        if mask == 0 {
            return !(self.mode == Mode::Order && begun);
        }
        // Later steps first, so that a row is one step of a chain only.
        for step in (0..self.reached.len()).rev() {
            if mask >> step & 1 == 1 && !self.take(step, time) {
                return false;
            }
        }
        self.reached.last().is_some_and(Option::is_none)
    }

    fn take(&mut self, step: usize, time: i128) -> bool {
        if step == 0 {
            self.reached[0] = Some((time, time));
            return true;
        }
        if self.mode == Mode::Deduplication && self.reached[step].is_some() {
            return false;
        }
        let Some((start, before)) = self.reached[step - 1] else {
            return !(self.mode == Mode::Order && self.reached[0].is_some());
        };
        let later = self.mode != Mode::Increase || before < time;
        if later && time <= add_interval(start, self.window) {
            self.reached[step] = Some((start, time));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: IntervalMonthDayNano = IntervalMonthDayNano::new(0, 0, 3_600);

    /// The level after steps by their letters, one unit of time apart.
    fn level(steps: usize, mode: Mode, letters: &str) -> usize {
        let events: Vec<_> = letters
            .bytes()
            .enumerate()
            .map(|(at, letter)| {
                (
                    at as i128,
                    if letter == b'-' {
                        0
                    } else {
                        1 << (letter - b'A')
                    },
                    1,
                )
            })
            .collect();
        let mut funnel = Funnel::new(steps, HOUR, mode);
        funnel.run(&events);
        funnel.level()
    }

    #[test]
    fn published_chains() {
        assert_eq!(level(4, Mode::Plain, "DCBA"), 1);
        assert_eq!(level(4, Mode::Plain, "ABDC"), 3);
        assert_eq!(level(4, Mode::Order, "ABDC"), 2);
        assert_eq!(level(4, Mode::Deduplication, "ABCBD"), 3);
        assert_eq!(level(4, Mode::Plain, "ABCBD"), 4);
        assert_eq!(level(3, Mode::Order, "AB-C"), 2);
        assert_eq!(level(3, Mode::Plain, "AB-C"), 3);
        assert_eq!(level(2, Mode::Plain, ""), 0);
    }

    #[test]
    fn one_row_is_one_step_and_equal_times_chain() {
        let run = |mode, events: &[(i128, u32, i64)]| {
            let mut funnel = Funnel::new(2, HOUR, mode);
            funnel.run(events);
            funnel.level()
        };
        assert_eq!(run(Mode::Plain, &[(0, 0b11, 1)]), 1);
        assert_eq!(run(Mode::Plain, &[(0, 0b11, 2)]), 2);
        assert_eq!(run(Mode::Plain, &[(0, 0b01, 1), (0, 0b10, 1)]), 2);
        assert_eq!(run(Mode::Increase, &[(0, 0b01, 1), (0, 0b10, 1)]), 1);
        assert_eq!(run(Mode::Plain, &[(0, 0b01, 1), (3_600, 0b10, 1)]), 2);
        assert_eq!(run(Mode::Plain, &[(0, 0b01, 1), (3_601, 0b10, 1)]), 1);
    }
}
