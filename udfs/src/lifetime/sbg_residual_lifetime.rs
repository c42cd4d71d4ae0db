//! How often a customer under contract is expected to renew it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::{doubles, finite, number, wrong_arity};
use crate::lifetime::customer::not_negative;
use crate::lifetime::prediction::{Contracts, coerce_contract};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `sbg_residual_lifetime`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Discounted expected residual lifetime: the renewals to be expected of a customer in the n-th period, just before its end, each discounted by the periods between the next renewal and it: (beta + n - 1) / (alpha + beta + n - 1) x 2F1(1, beta + n; alpha + beta + n; 1 / (1 + discount)). Times the margin of a period it is the customer's residual value. NULL if an argument is NULL, if the fit did not converge, or if the lifetime is infinite, which without discount it is at alpha <= 1. An n outside 1..10000, a negative discount, NaN and infinity are errors. Source: Fader and Hardie 2010.",
    syntax_example = "sbg_residual_lifetime(model, n, discount)",
    sql_example = r"```sql
> SELECT CAST(sbg_residual_lifetime(sbg(0.668, 3.806), 8, 0.1) AS DECIMAL(8, 3)) AS renewals,
         sbg_residual_lifetime(sbg(0.668, 3.806), 8, discount => 0) AS undiscounted;
+----------+--------------+
| renewals | undiscounted |
+----------+--------------+
| 7.530    |              |
+----------+--------------+
```",
    argument(
        name = "model",
        description = "A model of contracts, from sbg_fit or sbg."
    ),
    argument(
        name = "n",
        description = "The period the customer is in, 1 for the first one of the contract."
    ),
    argument(name = "discount", description = "Discount per period, 0.1 for 10 %.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SbgResidualLifetime;

export_scalar!(
    SbgResidualLifetime,
    sbg_residual_lifetime,
    sbg_residual_lifetime_udf
);

const FORMS: &str = "sbg_residual_lifetime(model, n, discount)";

impl ScalarDefinition for SbgResidualLifetime {
    const NAME: &'static str = "sbg_residual_lifetime";
    const PARAMETERS: &'static [&'static str] = &["model", "n", "discount"];
    const ONE_ROW: usize = 1;

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [model, n, discount] = types else {
            return wrong_arity(Self::NAME, FORMS, types.len());
        };
        let mut coerced = coerce_contract(Self::NAME, model, n)?;
        coerced.push(number(Self::NAME, "discount", discount)?);
        Ok(coerced)
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let contracts = Contracts::new(Self::NAME, arguments, 1)?;
        let discounts = doubles(&arguments[2])?;
        let renewals = |row| {
            if discounts.is_null(row) {
                return Ok(None);
            }
            let discount = not_negative(Self::NAME, "discount", discounts.value(row))?;
            let Some((model, n)) = contracts.at(row)? else {
                return Ok(None);
            };
            let renewals = model.residual_lifetime(n, discount);
            renewals
                .map(|renewals| finite(Self::NAME, "the result", renewals))
                .transpose()
        };
        let rows = 0..rows_of(&arguments[Self::ONE_ROW..]);
        Ok(Arc::new(
            rows.map(renewals).collect::<Result<Float64Array>>()?,
        ))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
