//! The one database: the schemas of the lake beside those of the system.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;

use crate::storage::Lake;

/// The database as DataFusion sees it.
#[derive(Debug)]
pub struct Database {
    lake: Arc<Lake>,
    system: BTreeMap<String, Arc<dyn SchemaProvider>>,
}

impl Database {
    /// The schemas of `lake` and, by name, those of the system.
    pub fn new(lake: Arc<Lake>, system: BTreeMap<String, Arc<dyn SchemaProvider>>) -> Self {
        Self { lake, system }
    }
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        let mut names = self.lake.schema_names();
        names.extend(self.system.keys().cloned());
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if let Some(schema) = self.system.get(name) {
            return Some(Arc::clone(schema));
        }
        let known = self.lake.schema_names().iter().any(|known| known == name);
        known.then(|| {
            Arc::new(LakeSchema {
                lake: Arc::clone(&self.lake),
                name: name.to_owned(),
            }) as _
        })
    }
}

/// One schema of the lake. Its tables are those of the latest listing.
#[derive(Debug)]
struct LakeSchema {
    lake: Arc<Lake>,
    name: String,
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        self.lake.table_names(&self.name)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.lake.table(&self.name, name).await?)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.lake
            .table_names(&self.name)
            .iter()
            .any(|known| known == name)
    }
}
