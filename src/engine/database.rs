//! Registers the database of an engine: the lake's schemas beside those of the system.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::error::Result;
use datafusion::execution::SessionState;

use super::state::{CATALOG, Parts};
use crate::catalog::database::Database;

/// Makes the tables and the system's relations known to the planner.
pub fn register(state: &mut SessionState, parts: &Parts) -> Result<()> {
    let catalogs = MemoryCatalogProviderList::new();
    let database = Database::new(Arc::clone(&parts.lake), BTreeMap::new());
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(database));
    state.register_catalog_list(Arc::new(catalogs));
    Ok(())
}
