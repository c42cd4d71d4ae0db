//! Cohort retention: of the customers who came in one period, how many are active in each later one.
//!
//! A customer's cohort is the calendar period of the first event; period k is the k-th after it; who
//! is active in a period has an event in it. Cells without anybody are left out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int32Array, ListArray, StringViewArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use datafusion_common::cast::{as_date32_array, as_string_view_array};
use datafusion_common::{HashMap, Result};
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::arguments::{invalid_value, text, times, wrong_arity};
use crate::bag::{Bag, BagMetric, Gathered};
use crate::calendar::Unit;
use crate::distinct::KeyArgument;
use crate::keys::key_type;
use crate::measure::first_arguments;
use crate::record::{FieldList, counts, numbers, record, record_type};

/// The aggregate `cohort_retention`.
#[user_doc(
    doc_section(label = "Retention"),
    description = "Cohort table as a list of structs, for unnest: customers belong to the cohort of the calendar period of their first event, and for each cohort and each period k = 0, 1, … after it there is cohort (the first day of its period), period k, cohort_size, active (its customers with an event in that very period, not in it or later) and rate = active / cohort_size, a fraction. Ordered by cohort and period; cells without an active customer are left out. Periods are 'day', 'week' (from Monday), 'month' (default), 'quarter' or 'year', by the calendar of the timestamp's own time zone. Rows with NULL are skipped; without rows the result is NULL. An unknown period, and NaN or infinity as a customer, are errors. Source: classic (bracket) cohort retention.",
    syntax_example = "cohort_retention(customer_id, event_time)",
    alternative_syntax = "cohort_retention(customer_id, event_time, period)",
    sql_example = r"```sql
> SELECT c['cohort'] AS cohort, c['period'] AS period, c['cohort_size'] AS size, c['active'] AS active, c['rate'] AS rate
  FROM (SELECT unnest(cohort_retention(customer, day)) AS c
        FROM (VALUES (1, DATE '2024-01-05'), (2, DATE '2024-01-20'), (2, DATE '2024-03-03'), (3, DATE '2024-03-01')) AS orders(customer, day));
