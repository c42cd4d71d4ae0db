//! The settings of a session: the table behind SET, SHOW and RESET, and the values of one session.

use std::collections::BTreeMap;
use std::time::Duration;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::calendar::{TimeSettings, Zone, date_style_setting};
use crate::error::{Error, Result};
use crate::parse::{boolean, milliseconds};
use crate::sqlstate::nearest;
use crate::values::encode::TextStyle;

/// Custom settings (`SET myapp.user = …`) one session may hold.
const CUSTOM_SETTINGS_MAX: usize = 128;

/// Length of a setting's value in bytes.
const VALUE_BYTES_MAX: usize = 8192;

/// Prefixes that are not free for custom settings: they would look as if they had an effect.
const RESERVED_PREFIXES: &[&str] = &["datafusion", "loyalhouse", "loyalty", "cron"];

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `on`/`off` and PostgreSQL's other spellings.
    Bool,
    /// A whole number within bounds.
    Integer(i64, i64),
    /// A time span, kept in milliseconds; `0` switches the limit off.
    Milliseconds,
    /// Any text.
    Text,
    /// One of a fixed list, matched without case.
    OneOf(&'static [&'static str]),
    /// The name of a table, or nothing.
    Table,
    /// An IANA time zone name or a numeric offset.
    TimeZone,
    /// A style and the order of day, month and year.
    DateStyle,
    /// UTF8 in any of its spellings.
    Encoding,
    /// Fixed by the server; SET is refused.
    ReadOnly,
}

/// One row of the table of settings.
#[derive(Debug)]
pub struct Setting {
    /// The name as PostgreSQL spells it.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The value of a new session.
    pub default: &'static str,
    /// One sentence for `pg_settings` and `SHOW ALL`.
    pub description: &'static str,
    /// Whether a change is reported to the client in a ParameterStatus message.
    pub reported: bool,
}

const fn setting(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        description,
        reported: false,
    }
}

const fn reported(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        description,
        reported: true,
    }
}

const ISOLATION: Kind = Kind::OneOf(&[
    "read committed",
    "repeatable read",
    "serializable",
    "read uncommitted",
]);

