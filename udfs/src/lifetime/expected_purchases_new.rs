//! How often a new customer is expected to buy again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::{doubles, finite, number, wrong_arity};
use crate::lifetime::customer::{Customer, not_negative};
use crate::lifetime::model::{Forecast, Kind, Models, model_type};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `expected_purchases_new`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Expected number of repeat purchases of a customer within horizon from the first purchase. NULL if an argument is NULL or if the fit did not converge. A negative horizon, NaN and infinity are errors. Source: Fader, Hardie and Lee 2005, equation 9, and the like for the other models.",
    syntax_example = "expected_purchases_new(model, horizon)",
    sql_example = r"```sql
> SELECT CAST(expected_purchases_new(bgnbd(0.243, 4.414, 0.793, 2.426), 32) AS DECIMAL(8, 4)) AS purchases;
+-----------+
| purchases |
+-----------+
| 1.0452    |
+-----------+
```",
    argument(
        name = "model",
        description = "A purchase model: bgnbd, mbgnbd or pareto_nbd, fitted or made of parameters."
    ),
    argument(
        name = "horizon",
        description = "Time from the first purchase, in the unit of the model."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ExpectedPurchasesNew;

export_scalar!(
    ExpectedPurchasesNew,
    expected_purchases_new,
    expected_purchases_new_udf
);

const FORMS: &str = "expected_purchases_new(model, horizon)";

impl ScalarDefinition for ExpectedPurchasesNew {
    const NAME: &'static str = "expected_purchases_new";
    const PARAMETERS: &'static [&'static str] = &["model", "horizon"];
    const ONE_ROW: usize = 1;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [model, horizon] = types else {
            return wrong_arity(Self::NAME, FORMS, types.len());
        };
        Ok(vec![
            model_type(Self::NAME, "model", Kind::PURCHASE, model)?,
            number(Self::NAME, "horizon", horizon)?,
        ])
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let models = Models::new(Self::NAME, "model", Kind::PURCHASE, &arguments[0])?;
        let horizons = doubles(&arguments[1])?;
        let mut forecast = Forecast::default();
        let expected = |row: usize| {
            let (Some(model), true) = (models.purchase(row)?, horizons.is_valid(row)) else {
                return Ok(None);
            };
            let horizon = not_negative(Self::NAME, "horizon", horizons.value(row))?;
            forecast.of(&model, &Customer::NEW);
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
