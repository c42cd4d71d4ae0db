//! What the catalog shows but does not know itself: the session, the server, its roles.

use std::any::Any;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::Result;

use super::Snapshot;
use super::database::Database;
use crate::error::Error;

/// Facts of one session, carried in the session's configuration.
///
/// The connection stores them when it starts and when `search_path` changes; SQL cannot set them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The backend's number, as in BackendKeyData.
    pub pid: i32,
    /// The current user: the role that is logged in, or that of SET ROLE.
    pub user: String,
    /// The role that is logged in.
    pub session_user: String,
    /// Whether the current user may do everything.
    pub superuser: bool,
    /// The database that the client named.
    pub database: String,
    /// The schemas of `search_path` in order, without the implicit pg_catalog.
    pub search_path: Vec<String>,
    /// `application_name`.
    pub application_name: String,
    /// The client's address; none for a connection within the process.
    pub client: Option<SocketAddr>,
    /// The address the client connected to.
    pub server: Option<SocketAddr>,
    /// The tables as the session's statement sees them; those that are committed if there are none.
    pub tables: Option<Arc<SessionTables>>,
}

/// What the catalog read for the last statement of a session that asked it.
pub type LastSnapshot = Arc<RwLock<Option<Arc<Snapshot>>>>;

/// The tables of one statement, and what the catalog read of them.
#[derive(Debug)]
pub struct SessionTables {
    pub(super) database: Arc<Database>,
    pub(super) snapshot: LastSnapshot,
}

impl SessionTables {
    /// The tables of `database` in the session of `snapshot`.
    pub fn new(database: Arc<Database>, snapshot: LastSnapshot) -> Arc<Self> {
        Arc::new(Self { database, snapshot })
    }
}

/// Those of one statement are the same.
impl PartialEq for SessionTables {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for SessionTables {}

impl Default for SessionFacts {
    fn default() -> Self {
        Self {
            pid: 0,
            user: "postgres".to_owned(),
            session_user: "postgres".to_owned(),
            superuser: true,
            database: "postgres".to_owned(),
            search_path: vec!["public".to_owned()],
            application_name: String::new(),
            client: None,
            server: None,
            tables: None,
        }
    }
}

impl SessionFacts {
    /// The facts of the session that `options` belong to.
    pub fn of(options: &ConfigOptions) -> Self {
        options
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_default()
    }

    /// The schemas that unqualified names are looked up in, pg_catalog first as in PostgreSQL.
    pub fn schemas_searched(&self) -> impl Iterator<Item = &str> {
        let explicit = self.search_path.iter().any(|schema| schema == "pg_catalog");
        let implicit = (!explicit).then_some("pg_catalog");
        let named = self.search_path.iter().map(|schema| match schema.as_str() {
            "$user" => self.user.as_str(),
            other => other,
        });
        implicit.into_iter().chain(named)
    }
}

impl ConfigExtension for SessionFacts {
    const PREFIX: &'static str = "session";
}

impl ExtensionOptions for SessionFacts {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        let message = format!("parameter \"session.{key}\" cannot be changed");
        Err(Error::invalid_parameter_value(message).into())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// What the server knows and the catalog shows.
pub trait ServerFacts: Send + Sync + Debug {
    /// The rows of pg_settings for a session with these options.
    fn settings(&self, options: &ConfigOptions) -> Vec<SettingRow>;

    /// The sessions that are connected now.
    fn activity(&self) -> Vec<ActivityRow>;

    /// The prepared statements of the session with these options.
    fn prepared_statements(&self, _: &ConfigOptions) -> Vec<PreparedRow> {
        Vec::new()
    }

    /// The cursors of the session with these options.
    fn cursors(&self, _: &ConfigOptions) -> Vec<CursorRow> {
        Vec::new()
    }

    /// The advisory locks that are held or waited for.
    fn advisory_locks(&self) -> Vec<LockRow> {
        Vec::new()
    }

    /// The start of the transaction of the session with these options, in microseconds since 2000-01-01.
    fn transaction_started_us(&self, _: &ConfigOptions) -> i64 {
        0
    }

    /// All roles. The one named like [`ServerFacts::owner`] gets OID 10.
    fn roles(&self) -> Vec<RoleRow>;

    /// The role that owns every object.
    fn owner(&self) -> String;

    /// Whether a role has a privilege (by PostgreSQL's name), or may give it on. `public` is everybody.
    fn may(&self, _role: &str, _privilege: &str, _grantable: bool, _object: Securable<'_>) -> bool {
        true
    }

    /// Whether a role is a member of another, or with `inherits` has its privileges.
    fn has_role(&self, _role: &str, _other: &str, _inherits: bool) -> bool {
        true
    }

    /// The aclitems of an object; none where nothing was granted or revoked.
    fn acl(&self, _object: Securable<'_>) -> Option<Vec<String>> {
        None
    }

    /// The privileges on an object, the owner's among them.
    fn grants(&self, _object: Securable<'_>) -> Vec<GrantRow> {
        Vec::new()
    }

