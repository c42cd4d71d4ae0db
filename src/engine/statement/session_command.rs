//! Statements about the session rather than its data — SET, BEGIN, PREPARE, FETCH and their like —
//! read from their tokens: PostgreSQL's grammar for them is small and the SQL parser knows part of it.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::limits;
use super::maintenance::Maintenance;

use crate::calendar::{IntervalStyle, MICROS_PER_HOUR, interval};

/// The modes of a transaction; `None` where the statement does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modes {
    /// The isolation level, in lower case.
    pub isolation: Option<String>,
    /// READ ONLY or READ WRITE.
    pub read_only: Option<bool>,
    /// `[NOT] DEFERRABLE`
    pub deferrable: Option<bool>,
}

/// A value of SET: `None` is DEFAULT.
pub type SettingValue = Option<String>;

/// A statement about the session.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant is the statement of its name")]
pub enum SessionCommand {
    Begin {
        start: bool,
        modes: Modes,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    RollbackTo(String),
    Savepoint(String),
    Release(String),
    TwoPhase,
    Set {
        local: bool,
        name: String,
        value: SettingValue,
    },
    SetTransaction {
        session: bool,
        modes: Modes,
    },
    SetRole(SettingValue),
    SetSessionAuthorization(SettingValue),
    Reset(String),
    ResetAll,
    ResetRole,
    ResetSessionAuthorization,
    Show(String),
    Discard(Discarded),
    Prepare {
        name: String,
        types: Vec<ast::DataType>,
        statement: Box<ast::Statement>,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    Deallocate(Option<String>),
    Declare(Declare),
    Fetch(Fetch),
    Close(Option<String>),
    Listen(String),
    Unlisten(Option<String>),
    Notify {
        channel: String,
        payload: String,
    },
    Lock,
    /// VACUUM and OPTIMIZE.
    Maintain(Maintenance),
    /// CHECKPOINT, ANALYZE and others that have nothing to do here.
    Nothing {
        tag: &'static str,
        outside_transactions: bool,
    },
}

/// What DISCARD names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the word of its name")]
pub enum Discarded {
    All,
    Plans,
    Sequences,
    Temp,
}

/// A DECLARE … CURSOR.
#[derive(Debug, Clone)]
pub struct Declare {
    /// The cursor's name.
    pub name: String,
    /// Whether its rows are sent in binary.
    pub binary: bool,
    /// SCROLL or NO SCROLL, if written.
    pub scroll: Option<bool>,
    /// WITH HOLD
    pub hold: bool,
    /// Its query.
    pub query: Box<ast::Statement>,
}

/// A FETCH or MOVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The cursor's name.
    pub cursor: String,
    /// Which rows.
    pub direction: Direction,
    /// MOVE goes there without giving the rows.
    pub is_move: bool,
}

/// Which rows of a cursor. A negative count goes the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The next rows; `None` for all of them.
    Forward(Option<i64>),
    /// The rows before; `None` for all of them.
    Backward(Option<i64>),
    /// The row at a place, from the end if negative.
    Absolute(i64),
    /// The row at a distance.
    Relative(i64),
}

/// With the parser's own error.
pub(super) type Parsed<T> = Result<T, ParserError>;

/// The session command that the tokens of one statement are; `None` if they are none.
pub(super) fn parse(tokens: &[TokenWithSpan]) -> Parsed<Option<SessionCommand>> {
    let mut words = Words::new(tokens);
    let Some(first) = words.word() else {
        return Ok(None);
    };
    let command = match first.as_str() {
        "begin" => words.begin(false)?,
        "start" => words.begin(true)?,
        "commit" | "end" => words.end(true)?,
        "rollback" | "abort" => words.end(false)?,
        "savepoint" => SessionCommand::Savepoint(words.name()?),
        "release" => {
            words.skip("savepoint");
            SessionCommand::Release(words.name()?)
        }
        "set" => words.set()?,
        "reset" => words.reset()?,
        "show" => SessionCommand::Show(words.setting()?),
        "discard" => words.discard()?,
        "prepare" if words.peek_is("transaction") => words.rest(SessionCommand::TwoPhase),
        "prepare" => return words.prepare().map(Some),
        "execute" => return words.execute().map(Some),
        "declare" => return words.declare().map(Some),
        "deallocate" => {
            words.skip("prepare");
            SessionCommand::Deallocate(words.name_or_all()?)
        }
        "fetch" => words.fetch(false)?,
        "move" => words.fetch(true)?,
        "close" => SessionCommand::Close(words.name_or_all()?),
        "listen" => SessionCommand::Listen(words.name()?),
        "unlisten" if words.symbol(&Token::Mul) => SessionCommand::Unlisten(None),
        "unlisten" => SessionCommand::Unlisten(Some(words.name()?)),
        "notify" => words.notify()?,
        "lock" => words.rest(SessionCommand::Lock),
        "checkpoint" => nothing("CHECKPOINT", false),
        "vacuum" => words.vacuum()?,
        "optimize" => words.optimize()?,
        "analyze" | "analyse" => words.rest(nothing("ANALYZE", false)),
        "cluster" => words.rest(nothing("CLUSTER", true)),
        "reindex" => words.rest(nothing("REINDEX", true)),
        _ => return Ok(None),
    };
    match words.peek() {
        None => Ok(Some(command)),
        Some(_) => Err(words.unexpected("end of statement")),
    }
}

