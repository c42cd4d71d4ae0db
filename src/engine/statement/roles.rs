//! Statements about roles and privileges, read from their tokens: the SQL parser knows few of them.

use chrono::Utc;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::auth::change::{Attributes, Change, PrivilegeRequest, RoleName, Target};
use crate::auth::password::verifier_of;
use crate::auth::privilege::{Kind, Privilege};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Privileges of PostgreSQL on objects that this server has none of.
const OTHER_PRIVILEGES: &[&str] = &["execute", "set", "alter", "maintain"];

/// Kinds of objects that this server has none of, by the word behind ALL … IN SCHEMA or ON.
const OTHER_KINDS: &[&str] = &["sequences", "functions", "procedures", "routines", "types"];

/// The change that a statement asks for, or `None` if it is about something else.
pub fn parse(sql: &str, tokens: &[TokenWithSpan]) -> Result<Option<Change>> {
    let words: Vec<&TokenWithSpan> = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let mut reader = Reader {
        sql,
        words: &words,
        at: 0,
    };
    let change = match reader.statement() {
        Ok(Some(change)) => change,
        other => return other,
    };
    match reader.peek() {
        None => Ok(Some(change)),
        Some(_) => Err(reader.unexpected()),
    }
}

/// A statement's text without the password in it, for all who may see what others run.
pub fn without_password(sql: &str) -> &str {
    let lower = sql.to_ascii_lowercase();
    let about_roles = ["role", "user", "group"]
        .iter()
        .any(|word| lower.contains(word));
    let changes = ["create", "alter"].iter().any(|word| lower.contains(word));
    match lower.find("password") {
        Some(at) if about_roles && changes => &sql[..at + "password".len()],
        _ => sql,
    }
}

struct Reader<'a> {
    sql: &'a str,
    words: &'a [&'a TokenWithSpan],
    at: usize,
}

