//! Statements about materialized views, read from their tokens: the SQL parser knows few of them.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::session_command::{Parsed, Words, whole_statement};
use crate::jobs::options::Written;

/// A statement about materialized views.
#[derive(Debug, Clone)]
pub enum ViewCommand {
    /// CREATE MATERIALIZED VIEW
    Create(Box<CreateMaterialized>),
    /// REFRESH MATERIALIZED VIEW
    Refresh {
        /// The view.
        name: ast::ObjectName,
        /// Whether rows are written; without them the view cannot be read.
        with_data: bool,
    },
    /// ALTER MATERIALIZED VIEW
    Alter {
        /// The view.
        name: ast::ObjectName,
        /// Whether it may be missing.
        if_exists: bool,
        /// What is altered.
        action: Alteration,
    },
}

/// What ALTER MATERIALIZED VIEW does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// Its schedule rests.
    Suspend,
    /// Its schedule goes on.
    Resume,
    /// Options get values.
    Set(Written),
    /// Options get their defaults.
    Reset(Vec<String>),
    /// It gets another name.
    Rename(String),
    /// It goes to another schema.
    Schema(String),
    /// A column gets another name.
    Column {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// It gets another owner.
    Owner(String),
}

/// A CREATE MATERIALIZED VIEW.
#[derive(Debug, Clone)]
pub struct CreateMaterialized {
    /// Its name.
    pub name: ast::ObjectName,
    /// Names of its columns where they are given.
    pub columns: Vec<ast::Ident>,
    /// It takes the place of another one.
    pub or_replace: bool,
    /// It may be there already.
    pub if_not_exists: bool,
    /// The columns that its rows are kept apart by.
    pub partitioned_by: Vec<String>,
    /// Its options.
    pub options: Written,
    /// The comment on it.
    pub comment: Option<String>,
    /// Its query.
    pub query: ast::Statement,
    /// The text of the query as it was written.
    pub query_text: String,
    /// Whether it is filled now.
    pub with_data: bool,
}

/// The command that the tokens of one statement are; none if they are about something else.
pub(super) fn parse(sql: &str, tokens: &[TokenWithSpan]) -> Parsed<Option<ViewCommand>> {
    let mut words = Words::new(tokens);
    let command = if words.skip_all(&["refresh", "materialized", "view"]) {
        words.refresh()?
    } else if words.skip_all(&["alter", "materialized", "view"]) {
        words.alter()?
    } else if words.skip("create") {
        let or_replace = words.skip_all(&["or", "replace"]);
        if !words.skip_all(&["materialized", "view"]) {
            return Ok(None);
        }
        return words.create(sql, or_replace).map(Some);
    } else {
        return Ok(None);
    };
    match words.peek() {
        None => Ok(Some(command)),
        Some(_) => Err(words.unexpected("end of statement")),
    }
}

impl Words {
    fn refresh(&mut self) -> Parsed<ViewCommand> {
        // Every refresh leaves readers alone: they see the rows before until it is done.
        self.skip("concurrently");
        let name = self.object_name()?;
        let with_data = self.with_data()?;
        Ok(ViewCommand::Refresh { name, with_data })
    }

    fn with_data(&mut self) -> Parsed<bool> {
        if !self.skip("with") {
            return Ok(true);
        }
        let without = self.skip("no");
        self.expect("data")?;
        Ok(!without)
    }

    fn alter(&mut self) -> Parsed<ViewCommand> {
        let if_exists = self.skip_all(&["if", "exists"]);
        let name = self.object_name()?;
        let action = self.alteration()?;
        Ok(ViewCommand::Alter {
            name,
            if_exists,
            action,
        })
    }

    /// What is altered of something that runs by itself.
    pub(super) fn alteration(&mut self) -> Parsed<Alteration> {
        Ok(if self.skip("suspend") {
            Alteration::Suspend
        } else if self.skip("resume") {
            Alteration::Resume
        } else if self.skip_all(&["set", "schema"]) {
            Alteration::Schema(self.name()?)
        } else if self.skip("set") {
            Alteration::Set(self.options()?)
        } else if self.skip("reset") {
            Alteration::Reset(self.names()?)
        } else if self.skip_all(&["rename", "to"]) {
            Alteration::Rename(self.name()?)
        } else if self.skip("rename") {
            self.skip("column");
            let from = self.name()?;
            self.expect("to")?;
            let to = self.name()?;
            Alteration::Column { from, to }
        } else if self.skip_all(&["owner", "to"]) {
            Alteration::Owner(self.name()?)
        } else {
            return Err(self.unexpected("SUSPEND, RESUME, SET, RESET, RENAME or OWNER TO"));
        })
    }

