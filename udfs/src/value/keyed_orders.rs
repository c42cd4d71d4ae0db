//! Orders with a key: rows of a customer with the same key are one. Which pairs of both have come is
//! all there is to remember; customers and their orders are counted at the end.

use std::mem::take;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::Field;
use datafusion_common::Result;

use crate::aggregate::{for_each_row, rows_of, selection};
use crate::distinct::KeyArgument;
use crate::entries::Entries;
use crate::groups::{Groups, check_groups, list_field, offsets_of};
use crate::keys::Keys;
use crate::lists::{Listed, lists};
use crate::record::numbers;
use crate::value::purchase_frequency::Purchases;

/// A group, and the halves of the keys of a customer and an order.
type Parts = [u32; 5];

fn parts(group: usize, customer: u64, order: u64) -> Parts {
    let [customer, order] = [customer, order].map(|key| [(key >> 32) as u32, key as u32]);
    [group as u32, customer[0], customer[1], order[0], order[1]]
}

fn key([high, low]: [u32; 2]) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Orders per customer, with a key of the order.
#[derive(Debug)]
pub(super) struct KeyedOrders {
    function: &'static str,
    arguments: Vec<KeyArgument>,
    keys: Vec<Keys>,
    groups: usize,
    orders: Entries<5>,
    /// Keys of the batch at hand, kept for their allocation.
    batch: [Vec<u64>; 2],
}

impl KeyedOrders {
    /// Of a customer and an order; refuses types that cannot be told apart.
    pub(super) fn new(function: &'static str, arguments: Vec<KeyArgument>) -> Result<Self> {
        let keys = arguments.iter();
        let keys = keys.map(|key| Keys::new(function, key.name, &key.data_type));
        Ok(Self {
            function,
            keys: keys.collect::<Result<_>>()?,
            arguments,
            groups: 0,
            orders: Entries::default(),
            batch: Default::default(),
        })
    }
}

impl Groups for KeyedOrders {
    fn empty(&self) -> Result<Self> {
        Self::new(self.function, self.arguments.clone())
    }

    fn fields(&self) -> Vec<Field> {
        let arguments = self.arguments.iter().zip(&self.keys);
        arguments
            .map(|(argument, keys)| list_field(argument.name, keys.data_type().clone()))
            .collect()
    }

    fn len(&self) -> usize {
        self.groups
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        check_groups(self.function, groups)?;
        self.groups = self.groups.max(groups);
        Ok(())
    }

    fn update(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let selection = selection(arguments, &[0, 1], filter);
        for ((keys, batch), array) in self.keys.iter_mut().zip(&mut self.batch).zip(arguments) {
            keys.read(array, selection.as_ref(), batch)?;
        }
        let [customers, orders] = &self.batch;
        for_each_row(selection.as_ref(), rows_of(arguments), |row| {
            let parts = parts(group_of(row), customers[row], orders[row]);
            self.orders.push(parts, 1);
            Ok(())
        })?;
        self.orders.settle();
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let listed = Listed::new(self.function, states)?;
        let batches = self.keys.iter_mut().zip(&mut self.batch);
        for ((keys, batch), items) in batches.zip(&listed.items) {
            keys.read(items, None, batch)?;
        }
        let [customers, orders] = &self.batch;
        for row in 0..rows_of(states) {
            let group = group_of(row);
            for item in listed.of(row) {
                self.orders
                    .push(parts(group, customers[item], orders[item]), 1);
            }
        }
        self.orders.settle();
        Ok(())
    }

    fn finish(&self, emitted: usize) -> Result<ArrayRef> {
        let mut purchases = vec![Purchases::default(); emitted];
        let sorted = self.orders.sorted(emitted);
        let mut before = None;
        for order in sorted.iter() {
            let group = &mut purchases[order.group()];
            let customer = Some([order.parts[0], order.parts[1], order.parts[2]]);
            group.orders += 1;
            group.customers += i64::from(customer != before);
            before = customer;
        }
        Ok(numbers(purchases.iter().map(Purchases::finish)))
    }

    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>> {
        let sorted = self.orders.sorted(emitted);
        let (mut customers, mut orders) = (Vec::new(), Vec::new());
        let listed = sorted.iter().inspect(|order| {
            let [_, customer @ .., high, low] = order.parts;
            customers.push(key(customer));
            orders.push(key([high, low]));
        });
        let offsets = offsets_of(emitted, listed.map(|order| order.group()));
        let items = vec![
            self.keys[0].values(&customers)?,
            self.keys[1].values(&orders)?,
        ];
        lists(self.function, &offsets, items)
    }

    fn discard(&mut self, emitted: usize) -> Result<()> {
        self.groups = self.groups.saturating_sub(emitted);
        self.orders.discard(emitted);
        let orders = self.orders.len();
        if self.keys.iter().any(|keys| keys.are_stale(orders)) {
            let state = self.write(self.groups)?;
            take(&mut self.orders);
            self.keys.iter_mut().for_each(Keys::clear);
            self.merge(&state, |row| row)?;
        }
        Ok(())
    }

    fn heap_size(&self) -> usize {
        let batch = self.batch.iter().map(Vec::capacity).sum::<usize>() * size_of::<u64>();
        let keys = self.keys.iter().map(Keys::heap_size).sum::<usize>();
        // What sorting will need is asked for before it is needed.
        self.orders.heap_size() + self.orders.sort_bytes() + batch + keys
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Float64Type};

    use super::*;
    use crate::keys::NUMBERS_KEPT;

    fn orders() -> KeyedOrders {
        let argument = |position, name, data_type| KeyArgument {
            position,
            name,
            data_type,
        };
        let arguments = vec![
            argument(0, "customer_id", DataType::Utf8View),
            argument(1, "order_key", DataType::Int64),
        ];
        KeyedOrders::new("f", arguments).unwrap()
    }

    fn batch(customers: Vec<&str>, orders: Vec<i64>) -> [ArrayRef; 2] {
        let customers = StringViewArray::from(customers);
        [Arc::new(customers), Arc::new(Int64Array::from(orders))]
    }

    #[test]
    fn an_order_in_two_lines_is_one_order() {
        let mut table = orders();
        table.grow(1).unwrap();
        let lines = batch(vec!["ann", "ann", "ann", "bob"], vec![1, 1, -2, 1]);
        table.update(&lines, |_| 0, None).unwrap();
        let result = table.finish(1).unwrap();
        assert_eq!(result.as_primitive::<Float64Type>().value(0), 1.5);
    }

    #[test]
    fn customers_of_groups_that_have_gone_are_forgotten() {
        let mut table = orders();
        table.grow(2).unwrap();
        let names: Vec<_> = (0..NUMBERS_KEPT + 10).map(|n| format!("c{n}")).collect();
        let customers: Vec<_> = names.iter().map(String::as_str).collect();
        let lines = batch(customers, vec![7; names.len()]);
        table
            .update(&lines, |row| usize::from(row < 2), None)
            .unwrap();
        let size = table.heap_size();
        table.discard(1).unwrap();
        assert!(table.heap_size() < size / 2, "{}", table.heap_size());
        let lines = batch(vec!["c0", "c1"], vec![7, 8]);
        table.update(&lines, |_| 0, None).unwrap();
        let result = table.finish(1).unwrap();
        assert_eq!(result.as_primitive::<Float64Type>().value(0), 1.5);
    }
}
