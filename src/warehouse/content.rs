//! What is in a table at one version: its columns and its files.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use object_store::path::Path;

use super::delta::{Change, Operation, Version};
use crate::error::Result;
use crate::storage::{FileStore, StoredFile, partition_columns};

/// The rows of a table: those of its files. Never changes; a change makes another one.
#[derive(Debug, Clone)]
pub struct Content {
    columns: SchemaRef,
    files: Vec<StoredFile>,
    provider: Arc<dyn TableProvider>,
    store: Arc<FileStore>,
    /// The version of the log that it was read from or that it will be committed on.
    pub(super) version: Option<Version>,
}

impl Content {
    /// The rows of `files` under `columns`.
    pub(super) fn new(
        store: Arc<FileStore>,
        columns: SchemaRef,
        files: Vec<StoredFile>,
        version: Option<Version>,
    ) -> Result<Arc<Self>> {
        let provider = store.table(Arc::clone(&columns), &files)?;
        Ok(Arc::new(Self {
            columns,
            files,
            provider,
            store,
            version,
        }))
    }

    /// The table's columns, with what PostgreSQL knows of them in their metadata.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// The files, in the order that addresses of rows count them.
    pub fn files(&self) -> &[StoredFile] {
        &self.files
    }

    /// The table.
    pub fn provider(&self) -> &Arc<dyn TableProvider> {
        &self.provider
    }

    /// The table with the address of each row.
    pub fn addressed(&self) -> Result<Arc<dyn TableProvider>> {
        self.addressed_of(&self.files)
    }

    /// The rows of some of the files, with their addresses.
    pub(super) fn addressed_of(&self, files: &[StoredFile]) -> Result<Arc<dyn TableProvider>> {
        self.store.addressed(Arc::clone(&self.columns), files)
    }

    /// The rows of one file.
    pub(super) fn rows_of(&self, file: &StoredFile) -> Result<Arc<dyn TableProvider>> {
        let file = std::slice::from_ref(file);
        self.store.table(Arc::clone(&self.columns), file)
    }

    /// The number of the version of the log.
    pub fn version_number(&self) -> Option<u64> {
        self.version.as_ref().map(Version::number)
    }

    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(StoredFile::rows).sum()
    }

    /// The file at a place, if it is one of this content.
    pub(super) fn file(&self, path: &Path) -> Option<&StoredFile> {
        self.files.iter().find(|file| file.path() == path)
    }

    /// What must be committed on `base` to come to this content.
    pub(super) fn change_from<'a>(
        &'a self,
        base: Option<&'a Self>,
        operation: Operation,
    ) -> Change<'a> {
        let paths = |content: &'a Self| -> HashSet<&'a Path> {
            content.files.iter().map(StoredFile::path).collect()
        };
        let (before, now) = (base.map(paths).unwrap_or_default(), paths(self));
        let added = self
            .files
            .iter()
            .filter(|file| !before.contains(file.path()));
        let removed = base.into_iter().flat_map(|base| &base.files);
        let removed = removed.filter(|file| !now.contains(file.path()));
        let same = base.is_some_and(|base| base.columns == self.columns);
        Change {
            operation,
            added: added.collect(),
            removed: removed.collect(),
            partitioned_by: partition_columns(&self.columns),
            columns: (!same).then_some(self.columns.as_ref()),
            application: None,
        }
    }
}
