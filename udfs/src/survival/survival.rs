//! The share of customers left after each time at which some left.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::survival::curve::{CurveFunction, Question};

/// The aggregate `survival`.
#[user_doc(
    doc_section(label = "Survival"),
    description = "Kaplan-Meier curve: a list of structs, one per time at which customers left, of t, at_risk (customers still observed just before), events (those who left), survival (share left after it, 0 to 1) and the ends of its interval, low and high (exponential Greenwood; NULL where nobody is left). Unnest it for a table. One row is one customer. Customers who are still there count as long as they were observed; at equal durations those who left come first. Rows with NULL are skipped; without rows the result is NULL. Without anybody leaving the list is empty. A negative duration, a confidence outside 0..1, NaN and infinity are errors. Source: Kaplan and Meier 1958; interval as in lifelines.",
    syntax_example = "survival(duration, churned)",
    alternative_syntax = "survival(duration, churned, confidence)",
    sql_example = r"```sql
> SELECT unnest(survival(months, left_us)) AS point
  FROM (VALUES (1, true), (2, true), (2, false), (4, true), (5, false)) AS customers(months, left_us);
+---------------------------------------------------------------------------------------------------------------------+
| point                                                                                                               |
+---------------------------------------------------------------------------------------------------------------------+
| {t: 1.0, at_risk: 5, events: 1, survival: 0.8, low: 0.20380926326763896, high: 0.9691797888667427}                  |
| {t: 2.0, at_risk: 4, events: 1, survival: 0.6000000000000001, low: 0.12573018299443126, high: 0.8817564073935324}   |
| {t: 4.0, at_risk: 2, events: 1, survival: 0.30000000000000004, low: 0.012301529425416074, high: 0.7192180208104151} |
+---------------------------------------------------------------------------------------------------------------------+
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
        name = "confidence",
        description = "Of the interval, default 0.95; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Survival;

export_aggregate!(Survival, survival, survival_udaf);

const FUNCTION: CurveFunction = CurveFunction {
    function: Survival::NAME,
    question: Question::Curve,
    constant: Some("confidence"),
    otherwise: Some(0.95),
};

const FORMS: &str = "survival(duration, churned) or survival(duration, churned, confidence)";

impl Definition for Survival {
    const NAME: &'static str = "survival";
    const PARAMETERS: &'static [&'static str] = &["duration", "churned", "confidence"];

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
