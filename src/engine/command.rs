//! Statements that give no plan: SET, SHOW, transactions, DISCARD and their like.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{self, ContextModifier, Expr, Ident, ObjectName, Value};

use super::session::{Columns, Session, TransactionStatus};
use super::settings::{SETTINGS, Settings, lookup};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// What a finished command tells its client.
#[derive(Debug)]
pub struct Completion {
    /// The command tag.
    pub tag: String,
    /// Warnings and notices.
    pub notices: Vec<Error>,
    /// Names of settings that changed and are reported to clients.
    pub reported: Vec<&'static str>,
    /// Whether the portals of the session are to be closed.
    pub closes_portals: bool,
}

impl Completion {
    fn tag(tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            notices: Vec::new(),
            reported: Vec::new(),
            closes_portals: false,
        }
    }

    fn warning(mut self, state: SqlState, message: &str) -> Self {
        self.notices.push(Error::new(state, message));
        self
    }
}

/// The session's transaction block and the settings it will restore.
#[derive(Debug, Default)]
pub struct Transaction {
    block: Option<Block>,
}

#[derive(Debug)]
struct Block {
    failed: bool,
    /// Settings at BEGIN, for ROLLBACK.
    before: Settings,
    /// Settings as COMMIT leaves them: SET counts, SET LOCAL does not.
    committed: Settings,
    savepoints: Vec<String>,
}

impl Transaction {
    /// The status that ReadyForQuery reports.
    pub fn status(&self) -> TransactionStatus {
        match &self.block {
            None => TransactionStatus::Idle,
            Some(Block { failed: false, .. }) => TransactionStatus::InTransaction,
            Some(Block { failed: true, .. }) => TransactionStatus::Failed,
        }
    }

    /// An error fails an open block.
    pub fn fail(&mut self) {
        if let Some(block) = &mut self.block {
            block.failed = true;
        }
    }

