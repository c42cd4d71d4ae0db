//! Customer lifetime value by the textbook product of four averages.
//!
//! `aov · frequency · lifespan · margin`, in the currency of the first; frequency and lifespan in
//! the same unit of time. NULL if any argument is NULL. Source: feverbee.com (70 · 3 · 3 · 0.3).

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

/// The scalar function `clv_simple`.
#[user_doc(
    doc_section(label = "Value"),
    description = "Customer lifetime value by multiplication, in the currency of aov: aov x frequency x lifespan x margin, where frequency is per unit of time and lifespan is in that unit. NULL if an argument is NULL. Negative values, NaN and infinity are errors. Source: textbook formula; feverbee.com gives 70 x 3 x 3 x 0.3 = 189.",
    syntax_example = "clv_simple(aov, frequency, lifespan)",
    alternative_syntax = "clv_simple(aov, frequency, lifespan, margin)",
    sql_example = r"```sql
> SELECT clv_simple(70, 3, 3) AS revenue, clv_simple(70, 3, 3, margin => 0.3) AS profit;
+---------+--------+
| revenue | profit |
+---------+--------+
| 630.0   | 189.0  |
+---------+--------+
```",
    argument(name = "aov", description = "Average order value."),
    argument(name = "frequency", description = "Orders per unit of time."),
    argument(name = "lifespan", description = "Units of time a customer stays."),
    argument(
        name = "margin",
        description = "Share of the amount that is kept, default 1."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClvSimple;

export_scalar!(ClvSimple, clv_simple, clv_simple_udf);

impl ScalarDefinition for ClvSimple {
    const NAME: &'static str = "clv_simple";
    const PARAMETERS: &'static [&'static str] = &["aov", "frequency", "lifespan", "margin"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 3 | 4) {
            let forms = "clv_simple(aov, frequency, lifespan) or \
                         clv_simple(aov, frequency, lifespan, margin)";
            return wrong_arity(Self::NAME, forms, types.len());
        }
        let names = Self::PARAMETERS.iter();
        names
            .zip(types)
            .map(|(name, given)| number(Self::NAME, name, given))
            .collect()
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let nulls = NullBuffer::union_many(arguments.iter().map(Array::nulls));
        let factors = arguments.iter().map(doubles).collect::<Result<Vec<_>>>()?;
        let mut products = vec![1.0; arguments[0].len()];
        if nulls.is_none() && multiplied(&factors, &mut products) {
            return Ok(Arc::new(Float64Array::new(products.into(), None)));
        }
        products.fill(1.0);
        for_each_row(nulls.as_ref(), products.len(), |row| {
            for (factor, name) in factors.iter().zip(Self::PARAMETERS) {
                products[row] *= not_negative(name, factor.value(row))?;
            }
            finite(Self::NAME, "the result", products[row])?;
            Ok(())
        })?;
        Ok(Arc::new(Float64Array::new(products.into(), nulls)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Multiplies whole columns, which takes vector instructions; false if a row has to be refused.
fn multiplied(factors: &[&Float64Array], products: &mut [f64]) -> bool {
    let mut good = true;
    for factor in factors {
        for (product, value) in products.iter_mut().zip(factor.values()) {
            good &= *value >= 0.0;
            *product *= value;
        }
    }
    // Infinity, and what NaN makes of a product, is no less than the largest number.
    good && products.iter().all(|product| *product <= f64::MAX)
}

fn not_negative(argument: &str, value: f64) -> Result<f64> {
    let value = finite(ClvSimple::NAME, argument, value)?;
    if value >= 0.0 {
        return Ok(value);
    }
    Err(invalid_value(
        ClvSimple::NAME,
        format!("{argument} {value} is negative; filter it or correct it"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_worth_nothing_but_less_than_nothing_is_an_error() {
        assert_eq!(not_negative("aov", 0.0).unwrap(), 0.0);
        assert!(not_negative("aov", -0.5).is_err());
        assert!(not_negative("aov", f64::INFINITY).is_err());
    }
}
