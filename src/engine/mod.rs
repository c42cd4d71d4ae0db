//! What a frontend may call: sessions that prepare and run statements.

pub mod activity;
pub mod advisory;
mod authorize;
mod casts;
mod changes;
pub mod command;
pub mod control;
pub mod cursor;
mod database;
mod decorrelate;
mod describe;
pub mod explain;
mod facts;
mod fixed_settings;
pub(crate) mod functions;
mod guard;
pub mod holdings;
mod interruptible;
mod kept_types;
mod merged_columns;
mod numeric;
mod object_names;
mod output;
mod own_words;
mod parameters;
mod placement;
pub mod plan;
pub mod probes;
mod script;
mod semantics;
pub mod session;
mod session_command;
pub mod settings;
pub mod state;
pub mod statement;
mod stoppable;
pub mod system_views;
pub mod tables;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::SessionState;

use crate::auth::{Authority, Book};
use crate::catalog::database::Database;
use crate::catalog::{Snapshot, SystemCatalog, keys};
use crate::config::tables::Notes;
use crate::error::{Error, Result};
use crate::jobs::Jobs;
use crate::runtime::{Clock, Workers};
use crate::sqlstate::{SqlState, nearest};
use crate::storage::Lake;
use crate::warehouse::Warehouse;
use activity::{Activity, Origin};
use session::Session;
use settings::Settings;
use statement::named_arguments::ArgumentNames;

/// The engine of one server. Cheap to share; sessions keep it alive.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all sessions share.
#[derive(Debug)]
pub struct Shared {
    /// Functions, rules, catalog and memory pool, cloned for each statement.
    base: SessionState,
    /// The tables that are read in place.
    pub lake: Arc<Lake>,
    /// Where work runs.
    pub workers: Workers,
    /// Who is connected.
    pub activity: Arc<Activity>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Time a statement may take to plan.
    pub planning_time_max: Duration,
    /// Who may do what.
    pub authority: Arc<Authority>,
    /// What clients asked for in vain.
    pub probes: Arc<probes::Probes>,
    /// The system's relations and functions.
    system: Arc<SystemCatalog>,
    /// The tables that are committed, and the system's relations.
    database: Arc<Database>,
    /// The tables that this server writes; none without a warehouse folder.
    warehouse: Option<Arc<Warehouse>>,
    /// What runs by itself; nothing without a warehouse folder.
    jobs: Option<Arc<Jobs>>,
    /// The clock of schedules that name no zone.
    cron_zone: chrono_tz::Tz,
    loyalty_scalars: HashSet<String>,
    /// The word lists that were read from tables last.
    known_words: own_words::KnownWords,
    /// The names of the arguments of the loyalty functions.
    argument_names: ArgumentNames,
    /// The functions that PostgreSQL does not have, for the types of parameters.
    own_functions: parameters::OwnFunctions,
}

impl Engine {
    /// Assembles an engine from its parts.
    pub fn new(parts: state::Parts) -> Result<Self> {
        let loyalty_scalars = datafusion_functions_loyalty::all_scalar_functions()
            .iter()
            .map(|function| function.name().to_owned())
            .collect();
        let (base, system, database) = state::build(&parts)?;
        let described = describe::functions(&base);
        let own_functions = parameters::OwnFunctions::new(&described);
        Ok(Self {
            shared: Arc::new(Shared {
                base,
                lake: parts.lake,
                workers: parts.workers,
                activity: parts.activity,
                clock: parts.clock,
                planning_time_max: parts.planning_time_max,
                authority: parts.authority,
                probes: parts.probes,
                system,
                database,
                warehouse: parts.warehouse,
                jobs: parts.jobs,
                cron_zone: parts.cron_zone,
                loyalty_scalars,
                known_words: own_words::KnownWords::default(),
                argument_names: ArgumentNames::new(&described),
                own_functions,
            }),
        })
    }

    /// Opens a session; `secret` is the key that its client cancels with.
    pub fn open_session(
        &self,
        origin: Origin,
        mut settings: Settings,
        secret: Vec<u8>,
    ) -> Result<Session> {
        if self.shared.cron_zone != chrono_tz::Tz::UTC {
            settings.set_of_server("cron.timezone", self.shared.cron_zone.name());
        }
        let backend = self
            .shared
            .activity
            .register(origin, secret, self.shared.clock.now())?;
        Ok(Session::new(Arc::clone(&self.shared), backend, settings))
    }

    /// What is wrong in the comments and keys of the configuration.
    pub async fn check_notes(&self) -> Vec<Error> {
        self.shared.system.check_notes().await
    }

