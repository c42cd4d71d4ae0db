//! Customer lifetime value to date: what a customer has brought so far, on average.
//!
//! `Σ amount · margin / count(distinct customer)`, in the currency of the amounts; margin is 1 if
//! not given. Rows with NULL are skipped, no customers give NULL. It is an aggregate, so that it
//! can be taken per segment; the textbook product is `clv_simple`.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::arguments::{amount, number, wrong_arity};
use crate::distinct::{DistinctForm, KeyArgument};
use crate::keys::key_type;
use crate::money::{Amount, ExactAmount, FloatAmount};
use crate::value::per_distinct::PerDistinct;

/// The aggregate `clv`.
#[user_doc(
    doc_section(label = "Value"),
    description = "Customer lifetime value to date in the currency of amount, DOUBLE: the sum of amounts, times margin, divided by the number of distinct customers. DECIMAL and whole amounts are summed exactly. Rows with NULL are skipped; without customers the result is NULL. NaN and infinity are errors. Source: historic CLV, revenue per customer times margin.",
    syntax_example = "clv(customer_id, amount)",
    alternative_syntax = "clv(customer_id, amount, margin)",
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
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Clv;

export_aggregate!(Clv, clv, clv_udaf);

const FORMS: &str = "clv(customer_id, amount) or clv(customer_id, amount, margin)";

impl Definition for Clv {
    const NAME: &'static str = "clv";
    const PARAMETERS: &'static [&'static str] = &["customer_id", "amount", "margin"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
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
    Ok(Box::new(DistinctForm::new(metric)?))
}
