//! Churn rate: the share of the customers at the start of a period who are lost by its end.
//!
//! Four forms, told apart by the number of arguments: a condition, an inactivity threshold, contract
//! dates, or events in two windows. A fraction from 0 to 1; no customer at risk gives NULL. The base
//! is the customers active at the start, new ones excluded, which is the majority definition.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::arguments::{condition, interval, times, wrong_arity};
use crate::distinct::Distinct;
use crate::keys::key_type;
use crate::retention::Outcome;
use crate::retention::contract::ContractRate;
use crate::retention::events::EventRate;
use crate::retention::flag::FlagShare;
use crate::retention::inactivity::{InactiveShare, coerce_as_of};

/// The aggregate `churn_rate`.
#[user_doc(
    doc_section(label = "Retention"),
    description = "Share of customers lost, a fraction 0 to 1. With one argument: the share of rows where the condition is true. With contract dates: of the customers active at period_start, those no longer active at period_end; active at t means start <= t and (end IS NULL or end > t), so end is the first day without service, and customers who joined within the period are not counted. With an inactivity: the share of customers whose last activity is before as_of - inactivity, which describes a day and is not a rate per period. With events: of the distinct customers with an event in [base_start, period_start), those without one in [period_start, period_end). Rows with NULL are skipped (a NULL end means the contract still runs); without a customer at risk the result is NULL. An end before its start, activity after as_of, and bounds in the wrong order are errors. Source: customers lost divided by customers at the start, new ones excluded; SQL:2011 half-open periods.",
    syntax_example = "churn_rate(churned)",
    alternative_syntax = "churn_rate(last_activity, as_of, inactivity)",
    alternative_syntax = "churn_rate(start, end, period_start, period_end)",
    alternative_syntax = "churn_rate(customer_id, event_time, base_start, period_start, period_end)",
    sql_example = r"```sql
> SELECT churn_rate(s, e, DATE '2024-01-01', DATE '2024-02-01') AS churn
  FROM (VALUES (DATE '2023-12-01', NULL), (DATE '2023-12-15', DATE '2024-01-10')) AS contracts(s, e);
+-------+
| churn |
+-------+
| 0.5   |
+-------+
```",
    argument(
        name = "churned",
        description = "Condition, one row per customer at risk."
    ),
    argument(
        name = "last_activity",
        description = "Date or timestamp, one row per customer."
    ),
    argument(
        name = "as_of",
        description = "The day that is described; the same in all rows of a group."
    ),
    argument(
        name = "inactivity",
        description = "Interval after which a customer counts as lost; the same in all rows of a group."
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
pub(crate) struct ChurnRate;

export_aggregate!(ChurnRate, churn_rate, churn_rate_udaf);

const FORMS: &str = "churn_rate(churned), churn_rate(last_activity, as_of, inactivity), \
                     churn_rate(start, end, period_start, period_end) or \
                     churn_rate(customer_id, event_time, base_start, period_start, period_end)";

impl Definition for ChurnRate {
    const NAME: &'static str = "churn_rate";
    const PARAMETERS: &'static [&'static str] = &[];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [churned] => Ok(vec![condition(Self::NAME, "churned", churned)?]),
            [last_activity, as_of, inactivity] => {
                let named = [("last_activity", last_activity), ("as_of", as_of)];
                let mut coerced = times(Self::NAME, &named)?;
                coerced[1] = coerce_as_of(coerced[1].clone());
                coerced.push(interval(Self::NAME, "inactivity", inactivity)?);
                Ok(coerced)
            }
            [_, _, _, _] => coerce_contract(Self::NAME, types),
            [_, _, _, _, _] => coerce_events(Self::NAME, types),
            _ => wrong_arity(Self::NAME, FORMS, types.len()),
        }
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let (function, outcome) = (Self::NAME, Outcome::Churn);
        match types.len() {
            1 => Ok(Box::new(MetricForm(FlagShare))),
            3 => Ok(Box::new(MetricForm(InactiveShare::new(function)))),
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

/// Types of the four contract arguments.
pub(super) fn coerce_contract(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let names = ["start", "end", "period_start", "period_end"];
    times(function, &names.into_iter().zip(types).collect::<Vec<_>>())
}

/// Types of the five event arguments.
pub(super) fn coerce_events(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let names = ["event_time", "base_start", "period_start", "period_end"];
    let mut coerced = vec![key_type(function, "customer_id", &types[0])?];
    coerced.extend(times(
        function,
        &names.into_iter().zip(&types[1..]).collect::<Vec<_>>(),
    )?);
    Ok(coerced)
}