/// Every setting this server knows, by name.
pub const SETTINGS: &[Setting] = &[
    reported(
        "application_name",
        Kind::Text,
        "",
        "Sets the application name to be reported in statistics and logs.",
    ),
    setting(
        "backslash_quote",
        Kind::OneOf(&["safe_encoding", "on", "off"]),
        "safe_encoding",
        "Sets whether \"\\'\" is allowed in string literals.",
    ),
    setting(
        "bytea_output",
        Kind::OneOf(&["escape", "hex"]),
        "hex",
        "Sets the output format for bytea.",
    ),
    setting(
        "check_function_bodies",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    reported(
        "client_encoding",
        Kind::Encoding,
        "UTF8",
        "Sets the client's character set encoding.",
    ),
    setting(
        "client_min_messages",
        Kind::OneOf(&[
            "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
        ]),
        "notice",
        "Sets the message levels that are sent to the client.",
    ),
    reported(
        "DateStyle",
        Kind::DateStyle,
        "ISO, MDY",
        "Sets the display format for date and time values.",
    ),
    setting(
        "default_table_access_method",
        Kind::Text,
        "heap",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "default_tablespace",
        Kind::Text,
        "",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "default_text_search_config",
        Kind::Text,
        "pg_catalog.simple",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "default_transaction_deferrable",
        Kind::Bool,
        "off",
        "Sets the default deferrable status of new transactions.",
    ),
    setting(
        "default_transaction_isolation",
        ISOLATION,
        "read committed",
        "Sets the isolation level of each new transaction.",
    ),
    reported(
        "default_transaction_read_only",
        Kind::Bool,
        "off",
        "Sets the default read-only status of new transactions.",
    ),
    setting(
        "enable_hashjoin",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "enable_mergejoin",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "enable_nestloop",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "enable_seqscan",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "escape_string_warning",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "extra_float_digits",
        Kind::Integer(-15, 3),
        "1",
        "Sets the number of digits displayed for floating-point values.",
    ),
    setting(
        "idle_in_transaction_session_timeout",
        Kind::Milliseconds,
        "0",
        "Sets the maximum allowed idle time between queries in a transaction, in milliseconds.",
    ),
    reported(
        "in_hot_standby",
        Kind::ReadOnly,
        "off",
        "Shows whether hot standby is currently active.",
    ),
    reported(
        "integer_datetimes",
        Kind::ReadOnly,
        "on",
        "Shows whether datetimes are integer based.",
    ),
    reported(
        "IntervalStyle",
        Kind::OneOf(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "postgres",
        "Sets the display format for interval values.",
    ),
    reported(
        "is_superuser",
        Kind::ReadOnly,
        "on",
        "Shows whether the current user is a superuser.",
    ),
    setting(
        "jit",
        Kind::Bool,
        "off",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "lc_collate",
        Kind::ReadOnly,
        "C",
        "Shows the collation order locale.",
    ),
    setting(
        "lc_ctype",
        Kind::ReadOnly,
        "C.UTF-8",
        "Shows the character classification locale.",
    ),
    setting(
        "lc_messages",
        Kind::Text,
        "C",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "lc_monetary",
        Kind::Text,
        "C",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "lc_numeric",
        Kind::Text,
        "C",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "lc_time",
        Kind::Text,
        "C",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "lock_timeout",
        Kind::Milliseconds,
        "0",
        "Accepted for compatibility; there are no locks to wait for.",
    ),
    setting(
        "loyalhouse.vacuum_retention",
        Kind::Milliseconds,
        // 7 days.
        "604800000",
        "Sets how long VACUUM keeps files that are no longer part of their table.",
    ),
    setting(
        "loyalty.invalid_values",
        Kind::OneOf(&["error", "null"]),
        "error",
        "Sets whether a value that a loyalty function cannot mean is an error or counts as NULL.",
    ),
    setting(
        "loyalty.sentiment_lexicon",
        Kind::Table,
        "",
        "Sets the table of words that sentiment functions know beside their own: lang, term, weight.",
    ),
    setting(
        "loyalty.topic_lexicon",
        Kind::Table,
        "",
        "Sets the table of words of topics that review_topics knows beside its own: lang, topic, term.",
    ),
    setting(
        "max_identifier_length",
        Kind::ReadOnly,
        "63",
        "Shows the maximum identifier length.",
    ),
    setting(
        "max_index_keys",
        Kind::ReadOnly,
        "32",
        "Shows the maximum number of index keys.",
    ),
    setting(
        "quote_all_identifiers",
        Kind::Bool,
        "off",
        "Accepted for compatibility; has no effect.",
    ),
    setting("role", Kind::Text, "none", "Sets the current role."),
    setting(
        "row_security",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    setting(
        "search_path",
        Kind::Text,
        "\"$user\", public",
        "Sets the schema search order for names that are not schema-qualified.",
    ),
    reported(
        "server_encoding",
        Kind::ReadOnly,
        "UTF8",
        "Shows the server (database) character set encoding.",
    ),
    reported(
        "server_version",
        Kind::ReadOnly,
        SERVER_VERSION,
        "Shows the server version.",
    ),
    setting(
        "server_version_num",
        Kind::ReadOnly,
        "150018",
        "Shows the server version as an integer.",
    ),
    reported(
        "session_authorization",
        Kind::ReadOnly,
        "",
        "Sets the current session's user name.",
    ),
    reported(
        "standard_conforming_strings",
        Kind::OneOf(&["on"]),
        "on",
        "Causes '...' strings to treat backslashes literally.",
    ),
    setting(
        "statement_timeout",
        Kind::Milliseconds,
        "0",
        "Sets the maximum allowed duration of any statement, in milliseconds.",
    ),
    setting(
        "synchronize_seqscans",
        Kind::Bool,
        "on",
        "Accepted for compatibility; has no effect.",
    ),
    reported(
        "TimeZone",
        Kind::TimeZone,
        "UTC",
        "Sets the time zone for displaying and interpreting time stamps.",
    ),
    setting(
        "transaction_deferrable",
        Kind::Bool,
        "off",
        "Whether to defer a read-only serializable transaction.",
    ),
    setting(
        "transaction_isolation",
        ISOLATION,
        "read committed",
        "Sets the current transaction's isolation level.",
    ),
    setting(
        "transaction_read_only",
        Kind::Bool,
        "off",
        "Sets the current transaction's read-only status.",
    ),
    setting(
        "work_mem",
        Kind::Text,
        "4MB",
        "Accepted for compatibility; memory is limited by memory_limit of the configuration.",
    ),
    setting(
        "xmloption",
        Kind::OneOf(&["content", "document"]),
        "content",
        "Accepted for compatibility; has no effect.",
    ),
];

/// The PostgreSQL version this server presents itself as; drivers choose their queries by it.
pub const SERVER_VERSION: &str = "15.18";

/// Every setting, those included that nobody can change.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().chain(super::fixed_settings::FIXED)
}

/// Finds a setting without regard to case.
pub fn lookup(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

/// The values of one session. Cloning is cheap enough to snapshot at BEGIN.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Values that differ from the session's start, by lower-case name.
    values: BTreeMap<String, String>,
    /// The same as they will be once the transaction has ended well: SET counts, SET LOCAL does not.
    durable: BTreeMap<String, String>,
    /// Values at the session's start (from the start-up packet), what RESET goes back to.
    initial: BTreeMap<String, String>,
    /// Counts changes, so that others see when to look again.
    version: u64,
}

impl Settings {
    /// The settings of a new session; `initial` are the values its client asked for at start-up.
    pub fn new(initial: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut settings = Self::default();
        for (name, value) in initial {
            let value = settings.validated(&name, &value)?;
            settings.initial.insert(name.to_lowercase(), value);
        }
        Ok(settings)
    }

    /// Marks who the session belongs to; not settable by clients.
    pub fn set_session_authorization(&mut self, user: &str) {
        self.initial
            .insert("session_authorization".to_owned(), user.to_owned());
    }

    /// A value that the server was started with; not settable by clients.
    pub fn set_of_server(&mut self, name: &str, value: &str) {
        self.initial.insert(name.to_owned(), value.to_owned());
    }

    /// The value of a setting, or `None` when no such setting exists.
    pub fn get(&self, name: &str) -> Option<&str> {
        let key = name.to_lowercase();
        if let Some(value) = self.values.get(&key).or_else(|| self.initial.get(&key)) {
            return Some(value);
        }
        // A transaction that does not say otherwise has the session's default.
        if key.starts_with("transaction_") {
            return self.get(&format!("default_{key}"));
        }
        lookup(name).map(|setting| setting.default)
    }

    /// A number that grows with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The value as SHOW prints it.
    pub fn show(&self, name: &str) -> Result<String> {
        let value = self.get(name).ok_or_else(|| unrecognized(name))?;
        match lookup(name).map(|setting| setting.kind) {
            Some(Kind::Milliseconds) => Ok(span_text(value.parse().unwrap_or_default())),
            _ => Ok(value.to_owned()),
        }
    }

    /// SET: checks the value and keeps it. Returns the stored value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<String> {
        let value = self.set_local(name, value)?;
        let key = name.to_lowercase();
        // What a transaction is like ends with it.
        if !key.starts_with("transaction_") {
            self.durable.insert(key, value.clone());
        }
        Ok(value)
    }

    /// SET LOCAL: as [`Settings::set`], but only until the transaction ends.
    pub fn set_local(&mut self, name: &str, value: &str) -> Result<String> {
        let value = self.validated(name, value)?;
        self.values.insert(name.to_lowercase(), value.clone());
        self.version += 1;
        Ok(value)
    }

    /// RESET of one setting.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        self.reset_local(name)?;
        let key = name.to_lowercase();
        match self.values.get(&key) {
            Some(emptied) => self.durable.insert(key, emptied.clone()),
            None => self.durable.remove(&key),
        };
        Ok(())
    }

    /// SET LOCAL … TO DEFAULT.
    pub fn reset_local(&mut self, name: &str) -> Result<()> {
        let key = name.to_lowercase();
        match lookup(name) {
            Some(Setting {
                kind: Kind::ReadOnly,
                ..
            }) => return Err(cannot_change(name)),
            Some(_) => {
                self.values.remove(&key);
            }
            // PostgreSQL lets any name with a dot be reset; one that was set is empty from then on.
            None if !name.contains('.') => return Err(unrecognized(name)),
            None => {
                if let Some(value) = self.values.get_mut(&key) {
                    value.clear();
                }
            }
        }
        self.version += 1;
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.values.clear();
        self.durable.clear();
        self.version += 1;
    }

    /// The transaction ended well: what was set for it alone is gone.
    pub fn end_transaction(&mut self) {
        if self.values != self.durable {
            self.values.clone_from(&self.durable);
            self.version += 1;
        }
    }

    /// The transaction failed: everything is as it was before.
    pub fn restore(&mut self, before: &Self) {
        if self.values != before.values || self.durable != before.durable {
            let version = self.version + 1;
            self.clone_from(before);
            self.version = version;
        }
    }

    /// A time limit, or `None` when it is switched off.
    pub fn span(&self, name: &str) -> Option<Duration> {
        let millis: u64 = self.get(name)?.parse().ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// TimeZone, DateStyle and IntervalStyle.
    pub fn time(&self) -> TimeSettings {
        let value = |name| self.get(name).unwrap_or_default();
        TimeSettings::parse(
            value("TimeZone"),
            value("DateStyle"),
            value("IntervalStyle"),
        )
    }

    /// How values look as text.
    pub fn text_style(&self) -> TextStyle {
        let default = TextStyle::default();
        let digits = self.get("extra_float_digits");
        TextStyle {
            time: self.time(),
            extra_float_digits: digits
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(default.extra_float_digits),
            names: default.names,
            bytes_escaped: self.get("bytea_output") == Some("escape"),
        }
    }

    /// The schemas of `search_path` in order, `$user` replaced.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        split_path(self.get("search_path").unwrap_or_default())
            .into_iter()
            .map(|schema| {
                if schema == "$user" {
                    user.to_owned()
                } else {
                    schema
                }
            })
            .collect()
    }

    fn validated(&self, name: &str, value: &str) -> Result<String> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Error::invalid_parameter_value(format!(
                "value of parameter \"{name}\" is too long"
            ))
            .with_detail(format!("A value may take {VALUE_BYTES_MAX} bytes.")));
        }
        let Some(setting) = lookup(name) else {
            return self.validated_custom(name, value);
        };
        let invalid = || {
            Error::invalid_parameter_value(format!(
                "invalid value for parameter \"{}\": \"{value}\"",
                setting.name
            ))
        };
        match setting.kind {
            Kind::ReadOnly => Err(cannot_change(name)),
            Kind::Text => Ok(value.to_owned()),
            Kind::Table if value.trim().is_empty() => Ok(String::new()),
            Kind::Table => table_name(value).ok_or_else(|| {
                invalid().with_hint("Write the name of a table, such as public.words, or '' for none.")
            }),
            Kind::Bool => match boolean(value) {
                Some(true) => Ok("on".to_owned()),
                Some(false) => Ok("off".to_owned()),
                None => Err(Error::invalid_parameter_value(format!("parameter \"{}\" requires a Boolean value", setting.name))),
            },
            Kind::Integer(min, max) => {
                let number: i64 = value.trim().parse().map_err(|_| invalid())?;
                match (min..=max).contains(&number) {
                    true => Ok(number.to_string()),
                    false => Err(Error::invalid_parameter_value(format!(
                        "{number} is outside the valid range for parameter \"{}\" ({min} .. {max})",
                        setting.name
                    ))),
                }
            }
            Kind::Milliseconds => milliseconds(value).map(|millis| millis.to_string()).ok_or_else(|| {
                invalid().with_hint("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")
            }),
            Kind::OneOf(values) => values
                .iter()
                .find(|known| known.eq_ignore_ascii_case(value))
                .map(|known| (*known).to_owned())
                .ok_or_else(|| invalid().with_hint(format!("Available values: {}.", values.join(", ")))),
            Kind::Encoding => {
                // PostgreSQL looks at letters and digits alone: asyncpg sends 'utf-8' in its quotes.
                let name: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
                match name.to_ascii_lowercase().as_str() {
                    "utf8" | "unicode" => Ok("UTF8".to_owned()),
                    _ => Err(invalid().with_hint("The only encoding is UTF8.")),
                }
            }
            Kind::TimeZone => time_zone(value).ok_or_else(invalid),
            Kind::DateStyle => {
                let current = self.get(name).unwrap_or(setting.default);
                date_style_setting(value, current).ok_or_else(invalid)
            }
        }
    }

    /// PostgreSQL takes any name with a dot as a setting of an extension; so do we, within bounds.
    fn validated_custom(&self, name: &str, value: &str) -> Result<String> {
        let Some((prefix, _)) = name.split_once('.') else {
            return Err(unrecognized(name));
        };
        if RESERVED_PREFIXES
            .iter()
            .any(|reserved| reserved.eq_ignore_ascii_case(prefix))
        {
            return Err(unrecognized(name).with_detail(format!(
                "Settings that start with \"{prefix}.\" belong to the server."
            )));
        }
        let known = self.values.contains_key(&name.to_lowercase());
        if !known && self.values.len() + self.initial.len() >= CUSTOM_SETTINGS_MAX + SETTINGS.len()
        {
            return Err(Error::program_limit_exceeded(
                "the session holds too many custom settings",
            )
            .with_detail(format!("A session may hold {CUSTOM_SETTINGS_MAX}.")));
        }
        Ok(value.to_owned())
    }
}