    fn names(&mut self) -> Parsed<Vec<String>> {
        self.open()?;
        let names = self.list()?;
        self.close()?;
        Ok(names)
    }

    /// Names with commas between them.
    pub(super) fn list(&mut self) -> Parsed<Vec<String>> {
        let mut names = vec![self.name()?];
        while self.symbol(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn open(&mut self) -> Parsed<()> {
        match self.symbol(&Token::LParen) {
            true => Ok(()),
            false => Err(self.unexpected("(")),
        }
    }

    fn close(&mut self) -> Parsed<()> {
        match self.symbol(&Token::RParen) {
            true => Ok(()),
            false => Err(self.unexpected(")")),
        }
    }

    /// `(name = 'value', …)`; numbers and words are values too.
    pub(super) fn options(&mut self) -> Parsed<Written> {
        self.open()?;
        let mut written = Written::new();
        loop {
            let start = self.at;
            let name = self.name()?;
            if !self.symbol(&Token::Eq) {
                return Err(self.unexpected("="));
            }
            let value = match self.peek().cloned() {
                Some(Token::Number(number, _)) => {
                    self.at += 1;
                    number
                }
                Some(Token::Word(_)) => self.name()?,
                _ => self.string()?,
            };
            if written.insert(name.clone(), value).is_some() {
                self.at = start;
                let text = format!("parameter \"{name}\" specified more than once");
                return Err(ParserError::ParserError(text));
            }
            if !self.symbol(&Token::Comma) {
                break;
            }
        }
        self.close()?;
        Ok(written)
    }

    fn create(&mut self, sql: &str, or_replace: bool) -> Parsed<ViewCommand> {
        let if_not_exists = self.skip_all(&["if", "not", "exists"]);
        let name = self.object_name()?;
        let mut columns = Vec::new();
        if self.symbol(&Token::LParen) {
            loop {
                let ident = self.object_name()?;
                columns.extend(ident.0.last().and_then(|part| part.as_ident().cloned()));
                if !self.symbol(&Token::Comma) {
                    break;
                }
            }
            self.close()?;
        }
        let (mut options, mut comment) = (Written::new(), None);
        let mut partitioned_by = Vec::new();
        loop {
            if self.skip_all(&["partitioned", "by"]) {
                partitioned_by = self.names_in_parentheses()?;
                continue;
            }
            if self.skip("using") || self.skip("tablespace") {
                self.name()?;
            } else if self.skip("comment") {
                comment = Some(self.string()?);
            } else if self.skip("with") {
                options = self.options()?;
            } else {
                break;
            }
        }
        self.expect("as")?;
        let with_data = self.take_with_data();
        let query_text = super::text_of(sql, &self.tokens[self.at..]);
        let query = whole_statement(&mut self.parser())?;
        if !matches!(query, ast::Statement::Query(_)) {
            return Err(self.unexpected("a query"));
        }
        Ok(ViewCommand::Create(Box::new(CreateMaterialized {
            name,
            columns,
            or_replace,
            if_not_exists,
            partitioned_by,
            options,
            comment,
            query,
            query_text,
            with_data,
        })))
    }

    fn names_in_parentheses(&mut self) -> Parsed<Vec<String>> {
        let mut names = Vec::new();
        if !self.symbol(&Token::LParen) {
            return Err(self.unexpected("("));
        }
        loop {
            names.push(self.name()?);
            if !self.symbol(&Token::Comma) {
                break;
            }
        }
        self.close()?;
        Ok(names)
    }

    /// Takes `WITH [NO] DATA` off the end of the statement.
    fn take_with_data(&mut self) -> bool {
        while matches!(self.tokens.last(), Some(token) if token.token == Token::EOF) {
            self.tokens.pop();
        }
        let is_word = |token: &TokenWithSpan, text: &str| {
            matches!(&token.token, Token::Word(word)
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
        };
        let ends_with = |words: &[&str]| {
            let from = self.tokens.len().saturating_sub(words.len());
            let end = &self.tokens[from.max(self.at)..];
            end.len() == words.len()
                && end
                    .iter()
                    .zip(words)
                    .all(|(token, word)| is_word(token, word))
        };
        let (with_data, taken) = if ends_with(&["with", "no", "data"]) {
            (false, 3)
        } else if ends_with(&["with", "data"]) {
            (true, 2)
        } else {
            (true, 0)
        };
        self.tokens.truncate(self.tokens.len() - taken);
        with_data
    }
}
