//! Tenure: whole units of time from a start to a later day, by the calendar.
//!
//! A month has passed when its day, and time of day, is reached: 31 January to 28 February is 0
//! months, to 1 March it is 1. NULL if an argument is NULL.

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, Time64NanosecondArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::Result;
use datafusion_common::cast::{as_date32_array, as_string_view_array};
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::for_each_row;
use crate::arguments::{Times, invalid_value, text, times, wrong_arity};
use crate::calendar::{Unit, civil, month_of};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `tenure`.
#[user_doc(
    doc_section(label = "Helpers"),
    description = "How long a customer has been one: whole days, weeks, months, quarters or years from start to as_of, by the calendar. A month is full when its day and time of day are reached again, so that 31 January to 28 February is 0 months and to 1 March 1 month. Timestamps with a time zone are read in that zone. NULL if an argument is NULL. An as_of before its start and an unknown unit are errors. Source: whole units elapsed, as in dateutil's relativedelta but for ends of months, which are not moved.",
    syntax_example = "tenure(start, as_of)",
    alternative_syntax = "tenure(start, as_of, unit)",
    sql_example = r"```sql
> SELECT tenure(DATE '2019-06-01', DATE '2024-05-31') AS months, tenure(DATE '2019-06-01', DATE '2024-05-31', 'year') AS years;
+--------+-------+
| months | years |
+--------+-------+
| 59     | 4     |
+--------+-------+
```",
    argument(name = "start", description = "Date or timestamp of the first day."),
    argument(
        name = "as_of",
        description = "Date or timestamp up to which time is counted."
    ),
    argument(
        name = "unit",
        description = "'day', 'week', 'month' (default), 'quarter' or 'year'."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tenure;

export_scalar!(Tenure, tenure, tenure_udf);

impl ScalarDefinition for Tenure {
    const NAME: &'static str = "tenure";
    const PARAMETERS: &'static [&'static str] = &["start", "as_of", "unit"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (start, as_of, unit) = match types {
            [start, as_of] => (start, as_of, None),
            [start, as_of, unit] => (start, as_of, Some(unit)),
            _ => {
                let forms = "tenure(start, as_of) or tenure(start, as_of, unit)";
                return wrong_arity(Self::NAME, forms, types.len());
            }
        };
        let mut coerced = times(Self::NAME, &[("start", start), ("as_of", as_of)])?;
        if let Some(unit) = unit {
            coerced.push(text(Self::NAME, "unit", unit)?);
        }
        Ok(coerced)
    }

    fn return_type(&self) -> DataType {
        DataType::Int64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let nulls = NullBuffer::union_many(arguments.iter().map(Array::nulls));
        let (starts, ends) = (Local::new(&arguments[0])?, Local::new(&arguments[1])?);
        let order = (Times::new(&arguments[0])?, Times::new(&arguments[1])?);
        let units = arguments
            .get(2)
            .map(|units| as_string_view_array(units))
            .transpose()?;
        let mut tenures = vec![0; arguments[0].len()];
        for_each_row(nulls.as_ref(), tenures.len(), |row| {
            let unit = match units {
                Some(units) => Unit::named(Self::NAME, "unit", units.value(row))?,
                None => Unit::Month,
            };
            if order.1.at(row) < order.0.at(row) {
                let (start, as_of) = (order.0.text(row), order.1.text(row));
                return Err(invalid_value(
                    Self::NAME,
                    format!("as_of {as_of} is before start {start}; swap them or filter the row"),
                ));
            }
            tenures[row] = elapsed(starts.at(row), ends.at(row), unit);
            Ok(())
        })?;
        Ok(std::sync::Arc::new(Int64Array::new(tenures.into(), nulls)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Points in time as calendar days and nanoseconds of the day, in their own time zone.
struct Local {
    days: Date32Array,
    times: Option<Time64NanosecondArray>,
}

impl Local {
    fn new(array: &ArrayRef) -> Result<Self> {
        let days = compute::cast(array, &DataType::Date32)?;
        let times = match array.data_type() {
            DataType::Timestamp(_, _) => {
                let times = compute::cast(array, &DataType::Time64(TimeUnit::Nanosecond))?;
                Some(times.as_primitive().clone())
            }
            _ => None,
        };
        Ok(Self {
            days: as_date32_array(&days)?.clone(),
            times,
        })
    }

    fn at(&self, row: usize) -> (i64, i64) {
        let time = self.times.as_ref().map_or(0, |times| times.value(row));
        (i64::from(self.days.value(row)), time)
    }
}

/// Whole units between two points in time as day and time of day.
fn elapsed(start: (i64, i64), end: (i64, i64), unit: Unit) -> i64 {
    let days = end.0 - start.0 - i64::from(end.1 < start.1);
    let day_of_month = |day: i64| civil(day).2;
    let incomplete = (day_of_month(end.0), end.1) < (day_of_month(start.0), start.1);
    let months = month_of(end.0) - month_of(start.0) - i64::from(incomplete);
    // A clock that was put back can end before it began.
    match unit {
        Unit::Day => days.max(0),
        Unit::Week => days.max(0) / 7,
        Unit::Month => months.max(0),
        Unit::Quarter => months.max(0) / 3,
        Unit::Year => months.max(0) / 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_january_to_february_and_march() {
        // 2020-01-31 is day 18292; 2020-02-29 and 2020-03-01 follow.
        let start = (18_292, 0);
        assert_eq!(elapsed(start, (18_321, 0), Unit::Month), 0);
        assert_eq!(elapsed(start, (18_322, 0), Unit::Month), 1);
        assert_eq!(elapsed(start, (18_322, 0), Unit::Day), 30);
        assert_eq!(elapsed(start, (18_322, 0), Unit::Week), 4);
    }

    #[test]
    fn the_time_of_day_counts() {
        assert_eq!(elapsed((0, 5), (1, 4), Unit::Day), 0);
        assert_eq!(elapsed((0, 5), (31, 4), Unit::Month), 0);
        assert_eq!(elapsed((0, 5), (31, 5), Unit::Month), 1);
        assert_eq!(elapsed((0, 5), (0, 4), Unit::Year), 0);
    }
}
