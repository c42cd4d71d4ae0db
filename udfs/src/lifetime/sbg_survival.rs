//! How many of a cohort under contract are left.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::wrong_arity;
use crate::lifetime::prediction::{Contracts, coerce_contract};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `sbg_survival`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Share of a cohort that is left after n renewals of the contract, 0 to 1: S(n) = B(alpha, beta + n) / B(alpha, beta), 1 at n = 0. NULL if an argument is NULL or if the fit did not converge. An n outside 0..10000 is an error. Source: Fader and Hardie 2007.",
    syntax_example = "sbg_survival(model, n)",
    sql_example = r"```sql
> SELECT n, CAST(sbg_survival(sbg(0.668, 3.806), n) AS DECIMAL(8, 3)) AS survival FROM (VALUES (0), (1), (12)) AS t(n);
+----+----------+
| n  | survival |
+----+----------+
| 0  | 1.000    |
| 1  | 0.851    |
| 12 | 0.378    |
+----+----------+
```",
    argument(
        name = "model",
        description = "A model of contracts, from sbg_fit or sbg."
    ),
    argument(name = "n", description = "Periods since the start of the contract.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SbgSurvival;

export_scalar!(SbgSurvival, sbg_survival, sbg_survival_udf);

impl ScalarDefinition for SbgSurvival {
    const NAME: &'static str = "sbg_survival";
    const PARAMETERS: &'static [&'static str] = &["model", "n"];
    const ONE_ROW: usize = 1;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [model, n] = types else {
            return wrong_arity(Self::NAME, "sbg_survival(model, n)", types.len());
        };
        coerce_contract(Self::NAME, model, n)
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let contracts = Contracts::new(Self::NAME, arguments, 0)?;
        let survival = |row| Ok(contracts.at(row)?.map(|(model, n)| model.survival(n)));
        let rows = 0..rows_of(&arguments[Self::ONE_ROW..]);
        Ok(Arc::new(
            rows.map(survival).collect::<Result<Float64Array>>()?,
        ))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
