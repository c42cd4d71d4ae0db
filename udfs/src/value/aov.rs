//! Average order value: what an order is worth.
//!
//! `Σ amount / orders`, in the currency of the amounts. Each row is an order; with an order id,
//! rows are lines of orders. DECIMAL amounts give a DECIMAL with four more digits, as `avg` does;
//! other amounts give DOUBLE. Rows with NULL are skipped, no orders give NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, Metric, MetricForm, export_aggregate};
use crate::arguments::{amount, primitive, wrong_arity};
use crate::distinct::{Distinct, KeyArgument};
use crate::keys::key_type;
use crate::money::{Amount, ExactAmount, FloatAmount, mean_type};
use crate::value::per_distinct::PerDistinct;

/// The aggregate `aov`.
#[user_doc(
    doc_section(label = "Value"),
    description = "Average order value in the currency of amount. Each row is an order; with order_id, rows are lines and amounts are divided by the number of distinct orders. DECIMAL amounts are summed exactly and give DECIMAL with four more digits, rounded half away from zero; other amounts give DOUBLE. Refunds are summed as they are. Rows with NULL are skipped; without orders the result is NULL. NaN and infinity are errors. Source: revenue divided by orders.",
    syntax_example = "aov(amount)",
    alternative_syntax = "aov(amount, order_id)",
    sql_example = r"```sql
> SELECT aov(amount) AS per_line, aov(amount, id) AS per_order FROM (VALUES (10.0, 1), (20.0, 1), (60.0, 2)) AS lines(amount, id);
+----------+-----------+
| per_line | per_order |
+----------+-----------+
| 30.0     | 45.0      |
+----------+-----------+
```",
    argument(
        name = "amount",
        description = "Value of an order or of a line, any number."
    ),
    argument(
        name = "order_id",
        description = "Which order the line belongs to, any type."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Aov;

export_aggregate!(Aov, aov, aov_udaf);

const FORMS: &str = "aov(amount) or aov(amount, order_id)";

impl Definition for Aov {
    const NAME: &'static str = "aov";
    const PARAMETERS: &'static [&'static str] = &["amount", "order_id"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [given] => Ok(vec![amount(Self::NAME, "amount", given)?]),
            [given, order] => Ok(vec![
                amount(Self::NAME, "amount", given)?,
                key_type(Self::NAME, "order_id", order)?,
            ]),
            _ => wrong_arity(Self::NAME, FORMS, types.len()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().map_or(DataType::Float64, mean_type))
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let function = Self::NAME;
        match types.first() {
            Some(DataType::Float64) => form(FloatAmount { function }, types),
            Some(exact) => form(ExactAmount::new(function, exact), types),
            None => wrong_arity(function, FORMS, 0),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn form<A: Amount>(amount: A, types: &[DataType]) -> Result<Box<dyn Form>> {
    let Some(order) = types.get(1) else {
        return Ok(Box::new(MetricForm(Mean { amount })));
    };
    let order = KeyArgument {
        position: 1,
        name: "order_id",
        data_type: order.clone(),
    };
    Ok(Box::new(Distinct::new(PerDistinct::mean(
        Aov::NAME,
        amount,
        order,
    ))?))
}

/// `aov(amount)`.
#[derive(Debug, Clone)]
struct Mean<A> {
    amount: A,
}

/// What orders were worth, and how many there were.
#[derive(Debug, Clone, Copy, Default)]
struct Orders<S> {
    sum: S,
    orders: i64,
}

impl<A: Amount> Metric for Mean<A> {
    type State = Orders<A::Sum>;
    type Columns<'a> = A::Column<'a>;

    fn required(&self) -> &'static [usize] {
        &[0]
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<A::Column<'a>> {
        self.amount.column(&arguments[0])
    }

    #[inline]
    fn add(&self, state: &mut Self::State, amounts: &A::Column<'_>, row: usize) -> Result<()> {
        state.orders += 1;
        self.amount.add(&mut state.sum, amounts, row)
    }

    fn remove(&self, state: &mut Self::State, amounts: &A::Column<'_>, row: usize) -> Result<()> {
        state.orders -= 1;
        self.amount.subtract(&mut state.sum, amounts, row)?;
        if state.orders == 0 {
            state.sum = A::Sum::default();
        }
        Ok(())
    }

    fn add_all(&self, state: &mut Self::State, amounts: &A::Column<'_>, rows: usize) -> Result<()> {
        state.orders += rows as i64;
        self.amount.add_all(&mut state.sum, amounts, rows)
    }

    const ADDS_GROUPS: bool = true;

    fn add_groups(
        &self,
        states: &mut [Self::State],
        amounts: &A::Column<'_>,
        groups: &[usize],
    ) -> Result<bool> {
        let Some(found) = self.amount.of_groups(amounts, groups, states.len()) else {
            return Ok(false);
        };
        for (state, (sum, orders)) in states.iter_mut().zip(found) {
            self.merge(state, &Orders { sum, orders })?;
        }
        Ok(true)
    }

    fn merge(&self, state: &mut Self::State, other: &Self::State) -> Result<()> {
        state.orders += other.orders;
        self.amount.merge(&mut state.sum, other.sum)
    }

    fn finish(&self, states: &[Self::State]) -> Result<ArrayRef> {
        let sums: Vec<_> = states.iter().map(|state| state.sum).collect();
        let orders: Vec<_> = states.iter().map(|state| state.orders).collect();
        self.amount.mean(&sums, &orders)
    }

    fn state_fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new("orders", DataType::Int64, true)];
        fields.extend(self.amount.fields());
        fields
    }

    fn write(&self, states: &[Self::State]) -> Vec<ArrayRef> {
        let orders = Int64Array::from_iter_values(states.iter().map(|state| state.orders));
        let sums: Vec<_> = states.iter().map(|state| state.sum).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(orders)];
        columns.extend(self.amount.write(&sums));
        columns
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<Self::State>> {
        let orders = primitive::<Int64Type>(&columns[0])?.values().iter();
        let sums = self.amount.read(&columns[1..])?;
        let state = |(orders, sum): (&i64, A::Sum)| Orders {
            sum,
            orders: *orders,
        };
        Ok(orders.zip(sums).map(state).collect())
    }
}
