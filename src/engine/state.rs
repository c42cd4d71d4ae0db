//! The planner's state: the one place where functions, rules, catalog and limits are registered.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::catalog::CatalogProvider;
use datafusion::common::config::{
    ConfigEntry, ConfigExtension, ConfigNonZeroUsize, Dialect, ExtensionOptions,
};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionConfig;
use datafusion_functions_loyalty as loyalty;

use super::activity::{Activity, Origin};
use super::casts::{PlanCasts, SqlTypes};
use super::decorrelate::Decorrelate;
use super::functions::SessionTime;
use super::holdings::Holdings;
use super::interruptible::InterruptFits;
use super::kept_types::KeepTypes;
use super::merged_columns::MergeColumns;
use super::object_names::ShowObjectNames;
use super::probes::Probes;
use super::semantics::{CheckOverflow, CompareIntervals, Kinds, MeetNumbers, NumberOperators};
use super::settings::Settings;
use super::stoppable::StopJoins;
use super::{functions, guard, numeric, own_words};
use crate::auth::{Authority, Authorization};
use crate::catalog::database::Database;
use crate::catalog::{LastSnapshot, SessionFacts, SessionTables, SystemCatalog};
use crate::config::tables::Notes;
use crate::error::{Error, Result};
use crate::jobs::{Jobs, Pending};
use crate::runtime::{Clock, Workers};
use crate::storage::Lake;
use crate::values::encode::TextStyle;
use crate::warehouse::{View, Warehouse};

/// The catalog's name: the one database.
pub const CATALOG: &str = "loyalhouse";

/// Databases that clients connect to when they are told nothing.
const DATABASE_ALIASES: &[&str] = &[CATALOG, "postgres", "template1"];

/// Whether a name means the one database to a user.
pub fn is_database(name: &str, user: &str) -> bool {
    DATABASE_ALIASES.contains(&name) || name == user
}

/// Consumers named in the error of a query that ran out of memory.
const CONSUMERS_NAMED_MAX: usize = 5;

/// Files' footers and page indexes kept, in bytes.
const FOOTER_CACHE_BYTES: usize = 256 << 20;

/// Statistics of files kept, in bytes.
const STATISTICS_CACHE_BYTES: usize = 64 << 20;

/// The threads of a query behind the scenes: one of so many.
const BACKGROUND_SHARE: usize = 4;

/// Memory that a sort on top of a scan may read ahead, in bytes; the default of 1 GiB would not
/// fit under ordinary limits.
const SORT_BUFFER_BYTES: usize = 64 << 20;

/// Limits of the memory and disk that queries share.
#[derive(Debug, Clone)]
pub struct ResourceLimits {
    /// Memory of all queries together, in bytes.
    pub memory_bytes_max: usize,
    /// Disk for spilled data, in bytes.
    pub spill_bytes_max: u64,
    /// Where spilled data goes; the system's temporary folder if not given.
    pub spill_folder: Option<PathBuf>,
    /// Partitions (threads) of one query.
    pub query_threads: usize,
}

/// What an engine is assembled from.
#[derive(Debug)]
pub struct Parts {
    /// Tables read in place.
    pub lake: Arc<Lake>,
    /// Memory, caches and object stores, shared by all sessions.
    pub runtime: Arc<RuntimeEnv>,
    /// Limits.
    pub limits: ResourceLimits,
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
    /// The tables that this server writes, if it has a warehouse folder.
    pub warehouse: Option<Arc<Warehouse>>,
    /// What runs by itself, if it has a warehouse folder.
    pub jobs: Option<Arc<Jobs>>,
    /// The clock of schedules that name no zone.
    pub cron_zone: chrono_tz::Tz,
    /// Comments and keys of tables that are read in place.
    pub notes: Notes,
    /// What clients asked for in vain.
    pub probes: Arc<Probes>,
}

/// Memory pool, spill folder and caches of a server.
pub fn runtime(limits: &ResourceLimits) -> Result<Arc<RuntimeEnv>> {
    let named = NonZeroUsize::new(CONSUMERS_NAMED_MAX)
        .ok_or_else(|| Error::internal("no consumers are named"))?;
    let pool = TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes_max), named);
    let mode = match &limits.spill_folder {
        Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(limits.spill_bytes_max);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .with_metadata_cache_limit(FOOTER_CACHE_BYTES)
        .with_file_statistics_cache_limit(STATISTICS_CACHE_BYTES)
        .build_arc()?;
    Ok(runtime)
}

