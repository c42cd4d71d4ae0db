//! Customer lifetime value, on average: to date, or in a time to come.
//!
//! To date it is `Σ amount · margin / count(distinct customer)`, in the currency of the amounts;
//! margin is 1 if not given. With times and a horizon it is what models of purchases and spend,
//! fitted to the group, expect of its customers. Rows with NULL are skipped, no customers give
//! NULL. It is an aggregate, so that it can be taken per segment; the textbook product is
//! `clv_simple`.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::arguments::{amount, number, wrong_arity};
use crate::distinct::{Distinct, KeyArgument};
use crate::keys::key_type;
use crate::lifetime::clv_future::{clv_future_form, coerce_clv_future};
use crate::money::{Amount, ExactAmount, FloatAmount};
use crate::value::per_distinct::PerDistinct;

/// The aggregate `clv`.
#[user_doc(
    doc_section(label = "Value"),
    description = "Customer lifetime value in the currency of amount, DOUBLE. With customer_id and amount it is the value to date: the sum of amounts, times margin, divided by the number of distinct customers; DECIMAL and whole amounts are summed exactly. With ordered_at, horizon and unit it is the expected future value per customer, without what was spent so far: each customer's orders are summed up as of the last day of the group as in clv_summary, BG/NBD and Gamma-Gamma are fitted to the customers, and clv_predict is averaged. It is NULL if a model cannot be fitted, for example to a single customer. Rows with NULL are skipped; without customers the result is NULL. NaN, infinity, an unknown unit, a horizon outside 0..10000, a discount at or below -1, and customers whose repeat purchases are negative on average are errors. Source: historic CLV, revenue per customer times margin; Fader, Hardie and Lee 2005, Fader and Hardie, note 025.",
    syntax_example = "clv(customer_id, amount)",
    alternative_syntax = "clv(customer_id, amount, margin)",
    alternative_syntax = "clv(customer_id, ordered_at, amount, horizon, unit)",
    alternative_syntax = "clv(customer_id, ordered_at, amount, horizon, unit, discount)",
    alternative_syntax = "clv(customer_id, ordered_at, amount, horizon, unit, discount, margin)",
    sql_example = r"```sql
> SELECT clv(customer, amount) AS revenue, clv(customer, amount, 0.5) AS profit
  FROM (VALUES ('ann', 10.0), ('ann', 20.0), ('bob', 60.0)) AS orders(customer, amount);
+---------+--------+
| revenue | profit |
+---------+--------+
| 45.0    | 22.5   |
+---------+--------+
```",
    argument(
        name = "customer_id",
        description = "Who the order belongs to, any type."
    ),
    argument(name = "amount", description = "Value of the order, any number."),
    argument(
        name = "margin",
        description = "Share of the amount that is kept, default 1; the same in all rows of a group."
    ),
    argument(
        name = "ordered_at",
        description = "Day or time of the order. Orders of one day are one purchase."
    ),
    argument(
        name = "horizon",
        description = "Whole number of periods to come; the same in all rows of a group."
    ),
    argument(
        name = "unit",
        description = "Length of a period: 'day', 'week', 'month' or 'year'; the same in all rows of a group."
    ),
    argument(
        name = "discount",
        description = "Discount per period, default 0; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Clv;

export_aggregate!(Clv, clv, clv_udaf);

const FORMS: &str = "clv(customer_id, amount), clv(customer_id, amount, margin) or \
                     clv(customer_id, ordered_at, amount, horizon, unit [, discount [, margin]])";

impl Definition for Clv {
    const NAME: &'static str = "clv";
    /// The first three are those of the value to date. Those after them have the same place in the
    /// other form, so that `discount => 0.002` can be written there.
    const PARAMETERS: &'static [&'static str] = &[
        "customer_id",
        "amount",
        "margin",
        "horizon",
        "unit",
        "discount",
    ];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if matches!(types.len(), 5..=7) {
            return coerce_clv_future(types);
        }
        let ([customer, given] | [customer, given, _]) = types else {
            return wrong_arity(Self::NAME, FORMS, types.len());
        };
        let mut coerced = vec![
            key_type(Self::NAME, "customer_id", customer)?,
            amount(Self::NAME, "amount", given)?,
        ];
        if let Some(margin) = types.get(2) {
            coerced.push(number(Self::NAME, "margin", margin)?);
        }
        Ok(coerced)
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let function = Self::NAME;
        if types.len() > 3 {
            return clv_future_form(types);
        }
        match types.get(1) {
            Some(DataType::Float64) => form(FloatAmount { function }, types),
            Some(exact) => form(ExactAmount::new(function, exact), types),
            None => wrong_arity(function, FORMS, types.len()),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn form<A: Amount>(amount: A, types: &[DataType]) -> Result<Box<dyn Form>> {
    let customer = KeyArgument {
        position: 0,
        name: "customer_id",
        data_type: types[0].clone(),
    };
    let metric = PerDistinct::value(Clv::NAME, amount, customer, types.len() == 3);
    Ok(Box::new(Distinct::new(metric)?))
}
