//! Jobs and their runs in the catalog file.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::options::Sort;
use super::{Change, Job, Jobs, Known};
use crate::error::{Error, Result};
use crate::metastore::Metastore;
use crate::sqlstate::SqlState;

/// Longest message of a run that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 8_192;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// Its time has come; it waits for a place, or for its next attempt.
    Starting,
    /// It runs.
    Running,
    /// It is done.
    Succeeded,
    /// It is given up.
    Failed,
    /// It never ran: the run before it was not over, or what it stands on failed.
    Skipped,
}

impl RunStatus {
    /// As the history shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Whether nothing comes after it.
    pub const fn is_last(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped)
    }

    fn of(name: &str) -> Self {
        let all = [
            Self::Starting,
            Self::Running,
            Self::Succeeded,
            Self::Skipped,
        ];
        all.into_iter()
            .find(|status| status.name() == name)
            .unwrap_or(Self::Failed)
    }
}

/// Why a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Its time came.
    Schedule,
    /// A time that was missed is made up for.
    Catchup,
    /// What it stands on was refreshed.
    After,
    /// Somebody asked for it.
    Manual,
}

impl Trigger {
    /// As the history shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Catchup => "catchup",
            Self::After => "after",
            Self::Manual => "manual",
        }
    }

    fn of(name: &str) -> Self {
        let all = [Self::Schedule, Self::Catchup, Self::After];
        all.into_iter()
            .find(|trigger| trigger.name() == name)
            .unwrap_or(Self::Manual)
    }
}

/// One run of a job. Times are in microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// The job's.
    pub job: i64,
    /// What the job is.
    pub sort: Sort,
    /// The id of the materialized view that it refreshes.
    pub relation: Option<String>,
    /// What it refreshes or runs, as it was called then.
    pub command: String,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// The session that runs it.
    pub pid: Option<i32>,
    /// How far it is.
    pub status: RunStatus,
    /// Why it is.
    pub trigger: Trigger,
    /// The time that it is for.
    pub scheduled_us: i64,
    /// When its last attempt started.
    pub started_us: Option<i64>,
    /// When it was over.
    pub ended_us: Option<i64>,
    /// Attempts so far.
    pub attempt: u32,
    /// The tag of its last statement, or the error.
    pub message: Option<String>,
    /// Rows that a refresh wrote.
    pub rows: Option<i64>,
    /// The version that a refresh made.
    pub version: Option<i64>,
}

/// A time that is taken: a run is written down and the job's next time with it, or neither.
#[derive(Debug)]
pub struct Claim<'a> {
    /// The job.
    pub job: &'a Job,
    /// What it refreshes or runs.
    pub command: &'a str,
    /// The time that it is for.
    pub scheduled_us: i64,
    /// Why it is.
    pub trigger: Trigger,
    /// Its first status: [`RunStatus::Starting`] or [`RunStatus::Skipped`].
    pub status: RunStatus,
    /// Why it is skipped.
    pub message: Option<&'a str>,
    /// The job's time after this one; none leaves it as it is.
    pub next_us: Option<i64>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ended<'a> {
    /// Its last status.
    pub status: RunStatus,
    /// When.
    pub at_us: i64,
    /// The tag of its last statement, or the error.
    pub message: &'a str,
    /// Rows that a refresh wrote.
    pub rows: Option<i64>,
    /// The version that a refresh made.
    pub version: Option<i64>,
}

/// A message for a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Its number.
    pub id: i64,
    /// Where it goes.
    pub url: String,
    /// What it is signed with.
    pub secret: Option<String>,
    /// JSON.
    pub body: String,
    /// Attempts so far.
    pub attempt: u32,
    /// When to try, in microseconds since 1970-01-01 UTC.
    pub next_us: i64,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its next time.
    pub next_us: Option<i64>,
    /// Failures one after the other.
    pub failures: u32,
    /// When it last succeeded.
    pub succeeded_us: Option<i64>,
    /// Since when the condition of an alert holds.
    pub firing_us: Option<i64>,
}