/// Builds the state that every statement's state is cloned from.
pub fn build(parts: &Parts) -> Result<(SessionState, Arc<SystemCatalog>, Arc<Database>)> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, "public")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(parts.limits.query_threads.max(1))
        .with_option_extension(SessionVariables::nobody())
        .with_option_extension(SessionFacts::default());
    let options = config.options_mut();
    options.sql_parser.dialect = Dialect::PostgreSQL;
    // So that errors of the planner say where in the statement they are.
    options.sql_parser.collect_spans = true;
    options.sql_parser.parse_float_as_decimal = true;
    // A query around an ordered one gives its rows in that order.
    options.sql_parser.enable_subquery_sort_elimination = false;
    options.sql_parser.recursion_limit =
        ConfigNonZeroUsize::try_new(super::statement::limits::NESTING_DEPTH_MAX)?;
    // The check compares metadata of fields too, which casts in a projection lose when they run.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Of min(x) and max(x) together, a file that holds NULLs alone makes the base forget the bound of one: it
    // passes over files with the true answer (scalar_min of DataFusion 55 takes a typed NULL for the least).
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.max_in_list_size = 200;
    options.execution.sort_pushdown_buffer_capacity = SORT_BUFFER_BYTES;
    let base = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(Arc::clone(&parts.runtime))
        .build();
    let mut operators: Vec<Arc<dyn ExprPlanner>> = vec![
        Arc::new(Kinds),
        Arc::new(functions::TimeOperators::new()),
        Arc::new(functions::ExtractPlanner::new()),
    ];
    operators.extend(functions::operators());
    operators.push(crate::catalog::functions::vectors::planner());
    operators.push(Arc::new(NumberOperators::new()));
    operators.extend(base.expr_planners().iter().map(Arc::clone));
    let guarded = SessionStateBuilder::new_from_existing(base.clone())
        .with_expr_planners(operators)
        .with_type_planner(Arc::new(SqlTypes))
        .with_analyzer_rules(analyzer_rules(&base))
        .with_optimizer_rules(guard::optimizer(&base.optimizer().rules))
        .with_physical_optimizer_rules(guard::physical(base.physical_optimizers()))
        .with_physical_optimizer_rule(Arc::new(StopJoins))
        .with_physical_optimizer_rule(Arc::new(InterruptFits));
    let mut state = guarded.build();
    loyalty::register_all(&mut state)?;
    functions::register(&mut state, parts)?;
    numeric::register(&mut state)?;
    let (system, database) = super::database::register(&mut state, parts)?;
    functions::register_last(&mut state)?;
    let names = ShowObjectNames::new(&state);
    state.add_analyzer_rule(Arc::new(names));
    Ok((state, system, database))
}

/// The base's rules between ours: intervals before types are coerced, integers after.
fn analyzer_rules(base: &SessionState) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(MergeColumns),
        Arc::new(KeepTypes),
        Arc::new(PlanCasts),
        Arc::new(functions::LabelCases),
        Arc::new(CompareIntervals::new()),
        Arc::new(MeetNumbers),
    ];
    rules.extend(guard::analyzer(&base.analyzer().rules));
    rules.push(Arc::new(functions::CastTimes));
    rules.push(Arc::new(CheckOverflow::new()));
    rules.push(Arc::new(Decorrelate));
    rules
}

/// The state of one statement: the shared one with the session's settings in it.
pub fn for_statement(
    base: &SessionState,
    committed: &Database,
    variables: SessionVariables,
) -> SessionState {
    let mut state = base.clone();
    let mut facts = variables.facts();
    let database = match &variables.view {
        Some(view) => {
            let database = Arc::new(committed.seen(Arc::clone(view)));
            facts.tables = Some(SessionTables::new(
                Arc::clone(&database),
                Arc::clone(&variables.snapshot),
            ));
            super::database::show(&mut state, Arc::clone(&database));
            database
        }
        None => Arc::new(committed.clone()),
    };
    let known = database.schema_names();
    let schema = facts
        .search_path
        .iter()
        // A role may be named as the schema of the server's own views; its tables are not there.
        .find(|schema| {
            let own = [super::system_views::OWN, super::system_views::CRON];
            !own.contains(&schema.as_str()) && known.contains(schema)
        })
        .cloned();
    let options = state.config_mut().options_mut();
    // The label of zoned timestamps; what they show and how they are read follows SessionTime.
    options.execution.time_zone = Some("UTC".to_owned());
    options.catalog.default_schema = schema.unwrap_or_else(|| "public".to_owned());
    if variables.background {
        let threads = options.execution.target_partitions / BACKGROUND_SHARE;
        options.execution.target_partitions = threads.max(1);
    }
    let lenient = variables.lenient();
    options.extensions.insert(facts);
    options.extensions.insert(variables);
    if lenient {
        // A state takes every function; the strict ones would only refuse more.
        drop(loyalty::register_all_lenient(&mut state));
    }
    state.mark_start_execution();
    state
}

