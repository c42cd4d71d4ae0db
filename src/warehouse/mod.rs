//! Tables that this server writes: Delta tables in the warehouse folder, named by the catalog file.
//!
//! A table is a folder with a Delta log; its name stands in the catalog file, which points at the folder.
//! A statement writes Parquet files that nothing names, then a commit to the log makes them the table's
//! (one put that only one writer can win), then names change in one transaction of the catalog file. Until
//! then nobody else sees any of it; what a crash leaves behind is removed at the next start.
//!
//! [`Staged`] is what a transaction changed, [`View`] what a statement of it sees.

mod columns;
mod content;
mod delta;
mod fault;
mod folder;
mod locks;
mod names;
mod rows;
mod staged;
mod write;

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::path::Path;
use tokio::runtime::Handle;

pub use self::columns::{DEFAULT_METADATA, stored};
pub use self::content::Content;
pub use self::delta::Operation;
use self::delta::{DeltaLog, Version};
use self::folder::Folders;
use self::locks::Locks;
pub use self::locks::TableLock;
use self::names::Names;
pub use self::names::{Kind, Relation, Schema, already_exists};
pub use self::rows::Removal;
pub use self::staged::{Staged, View};
pub use self::write::RowWriter;
use crate::error::{Error, Result};
use crate::metastore::Metastore;
use crate::storage::{FileStore, Lake};

/// The schema of a session's temporary tables.
pub const TEMPORARY_SCHEMA: &str = "pg_temp";

/// Folder of the tables in the warehouse folder.
const TABLES_FOLDER: &str = "tables";
/// Folder of temporary tables in the warehouse folder; emptied at start.
const TEMPORARY_FOLDER: &str = "temporary";
/// Who may look into the folders of tables: their owner.
const FOLDER_MODE: u32 = 0o700;
/// The file that a server holds while it uses a warehouse folder.
const LOCK_FILE: &str = "server.lock";
/// Who may read and write it.
const FILE_MODE: u32 = 0o600;

/// The tables of one warehouse folder. One server at a time has it open.
#[derive(Debug)]
pub struct Warehouse {
    folder: PathBuf,
    metastore: Arc<Metastore>,
    lake: Arc<Lake>,
    files: Arc<FileStore>,
    network: Handle,
    /// Longest age of what is known of a table that another program may write.
    staleness_max: Duration,
    names: RwLock<Arc<Names>>,
    contents: Mutex<HashMap<String, Known>>,
    locks: Arc<Locks>,
    folders: Folders,
    generation: AtomicU64,
    /// Held until the warehouse is closed, also by a crash.
    _lock: File,
}

#[derive(Debug, Clone)]
struct Known {
    content: Arc<Content>,
    looked_at: Instant,
}

impl Warehouse {
    /// Opens a warehouse folder for this server alone; 55006 if another one has it. Removes what a crash
    /// left behind. `lake` are the tables read in place beside. Queries must run in `runtime`; `network` runs what waits for disks.
    pub fn open(
        folder: &FsPath,
        metastore: Arc<Metastore>,
        lake: Arc<Lake>,
        runtime: Arc<RuntimeEnv>,
        network: Handle,
        staleness_max: Duration,
    ) -> Result<Arc<Self>> {
        let failed = |error: std::io::Error| {
            Error::io_error(format!(
                "could not open the warehouse folder {}",
                folder.display()
            ))
            .with_detail(format!("{error}."))
        };
        let folder = folder.canonicalize().map_err(failed)?;
        let lock = lock(&folder)?;
        for inner in [TABLES_FOLDER, TEMPORARY_FOLDER] {
            let made = DirBuilder::new()
                .recursive(true)
                .mode(FOLDER_MODE)
                .create(folder.join(inner));
            made.map_err(failed)?;
        }
        let names = names::load(&metastore)?;
        let warehouse = Arc::new(Self {
            files: FileStore::local(&folder, runtime)?,
            folder,
            metastore,
            lake,
            network,
            staleness_max,
            names: RwLock::new(Arc::new(names)),
            contents: Mutex::default(),
            locks: Arc::default(),
            folders: Folders::default(),
            generation: AtomicU64::new(1),
            _lock: lock,
        });
        warehouse.sweep()?;
        Ok(warehouse)
    }

    /// A number that changes whenever a commit changed a name or a table.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What a statement sees whose session has `temporary` tables and whose transaction did `staged`.
    pub fn view(self: &Arc<Self>, temporary: Arc<Staged>, staged: Arc<Staged>) -> View {
        View {
            warehouse: Arc::clone(self),
            names: self.names(),
            temporary,
            staged,
            in_place: Arc::clone(&self.lake),
        }
    }

