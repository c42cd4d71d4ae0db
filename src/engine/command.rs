//! Statements that are not planned as they stand: EXPLAIN, SHOW, COPY, and what is not supported.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{self, Expr, Value};

use super::session::{Columns, Session};
use super::settings::{SETTINGS, Settings, lookup};
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
    Err(unsupported(session, statement))
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
    Error::feature_not_supported(format!("{command} is not supported")).with_detail(
        "This server reads tables in place: it answers queries and does not change them.",
    )
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
        other => Err(invalid_value(other)),
    }
}

fn invalid_value(value: &impl std::fmt::Display) -> Error {
    Error::syntax_error(format!("syntax error at or near \"{value}\""))
}
