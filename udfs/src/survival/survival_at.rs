//! The share of customers left at a time.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::survival::curve::{CurveFunction, Question};

/// The aggregate `survival_at`.
#[user_doc(
    doc_section(label = "Survival"),
    description = "Share of customers left at time t by the Kaplan-Meier curve, 0 to 1. One row is one customer. Customers who are still there count as long as they were observed; at equal durations those who left come first. Rows with NULL are skipped; without rows the result is NULL. After the longest duration the curve stays where it is. A negative duration or t, NaN and infinity are errors. Source: Kaplan and Meier 1958.",
    syntax_example = "survival_at(duration, churned, t)",
    sql_example = r"```sql
> SELECT round(survival_at(months, left_us, 3), 4) AS after_three
  FROM (VALUES (1, true), (2, true), (2, false), (4, true), (5, false)) AS customers(months, left_us);
+-------------+
| after_three |
+-------------+
| 0.6         |
+-------------+
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
        name = "t",
        description = "Time since the start, in the unit of duration; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SurvivalAt;

export_aggregate!(SurvivalAt, survival_at, survival_at_udaf);

const FUNCTION: CurveFunction = CurveFunction {
    function: SurvivalAt::NAME,
    question: Question::At,
    constant: Some("t"),
    otherwise: None,
};

const FORMS: &str = "survival_at(duration, churned, t)";

impl Definition for SurvivalAt {
    const NAME: &'static str = "survival_at";
    const PARAMETERS: &'static [&'static str] = &["duration", "churned", "t"];

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
