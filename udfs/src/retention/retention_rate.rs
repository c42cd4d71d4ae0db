//! Retention rate: the share of the customers at the start of a period who are kept, which is
//! `1 − churn_rate` of the same arguments.
//!
//! A fraction from 0 to 1; no customer at risk gives NULL. The form with a condition takes the
//! condition of being kept.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::arguments::{condition, wrong_arity};
use crate::distinct::Distinct;
use crate::retention::Outcome;
use crate::retention::churn_rate::{coerce_contract, coerce_events};
use crate::retention::contract::ContractRate;
use crate::retention::events::EventRate;
use crate::retention::flag::FlagShare;

/// The aggregate `retention_rate`.
#[user_doc(
    doc_section(label = "Retention"),
    description = "Share of customers kept, a fraction 0 to 1; 1 - churn_rate of the same arguments. With one argument: the share of rows where the condition is true. With contract dates: of the customers active at period_start, those still active at period_end. With events: of the distinct customers with an event in [base_start, period_start), those with one in [period_start, period_end). Rows with NULL are skipped (a NULL end means the contract still runs); without a customer at risk the result is NULL. An end before its start and bounds in the wrong order are errors. Source: as churn_rate.",
    syntax_example = "retention_rate(retained)",
    alternative_syntax = "retention_rate(start, end, period_start, period_end)",
    alternative_syntax = "retention_rate(customer_id, event_time, base_start, period_start, period_end)",
    sql_example = r"```sql
> SELECT retention_rate(customer, day, DATE '2024-01-01', DATE '2024-02-01', DATE '2024-03-01') AS kept
  FROM (VALUES (1, DATE '2024-01-05'), (2, DATE '2024-01-20'), (2, DATE '2024-02-03')) AS orders(customer, day);
+------+
| kept |
+------+
| 0.5  |
+------+
```",
    argument(
        name = "retained",
        description = "Condition, one row per customer at risk."
    ),
    argument(name = "start", description = "First day of a contract."),
    argument(
        name = "end",
        description = "First day without service, NULL while the contract runs."
    ),
    argument(
        name = "period_start",
        description = "First day of the period; the same in all rows of a group."
    ),
    argument(
        name = "period_end",
        description = "First day after the period; the same in all rows of a group."
    ),
    argument(
        name = "customer_id",
        description = "Who the event belongs to, any type."
    ),
    argument(name = "event_time", description = "Date or timestamp of the event."),
    argument(
        name = "base_start",
        description = "First day of the base window, which ends at period_start; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RetentionRate;

export_aggregate!(RetentionRate, retention_rate, retention_rate_udaf);

const FORMS: &str = "retention_rate(retained), \
                     retention_rate(start, end, period_start, period_end) or \
                     retention_rate(customer_id, event_time, base_start, period_start, period_end)";

impl Definition for RetentionRate {
    const NAME: &'static str = "retention_rate";
    const PARAMETERS: &'static [&'static str] = &[];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [retained] => Ok(vec![condition(Self::NAME, "retained", retained)?]),
            [_, _, _, _] => coerce_contract(Self::NAME, types),
            [_, _, _, _, _] => coerce_events(Self::NAME, types),
            _ => wrong_arity(Self::NAME, FORMS, types.len()),
        }
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let (function, outcome) = (Self::NAME, Outcome::Retention);
        match types.len() {
            1 => Ok(Box::new(MetricForm(FlagShare))),
            4 => Ok(Box::new(MetricForm(ContractRate::new(function, outcome)))),
            5 => {
                let metric = EventRate::new(function, outcome, &types[0]);
                Ok(Box::new(Distinct::new(metric)?))
            }
            got => wrong_arity(function, FORMS, got),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
