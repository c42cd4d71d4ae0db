//! What the system catalog shows of the server and its sessions.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;

use super::activity::Activity;
use super::settings::{Kind, SERVER_VERSION, SETTINGS};
use super::state::SessionVariables;
use crate::catalog::{ActivityRow, CursorRow, PreparedRow, RoleRow, ServerFacts, SettingRow};
use crate::runtime::microseconds;

/// The role that owns every object while there are no roles.
const OWNER: &str = "loyalhouse";

/// Facts of a server, from its registry of sessions and its table of settings.
#[derive(Debug)]
pub(crate) struct EngineFacts {
    activity: Arc<Activity>,
}

impl EngineFacts {
    /// Facts over `activity`.
    pub(crate) fn new(activity: Arc<Activity>) -> Self {
        Self { activity }
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
        SETTINGS
            .iter()
            .map(|setting| {
                let value = held
                    .as_ref()
                    .and_then(|held| held.get(setting.name))
                    .unwrap_or(setting.default);
                SettingRow {
                    name: setting.name.to_owned(),
                    value: value.to_owned(),
                    unit: (setting.kind == Kind::Milliseconds).then(|| "ms".to_owned()),
                    category: "Client Connection Defaults".to_owned(),
                    description: setting.description.to_owned(),
                    context: if setting.kind == Kind::ReadOnly {
                        "internal"
                    } else {
                        "user"
                    }
                    .to_owned(),
                    value_type: value_type(setting.kind).to_owned(),
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

    fn roles(&self) -> Vec<RoleRow> {
        let mut names = vec![OWNER.to_owned()];
        for backend in self.activity.backends() {
            if !names.contains(&backend.origin.user) {
                names.push(backend.origin.user.clone());
            }
        }
        names
            .into_iter()
            .map(|name| RoleRow {
                name,
                superuser: true,
                login: true,
                create_role: false,
                create_database: false,
                connections_max: -1,
                member_of: Vec::new(),
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

fn value_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Integer(..) | Kind::Milliseconds => "integer",
        Kind::OneOf(_) => "enum",
        Kind::Text | Kind::TimeZone | Kind::DateStyle | Kind::Encoding | Kind::ReadOnly => "string",
    }
}
