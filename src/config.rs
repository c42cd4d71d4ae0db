//! The configuration of a server: defaults, then the file, then the environment, then flags.

pub mod tables;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use self::tables::Notes;
use crate::error::{Error, Result};
use crate::sqlstate::nearest;

/// The configuration file that is read from the working folder if it is there.
pub const FILE_NAME: &str = "loyalhouse.toml";

/// Prefix of environment variables: `LOYALHOUSE_LISTEN` sets `listen`.
pub const ENVIRONMENT_PREFIX: &str = "LOYALHOUSE_";

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on, `HOST:PORT`; port 0 picks a free one.
    pub listen: String,
    /// Whether an address beyond loopback may be served without passwords.
    pub insecure: bool,
    /// Folder for tables that this server will write; it is made if it is not there.
    pub warehouse: Option<PathBuf>,
    /// Prefix of an object store that tables lie in, instead of the warehouse folder.
    pub table_store: Option<String>,
    /// The server's TLS certificate (PEM, its chain behind it).
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// Longest time until new and removed files are seen.
    pub staleness: Duration,
    /// Memory of all queries together, in bytes.
    pub memory_limit: usize,
    /// Disk for spilled data, in bytes.
    pub spill_limit: u64,
    /// Folder for spilled data; the system's temporary folder if not given.
    pub spill_folder: Option<PathBuf>,
    /// Threads that run queries.
    pub query_threads: usize,
    /// Connections at the same time.
    pub connections_max: usize,
    /// Time a statement may take to plan.
    pub planning_timeout: Duration,
    /// Time running statements get to finish when the server stops.
    pub shutdown_grace: Duration,
    /// The clock of schedules that name no zone.
    pub cron_timezone: chrono_tz::Tz,
    /// Scheduled runs at the same time.
    pub cron_max_running_jobs: usize,
    /// Days that the history of scheduled runs is kept.
    pub cron_log_retention_days: usize,
    /// Comments and keys of tables that are read in place, from the file alone.
    pub tables: Notes,
}

/// One key of the configuration, for the file, the environment and the README's table.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file; upper case behind [`ENVIRONMENT_PREFIX`] in the environment.
    pub name: &'static str,
    /// Its default as it would be written.
    pub default: &'static str,
    /// One sentence.
    pub description: &'static str,
}

/// Every key, sorted by name.
pub const KEYS: &[Key] = &[
    Key {
        name: "connections_max",
        default: "2000",
        description: "Connections at the same time; more are refused with 53300.",
    },
    Key {
        name: "cron_log_retention_days",
        default: "90",
        description: "Days that the history of scheduled runs is kept.",
    },
    Key {
        name: "cron_max_running_jobs",
        default: "a quarter of the cores",
        description: "Scheduled runs at the same time; others wait.",
    },
    Key {
        name: "cron_timezone",
        default: "GMT",
        description: "Time zone of schedules that name none.",
    },
    Key {
        name: "insecure",
        default: "false",
        description: "Serve an address beyond loopback without roles and TLS.",
    },
    Key {
        name: "listen",
        default: "127.0.0.1:5433",
        description: "Address to listen on; port 0 picks a free one.",
    },
    Key {
        name: "memory_limit",
        default: "70 % of memory",
        description: "Memory of all queries together, e.g. `4GB`; a query over it fails with 53200.",
    },
    Key {
        name: "planning_timeout",
        default: "30s",
        description: "Time a statement may take to plan; then 54001.",
    },
    Key {
        name: "query_threads",
        default: "number of cores",
        description: "Threads that run queries.",
    },
    Key {
        name: "shutdown_grace",
        default: "30s",
        description: "Time running statements get to finish on SIGTERM.",
    },
    Key {
        name: "spill_folder",
        default: "system's temporary folder",
        description: "Folder for data of queries that do not fit in memory.",
    },
    Key {
        name: "spill_limit",
        default: "50GB",
        description: "Disk for that data.",
    },
    Key {
        name: "staleness",
        default: "10s",
        description: "Longest time until new and removed files are seen.",
    },
    Key {
        name: "table_store",
        default: "none",
        description: "Prefix of an object store (`s3://`, `gs://`, `az://`) that the files of tables lie in, instead of the warehouse folder.",
    },
    Key {
        name: "tls_cert",
        default: "none",
        description: "The server's TLS certificate: a PEM file, its chain behind it; needs `tls_key`.",
    },
    Key {
        name: "tls_key",
        default: "none",
        description: "The certificate's private key: a PEM file that others cannot read.",
    },
    Key {
        name: "warehouse",
        default: "none",
        description: "Folder of the tables that SQL makes, and of the catalog with its names, roles and grants; it is made if it is not there.",
    },
];

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5433".to_owned(),
            insecure: false,
            warehouse: None,
            table_store: None,
            tls_cert: None,
            tls_key: None,
            staleness: Duration::from_secs(10),
            cron_timezone: chrono_tz::Tz::UTC,
            cron_max_running_jobs: (std::thread::available_parallelism().map_or(2, usize::from)
                / 4)
            .max(1),
            cron_log_retention_days: 90,
            memory_limit: memory_of_machine() / 10 * 7,
            spill_limit: 50_000_000_000,
            spill_folder: None,
            query_threads: std::thread::available_parallelism().map_or(2, usize::from),
            connections_max: 2_000,
            planning_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(30),
            tables: Notes::default(),
        }
    }
}

