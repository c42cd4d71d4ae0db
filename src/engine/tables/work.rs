//! What a session's transaction has done to tables, and its end.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;

use crate::engine::session::{Session, TransactionStatus};
use crate::engine::session_command;
use crate::engine::statement::session_command::SessionCommand;
use crate::error::{Error, Result};
use crate::jobs::{Change, Pending};
use crate::warehouse::{
    Along, Content, PENDING_BYTES_MAX, Relation, Staged, TEMPORARY_SCHEMA, TableLock, View,
    Warehouse,
};

/// The changes of a session that are not committed, and its temporary tables.
#[derive(Debug, Default)]
pub(in crate::engine) struct Work {
    warehouse: Option<Arc<Warehouse>>,
    pub(super) staged: Arc<Staged>,
    temporary: Arc<Staged>,
    /// By the ids of tables: held until the transaction ends.
    locks: Vec<(String, TableLock)>,
    /// Changes of jobs.
    pub(in crate::engine) jobs: Pending,
    savepoints: Vec<Savepoint>,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    staged: Arc<Staged>,
    /// How many changes of jobs there were.
    jobs: usize,
}

impl Work {
    /// None yet.
    pub(in crate::engine) fn new(warehouse: Option<Arc<Warehouse>>) -> Self {
        let mut work = Self::default();
        work.warehouse = warehouse;
        work
    }

    /// Forgets what the transaction did.
    fn undo(&mut self) {
        let staged = std::mem::take(&mut self.staged);
        self.abandon(&staged);
        self.savepoints.clear();
        self.jobs.truncate(0);
        self.locks.clear();
    }

    /// Ends the session's temporary tables.
    pub(in crate::engine) fn drop_temporary(&mut self) {
        let temporary = std::mem::take(&mut self.temporary);
        self.abandon(&temporary);
    }

    /// Removes the tables that were made and are not kept.
    fn abandon(&self, staged: &Staged) {
        if let Some(warehouse) = &self.warehouse {
            staged
                .made()
                .for_each(|relation| warehouse.abandon(relation));
        }
    }

    fn savepoint(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|known| known.name == name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.undo();
        self.drop_temporary();
    }
}

/// 0A000: there is no place to keep tables.
pub(super) fn no_warehouse() -> Error {
    Error::feature_not_supported("tables are kept in a warehouse folder")
        .with_detail("This server was started without one: it reads tables in place.")
        .with_hint("Start it with --warehouse DIR.")
}

impl Session {
    /// The tables written here, as the next statement sees them.
    pub(in crate::engine) fn view(&self) -> Option<Arc<View>> {
        let warehouse = self.shared.warehouse.as_ref()?;
        let (temporary, staged) = (
            Arc::clone(&self.work.temporary),
            Arc::clone(&self.work.staged),
        );
        Some(Arc::new(warehouse.view(temporary, staged)))
    }

    pub(super) fn warehouse(&self) -> Result<Arc<Warehouse>> {
        self.shared.warehouse.clone().ok_or_else(no_warehouse)
    }

    pub(super) fn existing_view(&self) -> Result<Arc<View>> {
        self.view().ok_or_else(no_warehouse)
    }

    /// Changes what the transaction has staged.
    pub(super) fn stage(&mut self, change: impl FnOnce(&mut Staged)) {
        change(Arc::make_mut(&mut self.work.staged));
    }

    /// Waits until this transaction alone may change a table.
    pub(super) async fn hold(&mut self, relation: &Relation) -> Result<()> {
        if relation.schema == TEMPORARY_SCHEMA
            || self.work.locks.iter().any(|(id, _)| *id == relation.id)
        {
            return Ok(());
        }
        let warehouse = self.warehouse()?;
        let lock = warehouse.lock_table(&relation.id, self.backend.pid).await?;
        self.work.locks.push((relation.id.clone(), lock));
        Ok(())
    }

    /// Keeps few rows that a statement adds in memory: many such statements make one file.
    pub(super) async fn add_small(
        &mut self,
        relation: &Relation,
        base: &Arc<Content>,
        rows: Vec<RecordBatch>,
    ) -> Result<()> {
        let staged = Arc::make_mut(&mut self.work.staged);
        match staged.add_rows(&relation.id, base, rows)? > PENDING_BYTES_MAX {
            true => self.write_pending().await,
            false => Ok(()),
        }
    }

