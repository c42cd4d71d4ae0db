//! Which conditions a customer has met, provided the first one was: `result[i] = seen 1 ∧ seen i`.
//!
//! One row per event, in any order. A NULL condition is not met. No rows give NULL. Semantics are
//! those of ClickHouse's function of the same name.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::cast::as_boolean_array;
use datafusion_common::{Result, ScalarValue, not_impl_err};
use datafusion_doc::Documentation;
use datafusion_expr::{Accumulator, GroupsAccumulator};
use datafusion_macros::user_doc;

use crate::aggregate::{
    Definition, Form, Metric, MetricForm, export_aggregate, first_row, rows_of,
};
use crate::arguments::{condition, primitive, wrong_arity};

/// The aggregate `retention`.
#[user_doc(
    doc_section(label = "Behaviour"),
    description = "Which of up to 32 conditions a customer's events have met, as a list of booleans: the first says whether any row met cond1, each other one whether cond1 and that condition were both met, by whichever rows. Use it per customer and count the results. A NULL condition is not met; without rows the result is NULL. More than 32 conditions and what is not a condition are errors. Source: ClickHouse's function retention.",
    syntax_example = "retention(cond1, cond2)",
    alternative_syntax = "retention(cond1, cond2, cond3)",
    sql_example = r"```sql
> SELECT customer, retention(day = DATE '2024-01-01', day = DATE '2024-01-02') AS came
  FROM (VALUES (1, DATE '2024-01-01'), (1, DATE '2024-01-02'), (2, DATE '2024-01-02')) AS visits(customer, day)
  GROUP BY customer ORDER BY customer;
