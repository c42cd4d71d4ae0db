//! The time by which half of the customers have left.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::survival::curve::{CurveFunction, Question};

/// The aggregate `median_lifetime`.
#[user_doc(
    doc_section(label = "Survival"),
    description = "Smallest time at which at most half of the customers are left by the Kaplan-Meier curve, in the unit of duration; NULL if the curve does not fall that low. One row is one customer. Customers who are still there count as long as they were observed; at equal durations those who left come first. Rows with NULL are skipped; without rows the result is NULL. A negative duration, NaN and infinity are errors. Source: Kaplan and Meier 1958.",
    syntax_example = "median_lifetime(duration, churned)",
    sql_example = r"```sql
> SELECT median_lifetime(months, left_us) AS median
  FROM (VALUES (1, true), (2, true), (2, false), (4, true), (5, false)) AS customers(months, left_us);
+--------+
| median |
+--------+
| 4.0    |
+--------+
```",
    argument(
        name = "duration",
        description = "How long the customer has been observed, any number, 0 or more."
    ),
    argument(
        name = "churned",
        description = "True if the customer left at its end, false if still there."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct MedianLifetime;

export_aggregate!(MedianLifetime, median_lifetime, median_lifetime_udaf);

const FUNCTION: CurveFunction = CurveFunction {
    function: MedianLifetime::NAME,
    question: Question::Median,
    constant: None,
    otherwise: None,
};

const FORMS: &str = "median_lifetime(duration, churned)";

impl Definition for MedianLifetime {
    const NAME: &'static str = "median_lifetime";
    const PARAMETERS: &'static [&'static str] = &["duration", "churned"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        FUNCTION.coerce(FORMS, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(FUNCTION.return_type())
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(FUNCTION.form(types))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
