//! Statements about alerts, read from their tokens.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;

use super::session_command::{Parsed, Words};
use super::view_command::Alteration;
use crate::jobs::options::Written;

/// A statement about an alert.
#[derive(Debug, Clone)]
pub enum AlertCommand {
    /// CREATE ALERT
    Create(Box<CreateAlert>),
    /// ALTER ALERT
    Alter {
        /// The alert.
        name: String,
        /// What is altered.
        action: Alteration,
    },
    /// DROP ALERT
    Drop {
        /// The alerts.
        names: Vec<String>,
        /// Whether they may be missing.
        if_exists: bool,
    },
}

/// A CREATE ALERT.
#[derive(Debug, Clone)]
pub struct CreateAlert {
    /// Its name.
    pub name: String,
    /// It takes the place of another one.
    pub or_replace: bool,
    /// It may be there already.
    pub if_not_exists: bool,
    /// Its options.
    pub options: Written,
    /// A query of its condition.
    pub query: ast::Statement,
    /// The text of that query.
    pub text: String,
}

/// The command that the tokens of one statement are; none if they are about something else.
pub(super) fn parse(sql: &str, tokens: &[TokenWithSpan]) -> Parsed<Option<AlertCommand>> {
    let mut words = Words::new(tokens);
    let command = if words.skip_all(&["drop", "alert"]) {
        let if_exists = words.skip_all(&["if", "exists"]);
        let names = words.list()?;
        AlertCommand::Drop { names, if_exists }
    } else if words.skip_all(&["alter", "alert"]) {
        let name = words.name()?;
        let action = words.alteration()?;
        AlertCommand::Alter { name, action }
    } else if words.skip("create") {
        let or_replace = words.skip_all(&["or", "replace"]);
        if !words.skip("alert") {
            return Ok(None);
        }
        return words.alert(sql, or_replace).map(Some);
    } else {
        return Ok(None);
    };
    match words.peek() {
        None => Ok(Some(command)),
        Some(_) => Err(words.unexpected("end of statement")),
    }
}

impl Words {
    fn alert(&mut self, sql: &str, or_replace: bool) -> Parsed<AlertCommand> {
        let if_not_exists = self.skip_all(&["if", "not", "exists"]);
        let name = self.name()?;
        let options = match self.skip("with") {
            true => self.options()?,
            false => Written::new(),
        };
        self.expect("when")?;
        let text = format!("SELECT {}", super::text_of(sql, &self.tokens[self.at..]));
        let mut parser = self.parser();
        let condition = parser.parse_expr()?;
        super::session_command::expect_end(&mut parser)?;
        let mut select = Parser::parse_sql(
            &datafusion::sql::sqlparser::dialect::PostgreSqlDialect {},
            "SELECT NULL",
        )?;
        if let Some(ast::Statement::Query(query)) = select.first_mut()
            && let ast::SetExpr::Select(select) = query.body.as_mut()
        {
            select.projection = vec![ast::SelectItem::UnnamedExpr(condition)];
        }
        let query = select.pop().ok_or_else(|| self.unexpected("a condition"))?;
        Ok(AlertCommand::Create(Box::new(CreateAlert {
            name,
            or_replace,
            if_not_exists,
            options,
            query,
            text,
        })))
    }
}
