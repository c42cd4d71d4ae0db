//! From text to statements: tokens, limits, parsing; and the rewriting before planning.

pub mod alert_command;
pub mod copy_words;
pub mod definitions;
pub mod dialect;
pub mod do_nothing;
pub mod limits;
pub mod loyalty;
pub mod maintenance;
pub mod named_arguments;
pub mod roles;
pub mod session_command;
pub mod tokens;
pub mod view_command;

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Token, TokenWithSpan, Tokenizer, TokenizerError,
};

use self::alert_command::AlertCommand;
use self::session_command::SessionCommand;
use self::view_command::ViewCommand;
use crate::auth::change::Change;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// One statement of a query string.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The statement; `None` for an empty string and for what stands in the fields below.
    pub statement: Option<ast::Statement>,
    /// The statement if it is about the session.
    pub command: Option<SessionCommand>,
    /// The statement if it is about roles and privileges.
    pub change: Option<Change>,
    /// The statement if it is about materialized views.
    pub view: Option<ViewCommand>,
    /// The statement if it is about alerts.
    pub alert: Option<AlertCommand>,
    /// Its text as the client wrote it.
    pub text: String,
    /// The whole query string, in which lines and columns count.
    pub source: Arc<str>,
}

impl Parsed {
    /// The statement of an empty string.
    pub fn empty() -> Self {
        Self {
            statement: None,
            command: None,
            change: None,
            view: None,
            alert: None,
            text: String::new(),
            source: "".into(),
        }
    }

    /// The statement, or the one within a PREPARE or DECLARE.
    fn query(&self) -> Option<&ast::Statement> {
        let inner = match self.command.as_ref() {
            Some(SessionCommand::Prepare { statement, .. }) => Some(statement.as_ref()),
            Some(SessionCommand::Declare(declare)) => Some(declare.query.as_ref()),
            _ => match &self.view {
                Some(ViewCommand::Create(create)) => Some(&create.query),
                _ => match &self.alert {
                    Some(AlertCommand::Create(create)) => Some(&create.query),
                    _ => None,
                },
            },
        };
        self.statement.as_ref().or(inner)
    }

    /// Gives an error its position in the query string.
    pub fn locate(&self, error: Error) -> Error {
        if error.position().is_some() {
            return error;
        }
        let place = error.place().or_else(|| self.place_of_name(&error));
        let error = match place {
            Some((line, column)) => {
                match character_position(&self.source, Location { line, column }) {
                    Some(position) => return error.with_position(position),
                    None => error,
                }
            }
            None => error,
        };
        match self.query() {
            Some(query) => locate_constant(error, query, &self.source),
            None => error,
        }
    }

    /// Where the relation or function stands that the planner does not know: it names it without
    /// saying where.
    fn place_of_name(&self, error: &Error) -> Option<(u64, u64)> {
        let name = match error.state() {
            SqlState::UndefinedTable => error.message().split('"').nth(1)?,
            SqlState::UndefinedFunction => error
                .message()
                .strip_prefix("function ")?
                .split(' ')
                .next()?,
            _ => return None,
        };
        let last = name.rsplit('.').next()?;
        let mut finder = NameFinder { name: last };
        match self.query()?.visit(&mut finder) {
            ControlFlow::Break(start) => Some((start.line, start.column)),
            ControlFlow::Continue(()) => None,
        }
    }
}

/// Gives an error about a constant that could not be read the constant's position.
pub fn locate_constant(error: Error, statement: &ast::Statement, source: &str) -> Error {
    if error.position().is_some() {
        return error;
    }
    let quoted = match error.state() {
        SqlState::InvalidTextRepresentation
        | SqlState::InvalidDatetimeFormat
        | SqlState::DatetimeFieldOverflow
        | SqlState::NumericValueOutOfRange
        | SqlState::UndefinedTable
        | SqlState::UndefinedObject => error
            .message()
            .split_once('"')
            .and_then(|(_, rest)| rest.rsplit_once('"'))
            .map(|(text, _)| text),
        _ => None,
    };
    let Some(text) = error.constant().or(quoted) else {
        return error;
    };
    let place = match statement.visit(&mut ConstantFinder { text }) {
        ControlFlow::Break(place) => place,
        ControlFlow::Continue(()) => return error,
    };
    match character_position(source, place) {
        Some(position) => error.with_position(position),
        None => error,
    }
}