fn unrecognized(name: &str) -> Error {
    let error = Error::undefined_object(format!("unrecognized configuration parameter \"{name}\""));
    match nearest(name, SETTINGS.iter().map(|setting| setting.name)) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error,
    }
}

fn cannot_change(name: &str) -> Error {
    Error::new(
        crate::sqlstate::SqlState::CantChangeRuntimeParam,
        format!("parameter \"{name}\" cannot be changed"),
    )
}

/// Milliseconds as SHOW prints them: in the largest unit that divides them.
fn span_text(millis: u64) -> String {
    for (unit, factor) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("min", 60_000),
        ("s", 1_000),
    ] {
        if millis > 0 && millis.is_multiple_of(factor) {
            return format!("{}{unit}", millis / factor);
        }
    }
    if millis == 0 {
        "0".to_owned()
    } else {
        format!("{millis}ms")
    }
}

/// The name of a table as SQL spells it, with its schema or without.
fn table_name(text: &str) -> Option<String> {
    const PARTS_MAX: usize = 3;
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?;
    let name = parser.parse_object_name(false).ok()?;
    let is_all = parser.peek_token().token == Token::EOF;
    let is_plain = name.0.iter().all(|part| part.as_ident().is_some());
    (is_all && is_plain && name.0.len() <= PARTS_MAX).then(|| name.to_string())
}

