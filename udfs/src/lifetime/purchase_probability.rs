//! How likely it is that a new customer buys again exactly n times.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::{
    doubles, finite, invalid_value, number, primitive, whole_number, wrong_arity,
};
use crate::lifetime::customer::not_negative;
use crate::lifetime::model::{Kind, Models, model_type};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `purchase_probability`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Probability that a customer makes exactly n repeat purchases within t from the first purchase, 0 to 1. NULL if an argument is NULL or if the fit did not converge. A negative t, an n that is negative or above 100000, NaN and infinity are errors. Source: Fader, Hardie and Lee 2005, equation 8, and the like for the other models.",
    syntax_example = "purchase_probability(model, n, t)",
    sql_example = r"```sql
> SELECT CAST(purchase_probability(bgnbd(0.243, 4.414, 0.793, 2.426), 0, 39) AS DECIMAL(8, 4)) AS none,
         CAST(purchase_probability(bgnbd(0.243, 4.414, 0.793, 2.426), n => 11, t => 30) AS DECIMAL(8, 4)) AS eleven;
+--------+--------+
| none   | eleven |
+--------+--------+
| 0.5738 | 0.0020 |
+--------+--------+
```",
    argument(
        name = "model",
        description = "A purchase model: bgnbd, mbgnbd or pareto_nbd, fitted or made of parameters."
    ),
    argument(name = "n", description = "Number of repeat purchases."),
    argument(
        name = "t",
        description = "Time from the first purchase, in the unit of the model."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PurchaseProbability;

export_scalar!(
    PurchaseProbability,
    purchase_probability,
    purchase_probability_udf
);

const FORMS: &str = "purchase_probability(model, n, t)";

impl ScalarDefinition for PurchaseProbability {
    const NAME: &'static str = "purchase_probability";
    const PARAMETERS: &'static [&'static str] = &["model", "n", "t"];
    const ONE_ROW: usize = 1;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [model, n, t] = types else {
            return wrong_arity(Self::NAME, FORMS, types.len());
        };
        Ok(vec![
            model_type(Self::NAME, "model", Kind::PURCHASE, model)?,
            whole_number(Self::NAME, "n", n)?,
            number(Self::NAME, "t", t)?,
        ])
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let models = Models::new(Self::NAME, "model", Kind::PURCHASE, &arguments[0])?;
        let (counts, times) = (
            primitive::<Int64Type>(&arguments[1])?,
            doubles(&arguments[2])?,
        );
        let probability = |row: usize| {
            let known = counts.is_valid(row) && times.is_valid(row);
            let (Some(model), true) = (models.purchase(row)?, known) else {
                return Ok(None);
            };
            let t = not_negative(Self::NAME, "t", times.value(row))?;
            let n = counts.value(row);
            if !(0..=PURCHASES_MAX).contains(&n) {
                return Err(invalid_value(
                    Self::NAME,
                    format!("n {n} is outside 0..{PURCHASES_MAX}; filter it or correct it"),
                ));
            }
            finite(Self::NAME, "the result", model.probability(n as f64, t)).map(Some)
        };
        let rows = 0..rows_of(&arguments[Self::ONE_ROW..]);
        Ok(Arc::new(
            rows.map(probability).collect::<Result<Float64Array>>()?,
        ))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Beyond it, the sum over fewer purchases gets long.
const PURCHASES_MAX: i64 = 100_000;
