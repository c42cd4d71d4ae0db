//! How often a customer is expected to buy in a time to come.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::{doubles, finite, number, wrong_arity};
use crate::lifetime::customer::not_negative;
use crate::lifetime::model::Forecast;
use crate::lifetime::prediction::{Customers, coerce_model_and_customer};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `expected_purchases`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Expected number of purchases of a customer within horizon from the end of observation, with the chance of having left counted in. NULL if an argument is NULL or if the fit did not converge. A frequency that is no whole number, negative values, recency above t, recency other than 0 with frequency 0, NaN and infinity are errors. Source: Fader, Hardie and Lee 2005, equation 10, and the like for the other models; evaluated as a sum of positive terms, which has no hole at a = 1.",
    syntax_example = "expected_purchases(model, summary, horizon)",
    alternative_syntax = "expected_purchases(model, frequency, recency, t, horizon)",
    sql_example = r"```sql
> SELECT CAST(expected_purchases(bgnbd(0.243, 4.414, 0.793, 2.426), 2, 30.43, 38.86, 39) AS DECIMAL(8, 4)) AS purchases;
+-----------+
| purchases |
+-----------+
| 1.2260    |
+-----------+
```",
    argument(
        name = "model",
        description = "A purchase model: bgnbd, mbgnbd or pareto_nbd, fitted or made of parameters."
    ),
    argument(
        name = "summary",
        description = "Result of clv_summary, in place of frequency, recency and t."
    ),
    argument(name = "frequency", description = "Purchases after the first."),
    argument(
        name = "recency",
        description = "Time from the first purchase to the last, in the unit of the model."
    ),
    argument(
        name = "t",
        description = "Time from the first purchase to the end of observation, in the same unit."
    ),
    argument(
        name = "horizon",
        description = "Time from the end of observation, in the unit of the model."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ExpectedPurchases;

export_scalar!(
    ExpectedPurchases,
    expected_purchases,
    expected_purchases_udf
);

const FORMS: &str = "expected_purchases(model, summary, horizon) or expected_purchases(model, frequency, recency, t, \
     horizon)";

impl ScalarDefinition for ExpectedPurchases {
    const NAME: &'static str = "expected_purchases";
    const PARAMETERS: &'static [&'static str] = &["model", "frequency", "recency", "t", "horizon"];
    const ONE_ROW: usize = 1;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [model, customer @ .., horizon] if matches!(customer.len(), 1 | 3) => {
                let mut coerced = coerce_model_and_customer(Self::NAME, model, customer)?;
                coerced.push(number(Self::NAME, "horizon", horizon)?);
                Ok(coerced)
            }
            _ => wrong_arity(Self::NAME, FORMS, types.len()),
        }
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let last = arguments.len() - 1;
        let customers = Customers::new(Self::NAME, arguments, last - 1)?;
        let horizons = doubles(&arguments[last])?;
        let mut forecast = Forecast::default();
        let expected = |row: usize| {
            let (Some((model, customer)), true) = (customers.at(row)?, horizons.is_valid(row))
            else {
                return Ok(None);
            };
            let horizon = not_negative(Self::NAME, "horizon", horizons.value(row))?;
            forecast.of(&model, &customer);
            finite(Self::NAME, "the result", forecast.within(horizon)).map(Some)
        };
        let rows = 0..rows_of(&arguments[Self::ONE_ROW..]);
        Ok(Arc::new(
            rows.map(expected).collect::<Result<Float64Array>>()?,
        ))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
