//! Registers the database of an engine: the lake's schemas beside those of the system.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList, SchemaProvider};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;

use super::describe;
use super::facts::EngineFacts;
use super::state::{CATALOG, Parts};
use super::system_views::{self, Sources, SystemViews};
use crate::catalog::database::Database;
use crate::catalog::{
    INFORMATION_SCHEMA, InformationSchema, PG_CATALOG, PgCatalog, SystemCatalog, functions,
    table_functions,
};

/// Makes the tables and the system's relations known to the planner.
pub(crate) fn register(
    state: &mut SessionState,
    parts: &Parts,
) -> Result<(Arc<SystemCatalog>, Arc<Database>)> {
    let users = Arc::new(Database::new(
        Arc::clone(&parts.lake),
        parts.warehouse.clone(),
        BTreeMap::new(),
    ));
    let facts = Arc::new(EngineFacts::new(
        Arc::clone(&parts.activity),
        Arc::clone(&parts.authority),
    ));
    let system = SystemCatalog::new(
        users,
        describe::functions(state),
        facts,
        parts.notes.clone(),
    );
    let pg_catalog: Arc<dyn SchemaProvider> = Arc::new(PgCatalog::new(Arc::clone(&system)));
    let information: Arc<dyn SchemaProvider> =
        Arc::new(InformationSchema::new(Arc::clone(&system)));
    let sources = Arc::new(Sources {
        probes: Arc::clone(&parts.probes),
        jobs: parts.jobs.clone(),
        clock: Arc::clone(&parts.clock),
    });
    let schemas: BTreeMap<String, Arc<dyn SchemaProvider>> = BTreeMap::from([
        (PG_CATALOG.to_owned(), pg_catalog),
        (INFORMATION_SCHEMA.to_owned(), information),
        (
            system_views::OWN.to_owned(),
            Arc::new(SystemViews::own(Arc::clone(&sources))),
        ),
        (
            system_views::CRON.to_owned(),
            Arc::new(SystemViews::cron(sources)),
        ),
    ]);
    let database = Arc::new(Database::new(
        Arc::clone(&parts.lake),
        parts.warehouse.clone(),
        schemas,
    ));
    show(state, Arc::clone(&database));
    for (name, function) in table_functions(&system) {
        state.register_udtf(name, function);
    }
    for function in functions::all(&system) {
        state.register_udf(Arc::new(function))?;
    }
    Ok((system, database))
}

/// Makes `database` the one that a state's statements see.
pub(crate) fn show(state: &mut SessionState, database: Arc<Database>) {
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), database);
    state.register_catalog_list(Arc::new(catalogs));
}
