//! Delta tables that other programs write, as [`crate::storage`] asks for them.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::datatypes::Schema;
use datafusion::prelude::SessionContext;
use deltalake_core::DeltaTableError;
use deltalake_core::delta_datafusion::{DeletionVectorSelection, DeltaScanNext};
use deltalake_core::kernel::LogicalFileView;
use object_store::path::Path;
use parquet::arrow::arrow_reader::RowSelection;
use tokio::runtime::Handle;
use url::Url;

use super::delta::{DeltaLog, Version, schema_of};
use super::{columns, fault};
use crate::error::{Error, Result};
use crate::storage::{DeltaFile, DeltaFolder, DeltaLogs, DeltaVersion};

/// Reads logs on the network threads.
#[derive(Debug)]
struct ForeignLogs {
    network: Handle,
}

/// What reads the logs of Delta tables in a LOCATION.
pub fn foreign_logs(network: Handle) -> Arc<dyn DeltaLogs> {
    Arc::new(ForeignLogs { network })
}

#[async_trait]
impl DeltaLogs for ForeignLogs {
    async fn newest(&self, table: DeltaFolder) -> Result<DeltaVersion> {
        let log = {
            // Its engine takes the runtime it is made in.
            let _runtime = self.network.enter();
            DeltaLog::open(table.store, &table.url, &table.name, table.is_local)?
        };
        let task = self.network.spawn(async move {
            let version = log.load().await?;
            log.described(&version).await
        });
        task.await
            .unwrap_or_else(|error| Err(crate::runtime::panic_error(error)))
    }
}

impl DeltaLog {
    /// A version of a table that another program writes.
    async fn described(&self, version: &Version) -> Result<DeltaVersion> {
        let mut kept = self.kept_rows(version).await?;
        let mut columns = Arc::clone(&version.columns);
        let mut keys = version.state.metadata().partition_columns().to_vec();
        let mut shown = None;
        if version.is_mapped() {
            let names: Vec<String> = columns.fields().iter().map(|f| f.name().clone()).collect();
            let in_files = columns::names_in_files(&schema_of(&version.state)?)?;
            let fields = columns.fields().iter().zip(&in_files);
            let fields = fields.map(|(field, name)| field.as_ref().clone().with_name(name));
            columns = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            for key in &mut keys {
                if let Some(at) = names.iter().position(|name| name == key) {
                    key.clone_from(&in_files[at]);
                }
            }
            shown = Some(names);
        }
        let mut files = Vec::new();
        for file in version.state.log_data().iter() {
            let path = self.place(&file)?;
            let kept = match file.deletion_vector_descriptor() {
                Some(_) => Some(kept.remove(&path).ok_or_else(|| {
                    Error::data_corrupted(format!(
                        "the deletion vector of {path} in table \"{}\" cannot be read",
                        self.table
                    ))
                })?),
                None => None,
            };
            files.push(DeltaFile {
                path,
                values: file.partition_values_map(),
                kept,
            });
        }
        Ok(DeltaVersion {
            columns,
            shown,
            keys,
            files,
        })
    }

    /// The rows that deletion vectors leave of the files that have one.
    async fn kept_rows(&self, version: &Version) -> Result<HashMap<Path, RowSelection>> {
        let files = version.state.log_data();
        let is_cut = |file: LogicalFileView| file.deletion_vector_descriptor().is_some();
        if !files.iter().any(is_cut) {
            return Ok(HashMap::new());
        }
        let reader = DeltaScanNext::builder()
            .with_log_store(Arc::clone(&self.store))
            .with_eager_snapshot(version.state.snapshot().clone());
        let reader = reader.await.map_err(DeltaTableError::from);
        let reader = fault::of_log(&self.table, reader)?;
        let reader = reader
            .downcast_ref::<DeltaScanNext>()
            .ok_or_else(|| Error::internal("the reader of a Delta table has another type"))?;
        let session = SessionContext::new().state();
        let vectors = reader.deletion_vectors(&session).await;
        let vectors = fault::of_log(&self.table, vectors.map_err(DeltaTableError::from))?;
        let file = |vector: DeletionVectorSelection| {
            let url = Url::parse(&vector.filepath).ok();
            let path = url.and_then(|url| Path::from_url_path(url.path()).ok());
            let path =
                path.ok_or_else(|| Error::data_corrupted("a deletion vector has no file"))?;
            let kept = RowSelection::from_filters(&[BooleanArray::from(vector.keep_mask)]);
            Ok((path, kept))
        };
        vectors.into_iter().map(file).collect()
    }
}