    /// In a failed block only its end is accepted.
    pub fn admit(&self, statement: &ast::Statement) -> Result<()> {
        use ast::Statement as S;
        let ends = matches!(statement, S::Commit { .. } | S::Rollback { .. });
        if self.status() == TransactionStatus::Failed && !ends {
            return Err(Error::in_failed_sql_transaction(
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }
}

/// Runs a command.
pub fn run(session: &mut Session, statement: &ast::Statement) -> Result<Completion> {
    use ast::Statement as S;
    match statement {
        S::Set(set) => run_set(session, set),
        S::Reset(reset) => run_reset(session, &reset.reset),
        S::StartTransaction { modes, begin, .. } => begin_transaction(session, modes, *begin),
        S::Commit { .. } => Ok(end_transaction(session, true)),
        S::Rollback {
            savepoint: Some(name),
            ..
        } => rollback_to(session, name),
        S::Rollback {
            savepoint: None, ..
        } => Ok(end_transaction(session, false)),
        S::Savepoint { name } => savepoint(session, name),
        S::ReleaseSavepoint { name } => release(session, name),
        S::Discard { object_type } => discard(session, *object_type),
        S::Deallocate { name, .. } => deallocate(session, name),
        S::LISTEN { .. } | S::UNLISTEN { .. } | S::NOTIFY { .. } => Err(unsupported(statement)),
        other => Err(unsupported(other)),
    }
}

fn unsupported(statement: &ast::Statement) -> Error {
    let text = statement.to_string();
    let words: Vec<_> = text.split_whitespace().take(2).collect();
    Error::feature_not_supported(format!(
        "{} is not supported",
        words.join(" ").to_uppercase()
    ))
    .with_detail("This server reads tables in place: it answers queries and does not change them.")
}

fn run_set(session: &mut Session, set: &ast::Set) -> Result<Completion> {
    use ast::Set;
    let (local, pairs) = match set {
        Set::SingleAssignment {
            scope,
            variable,
            values,
            ..
        } => {
            let name = setting_name(variable);
            (
                scope == &Some(ContextModifier::Local),
                vec![(name, Some(values_text(values)?))],
            )
        }
        Set::SetTimeZone { local, value } => (
            *local,
            vec![("TimeZone".to_owned(), Some(value_text(value)?))],
        ),
        Set::SetNames { charset_name, .. } => (
            false,
            vec![(
                "client_encoding".to_owned(),
                Some(charset_name.value.clone()),
            )],
        ),
        Set::SetNamesDefault {} => (false, vec![("client_encoding".to_owned(), None)]),
        Set::SetTransaction { modes, .. } => return set_transaction(session, modes, set),
        Set::SetRole { role_name, .. } => return set_role(session, role_name.as_ref()),
        Set::SetSessionAuthorization(_) => return Ok(Completion::tag("SET SESSION AUTHORIZATION")),
        other => {
            return Err(Error::feature_not_supported(format!(
                "{other} is not supported"
            )));
        }
    };
    let mut completion = Completion::tag("SET");
    if local && session.transaction.block.is_none() {
        let message = "SET LOCAL can only be used in transaction blocks";
        return Ok(completion.warning(SqlState::NoActiveSqlTransaction, message));
    }
    for (name, value) in pairs {
        let default = value
            .as_deref()
            .is_none_or(|value| value.eq_ignore_ascii_case("default"));
        apply(
            session,
            &name,
            if default { None } else { value.as_deref() },
            local,
        )?;
        completion.reported.extend(reported(session, &name));
    }
    Ok(completion)
}

/// Changes one setting now and, unless the change is local, as COMMIT will leave it.
fn apply(session: &mut Session, name: &str, value: Option<&str>, local: bool) -> Result<()> {
    let change = |settings: &mut Settings| match value {
        Some(value) => settings.set(name, value).map(|_| ()),
        None => settings.reset(name),
    };
    change(&mut session.settings())?;
    if let Some(block) = &mut session.transaction.block
        && !local
    {
        change(&mut block.committed)?;
    }
    Ok(())
}

fn reported(session: &Session, name: &str) -> Option<&'static str> {
    let setting = lookup(name)?;
    if setting.name == "application_name" {
        let name = session
            .settings()
            .get(setting.name)
            .unwrap_or_default()
            .to_owned();
        session.backend().set_application_name(&name);
    }
    setting.reported.then_some(setting.name)
}

fn run_reset(session: &mut Session, reset: &ast::Reset) -> Result<Completion> {
    let mut completion = Completion::tag("RESET");
    match reset {
        ast::Reset::ALL => {
            session.settings().reset_all();
            if let Some(block) = &mut session.transaction.block {
                block.committed.reset_all();
            }
            completion.reported = reportable();
        }
        ast::Reset::ConfigurationParameter(name) => {
            let name = setting_name(name);
            apply(session, &name, None, false)?;
            completion.reported.extend(reported(session, &name));
        }
    }
    Ok(completion)
}

fn reportable() -> Vec<&'static str> {
    SETTINGS
        .iter()
        .filter(|setting| setting.reported)
        .map(|setting| setting.name)
        .collect()
}

fn set_role(session: &Session, role: Option<&Ident>) -> Result<Completion> {
    let user = &session.backend().origin.user;
    match role {
        Some(role) if role.value != *user && !role.value.eq_ignore_ascii_case("none") => Err(
            Error::undefined_object(format!("role \"{}\" does not exist", role.value)),
        ),
        _ => Ok(Completion::tag("SET")),
    }
}

fn set_transaction(
    session: &mut Session,
    modes: &[ast::TransactionMode],
    set: &ast::Set,
) -> Result<Completion> {
    let for_session = matches!(set, ast::Set::SetTransaction { session: true, .. });
    let completion = Completion::tag("SET");
    if !for_session && session.transaction.block.is_none() {
        let message = "SET TRANSACTION can only be used in transaction blocks";
        return Ok(completion.warning(SqlState::NoActiveSqlTransaction, message));
    }
    apply_modes(
        session,
        modes,
        if for_session {
            "default_transaction"
        } else {
            "transaction"
        },
    )?;
    Ok(completion)
}

fn apply_modes(session: &mut Session, modes: &[ast::TransactionMode], prefix: &str) -> Result<()> {
    use ast::{TransactionAccessMode as Access, TransactionMode as Mode};
    for mode in modes {
        let (name, value) = match mode {
            Mode::AccessMode(Access::ReadOnly) => ("read_only", "on".to_owned()),
            Mode::AccessMode(Access::ReadWrite) => ("read_only", "off".to_owned()),
            Mode::IsolationLevel(level) => ("isolation", level.to_string().to_lowercase()),
        };
        apply(
            session,
            &format!("{prefix}_{name}"),
            Some(&value),
            prefix == "transaction",
        )?;
    }
    Ok(())
}

fn begin_transaction(
    session: &mut Session,
    modes: &[ast::TransactionMode],
    begin: bool,
) -> Result<Completion> {
    let completion = Completion::tag(if begin { "BEGIN" } else { "START TRANSACTION" });
    if session.transaction.block.is_some() {
        let message = "there is already a transaction in progress";
        return Ok(completion.warning(SqlState::ActiveSqlTransaction, message));
    }
    let before = session.settings().clone();
    let committed = before.clone();
    session.transaction.block = Some(Block {
        failed: false,
        before,
        committed,
        savepoints: Vec::new(),
    });
    apply_modes(session, modes, "transaction")?;
    Ok(completion)
}

/// COMMIT and ROLLBACK. A COMMIT of a failed block is a ROLLBACK, and says so in its tag.
fn end_transaction(session: &mut Session, commit: bool) -> Completion {
    let Some(block) = session.transaction.block.take() else {
        return Completion::tag(if commit { "COMMIT" } else { "ROLLBACK" }).warning(
            SqlState::NoActiveSqlTransaction,
            "there is no transaction in progress",
        );
    };
    let commits = commit && !block.failed;
    *session.settings() = if commits {
        block.committed
    } else {
        block.before
    };
    let name = session
        .settings()
        .get("application_name")
        .unwrap_or_default()
        .to_owned();
    session.backend().set_application_name(&name);
    let mut completion = Completion::tag(if commits { "COMMIT" } else { "ROLLBACK" });
    completion.reported = reportable();
    completion.closes_portals = true;
    completion
}

fn savepoint(session: &mut Session, name: &Ident) -> Result<Completion> {
    /// Savepoints of one transaction.
    const SAVEPOINTS_MAX: usize = 1_000;
    let Some(block) = &mut session.transaction.block else {
        return Err(Error::new(
            SqlState::NoActiveSqlTransaction,
            "SAVEPOINT can only be used in transaction blocks",
        ));
    };
    if block.savepoints.len() >= SAVEPOINTS_MAX {
        return Err(
            Error::program_limit_exceeded("the transaction has too many savepoints")
                .with_detail(format!("The limit is {SAVEPOINTS_MAX}.")),
        );
    }
    block.savepoints.push(name.value.clone());
    Ok(Completion::tag("SAVEPOINT"))
}

fn find_savepoint(session: &mut Session, name: &Ident, verb: &str) -> Result<usize> {
    let Some(block) = &session.transaction.block else {
        return Err(Error::new(
            SqlState::NoActiveSqlTransaction,
            format!("{verb} can only be used in transaction blocks"),
        ));
    };
    block
        .savepoints
        .iter()
        .rposition(|known| *known == name.value)
        .ok_or_else(|| {
            Error::new(
                SqlState::InvalidSavepointSpecification,
                format!("savepoint \"{}\" does not exist", name.value),
            )
        })
}

fn release(session: &mut Session, name: &Ident) -> Result<Completion> {
    let at = find_savepoint(session, name, "RELEASE SAVEPOINT")?;
    if let Some(block) = &mut session.transaction.block {
        block.savepoints.truncate(at);
    }
    Ok(Completion::tag("RELEASE"))
}

fn rollback_to(session: &mut Session, name: &Ident) -> Result<Completion> {
    let at = find_savepoint(session, name, "ROLLBACK TO SAVEPOINT")?;
    if let Some(block) = &mut session.transaction.block {
        block.savepoints.truncate(at + 1);
        block.failed = false;
    }
    Ok(Completion::tag("ROLLBACK"))
}

fn discard(session: &mut Session, object: ast::DiscardObject) -> Result<Completion> {
    use ast::DiscardObject as Object;
    let tag = match object {
        Object::ALL => "DISCARD ALL",
        Object::PLANS => "DISCARD PLANS",
        Object::SEQUENCES => "DISCARD SEQUENCES",
        Object::TEMP => "DISCARD TEMP",
    };
    let mut completion = Completion::tag(tag);
    if matches!(object, Object::ALL) {
        if session.transaction.block.is_some() {
            return Err(Error::new(
                SqlState::ActiveSqlTransaction,
                "DISCARD ALL cannot run inside a transaction block",
            ));
        }
        session.settings().reset_all();
        session.drop_statements();
        completion.reported = reportable();
        completion.closes_portals = true;
    }
    Ok(completion)
}

fn deallocate(session: &mut Session, name: &Ident) -> Result<Completion> {
    if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
        session.drop_statements();
        return Ok(Completion::tag("DEALLOCATE ALL"));
    }
    match session.drop_statement(&name.value) {
        true => Ok(Completion::tag("DEALLOCATE")),
        false => Err(Error::invalid_sql_statement_name(format!(
            "prepared statement \"{}\" does not exist",
            name.value
        ))),
    }
}