impl Config {
    /// Reads the file and the environment. `file` must exist if given; else [`FILE_NAME`] is read if
    /// it is there.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut config = Self::default();
        let (path, required) = match file {
            Some(path) => (path.to_owned(), true),
            None => (PathBuf::from(FILE_NAME), false),
        };
        if required || path.exists() {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Error::undefined_file(format!(
                    "could not read configuration {}: {error}",
                    path.display()
                ))
            })?;
            config
                .apply_file(&text)
                .map_err(|error| in_place(&error, &path.display().to_string()))?;
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                config.apply(&key.to_lowercase(), &value).map_err(|error| {
                    in_place(&error, &format!("the environment variable {name}"))
                })?;
            }
        }
        Ok(config)
    }

    fn apply_file(&mut self, text: &str) -> Result<()> {
        let invalid =
            |error: toml::de::Error| Error::invalid_parameter_value(error.message().to_owned());
        let mut values: toml::Table = toml::from_str(text).map_err(invalid)?;
        if let Some(section) = values.remove(tables::SECTION) {
            self.tables = section.try_into().map_err(invalid)?;
        }
        for (name, value) in values {
            let value: Entry = value.try_into().map_err(invalid)?;
            match value {
                Entry::Scalar(value) => self.apply(&name, &value.text())?,
                Entry::Other(_) => return Err(unknown(&name)),
            }
        }
        Ok(())
    }

    /// Sets one key from its text.
    pub fn apply(&mut self, name: &str, value: &str) -> Result<()> {
        let invalid = |what: &str| {
            Error::invalid_parameter_value(format!("invalid value for \"{name}\": \"{value}\""))
                .with_hint(format!("Write {what}."))
        };
        let time =
            || span(value).ok_or_else(|| invalid("a time such as \"500ms\", \"10s\" or \"2min\""));
        let bytes = || size(value).ok_or_else(|| invalid("a size such as \"512MB\" or \"4GB\""));
        let count = || {
            value
                .parse()
                .ok()
                .filter(|count| *count > 0)
                .ok_or_else(|| invalid("a whole number of at least 1"))
        };
        match name {
            "listen" => value.clone_into(&mut self.listen),
            "insecure" => {
                self.insecure =
                    crate::parse::boolean(value).ok_or_else(|| invalid("\"true\" or \"false\""))?;
            }
            "warehouse" => self.warehouse = Some(PathBuf::from(value)),
            "table_store" => self.table_store = Some(value.to_owned()),
            "tls_cert" => self.tls_cert = Some(PathBuf::from(value)),
            "tls_key" => self.tls_key = Some(PathBuf::from(value)),
            "staleness" => self.staleness = time()?,
            "memory_limit" => self.memory_limit = usize::try_from(bytes()?).unwrap_or(usize::MAX),
            "spill_limit" => self.spill_limit = bytes()?,
            "spill_folder" => self.spill_folder = Some(PathBuf::from(value)),
            "query_threads" => self.query_threads = count()?,
            "connections_max" => self.connections_max = count()?,
            "planning_timeout" => self.planning_timeout = time()?,
            "shutdown_grace" => self.shutdown_grace = time()?,
            "cron_timezone" => {
                self.cron_timezone = zone(value)
                    .ok_or_else(|| invalid("the name of a zone such as \"Europe/Kyiv\""))?;
            }
            "cron_max_running_jobs" => self.cron_max_running_jobs = count()?,
            "cron_log_retention_days" => self.cron_log_retention_days = count()?,
            other => return Err(unknown(other)),
        }
        Ok(())
    }
}

/// Words of keys under which people look for a place to write a password.
const SECRET_WORDS: &[&str] = &["password", "passwd", "secret", "user", "role"];

fn unknown(name: &str) -> Error {
    if SECRET_WORDS.iter().any(|word| name.contains(word)) {
        return Error::invalid_parameter_value(format!(
            "\"{name}\" does not belong in the configuration"
        ))
        .with_detail("Passwords are kept as verifiers in the warehouse's catalog, nowhere else.")
        .with_hint(
            "Run `loyalhouse role create NAME --superuser --password-stdin --warehouse DIR`.",
        );
    }
    let error = Error::undefined_object(format!("unknown configuration key \"{name}\""));
    match nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error.with_hint("The README lists every key."),
    }
}

