//! DECLARE, FETCH and CLOSE as far as a forward-only engine goes.

use datafusion::sql::sqlparser::ast::{self, CloseCursor, FetchDirection, Ident, Value};

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// A DECLARE statement.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The cursor's name.
    pub name: String,
    /// Whether its rows are sent in binary.
    pub binary: bool,
    /// Whether it outlives its transaction.
    pub hold: bool,
    /// Its query.
    pub query: ast::Statement,
}

/// A FETCH statement: which cursor, and up to how many rows.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The cursor's name.
    pub name: String,
    /// Rows to send at most.
    pub rows_max: u64,
}

/// Reads a DECLARE.
pub fn declaration(statements: Vec<ast::Declare>) -> Result<Declaration> {
    let mut statements = statements.into_iter();
    let (Some(declare), None) = (statements.next(), statements.next()) else {
        return Err(Error::syntax_error("DECLARE declares one cursor"));
    };
    let (Some(name), Some(query)) = (declare.names.first(), declare.for_query) else {
        return Err(Error::syntax_error("DECLARE needs a name and a query"));
    };
    if declare.scroll == Some(true) {
        return Err(
            Error::feature_not_supported("SCROLL cursors are not supported")
                .with_detail("Results are streamed and can be read forward only.")
                .with_hint("Declare the cursor with NO SCROLL, or select into the client."),
        );
    }
    Ok(Declaration {
        name: folded(name),
        binary: declare.binary.unwrap_or(false),
        hold: declare.hold.unwrap_or(false),
        query: ast::Statement::Query(query),
    })
}

/// Reads a FETCH.
pub fn fetch(name: &Ident, direction: &FetchDirection) -> Result<FetchRequest> {
    let rows_max = match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => 1,
        FetchDirection::All | FetchDirection::ForwardAll => u64::MAX,
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            count(limit)?
        }
        FetchDirection::Prior
        | FetchDirection::First
        | FetchDirection::Last
        | FetchDirection::Absolute { .. }
        | FetchDirection::Relative { .. }
        | FetchDirection::Backward { .. }
        | FetchDirection::BackwardAll => return Err(forward_only()),
    };
    Ok(FetchRequest {
        name: folded(name),
        rows_max,
    })
}

/// The cursor that a CLOSE names; `None` for all.
pub fn closed(cursor: &CloseCursor) -> Option<String> {
    match cursor {
        CloseCursor::All => None,
        CloseCursor::Specific { name } => Some(folded(name)),
    }
}

/// The error of a FETCH on a name that no cursor has.
pub fn no_cursor(name: &str) -> Error {
    Error::invalid_cursor_name(format!("cursor \"{name}\" does not exist"))
}

fn count(limit: &ast::ValueWithSpan) -> Result<u64> {
    match &limit.value {
        // Zero would be the current row again.
        Value::Number(digits, _) => match digits.parse() {
            Ok(0) => Err(forward_only()),
            Ok(rows) => Ok(rows),
            Err(_) => Err(Error::syntax_error(format!(
                "syntax error at or near \"{digits}\""
            ))),
        },
        other => Err(Error::syntax_error(format!(
            "syntax error at or near \"{other}\""
        ))),
    }
}

fn forward_only() -> Error {
    Error::new(
        SqlState::ObjectNotInPrerequisiteState,
        "cursor can only scan forward",
    )
    .with_hint("Fetch NEXT, a positive number of rows, or ALL.")
}

/// Unquoted names are lower case.
fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}
