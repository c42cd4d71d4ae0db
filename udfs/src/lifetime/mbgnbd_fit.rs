//! The parameters of MBG/NBD that make a group's customers most likely.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::lifetime::fit::{coerce_fit, fit_form};
use crate::lifetime::fits::FitMbgnbd;
use crate::lifetime::model::Kind;

/// The aggregate `mbgnbd_fit`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Fits the MBG/NBD model of repeat purchases to the customers of a group by maximum likelihood; unlike in BG/NBD, the first purchase may be the last. The result is a struct of model, r, alpha, a, b, log_likelihood, n, iterations and converged, and is a model for p_alive, expected_purchases, expected_purchases_new, purchase_probability and clv_predict. alpha has the unit of time of recency and t. Rows with NULL are skipped; n counts customers. If nobody came back, if all customers are alike, or if the likelihood has no maximum, converged is false and parameters are NULL, and so are predictions. The result does not depend on the order of rows or on how they were split. A frequency that is no whole number, negative values, recency above t, recency other than 0 with frequency 0, NaN and infinity are errors. Source: Batislam, Denizel and Filiztekin 2007.",
    syntax_example = "mbgnbd_fit(summary)",
    alternative_syntax = "mbgnbd_fit(frequency, recency, t)",
    alternative_syntax = "mbgnbd_fit(frequency, recency, t, weight)",
    sql_example = r"```sql
> SELECT CAST(m['r'] AS DECIMAL(8, 3)) AS r, CAST(m['alpha'] AS DECIMAL(8, 3)) AS alpha, CAST(m['a'] AS DECIMAL(8, 3)) AS a, CAST(m['b'] AS DECIMAL(8, 3)) AS b, m['converged'] AS converged
  FROM (SELECT mbgnbd_fit(frequency, recency, t, weight) AS m
        FROM (VALUES (0, 0, 39, 600), (0, 0, 30, 500), (1, 2, 38, 80), (1, 15, 35, 60), (2, 10, 38, 40), (2, 25, 36, 30),
                     (4, 20, 38, 20), (6, 34, 38, 25), (12, 36, 39, 5)) AS customers(frequency, recency, t, weight));
+--------+---------+-------+-------+-----------+
| r      | alpha   | a     | b     | converged |
+--------+---------+-------+-------+-----------+
| 21.479 | 155.932 | 1.333 | 0.319 | true      |
+--------+---------+-------+-------+-----------+
```",
    argument(
        name = "summary",
        description = "Result of clv_summary, one per customer."
    ),
    argument(name = "frequency", description = "Purchases after the first."),
    argument(
        name = "recency",
        description = "Time from the first purchase to the last."
    ),
    argument(
        name = "t",
        description = "Time from the first purchase to the end of observation, in the same unit."
    ),
    argument(
        name = "weight",
        description = "How many customers a row stands for, default 1."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct MbgnbdFit;

export_aggregate!(MbgnbdFit, mbgnbd_fit, mbgnbd_fit_udaf);

impl Definition for MbgnbdFit {
    const NAME: &'static str = "mbgnbd_fit";
    const PARAMETERS: &'static [&'static str] = &["frequency", "recency", "t", "weight"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_fit::<FitMbgnbd>(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(Kind::Mbgnbd.data_type())
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(fit_form::<FitMbgnbd>(types))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
