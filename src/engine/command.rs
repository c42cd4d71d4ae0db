//! Statements that are not planned as they stand: EXPLAIN, SHOW, COPY, and what is not supported.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast;

use super::session::{Columns, Session};
use super::settings::{Setting, Settings, lookup};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// What a finished command tells its client, and what it ends.
#[derive(Debug)]
pub struct Completion {
    /// The command tag.
    pub tag: String,
    /// Warnings and notices.
    pub notices: Vec<Error>,
    /// Whether the portals and cursors of the transaction are to be closed.
    pub closes_portals: bool,
    /// Whether cursors that were made WITH HOLD before are to be closed too.
    pub closes_held: bool,
    /// Whether what the transaction made is gone.
    pub rolls_back: bool,
    /// Closes the cursors that were made under more savepoints than this.
    pub closes_above: Option<usize>,
}

impl Completion {
    pub(super) fn tag(tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            notices: Vec::new(),
            closes_portals: false,
            closes_held: false,
            rolls_back: false,
            closes_above: None,
        }
    }

    pub(super) fn warning(mut self, state: SqlState, message: &str) -> Self {
        self.notices.push(Error::new(state, message));
        self
    }
}

/// Runs a command.
pub fn run(session: &mut Session, statement: &ast::Statement) -> Result<Completion> {
    match statement {
        // Its functions and tables are always there.
        ast::Statement::CreateExtension(extension)
            if extension.name.value.eq_ignore_ascii_case("pg_cron") =>
        {
            Ok(Completion::tag("CREATE EXTENSION"))
        }
        _ => Err(unsupported(session, statement)),
    }
}

fn unsupported(session: &Session, statement: &ast::Statement) -> Error {
    let text = statement.to_string();
    let words: Vec<_> = text.split_whitespace().take(2).collect();
    let command = words.join(" ").to_uppercase();
    if session.settings().get("transaction_read_only") == Some("on") {
        return Error::new(
            SqlState::ReadOnlySqlTransaction,
            format!("cannot execute {command} in a read-only transaction"),
        );
    }
    let error = Error::feature_not_supported(format!("{command} is not supported"));
    match session.shared.warehouse {
        Some(_) => error,
        None => error.with_detail(
            "This server reads tables in place: it answers queries and does not change them.",
        ),
    }
}

/// The query whose rows a COPY TO STDOUT sends.
pub fn copy_query(source: ast::CopySource, target: &ast::CopyTarget) -> Result<ast::Statement> {
    match target {
        // The two words mean the client, whichever way the rows go.
        ast::CopyTarget::Stdout | ast::CopyTarget::Stdin => {}
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

/// 42704 for a SHOW of a setting that there cannot be; one with a prefix may be made until it runs.
pub fn check_shown(settings: &Settings, name: &str) -> Result<()> {
    match name {
        "all" => Ok(()),
        name if name.contains('.') => Ok(()),
        name => settings.show(name).map(|_| ()),
    }
}

/// The row or rows of a SHOW.
pub fn show(settings: &Settings, name: &str) -> Result<RecordBatch> {
    let columns: Vec<Vec<String>> = match name {
        "all" => vec![
            all_settings()
                .map(|setting| setting.name.to_owned())
                .collect(),
            all_settings()
                .map(|setting| settings.show(setting.name))
                .collect::<Result<_>>()?,
            all_settings()
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

/// Every setting in the order of SHOW ALL.
fn all_settings() -> impl Iterator<Item = &'static Setting> {
    let mut sorted: Vec<_> = super::settings::all().collect();
    sorted.sort_by_key(|setting| setting.name.to_lowercase());
    sorted.into_iter()
}