    /// When the server started, in microseconds since 1970-01-01 UTC.
    fn started_at_us(&self) -> i64;

    /// The server's version as in `server_version`, for example `15.0`.
    fn version(&self) -> String {
        "15.0".to_owned()
    }
}

/// Something that privileges are granted on.
#[derive(Clone, Copy, Debug)]
pub enum Securable<'a> {
    /// The one database.
    Database,
    /// A schema.
    Schema(&'a str),
    /// A table or view.
    Table {
        /// Its schema.
        schema: &'a str,
        /// Its name.
        name: &'a str,
    },
}

/// One privilege on an object.
#[derive(Clone, Debug)]
pub struct GrantRow {
    /// Who gave it.
    pub grantor: String,
    /// Who has it; `PUBLIC` is everybody.
    pub grantee: String,
    /// PostgreSQL's name of it.
    pub privilege: String,
    /// Whether the grantee may give it on.
    pub grantable: bool,
}

/// One row of pg_settings.
#[derive(Clone, Debug, Default)]
pub struct SettingRow {
    /// Name of the setting.
    pub name: String,
    /// Current value.
    pub value: String,
    /// Unit, such as `ms` or `kB`.
    pub unit: Option<String>,
    /// Group of settings.
    pub category: String,
    /// One sentence.
    pub description: String,
    /// Who may change it when: `user`, `superuser`, `postmaster`, `internal`.
    pub context: String,
    /// `bool`, `integer`, `real`, `string` or `enum`.
    pub value_type: String,
    /// `default`, `configuration file`, `session`, …
    pub source: String,
    /// The value without any configuration.
    pub default: Option<String>,
    /// The values of an enum.
    pub values: Option<Vec<String>>,
}

/// One row of pg_stat_activity.
#[derive(Clone, Debug, Default)]
pub struct ActivityRow {
    /// The backend's number.
    pub pid: i32,
    /// The database it is connected to.
    pub database: String,
    /// The role.
    pub user: String,
    /// `application_name`.
    pub application_name: String,
    /// The client's address.
    pub client: Option<SocketAddr>,
    /// Microseconds since 1970-01-01 UTC.
    pub backend_started_at_us: Option<i64>,
    /// Start of the running or last statement, same unit.
    pub query_started_at_us: Option<i64>,
    /// When `state` last changed, same unit.
    pub state_changed_at_us: Option<i64>,
    /// `active`, `idle`, `idle in transaction`, …
    pub state: String,
    /// Text of the running or last statement.
    pub query: String,
}

/// One row of pg_prepared_statements.
#[derive(Clone, Debug, Default)]
pub struct PreparedRow {
    /// The statement's name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Microseconds since 1970-01-01 UTC.
    pub prepared_at_us: i64,
    /// The OIDs of its parameters' types.
    pub parameters: Vec<u32>,
    /// Whether PREPARE made it, not the protocol.
    pub from_sql: bool,
}

/// One row of pg_cursors.
#[derive(Clone, Debug, Default)]
pub struct CursorRow {
    /// The cursor's name.
    pub name: String,
    /// The text of its DECLARE.
    pub text: String,
    /// Microseconds since 1970-01-01 UTC.
    pub created_at_us: i64,
    /// WITH HOLD
    pub hold: bool,
    /// BINARY
    pub binary: bool,
    /// SCROLL
    pub scroll: bool,
}

/// One advisory lock.
#[derive(Clone, Debug)]
pub struct LockRow {
    /// The backend's number.
    pub pid: i32,
    /// The upper half of a number of 64 bits, or the first of two.
    pub class: u32,
    /// The lower half, or the second.
    pub object: u32,
    /// Whether it is on two numbers.
    pub is_pair: bool,
    /// Whether it is shared with others.
    pub shared: bool,
    /// Whether it is held, and not waited for.
    pub granted: bool,
}

/// One role.
#[derive(Clone, Debug)]
pub struct RoleRow {
    /// The role's name.
    pub name: String,
    /// Whether it may do everything.
    pub superuser: bool,
    /// Whether it may connect.
    pub login: bool,
    /// Whether it may create roles.
    pub create_role: bool,
    /// Whether it may create databases.
    pub create_database: bool,
    /// Whether it has the privileges of the roles it is a member of without SET ROLE.
    pub inherit: bool,
    /// Whether row-level policies pass it by.
    pub bypass_rls: bool,
    /// Whether it may replicate, which nobody can here.
    pub replication: bool,
    /// Sessions at most, -1 for no limit.
    pub connections_max: i32,
    /// Until when its password counts, in microseconds since 1970-01-01 UTC.
    pub valid_until_us: Option<i64>,
    /// The roles it is a member of.
    pub member_of: Vec<MemberRow>,
}

/// One role's place in another.
#[derive(Clone, Debug)]
pub struct MemberRow {
    /// The other role.
    pub role: String,
    /// Who put it there.
    pub grantor: String,
    /// Whether it may put others there.
    pub admin: bool,
}