    /// Whether any LOCATION holds a table.
    pub fn has_tables(&self) -> bool {
        let lake = &self.shared.lake;
        lake.schema_names()
            .iter()
            .any(|schema| !lake.table_names(schema).is_empty())
    }

    /// Who is connected.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.shared.activity
    }

    /// What runs by itself; none without a warehouse folder.
    pub fn jobs(&self) -> Option<Arc<Jobs>> {
        self.shared.jobs.clone()
    }

    /// The tables that this server writes; none without a warehouse folder.
    pub fn warehouse(&self) -> Option<Arc<Warehouse>> {
        self.shared.warehouse.clone()
    }

    /// The roles.
    pub fn roles(&self) -> Arc<Book> {
        self.shared.authority.book()
    }

    /// The committed version of a table, by its id.
    pub async fn version_of(&self, id: &str) -> Option<i64> {
        let view = self.shared.database.view()?;
        let relation = view.relation_by_id(id)?;
        let content = view.content(&relation).await.ok()?;
        i64::try_from(content.version_number()?).ok()
    }
}

/// What is wrong in `notes` about the tables of a lake that no engine serves.
pub async fn check_notes(lake: &Arc<Lake>, notes: &Notes) -> Vec<Error> {
    let tables = Database::new(Arc::clone(lake), None, std::collections::BTreeMap::new());
    let snapshot = Snapshot::load(&tables, notes).await;
    keys::check(&snapshot, notes)
}

/// A version of all tables and functions. Plans that were made from another one are out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    read_in_place: u64,
    written: [u64; 3],
    lenient: bool,
    /// Where a user's own words are read from.
    words: u64,
}

impl Generation {
    /// Whether functions are the same, whatever became of the tables.
    fn has_functions_of(self, other: Self) -> bool {
        (self.lenient, self.words) == (other.lenient, other.words)
    }
}

/// The database that the statements of `state` see.
fn database_of(state: &SessionState, committed: &Database) -> Database {
    let variables = state
        .config_options()
        .extensions
        .get::<state::SessionVariables>();
    match variables.and_then(|variables| variables.view.clone()) {
        Some(view) => committed.seen(view),
        None => committed.clone(),
    }
}

impl Shared {
    /// The state one statement is planned in.
    fn system(&self) -> Arc<SystemCatalog> {
        Arc::clone(&self.system)
    }

    fn session_state(&self, variables: state::SessionVariables) -> SessionState {
        state::for_statement(&self.base, &self.database, variables)
    }

    /// The version of the tables that the statements of `state` see.
    fn generation(&self, state: &SessionState) -> Generation {
        let variables = state
            .config_options()
            .extensions
            .get::<state::SessionVariables>();
        let view = variables.and_then(|variables| variables.view.as_ref());
        Generation {
            read_in_place: self.lake.generation(),
            written: view.map(|view| view.generation()).unwrap_or_default(),
            lenient: variables.is_some_and(state::SessionVariables::lenient),
            words: variables.map_or(0, state::SessionVariables::words_version),
        }
    }

    fn is_loyalty_scalar(&self, name: &str) -> bool {
        self.loyalty_scalars.contains(name)
    }

    /// Adds "did you mean" to the error of an unknown table; says of a window function that it is one.
    fn with_name_hint(&self, error: Error, state: &SessionState) -> Error {
        if error.state() == SqlState::UndefinedFunction
            && let Some(name) = error
                .message()
                .strip_prefix("function ")
                .and_then(|rest| rest.split(' ').next())
            && self.base.window_functions().contains_key(name)
        {
            return Error::new(
                SqlState::WindowingError,
                format!("window function {name} requires an OVER clause"),
            )
            .with_hint(format!(
                "Write {name}(…) OVER (), or OVER (PARTITION BY …)."
            ));
        }
        if error.state() != SqlState::UndefinedTable || error.hint().is_some() {
            return error;
        }
        let Some(name) = error.message().split('"').nth(1).map(str::to_owned) else {
            return error;
        };
        let database = database_of(state, &self.database);
        let tables: Vec<String> = database
            .user_schemas()
            .into_iter()
            .flat_map(|schema| {
                let tables = database.relation_names(&schema).into_iter();
                let seen = tables.filter(|table| authorize::may_see(state, &schema, table));
                // What is seen must not borrow the schema that is given away.
                seen.collect::<Vec<_>>()
                    .into_iter()
                    .map(move |table| match schema.as_str() {
                        "public" => table,
                        schema => format!("{schema}.{table}"),
                    })
            })
            .collect();
        match nearest(&name, tables.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("Perhaps you meant the relation \"{near}\".")),
            None => error,
        }
    }
}
