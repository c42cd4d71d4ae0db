//! How many of those still under contract renew it.

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

/// The scalar function `sbg_retention`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Share of the customers left after n - 1 periods who are left after n, 0 to 1: (beta + n - 1) / (alpha + beta + n - 1). It grows with n, because those who leave easily leave first. NULL if an argument is NULL or if the fit did not converge. An n outside 1..10000 is an error. Source: Fader and Hardie 2007.",
    syntax_example = "sbg_retention(model, n)",
    sql_example = r"```sql
> SELECT n, CAST(sbg_retention(sbg(0.668, 3.806), n) AS DECIMAL(8, 3)) AS retention FROM (VALUES (1), (2), (12)) AS t(n);
+----+-----------+
| n  | retention |
+----+-----------+
| 1  | 0.851     |
| 2  | 0.878     |
| 12 | 0.957     |
+----+-----------+
```",
    argument(
        name = "model",
        description = "A model of contracts, from sbg_fit or sbg."
    ),
    argument(
        name = "n",
        description = "The period, 1 for the first one of the contract."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SbgRetention;

export_scalar!(SbgRetention, sbg_retention, sbg_retention_udf);

impl ScalarDefinition for SbgRetention {
    const NAME: &'static str = "sbg_retention";
    const PARAMETERS: &'static [&'static str] = &["model", "n"];
    const ONE_ROW: usize = 1;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [model, n] = types else {
            return wrong_arity(Self::NAME, "sbg_retention(model, n)", types.len());
        };
        coerce_contract(Self::NAME, model, n)
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let contracts = Contracts::new(Self::NAME, arguments, 1)?;
        let retention = |row| Ok(contracts.at(row)?.map(|(model, n)| model.retention(n)));
        let rows = 0..rows_of(&arguments[Self::ONE_ROW..]);
        Ok(Arc::new(
            rows.map(retention).collect::<Result<Float64Array>>()?,
        ))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
