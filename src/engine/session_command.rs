//! Runs the statements about a session: settings, transactions, DISCARD and their like.

use super::advisory::Released;
use super::command::Completion;
use super::session::{Session, TransactionStatus};
use super::settings::Settings;
use super::statement::session_command::{Discarded, Modes, SessionCommand};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Savepoints of one transaction.
const SAVEPOINTS_MAX: usize = 1_000;

/// The settings that say what a transaction is like.
const CHARACTER: [&str; 3] = [
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
];

/// The session's transaction block and the settings it will restore.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    block: Option<Block>,
    /// The settings before the statements since the last ReadyForQuery, outside a block.
    before: Option<Settings>,
}

#[derive(Debug)]
struct Block {
    failed: bool,
    /// Whether a query ran, after which its character cannot change.
    queried: bool,
    /// Settings at BEGIN, for ROLLBACK.
    before: Settings,
    savepoints: Vec<(String, Settings)>,
}

impl Transaction {
    /// The status that ReadyForQuery reports.
    pub(super) fn status(&self) -> TransactionStatus {
        match &self.block {
            None => TransactionStatus::Idle,
            Some(Block { failed: false, .. }) => TransactionStatus::InTransaction,
            Some(Block { failed: true, .. }) => TransactionStatus::Failed,
        }
    }

    /// An error fails an open block, and undoes what was set without one.
    pub(super) fn fail(&mut self, settings: &mut Settings) {
        match (&mut self.block, &self.before) {
            (Some(block), _) => block.failed = true,
            (None, Some(before)) => settings.restore(before),
            (None, None) => {}
        }
    }

    /// What ran since the last call is over, unless a block is open.
    pub(super) fn rest(&mut self, settings: &mut Settings) {
        if self.block.is_some() {
            return;
        }
        settings.end_transaction();
        let changed = |before: &Settings| before.version() != settings.version();
        if self.before.as_ref().is_none_or(changed) {
            self.before = Some(settings.clone());
        }
    }

    /// A query begins.
    pub(super) fn query(&mut self) {
        if let Some(block) = &mut self.block {
            block.queried = true;
        }
    }

    /// How many savepoints are open.
    pub(super) fn depth(&self) -> usize {
        self.block
            .as_ref()
            .map_or(0, |block| block.savepoints.len())
    }

