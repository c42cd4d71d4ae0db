//! DELETE FROM cron.job_run_details: the history of jobs is theirs to shorten.

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{Delete, SetExpr, Statement, TableFactor, TableWithJoins};

use super::{Forget, TableStatement};
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::session::{Prepared, Session};
use crate::engine::statement::dialect::name_parts;
use crate::engine::{statement, system_views};
use crate::error::{Error, Result};
use crate::jobs::Change;

impl Session {
    /// The statement, if it is about the history of jobs.
    pub(super) async fn prepare_forget(
        &self,
        delete: &Delete,
        table: &TableWithJoins,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<Option<TableStatement>> {
        let TableFactor::Table { name, .. } = &table.relation else {
            return Ok(None);
        };
        let parts = name_parts(name).unwrap_or_default();
        match parts.as_slice() {
            [.., schema, table] if schema == system_views::CRON => {
                if table != system_views::RUNS {
                    return Err(Error::feature_not_supported(format!(
                        "rows of {schema}.{table} are not removed by DELETE"
                    ))
                    .with_hint("Use cron.unschedule()."));
                }
            }
            _ => return Ok(None),
        }
        if delete.using.is_some() || !table.joins.is_empty() {
            return Err(super::unsupported(
                "DELETE … USING from the history of jobs",
            ));
        }
        let text = format!(
            "SELECT runid FROM {}.{}",
            system_views::CRON,
            system_views::RUNS
        );
        let parsed = statement::parse(&text)?.pop();
        let mut query = parsed
            .and_then(|parsed| parsed.statement)
            .ok_or_else(|| Error::internal("the history has no query"))?;
        if let Statement::Query(query) = &mut query
            && let SetExpr::Select(select) = query.body.as_mut()
        {
            select.from = vec![table.clone()];
            select.selection.clone_from(&delete.selection);
        }
        let planned = self.plan(&query, declared, None, control).await?;
        Ok(Some(TableStatement::Forget(Box::new(Forget {
            query,
            planned,
        }))))
    }

    pub(super) async fn forget_runs(
        &mut self,
        forget: &Forget,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("DELETE")?;
        let rows = self.rows(&forget.query, &forget.planned, prepared, values, control);
        let rows = rows.await?;
        let control = Arc::clone(control);
        let runs = self.shared.workers.query(async move {
            let mut stream = rows.start()?;
            let mut runs = Vec::new();
            while let Some(batch) = control.next(&mut stream).await? {
                runs.extend(batch.column(0).as_primitive::<Int64Type>().iter().flatten());
            }
            Ok(runs)
        });
        let runs = runs.await?;
        let done = Completion::tag(&format!("DELETE {}", runs.len()));
        self.work.jobs.push(Change::Forget(runs))?;
        Ok(done)
    }
}