    /// Writes the rows that the transaction added and keeps in memory, so that a statement reads them.
    pub(in crate::engine) async fn write_pending(&mut self) -> Result<()> {
        for (id, rows) in self.work.staged.pending() {
            let view = self.existing_view()?;
            let relation = view.relation_by_id(&id);
            let relation = relation.ok_or_else(|| Error::internal("rows wait for no table"))?;
            let base = self.content_to_change(&relation).await?;
            let warehouse = self.warehouse()?;
            let mut writer = warehouse.writer(&relation, Arc::clone(base.columns()))?;
            let written = self.shared.workers.query(async move {
                let written = async {
                    for batch in rows.iter() {
                        writer.write(batch).await?;
                    }
                    Ok(())
                };
                let written = written.await;
                writer.conclude(written).await
            });
            let (added, _) = written.await?;
            let files = base.files().iter().cloned().chain(added).collect();
            let columns = Arc::clone(base.columns());
            let now = warehouse.content_of(&relation, columns, files, Some(base.as_ref()))?;
            self.stage(|staged| staged.set_written(&id, now));
        }
        Ok(())
    }

    /// The statements that were sent together are over: without a block, what they did is committed. If
    /// that fails, none of it was done.
    pub async fn settle(&mut self) -> Result<()> {
        match self.transaction_status() {
            TransactionStatus::Idle => self.commit_work().await,
            _ => Ok(()),
        }
    }

    /// Forgets what statements without a block did.
    pub(in crate::engine) fn undo_work(&mut self) {
        self.work.undo();
    }

    async fn commit_work(&mut self) -> Result<()> {
        if let Err(error) = self.write_pending().await {
            self.work.undo();
            return Err(error);
        }
        let work = &mut self.work;
        let jobs = work.jobs.take();
        if work.staged.is_empty() && jobs.is_empty() {
            work.undo();
            return Ok(());
        }
        let mut staged = std::mem::take(&mut work.staged).as_ref().clone();
        let temporary = staged.take_temporary(&work.temporary);
        let outcome = match &self.shared.warehouse {
            Some(warehouse) => warehouse.commit(&staged, self.along(&jobs)).await,
            None => Err(no_warehouse()),
        };
        if let (Ok(()), Some(known)) = (&outcome, &self.shared.jobs) {
            known.done(&jobs);
        }
        if outcome.is_ok() && !temporary.is_empty() {
            let work = &mut self.work;
            for gone in Arc::make_mut(&mut work.temporary).absorb(temporary) {
                work.warehouse
                    .iter()
                    .for_each(|warehouse| warehouse.abandon(&gone));
            }
        }
        self.work.undo();
        outcome
    }

    /// Changes of jobs, for the commit of what they go with.
    fn along(&self, changes: &[Change]) -> Along {
        let jobs = self.shared.jobs.clone().filter(|_| !changes.is_empty())?;
        let changes = changes.to_vec();
        Some(Box::new(move |transaction| {
            jobs.write(transaction, &changes)
        }))
    }

    /// What a transaction command means for changed tables. If COMMIT cannot make the changes real, the
    /// block is rolled back.
    pub(in crate::engine) async fn settle_work(&mut self, command: &SessionCommand) -> Result<()> {
        use SessionCommand as C;
        match command {
            C::Commit { .. } => match self.transaction_status() {
                TransactionStatus::InTransaction => {
                    let committed = self.commit_work().await;
                    if let Err(error) = committed {
                        session_command::run(self, &C::Rollback { chain: false })?;
                        return Err(error);
                    }
                }
                TransactionStatus::Failed => self.work.undo(),
                TransactionStatus::Idle => self.commit_work().await?,
            },
            C::Rollback { .. } => self.work.undo(),
            C::Savepoint(name) => {
                let savepoint = Savepoint {
                    name: name.clone(),
                    staged: Arc::clone(&self.work.staged),
                    jobs: self.work.jobs.len(),
                };
                self.work.savepoints.push(savepoint);
            }
            C::Release(name) => {
                if let Some(at) = self.work.savepoint(name) {
                    self.work.savepoints.truncate(at);
                }
            }
            C::RollbackTo(name) => {
                if let Some(at) = self.work.savepoint(name) {
                    let savepoint = &self.work.savepoints[at];
                    self.work.staged = Arc::clone(&savepoint.staged);
                    self.work.jobs.truncate(savepoint.jobs);
                    self.work.savepoints.truncate(at + 1);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