fn nothing(tag: &'static str, outside_transactions: bool) -> SessionCommand {
    SessionCommand::Nothing {
        tag,
        outside_transactions,
    }
}

/// The tokens of a statement without those that say nothing, and the place that is read next.
pub(super) struct Words {
    pub(super) tokens: Vec<TokenWithSpan>,
    pub(super) at: usize,
}

impl Words {
    pub(super) fn new(tokens: &[TokenWithSpan]) -> Self {
        let meaningful = tokens
            .iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)));
        Self {
            tokens: meaningful.cloned().collect(),
            at: 0,
        }
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        let token = self.tokens.get(self.at).map(|token| &token.token)?;
        (*token != Token::EOF).then_some(token)
    }

    /// The unquoted word at the current place, folded.
    pub(super) fn peek_word(&self) -> Option<String> {
        match self.peek()? {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
            _ => None,
        }
    }

    pub(super) fn peek_is(&self, wanted: &str) -> bool {
        self.peek_word().as_deref() == Some(wanted)
    }

    pub(super) fn word(&mut self) -> Option<String> {
        let word = self.peek_word()?;
        self.at += 1;
        Some(word)
    }

    /// Passes over a word if it stands here; whether it did.
    pub(super) fn skip(&mut self, wanted: &str) -> bool {
        let found = self.peek_is(wanted);
        self.at += usize::from(found);
        found
    }

    /// Passes over several words, all or none of them.
    pub(super) fn skip_all(&mut self, wanted: &[&str]) -> bool {
        let start = self.at;
        let found = wanted.iter().all(|word| self.skip(word));
        if !found {
            self.at = start;
        }
        found
    }

    pub(super) fn expect(&mut self, wanted: &str) -> Parsed<()> {
        match self.skip(wanted) {
            true => Ok(()),
            false => Err(self.unexpected(&wanted.to_uppercase())),
        }
    }

    /// Passes over the token that stands here.
    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// A name with those of what it is in.
    pub(super) fn object_name(&mut self) -> Parsed<ast::ObjectName> {
        let mut parts = Vec::new();
        loop {
            match self.tokens.get(self.at) {
                Some(TokenWithSpan {
                    token: Token::Word(word),
                    span,
                }) => parts.push(word.to_ident(*span)),
                _ => return Err(self.unexpected("a name")),
            }
            self.at += 1;
            if !self.symbol(&Token::Period) {
                return Ok(ast::ObjectName::from(parts));
            }
        }
    }

    pub(super) fn symbol(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// The rest of the statement says nothing that matters here.
    fn rest(&mut self, command: SessionCommand) -> SessionCommand {
        self.at = self.tokens.len();
        command
    }

    /// In the words of the SQL parser, so that both make the same error of it.
    pub(super) fn unexpected(&self, expected: &str) -> ParserError {
        let (found, place) = match self.tokens.get(self.at) {
            Some(token) if token.token != Token::EOF => {
                (token.token.to_string(), token.span.start.to_string())
            }
            _ => ("EOF".to_owned(), String::new()),
        };
        ParserError::ParserError(format!("Expected: {expected}, found: {found}{place}"))
    }

    pub(super) fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let name = match word.quote_style {
                    Some(_) => word.value.clone(),
                    None => word.value.to_lowercase(),
                };
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    fn name_or_all(&mut self) -> Parsed<Option<String>> {
        match self.skip("all") {
            true => Ok(None),
            false => self.name().map(Some),
        }
    }

    pub(super) fn string(&mut self) -> Parsed<String> {
        let text = match self.peek() {
            Some(
                Token::SingleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::NationalStringLiteral(text),
            ) => text.clone(),
            Some(Token::DollarQuotedString(quoted)) => quoted.value.clone(),
            _ => return Err(self.unexpected("a string")),
        };
        self.at += 1;
        Ok(text)
    }

    // --- transactions ---

    fn begin(&mut self, start: bool) -> Parsed<SessionCommand> {
        match start {
            true => self.expect("transaction")?,
            false => {
                let _optional = self.skip("work") || self.skip("transaction");
            }
        }
        let modes = self.modes()?;
        Ok(SessionCommand::Begin { start, modes })
    }

    fn modes(&mut self) -> Parsed<Modes> {
        let mut modes = Modes::default();
        loop {
            if self.skip_all(&["isolation", "level"]) {
                modes.isolation = Some(self.isolation()?);
            } else if self.skip_all(&["read", "only"]) {
                modes.read_only = Some(true);
            } else if self.skip_all(&["read", "write"]) {
                modes.read_only = Some(false);
            } else if self.skip("deferrable") {
                modes.deferrable = Some(true);
            } else if self.skip_all(&["not", "deferrable"]) {
                modes.deferrable = Some(false);
            } else if self.peek().is_none() {
                return Ok(modes);
            } else {
                return Err(self.unexpected("a transaction mode"));
            }
            self.symbol(&Token::Comma);
        }
    }

    fn isolation(&mut self) -> Parsed<String> {
        for level in [
            &["read", "committed"][..],
            &["read", "uncommitted"],
            &["repeatable", "read"],
            &["serializable"],
        ] {
            if self.skip_all(level) {
                return Ok(level.join(" "));
            }
        }
        Err(self.unexpected("an isolation level"))
    }

    fn end(&mut self, commit: bool) -> Parsed<SessionCommand> {
        let _optional = self.skip("work") || self.skip("transaction");
        if self.skip("prepared") {
            return Ok(self.rest(SessionCommand::TwoPhase));
        }
        if !commit && self.skip("to") {
            self.skip("savepoint");
            return Ok(SessionCommand::RollbackTo(self.name()?));
        }
        let mut chain = false;
        if self.skip("and") {
            chain = !self.skip("no");
            self.expect("chain")?;
        }
        Ok(match commit {
            true => SessionCommand::Commit { chain },
            false => SessionCommand::Rollback { chain },
        })
    }

    // --- settings ---

    fn set(&mut self) -> Parsed<SessionCommand> {
        if self.skip_all(&["session", "characteristics", "as", "transaction"]) {
            let modes = self.modes()?;
            return Ok(SessionCommand::SetTransaction {
                session: true,
                modes,
            });
        }
        if self.skip("transaction") {
            if self.skip("snapshot") {
                self.string()?;
            }
            let modes = self.modes()?;
            return Ok(SessionCommand::SetTransaction {
                session: false,
                modes,
            });
        }
        let session_authorization = ["session", "authorization"];
        if self.skip_all(&session_authorization) {
            return self.set_session_authorization();
        }
        let local = self.skip("local");
        if !local {
            self.skip("session");
        }
        if self.skip_all(&session_authorization) {
            return self.set_session_authorization();
        }
        if self.skip("role") {
            let role = match self.skip("none") {
                true => None,
                false => Some(self.name_or_string()?),
            };
            return Ok(SessionCommand::SetRole(role));
        }
        let (name, value) = self.assignment()?;
        Ok(SessionCommand::Set { local, name, value })
    }

    fn set_session_authorization(&mut self) -> Parsed<SessionCommand> {
        let user = match self.skip("default") {
            true => None,
            false => Some(self.name_or_string()?),
        };
        Ok(SessionCommand::SetSessionAuthorization(user))
    }

    fn name_or_string(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(Token::Word(_)) => self.name(),
            _ => self.string(),
        }
    }

    fn assignment(&mut self) -> Parsed<(String, SettingValue)> {
        if self.skip_all(&["time", "zone"]) {
            return Ok(("TimeZone".to_owned(), self.time_zone()?));
        }
        if self.skip("names") {
            let value = match self.peek().is_none() || self.skip("default") {
                true => None,
                false => Some(self.string()?),
            };
            return Ok(("client_encoding".to_owned(), value));
        }
        if self.skip("schema") {
            let schema = quoted_name(&self.string()?);
            return Ok(("search_path".to_owned(), Some(schema)));
        }
        if self.skip_all(&["xml", "option"]) {
            return Ok(("xmloption".to_owned(), Some(self.name()?)));
        }
        let name = self.setting()?;
        if !self.symbol(&Token::Eq) && !self.skip("to") {
            return Err(self.unexpected("= or TO"));
        }
        if self.skip("default") {
            return Ok((name, None));
        }
        let quote = is_list_of_names(&name);
        let mut values = vec![self.setting_value(quote)?];
        while self.symbol(&Token::Comma) {
            values.push(self.setting_value(quote)?);
        }
        Ok((name, Some(values.join(", "))))
    }

    /// The name of a setting, with its prefix if it has one, or one of the names in words.
    fn setting(&mut self) -> Parsed<String> {
        for (words, name) in [
            (&["time", "zone"][..], "TimeZone"),
            (
                &["transaction", "isolation", "level"],
                "transaction_isolation",
            ),
            (&["session", "authorization"], "session_authorization"),
            (&["names"], "client_encoding"),
        ] {
            if self.skip_all(words) {
                return Ok(name.to_owned());
            }
        }
        let mut name = self.name()?;
        while self.symbol(&Token::Period) {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name)
    }

    /// One value. In a list of names a name is quoted where it would not read back as itself.
    fn setting_value(&mut self, quote: bool) -> Parsed<String> {
        let negative = self.symbol(&Token::Minus);
        if !negative {
            self.symbol(&Token::Plus);
        }
        let number = match self.peek() {
            Some(Token::Number(number, _)) => Some(number.clone()),
            _ => None,
        };
        if let Some(number) = number {
            self.at += 1;
            return Ok(format!("{}{number}", if negative { "-" } else { "" }));
        }
        let text = match self.peek() {
            Some(Token::Word(_)) => self.name()?,
            _ => self.string()?,
        };
        Ok(if quote { quoted_name(&text) } else { text })
    }

    fn time_zone(&mut self) -> Parsed<SettingValue> {
        if self.skip("default") || self.skip("local") {
            return Ok(None);
        }
        if self.skip("interval") {
            let text = self.string()?;
            while self.skip("hour") || self.skip("to") || self.skip("minute") {}
            return Ok(Some(hours_east(&text)));
        }
        self.setting_value(false).map(Some)
    }

    fn reset(&mut self) -> Parsed<SessionCommand> {
        if self.skip("all") {
            return Ok(SessionCommand::ResetAll);
        }
        if self.skip("role") {
            return Ok(SessionCommand::ResetRole);
        }
        if self.skip_all(&["session", "authorization"]) {
            return Ok(SessionCommand::ResetSessionAuthorization);
        }
        Ok(SessionCommand::Reset(self.setting()?))
    }

    fn discard(&mut self) -> Parsed<SessionCommand> {
        let what = match self.peek_word().as_deref() {
            Some("all") => Discarded::All,
            Some("plans") => Discarded::Plans,
            Some("sequences") => Discarded::Sequences,
            Some("temp" | "temporary") => Discarded::Temp,
            _ => return Err(self.unexpected("ALL, PLANS, SEQUENCES or TEMP")),
        };
        self.at += 1;
        Ok(SessionCommand::Discard(what))
    }

    // --- prepared statements and cursors ---

    /// A parser of SQL over the rest of the tokens.
    pub(super) fn parser(&self) -> Parser<'static> {
        static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};
        let rest = self.tokens.get(self.at..).unwrap_or_default().to_vec();
        Parser::new(&DIALECT)
            .with_recursion_limit(limits::NESTING_DEPTH_MAX)
            .with_tokens_with_locations(super::tokens::rewrite(rest))
    }

    fn prepare(&mut self) -> Parsed<SessionCommand> {
        let name = self.name()?;
        let mut parser = self.parser();
        let mut types = Vec::new();
        if parser.consume_token(&Token::LParen) {
            types = parser.parse_comma_separated(Parser::parse_data_type)?;
            parser.expect_token(&Token::RParen)?;
        }
        parser.expect_keyword(Keyword::AS)?;
        let statement = Box::new(whole_statement(&mut parser)?);
        Ok(SessionCommand::Prepare {
            name,
            types,
            statement,
        })
    }

    fn execute(&mut self) -> Parsed<SessionCommand> {
        let name = self.name()?;
        let mut parser = self.parser();
        let mut arguments = Vec::new();
        if parser.consume_token(&Token::LParen) {
            arguments = parser.parse_comma_separated(Parser::parse_expr)?;
            parser.expect_token(&Token::RParen)?;
        }
        expect_end(&mut parser)?;
        Ok(SessionCommand::Execute { name, arguments })
    }

    fn declare(&mut self) -> Parsed<SessionCommand> {
        let name = self.name()?;
        let (mut binary, mut scroll) = (false, None);
        loop {
            if self.skip("binary") {
                binary = true;
            } else if self.skip("scroll") {
                scroll = Some(true);
            } else if self.skip_all(&["no", "scroll"]) {
                scroll = Some(false);
            } else if !self.skip("insensitive") && !self.skip("asensitive") {
                break;
            }
        }
        self.expect("cursor")?;
        let hold = self.skip_all(&["with", "hold"]);
        self.skip_all(&["without", "hold"]);
        self.expect("for")?;
        let query = Box::new(whole_statement(&mut self.parser())?);
        Ok(SessionCommand::Declare(Declare {
            name,
            binary,
            scroll,
            hold,
            query,
        }))
    }

    fn fetch(&mut self, is_move: bool) -> Parsed<SessionCommand> {
        let start = self.at;
        let mut direction = self.direction()?;
        let _optional = self.skip("from") || self.skip("in");
        if self.peek().is_none() {
            // A cursor may be called as a direction is: then the word was its name.
            self.at = start;
            direction = Direction::Forward(Some(1));
        }
        let cursor = self.name()?;
        Ok(SessionCommand::Fetch(Fetch {
            cursor,
            direction,
            is_move,
        }))
    }

    fn direction(&mut self) -> Parsed<Direction> {
        if self.is_number() {
            return Ok(Direction::Forward(Some(self.count()?)));
        }
        let at = self.at;
        Ok(match self.word().as_deref() {
            Some("next") => Direction::Forward(Some(1)),
            Some("prior") => Direction::Backward(Some(1)),
            Some("first") => Direction::Absolute(1),
            Some("last") => Direction::Absolute(-1),
            Some("absolute") => Direction::Absolute(self.count()?),
            Some("relative") => Direction::Relative(self.count()?),
            Some("all") => Direction::Forward(None),
            Some("forward") => Direction::Forward(self.count_or_all()?),
            Some("backward") => Direction::Backward(self.count_or_all()?),
            _ => {
                self.at = at;
                Direction::Forward(Some(1))
            }
        })
    }

    fn is_number(&self) -> bool {
        matches!(
            self.peek(),
            Some(Token::Number(..) | Token::Minus | Token::Plus)
        )
    }

    fn count_or_all(&mut self) -> Parsed<Option<i64>> {
        if self.is_number() {
            return self.count().map(Some);
        }
        Ok(if self.skip("all") { None } else { Some(1) })
    }

    fn count(&mut self) -> Parsed<i64> {
        let negative = self.symbol(&Token::Minus);
        if !negative {
            self.symbol(&Token::Plus);
        }
        let count = match self.peek() {
            Some(Token::Number(digits, _)) => digits.parse::<i64>().ok(),
            _ => None,
        };
        match count {
            Some(count) => {
                self.at += 1;
                Ok(if negative { -count } else { count })
            }
            None => Err(self.unexpected("a whole number")),
        }
    }

    fn notify(&mut self) -> Parsed<SessionCommand> {
        let channel = self.name()?;
        let payload = match self.symbol(&Token::Comma) {
            true => self.string()?,
            false => String::new(),
        };
        Ok(SessionCommand::Notify { channel, payload })
    }
}