    /// In a failed block only its end is accepted.
    pub(super) fn admit(&self, command: Option<&SessionCommand>) -> Result<()> {
        let ends = matches!(
            command,
            Some(
                SessionCommand::Commit { .. }
                    | SessionCommand::Rollback { .. }
                    | SessionCommand::RollbackTo(_)
                    | SessionCommand::TwoPhase
            )
        );
        if self.status() == TransactionStatus::Failed && !ends {
            return Err(Error::in_failed_sql_transaction(
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }
}

/// Runs a command that is done at once.
pub(super) fn run(session: &mut Session, command: &SessionCommand) -> Result<Completion> {
    use SessionCommand as C;
    match command {
        C::Begin { start, modes } => begin(session, *start, modes),
        C::Commit { chain } => end(session, true, *chain),
        C::Rollback { chain } => end(session, false, *chain),
        C::RollbackTo(name) => rollback_to(session, name),
        C::Savepoint(name) => savepoint(session, name),
        C::Release(name) => release(session, name),
        C::TwoPhase => Err(Error::new(
            SqlState::ObjectNotInPrerequisiteState,
            "prepared transactions are disabled",
        )
        .with_detail("This server has no two-phase commit.")),
        C::Set { local, name, value } => set(session, name, value.as_ref(), *local),
        C::SetTransaction {
            session: lasting,
            modes,
        } => set_transaction(session, modes, *lasting),
        C::SetRole(role) => set_role(session, role.as_deref()),
        C::SetSessionAuthorization(user) => set_user(session, user.as_deref()),
        C::Reset(name) => {
            session.settings().reset(name)?;
            Ok(Completion::tag("RESET"))
        }
        C::ResetAll => {
            session.settings().reset_all();
            Ok(Completion::tag("RESET"))
        }
        C::ResetRole | C::ResetSessionAuthorization => {
            session.settings().reset("role")?;
            Ok(Completion::tag("RESET"))
        }
        C::Discard(what) => discard(session, *what),
        C::Deallocate(name) => deallocate(session, name.as_deref()),
        C::Listen(channel) => {
            session.backend().listen(channel)?;
            Ok(Completion::tag("LISTEN"))
        }
        C::Unlisten(channel) => {
            session.backend().unlisten(channel.as_deref());
            Ok(Completion::tag("UNLISTEN"))
        }
        C::Notify { channel, payload } => {
            session.notify(channel, payload)?;
            Ok(Completion::tag("NOTIFY"))
        }
        C::Lock => match session.transaction.block {
            Some(_) => Ok(Completion::tag("LOCK TABLE")),
            None => Err(outside("LOCK TABLE")),
        },
        C::Nothing {
            tag,
            outside_transactions,
        } => match (&session.transaction.block, outside_transactions) {
            (Some(_), true) => Err(inside(tag)),
            _ => Ok(Completion::tag(tag)),
        },
        C::Show(_)
        | C::Maintain(_)
        | C::Prepare { .. }
        | C::Execute { .. }
        | C::Declare(_)
        | C::Fetch(_)
        | C::Close(_) => Err(Error::internal(
            "a command was run that is not done at once",
        )),
    }
}

/// 25P01
fn outside(command: &str) -> Error {
    Error::new(
        SqlState::NoActiveSqlTransaction,
        format!("{command} can only be used in transaction blocks"),
    )
}

/// 25001
pub(super) fn inside(command: &str) -> Error {
    Error::new(
        SqlState::ActiveSqlTransaction,
        format!("{command} cannot run inside a transaction block"),
    )
}

// --- settings ---

fn set(
    session: &mut Session,
    name: &str,
    value: Option<&String>,
    local: bool,
) -> Result<Completion> {
    let completion = Completion::tag("SET");
    if local && session.transaction.block.is_none() {
        let message = "SET LOCAL can only be used in transaction blocks";
        return Ok(completion.warning(SqlState::NoActiveSqlTransaction, message));
    }
    check_unqueried(session, &name.to_lowercase(), value.map(String::as_str))?;
    let mut settings = session.settings();
    match (value, local) {
        (Some(value), false) => settings.set(name, value).map(|_| ())?,
        (Some(value), true) => settings.set_local(name, value).map(|_| ())?,
        (None, false) => settings.reset(name)?,
        (None, true) => settings.reset_local(name)?,
    }
    drop(settings);
    Ok(completion)
}

/// SET ROLE. Whether the session may is also checked at each statement: memberships end.
fn set_role(session: &Session, role: Option<&str>) -> Result<Completion> {
    if let Some(name) = role {
        let user = &session.backend().origin.user;
        let book = session.shared.authority.book();
        if !book.is_open() {
            book.authorize(user, Some(name))?;
        } else if name != user {
            return Err(Error::undefined_object(format!(
                "role \"{name}\" does not exist"
            )));
        }
    }
    session.settings().set("role", role.unwrap_or("none"))?;
    Ok(Completion::tag("SET"))
}

/// SET SESSION AUTHORIZATION: only to who one is.
fn set_user(session: &Session, user: Option<&str>) -> Result<Completion> {
    let own = &session.backend().origin.user;
    if user.is_some_and(|user| user != own) {
        let book = session.shared.authority.book();
        return match book.authorize(own, None)?.superuser {
            true => Err(
                Error::feature_not_supported("the user of a session cannot be changed")
                    .with_hint("Use SET ROLE."),
            ),
            false => Err(Error::insufficient_privilege(
                "permission denied to set session authorization",
            )),
        };
    }
    session.settings().reset("role")?;
    Ok(Completion::tag("SET"))
}

// --- transactions ---

fn begin(session: &mut Session, start: bool, modes: &Modes) -> Result<Completion> {
    let completion = Completion::tag(if start { "START TRANSACTION" } else { "BEGIN" });
    if session.transaction.block.is_some() {
        apply_modes(session, modes)?;
        let message = "there is already a transaction in progress";
        return Ok(completion.warning(SqlState::ActiveSqlTransaction, message));
    }
    let before = session.settings().clone();
    open(session, before);
    apply_modes(session, modes)?;
    Ok(completion)
}

fn open(session: &mut Session, before: Settings) {
    session.transaction.block = Some(Block {
        failed: false,
        queried: false,
        before,
        savepoints: Vec::new(),
    });
}

fn mode_values(modes: &Modes) -> Vec<(&'static str, String)> {
    let on_off = |on: bool| if on { "on" } else { "off" }.to_owned();
    let values = [
        modes.isolation.clone(),
        modes.read_only.map(on_off),
        modes.deferrable.map(on_off),
    ];
    CHARACTER
        .into_iter()
        .zip(values)
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn apply_modes(session: &mut Session, modes: &Modes) -> Result<()> {
    for (name, value) in mode_values(modes) {
        check_unqueried(session, name, Some(&value))?;
        session.settings().set_local(name, &value)?;
    }
    Ok(())
}

/// 25001 for a change of the transaction's character after its first query.
fn check_unqueried(session: &Session, name: &str, value: Option<&str>) -> Result<()> {
    let message = match name {
        "transaction_isolation" => {
            "SET TRANSACTION ISOLATION LEVEL must be called before any query"
        }
        "transaction_read_only" if value == Some("off") => {
            "transaction read-write mode must be set before any query"
        }
        _ => return Ok(()),
    };
    let same = session.settings().get(name) == value;
    let block = session.transaction.block.as_ref();
    let queried = block.is_some_and(|block| block.queried || !block.savepoints.is_empty());
    if queried && !same {
        return Err(Error::new(SqlState::ActiveSqlTransaction, message));
    }
    Ok(())
}

fn set_transaction(session: &mut Session, modes: &Modes, lasting: bool) -> Result<Completion> {
    let completion = Completion::tag("SET");
    if lasting {
        for (name, value) in mode_values(modes) {
            let name = format!("default_{name}");
            session.settings().set(&name, &value)?;
        }
        return Ok(completion);
    }
    if session.transaction.block.is_none() {
        let message = "SET TRANSACTION can only be used in transaction blocks";
        return Ok(completion.warning(SqlState::NoActiveSqlTransaction, message));
    }
    apply_modes(session, modes)?;
    Ok(completion)
}

/// COMMIT and ROLLBACK. A COMMIT of a failed block is a ROLLBACK, and says so in its tag.
fn end(session: &mut Session, commit: bool, chain: bool) -> Result<Completion> {
    let verb = if commit { "COMMIT" } else { "ROLLBACK" };
    let Some(block) = session.transaction.block.take() else {
        if chain {
            return Err(outside(&format!("{verb} AND CHAIN")));
        }
        return Ok(Completion::tag(verb).warning(
            SqlState::NoActiveSqlTransaction,
            "there is no transaction in progress",
        ));
    };
    let commits = commit && !block.failed;
    let mut settings = session.settings();
    let character: Vec<(&str, String)> = CHARACTER
        .into_iter()
        .filter_map(|name| Some((name, settings.get(name)?.to_owned())))
        .collect();
    if commits {
        settings.end_transaction();
    } else {
        settings.restore(&block.before);
    }
    let after = settings.clone();
    drop(settings);
    session.release_locks(Released::Transaction);
    session.send_notifications(commits);
    let mut completion = Completion::tag(if commits { "COMMIT" } else { "ROLLBACK" });
    completion.closes_portals = true;
    completion.rolls_back = !commits;
    if chain {
        open(session, after);
        for (name, value) in character {
            session.settings().set_local(name, &value)?;
        }
    }
    Ok(completion)
}

fn savepoint(session: &mut Session, name: &str) -> Result<Completion> {
    let settings = session.settings().clone();
    let Some(block) = &mut session.transaction.block else {
        return Err(outside("SAVEPOINT"));
    };
    if block.savepoints.len() >= SAVEPOINTS_MAX {
        return Err(
            Error::program_limit_exceeded("the transaction has too many savepoints")
                .with_detail(format!("The limit is {SAVEPOINTS_MAX}.")),
        );
    }
    block.savepoints.push((name.to_owned(), settings));
    Ok(Completion::tag("SAVEPOINT"))
}

fn find_savepoint(session: &Session, name: &str, verb: &str) -> Result<usize> {
    let Some(block) = &session.transaction.block else {
        return Err(outside(verb));
    };
    block
        .savepoints
        .iter()
        .rposition(|(known, _)| known == name)
        .ok_or_else(|| {
            Error::new(
                SqlState::InvalidSavepointSpecification,
                format!("savepoint \"{name}\" does not exist"),
            )
        })
}

fn release(session: &mut Session, name: &str) -> Result<Completion> {
    let at = find_savepoint(session, name, "RELEASE SAVEPOINT")?;
    if let Some(block) = &mut session.transaction.block {
        block.savepoints.truncate(at);
    }
    Ok(Completion::tag("RELEASE"))
}

fn rollback_to(session: &mut Session, name: &str) -> Result<Completion> {
    let at = find_savepoint(session, name, "ROLLBACK TO SAVEPOINT")?;
    let mut completion = Completion::tag("ROLLBACK");
    let mut before = None;
    if let Some(block) = &mut session.transaction.block {
        before = block
            .savepoints
            .get(at)
            .map(|(_, settings)| settings.clone());
        block.savepoints.truncate(at + 1);
        block.failed = false;
        completion.closes_above = Some(at);
    }
    if let Some(before) = before {
        session.settings().restore(&before);
    }
    Ok(completion)
}

fn discard(session: &mut Session, what: Discarded) -> Result<Completion> {
    let tag = match what {
        Discarded::All => "DISCARD ALL",
        Discarded::Plans => "DISCARD PLANS",
        Discarded::Sequences => "DISCARD SEQUENCES",
        Discarded::Temp => "DISCARD TEMP",
    };
    let mut completion = Completion::tag(tag);
    if what == Discarded::Temp {
        session.work.drop_temporary();
    }
    if what == Discarded::All {
        if session.transaction.block.is_some() {
            return Err(inside(tag));
        }
        session.settings().reset_all();
        session.drop_statements();
        session.release_locks(Released::Everything);
        session.backend().unlisten(None);
        session.work.drop_temporary();
        completion.closes_portals = true;
        completion.closes_held = true;
    }
    Ok(completion)
}

fn deallocate(session: &mut Session, name: Option<&str>) -> Result<Completion> {
    let Some(name) = name else {
        session.drop_statements();
        return Ok(Completion::tag("DEALLOCATE ALL"));
    };
    match session.drop_statement(name) {
        true => Ok(Completion::tag("DEALLOCATE")),
        false => Err(Error::invalid_sql_statement_name(format!(
            "prepared statement \"{name}\" does not exist"
        ))),
    }
}
