//! A customer's orders in the four numbers that purchase models need.
//!
//! Orders of one calendar day are one purchase. `frequency` is the number of days with orders
//! minus one, `recency` the time from the first day to the last, `t` the time from the first day
//! to `as_of`, `monetary` the mean total of the days after the first (0 if there are none). Orders
//! after `as_of` are ignored, rows with NULL are skipped, no orders give NULL. Source: Fader and
//! Hardie, notes 004 and 025.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, StringViewArray, StructArray, UInt8Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, Fields, Int32Type, UInt8Type,
};
use datafusion_common::Result;
use datafusion_common::cast::{as_date32_array, as_string_view_array};
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate, for_each_row, rows_of, selection};
use crate::arguments::{
    Held, Times, all_equal, doubles, finite, hold, hold_other, invalid_call, number, plain,
    primitive, text, times, varying_argument, wrong_arity,
};
use crate::constants::{ConstantId, Constants, PerRow};
use crate::groups::{Groups, check_groups, list_field};
use crate::lifetime::orders::{Order, Orders, history};
use crate::lists::{Listed, lists};

/// The aggregate `clv_summary`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Summary of one customer's orders for the purchase models: a struct of frequency (days with orders after the first), recency (from the first to the last day with orders), t (from the first day to as_of) and monetary (mean total of the days after the first, 0 if there are none). Orders of one calendar day are one purchase, whatever the unit. Recency and t are in the unit, whose lengths are 1, 7, 30.4375 and 365.25 days. Use it with GROUP BY customer. Orders after as_of are ignored; if as_of is a DATE, the whole day counts. Rows with NULL are skipped; without orders the result is NULL. NaN, infinity and unknown units are errors. Source: Fader and Hardie, notes 004 and 025 (brucehardie.com).",
    syntax_example = "clv_summary(ordered_at, amount, as_of)",
    alternative_syntax = "clv_summary(ordered_at, amount, as_of, unit)",
    sql_example = r"```sql
> SELECT customer, clv_summary(day, amount, DATE '2024-01-29', 'week') AS summary
  FROM (VALUES ('ann', DATE '2024-01-01', 10.0), ('ann', DATE '2024-01-08', 20.0), ('ann', DATE '2024-01-15', 30.0),
               ('bob', DATE '2024-01-15', 60.0)) AS orders(customer, day, amount)
  GROUP BY customer ORDER BY customer;