/// All jobs, and the number of the next one.
pub(super) fn load(store: &Metastore) -> Result<(Known, i64)> {
    store.read(|transaction| read(transaction).map_err(|error| store.failed(error)))
}

fn read(transaction: &Transaction<'_>) -> rusqlite::Result<(Known, i64)> {
    let sql =
        "SELECT id, name, relation, username, database, command, active, options, sort FROM jobs";
    let mut query = transaction.prepare(sql)?;
    let mut rows = query.query([])?;
    let mut known = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let job = Job {
            id: row.get(0)?,
            name: row.get(1)?,
            relation: row.get(2)?,
            user: row.get(3)?,
            database: row.get(4)?,
            command: row.get(5)?,
            active: row.get(6)?,
            options: serde_json::from_str(&row.get::<_, String>(7)?).unwrap_or_default(),
            sort: Sort::of(&row.get::<_, String>(8)?),
        };
        known.insert(job.id, Arc::new(job));
    }
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'jobs'";
    let last: Option<i64> = transaction
        .query_row(sql, [], |row| row.get(0))
        .optional()?;
    Ok((known, last.unwrap_or(0) + 1))
}

pub(super) fn write(
    store: &Metastore,
    transaction: &Transaction<'_>,
    changes: &[Change],
) -> Result<()> {
    for change in changes {
        write_one(transaction, change).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Error::new(
                SqlState::SerializationFailure,
                "a job was changed by another transaction",
            )
            .with_hint("Run the transaction again."),
            _ => store.failed(error),
        })?;
    }
    Ok(())
}

fn write_one(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Put(job) => {
            // A job that gets another schedule waits for its time; failures are counted anew.
            let sql = "INSERT INTO jobs
                (id, name, relation, username, database, command, active, options, sort)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                ON CONFLICT (id) DO UPDATE SET name = excluded.name, relation = excluded.relation,
                    username = excluded.username, database = excluded.database,
                    command = excluded.command, active = excluded.active,
                    next_us = CASE WHEN options = excluded.options AND active = excluded.active
                        THEN next_us END,
                    failures = CASE WHEN excluded.active AND NOT active THEN 0 ELSE failures END,
                    options = excluded.options, sort = excluded.sort";
            let options = serde_json::to_string(&job.options).unwrap_or_else(|_| "{}".to_owned());
            transaction.execute(
                sql,
                params![
                    job.id,
                    job.name,
                    job.relation,
                    job.user,
                    job.database,
                    job.command,
                    job.active,
                    options,
                    job.sort.name(),
                ],
            )?;
        }
        Change::Remove(id) => {
            transaction.execute("DELETE FROM jobs WHERE id = ?1", [id])?;
        }
        Change::Forget(runs) => {
            let mut delete = transaction.prepare("DELETE FROM job_runs WHERE id = ?1")?;
            for run in runs {
                delete.execute([run])?;
            }
        }
        Change::RunNow(_) => {}
        Change::Ran(ran) => {
            let sql =
                "INSERT INTO job_runs (job, relation, command, database, username, pid, status,
                    trigger, scheduled_us, started_us, ended_us, attempt, message, rows, sort)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'succeeded', 'manual', ?7, ?7, ?8, 1, ?9, ?10,
                    'refresh')";
            transaction.execute(
                sql,
                params![
                    ran.job.id,
                    ran.job.relation,
                    ran.command,
                    ran.job.database,
                    ran.user,
                    ran.pid,
                    ran.started_us,
                    ran.ended_us,
                    "REFRESH MATERIALIZED VIEW",
                    ran.rows
                ],
            )?;
            let sql = "UPDATE jobs SET failures = 0, succeeded_us = ?2 WHERE id = ?1";
            transaction.execute(sql, params![ran.job.id, ran.ended_us])?;
        }
    }
    Ok(())
}

const RUN_COLUMNS: &str = "id, job, relation, command, database, username, pid, status, trigger, \
    scheduled_us, started_us, ended_us, attempt, message, rows, version, sort";

