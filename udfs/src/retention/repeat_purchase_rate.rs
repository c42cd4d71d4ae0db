//! Repeat purchase rate: the share of customers with at least two orders.
//!
//! Without an order key every row is an order; with one, orders with the same key (an order id, or
//! the day) are one. A fraction from 0 to 1; rows with NULL are skipped, no customers give NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field};
use datafusion_common::Result;
use datafusion_common::cast::as_boolean_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::distinct::{
    Distinct, DistinctMetric, KeyArgument, Seen, coerce_customer_and_order, customer_and_order,
};

/// The aggregate `repeat_purchase_rate`.
#[user_doc(
    doc_section(label = "Retention"),
    description = "Share of customers with two or more orders, a fraction 0 to 1. Each row is an order; with order_key, rows of a customer with the same key are one order. Which orders count is what WHERE selects. Rows with NULL are skipped; without customers the result is NULL. Source: repeat customers divided by all customers.",
    syntax_example = "repeat_purchase_rate(customer_id)",
    alternative_syntax = "repeat_purchase_rate(customer_id, order_key)",
    sql_example = r"```sql
> SELECT repeat_purchase_rate(customer) AS by_row, repeat_purchase_rate(customer, day) AS by_day
  FROM (VALUES ('ann', 1), ('ann', 1), ('bob', 1), ('bob', 2), ('cid', 3), ('dan', 4)) AS orders(customer, day);