/// EXPLAIN's options.
#[derive(Debug, Clone, Copy)]
pub struct ExplainRequest {
    /// Run the query and show what each step did.
    pub analyze: bool,
    /// Show more of each step.
    pub verbose: bool,
}

impl ExplainRequest {
    /// Takes PostgreSQL's `(name [value], …)` options; those without a meaning here are accepted.
    pub fn apply(&mut self, options: Vec<ast::UtilityOption>) -> Result<()> {
        for option in options {
            let on = match &option.arg {
                None => true,
                Some(value) => crate::parse::boolean(&value_text(value)?).unwrap_or(false),
            };
            match option.name.value.to_lowercase().as_str() {
                "analyze" => self.analyze = on,
                "verbose" => self.verbose = on,
                "costs" | "settings" | "buffers" | "wal" | "timing" | "summary" => {}
                "format" => {
                    let format = option
                        .arg
                        .as_ref()
                        .map(value_text)
                        .transpose()?
                        .unwrap_or_default();
                    if !format.eq_ignore_ascii_case("text") {
                        return Err(Error::feature_not_supported(format!(
                            "EXPLAIN format \"{format}\" is not supported"
                        )));
                    }
                }
                other => {
                    return Err(Error::syntax_error(format!(
                        "unrecognized EXPLAIN option \"{other}\""
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The query whose rows a COPY TO STDOUT sends.
pub fn copy_query(
    source: ast::CopySource,
    to: bool,
    target: &ast::CopyTarget,
) -> Result<ast::Statement> {
    if !to {
        return Err(
            Error::feature_not_supported("COPY FROM is not supported").with_detail(
                "This server reads tables in place: it answers queries and does not change them.",
            ),
        );
    }
    match target {
        ast::CopyTarget::Stdout => {}
        _ => {
            return Err(Error::insufficient_privilege(
                "COPY to a file or program of the server is not allowed",
            )
            .with_hint("Use COPY … TO STDOUT, or psql's \\copy."));
        }
    }
    let query = match source {
        ast::CopySource::Query(query) => query,
        ast::CopySource::Table {
            table_name,
            columns,
        } => Box::new(super::plan::select_from(table_name, &columns)?),
    };
    Ok(ast::Statement::Query(query))
}

/// The setting that a SHOW names.
pub fn show_name(variable: &[Ident]) -> String {
    let words: Vec<_> = variable
        .iter()
        .map(|ident| ident.value.to_lowercase())
        .collect();
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["time", "zone"] => "TimeZone".to_owned(),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["session", "authorization"] => "session_authorization".to_owned(),
        ["names"] => "client_encoding".to_owned(),
        _ => words.join("."),
    }
}

/// The columns of a SHOW.
pub fn show_columns(name: &str) -> Columns {
    let names: Vec<String> = match name {
        "all" => ["name", "setting", "description"]
            .map(str::to_owned)
            .to_vec(),
        name => {
            vec![lookup(name).map_or_else(|| name.to_owned(), |setting| setting.name.to_owned())]
        }
    };
    let fields: Vec<_> = names
        .iter()
        .map(|name| Field::new(name, DataType::Utf8, true))
        .collect();
    Columns {
        schema: Arc::new(Schema::new(fields)),
        names,
    }
}

/// The row or rows of a SHOW.
pub fn show(settings: &Settings, name: &str) -> Result<RecordBatch> {
    let columns: Vec<Vec<String>> = match name {
        "all" => vec![
            SETTINGS
                .iter()
                .map(|setting| setting.name.to_owned())
                .collect(),
            SETTINGS
                .iter()
                .map(|setting| settings.show(setting.name))
                .collect::<Result<_>>()?,
            SETTINGS
                .iter()
                .map(|setting| setting.description.to_owned())
                .collect(),
        ],
        name => vec![vec![settings.show(name)?]],
    };
    let arrays = columns
        .into_iter()
        .map(|column| Arc::new(StringArray::from(column)) as ArrayRef)
        .collect();
    RecordBatch::try_new(show_columns(name).schema, arrays)
        .map_err(|error| Error::internal("a SHOW result was not built").with_source(error))
}

fn setting_name(name: &ObjectName) -> String {
    let words: Vec<_> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident().map(|ident| ident.value.clone()))
        .collect();
    words.join(".")
}

/// The text of a SET's values; a list is joined with commas, as `search_path` keeps it.
fn values_text(values: &[Expr]) -> Result<String> {
    let texts = values.iter().map(value_text).collect::<Result<Vec<_>>>()?;
    Ok(texts.join(", "))
}

fn value_text(value: &Expr) -> Result<String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Ok(number.clone()),
            Value::Boolean(on) => Ok(if *on { "on" } else { "off" }.to_owned()),
            Value::Null => Err(Error::syntax_error("syntax error at or near \"NULL\"")),
            other => other
                .clone()
                .into_string()
                .ok_or_else(|| invalid_value(value)),
        },
        Expr::Identifier(ident) if ident.quote_style.is_some() => {
            Ok(format!("\"{}\"", ident.value))
        }
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        Expr::UnaryOp { op, expr } => Ok(format!("{op}{}", value_text(expr)?)),
        Expr::Interval(interval) => interval_hours(interval),
        other => Err(invalid_value(other)),
    }
}

/// `SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE`.
fn interval_hours(interval: &ast::Interval) -> Result<String> {
    value_text(&interval.value)
}

fn invalid_value(value: &impl std::fmt::Display) -> Error {
    Error::syntax_error(format!("syntax error at or near \"{value}\""))
}