fn run_of(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: row.get(0)?,
        job: row.get(1)?,
        relation: row.get(2)?,
        command: row.get(3)?,
        database: row.get(4)?,
        user: row.get(5)?,
        pid: row.get(6)?,
        status: RunStatus::of(&row.get::<_, String>(7)?),
        trigger: Trigger::of(&row.get::<_, String>(8)?),
        scheduled_us: row.get(9)?,
        started_us: row.get(10)?,
        ended_us: row.get(11)?,
        attempt: row.get(12)?,
        message: row.get(13)?,
        rows: row.get(14)?,
        version: row.get(15)?,
        sort: Sort::of(&row.get::<_, String>(16)?),
    })
}

impl Jobs {
    /// Writes a run down; its number.
    pub fn claim(&self, claim: &Claim<'_>) -> Result<i64> {
        self.written(|transaction| {
            if claim.next_us.is_some() {
                transaction.execute(
                    "UPDATE jobs SET next_us = ?2 WHERE id = ?1",
                    params![claim.job.id, claim.next_us],
                )?;
            }
            let ended = claim.status.is_last().then_some(claim.scheduled_us);
            let sql = "INSERT INTO job_runs (job, relation, command, database, username, status,
                    trigger, scheduled_us, ended_us, message, sort)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
            transaction.execute(
                sql,
                params![
                    claim.job.id,
                    claim.job.relation,
                    claim.command,
                    claim.job.database,
                    claim.job.user,
                    claim.status.name(),
                    claim.trigger.name(),
                    claim.scheduled_us,
                    ended,
                    claim.message,
                    claim.job.sort.name(),
                ],
            )?;
            Ok(transaction.last_insert_rowid())
        })
    }

    /// Sets a job's next time, of which nothing has run.
    pub fn set_next(&self, job: i64, next_us: Option<i64>) -> Result<()> {
        self.written(|transaction| {
            let sql = "UPDATE jobs SET next_us = ?2 WHERE id = ?1";
            transaction.execute(sql, params![job, next_us]).map(drop)
        })
    }

    /// An attempt starts in a session.
    pub fn started(&self, run: i64, pid: i32, at_us: i64) -> Result<()> {
        self.written(|transaction| {
            let sql = "UPDATE job_runs SET status = 'running', pid = ?2, started_us = ?3,
                attempt = attempt + 1 WHERE id = ?1";
            transaction.execute(sql, params![run, pid, at_us]).map(drop)
        })
    }

    /// An attempt failed; the run waits for the next one.
    pub fn waits(&self, run: i64, message: &str) -> Result<()> {
        self.written(|transaction| {
            let sql = "UPDATE job_runs SET status = 'starting', message = ?2 WHERE id = ?1";
            transaction
                .execute(sql, params![run, shortened(message)])
                .map(drop)
        })
    }

    /// A run is over; whether it was not before. Its job counts failures.
    pub fn ended(&self, run: i64, ended: &Ended<'_>) -> Result<bool> {
        self.written(|transaction| {
            let sql = "UPDATE job_runs SET status = ?2, ended_us = ?3, message = ?4, rows = ?5,
                version = ?6 WHERE id = ?1 AND status IN ('starting', 'running')";
            let changed = transaction.execute(
                sql,
                params![
                    run,
                    ended.status.name(),
                    ended.at_us,
                    shortened(ended.message),
                    ended.rows,
                    ended.version
                ],
            )?;
            if changed == 0 {
                return Ok(false);
            }
            let sql = match ended.status {
                RunStatus::Succeeded => {
                    "UPDATE jobs SET failures = 0, succeeded_us = ?2
                     WHERE id = (SELECT job FROM job_runs WHERE id = ?1)"
                }
                RunStatus::Failed => {
                    "UPDATE jobs SET failures = failures + 1
                     WHERE id = (SELECT job FROM job_runs WHERE id = ?1) AND ?2 IS NOT NULL"
                }
                _ => return Ok(true),
            };
            transaction.execute(sql, params![run, ended.at_us])?;
            Ok(true)
        })
    }

    /// Where each job stands.
    pub fn progress(&self) -> Result<BTreeMap<i64, Progress>> {
        self.asked(|transaction| {
            let sql = "SELECT id, next_us, failures, succeeded_us, firing_us FROM jobs";
            let mut query = transaction.prepare(sql)?;
            let rows = query.query_map([], |row| {
                let progress = Progress {
                    next_us: row.get(1)?,
                    failures: row.get(2)?,
                    succeeded_us: row.get(3)?,
                    firing_us: row.get(4)?,
                };
                Ok((row.get(0)?, progress))
            })?;
            rows.collect()
        })
    }

    /// The runs that are not over, oldest first.
    pub fn unfinished(&self) -> Result<Vec<Run>> {
        self.runs_where("status IN ('starting', 'running')")
    }

    /// The newest runs, oldest first.
    pub fn runs(&self, max: usize) -> Result<Vec<Run>> {
        let newest = format!("id IN (SELECT id FROM job_runs ORDER BY id DESC LIMIT {max})");
        self.runs_where(&newest)
    }

    /// The last run of each job that is over or runs.
    pub fn last_runs(&self) -> Result<BTreeMap<i64, Run>> {
        let last = "id IN (SELECT max(id) FROM job_runs GROUP BY job)";
        let runs = self.runs_where(last)?;
        Ok(runs.into_iter().map(|run| (run.job, run)).collect())
    }

    fn runs_where(&self, condition: &str) -> Result<Vec<Run>> {
        self.asked(|transaction| {
            let sql = format!("SELECT {RUN_COLUMNS} FROM job_runs WHERE {condition} ORDER BY id");
            let mut query = transaction.prepare(&sql)?;
            let runs = query.query_map([], run_of)?;
            runs.collect()
        })
    }

    /// An alert fires since a time, or not; whether that is new.
    pub fn set_firing(&self, job: i64, firing_us: Option<i64>) -> Result<bool> {
        self.written(|transaction| {
            let sql = "UPDATE jobs SET firing_us = ?2
                WHERE id = ?1 AND (firing_us IS NULL) <> (?2 IS NULL)";
            let changed = transaction.execute(sql, params![job, firing_us])?;
            Ok(changed > 0)
        })
    }

    /// Keeps a message for a webhook until it is delivered or given up.
    pub fn post(&self, url: &str, secret: Option<&str>, body: &str, now_us: i64) -> Result<()> {
        self.written(|transaction| {
            let sql = "INSERT INTO posts (url, secret, body, next_us) VALUES (?1, ?2, ?3, ?4)";
            transaction
                .execute(sql, params![url, secret, body, now_us])
                .map(drop)
        })
    }

    /// When the next message for a webhook is to be sent.
    pub fn next_post(&self) -> Result<Option<i64>> {
        self.asked(|transaction| {
            let sql = "SELECT min(next_us) FROM posts";
            transaction.query_row(sql, [], |row| row.get(0))
        })
    }

    /// The messages for webhooks that are to be sent now, oldest first.
    pub fn posts(&self, max: usize, now_us: i64) -> Result<Vec<Post>> {
        self.asked(|transaction| {
            let sql = format!(
                "SELECT id, url, secret, body, attempt, next_us FROM posts
                 WHERE next_us <= ?1 ORDER BY id LIMIT {max}"
            );
            let mut query = transaction.prepare(&sql)?;
            let posts = query.query_map([now_us], |row| {
                Ok(Post {
                    id: row.get(0)?,
                    url: row.get(1)?,
                    secret: row.get(2)?,
                    body: row.get(3)?,
                    attempt: row.get(4)?,
                    next_us: row.get(5)?,
                })
            })?;
            posts.collect()
        })
    }

    /// A message was delivered or is given up; with a time, it is tried again then.
    pub fn posted(&self, id: i64, next_us: Option<i64>) -> Result<()> {
        self.written(|transaction| match next_us {
            None => transaction
                .execute("DELETE FROM posts WHERE id = ?1", [id])
                .map(drop),
            Some(next_us) => {
                let sql = "UPDATE posts SET attempt = attempt + 1, next_us = ?2 WHERE id = ?1";
                transaction.execute(sql, params![id, next_us]).map(drop)
            }
        })
    }

    /// Removes what ended before a time from the history; how many runs that were.
    pub fn prune(&self, before_us: i64) -> Result<usize> {
        self.written(|transaction| {
            let sql = "DELETE FROM job_runs WHERE ended_us < ?1
                AND status NOT IN ('starting', 'running')";
            transaction.execute(sql, [before_us])
        })
    }

    fn written<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let store = self.store();
        store.write(|transaction| work(transaction).map_err(|error| store.failed(error)))
    }

    fn asked<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let store = self.store();
        store.read(|transaction| work(transaction).map_err(|error| store.failed(error)))
    }
}