/// Finds the first string constant with a text.
struct ConstantFinder<'a> {
    text: &'a str,
}

impl Visitor for ConstantFinder<'_> {
    type Break = Location;

    fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<Location> {
        let is_it = match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::EscapedStringLiteral(text) => {
                text == self.text
            }
            ast::Value::DollarQuotedString(quoted) => quoted.value == self.text,
            _ => false,
        };
        match is_it && value.span.start.line > 0 {
            true => ControlFlow::Break(value.span.start),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Finds the first relation or function of a name.
struct NameFinder<'a> {
    name: &'a str,
}

impl NameFinder<'_> {
    fn look_at(&self, name: &ast::ObjectName) -> ControlFlow<Location> {
        let Some(ident) = name.0.last().and_then(ast::ObjectNamePart::as_ident) else {
            return ControlFlow::Continue(());
        };
        let same = match ident.quote_style {
            Some(_) => ident.value == self.name,
            None => ident.value.eq_ignore_ascii_case(self.name),
        };
        match name.0.first().and_then(ast::ObjectNamePart::as_ident) {
            Some(first) if same && first.span.start.line > 0 => {
                ControlFlow::Break(first.span.start)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for NameFinder<'_> {
    type Break = Location;

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<Location> {
        self.look_at(name)
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Location> {
        match expr {
            ast::Expr::Function(function) => self.look_at(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Parses every statement of `sql`. Nothing runs if any of them does not parse, as in PostgreSQL.
///
/// Runs on a planning thread: the depth of what it builds is bounded by [`limits`], not by the stack
/// of a network thread.
pub fn parse(sql: &str) -> Result<Vec<Parsed>> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| tokenizer_error(sql, &error))?;
    limits::check_tokens(&tokens)?;
    let source: Arc<str> = sql.into();
    let mut parsed = Vec::new();
    for piece in split_statements(tokens) {
        let text = text_of(sql, &piece);
        if let Some(change) = roles::parse(sql, &piece)? {
            parsed.push(Parsed {
                change: Some(change),
                text: roles::without_password(&text).to_owned(),
                ..Parsed::empty()
            });
            continue;
        }
        let piece = copy_words::spelled_out(piece);
        let piece = definitions::spelled_out(do_nothing::spelled_out(plain_operators(piece)));
        let command = session_command::parse(&piece).map_err(|error| parser_error(sql, &error))?;
        let view = match command {
            Some(_) => None,
            None => view_command::parse(sql, &piece).map_err(|error| parser_error(sql, &error))?,
        };
        let alert = match command.is_some() || view.is_some() {
            true => None,
            false => {
                alert_command::parse(sql, &piece).map_err(|error| parser_error(sql, &error))?
            }
        };
        let statement = match command.is_some() || view.is_some() || alert.is_some() {
            true => None,
            false => Some(parse_statement(sql, piece)?),
        };
        let statement = Parsed {
            statement,
            command,
            change: None,
            view,
            alert,
            text,
            source: Arc::clone(&source),
        };
        if let Some(query) = statement.query() {
            limits::check_statement(query).map_err(|error| statement.locate(error))?;
        }
        parsed.push(statement);
    }
    Ok(parsed)
}

fn parse_statement(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<ast::Statement> {
    tokens::check(&tokens)?;
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(limits::NESTING_DEPTH_MAX)
        .with_tokens_with_locations(tokens::rewrite(tokens));
    let statement = parser
        .parse_statement()
        .map_err(|error| parser_error(sql, &error))?;
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(statement),
        token => Err(near(sql, &token.to_string(), next.span.start)),
    }
}

/// Cuts the tokens at semicolons; pieces without a token that means something are left out.
fn split_statements(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let mut pieces = vec![Vec::new()];
    for token in tokens {
        if token.token == Token::SemiColon {
            pieces.push(Vec::new());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push(token);
        }
    }
    pieces.retain(|piece| {
        piece
            .iter()
            .any(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
    });
    pieces
}

/// `OPERATOR(pg_catalog.=)` before ANY, ALL or SOME as `=`: the parser knows a spelled operator between
/// two values only.
fn plain_operators(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut plain = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    let mut held: Vec<TokenWithSpan> = Vec::new();
    while let Some(token) = rest.next() {
        let starts = is_word(&token, "operator");
        if !starts {
            plain.push(token);
            continue;
        }
        held.push(token);
        while let Some(token) = rest.next_if(|token| {
            !matches!(token.token, Token::RParen | Token::EOF) && held.len() < OPERATOR_TOKENS_MAX
        }) {
            held.push(token);
        }
        held.extend(rest.next_if(|token| token.token == Token::RParen));
        let mut space = Vec::new();
        while let Some(token) = rest.next_if(|token| matches!(token.token, Token::Whitespace(_))) {
            space.push(token);
        }
        let quantified = rest.peek().is_some_and(|next| {
            ["any", "all", "some"]
                .iter()
                .any(|word| is_word(next, word))
        });
        match spelled_operator(&held) {
            Some(operator) if quantified => {
                plain.push(operator);
                held.clear();
            }
            _ => plain.append(&mut held),
        }
        plain.append(&mut space);
    }
    plain
}

/// Tokens of `OPERATOR ( pg_catalog . = )` with space between all of them, and a few more.
const OPERATOR_TOKENS_MAX: usize = 16;

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// The operator within `OPERATOR(pg_catalog.=)` or `OPERATOR(=)`.
fn spelled_operator(tokens: &[TokenWithSpan]) -> Option<TokenWithSpan> {
    let bare: Vec<&TokenWithSpan> = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    let operator = match bare.as_slice() {
        [_, open, schema, dot, operator, close]
            if open.token == Token::LParen
                && is_word(schema, "pg_catalog")
                && dot.token == Token::Period
                && close.token == Token::RParen =>
        {
            operator
        }
        [_, open, operator, close]
            if open.token == Token::LParen && close.token == Token::RParen =>
        {
            operator
        }
        _ => return None,
    };
    matches!(
        operator.token,
        Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::LtEq
            | Token::Gt
            | Token::GtEq
            | Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::DoubleTilde
            | Token::ExclamationMarkDoubleTilde
    )
    .then(|| (*operator).clone())
}

/// The statement as written, without surrounding space.
fn text_of(sql: &str, piece: &[TokenWithSpan]) -> String {
    let (Some(first), Some(last)) = (piece.first(), piece.last()) else {
        return String::new();
    };
    let start = byte_offset(sql, first.span.start).unwrap_or(0);
    let end = byte_offset(sql, last.span.end).unwrap_or(sql.len());
    sql.get(start..end.max(start))
        .unwrap_or(sql)
        .trim()
        .to_owned()
}

/// The byte at a one-based line and column; columns count characters.
fn byte_offset(sql: &str, location: Location) -> Option<usize> {
    if location.line == 0 {
        return None;
    }
    let mut line_start = 0;
    for _ in 1..location.line {
        line_start += sql.get(line_start..)?.find('\n')? + 1;
    }
    let line = sql.get(line_start..)?;
    let column = (location.column as usize).saturating_sub(1);
    let offset = line
        .char_indices()
        .nth(column)
        .map_or(line.len(), |(offset, _)| offset);
    Some(line_start + offset)
}

/// The one-based character position that PostgreSQL's `P` field carries.
pub fn character_position(sql: &str, location: Location) -> Option<usize> {
    let bytes = byte_offset(sql, location)?;
    Some(sql.get(..bytes)?.chars().count() + 1)
}

fn tokenizer_error(sql: &str, error: &TokenizerError) -> Error {
    let message = error.message.to_lowercase();
    let text = if message.contains("unterminated string") {
        "unterminated quoted string".to_owned()
    } else {
        message
    };
    let error_out = Error::syntax_error(text);
    match character_position(sql, error.location) {
        Some(position) => error_out.with_position(position),
        None => error_out,
    }
}

/// sqlparser says `Expected: …, found: WORD at Line: 1, Column: 7`; PostgreSQL's users look for
/// `syntax error at or near "WORD"` and a position.
fn parser_error(sql: &str, error: &ParserError) -> Error {
    let text = match error {
        ParserError::RecursionLimitExceeded => return limits::too_deep(),
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    let (text, location) = split_location(text);
    let Some((expected, found)) = text.split_once(", found: ") else {
        let error = Error::syntax_error(text.to_lowercase());
        return match location.and_then(|location| character_position(sql, location)) {
            Some(position) => error.with_position(position),
            None => error,
        };
    };
    let expected = expected.trim_start_matches("Expected: ");
    let error = match (found, location) {
        ("EOF", _) | (_, None) => Error::syntax_error("syntax error at end of input")
            .with_position(sql.chars().count() + 1),
        (found, Some(location)) => near(sql, found, location),
    };
    error.with_detail(format!("Expected {}.", expected.trim_end_matches('.')))
}

fn near(sql: &str, found: &str, location: Location) -> Error {
    let error = Error::syntax_error(format!("syntax error at or near \"{found}\""));
    match character_position(sql, location) {
        Some(position) => error.with_position(position),
        None => error,
    }
}

fn split_location(text: &str) -> (&str, Option<Location>) {
    let Some((message, place)) = text.rsplit_once(" at Line: ") else {
        return (text, None);
    };
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Location {
            line: line.trim().parse().ok()?,
            column: column.trim().parse().ok()?,
        })
    });
    (message, location)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_text() {
        let parsed = parse("SELECT 1; ; select 'a;b' -- c\n; ").unwrap();
        let texts: Vec<_> = parsed.iter().map(|parsed| parsed.text.as_str()).collect();
        assert_eq!(texts, ["SELECT 1", "select 'a;b' -- c"]);
        assert!(parse("").unwrap().is_empty());
        assert!(parse(" ; -- nothing\n").unwrap().is_empty());
    }

    #[test]
    fn syntax_errors_point_at_the_word() {
        let error = parse("SELECT 1 FORM t").unwrap_err();
        assert_eq!(error.state(), SqlState::SyntaxError);
        let error = parse("SELECT é,\n  * FROM t 1").unwrap_err();
        assert_eq!(error.message(), "syntax error at or near \"1\"");
        assert_eq!(error.position(), Some(22));
        let error = parse("SELECT (1").unwrap_err();
        assert_eq!(error.message(), "syntax error at end of input");
        assert_eq!(
            parse("SELECT 'abc").unwrap_err().message(),
            "unterminated quoted string"
        );
    }

    #[test]
    fn constants_that_cannot_be_read_are_pointed_at() {
        let position = |sql: &str, error: Error| {
            let parsed = parse(sql).unwrap().remove(0);
            parsed.locate(error).position()
        };
        let unread = |text: &str| {
            Error::invalid_text_representation(format!(
                "invalid input syntax for type integer: \"{text}\""
            ))
        };
        assert_eq!(position("SELECT é, 'x'::int4", unread("x")), Some(11));
        assert_eq!(position("SELECT int4 'a\"b'", unread("a\"b")), Some(13));
        assert_eq!(position("SELECT 'y'::int4", unread("x")), None);
        let element = unread("x").with_constant("{1,x}");
        assert_eq!(position("SELECT 'x', '{1,x}'::int4[]", element), Some(13));
        let divided = Error::division_by_zero("division by zero");
        assert_eq!(position("SELECT 'x'", divided), None);
    }

    #[test]
    fn one_bad_statement_stops_all_of_them() {
        assert!(parse("SELECT 1; SELEC 2").is_err());
    }
}
