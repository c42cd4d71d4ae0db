//! What the system catalog shows of the server and its sessions.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;

use super::activity::Activity;
use super::authorize::is_secret;
use super::fixed_settings;
use super::settings::{self, Kind, SERVER_VERSION};
use super::state::SessionVariables;
use crate::auth::privilege::{Grant, Object, Privilege, acl_items};
use crate::auth::{Authority, Authorization, OWNER, Role};
use crate::catalog::{
    ActivityRow, CursorRow, GrantRow, INFORMATION_SCHEMA, LockRow, MemberRow, PG_CATALOG,
    PreparedRow, RoleRow, Securable, ServerFacts, SettingRow,
};
use crate::runtime::microseconds;

/// Facts of a server, from its registry of sessions and its table of settings.
#[derive(Debug)]
pub(crate) struct EngineFacts {
    activity: Arc<Activity>,
    authority: Arc<Authority>,
}

impl EngineFacts {
    /// Facts of these sessions and roles.
    pub(crate) fn new(activity: Arc<Activity>, authority: Arc<Authority>) -> Self {
        Self {
            activity,
            authority,
        }
    }

    /// What a role may do by itself; `public` is everybody.
    fn authorization(&self, role: &str) -> Authorization {
        if role == "public" {
            return Authorization::of_nobody(role);
        }
        let authorization = self.authority.book().authorize(role, None);
        authorization.unwrap_or_else(|_| Authorization::of_nobody(role))
    }
}

impl ServerFacts for EngineFacts {
    fn settings(&self, options: &ConfigOptions) -> Vec<SettingRow> {
        let session = options.extensions.get::<SessionVariables>();
        let held = session.map(|session| {
            session
                .settings
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone()
        });
        settings::all()
            .map(|setting| {
                let value = held
                    .as_ref()
                    .and_then(|held| held.get(setting.name))
                    .unwrap_or(setting.default);
                SettingRow {
                    name: setting.name.to_owned(),
                    value: value.to_owned(),
                    unit: match setting.kind {
                        Kind::Milliseconds => Some("ms"),
                        _ => fixed_settings::unit(setting.name),
                    }
                    .map(str::to_owned),
                    category: "Client Connection Defaults".to_owned(),
                    description: setting.description.to_owned(),
                    context: if setting.kind == Kind::ReadOnly {
                        "internal"
                    } else {
                        "user"
                    }
                    .to_owned(),
                    value_type: match setting.kind {
                        Kind::ReadOnly => fixed_settings::value_type(value),
                        kind => value_type(kind),
                    }
                    .to_owned(),
                    source: if value == setting.default {
                        "default"
                    } else {
                        "session"
                    }
                    .to_owned(),
                    default: Some(setting.default.to_owned()),
                    values: match setting.kind {
                        Kind::OneOf(values) => {
                            Some(values.iter().map(|value| (*value).to_owned()).collect())
                        }
                        _ => None,
                    },
                }
            })
            .collect()
    }

    fn activity(&self) -> Vec<ActivityRow> {
        self.activity
            .backends()
            .iter()
            .map(|backend| {
                let work = backend.work();
                ActivityRow {
                    pid: backend.pid,
                    database: OWNER.to_owned(),
                    user: backend.origin.user.clone(),
                    application_name: work.application_name,
                    client: backend.origin.client,
                    backend_started_at_us: Some(microseconds(backend.started_at)),
                    query_started_at_us: work.query_started_at.map(microseconds),
                    state_changed_at_us: Some(microseconds(work.state_changed_at)),
                    state: work.state.text().to_owned(),
                    query: work.query,
                }
            })
            .collect()
    }

    fn prepared_statements(&self, options: &ConfigOptions) -> Vec<PreparedRow> {
        let Some(session) = options.extensions.get::<SessionVariables>() else {
            return Vec::new();
        };
        let held = session.holdings.lock();
        let statements = held.statements.iter();
        statements
            .map(|(name, statement)| PreparedRow {
                name: name.clone(),
                text: statement.text.clone(),
                prepared_at_us: microseconds(statement.prepared_at),
                parameters: statement.parameters.clone(),
                from_sql: statement.from_sql,
            })
            .collect()
    }

    fn cursors(&self, options: &ConfigOptions) -> Vec<CursorRow> {
        let Some(session) = options.extensions.get::<SessionVariables>() else {
            return Vec::new();
        };
        let held = session.holdings.lock();
        let cursors = held.cursors.iter();
        cursors
            .map(|(name, cursor)| CursorRow {
                name: name.clone(),
                text: cursor.text.clone(),
                created_at_us: microseconds(cursor.created_at),
                hold: cursor.hold,
                binary: cursor.binary,
                scroll: cursor.scroll,
            })
            .collect()
    }

    fn advisory_locks(&self) -> Vec<LockRow> {
        self.activity.locks.rows()
    }

    fn transaction_started_us(&self, options: &ConfigOptions) -> i64 {
        let session = options.extensions.get::<SessionVariables>();
        session.map_or(0, |session| session.time.transaction)
    }