pub(super) fn whole_statement(parser: &mut Parser<'_>) -> Parsed<ast::Statement> {
    let statement = parser.parse_statement()?;
    expect_end(parser)?;
    Ok(statement)
}

pub(super) fn expect_end(parser: &mut Parser<'_>) -> Parsed<()> {
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(()),
        _ => parser.expected("end of statement", next),
    }
}

/// Settings whose value is a list of names.
fn is_list_of_names(setting: &str) -> bool {
    ["search_path", "temp_tablespaces"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(setting))
}

/// A name as it must be written to mean itself.
fn quoted_name(name: &str) -> String {
    let plain = name
        .chars()
        .enumerate()
        .all(|(at, c)| c == '_' || c.is_ascii_lowercase() || (at > 0 && c.is_ascii_digit()));
    if plain && !name.is_empty() {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// An interval as hours east of UTC; what is none stays, for the setting to refuse.
fn hours_east(text: &str) -> String {
    match interval(text, IntervalStyle::Postgres, None, None) {
        Ok(span) if span.months == 0 && span.days == 0 => {
            (span.micros as f64 / MICROS_PER_HOUR as f64).to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn try_read(sql: &str) -> Parsed<Option<SessionCommand>> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
            .tokenize_with_location()
            .unwrap();
        parse(&tokens)
    }

    fn set(sql: &str) -> (String, SettingValue) {
        match try_read(sql) {
            Ok(Some(SessionCommand::Set { name, value, .. })) => (name, value),
            other => panic!("{other:?}"),
        }
    }

    fn fetch(sql: &str) -> (Direction, String) {
        match try_read(sql) {
            Ok(Some(SessionCommand::Fetch(fetch))) => (fetch.direction, fetch.cursor),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_take_words_numbers_and_lists() {
        let value = |sql: &str| set(sql).1.unwrap_or_else(|| "DEFAULT".to_owned());
        assert_eq!(value("SET standard_conforming_strings = ON"), "on");
        assert_eq!(
            value("SET search_path TO a, \"B c\", '$user'"),
            "a, \"B c\", \"$user\""
        );
        assert_eq!(value("SET extra_float_digits = -1"), "-1");
        assert_eq!(value("SET myapp.x = 'Y z'"), "Y z");
        assert_eq!(value("SET DateStyle = ISO, DMY"), "iso, dmy");
        assert_eq!(
            value("SET TIME ZONE INTERVAL '-03:30' HOUR TO MINUTE"),
            "-3.5"
        );
        assert_eq!(value("SET LOCAL work_mem TO DEFAULT"), "DEFAULT");
        assert_eq!(set("SET SESSION TIME ZONE LOCAL").0, "TimeZone");
        assert_eq!(
            set("SET NAMES 'utf-8'"),
            ("client_encoding".to_owned(), Some("utf-8".to_owned()))
        );
    }

    #[test]
    fn rows_are_fetched_in_every_direction() {
        let (forward, backward) = (Direction::Forward, Direction::Backward);
        let c = || "c".to_owned();
        assert_eq!(fetch("FETCH c"), (forward(Some(1)), c()));
        assert_eq!(fetch("FETCH next"), (forward(Some(1)), "next".to_owned()));
        assert_eq!(fetch("FETCH NEXT FROM c"), (forward(Some(1)), c()));
        assert_eq!(fetch("FETCH 10 IN c"), (forward(Some(10)), c()));
        assert_eq!(fetch("FETCH -3 c"), (forward(Some(-3)), c()));
        assert_eq!(fetch("MOVE FORWARD ALL IN c"), (forward(None), c()));
        assert_eq!(fetch("FETCH BACKWARD 2 FROM c"), (backward(Some(2)), c()));
        assert_eq!(fetch("FETCH ABSOLUTE -1 c"), (Direction::Absolute(-1), c()));
        assert_eq!(fetch("FETCH LAST c"), (Direction::Absolute(-1), c()));
    }

    #[test]
    fn other_statements_are_left_alone() {
        for sql in ["SELECT 1", "EXPLAIN SELECT 1", "(SELECT 1)", ""] {
            assert!(try_read(sql).unwrap().is_none(), "{sql}");
        }
    }

    #[test]
    fn what_follows_a_command_is_an_error() {
        for sql in [
            "COMMIT 1",
            "BEGIN x",
            "SET x",
            "FETCH ABSOLUTE c",
            "DISCARD x",
            "SHOW a b",
        ] {
            assert!(try_read(sql).is_err(), "{sql}");
        }
    }
}