    /// Waits until `session` may write a table.
    pub async fn lock_table(&self, id: &str, session: i32) -> Result<TableLock> {
        self.locks.acquire(id, session).await
    }

    /// A writer of rows for a table.
    pub fn writer(&self, relation: &Relation, columns: SchemaRef) -> Result<RowWriter> {
        let folder = Path::from_absolute_path(self.table_folder(relation))
            .map_err(|error| Error::internal("a table has no folder").with_source(error))?;
        let files = Arc::clone(&self.files);
        Ok(RowWriter::new(files, folder, &relation.name, columns))
    }

    /// The content of `files` of a table under `columns`, on the version of `base`.
    pub fn content_of(
        &self,
        relation: &Relation,
        columns: SchemaRef,
        files: Vec<crate::storage::StoredFile>,
        base: Option<&Content>,
    ) -> Result<Arc<Content>> {
        let version = base.and_then(|base| base.version.clone());
        Content::new(self.store_of(relation), columns, files, version)
    }

    /// The committed content of a table; the very latest if `now`, else as known for a few seconds.
    pub async fn content(&self, relation: &Relation, now: bool) -> Result<Arc<Content>> {
        let known = lock_map(&self.contents).get(&relation.id).cloned();
        if let Some(known) = &known
            && !now
            && known.looked_at.elapsed() < self.staleness_max
        {
            return Ok(Arc::clone(&known.content));
        }
        let looked_at = Instant::now();
        let before = known.map(|known| known.content);
        let content = self.read(relation, before.as_ref()).await?;
        if before.is_some_and(|before| !Arc::ptr_eq(&before, &content)) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        let known = Known {
            content: Arc::clone(&content),
            looked_at,
        };
        lock_map(&self.contents).insert(relation.id.clone(), known);
        Ok(content)
    }

    async fn read(
        &self,
        relation: &Relation,
        before: Option<&Arc<Content>>,
    ) -> Result<Arc<Content>> {
        let log = self.log(relation)?;
        let known = before.and_then(|before| before.version.clone());
        let (version, paths) = self
            .on_network(async move {
                let version = match &known {
                    Some(known) => log.latest(known).await?,
                    None => log.load().await?,
                };
                let paths = log.files(&version)?;
                Ok((version, paths))
            })
            .await?;
        if let Some(before) = before
            && before.version.as_ref().map(Version::number) == Some(version.number())
        {
            return Ok(Arc::clone(before));
        }
        self.at_version(relation, version, paths, before.map(AsRef::as_ref))
            .await
    }

    async fn at_version(
        &self,
        relation: &Relation,
        version: Version,
        paths: Vec<Path>,
        before: Option<&Content>,
    ) -> Result<Arc<Content>> {
        let is_new = |path: &&Path| before.is_none_or(|before| before.file(path).is_none());
        let new: Vec<Path> = paths.iter().filter(is_new).cloned().collect();
        let opened = self.files.open_all(new).await?;
        let mut opened: HashMap<Path, _> = opened
            .into_iter()
            .map(|file| (file.path().clone(), file))
            .collect();
        let files = paths
            .iter()
            .filter_map(|path| {
                let known = before.and_then(|before| before.file(path)).cloned();
                known.or_else(|| opened.remove(path))
            })
            .collect();
        Content::new(
            self.store_of(relation),
            Arc::clone(&version.columns),
            files,
            Some(version),
        )
    }

    /// Makes everything that a transaction changed real, or nothing of what another one stands against.
    /// Temporary tables are not part of it.
    pub async fn commit(self: &Arc<Self>, staged: &Staged) -> Result<()> {
        if staged.is_empty() {
            return Ok(());
        }
        let warehouse = Arc::clone(self);
        let staged = staged.clone();
        // A task of its own: a client that leaves does not stop a commit half way.
        self.on_network(async move { warehouse.commit_all(&staged).await })
            .await
    }

