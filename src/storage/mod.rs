//! Bytes on disk and in object stores: from a LOCATION to a DataFusion table.
//!
//! [`Lake`] lists the LOCATIONs, sorts the files into tables and gives out providers that are
//! pinned to the files of one listing. A file that is deleted, replaced, cut off or damaged is an
//! error that names it (XX001), never no rows and never NULLs.

/// Delta tables of other programs.
mod delta;
/// Local files that are on the disk when they are acknowledged.
mod durable;
/// Errors of files and stores, without credentials.
mod fault;
/// Tables of files that are known by name.
mod files;
/// The table provider over a fixed set of files.
mod folder_table;
/// Reading, checking and cleaning the footers of files.
mod footer;
/// Errors and panics of a scan, named by file.
mod guarded;
/// Types of `key=value` levels.
mod keys;
/// All LOCATIONs together.
mod lake;
/// Which files make which table.
mod layout;
/// LOCATION and its object store.
mod location;
/// One schema for files that disagree.
mod merge;
/// Columns whose values stand in a table's log.
mod partition;
/// Reading exactly the planned file.
mod pinned;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::catalog::TableProvider;
use tokio::runtime::Handle;

pub use self::delta::{DeltaFile, DeltaFolder, DeltaLogs, DeltaVersion};
pub use self::durable::is_unfinished;
pub use self::files::{FILE_COLUMN, FileStore, ROW_COLUMN, StoredFile};
pub use self::lake::{Finding, Lake};
pub use self::location::Location;
pub use self::partition::{
    FileKeys, is_partition_type, key_text, key_values, partition_columns, partitioned_by,
};
pub use self::pinned::Lease;

/// What tells the time to [`Lake`]; tests hand in their own.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Whether a table's rows are stored, by whatever name it is known.
pub fn is_stored(provider: &dyn TableProvider) -> bool {
    provider
        .downcast_ref::<folder_table::FolderTable>()
        .is_some()
}

/// How storage behaves.
#[derive(Debug, Clone)]
pub struct StorageSettings {
    /// Longest age of a listing that a statement may still be planned on.
    pub staleness_max: Duration,
    /// LOCATIONs that are listed at the same time.
    pub listing_concurrency_max: usize,
    /// Footers of one table that are read at the same time.
    pub footer_concurrency_max: usize,
    /// Runtime for HTTP to object stores; the caller's own when absent.
    pub io_runtime: Option<Handle>,
    /// What reads the logs of Delta tables; they are refused when absent.
    pub delta_logs: Option<Arc<dyn DeltaLogs>>,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            staleness_max: Duration::from_secs(10),
            listing_concurrency_max: 8,
            footer_concurrency_max: 32,
            io_runtime: None,
            delta_logs: None,
        }
    }
}