+--------+--------+
| by_row | by_day |
+--------+--------+
| 0.5    | 0.25   |
+--------+--------+
```",
    argument(
        name = "customer_id",
        description = "Who the order belongs to, any type."
    ),
    argument(
        name = "order_key",
        description = "What makes rows of a customer one order: an order id or a date."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RepeatPurchaseRate;

export_aggregate!(
    RepeatPurchaseRate,
    repeat_purchase_rate,
    repeat_purchase_rate_udaf
);

impl Definition for RepeatPurchaseRate {
    const NAME: &'static str = "repeat_purchase_rate";
    const PARAMETERS: &'static [&'static str] = &["customer_id", "order_key"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_customer_and_order(Self::NAME, types)
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let keys = customer_and_order(types);
        match types.len() {
            1 => Ok(Box::new(Distinct::new(RepeatRows { keys })?)),
            _ => Ok(Box::new(Distinct::new(RepeatOrders { keys })?)),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Customers, and those with a second order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Repeaters {
    customers: i64,
    repeaters: i64,
}

impl Repeaters {
    /// Counts a customer whose being a repeater changes from `before` to `after`.
    #[inline]
    fn count(&mut self, first: bool, before: bool, after: bool) {
        self.customers += i64::from(first);
        self.repeaters += i64::from(after && !before);
    }

    fn finish(&self) -> Option<f64> {
        (self.customers > 0).then(|| self.repeaters as f64 / self.customers as f64)
    }
}

fn finish(groups: &[Repeaters]) -> ArrayRef {
    Arc::new(
        groups
            .iter()
            .map(Repeaters::finish)
            .collect::<Float64Array>(),
    )
}

fn repeated_field() -> Field {
    Field::new("repeated", DataType::Boolean, true)
}

/// `repeat_purchase_rate(customer_id)`: a customer is marked when a second row appears.
#[derive(Debug, Clone)]
struct RepeatRows {
    keys: Vec<KeyArgument>,
}

impl DistinctMetric for RepeatRows {
    type Group = Repeaters;
    type Mark = bool;
    type Columns<'a> = ();
    type Row = ();

    fn function(&self) -> &'static str {
        RepeatPurchaseRate::NAME
    }

    fn keys(&self) -> &[KeyArgument] {
        &self.keys
    }

    fn required(&self) -> &'static [usize] {
        &[0]
    }

    fn columns(&mut self, _arguments: &[ArrayRef]) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn accept(&self, _group: &mut Repeaters, _columns: &(), _row: usize) -> Result<Option<()>> {
        Ok(Some(()))
    }

    #[inline]
    fn observe(&self, group: &mut Repeaters, repeated: &mut bool, seen: Seen, _row: ()) {
        self.merge_mark(group, repeated, seen, false);
    }

    fn merge_group(&self, _group: &mut Repeaters, _other: &Repeaters) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn merge_mark(&self, group: &mut Repeaters, repeated: &mut bool, seen: Seen, other: bool) {
        let before = *repeated;
        *repeated = before || other || !seen.first;
        group.count(seen.first, before, *repeated);
    }

    fn group_fields(&self) -> Vec<Field> {
        Vec::new()
    }

    fn write_groups(&self, _groups: &[Repeaters]) -> Vec<ArrayRef> {
        Vec::new()
    }

    fn read_groups(&mut self, _columns: &[ArrayRef], rows: usize) -> Result<Vec<Repeaters>> {
        Ok(vec![Repeaters::default(); rows])
    }

    fn mark_fields(&self) -> Vec<Field> {
        vec![repeated_field()]
    }

    fn write_marks(&self, marks: &[bool]) -> Vec<ArrayRef> {
        vec![Arc::new(BooleanArray::from(marks.to_vec()))]
    }

    fn read_marks(&self, columns: &[ArrayRef], _rows: usize) -> Result<Vec<bool>> {
        Ok(as_boolean_array(&columns[0])?.values().iter().collect())
    }

    fn finish(&self, groups: &[Repeaters]) -> Result<ArrayRef> {
        Ok(finish(groups))
    }
}

/// `repeat_purchase_rate(customer_id, order_key)`: one order is remembered per customer; another
/// one makes a repeater. That is all the question needs, so that the other orders are not kept.
#[derive(Debug, Clone)]
struct RepeatOrders {
    keys: Vec<KeyArgument>,
}

/// One of a customer's orders, and whether there was another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    one: u64,
    repeated: bool,
}

impl DistinctMetric for RepeatOrders {
    type Group = Repeaters;
    type Mark = Orders;
    type Columns<'a> = ();
    type Row = ();

    fn function(&self) -> &'static str {
        RepeatPurchaseRate::NAME
    }

    fn keys(&self) -> &[KeyArgument] {
        &self.keys
    }

    fn required(&self) -> &'static [usize] {
        &[0, 1]
    }

    fn columns(&mut self, _arguments: &[ArrayRef]) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn accept(&self, _group: &mut Repeaters, _columns: &(), _row: usize) -> Result<Option<()>> {
        Ok(Some(()))
    }

    #[inline]
    fn observe(&self, group: &mut Repeaters, orders: &mut Orders, seen: Seen, _row: ()) {
        self.merge_mark(group, orders, seen, Orders::default());
    }

    fn merge_group(&self, _group: &mut Repeaters, _other: &Repeaters) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn merge_mark(&self, group: &mut Repeaters, orders: &mut Orders, seen: Seen, other: Orders) {
        let before = orders.repeated;
        if seen.first {
            orders.one = seen.second;
        }
        orders.repeated = before || other.repeated || orders.one != seen.second;
        group.count(seen.first, before, orders.repeated);
    }

    fn group_fields(&self) -> Vec<Field> {
        Vec::new()
    }

    fn write_groups(&self, _groups: &[Repeaters]) -> Vec<ArrayRef> {
        Vec::new()
    }

    fn read_groups(&mut self, _columns: &[ArrayRef], rows: usize) -> Result<Vec<Repeaters>> {
        Ok(vec![Repeaters::default(); rows])
    }

    fn mark_fields(&self) -> Vec<Field> {
        vec![repeated_field()]
    }

    fn write_marks(&self, marks: &[Orders]) -> Vec<ArrayRef> {
        let repeated = marks.iter().map(|orders| orders.repeated);
        vec![Arc::new(BooleanArray::from(repeated.collect::<Vec<_>>()))]
    }

    fn read_marks(&self, columns: &[ArrayRef], _rows: usize) -> Result<Vec<Orders>> {
        let repeated = as_boolean_array(&columns[0])?.values().iter();
        Ok(repeated
            .map(|repeated| Orders { one: 0, repeated })
            .collect())
    }

    fn second(&self, orders: &Orders) -> u64 {
        orders.one
    }

    fn finish(&self, groups: &[Repeaters]) -> Result<ArrayRef> {
        Ok(finish(groups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(first: bool, order: u64) -> Seen {
        Seen {
            first,
            second: order,
        }
    }

    #[test]
    fn the_same_order_twice_is_no_repeat_purchase() {
        let metric = RepeatOrders { keys: Vec::new() };
        let (mut group, mut orders) = (Repeaters::default(), Orders::default());
        metric.observe(&mut group, &mut orders, seen(true, 7), ());
        metric.observe(&mut group, &mut orders, seen(false, 7), ());
        assert_eq!(group.finish(), Some(0.0));
        metric.observe(&mut group, &mut orders, seen(false, 8), ());
        metric.observe(&mut group, &mut orders, seen(false, 9), ());
        assert_eq!(
            group,
            Repeaters {
                customers: 1,
                repeaters: 1
            }
        );
    }

    #[test]
    fn a_second_row_makes_a_repeater_once() {
        let metric = RepeatRows { keys: Vec::new() };
        let (mut group, mut repeated) = (Repeaters::default(), false);
        for row in 0..3 {
            metric.observe(&mut group, &mut repeated, seen(row == 0, 0), ());
        }
        assert_eq!(
            group,
            Repeaters {
                customers: 1,
                repeaters: 1
            }
        );
    }

    #[test]
    fn no_customers_is_null() {
        assert_eq!(Repeaters::default().finish(), None);
    }
}