    fn roles(&self) -> Vec<RoleRow> {
        let book = self.authority.book();
        let mut rows: Vec<RoleRow> = book.roles().map(role_row).collect();
        if book.is_open() {
            // Whoever is there may do everything.
            let mut names = vec![OWNER.to_owned()];
            names.extend(
                self.activity
                    .backends()
                    .iter()
                    .map(|backend| backend.origin.user.clone()),
            );
            for name in names {
                match rows.iter_mut().find(|row| row.name == name) {
                    Some(row) => (row.login, row.superuser) = (true, true),
                    None => rows.push(guest(name)),
                }
            }
        }
        rows
    }

    fn may(&self, role: &str, privilege: &str, grantable: bool, object: Securable<'_>) -> bool {
        let own = self.authorization(role);
        if own.superuser {
            return true;
        }
        if let Securable::Table {
            schema: PG_CATALOG | INFORMATION_SCHEMA,
            name,
        } = object
        {
            return privilege == "SELECT" && !grantable && !is_secret(name);
        }
        if let Securable::Schema(PG_CATALOG | INFORMATION_SCHEMA) = object {
            return privilege == "USAGE" && !grantable;
        }
        let book = self.authority.book();
        let object = object_of(object);
        Privilege::named(privilege).is_some_and(|privilege| match grantable {
            false => own.may(&book, privilege, &object),
            true => own.may_grant(&book, privilege, &object),
        })
    }

    fn has_role(&self, role: &str, other: &str, inherits: bool) -> bool {
        let own = self.authorization(role);
        own.has_role(other) || (!inherits && self.authority.book().is_member(role, other))
    }

    fn acl(&self, object: Securable<'_>) -> Option<Vec<String>> {
        let book = self.authority.book();
        let object = object_of(object);
        let is_table = matches!(object, Object::Table { .. });
        let grants = match book.explicit_grants(&object) {
            Some(grants) => grants.to_vec(),
            // As in PostgreSQL, what is built in is not written down.
            None if !is_table => return None,
            None => book.default_grants(&object),
        };
        if grants.is_empty() && is_table {
            return None;
        }
        let mut all = owners(&object);
        for grant in &mut all {
            grant.grantable = false;
        }
        all.extend(grants);
        Some(acl_items(&all))
    }

    fn grants(&self, object: Securable<'_>) -> Vec<GrantRow> {
        if let Securable::Table {
            schema: PG_CATALOG | INFORMATION_SCHEMA,
            name,
        } = object
        {
            let public = GrantRow {
                grantor: OWNER.to_owned(),
                grantee: "PUBLIC".to_owned(),
                privilege: "SELECT".to_owned(),
                grantable: false,
            };
            return Some(public)
                .filter(|_| !is_secret(name))
                .into_iter()
                .collect();
        }
        let object = object_of(object);
        let book = self.authority.book();
        let all = owners(&object).into_iter().chain(book.grants(&object));
        all.map(|grant| GrantRow {
            grantor: grant.grantor,
            grantee: grant.grantee.unwrap_or_else(|| "PUBLIC".to_owned()),
            privilege: grant.privilege.name().to_owned(),
            grantable: grant.grantable,
        })
        .collect()
    }

    fn owner(&self) -> String {
        OWNER.to_owned()
    }

    fn started_at_us(&self) -> i64 {
        microseconds(self.activity.started_at)
    }

    fn version(&self) -> String {
        SERVER_VERSION.to_owned()
    }
}

/// What the owner has: everything, by itself.
fn owners(object: &Object) -> Vec<Grant> {
    let grant = |privilege: &Privilege| Grant {
        grantee: Some(OWNER.to_owned()),
        grantor: OWNER.to_owned(),
        privilege: *privilege,
        grantable: true,
    };
    object.kind().privileges().iter().map(grant).collect()
}

fn object_of(object: Securable<'_>) -> Object {
    match object {
        Securable::Database => Object::Database,
        Securable::Schema(name) => Object::Schema(name.to_owned()),
        Securable::Table { schema, name } => Object::table(schema, name),
    }
}

fn role_row(role: &Role) -> RoleRow {
    RoleRow {
        name: role.name.clone(),
        superuser: role.superuser,
        login: role.login,
        create_role: role.create_role,
        create_database: role.create_database,
        inherit: role.inherit,
        bypass_rls: role.bypass_rls,
        replication: role.replication,
        connections_max: role.connections_max,
        valid_until_us: role.valid_until_us,
        member_of: role
            .member_of
            .iter()
            .map(|to| MemberRow {
                role: to.role.clone(),
                grantor: to.grantor.clone(),
                admin: to.admin,
            })
            .collect(),
    }
}

/// A user of a server without roles.
fn guest(name: String) -> RoleRow {
    RoleRow {
        name,
        superuser: true,
        login: true,
        create_role: false,
        create_database: false,
        inherit: true,
        bypass_rls: true,
        replication: false,
        connections_max: -1,
        valid_until_us: None,
        member_of: Vec::new(),
    }
}

fn value_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Integer(..) | Kind::Milliseconds => "integer",
        Kind::OneOf(_) => "enum",
        Kind::Text
        | Kind::Table
        | Kind::TimeZone
        | Kind::DateStyle
        | Kind::Encoding
        | Kind::ReadOnly => "string",
    }
}