+----------+------------------------------------------------------+
| customer | summary                                              |
+----------+------------------------------------------------------+
| ann      | {frequency: 2, recency: 2.0, t: 4.0, monetary: 25.0} |
| bob      | {frequency: 0, recency: 0.0, t: 2.0, monetary: 0.0}  |
+----------+------------------------------------------------------+
```",
    argument(name = "ordered_at", description = "Day or time of an order."),
    argument(name = "amount", description = "Value of the order, any number."),
    argument(
        name = "as_of",
        description = "End of the time under observation; the same in all rows of a group."
    ),
    argument(
        name = "unit",
        description = "'day' (default), 'week', 'month' or 'year'; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClvSummary;

export_aggregate!(ClvSummary, clv_summary, clv_summary_udaf);

const FORMS: &str =
    "clv_summary(ordered_at, amount, as_of) or clv_summary(ordered_at, amount, as_of, unit)";

impl Definition for ClvSummary {
    const NAME: &'static str = "clv_summary";
    const PARAMETERS: &'static [&'static str] = &["ordered_at", "amount", "as_of", "unit"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let ([ordered_at, amount, as_of] | [ordered_at, amount, as_of, _]) = types else {
            return wrong_arity(Self::NAME, FORMS, types.len());
        };
        let [ordered_at, as_of] = moments(Self::NAME, ordered_at, as_of)?;
        let mut coerced = vec![ordered_at, number(Self::NAME, "amount", amount)?, as_of];
        if let Some(unit) = types.get(3) {
            coerced.push(text(Self::NAME, "unit", unit)?);
        }
        Ok(coerced)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(summary_fields()))
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(SummaryGroups::new(types.len() == 4)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Types of the time of an order and of the end of observation. A DATE there means the whole day,
/// so that the two need not be compared as instants.
fn moments(function: &str, ordered_at: &DataType, as_of: &DataType) -> Result<[DataType; 2]> {
    let both = [("ordered_at", ordered_at), ("as_of", as_of)];
    let whole_day = matches!(
        plain(as_of),
        DataType::Date32 | DataType::Date64 | DataType::Null
    );
    let mut coerced = times(function, if whole_day { &both[..1] } else { &both })?;
    let ordered_at = coerced.remove(0);
    Ok([ordered_at, coerced.pop().unwrap_or(DataType::Date32)])
}

/// Fields of the result, which other functions look up by name.
pub(super) fn summary_fields() -> Fields {
    Fields::from(vec![
        Field::new("frequency", DataType::Int64, true),
        Field::new("recency", DataType::Float64, true),
        Field::new("t", DataType::Float64, true),
        Field::new("monetary", DataType::Float64, true),
    ])
}

/// A unit of time of the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    const ALL: [(&'static str, Self, f64); 4] = [
        ("day", Self::Day, 1.0),
        ("week", Self::Week, 7.0),
        ("month", Self::Month, 30.4375),
        ("year", Self::Year, 365.25),
    ];

    /// The unit of this name.
    pub(super) fn named(function: &str, name: &str) -> Result<Self> {
        let mut all = Self::ALL.iter();
        match all.find(|(known, ..)| name.eq_ignore_ascii_case(known)) {
            Some((_, unit, _)) => Ok(*unit),
            None => Err(invalid_call(
                function,
                format!("unit '{name}' is unknown; use 'day', 'week', 'month' or 'year'"),
            )),
        }
    }

    /// The unit of this number.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).map(|(_, unit, _)| *unit)
    }

    /// Its length in days.
    pub(super) fn days(self) -> f64 {
        Self::ALL[self as usize].2
    }
}

/// Nanoseconds since 1970, which need more than 64 bits for year 9999.
const INSTANT: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// The end of observation and the unit of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Observation {
    instant: i128,
    day: i32,
    unit: Unit,
}

#[derive(Debug, Default)]
struct SummaryGroups {
    with_unit: bool,
    observations: Constants<Observation>,
    groups: Vec<Option<ConstantId>>,
    orders: Orders,
}

/// The columns of a batch, and which orders were in time.
struct SummaryColumns {
    days: Date32Array,
    observations: PerRow,
}

impl SummaryGroups {
    fn new(with_unit: bool) -> Self {
        Self {
            with_unit,
            ..Self::default()
        }
    }

    fn columns(&mut self, arguments: &[ArrayRef]) -> Result<SummaryColumns> {
        let as_of = Times::new(&arguments[2])?;
        let as_of_days = compute::cast(&arguments[2], &DataType::Date32)?;
        let as_of_days = as_date32_array(&as_of_days)?;
        let units = match arguments.get(3) {
            Some(units) if self.with_unit => Some(as_string_view_array(units)?),
            _ => None,
        };
        let unit_at = |row: usize| match units {
            None => Ok(Some(Unit::Day)),
            Some(units) if units.is_null(row) => Ok(None),
            Some(units) => Unit::named(ClvSummary::NAME, units.value(row)).map(Some),
        };
        let rows = rows_of(arguments);
        let at = |row: usize| -> Result<Option<Observation>> {
            let (Some(instant), Some(unit)) = (as_of.get(row), unit_at(row)?) else {
                return Ok(None);
            };
            let day = as_of_days.value(row);
            Ok(Some(Observation { instant, day, unit }))
        };
        let same_unit = units.is_none_or(one_short_text);
        let observations = if same_unit && as_of.same().is_some() {
            self.observations.of_batch(rows, at(0)?, |_| None)?
        } else {
            let each = (0..rows).map(at).collect::<Result<Vec<_>>>()?;
            self.observations.of_batch(rows, None, |row| each[row])?
        };
        let days = compute::cast(&arguments[0], &DataType::Date32)?;
        Ok(SummaryColumns {
            days: as_date32_array(&days)?.clone(),
            observations,
        })
    }
}

impl Groups for SummaryGroups {
    fn empty(&self) -> Result<Self> {
        Ok(Self::new(self.with_unit))
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("as_of", INSTANT, true),
            Field::new("as_of_day", DataType::Int32, true),
            Field::new("unit", DataType::UInt8, true),
            list_field("day", DataType::Int32),
            list_field("amount", DataType::Float64),
        ]
    }

    fn len(&self) -> usize {
        self.groups.len()
    }

    fn update(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let required: &[usize] = if self.with_unit {
            &[0, 1, 2, 3]
        } else {
            &[0, 1, 2]
        };
        let selection = selection(arguments, required, filter);
        let columns = self.columns(arguments)?;
        let ordered_at = Times::new(&arguments[0])?;
        let whole_day = arguments[2].data_type() == &DataType::Date32;
        let amounts = doubles(&arguments[1])?;
        for_each_row(selection.as_ref(), rows_of(arguments), |row| {
            let Some(id) = columns.observations.at(row) else {
                return Ok(());
            };
            let group = group_of(row);
            if hold(&mut self.groups[group], id) == Held::Differs {
                return Err(varying_argument(ClvSummary::NAME, "as_of and unit"));
            }
            let observed = self.observations.get(id);
            let amount = finite(ClvSummary::NAME, "amount", amounts.value(row))?;
            let day = columns.days.value(row);
            let in_time = if whole_day {
                day <= observed.day
            } else {
                ordered_at.at(row) <= observed.instant
            };
            if in_time {
                // `grow` has checked that groups fit.
                self.orders.push(group as u32, Order { day, amount });
            }
            Ok(())
        })
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        check_groups(ClvSummary::NAME, groups)?;
        if self.groups.len() < groups {
            self.groups.resize(groups, None);
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let instants = primitive::<Decimal128Type>(&states[0])?;
        let as_of_days = primitive::<Int32Type>(&states[1])?;
        let units = primitive::<UInt8Type>(&states[2])?;
        let listed = Listed::new(ClvSummary::NAME, &states[3..])?;
        let days = primitive::<Int32Type>(&listed.items[0])?;
        let amounts = doubles(&listed.items[1])?;
        for row in 0..rows_of(states) {
            let group = group_of(row);
            let known = instants.is_valid(row);
            let unit = Unit::numbered(units.value(row));
            if let Some(unit) = unit.filter(|_| known) {
                let id = self.observations.id(Observation {
                    instant: instants.value(row),
                    day: as_of_days.value(row),
                    unit,
                })?;
                if !hold_other(&mut self.groups[group], Some(id)) {
                    return Err(varying_argument(ClvSummary::NAME, "as_of and unit"));
                }
            }
            for item in listed.of(row) {
                let (day, amount) = (days.value(item), amounts.value(item));
                self.orders.push(group as u32, Order { day, amount });
            }
        }
        Ok(())
    }

    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>> {
        let (offsets, orders) = self.orders.by_member(emitted);
        let observed = || {
            let ids = self.groups[..emitted].iter();
            ids.map(|id| id.map(|id| self.observations.get(id)))
        };
        let instants = observed().map(|observed| observed.map(|observed| observed.instant));
        let instants = instants.collect::<Decimal128Array>();
        let as_of_days = observed().map(|observed| observed.map(|observed| observed.day));
        let units = observed().map(|observed| observed.map(|observed| observed.unit as u8));
        let days = Int32Array::from_iter_values(orders.iter().map(|order| order.day));
        let amounts = Float64Array::from_iter_values(orders.iter().map(|order| order.amount));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(instants.with_data_type(INSTANT)),
            Arc::new(as_of_days.collect::<Int32Array>()),
            Arc::new(units.collect::<UInt8Array>()),
        ];
        let items: Vec<ArrayRef> = vec![Arc::new(days), Arc::new(amounts)];
        columns.extend(lists(ClvSummary::NAME, &offsets, items)?);
        Ok(columns)
    }

    fn finish(&self, emitted: usize) -> Result<ArrayRef> {
        let (offsets, mut orders) = self.orders.by_member(emitted);
        let mut summaries = Summaries::default();
        for (group, bounds) in offsets.windows(2).enumerate() {
            let observed = self.groups[group].map(|id| self.observations.get(id));
            let history = observed.and_then(|observed| {
                history(&mut orders[bounds[0]..bounds[1]], observed.day)
                    .map(|history| (history, observed.unit.days()))
            });
            let Some((history, days)) = history else {
                summaries.push(None);
                continue;
            };
            finite(ClvSummary::NAME, "the sum of amount", history.monetary)?;
            summaries.push(Some((
                history.frequency,
                history.recency / days,
                history.t / days,
                history.monetary,
            )));
        }
        Ok(summaries.finish())
    }

    fn discard(&mut self, emitted: usize) -> Result<()> {
        if emitted >= self.groups.len() {
            self.groups = Vec::new();
            self.orders = Orders::default();
            return Ok(());
        }
        self.groups.drain(..emitted);
        self.orders
            .renumber(|group| group.checked_sub(emitted as u32));
        Ok(())
    }

    fn heap_size(&self) -> usize {
        self.groups.capacity() * size_of::<Option<ConstantId>>()
            + self.orders.heap_size()
            + self.observations.heap_size()
    }
}

/// Whether all rows have the same text, as far as that can be seen without reading long ones.
fn one_short_text(texts: &StringViewArray) -> bool {
    const INLINE_BYTES: u32 = 12;
    texts.null_count() == 0
        && all_equal(texts.views())
        && texts
            .views()
            .first()
            .is_some_and(|view| *view as u32 <= INLINE_BYTES)
}

/// Builds the result column.
#[derive(Default)]
struct Summaries {
    frequency: Vec<i64>,
    recency: Vec<f64>,
    t: Vec<f64>,
    monetary: Vec<f64>,
    valid: Vec<bool>,
}

impl Summaries {
    fn push(&mut self, summary: Option<(i64, f64, f64, f64)>) {
        let (frequency, recency, t, monetary) = summary.unwrap_or_default();
        self.frequency.push(frequency);
        self.recency.push(recency);
        self.t.push(t);
        self.monetary.push(monetary);
        self.valid.push(summary.is_some());
    }

    fn finish(self) -> ArrayRef {
        // The fields of a NULL are NULL too, for readers that look at the fields alone.
        let nulls = Some(NullBuffer::from(self.valid));
        let double = |values: Vec<f64>| -> ArrayRef {
            Arc::new(Float64Array::new(values.into(), nulls.clone()))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::new(self.frequency.into(), nulls.clone())),
            double(self.recency),
            double(self.t),
            double(self.monetary),
        ];
        Arc::new(StructArray::new(summary_fields(), columns, nulls))
    }
}