    async fn commit_all(&self, staged: &Staged) -> Result<()> {
        let names = self.names();
        let mut committed = Vec::new();
        let kept = kept_tables(&names, staged);
        for (id, relation) in &kept {
            let Some(content) = staged.contents.get(id) else {
                continue;
            };
            let log = self.log(relation)?;
            let change = content
                .now
                .change_from(content.base.as_deref(), content.operation);
            let version = match content.base.as_ref().and_then(|base| base.version.as_ref()) {
                None => log.create(&relation.name, &change).await?,
                Some(base) => log.commit(base, &change).await?,
            };
            let paths = log.files(&version)?;
            let content = self
                .at_version(relation, version, paths, Some(&content.now))
                .await?;
            committed.push((id.clone(), content));
        }
        let schemas = &staged.schemas;
        let relations = &staged.relations;
        if !schemas.is_empty() || !relations.is_empty() {
            self.metastore.write(|transaction| {
                names::write(&self.metastore, transaction, schemas, relations)
            })?;
        }
        let looked_at = Instant::now();
        let mut contents = lock_map(&self.contents);
        for (id, content) in committed {
            contents.insert(id, Known { content, looked_at });
        }
        for was in relations
            .values()
            .filter_map(|change| change.was.as_deref())
        {
            if !kept.contains_key(&was.id) {
                contents.remove(&was.id);
                self.abandon(was);
            }
        }
        drop(contents);
        if !schemas.is_empty() || !relations.is_empty() {
            // Not read from the file again: nothing may fail behind the commit.
            let mut held = self.names.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut held).apply(schemas, relations);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// The store of a table's files; what reads from it keeps the table's folder.
    fn store_of(&self, relation: &Relation) -> Arc<FileStore> {
        let folder = self.folders.of(&relation.id, &self.table_folder(relation));
        self.files.leased(folder)
    }

    /// Removes the folder of a table that no name will point at, once nothing reads from it.
    pub fn abandon(&self, relation: &Relation) {
        if relation.kind == Kind::Table {
            self.folders
                .abandon(&relation.id, &self.table_folder(relation));
        }
    }

    fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The folder of a table.
    pub fn table_folder(&self, relation: &Relation) -> PathBuf {
        let folder = match relation.schema == TEMPORARY_SCHEMA {
            true => TEMPORARY_FOLDER,
            false => TABLES_FOLDER,
        };
        self.folder.join(folder).join(&relation.id)
    }

    fn log(&self, relation: &Relation) -> Result<DeltaLog> {
        // Its engine takes the runtime it is made in.
        let _runtime = self.network.enter();
        let store = Arc::clone(self.files.store());
        DeltaLog::local(store, &self.table_folder(relation), &relation.name)
    }

    async fn on_network<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.network.spawn(work);
        task.await
            .unwrap_or_else(|error| Err(crate::runtime::panic_error(error)))
    }

    /// Removes folders that no name points at: of dropped tables, of transactions that a crash ended, and
    /// of temporary tables. Nothing reads yet.
    fn sweep(&self) -> Result<()> {
        let names = self.names();
        let live: HashSet<&str> = names
            .relations
            .values()
            .map(|relation| relation.id.as_str())
            .collect();
        for (folder, keep) in [(TABLES_FOLDER, true), (TEMPORARY_FOLDER, false)] {
            let folder = self.folder.join(folder);
            let failed = |error: std::io::Error| {
                Error::io_error(format!("could not look through {}", folder.display()))
                    .with_detail(format!("{error}."))
            };
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                if keep && name.to_str().is_some_and(|name| live.contains(name)) {
                    continue;
                }
                tracing::info!(folder = %entry.path().display(), "removing what no table uses");
                std::fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        for id in names::dropped(&self.metastore)? {
            names::forget(&self.metastore, &id)?;
        }
        Ok(())
    }
}

/// The tables that are there after a transaction, by id.
fn kept_tables(names: &Names, staged: &Staged) -> HashMap<String, Arc<Relation>> {
    let mut kept: HashMap<String, Arc<Relation>> = HashMap::new();
    for (key, relation) in &names.relations {
        if !staged.relations.contains_key(key) {
            kept.insert(relation.id.clone(), Arc::clone(relation));
        }
    }
    for relation in staged
        .relations
        .values()
        .filter_map(|change| change.now.as_ref())
    {
        kept.insert(relation.id.clone(), Arc::clone(relation));
    }
    kept
}

/// The id of a new table or view.
pub fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn lock(folder: &FsPath) -> Result<File> {
    let path = folder.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|error| {
            Error::io_error(format!("could not open {}", path.display()))
                .with_detail(format!("{error}."))
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(error) => Err(Error::object_in_use(format!(
            "the warehouse folder {} is used by another server",
            folder.display()
        ))
        .with_detail(format!("The lock on {} is taken: {error}.", path.display()))
        .with_hint("Stop the other server, or give this one a folder of its own.")),
    }
}

/// A poisoned lock only means that a holder panicked; each entry is whole.
fn lock_map<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