fn in_place(error: &Error, place: &str) -> Error {
    let placed = Error::new(error.state(), format!("{} in {place}", error.message()));
    match error.hint() {
        Some(hint) => placed.with_hint(hint),
        None => placed,
    }
}

/// What stands behind a key of the file; tables and lists belong to no key.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Scalar(Scalar),
    Other(serde::de::IgnoredAny),
}

/// A value of the file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

/// A time with a unit; a bare number is milliseconds, as in PostgreSQL.
fn span(text: &str) -> Option<Duration> {
    crate::parse::milliseconds(text).map(Duration::from_millis)
}

/// A time zone by its IANA name.
fn zone(name: &str) -> Option<chrono_tz::Tz> {
    match name.trim() {
        "GMT" => Some(chrono_tz::Tz::UTC),
        other => other.parse().ok(),
    }
}

/// A size in bytes, with PostgreSQL's units (powers of 1024).
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let factor: u64 = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" | "K" => 1 << 10,
        "MB" | "M" => 1 << 20,
        "GB" | "G" => 1 << 30,
        "TB" | "T" => 1 << 40,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes >= 1.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// Memory this process may use, in bytes: the control group's limit or the machine's.
fn memory_of_machine() -> usize {
    /// What is assumed when the system does not say.
    const ASSUMED_BYTES: usize = 2 << 30;
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kilobytes << 10)
        });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    [machine, group]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(ASSUMED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_sources_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.toml");
        std::fs::write(
            &file,
            "staleness = \"2s\"\nquery_threads = 3\nlisten = \"127.0.0.1:1\"\n",
        )
        .unwrap();
        let environment = [("LOYALHOUSE_LISTEN", "127.0.0.1:2"), ("PATH", "/bin")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::load(Some(&file), environment.into_iter()).unwrap();
        assert_eq!(config.staleness, Duration::from_secs(2));
        assert_eq!(config.query_threads, 3);
        assert_eq!(config.listen, "127.0.0.1:2");
    }

    #[test]
    fn comments_and_keys_of_tables_are_read() {
        let mut config = Config::default();
        let text = r#"
            staleness = "2s"
            [tables."public.orders"]
            comment = "One row per order"
            primary_key = ["order_id"]
            unique = [["number"]]
            foreign_keys = [{ columns = ["customer_id"], references = "public.customers" }]
            columns = { amount = "In EUR" }
        "#;
        config.apply_file(text).unwrap();
        let notes = &config.tables["public.orders"];
        assert_eq!(notes.comment.as_deref(), Some("One row per order"));
        assert_eq!(notes.columns["amount"], "In EUR");
        assert_eq!(notes.foreign_keys[0].references, "public.customers");
        let error = config
            .apply_file("[tables.orders]\nprimarykey = []")
            .unwrap_err();
        assert!(error.message().contains("primarykey"), "{error}");
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_name() {
        let error = Config::default()
            .apply_file("stalenes = \"2s\"")
            .unwrap_err();
        assert_eq!(error.hint(), Some("Perhaps you meant \"staleness\"."));
        let error = Config::load(
            None,
            [("LOYALHOUSE_PORT".to_owned(), "1".to_owned())].into_iter(),
        )
        .unwrap_err();
        assert!(error.message().contains("LOYALHOUSE_PORT"), "{error}");
    }

    #[test]
    fn passwords_are_refused_and_not_repeated() {
        for text in [
            "password = \"tiger2000\"",
            "admin_password = \"tiger2000\"",
            "[users]\nadmin = \"tiger2000\"",
            "[[roles]]\nname = \"admin\"\npassword = \"tiger2000\"",
        ] {
            let error = Config::default().apply_file(text).unwrap_err();
            assert!(error.hint().unwrap().contains("role create"), "{error}");
            assert!(!format!("{error:?}").contains("tiger2000"), "{error:?}");
        }
    }

    #[test]
    fn every_key_can_be_set_and_bad_values_say_what_is_right() {
        for key in KEYS {
            let value = match key.name {
                "insecure" => "true",
                "connections_max"
                | "query_threads"
                | "cron_max_running_jobs"
                | "cron_log_retention_days" => "4",
                "cron_timezone" => "Europe/Kyiv",
                "memory_limit" | "spill_limit" => "1.5GB",
                "staleness" | "planning_timeout" | "shutdown_grace" => "5s",
                _ => "/tmp",
            };
            Config::default().apply(key.name, value).unwrap();
        }
        assert!(
            Config::default()
                .apply("memory_limit", "lots")
                .unwrap_err()
                .hint()
                .is_some()
        );
        assert!(Config::default().apply("query_threads", "0").is_err());
        assert_eq!(size("1.5GB"), Some(1_610_612_736));
    }
}
