//! A query string that runs without a client: the command of a job.

use super::control::StatementControl;
use super::session::{Outcome, Rows, Session, TransactionStatus};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

impl Session {
    /// Runs every statement of `sql` as one transaction, as a client's query string; the tag of the last
    /// one. Rows are computed and dropped. After an error nothing of it was done.
    pub async fn run_script(&mut self, sql: &str) -> Result<String> {
        let ran = Box::pin(self.run_statements(sql)).await;
        let ran = match ran {
            Ok(_) if self.transaction_status() != TransactionStatus::Idle => Err(left_open()),
            Ok(tag) => self.settle().await.map(|()| tag),
            Err(error) => Err(error),
        };
        if ran.is_err() {
            self.fail_transaction();
            self.undo_work();
        }
        self.in_implicit_block = false;
        self.rest();
        self.end();
        ran
    }

    async fn run_statements(&mut self, sql: &str) -> Result<String> {
        let running = self.begin(sql);
        let parsed = self.parse(sql, &running.control).await?;
        drop(running);
        self.in_implicit_block = parsed.len() > 1;
        let mut tag = String::new();
        for statement in parsed {
            let running = self.begin(&statement.text);
            let control = &running.control;
            let prepared = Box::pin(self.prepare(statement, Vec::new(), control)).await?;
            let execute = Box::pin(self.execute(&prepared, Vec::new(), control));
            tag = match execute.await? {
                Outcome::Rows(rows) => self.count(rows, control).await?,
                Outcome::Done(done) => done.tag,
                Outcome::Empty => String::new(),
                Outcome::Copy(..) | Outcome::CopyIn(_) => {
                    return Err(Error::feature_not_supported(
                        "a job has no client to copy rows to or from",
                    ));
                }
                Outcome::Declare(..) | Outcome::Fetch(_) | Outcome::Close(_) => {
                    return Err(Error::feature_not_supported(
                        "a job has no client to hold a cursor",
                    ));
                }
            };
        }
        if self.has_changes_to_make() {
            let running = self.begin("COMMIT");
            Box::pin(self.make_changes(&running.control)).await?;
        }
        Ok(tag)
    }

    async fn count(
        &self,
        rows: Rows,
        control: &std::sync::Arc<StatementControl>,
    ) -> Result<String> {
        let tag = rows.tag;
        let control = std::sync::Arc::clone(control);
        let counted = self.shared.workers.query(async move {
            let mut stream = rows.start()?;
            let mut count = 0;
            while let Some(batch) = control.next(&mut stream).await? {
                count += batch.num_rows();
            }
            Ok(count)
        });
        Ok(format!("{tag} {}", counted.await?))
    }
}

/// 25001: a success that leaves nothing would be a lie.
fn left_open() -> Error {
    Error::new(
        SqlState::ActiveSqlTransaction,
        "the command left its transaction open: nothing of it was kept",
    )
    .with_hint("Add COMMIT, or leave out BEGIN: a command is one transaction by itself.")
}