+------------+--------+------+--------+------+
| cohort     | period | size | active | rate |
+------------+--------+------+--------+------+
| 2024-01-01 | 0      | 2    | 2      | 1.0  |
| 2024-01-01 | 2      | 2    | 1      | 0.5  |
| 2024-03-01 | 0      | 1    | 1      | 1.0  |
+------------+--------+------+--------+------+
```",
    argument(
        name = "customer_id",
        description = "Who the event belongs to, any type."
    ),
    argument(name = "event_time", description = "Date or timestamp of the event."),
    argument(
        name = "period",
        description = "'day', 'week', 'month' (default), 'quarter' or 'year'; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CohortRetention;

export_aggregate!(CohortRetention, cohort_retention, cohort_retention_udaf);

const FIELDS: FieldList = &[
    ("cohort", DataType::Date32),
    ("period", DataType::Int32),
    ("cohort_size", DataType::Int64),
    ("active", DataType::Int64),
    ("rate", DataType::Float64),
];

impl Definition for CohortRetention {
    const NAME: &'static str = "cohort_retention";
    const PARAMETERS: &'static [&'static str] = &["customer_id", "event_time", "period"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 2 | 3) {
            let forms = "cohort_retention(customer_id, event_time) or \
                         cohort_retention(customer_id, event_time, period)";
            return wrong_arity(Self::NAME, forms, types.len());
        }
        times(Self::NAME, &[("event_time", &types[1])])?;
        // The cast reads a timestamp in its own time zone.
        let mut coerced = vec![
            key_type(Self::NAME, "customer_id", &types[0])?,
            DataType::Date32,
        ];
        if let Some(period) = types.get(2) {
            coerced.push(text(Self::NAME, "period", period)?);
        }
        Ok(coerced)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(item())))
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let metric = Cohorts {
            arguments: types.len(),
            key: KeyArgument {
                position: 0,
                name: "customer_id",
                data_type: types[0].clone(),
            },
        };
        Ok(Box::new(Bag::new(metric)?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn item() -> Field {
    Field::new_list_field(record_type(FIELDS), true)
}

/// The periods in which each customer was active.
#[derive(Debug, Clone)]
struct Cohorts {
    arguments: usize,
    key: KeyArgument,
}

/// The columns of a batch.
#[derive(Debug)]
struct Columns<'a> {
    days: &'a Date32Array,
    periods: Option<&'a StringViewArray>,
}

impl BagMetric<1> for Cohorts {
    type Columns<'a> = Columns<'a>;

    const FUNCTION: &'static str = CohortRetention::NAME;
    const CONSTANTS: [&'static str; 1] = ["period"];

    fn key(&self) -> Option<&KeyArgument> {
        Some(&self.key)
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Columns<'a>> {
        let periods = arguments
            .get(2)
            .map(|periods| as_string_view_array(periods));
        Ok(Columns {
            days: as_date32_array(&arguments[1])?,
            periods: periods.transpose()?,
        })
    }

    #[inline]
    fn constants(&self, columns: &Columns<'_>, row: usize) -> Result<[i64; 1]> {
        let unit = match columns.periods {
            None => Unit::Month,
            Some(periods) => Unit::named(Self::FUNCTION, "period", periods.value(row))?,
        };
        Ok([unit.code()])
    }

    fn check(&self, _constants: [i64; 1]) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn item(
        &self,
        columns: &Columns<'_>,
        row: usize,
        [unit]: [i64; 1],
    ) -> Result<Option<(u64, i64)>> {
        let day = i64::from(columns.days.value(row));
        Ok(Some((0, Unit::of_code(unit).period_of(day))))
    }

    fn finish(&self, groups: &[Gathered<'_, 1>]) -> Result<ArrayRef> {
        let mut cells = Cells::default();
        let mut lengths = Vec::with_capacity(groups.len());
        for group in groups {
            let before = cells.cohorts.len();
            cells.add(group)?;
            lengths.push(cells.cohorts.len() - before);
        }
        let known = NullBuffer::from_iter(lengths.iter().map(|length| *length > 0));
        Ok(Arc::new(ListArray::try_new(
            Arc::new(item()),
            OffsetBuffer::from_lengths(lengths),
            cells.record()?,
            Some(known),
        )?))
    }
}

/// The cells of all groups, one column per field.
#[derive(Debug, Default)]
struct Cells {
    cohorts: Vec<i32>,
    periods: Vec<i32>,
    sizes: Vec<i64>,
    active: Vec<i64>,
}

impl Cells {
    fn add(&mut self, group: &Gathered<'_, 1>) -> Result<()> {
        let Some([unit]) = group.constants else {
            return Ok(());
        };
        // Cohort and periods since, to the number of active customers.
        let mut active: HashMap<(i64, i64), i64> = HashMap::default();
        for customer in group.entries.chunk_by(|left, right| left.key == right.key) {
            for entry in customer {
                let first = customer[0].place;
                *active.entry((first, entry.place - first)).or_default() += 1;
            }
        }
        let mut active: Vec<_> = active.into_iter().collect();
        active.sort_unstable();
        let mut size = 0;
        for ((cohort, period), customers) in active {
            if period == 0 {
                size = customers;
            }
            let day = Unit::of_code(unit).first_day(cohort);
            self.cohorts.push(narrow(day)?);
            self.periods.push(narrow(period)?);
            self.sizes.push(size);
            self.active.push(customers);
        }
        Ok(())
    }

    fn record(self) -> Result<ArrayRef> {
        let rates = self.active.iter().zip(&self.sizes);
        let rates = rates.map(|(active, size)| Some(*active as f64 / *size as f64));
        let rates = numbers(rates);
        record(
            FIELDS,
            vec![
                Arc::new(Date32Array::from(self.cohorts)),
                Arc::new(Int32Array::from(self.periods)),
                counts(self.sizes.into_iter()),
                counts(self.active.into_iter()),
                rates,
            ],
        )
    }
}

fn narrow(value: i64) -> Result<i32> {
    i32::try_from(value).map_err(|_| {
        invalid_value(
            CohortRetention::NAME,
            "event_time is out of the range of dates",
        )
    })
}
