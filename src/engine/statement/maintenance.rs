//! VACUUM and OPTIMIZE, from tokens.

use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::session_command::{Parsed, SessionCommand, Words};

/// The words that VACUUM takes without parentheses, in this order.
const LEGACY_OPTIONS: [&str; 4] = ["full", "freeze", "verbose", "analyze"];
/// The options of VACUUM in parentheses.
const OPTIONS: [&str; 10] = [
    "analyze",
    "disable_page_skipping",
    "freeze",
    "full",
    "index_cleanup",
    "parallel",
    "process_toast",
    "skip_locked",
    "truncate",
    "verbose",
];

/// What tables are maintained, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// The tables; none for all that there are.
    pub tables: Vec<ObjectName>,
    /// Whether small files are made to large ones: OPTIMIZE, and VACUUM FULL.
    pub compacts: bool,
    /// Whether files are removed that the tables do not need any more: VACUUM.
    pub cleans: bool,
    /// An option of VACUUM that there is none of.
    pub unknown_option: Option<String>,
    /// Whether rows are to be ordered: OPTIMIZE … ZORDER BY.
    pub orders: bool,
}

impl Maintenance {
    /// The command's name.
    pub fn command(&self) -> &'static str {
        match self.cleans {
            true => "VACUUM",
            false => "OPTIMIZE",
        }
    }
}

impl Words {
    /// `VACUUM [FULL] [FREEZE] [VERBOSE] [ANALYZE] | (options) [table [(columns)], …]`
    pub(super) fn vacuum(&mut self) -> Parsed<SessionCommand> {
        let mut command = Maintenance {
            tables: Vec::new(),
            compacts: false,
            cleans: true,
            unknown_option: None,
            orders: false,
        };
        if self.symbol(&Token::LParen) {
            self.vacuum_options(&mut command)?;
        } else {
            for word in LEGACY_OPTIONS {
                let said = self.skip(word) || (word == "analyze" && self.skip("analyse"));
                command.compacts |= said && word == "full";
            }
        }
        let mut has_more = self.peek().is_some();
        while has_more {
            command.tables.push(self.object_name()?);
            if self.symbol(&Token::LParen) {
                self.until_closed();
            }
            has_more = self.symbol(&Token::Comma);
        }
        Ok(SessionCommand::Maintain(command))
    }

    fn vacuum_options(&mut self, command: &mut Maintenance) -> Parsed<()> {
        loop {
            let option = self.name()?;
            let value = match self.peek() {
                Some(Token::Comma | Token::RParen) | None => None,
                Some(token) => {
                    let text = token.to_string().to_lowercase();
                    self.advance();
                    Some(text)
                }
            };
            let is_on = !matches!(value.as_deref(), Some("false" | "off" | "no" | "0"));
            match option.as_str() {
                "full" => command.compacts = is_on,
                known if OPTIONS.contains(&known) => {}
                _ => {
                    let _first = command.unknown_option.get_or_insert(option);
                }
            }
            if self.symbol(&Token::RParen) {
                return Ok(());
            }
            if !self.symbol(&Token::Comma) {
                return Err(self.unexpected(")"));
            }
        }
    }

    /// `OPTIMIZE [TABLE] table [ZORDER BY (columns)], …`
    pub(super) fn optimize(&mut self) -> Parsed<SessionCommand> {
        self.skip("table");
        let mut tables = vec![self.object_name()?];
        while self.symbol(&Token::Comma) {
            tables.push(self.object_name()?);
        }
        let orders = self.skip("zorder");
        if orders {
            self.expect("by")?;
            match self.symbol(&Token::LParen) {
                true => self.until_closed(),
                false => return Err(self.unexpected("(")),
            }
        }
        Ok(SessionCommand::Maintain(Maintenance {
            tables,
            compacts: true,
            cleans: false,
            unknown_option: None,
            orders,
        }))
    }

    /// Passes over what stands up to the closing parenthesis.
    fn until_closed(&mut self) {
        while self.peek().is_some() && !self.symbol(&Token::RParen) {
            self.advance();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::statement;
    use crate::engine::statement::session_command::SessionCommand;

    fn parsed(sql: &str) -> Option<super::Maintenance> {
        let mut statements = statement::parse(sql).ok()?;
        match statements.pop()?.command? {
            SessionCommand::Maintain(command) => Some(command),
            _ => None,
        }
    }

    fn tables(command: &super::Maintenance) -> Vec<String> {
        command.tables.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn vacuum_takes_what_postgresql_takes() {
        let all = parsed("VACUUM").unwrap();
        assert!(all.tables.is_empty() && all.cleans && !all.compacts);
        assert!(
            parsed("vacuum full freeze verbose analyze")
                .unwrap()
                .compacts
        );
        let two = parsed("VACUUM ANALYZE kpi.\"T\" (a, b), u;").unwrap();
        assert_eq!(tables(&two), ["kpi.\"T\"", "u"]);
        let options =
            parsed("VACUUM (FULL off, PARALLEL 2, INDEX_CLEANUP auto, VERBOSE) t").unwrap();
        assert!(!options.compacts && options.unknown_option.is_none());
        let unknown = parsed("VACUUM (bogus) t").unwrap();
        assert_eq!(unknown.unknown_option.as_deref(), Some("bogus"));
        for wrong in [
            "VACUUM t u",
            "VACUUM (",
            "VACUUM () t",
            "VACUUM t,",
            "VACUUM t FULL",
        ] {
            assert!(statement::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn optimize_names_its_tables() {
        let plain = parsed("OPTIMIZE kpi.nps").unwrap();
        assert!(plain.compacts && !plain.cleans && !plain.orders);
        assert_eq!(tables(&plain), ["kpi.nps"]);
        assert!(parsed("OPTIMIZE TABLE t ZORDER BY (a, b)").unwrap().orders);
        assert!(statement::parse("OPTIMIZE").is_err());
    }
}
