//! Visits out of events: a new session begins when the time since the event before exceeds a gap.
//!
//! Sessions are numbered from 1 in each partition; a gap that is exactly reached does not split. A
//! NULL time has no session.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNano};
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{PartitionEvaluator, Signature, WindowUDFImpl};
use datafusion_macros::user_doc;

use crate::aggregate::signature;
use crate::arguments::{
    Times, interval, intervals, invalid_call, times, varying_argument, wrong_arity,
};
use crate::calendar::{add_interval, is_negative};
use crate::window::export_window;

/// The window function `sessionize`.
#[user_doc(
    doc_section(label = "Behaviour"),
    description = "Number of the session (visit) that an event belongs to, from 1 in each partition: a new session begins when more time than gap has passed since the event before; a gap that is exactly reached does not split. Order the window by the same time. A NULL time gives NULL and splits nothing. A gap that is NULL or negative or varies within a partition, and times that are not in ascending order, are errors. Source: sessionize of the behavioural functions of ClickHouse and DuckDB.",
    syntax_example = "sessionize(ts, gap) OVER (PARTITION BY customer_id ORDER BY ts)",
    sql_example = r"```sql
> SELECT ts, sessionize(ts, INTERVAL '30 minutes') OVER (ORDER BY ts) AS session
  FROM (VALUES (TIMESTAMP '2024-01-01 10:00:00'), (TIMESTAMP '2024-01-01 10:30:00'), (TIMESTAMP '2024-01-01 11:00:01')) AS events(ts);
+---------------------+---------+
| ts                  | session |
+---------------------+---------+
| 2024-01-01T10:00:00 | 1       |
| 2024-01-01T10:30:00 | 1       |
| 2024-01-01T11:00:01 | 2       |
+---------------------+---------+
```",
    argument(name = "ts", description = "Date or timestamp of the event."),
    argument(
        name = "gap",
        description = "Interval after which a new session begins; the same in all rows of a partition."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sessionize {
    signature: Signature,
}

impl Default for Sessionize {
    fn default() -> Self {
        Self {
            signature: signature(&["ts", "gap"]),
        }
    }
}

export_window!(Sessionize, sessionize, sessionize_udwf);

const NAME: &str = "sessionize";

impl WindowUDFImpl for Sessionize {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [ts, gap] = types else {
            return wrong_arity(NAME, "sessionize(ts, gap)", types.len());
        };
        let mut coerced = times(NAME, &[("ts", ts)])?;
        coerced.push(interval(NAME, "gap", gap)?);
        Ok(coerced)
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(
            arguments.name(),
            DataType::Int64,
            true,
        )))
    }

    fn partition_evaluator(
        &self,
        _arguments: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Sessions))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

#[derive(Debug)]
struct Sessions;

impl PartitionEvaluator for Sessions {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        if num_rows == 0 {
            return Ok(Arc::new(Int64Array::from(Vec::<i64>::new())));
        }
        let times = Times::new(&values[0])?;
        let gap = gap_of(intervals(&values[1])?)?;
        let (mut session, mut last) = (0, None);
        let mut number = |row: usize| {
            let Some(time) = times.get(row) else {
                return Ok(None);
            };
            match last {
                Some((before, earlier)) if time < before => {
                    return Err(out_of_order(&times, earlier, row));
                }
                Some((before, _)) if time <= add_interval(before, gap) => {}
                _ => session += 1,
            }
            last = Some((time, row));
            Ok(Some(session))
        };
        let sessions = (0..num_rows).map(&mut number);
        Ok(Arc::new(sessions.collect::<Result<Int64Array>>()?))
    }
}

#[cold]
fn out_of_order(
    times: &Times<'_>,
    earlier: usize,
    row: usize,
) -> datafusion_common::DataFusionError {
    let (before, after) = (times.text(earlier), times.text(row));
    invalid_call(
        NAME,
        format!("ts goes back from {before} to {after}; order the window by ts, ascending"),
    )
}

/// The one value of the gap argument.
fn gap_of(gaps: &IntervalMonthDayNanoArray) -> Result<IntervalMonthDayNano> {
    let mut rows = gaps.iter();
    let first = rows.next().flatten();
    if rows.any(|other| other != first) {
        return Err(varying_argument(NAME, "gap"));
    }
    match first {
        Some(gap) if !is_negative(gap) => Ok(gap),
        Some(_) => Err(invalid_call(
            NAME,
            "gap is negative; write for example INTERVAL '30 minutes'",
        )),
        None => Err(invalid_call(
            NAME,
            "gap is NULL; write for example INTERVAL '30 minutes'",
        )),
    }
}
