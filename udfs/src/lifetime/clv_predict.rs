//! What a customer is expected to bring in a time to come.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::{doubles, finite, number, primitive, whole_number, wrong_arity};
use crate::lifetime::customer::{Customer, coerce_customer, customer_columns, not_negative};
use crate::lifetime::model::{Forecast, Kind, Models, model_type};
use crate::lifetime::prediction::{discount_rate, periods};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `clv_predict`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Expected value of a customer's purchases in the next horizon periods, in the currency of the spend model: margin x expected_spend x the expected purchases of each period, discounted from the period's end. It is future value only; what was spent so far is not in it. Periods and discount are in the unit of the model. NULL if an argument is NULL, if a fit did not converge, or if q is at most 1. A frequency that is no whole number, negative values, recency above t, recency other than 0 with frequency 0, a horizon outside 0..10000, a discount at or below -1, NaN and infinity are errors. Source: Fader and Hardie, note 025; the sum is that of lifetimes and PyMC-Marketing without their conversion to months.",
    syntax_example = "clv_predict(model, spend_model, summary, horizon)",
    alternative_syntax = "clv_predict(model, spend_model, summary, horizon, discount)",
    alternative_syntax = "clv_predict(model, spend_model, summary, horizon, discount, margin)",
    alternative_syntax = "clv_predict(model, spend_model, frequency, recency, t, monetary, horizon)",
    alternative_syntax = "clv_predict(model, spend_model, frequency, recency, t, monetary, horizon, discount)",
    alternative_syntax = "clv_predict(model, spend_model, frequency, recency, t, monetary, horizon, discount, margin)",
    sql_example = r"```sql
> SELECT CAST(clv_predict(bgnbd(0.243, 4.414, 0.793, 2.426), gamma_gamma(6.25, 3.74, 15.44), 2, 35.71, 38.86, 25.55, 39, 0.002) AS DECIMAL(8, 2)) AS value;
+-------+
| value |
+-------+
| 34.81 |
+-------+
```",
    argument(
        name = "model",
        description = "A purchase model: bgnbd, mbgnbd or pareto_nbd, fitted or made of parameters."
    ),
    argument(
        name = "spend_model",
        description = "A spend model: gamma_gamma, fitted or made of parameters."
    ),
    argument(name = "summary", description = "Result of clv_summary."),
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
        name = "monetary",
        description = "Mean spend of the purchases after the first."
    ),
    argument(
        name = "horizon",
        description = "Whole number of periods from the end of observation, in the unit of the model."
    ),
    argument(name = "discount", description = "Discount per period, default 0."),
    argument(
        name = "margin",
        description = "Share of the spend that is kept, default 1."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClvPredict;

export_scalar!(ClvPredict, clv_predict, clv_predict_udf);

const FORMS: &str = "clv_predict(model, spend_model, summary, horizon [, discount [, margin]]), or with frequency, \
     recency, t, monetary in place of summary";

impl ScalarDefinition for ClvPredict {
    const NAME: &'static str = "clv_predict";
    const PARAMETERS: &'static [&'static str] = &[
        "model",
        "spend_model",
        "summary",
        "horizon",
        "discount",
        "margin",
    ];
    const ONE_ROW: usize = 2;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let customer = match types.len() {
            4..=6 => 1,
            7..=9 => COLUMNS.len(),
            given => return wrong_arity(Self::NAME, FORMS, given),
        };
        let (models, rest) = types.split_at(2);
        let mut coerced = vec![
            model_type(Self::NAME, "model", Kind::PURCHASE, &models[0])?,
            model_type(Self::NAME, "spend_model", Kind::SPEND, &models[1])?,
        ];
        coerced.extend(coerce_customer(Self::NAME, COLUMNS, &rest[..customer])?);
        coerced.push(whole_number(Self::NAME, "horizon", &rest[customer])?);
        for (name, given) in ["discount", "margin"].iter().zip(&rest[customer + 1..]) {
            coerced.push(number(Self::NAME, name, given)?);
        }
        Ok(coerced)
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let customer = if arguments.len() <= 6 {
            1
        } else {
            COLUMNS.len()
        };
        let models = Models::new(Self::NAME, "model", Kind::PURCHASE, &arguments[0])?;
        let spends = Models::new(Self::NAME, "spend_model", Kind::SPEND, &arguments[1])?;
        let columns = customer_columns(COLUMNS, &arguments[2..2 + customer])?;
        let horizons = primitive::<Int64Type>(&arguments[2 + customer])?;
        let mut optional = arguments[3 + customer..].iter();
        let discounts = optional.next().map(doubles).transpose()?;
        let margins = optional.next().map(doubles).transpose()?;
        let nulls = arguments[2 + customer..].iter().map(Array::nulls);
        let nulls = NullBuffer::union_many(nulls.chain(columns.iter().map(Array::nulls)));
        let mut forecast = Forecast::default();
        let value = |row: usize| {
            let (model, spend) = (models.purchase(row)?, spends.spend(row)?);
            let known = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let (Some(model), Some(spend), true) = (model, spend, known) else {
                return Ok(None);
            };
            let numbers = [0, 1, 2, 3].map(|place| columns[place].value(row));
            let customer = Customer::checked(Self::NAME, numbers[0], numbers[1], numbers[2])?;
            let mean = not_negative(Self::NAME, "monetary", numbers[3])?;
            let horizon = periods(Self::NAME, horizons.value(row))?;
            let discount = discounts.map_or(0.0, |discounts| discounts.value(row));
            let discount = discount_rate(Self::NAME, discount)?;
            let margin = margins.map_or(1.0, |margins| margins.value(row));
            let margin = finite(Self::NAME, "margin", margin)?;
            let Some(spend) = spend.spend(customer.x, mean) else {
                return Ok(None);
            };
            forecast.of(&model, &customer);
            let value = margin * spend * forecast.discounted(horizon, discount);
            finite(Self::NAME, "the result", value).map(Some)
        };
        let rows = 0..rows_of(&arguments[Self::ONE_ROW..]);
        Ok(Arc::new(rows.map(value).collect::<Result<Float64Array>>()?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

const COLUMNS: &[&str] = &["frequency", "recency", "t", "monetary"];
