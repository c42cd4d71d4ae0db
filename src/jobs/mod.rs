//! Jobs: commands and refreshes that run by themselves, and the history of their runs.
//!
//! A transaction collects its [`Change`]s in a [`Pending`]; they become real with it. [`Jobs`] holds what is
//! committed, in memory and in the catalog file. Who runs jobs claims each time in the file before it starts,
//! so that no time has two runs and none is forgotten by a crash.

pub mod options;
pub mod schedule;
mod store;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rusqlite::Transaction;
use tokio::sync::Notify;

use self::options::{Options, Sort, Written};
pub use self::store::{Claim, Ended, Post, Progress, Run, RunStatus, Trigger};
use crate::error::{Error, Result};
use crate::metastore::Metastore;

/// Changes of jobs in one transaction.
const CHANGES_MAX: usize = 10_000;
/// Jobs of one warehouse.
const JOBS_MAX: usize = 10_000;

/// A command that runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// Its name; a user has one job of a name. None if it was given none, or refreshes a view.
    pub name: Option<String>,
    /// What it is.
    pub sort: Sort,
    /// The id of the materialized view that it refreshes.
    pub relation: Option<String>,
    /// The role that it runs as.
    pub user: String,
    /// The database that it was made for.
    pub database: String,
    /// What it runs: statements, or the condition of an alert; empty for a refresh.
    pub command: String,
    /// Whether it runs by its schedule.
    pub active: bool,
    /// Its options as they were written, the schedule among them.
    pub options: Written,
}

impl Job {
    /// Its schedule as it was written.
    pub fn schedule(&self) -> &str {
        self.options.get("schedule").map_or("", String::as_str)
    }

    /// Its options.
    pub fn read_options(&self) -> Result<Options> {
        match self.sort {
            sort @ (Sort::Refresh | Sort::Alert) => Options::read(&self.options, sort),
            // The schedule of a command is an argument of its own; all other names are checked.
            Sort::Command => {
                let mut written = self.options.clone();
                let schedule = written.remove("schedule").unwrap_or_default();
                let mut options = Options::read(&written, Sort::Command)?;
                options.schedule = Some(schedule::Schedule::parse(&schedule)?);
                Ok(options)
            }
        }
    }
}

/// What a transaction does to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is made, or made otherwise.
    Put(Arc<Job>),
    /// It goes; its history stays.
    Remove(i64),
    /// Rows of the history go.
    Forget(Vec<i64>),
    /// It runs once, now.
    RunNow(i64),
    /// It was run by hand.
    Ran(Box<Ran>),
}

/// A refresh that somebody made in a session. Times are in microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The view's job.
    pub job: Arc<Job>,
    /// The statement.
    pub command: String,
    /// Who made it.
    pub user: String,
    /// The session.
    pub pid: i32,
    /// When it began.
    pub started_us: i64,
    /// When it was done.
    pub ended_us: i64,
    /// Rows that it wrote.
    pub rows: i64,
}

/// The changes of one transaction, in order. Clones show the same ones.
#[derive(Debug, Clone, Default)]
pub struct Pending(Arc<Mutex<Vec<Change>>>);

impl Pending {
    /// Adds a change.
    pub fn push(&self, change: Change) -> Result<()> {
        let mut changes = self.lock();
        if changes.len() >= CHANGES_MAX {
            return Err(
                Error::program_limit_exceeded("the transaction changes too many jobs")
                    .with_detail(format!("The limit is {CHANGES_MAX}.")),
            );
        }
        changes.push(change);
        Ok(())
    }

    /// How many there are: a savepoint.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes back those behind a savepoint.
    pub fn truncate(&self, len: usize) {
        self.lock().truncate(len);
    }

    /// Takes them out.
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Change>> {
        // A holder that panicked has pushed or has not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The jobs that are committed, by number.
pub type Known = BTreeMap<i64, Arc<Job>>;

/// The jobs of one warehouse.
#[derive(Debug)]
pub struct Jobs {
    store: Arc<Metastore>,
    known: RwLock<Arc<Known>>,
    next_id: AtomicI64,
    demanded: Mutex<Vec<i64>>,
    changed: Notify,
}

impl Jobs {
    /// Reads the jobs of a catalog file.
    pub fn open(store: Arc<Metastore>) -> Result<Arc<Self>> {
        let (known, next_id) = store::load(&store)?;
        Ok(Arc::new(Self {
            store,
            known: RwLock::new(Arc::new(known)),
            next_id: AtomicI64::new(next_id),
            demanded: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// A number for a new job; one that is not used is a gap.
    pub fn new_id(&self) -> i64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The committed jobs.
    pub fn committed(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The jobs as the transaction of `pending` sees them.
    pub fn seen(&self, pending: &Pending) -> Known {
        let mut known = self.committed().as_ref().clone();
        apply(&mut known, &pending.lock());
        known
    }

    /// Completes when jobs have changed or one is to run now.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the jobs that are to run now.
    pub fn take_demanded(&self) -> Vec<i64> {
        let mut demanded = self.demanded.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *demanded)
    }

    /// Makes changes real in a transaction of the catalog file; [`Jobs::done`] must follow its end.
    pub fn write(&self, transaction: &Transaction<'_>, changes: &[Change]) -> Result<()> {
        let mut known = self.committed().as_ref().clone();
        apply(&mut known, changes);
        if known.len() > JOBS_MAX {
            return Err(Error::program_limit_exceeded("there are too many jobs")
                .with_detail(format!("The limit is {JOBS_MAX}.")));
        }
        store::write(&self.store, transaction, changes)
    }

    /// Shows changes that are in the catalog file.
    pub fn done(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        apply(Arc::make_mut(&mut known), changes);
        drop(known);
        let mut demanded = self.demanded.lock().unwrap_or_else(PoisonError::into_inner);
        demanded.extend(changes.iter().filter_map(|change| match change {
            Change::RunNow(id) => Some(*id),
            _ => None,
        }));
        drop(demanded);
        self.changed.notify_one();
    }

    /// Makes changes real by themselves.
    pub fn commit(&self, changes: &[Change]) -> Result<()> {
        self.store
            .write(|transaction| self.write(transaction, changes))?;
        self.done(changes);
        Ok(())
    }

    /// The file that the jobs are in.
    pub(crate) fn store(&self) -> &Metastore {
        &self.store
    }
}

fn apply(known: &mut Known, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Put(job) => {
                known.insert(job.id, Arc::clone(job));
            }
            Change::Remove(id) => {
                known.remove(id);
            }
            Change::Forget(_) | Change::RunNow(_) | Change::Ran(_) => {}
        }
    }
}
