//! The probability that a customer has not left for good.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::wrong_arity;
use crate::lifetime::model::PurchaseModel;
use crate::lifetime::prediction::{Customers, coerce_model_and_customer};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `p_alive`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Probability that a customer is still a customer at the end of observation, 0 to 1. In BG/NBD it is 1 for customers with one purchase, because they could not leave yet; MBG/NBD and Pareto/NBD judge them as well. NULL if an argument is NULL or if the fit did not converge. A frequency that is no whole number, negative values, recency above t, recency other than 0 with frequency 0, NaN and infinity are errors. Source: Fader, Hardie and Lee 2005; Batislam, Denizel and Filiztekin 2007; Schmittlein, Morrison and Colombo 1987.",
    syntax_example = "p_alive(model, summary)",
    alternative_syntax = "p_alive(model, frequency, recency, t)",
    sql_example = r"```sql
> SELECT CAST(p_alive(bgnbd(0.243, 4.414, 0.793, 2.426), 7, 29.43, 38.86) AS DECIMAL(8, 4)) AS active,
         CAST(p_alive(bgnbd(0.243, 4.414, 0.793, 2.426), 7, 12, 38.86) AS DECIMAL(8, 4)) AS silent;
+--------+--------+
| active | silent |
+--------+--------+
| 0.6418 | 0.0094 |
+--------+--------+
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
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PAlive;

export_scalar!(PAlive, p_alive, p_alive_udf);

const FORMS: &str = "p_alive(model, summary) or p_alive(model, frequency, recency, t)";

impl ScalarDefinition for PAlive {
    const NAME: &'static str = "p_alive";
    const PARAMETERS: &'static [&'static str] = &["model", "frequency", "recency", "t"];
    const ONE_ROW: usize = 1;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [model, customer @ ..] if matches!(customer.len(), 1 | 3) => {
                coerce_model_and_customer(Self::NAME, model, customer)
            }
            _ => wrong_arity(Self::NAME, FORMS, types.len()),
        }
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let customers = Customers::new(Self::NAME, arguments, arguments.len() - 1)?;
        let rows = rows_of(&arguments[Self::ONE_ROW..]);
        let probabilities = customers.each(rows, PurchaseModel::p_alive)?;
        Ok(Arc::new(probabilities))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