/// A time zone as SHOW gives it back; `default` and `local` mean the server's.
fn time_zone(text: &str) -> Option<String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "default" | "local" => Some("UTC".to_owned()),
        _ => Zone::setting(text).map(|(_, shown)| shown),
    }
}

/// The names of a `search_path` value; quoted names keep their case.
pub fn split_path(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            names.push(quoted[..end].to_owned());
            rest = quoted.get(end + 1..).unwrap_or_default();
            rest = rest.trim_start().trim_start_matches(',').trim_start();
        } else {
            let (name, tail) = rest.split_once(',').unwrap_or((rest, ""));
            if !name.trim().is_empty() {
                names.push(name.trim().to_lowercase());
            }
            rest = tail.trim_start();
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlstate::SqlState;

    #[test]
    fn names_are_unique_and_sorted() {
        let names: Vec<_> = SETTINGS
            .iter()
            .map(|setting| setting.name.to_lowercase())
            .collect();
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(names, sorted);
    }

    #[test]
    fn every_default_is_a_valid_value_of_its_setting() {
        let settings = Settings::new([]).unwrap();
        for setting in SETTINGS
            .iter()
            .filter(|setting| setting.kind != Kind::ReadOnly)
        {
            assert_eq!(
                settings.validated(setting.name, setting.default).unwrap(),
                setting.default,
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn set_show_and_reset_follow_the_session() {
        let mut settings =
            Settings::new([("application_name".to_owned(), "psql".to_owned())]).unwrap();
        settings.set("application_name", "other").unwrap();
        assert_eq!(settings.show("APPLICATION_NAME").unwrap(), "other");
        settings.reset("application_name").unwrap();
        assert_eq!(settings.show("application_name").unwrap(), "psql");
        settings.set("statement_timeout", "90s").unwrap();
        assert_eq!(settings.show("statement_timeout").unwrap(), "90s");
        assert_eq!(
            settings.span("statement_timeout"),
            Some(Duration::from_secs(90))
        );
        settings.set("myapp.user", "7").unwrap();
        assert_eq!(settings.show("myapp.user").unwrap(), "7");
    }

    #[test]
    fn the_engines_own_settings_are_out_of_reach() {
        let mut settings = Settings::new([]).unwrap();
        for name in [
            "datafusion.runtime.memory_limit",
            "DataFusion.execution.batch_size",
            "no_such_setting",
        ] {
            assert_eq!(
                settings.set(name, "1T").unwrap_err().state(),
                SqlState::UndefinedObject,
                "{name}"
            );
        }
        assert_eq!(
            settings.set("server_version", "16").unwrap_err().state(),
            SqlState::CantChangeRuntimeParam
        );
        let error = settings.set("statement_timout", "1").unwrap_err();
        assert_eq!(
            error.hint(),
            Some("Perhaps you meant \"statement_timeout\".")
        );
    }

    #[test]
    fn tables_are_named_as_sql_names_them() {
        let mut settings = Settings::new([]).unwrap();
        let name = "loyalty.sentiment_lexicon";
        for (given, kept) in [
            ("public.words", "public.words"),
            ("Words", "Words"),
            ("\"My Schema\" . \"w\"\"1\"", "\"My Schema\".\"w\"\"1\""),
            (" ", ""),
        ] {
            assert_eq!(settings.set(name, given).unwrap(), kept, "{given}");
        }
        for wrong in [
            "a.b.c.d",
            "words; DROP TABLE words",
            "words w",
            "generate_series(1, 2)",
            "(SELECT 1)",
            "1",
            "a.",
            "\"open",
        ] {
            let error = settings.set(name, wrong).unwrap_err();
            assert_eq!(error.state(), SqlState::InvalidParameterValue, "{wrong}");
        }
        settings.reset(name).unwrap();
        assert_eq!(settings.get(name), Some(""));
    }

    #[test]
    fn search_paths_keep_the_case_of_quoted_names() {
        assert_eq!(split_path("\"$user\", public"), ["$user", "public"]);
        assert_eq!(
            split_path("KPI, \"My Schema\" ,x"),
            ["kpi", "My Schema", "x"]
        );
        assert!(split_path("").is_empty());
    }

    #[test]
    fn time_zones_are_checked() {
        let mut settings = Settings::new([]).unwrap();
        assert_eq!(
            settings.set("timezone", "Europe/Kyiv").unwrap(),
            "Europe/Kyiv"
        );
        assert_eq!(settings.set("timezone", "utc").unwrap(), "UTC");
        assert_eq!(settings.set("timezone", "-7").unwrap(), "<-07>+07");
        assert!(settings.set("timezone", "Mars/Olympus").is_err());
    }
}
