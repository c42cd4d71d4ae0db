//! Delta tables that other programs write in a LOCATION, read at one version.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::RowSelection;
use url::Url;

use crate::error::{Error, Result};

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
    /// The columns that stand in files, and those whose values stand in the log.
    pub(super) fn split(&self) -> (SchemaRef, Vec<FieldRef>) {
        let is_key = |field: &&FieldRef| self.keys.contains(field.name());
        let (keys, own): (Vec<FieldRef>, Vec<FieldRef>) = self
            .columns
            .fields()
            .iter()
            .map(Arc::clone)
            .partition(|field| is_key(&field));
        let nullable = |field: FieldRef| Arc::new(Field::clone(&field).with_nullable(true));
        let own: Vec<FieldRef> = own.into_iter().map(nullable).collect();
        (
            Arc::new(Schema::new(own)),
            keys.into_iter().map(nullable).collect(),
        )
    }

    /// The places of all columns among those of [`DeltaVersion::split`] one after the other.
    pub(super) fn order(&self, own: &Schema, keys: &[FieldRef]) -> Vec<usize> {
        let names = own.fields().iter().chain(keys);
        let places: HashMap<&str, usize> = names
            .enumerate()
            .map(|(at, field)| (field.name().as_str(), at))
            .collect();
        let columns = self.columns.fields().iter();
        columns
            .filter_map(|field| places.get(field.name().as_str()).copied())
            .collect()
    }
}

impl DeltaFile {
    /// The values of the keys.
    pub(super) fn key_values(&self, table: &str, keys: &[FieldRef]) -> Result<Vec<ScalarValue>> {
        keys.iter().map(|key| self.key_value(table, key)).collect()
    }

    fn key_value(&self, table: &str, key: &Field) -> Result<ScalarValue> {
        let unread = || {
            Error::data_corrupted(format!(
                "the log of table {table} tells a value of column \"{}\" that is none of its type",
                key.name()
            ))
        };
        let text = self.values.get(key.name()).cloned().flatten();
        // The log writes NULL as nothing, also for texts.
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return ScalarValue::try_from(key.data_type())
                .map_err(|error| unread().with_source(error));
        };
        let value = ScalarValue::Utf8(Some(text)).cast_to(key.data_type());
        match value {
            Ok(value) if !value.is_null() => Ok(value),
            Ok(_) => Err(unread()),
            Err(error) => Err(unread().with_source(error)),
        }
    }
}
