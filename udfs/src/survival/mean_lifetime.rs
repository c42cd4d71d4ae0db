//! The mean time that customers stay, up to a horizon.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::survival::curve::{CurveFunction, Question};

/// The aggregate `mean_lifetime`.
#[user_doc(
    doc_section(label = "Survival"),
    description = "Mean time that customers stay, where longer times count as horizon (restricted mean): the area under the Kaplan-Meier curve from 0 to horizon, in the unit of duration. One row is one customer. Customers who are still there count as long as they were observed; at equal durations those who left come first. Rows with NULL are skipped; without rows the result is NULL. After the longest duration the curve stays where it is. A negative duration or horizon, NaN and infinity are errors. Source: restricted mean survival time, Irwin 1949.",
    syntax_example = "mean_lifetime(duration, churned, horizon)",
    sql_example = r"```sql
> SELECT mean_lifetime(months, left_us, 5) AS mean
  FROM (VALUES (1, true), (2, true), (2, false), (4, true), (5, false)) AS customers(months, left_us);
+------+
| mean |
+------+
| 3.3  |
+------+
```",
    argument(
        name = "duration",
        description = "How long the customer has been observed, any number, 0 or more."
    ),
    argument(
        name = "churned",
        description = "True if the customer left at its end, false if still there."
    ),
    argument(
        name = "horizon",
        description = "Time up to which is averaged, in the unit of duration; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct MeanLifetime;

export_aggregate!(MeanLifetime, mean_lifetime, mean_lifetime_udaf);

const FUNCTION: CurveFunction = CurveFunction {
    function: MeanLifetime::NAME,
    question: Question::Mean,
    constant: Some("horizon"),
    otherwise: None,
};

const FORMS: &str = "mean_lifetime(duration, churned, horizon)";

impl Definition for MeanLifetime {
    const NAME: &'static str = "mean_lifetime";
    const PARAMETERS: &'static [&'static str] = &["duration", "churned", "horizon"];

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
