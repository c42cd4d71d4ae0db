//! One attempt of a run: a session of the job's role that nobody is connected to.

use std::time::Duration;

use super::planner::Start;
use crate::auth::Book;
use crate::engine::Engine;
use crate::engine::activity::Origin;
use crate::engine::settings::Settings;
use crate::engine::state::{CATALOG, is_database};
use crate::error::{Error, Result};
use crate::jobs::options::Sort;
use crate::jobs::{Job, Jobs};
use crate::runtime::{Clock, microseconds};
use crate::sqlstate::SqlState;

/// What sessions of jobs are called in pg_stat_activity.
const APPLICATION_NAME: &str = "pg_cron";
/// Length of a key that nobody is told, in bytes.
const SECRET_BYTES: usize = 32;

/// Classes of SQLSTATEs of errors that may be gone next time: connections, conflicts, resources, an operator's
/// hand, the system.
const PASSING_CLASSES: &[&str] = &["08", "40", "53", "57", "58"];

/// What an attempt did.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The tag of the last statement.
    pub(super) tag: String,
    /// Rows that a refresh wrote.
    pub(super) rows: Option<i64>,
    /// The version that it made.
    pub(super) version: Option<i64>,
    /// Whether the condition of an alert holds.
    pub(super) holds: Option<bool>,
}

/// Where attempts are made.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) engine: &'a Engine,
    pub(super) jobs: &'a Jobs,
    pub(super) clock: &'a dyn Clock,
}

/// Runs a job's command.
pub(super) async fn attempt(
    place: &Place<'_>,
    job: &Job,
    command: &str,
    start: Start,
    timeout: Option<Duration>,
) -> Result<Attempt> {
    let engine = place.engine;
    check_login(&engine.roles(), job)?;
    let origin = Origin {
        user: job.user.clone(),
        database: CATALOG.to_owned(),
        client: None,
    };
    let mut settings = Settings::default();
    settings.set("application_name", APPLICATION_NAME)?;
    if let Some(timeout) = timeout {
        settings.set("statement_timeout", &timeout.as_millis().to_string())?;
    }
    let secret: [u8; SECRET_BYTES] = rand::random();
    let mut session = engine.open_session(origin, settings, secret.to_vec())?;
    session.work_for(start.run);
    let now = microseconds(place.clock.now());
    place.jobs.started(start.run, session.backend().pid, now)?;
    if job.sort == Sort::Alert {
        let holds = Box::pin(session.holds(command)).await?;
        return Ok(Attempt {
            tag: if holds { "firing" } else { "ok" }.to_owned(),
            rows: None,
            version: None,
            holds: Some(holds),
        });
    }
    let tag = Box::pin(session.run_script(command)).await?;
    let refreshed = session.take_refreshed();
    let version = match &refreshed {
        Some(refreshed) => engine.version_of(&refreshed.relation).await,
        None => None,
    };
    Ok(Attempt {
        tag,
        rows: refreshed.and_then(|refreshed| i64::try_from(refreshed.rows).ok()),
        version,
        holds: None,
    })
}

/// The role must be there, and the database.
fn check_login(book: &Book, job: &Job) -> Result<()> {
    if !is_database(&job.database, &job.user) {
        let message = format!("database \"{}\" does not exist", job.database);
        return Err(Error::invalid_catalog_name(message));
    }
    if !book.is_open() && book.role(&job.user).is_none() {
        return Err(Error::new(
            SqlState::InvalidAuthorizationSpecification,
            format!("role \"{}\" does not exist", job.user),
        ));
    }
    Ok(())
}

/// Whether another attempt may succeed.
pub(super) fn may_pass(error: &Error) -> bool {
    let code = error.state().code();
    PASSING_CLASSES.iter().any(|class| code.starts_with(class))
}

/// An error as the history shows it.
pub(super) fn message(error: &Error) -> String {
    let mut text = format!("ERROR:  {}", error.message());
    for (name, more) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(more) = more {
            text.extend(["\n", name, ":  ", more]);
        }
    }
    text
}