+----------+----------------+
| customer | came           |
+----------+----------------+
| 1        | [true, true]   |
| 2        | [false, false] |
+----------+----------------+
```",
    argument(name = "cond1", description = "Condition that everything depends on."),
    argument(name = "cond2", description = "Another condition."),
    argument(name = "cond3", description = "And so on, up to 32.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Retention;

export_aggregate!(Retention, retention, retention_udaf);

/// Largest number of conditions.
pub(super) const MAX_CONDITIONS: usize = 32;

impl Definition for Retention {
    const NAME: &'static str = "retention";
    const PARAMETERS: &'static [&'static str] = &[];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.is_empty() || types.len() > MAX_CONDITIONS {
            let forms = "retention(cond1, cond2, …) with up to 32 conditions";
            return wrong_arity(Self::NAME, forms, types.len());
        }
        conditions(Self::NAME, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(item())))
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(RetentionForm {
            conditions: types.len(),
        }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Types of `cond1`, `cond2`, ….
pub(super) fn conditions(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let numbered = types.iter().enumerate();
    numbered
        .map(|(at, given)| condition(function, &format!("cond{}", at + 1), given))
        .collect()
}

fn item() -> Field {
    Field::new_list_field(DataType::Boolean, true)
}

/// Conditions of a batch, of which NULL ones are not met.
#[derive(Debug)]
pub(super) struct Conditions<'a>(Vec<&'a BooleanArray>);

impl<'a> Conditions<'a> {
    pub(super) fn new(arguments: &'a [ArrayRef]) -> Result<Self> {
        let columns = arguments.iter().map(|column| as_boolean_array(column));
        Ok(Self(columns.collect::<Result<_>>()?))
    }

    /// One bit per condition that a row meets.
    #[inline]
    pub(super) fn mask(&self, row: usize) -> u32 {
        let met = |column: &BooleanArray| {
            column.value(row) && column.nulls().is_none_or(|nulls| nulls.is_valid(row))
        };
        let bits = self.0.iter().enumerate();
        bits.fold(0, |mask, (bit, column)| {
            mask | u32::from(met(column)) << bit
        })
    }
}

/// The rows, and the conditions that any of them met.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    rows: i64,
    mask: u32,
}

#[derive(Debug, Clone)]
struct Met {
    conditions: usize,
}

impl Met {
    fn lists(&self, seen: impl ExactSizeIterator<Item = Seen> + Clone) -> Result<ArrayRef> {
        let known = NullBuffer::from_iter(seen.clone().map(|seen| seen.rows > 0));
        let lengths = seen.clone().map(|seen| match seen.rows > 0 {
            true => self.conditions,
            false => 0,
        });
        let offsets = OffsetBuffer::from_lengths(lengths);
        let values: BooleanArray = seen
            .filter(|seen| seen.rows > 0)
            .flat_map(|Seen { mask, .. }| {
                (0..self.conditions).map(move |bit| Some(mask & 1 == 1 && mask >> bit & 1 == 1))
            })
            .collect();
        Ok(Arc::new(ListArray::try_new(
            Arc::new(item()),
            offsets,
            Arc::new(values),
            Some(known),
        )?))
    }
}

impl Metric for Met {
    type State = Seen;
    type Columns<'a> = Conditions<'a>;

    fn required(&self) -> &'static [usize] {
        &[]
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<Conditions<'a>> {
        Conditions::new(arguments)
    }

    #[inline]
    fn add(&self, seen: &mut Seen, columns: &Conditions<'_>, row: usize) -> Result<()> {
        seen.rows += 1;
        seen.mask |= columns.mask(row);
        Ok(())
    }

    fn remove(&self, _seen: &mut Seen, _columns: &Conditions<'_>, _row: usize) -> Result<()> {
        not_impl_err!("retention(): rows leave a frame through counts")
    }

    fn merge(&self, seen: &mut Seen, other: &Seen) -> Result<()> {
        seen.rows += other.rows;
        seen.mask |= other.mask;
        Ok(())
    }

    fn finish(&self, states: &[Seen]) -> Result<ArrayRef> {
        self.lists(states.iter().copied())
    }

    fn state_fields(&self) -> Vec<Field> {
        ["rows", "mask"]
            .map(|name| Field::new(name, DataType::Int64, true))
            .to_vec()
    }

    fn write(&self, states: &[Seen]) -> Vec<ArrayRef> {
        let column = |field: fn(&Seen) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(states.iter().map(field)))
        };
        vec![
            column(|seen| seen.rows),
            column(|seen| i64::from(seen.mask)),
        ]
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<Seen>> {
        let rows = primitive::<Int64Type>(&columns[0])?.values();
        let masks = primitive::<Int64Type>(&columns[1])?.values();
        let seen = |(rows, mask): (&i64, &i64)| Seen {
            rows: *rows,
            mask: *mask as u32,
        };
        Ok(rows.iter().zip(masks).map(seen).collect())
    }
}

struct RetentionForm {
    conditions: usize,
}

impl RetentionForm {
    fn metric(&self) -> Met {
        Met {
            conditions: self.conditions,
        }
    }
}

impl Form for RetentionForm {
    fn state_fields(&self) -> Vec<Field> {
        self.metric().state_fields()
    }

    fn accumulator(self: Box<Self>) -> Box<dyn Accumulator> {
        Box::new(MetricForm(self.metric())).accumulator()
    }

    fn sliding(self: Box<Self>) -> Option<Box<dyn Accumulator>> {
        Some(Box::new(SlidingRetention {
            metric: self.metric(),
            rows: 0,
            met: [0; MAX_CONDITIONS],
        }))
    }

    fn groups(self: Box<Self>) -> Box<dyn GroupsAccumulator> {
        Box::new(MetricForm(self.metric())).groups()
    }
}

/// For frames that rows also leave: how many rows in the frame meet each condition.
#[derive(Debug)]
struct SlidingRetention {
    metric: Met,
    rows: i64,
    met: [i64; MAX_CONDITIONS],
}

impl SlidingRetention {
    fn slide(&mut self, values: &[ArrayRef], sign: i64) -> Result<()> {
        let conditions = Conditions::new(values)?;
        for row in 0..rows_of(values) {
            let mask = conditions.mask(row);
            self.rows += sign;
            for (bit, met) in self.met.iter_mut().enumerate() {
                *met += sign * i64::from(mask >> bit & 1);
            }
        }
        Ok(())
    }

    fn seen(&self) -> Seen {
        let bits = self.met.iter().enumerate();
        Seen {
            rows: self.rows,
            mask: bits.fold(0, |mask, (bit, met)| mask | u32::from(*met > 0) << bit),
        }
    }
}

impl Accumulator for SlidingRetention {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.slide(values, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.slide(values, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        not_impl_err!("retention(): frames are not merged")
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.metric.lists([self.seen()].into_iter())?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        first_row(&self.metric.write(&[self.seen()]))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
