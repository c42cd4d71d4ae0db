//! The parameters of Gamma-Gamma that make a group's spending most likely.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::lifetime::fit::{coerce_fit, fit_form};
use crate::lifetime::fits::FitGammaGamma;
use crate::lifetime::model::Kind;

/// The aggregate `gamma_gamma_fit`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Fits the Gamma-Gamma model of spend per purchase to the customers of a group by maximum likelihood. Only customers with repeat purchases and a mean spend above 0 say something about it; the others are left out. The result is a struct of model, p, q, v, log_likelihood, n, iterations and converged, and is a model for expected_spend and clv_predict. v has the currency of monetary. Rows with NULL are skipped; n counts customers. If fewer than two different customers are left, or if the likelihood has no maximum, converged is false and parameters are NULL, and so are predictions. The result does not depend on the order of rows or on how they were split. A frequency that is no whole number or negative, a negative weight, NaN and infinity are errors. Source: Fader and Hardie 2013, note 025 (brucehardie.com).",
    syntax_example = "gamma_gamma_fit(summary)",
    alternative_syntax = "gamma_gamma_fit(frequency, monetary)",
    alternative_syntax = "gamma_gamma_fit(frequency, monetary, weight)",
    sql_example = r"```sql
> SELECT CAST(m['p'] AS DECIMAL(8, 3)) AS p, CAST(m['q'] AS DECIMAL(8, 3)) AS q, CAST(m['v'] AS DECIMAL(8, 3)) AS v, m['n'] AS n
  FROM (SELECT gamma_gamma_fit(frequency, monetary, weight) AS m
        FROM (VALUES (1, 10, 6), (1, 22, 9), (1, 35, 8), (1, 60, 3), (2, 18, 5), (2, 28, 6), (2, 44, 3), (4, 24, 4),
                     (4, 36, 4), (9, 20, 2), (9, 42, 2)) AS customers(frequency, monetary, weight));
+-------+--------+---------+----+
| p     | q      | v       | n  |
+-------+--------+---------+----+
| 4.728 | 22.687 | 132.396 | 52 |
+-------+--------+---------+----+
```",
    argument(
        name = "summary",
        description = "Result of clv_summary, one per customer."
    ),
    argument(name = "frequency", description = "Purchases after the first."),
    argument(name = "monetary", description = "Mean spend of these purchases."),
    argument(
        name = "weight",
        description = "How many customers a row stands for, default 1."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct GammaGammaFit;

export_aggregate!(GammaGammaFit, gamma_gamma_fit, gamma_gamma_fit_udaf);

impl Definition for GammaGammaFit {
    const NAME: &'static str = "gamma_gamma_fit";
    const PARAMETERS: &'static [&'static str] = &["frequency", "monetary", "weight"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_fit::<FitGammaGamma>(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(Kind::GammaGamma.data_type())
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(fit_form::<FitGammaGamma>(types))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
