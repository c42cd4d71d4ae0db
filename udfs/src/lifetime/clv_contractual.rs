//! Customer lifetime value under contract, by the margin multiple.
//!
//! `margin · r / (1 + d − r)`: a margin per period, kept with probability r each period and
//! discounted at d, the first retained margin one period ahead. NULL if any argument is NULL.
//! Source: Gupta and Lehmann 2005, "Managing Customers as Investments".

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::for_each_row;
use crate::arguments::{doubles, finite, invalid_value, number, wrong_arity};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `clv_contractual`.
#[user_doc(
    doc_section(label = "Value"),
    description = "Value of a customer under contract, in the currency of margin: margin x retention / (1 + discount - retention), where margin is earned per period, retention is the share kept each period and discount is per period. The first retained margin comes one period ahead; if the first margin is received now, use margin x (1 + discount) / (1 + discount - retention). NULL if an argument is NULL. Retention outside 0..1, a negative discount, NaN and infinity are errors, and so is retention 1 without discount, whose value is infinite. Source: margin multiple, Gupta and Lehmann 2005.",
    syntax_example = "clv_contractual(margin, retention, discount)",
    sql_example = r"```sql
> SELECT clv_contractual(100, 0.5, 0.5) AS value, clv_contractual(100, retention => 0.75, discount => 0) AS undiscounted;
+-------+--------------+
| value | undiscounted |
+-------+--------------+
| 50.0  | 300.0        |
+-------+--------------+
```",
    argument(name = "margin", description = "Profit per period of a customer."),
    argument(
        name = "retention",
        description = "Share of customers kept from one period to the next, 0 to 1."
    ),
    argument(name = "discount", description = "Discount per period, 0.1 for 10 %.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClvContractual;

export_scalar!(ClvContractual, clv_contractual, clv_contractual_udf);

impl ScalarDefinition for ClvContractual {
    const NAME: &'static str = "clv_contractual";
    const PARAMETERS: &'static [&'static str] = &["margin", "retention", "discount"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != Self::PARAMETERS.len() {
            let form = "clv_contractual(margin, retention, discount)";
            return wrong_arity(Self::NAME, form, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| number(Self::NAME, name, given))
            .collect()
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let nulls = NullBuffer::union_many(arguments.iter().map(Array::nulls));
        let [margins, retentions, discounts] = [
            doubles(&arguments[0])?,
            doubles(&arguments[1])?,
            doubles(&arguments[2])?,
        ];
        let mut values = vec![0.0; margins.len()];
        let columns = [margins, retentions, discounts].map(|column| column.values().as_ref());
        if nulls.is_none() && fill(&mut values, columns) {
            return Ok(Arc::new(Float64Array::new(values.into(), None)));
        }
        for_each_row(nulls.as_ref(), values.len(), |row| {
            values[row] = value(
                margins.value(row),
                retentions.value(row),
                discounts.value(row),
            )?;
            Ok(())
        })?;
        Ok(Arc::new(Float64Array::new(values.into(), nulls)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The values of whole columns, which takes vector instructions; false if a row has to be refused.
fn fill(values: &mut [f64], [margins, retentions, discounts]: [&[f64]; 3]) -> bool {
    let mut refused = 0;
    let rows = values
        .iter_mut()
        .zip(margins)
        .zip(retentions.iter().zip(discounts));
    for ((value, margin), (retention, discount)) in rows {
        let lost = lost(*retention, *discount);
        *value = margin * retention / lost;
        // What NaN and infinity make of a value is no less than the largest number.
        let good = (0.0..=1.0).contains(retention)
            && (0.0..=f64::MAX).contains(discount)
            && lost != 0.0
            && value.abs() <= f64::MAX;
        refused += u64::from(!good);
    }
    refused == 0
}

/// What is lost per period. Not 1 + d − r, which loses the digits of a small discount.
#[inline]
fn lost(retention: f64, discount: f64) -> f64 {
    (1.0 - retention) + discount
}

fn value(margin: f64, retention: f64, discount: f64) -> Result<f64> {
    const NAME: &str = ClvContractual::NAME;
    let margin = finite(NAME, "margin", margin)?;
    let retention = finite(NAME, "retention", retention)?;
    let discount = finite(NAME, "discount", discount)?;
    if !(0.0..=1.0).contains(&retention) {
        return Err(invalid_value(
            NAME,
            format!(
                "retention {retention} is outside [0,1]; pass the share of customers kept per \
                 period, for example 0.8 for 80 %"
            ),
        ));
    }
    if discount < 0.0 {
        return Err(invalid_value(
            NAME,
            format!(
                "discount {discount} is negative; pass the discount per period, for example 0.1 \
                 for 10 %"
            ),
        ));
    }
    let lost = lost(retention, discount);
    if lost == 0.0 {
        return Err(invalid_value(
            NAME,
            "retention 1 with discount 0 makes the value infinite; pass a discount above 0",
        ));
    }
    finite(NAME, "the result", margin * retention / lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_kept_is_worth_nothing_and_everybody_kept_needs_a_discount() {
        assert_eq!(value(10.0, 0.0, 0.1).unwrap(), 0.0);
        assert!((value(10.0, 1.0, 0.1).unwrap() - 100.0).abs() < 1e-9);
        assert!(value(10.0, 1.0, 0.0).is_err());
    }

    #[test]
    fn whole_columns_are_refused_where_a_row_is() {
        let filled = |margin: f64, retention: f64, discount: f64| {
            let mut values = [0.0; 2];
            let columns = [[5.0, margin], [0.5, retention], [0.1, discount]];
            let good = fill(&mut values, columns.each_ref().map(<[f64; 2]>::as_slice));
            good.then_some(values[1])
        };
        for margin in [0.0, -3.0, 100.0, f64::MAX, f64::INFINITY, f64::NAN] {
            for retention in [0.0, 0.8, 1.0, 1.1, -0.1, f64::NAN] {
                for discount in [0.0, 0.1, -0.1, 5e-324, f64::INFINITY, f64::NAN] {
                    let expected = value(margin, retention, discount).ok();
                    assert_eq!(filled(margin, retention, discount), expected);
                }
            }
        }
    }

    #[test]
    fn a_loss_per_period_is_a_negative_value() {
        assert!((value(-1.0, 0.5, 0.5).unwrap() + 0.5).abs() < 1e-12);
    }
}
