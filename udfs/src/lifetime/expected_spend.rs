//! What a customer is expected to spend per purchase.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::{finite, wrong_arity};
use crate::lifetime::customer::{coerce_customer, customer_columns, not_negative, purchases};
use crate::lifetime::model::{Kind, Models, model_type};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `expected_spend`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Expected spend per purchase of a customer, in the currency of the model: between the customer's own mean and that of all, nearer to the own mean the more purchases there were. Customers without repeat purchases get the mean of all. NULL if an argument is NULL, if the fit did not converge, or if q is at most 1, where the mean of all is infinite. A frequency that is no whole number or negative, a negative monetary, NaN and infinity are errors. Source: Fader and Hardie 2013, note 025 (brucehardie.com).",
    syntax_example = "expected_spend(spend_model, frequency, monetary)",
    alternative_syntax = "expected_spend(spend_model, summary)",
    sql_example = r"```sql
> SELECT CAST(expected_spend(gamma_gamma(6.25, 3.74, 15.44), 2, 22.35) AS DECIMAL(8, 2)) AS known,
         CAST(expected_spend(gamma_gamma(6.25, 3.74, 15.44), 0, 0) AS DECIMAL(8, 2)) AS of_all;
+-------+--------+
| known | of_all |
+-------+--------+
| 24.66 | 35.22  |
+-------+--------+
```",
    argument(
        name = "spend_model",
        description = "A spend model: gamma_gamma, fitted or made of parameters."
    ),
    argument(name = "frequency", description = "Purchases after the first."),
    argument(name = "monetary", description = "Mean spend of these purchases."),
    argument(
        name = "summary",
        description = "Result of clv_summary, in place of frequency and monetary."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ExpectedSpend;

export_scalar!(ExpectedSpend, expected_spend, expected_spend_udf);

const FORMS: &str =
    "expected_spend(spend_model, frequency, monetary) or expected_spend(spend_model, summary)";

impl ScalarDefinition for ExpectedSpend {
    const NAME: &'static str = "expected_spend";
    const PARAMETERS: &'static [&'static str] = &["spend_model", "frequency", "monetary"];
    const ONE_ROW: usize = 1;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [model, customer @ ..] if matches!(customer.len(), 1 | 2) => {
                let mut coerced = vec![model_type(Self::NAME, "spend_model", Kind::SPEND, model)?];
                coerced.extend(coerce_customer(Self::NAME, COLUMNS, customer)?);
                Ok(coerced)
            }
            _ => wrong_arity(Self::NAME, FORMS, types.len()),
        }
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let models = Models::new(Self::NAME, "spend_model", Kind::SPEND, &arguments[0])?;
        let columns = customer_columns(COLUMNS, &arguments[1..])?;
        let nulls = NullBuffer::union(columns[0].nulls(), columns[1].nulls());
        let known = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let [x, mean] = [0, 1].map(|place| columns[place].values());
        let rows = 0..rows_of(&arguments[Self::ONE_ROW..]);
        let constant = match models.is_constant() && !rows.is_empty() {
            true => Some(models.spend(0)?),
            false => None,
        };
        let spend = |row: usize| {
            let model = match constant {
                Some(model) => model,
                None => models.spend(row)?,
            };
            let (Some(model), true) = (model, known(row)) else {
                return Ok(None);
            };
            let x = purchases(Self::NAME, x[row])?;
            let mean = not_negative(Self::NAME, "monetary", mean[row])?;
            match model.spend(x, mean) {
                Some(spend) => finite(Self::NAME, "the result", spend).map(Some),
                None => Ok(None),
            }
        };
        Ok(Arc::new(rows.map(spend).collect::<Result<Float64Array>>()?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

const COLUMNS: &[&str] = &["frequency", "monetary"];