fn shortened(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: i64) -> Arc<Job> {
        Arc::new(Job {
            id,
            name: Some(format!("job {id}")),
            sort: Sort::Command,
            relation: None,
            user: "ann".to_owned(),
            database: "loyalhouse".to_owned(),
            command: "SELECT 1".to_owned(),
            active: true,
            options: [("schedule".to_owned(), "@daily".to_owned())].into(),
        })
    }

    fn claim(job: &Job) -> Claim<'_> {
        Claim {
            job,
            command: "SELECT 1",
            scheduled_us: 5,
            trigger: Trigger::Schedule,
            status: RunStatus::Starting,
            message: None,
            next_us: Some(10),
        }
    }

    #[test]
    fn jobs_and_runs_last() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(Arc::new(Metastore::open(folder.path()).unwrap())).unwrap();
        let made = job(jobs.new_id());
        jobs.commit(&[Change::Put(Arc::clone(&made))]).unwrap();
        let run = jobs.claim(&claim(&made)).unwrap();
        jobs.started(run, 7, 6).unwrap();
        drop(jobs);
        let jobs = Jobs::open(Arc::new(Metastore::open(folder.path()).unwrap())).unwrap();
        assert_eq!(jobs.committed().get(&made.id), Some(&made));
        assert!(jobs.new_id() > made.id);
        assert_eq!(jobs.progress().unwrap()[&made.id].next_us, Some(10));
        let unfinished = jobs.unfinished().unwrap();
        assert_eq!(unfinished.len(), 1);
        assert_eq!(
            (unfinished[0].status, unfinished[0].attempt),
            (RunStatus::Running, 1)
        );
    }

    #[test]
    fn a_run_ends_once() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(Arc::new(Metastore::open(folder.path()).unwrap())).unwrap();
        let made = job(jobs.new_id());
        jobs.commit(&[Change::Put(Arc::clone(&made))]).unwrap();
        let run = jobs.claim(&claim(&made)).unwrap();
        let ended = |status, message| Ended {
            status,
            at_us: 9,
            message,
            rows: None,
            version: None,
        };
        assert!(jobs.ended(run, &ended(RunStatus::Failed, "no")).unwrap());
        assert!(
            !jobs
                .ended(run, &ended(RunStatus::Succeeded, "yes"))
                .unwrap()
        );
        let runs = jobs.runs(10).unwrap();
        assert_eq!(
            (runs[0].status, runs[0].message.as_deref()),
            (RunStatus::Failed, Some("no"))
        );
        assert_eq!(jobs.progress().unwrap()[&made.id].failures, 1);
        assert_eq!(jobs.prune(9).unwrap(), 0);
        assert_eq!(jobs.prune(10).unwrap(), 1);
    }

    #[test]
    fn another_schedule_waits_for_its_own_time() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(Arc::new(Metastore::open(folder.path()).unwrap())).unwrap();
        let made = job(jobs.new_id());
        jobs.commit(&[Change::Put(Arc::clone(&made))]).unwrap();
        jobs.claim(&claim(&made)).unwrap();
        let mut other = made.as_ref().clone();
        other.command = "SELECT 2".to_owned();
        jobs.commit(&[Change::Put(Arc::new(other.clone()))])
            .unwrap();
        assert_eq!(jobs.progress().unwrap()[&made.id].next_us, Some(10));
        other
            .options
            .insert("schedule".to_owned(), "@hourly".to_owned());
        jobs.commit(&[Change::Put(Arc::new(other))]).unwrap();
        assert_eq!(jobs.progress().unwrap()[&made.id].next_us, None);
    }
}
