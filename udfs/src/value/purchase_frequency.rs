//! Purchase frequency: orders per customer among the selected orders.
//!
//! Without an order key every row is an order; with one, rows of a customer with the same key (an
//! order id, or the day) are one. Not per year: divide by the length of the period selected. Rows
//! with NULL are skipped, no customers give NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::arguments::primitive;
use crate::distinct::{
    Distinct, DistinctMetric, KeyArgument, Seen, coerce_customer_and_order, customer_and_order,
};
use crate::value::keyed_orders::KeyedOrders;

/// The aggregate `purchase_frequency`.
#[user_doc(
    doc_section(label = "Value"),
    description = "Orders per customer among the selected orders, DOUBLE. Each row is an order; with order_key, rows of a customer with the same key are one order. It is not per year: divide by the length of the period that WHERE selects. Rows with NULL are skipped; without customers the result is NULL. Source: orders divided by distinct customers.",
    syntax_example = "purchase_frequency(customer_id)",
    alternative_syntax = "purchase_frequency(customer_id, order_key)",
    sql_example = r"```sql
> SELECT purchase_frequency(customer) AS by_row, purchase_frequency(customer, day) AS by_day
  FROM (VALUES ('ann', 1), ('ann', 1), ('ann', 2), ('bob', 1)) AS orders(customer, day);
+--------+--------+
| by_row | by_day |
+--------+--------+
| 2.0    | 1.5    |
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
pub(crate) struct PurchaseFrequency;

export_aggregate!(
    PurchaseFrequency,
    purchase_frequency,
    purchase_frequency_udaf
);

impl Definition for PurchaseFrequency {
    const NAME: &'static str = "purchase_frequency";
    const PARAMETERS: &'static [&'static str] = &["customer_id", "order_key"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_customer_and_order(Self::NAME, types)
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let keys = customer_and_order(types);
        match types.len() {
            1 => Ok(Box::new(Distinct::new(Frequency { keys })?)),
            _ => Ok(Box::new(KeyedOrders::new(Self::NAME, keys)?)),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Rows per customer.
#[derive(Debug, Clone)]
struct Frequency {
    keys: Vec<KeyArgument>,
}

/// Orders and the customers who made them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Purchases {
    pub(super) orders: i64,
    pub(super) customers: i64,
}

impl Purchases {
    pub(super) fn finish(&self) -> Option<f64> {
        (self.customers > 0).then(|| self.orders as f64 / self.customers as f64)
    }
}

impl DistinctMetric for Frequency {
    type Group = Purchases;
    type Mark = ();
    type Columns<'a> = ();
    type Row = ();

    fn function(&self) -> &'static str {
        PurchaseFrequency::NAME
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
    fn accept(&self, group: &mut Purchases, _columns: &(), _row: usize) -> Result<Option<()>> {
        group.orders += 1;
        Ok(Some(()))
    }

    #[inline]
    fn observe(&self, group: &mut Purchases, _mark: &mut (), seen: Seen, _row: ()) {
        group.customers += i64::from(seen.first);
    }

    fn merge_group(&self, group: &mut Purchases, other: &Purchases) -> Result<()> {
        group.orders += other.orders;
        Ok(())
    }

    fn merge_mark(&self, group: &mut Purchases, mark: &mut (), seen: Seen, _other: ()) {
        self.observe(group, mark, seen, ());
    }

    fn group_fields(&self) -> Vec<Field> {
        vec![Field::new("orders", DataType::Int64, true)]
    }

    fn write_groups(&self, groups: &[Purchases]) -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from_iter_values(
            groups.iter().map(|group| group.orders),
        ))]
    }

    fn read_groups(&mut self, columns: &[ArrayRef], _rows: usize) -> Result<Vec<Purchases>> {
        let orders = primitive::<Int64Type>(&columns[0])?.values().iter();
        let group = |orders: &i64| Purchases {
            orders: *orders,
            customers: 0,
        };
        Ok(orders.map(group).collect())
    }

    fn finish(&self, groups: &[Purchases]) -> Result<ArrayRef> {
        Ok(Arc::new(
            groups
                .iter()
                .map(Purchases::finish)
                .collect::<Float64Array>(),
        ))
    }
}