impl Reader<'_> {
    fn statement(&mut self) -> Result<Option<Change>> {
        let kind = |reader: &Self| {
            let kinds = ["role", "user", "group"];
            kinds.into_iter().find(|kind| reader.is(1, kind))
        };
        let first = ["create", "alter", "drop", "grant", "revoke", "reassign"]
            .into_iter()
            .find(|verb| self.is(0, verb));
        let change = match (first, kind(self)) {
            (Some("create"), Some(kind)) if !self.is(2, "mapping") => {
                self.at = 2;
                self.create_role(kind)?
            }
            (Some("alter"), Some(kind)) if !self.is(2, "mapping") => {
                self.at = 2;
                self.alter_role(kind)?
            }
            (Some("alter"), None) if self.is(1, "default") => {
                self.at = 2;
                self.expect("privileges")?;
                self.default_privileges()?
            }
            (Some("drop"), Some(_)) if !self.is(2, "mapping") => {
                self.at = 2;
                let if_exists = self.take("if");
                if if_exists {
                    self.expect("exists")?;
                }
                let names = self.list(Self::role_name)?;
                Change::DropRoles { names, if_exists }
            }
            (Some("drop"), None) if self.is(1, "owned") => {
                self.at = 2;
                self.expect("by")?;
                let roles = self.list(Self::role_name)?;
                self.behaviour();
                Change::DropOwned { roles }
            }
            (Some("reassign"), _) if self.is(1, "owned") => {
                self.at = 2;
                self.expect("by")?;
                let roles = self.list(Self::role_name)?;
                self.expect("to")?;
                let to = self.role_name()?;
                Change::ReassignOwned { roles, to }
            }
            (Some("grant"), _) => {
                self.at = 1;
                self.grant(false)?
            }
            (Some("revoke"), _) => {
                self.at = 1;
                self.grant(true)?
            }
            _ => return Ok(None),
        };
        Ok(Some(change))
    }

    // --- CREATE and ALTER ROLE ---

    fn create_role(&mut self, kind: &str) -> Result<Change> {
        let name = self.plain_name()?;
        let mut attributes = Attributes {
            login: Some(kind == "user"),
            ..Attributes::default()
        };
        self.take("with");
        while self.peek().is_some() {
            if self.take("in") {
                if !self.take("role") {
                    self.expect("group")?;
                }
                attributes.member_of.extend(self.list(Self::plain_name)?);
            } else if self.take("role") || self.take("user") {
                let members = self.list(Self::plain_name)?;
                let members = members.into_iter().map(|member| (member, false));
                attributes.members.extend(members);
            } else if self.take("admin") {
                let members = self.list(Self::plain_name)?;
                let members = members.into_iter().map(|member| (member, true));
                attributes.members.extend(members);
            } else if self.take("sysid") {
                self.integer()?;
            } else {
                self.attribute(&mut attributes)?;
            }
        }
        Ok(Change::CreateRole { name, attributes })
    }

    fn alter_role(&mut self, kind: &str) -> Result<Change> {
        let name = self.role_name()?;
        if let RoleName::Named(from) = &name
            && self.take("rename")
        {
            self.expect("to")?;
            let (from, to) = (from.clone(), self.plain_name()?);
            return Ok(Change::RenameRole { from, to });
        }
        let adds = kind == "group" && self.take("add");
        if let RoleName::Named(role) = &name
            && kind == "group"
            && (adds || self.take("drop"))
        {
            self.expect("user")?;
            return Ok(Change::Members {
                roles: vec![role.clone()],
                members: self.list(Self::role_name)?,
                admin: false,
                revoke: !adds,
            });
        }
        if ["set", "reset", "in"].iter().any(|word| self.is(0, word)) {
            return Err(
                Error::feature_not_supported("settings of a role are not supported")
                    .with_hint("Give them when connecting: options='-c name=value'."),
            );
        }
        let mut attributes = Attributes::default();
        self.take("with");
        while self.peek().is_some() {
            self.attribute(&mut attributes)?;
        }
        Ok(Change::AlterRole { name, attributes })
    }

    fn attribute(&mut self, attributes: &mut Attributes) -> Result<()> {
        let word = self.word().ok_or_else(|| self.unexpected())?;
        let flags: [(&str, &mut Option<bool>); 7] = [
            ("superuser", &mut attributes.superuser),
            ("inherit", &mut attributes.inherit),
            ("createrole", &mut attributes.create_role),
            ("createdb", &mut attributes.create_database),
            ("login", &mut attributes.login),
            ("replication", &mut attributes.replication),
            ("bypassrls", &mut attributes.bypass_rls),
        ];
        for (name, flag) in flags {
            if word == name || word.strip_prefix("no") == Some(name) {
                *flag = Some(word == name);
                self.at += 1;
                return Ok(());
            }
        }
        self.at += 1;
        match word.as_str() {
            "encrypted" => {
                self.expect("password")?;
                attributes.password = Some(self.password()?);
            }
            "password" => attributes.password = Some(self.password()?),
            "unencrypted" => {
                return Err(Error::feature_not_supported(
                    "UNENCRYPTED PASSWORD is no longer supported",
                )
                .with_hint("Remove UNENCRYPTED to store the password in encrypted form instead."));
            }
            "connection" => {
                self.expect("limit")?;
                let limit = self.integer()?;
                if limit < -1 {
                    return Err(Error::invalid_parameter_value(format!(
                        "invalid connection limit: {limit}"
                    )));
                }
                attributes.connections_max = Some(limit);
            }
            "valid" => {
                self.expect("until")?;
                let text = self.string()?;
                attributes.valid_until_us = Some(instant(&text)?);
            }
            "user" | "role" | "admin" | "in" => {
                self.at -= 1;
                return Err(self.unexpected());
            }
            other => {
                return Err(Error::syntax_error(format!(
                    "unrecognized role option \"{other}\""
                )));
            }
        }
        Ok(())
    }

    fn password(&mut self) -> Result<Option<crate::auth::scram::Verifier>> {
        if self.take("null") {
            return Ok(None);
        }
        let text = self.string()?;
        verifier_of(&text)
    }

    // --- GRANT and REVOKE ---

    fn grant(&mut self, revoke: bool) -> Result<Change> {
        let only_option = revoke && self.option_for()?;
        let items = self.items()?;
        if !self.take("on") {
            let roles = items.into_iter().map(|item| item.name).collect();
            self.expect(if revoke { "from" } else { "to" })?;
            let members = self.list(Self::role_name)?;
            let admin = !revoke && self.with_option("admin")?;
            self.granted_by()?;
            self.behaviour();
            return Ok(Change::Members {
                roles,
                members,
                admin: admin || only_option,
                revoke,
            });
        }
        let target = self.target()?;
        let exists = !matches!(target, Target::Nothing(_));
        let request = self.request(items, revoke, only_option, exists)?;
        Ok(Change::Privileges { request, target })
    }

    fn default_privileges(&mut self) -> Result<Change> {
        let (mut owners, mut schemas) = (Vec::new(), Vec::new());
        loop {
            if self.take("for") {
                if !self.take("role") {
                    self.expect("user")?;
                }
                owners = self.list(Self::role_name)?;
            } else if self.take("in") {
                self.expect("schema")?;
                schemas = self.list(Self::plain_name)?;
            } else {
                break;
            }
        }
        let revoke = self.take("revoke");
        if !revoke {
            self.expect("grant")?;
        }
        let only_option = revoke && self.option_for()?;
        let items = self.items()?;
        self.expect("on")?;
        let tables = self.take("tables");
        if !tables && !OTHER_KINDS.iter().any(|kind| self.take(kind)) {
            if self.is(0, "schemas") {
                return Err(Error::feature_not_supported(
                    "default privileges of schemas are not supported",
                ));
            }
            return Err(self.unexpected());
        }
        Ok(Change::Defaults {
            owners,
            schemas,
            tables,
            request: self.request(items, revoke, only_option, tables)?,
        })
    }

    /// GRANT OPTION FOR or ADMIN OPTION FOR.
    fn option_for(&mut self) -> Result<bool> {
        let is_option = (self.is(0, "grant") || self.is(0, "admin")) && self.is(1, "option");
        if is_option {
            self.at += 2;
            self.expect("for")?;
        }
        Ok(is_option)
    }

    /// Privileges or roles, before it is known which.
    fn items(&mut self) -> Result<Vec<Item>> {
        self.list(|reader| {
            let quoted = reader.is_quoted();
            let name = reader.plain_name()?;
            if name == "all" && !quoted {
                reader.take("privileges");
            }
            let columns = reader.peek() == Some(&Token::LParen);
            Ok(Item { name, columns })
        })
        .and_then(|items| match items.iter().any(|item| item.columns) {
            true => Err(
                Error::feature_not_supported("privileges of columns are not supported")
                    .with_hint("Grant the privilege on the table."),
            ),
            false => Ok(items),
        })
    }

    fn target(&mut self) -> Result<Target> {
        if self.is(0, "all") && self.is(2, "in") {
            self.at += 1;
            let tables = self.take("tables");
            if !tables && !OTHER_KINDS.iter().any(|kind| self.take(kind)) {
                return Err(self.unexpected());
            }
            self.expect("in")?;
            self.expect("schema")?;
            let schemas = self.list(Self::plain_name)?;
            return Ok(match tables {
                true => Target::AllTables(schemas),
                false => Target::Nothing(Kind::Table),
            });
        }
        if self.take("schema") {
            return self.list(Self::plain_name).map(Target::Schemas);
        }
        if self.take("database") {
            return self.list(Self::plain_name).map(Target::Databases);
        }
        let others = [
            "function",
            "procedure",
            "routine",
            "sequence",
            "language",
            "type",
            "domain",
            "large",
            "parameter",
            "tablespace",
            "foreign",
        ];
        if let Some(kind) = others.into_iter().find(|kind| self.is(0, kind))
            && self.words.len() > self.at + 1
            && !matches!(self.words[self.at + 1].token, Token::Comma | Token::Period)
            && !self.is(1, "to")
            && !self.is(1, "from")
        {
            return Err(Error::feature_not_supported(format!(
                "privileges on objects of kind {} are not supported",
                kind.to_uppercase()
            )));
        }
        self.take("table");
        self.list(Self::qualified_name).map(Target::Tables)
    }

    /// What stands behind the objects: TO or FROM whom, and the options.
    fn request(
        &mut self,
        items: Vec<Item>,
        revoke: bool,
        only_option: bool,
        exists: bool,
    ) -> Result<PrivilegeRequest> {
        let privileges = match exists {
            true => privileges(&items)?,
            false => Vec::new(),
        };
        self.expect(if revoke { "from" } else { "to" })?;
        let grantees = self.list(Self::grantee)?;
        let grantable = !revoke && self.with_option("grant")?;
        self.granted_by()?;
        let cascade = self.behaviour();
        Ok(PrivilegeRequest {
            privileges,
            grantees,
            grant_option: grantable || only_option,
            revoke,
            cascade,
        })
    }

    fn with_option(&mut self, kind: &str) -> Result<bool> {
        if !self.take("with") {
            return Ok(false);
        }
        self.expect(kind)?;
        self.expect("option")?;
        Ok(true)
    }

    fn granted_by(&mut self) -> Result<()> {
        if !self.take("granted") {
            return Ok(());
        }
        self.expect("by")?;
        match self.role_name()? {
            RoleName::Current => Ok(()),
            _ => Err(Error::feature_not_supported("grantor must be current user")),
        }
    }

    /// CASCADE or RESTRICT; whether it is CASCADE.
    fn behaviour(&mut self) -> bool {
        let cascade = self.take("cascade");
        if !cascade {
            self.take("restrict");
        }
        cascade
    }

    // --- words ---

    fn peek(&self) -> Option<&Token> {
        self.words.get(self.at).map(|token| &token.token)
    }

    /// Whether the word that many places ahead is this one, unquoted.
    fn is(&self, ahead: usize, expected: &str) -> bool {
        match self.words.get(self.at + ahead).map(|token| &token.token) {
            Some(Token::Word(word)) => {
                word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected)
            }
            _ => false,
        }
    }

    fn is_quoted(&self) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.quote_style.is_some())
    }

    fn take(&mut self, expected: &str) -> bool {
        let is = self.is(0, expected);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, expected: &str) -> Result<()> {
        match self.take(expected) {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    /// The next word in lower case, if it is an unquoted one.
    fn word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                Some(word.value.to_lowercase())
            }
            _ => None,
        }
    }

    fn plain_name(&mut self) -> Result<String> {
        let name = match self.peek() {
            Some(Token::Word(word)) => match word.quote_style {
                Some(_) => word.value.clone(),
                None => word.value.to_lowercase(),
            },
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(name)
    }

    fn qualified_name(&mut self) -> Result<Vec<String>> {
        let mut parts = vec![self.plain_name()?];
        while self.peek() == Some(&Token::Period) {
            self.at += 1;
            parts.push(self.plain_name()?);
        }
        Ok(parts)
    }

    fn role_name(&mut self) -> Result<RoleName> {
        match self.grantee()? {
            RoleName::Public => Err(Error::new(
                SqlState::ReservedName,
                "role name \"public\" is reserved",
            )),
            name => Ok(name),
        }
    }

    fn grantee(&mut self) -> Result<RoleName> {
        if self.is(0, "group")
            && matches!(self.words.get(self.at + 1), Some(next) if matches!(next.token, Token::Word(_)))
        {
            self.at += 1;
        }
        let quoted = self.is_quoted();
        let name = self.plain_name()?;
        Ok(match name.as_str() {
            "current_user" | "current_role" if !quoted => RoleName::Current,
            "session_user" if !quoted => RoleName::Session,
            "public" => RoleName::Public,
            "none" => {
                return Err(Error::new(
                    SqlState::ReservedName,
                    "role name \"none\" is reserved",
                ));
            }
            _ => RoleName::Named(name),
        })
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.peek() == Some(&Token::Comma) {
            self.at += 1;
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn string(&mut self) -> Result<String> {
        let text = match self.peek() {
            Some(
                Token::SingleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::UnicodeStringLiteral(text),
            ) => text.clone(),
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(text)
    }

    fn integer(&mut self) -> Result<i32> {
        let negative = self.peek() == Some(&Token::Minus);
        self.at += usize::from(negative);
        let number: Option<i32> = match self.peek() {
            Some(Token::Number(digits, _)) => digits.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(if negative { -number } else { number })
    }

    /// The syntax error at the next token. A password is not repeated.
    fn unexpected(&self) -> Error {
        match self.words.get(self.at) {
            None => Error::syntax_error("syntax error at end of input")
                .with_position(self.sql.chars().count() + 1),
            Some(token) => match &token.token {
                Token::Word(_) | Token::Number(..) => {
                    super::near(self.sql, &token.token.to_string(), token.span.start)
                }
                other if other.to_string().len() == 1 => {
                    super::near(self.sql, &other.to_string(), token.span.start)
                }
                _ => super::near(self.sql, "'…'", token.span.start),
            },
        }
    }
}

/// A privilege or a role's name.
struct Item {
    name: String,
    /// Whether a list of columns stands behind it.
    columns: bool,
}

/// The privileges of that names; none for ALL.
fn privileges(items: &[Item]) -> Result<Vec<Privilege>> {
    if matches!(items, [only] if only.name == "all") {
        return Ok(Vec::new());
    }
    items
        .iter()
        .map(|item| {
            Privilege::named(&item.name).ok_or_else(|| {
                match OTHER_PRIVILEGES.contains(&item.name.as_str()) {
                    true => Error::new(
                        SqlState::InvalidGrantOperation,
                        format!(
                            "invalid privilege type {} for relation",
                            item.name.to_uppercase()
                        ),
                    ),
                    false => Error::syntax_error(format!(
                        "unrecognized privilege type \"{}\"",
                        item.name
                    )),
                }
            })
        })
        .collect()
}

/// A time in microseconds since 1970-01-01 UTC; without a zone it is in UTC.
fn instant(text: &str) -> Result<i64> {
    if text.trim().eq_ignore_ascii_case("infinity") {
        return Ok(i64::MAX);
    }
    string_to_datetime(&Utc, text.trim())
        .map(|time| time.timestamp_micros())
        .map_err(|_| {
            Error::new(
                SqlState::InvalidDatetimeFormat,
                format!("invalid input syntax for type timestamp with time zone: \"{text}\""),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::super::parse as parse_statements;
    use super::*;

    fn change(sql: &str) -> Change {
        let parsed = parse_statements(sql).unwrap().pop().unwrap();
        parsed.change.unwrap_or_else(|| panic!("{sql}"))
    }

    #[test]
    fn attributes_of_roles_are_read() {
        let Change::CreateRole { name, attributes } = change(
            "CREATE USER \"An a\" WITH NOSUPERUSER CREATEDB ENCRYPTED PASSWORD 'x' CONNECTION LIMIT -1 VALID UNTIL '2030-01-01' IN ROLE a, b ADMIN c",
        ) else {
            panic!();
        };
        assert_eq!(name, "An a");
        assert_eq!(
            (attributes.superuser, attributes.login),
            (Some(false), Some(true))
        );
        assert_eq!(attributes.create_database, Some(true));
        assert_eq!(attributes.connections_max, Some(-1));
        assert_eq!(attributes.valid_until_us, Some(1_893_456_000_000_000));
        assert_eq!(attributes.member_of, ["a", "b"]);
        assert_eq!(attributes.members, [("c".to_owned(), true)]);
        assert!(attributes.password.unwrap().unwrap().fits("x"));
    }

    #[test]
    fn grants_are_read() {
        let Change::Privileges { request, target } =
            change("GRANT SELECT, insert ON TABLE kpi.targets, \"T\" TO GROUP ana, PUBLIC")
        else {
            panic!();
        };
        assert_eq!(request.privileges, [Privilege::Select, Privilege::Insert]);
        assert_eq!(
            request.grantees,
            [RoleName::Named("ana".to_owned()), RoleName::Public]
        );
        let Target::Tables(names) = target else {
            panic!()
        };
        assert_eq!(
            names,
            [
                vec!["kpi".to_owned(), "targets".to_owned()],
                vec!["T".to_owned()]
            ]
        );
        let Change::Members {
            roles,
            admin,
            revoke,
            ..
        } = change("REVOKE ADMIN OPTION FOR readers FROM ana CASCADE")
        else {
            panic!();
        };
        assert_eq!(
            (roles, admin, revoke),
            (vec!["readers".to_owned()], true, true)
        );
        assert!(matches!(
            change("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO ana"),
            Change::Privileges {
                target: Target::Nothing(_),
                ..
            }
        ));
        assert!(matches!(
            change("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ana"),
            Change::Defaults { tables: true, .. }
        ));
    }

    #[test]
    fn other_statements_are_left_alone_and_mistakes_point_at_the_word() {
        for sql in ["SELECT 1", "ALTER TABLE t RENAME TO u", "DROP TABLE t"] {
            assert!(parse_statements(sql).unwrap()[0].change.is_none(), "{sql}");
        }
        let error = parse_statements("GRANT SELECT ON t FROM ana").unwrap_err();
        assert_eq!(error.message(), "syntax error at or near \"FROM\"");
        assert_eq!(error.position(), Some(19));
        let error =
            parse_statements("ALTER ROLE ana PASSWORD 'tiger2000' 'tiger2000'").unwrap_err();
        assert!(!format!("{error:?}").contains("tiger2000"), "{error:?}");
        assert!(parse_statements("CREATE ROLE ana FLYING").is_err());
        assert!(parse_statements("GRANT SELECT (a) ON t TO ana").is_err());
    }

    #[test]
    fn passwords_are_cut_from_what_others_see() {
        assert_eq!(
            without_password("ALTER USER ana PASSWORD 'tiger2000'; SELECT 1"),
            "ALTER USER ana PASSWORD"
        );
        assert_eq!(
            without_password("SELECT password FROM t"),
            "SELECT password FROM t"
        );
    }
}