/// What functions may ask about the session they run in.
#[derive(Debug, Clone)]
pub struct SessionVariables {
    /// The session's id.
    pub pid: i32,
    /// Its user, database and address.
    pub origin: Origin,
    /// Its settings.
    pub settings: Arc<Mutex<Settings>>,
    /// What it holds open.
    pub holdings: Holdings,
    /// Who may do what.
    pub authority: Arc<Authority>,
    /// Its zone and styles, and the times at which its transaction and statement began.
    pub(crate) time: SessionTime,
    /// The tables written here as its statement sees them.
    pub(crate) view: Option<Arc<View>>,
    /// What the catalog read for it last.
    pub(crate) snapshot: LastSnapshot,
    /// What its transaction does to jobs.
    pub(crate) pending_jobs: Pending,
    /// Whether it is work behind the scenes, which leaves threads to others.
    pub(crate) background: bool,
}

impl SessionVariables {
    fn nobody() -> Self {
        Self {
            pid: 0,
            origin: Origin::default(),
            settings: Arc::default(),
            holdings: Holdings::default(),
            authority: Authority::open_to_all(),
            time: SessionTime::default(),
            view: None,
            snapshot: LastSnapshot::default(),
            pending_jobs: Pending::default(),
            background: false,
        }
    }

    /// Whether values that a loyalty function cannot mean count as NULL.
    pub(crate) fn lenient(&self) -> bool {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings.get("loyalty.invalid_values") == Some("null")
    }

    /// The tables of the session's own words: of weights, and of topics.
    pub(crate) fn own_words(&self) -> [String; 2] {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        [own_words::SENTIMENT, own_words::TOPICS]
            .map(|name| settings.get(name).unwrap_or_default().to_owned())
    }

    /// A number that changes with where the session's own words are; 0 if it has none.
    pub(crate) fn words_version(&self) -> u64 {
        let tables = self.own_words();
        if tables.iter().all(String::is_empty) {
            return 0;
        }
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hasher = DefaultHasher::new();
        (tables, settings.get("search_path"), settings.get("role")).hash(&mut hasher);
        hasher.finish().max(1)
    }

    /// The role of SET ROLE.
    pub fn role(&self) -> Option<String> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings
            .get("role")
            .filter(|role| *role != "none")
            .map(str::to_owned)
    }

    /// What the catalog shows of it.
    pub(crate) fn facts(&self) -> SessionFacts {
        let authorization = self.authorization();
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        SessionFacts {
            pid: self.pid,
            user: authorization.user.clone(),
            session_user: self.origin.user.clone(),
            superuser: authorization.superuser,
            database: CATALOG.to_owned(),
            search_path: settings.search_path(&authorization.user),
            application_name: settings
                .get("application_name")
                .unwrap_or_default()
                .to_owned(),
            client: self.origin.client,
            server: None,
            tables: None,
        }
    }

    /// How its values look as text.
    pub(crate) fn text_style(&self) -> TextStyle {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings.text_style()
    }

    /// What the session may do now.
    pub fn authorization(&self) -> Authorization {
        let user = &self.origin.user;
        self.authority
            .book()
            .authorize(user, self.role().as_deref())
            .unwrap_or_else(|_| Authorization::of_nobody(user))
    }
}

impl ConfigExtension for SessionVariables {
    const PREFIX: &'static str = "loyalhouse_session";
}

impl ExtensionOptions for SessionVariables {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> datafusion::error::Result<()> {
        Err(
            Error::undefined_object(format!("unrecognized configuration parameter \"{key}\""))
                .into(),
        )
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
