//! Delta tables that other programs write in a LOCATION, read at one version.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::RowSelection;
use url::Url;

use super::partition::{self, Split};
use crate::error::Result;

/// Reads the logs of Delta tables. What knows their form stands on a higher floor.
#[async_trait]
pub trait DeltaLogs: fmt::Debug + Send + Sync {
    /// The newest version of a table.
    async fn newest(&self, table: DeltaFolder) -> Result<DeltaVersion>;
}

/// Where a Delta table lies.
pub struct DeltaFolder {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The table's folder.
    pub url: Url,
    /// Whether the store is this machine's.
    pub is_local: bool,
    /// What errors call the table.
    pub name: String,
}

impl fmt::Debug for DeltaFolder {
    // A store's own Debug may print credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeltaFolder({})", self.url)
    }
}

/// One version of a Delta table.
#[derive(Debug)]
pub struct DeltaVersion {
    /// All columns, in their order, under their names in files.
    pub columns: SchemaRef,
    /// The names that the columns are shown under, if these are others.
    pub shown: Option<Vec<String>>,
    /// Names in files of the columns whose values stand in the log.
    pub keys: Vec<String>,
    /// The files.
    pub files: Vec<DeltaFile>,
}

/// A file of a version.
#[derive(Debug)]
pub struct DeltaFile {
    /// Its place in the store.
    pub path: Path,
    /// Values of the keys, as the log writes them; NULL for those that are not there.
    pub values: HashMap<String, Option<String>>,
    /// Its rows that are not deleted, if some are.
    pub kept: Option<RowSelection>,
}

impl DeltaVersion {
    /// The columns that stand in files, and those whose values stand in the log. Any may be NULL.
    pub(super) fn split(&self) -> Split {
        let nullable = |field: &FieldRef| Arc::new(Field::clone(field).with_nullable(true));
        let columns: Vec<FieldRef> = self.columns.fields().iter().map(nullable).collect();
        partition::split(&Schema::new(columns), &self.keys)
    }
}
