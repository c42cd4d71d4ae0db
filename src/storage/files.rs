//! Tables of files that are known by name: those that a table's log lists, not a folder.

use std::fmt;
use std::path::Path as FsPath;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use datafusion::common::Statistics;

use super::durable::DurableStore;
use super::fault;
use super::folder_table::{FolderTable, TableFile};
use super::footer::{self, Footer};
use super::location::Location;
use super::partition::{self, FileKeys, Split, partition_columns};
use super::pinned::{self, Lease, Origin, PinnedFile};
use crate::error::{Error, Result};

/// Name of the store of managed tables among those of the runtime.
const STORE_URL: &str = "warehouse://files";

/// Footers that are read at the same time.
const FOOTERS_AT_ONCE: usize = 32;

/// Name of the column that tells a row's file; a number in the order of the files.
pub const FILE_COLUMN: &str = "loyalhouse row file";
/// Name of the column that tells a row's place in its file, from 0.
pub const ROW_COLUMN: &str = "loyalhouse row place";

/// The store that files of managed tables lie in.
pub struct FileStore {
    origin: Arc<Origin>,
    store_url: ObjectStoreUrl,
    runtime: Arc<RuntimeEnv>,
}

/// A file and its footer.
#[derive(Clone)]
pub struct StoredFile {
    meta: ObjectMeta,
    footer: Arc<Footer>,
    keys: FileKeys,
    /// Kept as long as anybody knows of the file by this.
    hold: Option<Lease>,
}

impl FileStore {
    /// The local files below `root`, written durably; queries run in `runtime`.
    pub fn local(root: &FsPath, runtime: Arc<RuntimeEnv>) -> Result<Arc<Self>> {
        let store: Arc<dyn ObjectStore> = Arc::new(DurableStore::new(root));
        let store_url = ObjectStoreUrl::parse(STORE_URL)?;
        runtime.register_object_store(store_url.as_ref(), Arc::clone(&store));
        Ok(Arc::new(Self {
            origin: Arc::new(Origin::new(store, true, "/".to_owned())),
            store_url,
            runtime,
        }))
    }

    /// The objects of an object store; queries run in `runtime`, requests on `network`.
    pub fn remote(
        location: &Location,
        runtime: Arc<RuntimeEnv>,
        network: &Handle,
    ) -> Result<Arc<Self>> {
        let store = location.open_store(Some(network))?;
        let store_url = ObjectStoreUrl::parse(STORE_URL)?;
        runtime.register_object_store(store_url.as_ref(), Arc::clone(&store));
        Ok(Arc::new(Self {
            origin: Arc::new(Origin::new(store, false, location.shown_root())),
            store_url,
            runtime,
        }))
    }

    /// The same store; whatever reads from it keeps `lease`.
    #[must_use]
    pub fn leased(&self, lease: Lease) -> Arc<Self> {
        Arc::new(Self {
            origin: Arc::new(self.origin.leased(lease)),
            store_url: self.store_url.clone(),
            runtime: Arc::clone(&self.runtime),
        })
    }

    /// The store, with paths from its root.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.origin.store
    }

    /// Where queries of the files run.
    pub fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    /// Whether the files lie on this machine.
    pub fn is_local(&self) -> bool {
        self.origin.local
    }

    /// Looks at a file: its size, version and footer.
    pub async fn open(&self, path: &Path) -> Result<StoredFile> {
        let name = self.origin.shown(path);
        let meta = match self.origin.store.head(path).await {
            Ok(meta) => meta,
            Err(object_store::Error::NotFound { .. }) => return Err(fault::file_deleted(&name)),
            Err(error) => return Err(fault::store_failed(&name, &error)),
        };
        let cache = self.runtime.cache_manager.get_file_metadata_cache();
        let mut file = PinnedFile::new(Arc::clone(&self.origin), meta.clone());
        let metadata = pinned::cached_footer(&mut file, &cache).await?;
        let footer = Arc::new(footer::summarize(&name, &metadata)?);
        Ok(StoredFile {
            meta,
            footer,
            keys: FileKeys::default(),
            hold: None,
        })
    }

    /// [`FileStore::open`] of many, in their order.
    pub async fn open_all(&self, paths: Vec<Path>) -> Result<Vec<StoredFile>> {
        stream::iter(paths)
            .map(|path| async move { self.open(&path).await })
            .buffered(FOOTERS_AT_ONCE)
            .try_collect()
            .await
    }

    /// The table of exactly these files. Columns of `schema` that a file lacks are NULL in its rows; those that
    /// the table is partitioned by have the values of the file's keys.
    pub fn table(&self, schema: SchemaRef, files: &[StoredFile]) -> Result<Arc<dyn TableProvider>> {
        let (origin, url) = (Arc::clone(&self.origin), self.store_url.clone());
        let Split { own, keys, order } = partition::split(&schema, &partition_columns(&schema));
        let table = FolderTable::new(origin, url, own, keys, table_files(files))
            .and_then(|table| table.ordered(order, None));
        Ok(Arc::new(table.map_err(unmerged)?))
    }

    /// The table of these files with [`FILE_COLUMN`] and [`ROW_COLUMN`], both bigint, behind its own.
    pub fn addressed(
        &self,
        schema: SchemaRef,
        files: &[StoredFile],
    ) -> Result<Arc<dyn TableProvider>> {
        let (origin, url) = (Arc::clone(&self.origin), self.store_url.clone());
        let Split {
            own,
            keys,
            mut order,
        } = partition::split(&schema, &partition_columns(&schema));
        order.extend([order.len(), order.len() + 1]);
        let table = FolderTable::addressed(origin, url, own, keys, table_files(files))
            .and_then(|table| table.ordered(order, None));
        Ok(Arc::new(table.map_err(unmerged)?))
    }
}

fn table_files(files: &[StoredFile]) -> Vec<TableFile> {
    let of = |file: &StoredFile| TableFile {
        meta: file.meta.clone(),
        footer: Arc::clone(&file.footer),
        keys: file.keys.to_vec(),
        kept: None,
    };
    files.iter().map(of).collect()
}

fn unmerged(error: datafusion::error::DataFusionError) -> Error {
    Error::internal("the statistics of a table could not be merged").with_source(error)
}

impl StoredFile {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.meta.location
    }

    /// The same file, which keeps `hold`.
    #[must_use]
    pub fn held(self, hold: Lease) -> Self {
        Self {
            hold: Some(hold),
            ..self
        }
    }

    /// The same file of a table that is partitioned, with the values of its partition columns.
    #[must_use]
    pub fn with_keys(self, keys: FileKeys) -> Self {
        Self { keys, ..self }
    }

    /// The values of the table's partition columns in its rows.
    pub fn keys(&self) -> &FileKeys {
        &self.keys
    }

    /// What it keeps.
    pub fn hold(&self) -> Option<&Lease> {
        self.hold.as_ref()
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.meta.size
    }

    /// Its rows.
    pub fn rows(&self) -> u64 {
        self.footer.rows
    }

    /// When it was written, in milliseconds since 1970.
    pub fn modified_ms(&self) -> i64 {
        self.meta.last_modified.timestamp_millis()
    }

    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.footer.schema
    }

    /// What its footer tells of each of its columns.
    pub fn statistics(&self) -> &Statistics {
        &self.footer.statistics
    }
}

impl fmt::Debug for StoredFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredFile({})", self.meta.location)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileStore({:?})", self.origin)
    }
}
