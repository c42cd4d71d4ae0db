//! Tables that this server writes: Delta tables in the warehouse folder, named by the catalog file.
//!
//! A table is a folder with a Delta log; its name stands in the catalog file, which points at the folder.
//! A statement writes Parquet files that nothing names, then a commit to the log makes them the table's
//! (one put that only one writer can win), then names change in one transaction of the catalog file. Until
//! then nobody else sees any of it; what a crash leaves behind is removed at the next start.
//!
//! [`Staged`] is what a transaction changed, [`View`] what a statement of it sees.

mod background;
mod cleanup;
mod columns;
mod compact;
mod content;
mod delta;
mod fault;
mod folder;
mod foreign;
mod hold;
mod locks;
mod names;
mod parting;
mod place;
mod rows;
mod sequences;
mod staged;
mod write;

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path as FsPath;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::path::Path;
use rusqlite::Transaction;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::cleanup::Removed;
pub use self::columns::{DEFAULT_METADATA, IDENTITY_METADATA, stored};
pub use self::compact::Compacted;
pub use self::content::Content;
pub use self::delta::{Application, Operation};
use self::delta::{DeltaLog, Version};
use self::folder::{FolderPlace, Folders, TableFolder};
pub use self::foreign::foreign_logs;
use self::hold::Holds;
use self::locks::Locks;
pub use self::locks::TableLock;
pub use self::names::{Kind, Relation, Schema, already_exists};
use self::names::{Names, Renamed};
pub use self::parting::partitioned;
use self::place::{Place, remove_all};
pub use self::rows::Removal;
use self::sequences::Blocks;
pub use self::sequences::Sequence;
pub use self::staged::{PENDING_BYTES_MAX, Staged, View};
pub use self::write::RowWriter;
use crate::error::{Error, Result};
use crate::metastore::Metastore;
use crate::runtime::Workers;
use crate::storage::{FileKeys, FileStore, Lake, Lease, Location, StoredFile};

/// The schema of a session's temporary tables.
pub const TEMPORARY_SCHEMA: &str = "pg_temp";

/// Folder of the tables in the warehouse folder.
const TABLES_FOLDER: &str = "tables";
/// Folder of temporary tables in the warehouse folder; emptied at start.
const TEMPORARY_FOLDER: &str = "temporary";
/// Longest time to wait for work on tables when the server stops.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);
/// Who may look into the folders of tables: their owner.
const FOLDER_MODE: u32 = 0o700;
/// The file that a server holds while it uses a warehouse folder.
const LOCK_FILE: &str = "server.lock";
/// Who may read and write it.
const FILE_MODE: u32 = 0o600;

/// The tables of one warehouse folder. One server at a time has it open.
#[derive(Debug)]
pub struct Warehouse {
    place: Place,
    metastore: Arc<Metastore>,
    lake: Arc<Lake>,
    files: Arc<FileStore>,
    workers: Workers,
    /// What goes on in the network runtime.
    tasks: TaskTracker,
    /// Nothing more is begun unasked.
    closing: CancellationToken,
    /// Longest age of what is known of a table that another program may write.
    staleness_max: Duration,
    names: RwLock<Arc<Names>>,
    contents: Mutex<HashMap<String, Known>>,
    locks: Arc<Locks>,
    folders: Folders,
    holds: Arc<Holds>,
    generation: AtomicU64,
    numbers: Blocks,
    /// Told when a table has got many small files.
    fragmented: Arc<Notify>,
    /// Held until the warehouse is closed, also by a crash.
    _lock: File,
}

/// What a content keeps as long as something reads from it.
struct Kept {
    _folder: Arc<TableFolder>,
    _files: Vec<Lease>,
}
/// Changes of the catalog file that are made with those of a transaction, or not at all.
pub type Along = Option<Box<dyn FnOnce(&Transaction<'_>) -> Result<()> + Send>>;

#[derive(Debug, Clone)]
struct Known {
    content: Arc<Content>,
    looked_at: Instant,
}

impl Warehouse {
    /// Opens a warehouse folder for this server alone; 55006 if another one has it. Removes what a crash
    /// left behind. Files of tables lie in `table_store`, or in the folder. `lake` are the tables read in place beside. Queries must run in `runtime`; `workers` run what waits for disks.
    pub async fn open(
        (folder, table_store): (&FsPath, Option<Location>),
        metastore: Arc<Metastore>,
        lake: Arc<Lake>,
        runtime: Arc<RuntimeEnv>,
        workers: Workers,
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
        let names = names::load(&metastore)?;
        let place = match table_store {
            Some(location) => Place::remote(location)?,
            None => {
                for inner in [TABLES_FOLDER, TEMPORARY_FOLDER] {
                    let made = DirBuilder::new()
                        .recursive(true)
                        .mode(FOLDER_MODE)
                        .create(folder.join(inner));
                    made.map_err(failed)?;
                }
                Place::local(folder)?
            }
        };
        let id = names::remember_place(&metastore, &names, &place.remembered())?;
        let files = place.open(runtime, workers.network())?;
        let warehouse = Arc::new(Self {
            holds: Holds::new(Arc::clone(files.store()), workers.network().clone()),
            files,
            place,
            metastore,
            lake,
            workers,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            staleness_max,
            names: RwLock::new(Arc::new(names)),
            contents: Mutex::default(),
            locks: Arc::default(),
            folders: Folders::default(),
            generation: AtomicU64::new(1),
            numbers: Blocks::default(),
            fragmented: Arc::default(),
            _lock: lock,
        });
        warehouse.sweep(&id).await?;
        warehouse.keep_folders(&mut warehouse.write_names());
        warehouse.forget_numbers()?;
        warehouse.start_background();
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
            given: None,
        }
    }

    /// Waits until `session` may write a table.
    pub async fn lock_table(&self, id: &str, session: i32) -> Result<TableLock> {
        self.locks.acquire(id, session).await
    }

    /// A writer of rows for a table.
    pub fn writer(&self, relation: &Relation, columns: SchemaRef) -> Result<RowWriter> {
        let folder = self.place.path(relation);
        let (files, holds) = (Arc::clone(&self.files), Arc::clone(&self.holds));
        Ok(RowWriter::new(
            files,
            holds,
            folder,
            &relation.name,
            columns,
        ))
    }

    /// The content of `files` of a table under `columns`, on the version of `base`.
    pub fn content_of(
        &self,
        relation: &Relation,
        columns: SchemaRef,
        files: Vec<StoredFile>,
        base: Option<&Content>,
    ) -> Result<Arc<Content>> {
        let version = base.and_then(|base| base.version.clone());
        let store = self.store_of(relation, &files);
        Content::new(store, columns, files, version)
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
        let mut contents = lock_map(&self.contents);
        // A table that was dropped meanwhile is forgotten.
        if self.names().folders.contains_key(&relation.id) {
            contents.insert(relation.id.clone(), known);
        }
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
        paths: Vec<(Path, FileKeys)>,
        before: Option<&Content>,
    ) -> Result<Arc<Content>> {
        let is_new = |path: &&Path| before.is_none_or(|before| before.file(path).is_none());
        let new = paths.iter().map(|(path, _)| path);
        let new: Vec<Path> = new.filter(is_new).cloned().collect();
        let opened = self.files.open_all(new).await?;
        let mut opened: HashMap<Path, _> = opened
            .into_iter()
            .map(|file| {
                let hold = self.holds.of(file.path());
                (file.path().clone(), file.held(hold))
            })
            .collect();
        let files: Vec<StoredFile> = paths
            .into_iter()
            .filter_map(|(path, keys)| {
                let known = before.and_then(|before| before.file(&path)).cloned();
                let file = known.or_else(|| opened.remove(&path))?;
                Some(file.with_keys(keys))
            })
            .collect();
        let store = self.store_of(relation, &files);
        Content::new(store, Arc::clone(&version.columns), files, Some(version))
    }

    /// Makes everything that a transaction changed real, or nothing of what another one stands against.
    /// Temporary tables are not part of it. `along` are changes of the catalog file that go with it.
    pub async fn commit(self: &Arc<Self>, staged: &Staged, along: Along) -> Result<()> {
        if staged.is_empty() && along.is_none() {
            return Ok(());
        }
        let warehouse = Arc::clone(self);
        let staged = staged.clone();
        // A task of its own: a client that leaves does not stop a commit half way.
        self.on_network(async move { warehouse.commit_all(&staged, along).await })
            .await
    }

    async fn commit_all(&self, staged: &Staged, along: Along) -> Result<()> {
        let names = self.names();
        let kept = kept_tables(&names, staged);
        let mut committed = Vec::new();
        let logs = self.commit_logs(&kept, staged, &mut committed).await;
        let (schemas, relations) = (&staged.schemas, &staged.relations);
        let renamed = !schemas.is_empty() || !relations.is_empty();
        let done = match logs {
            Ok(()) if renamed || along.is_some() => self.metastore.write(|transaction| {
                names::write(&self.metastore, transaction, schemas, relations)?;
                along.map_or(Ok(()), |along| along(transaction))
            }),
            done => done,
        };
        // Also those of a transaction that failed behind them: they are what readers find.
        self.publish(committed);
        if done.is_ok() {
            // Not read from the file again: nothing may fail behind the commit.
            let mut held = self.write_names();
            Arc::make_mut(&mut held).apply(schemas, relations);
            self.keep_folders(&mut held);
            drop(held);
            let was = |change: &Renamed<Relation>| change.was.clone();
            for was in relations.values().filter_map(was) {
                if !kept.contains_key(&was.id) {
                    lock_map(&self.contents).remove(&was.id);
                    self.abandon(&was);
                }
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        done
    }

    /// Commits to the logs of the tables, and says what they hold then.
    async fn commit_logs(
        &self,
        kept: &HashMap<String, Arc<Relation>>,
        staged: &Staged,
        committed: &mut Vec<(String, Option<Arc<Content>>)>,
    ) -> Result<()> {
        for (id, relation) in kept {
            let Some(content) = staged.contents.get(id) else {
                continue;
            };
            let log = self.log(relation)?;
            let mut change = content
                .now
                .change_from(content.base.as_deref(), content.operation);
            change.application = content.application.as_ref();
            let added = || change.added.iter().map(|file| file.path());
            self.holds.set_draft(added(), false);
            let done = match content.base.as_ref().and_then(|base| base.version.as_ref()) {
                None => log.create(&relation.name, &change).await,
                Some(base) => log.commit(base, &change).await,
            };
            let version = done.map_err(|refused| {
                self.holds.set_draft(added(), !refused.in_doubt);
                refused.error
            })?;
            // From here on the commit is made, whatever fails.
            let now = match version {
                Some(version) => self.at_commit(relation, &log, version, &content.now).await,
                None => Err(Error::io_error("the new version of a table cannot be read")),
            };
            if let Err(error) = &now {
                tracing::warn!(%error, table = relation.name, "a table is read again after its commit");
            }
            committed.push((id.clone(), now.ok()));
        }
        Ok(())
    }

    /// The number that an application wrote into a table's log with its last commit.
    pub async fn application_version(
        &self,
        relation: &Relation,
        application: &'static str,
    ) -> Result<Option<i64>> {
        let log = self.log(relation)?;
        self.on_network(async move { log.application_version(application).await })
            .await
    }

    async fn at_commit(
        &self,
        relation: &Relation,
        log: &DeltaLog,
        version: Version,
        now: &Content,
    ) -> Result<Arc<Content>> {
        let paths = log.files(&version)?;
        self.at_version(relation, version, paths, Some(now)).await
    }

    /// Makes contents what readers find. Those that could not be read are read by the next one.
    fn publish(&self, committed: Vec<(String, Option<Arc<Content>>)>) {
        let looked_at = Instant::now();
        let mut contents = lock_map(&self.contents);
        for (id, content) in committed {
            match content {
                Some(content) => {
                    if compact::is_fragmented(&content) {
                        self.fragmented.notify_one();
                    }
                    contents.insert(id, Known { content, looked_at })
                }
                None => contents.remove(&id),
            };
        }
    }

    /// The store of a table's files; what reads from it keeps them, and the table's folder.
    fn store_of(&self, relation: &Relation, files: &[StoredFile]) -> Arc<FileStore> {
        let folder = self.folder_of(relation);
        let holds = files.iter().filter_map(StoredFile::hold).cloned();
        self.files.leased(Arc::new(Kept {
            _folder: folder,
            _files: holds.collect(),
        }))
    }

    /// Removes the folder of a table that no name will point at, once nothing reads from it.
    pub fn abandon(&self, relation: &Relation) {
        if relation.kind.is_stored() {
            self.folders
                .abandon(&relation.id, || self.folder_place(relation));
        }
    }

    /// Keeps the folders of exactly the tables that are named.
    fn keep_folders(&self, names: &mut Arc<Names>) {
        let names = Arc::make_mut(names);
        let tables = names.relations.values();
        let tables = tables.filter(|relation| relation.kind.is_stored());
        let folder = |relation: &Arc<Relation>| (relation.id.clone(), self.folder_of(relation));
        names.folders = tables.map(folder).collect();
    }

    fn write_names(&self) -> RwLockWriteGuard<'_, Arc<Names>> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The folder of a table, kept.
    fn folder_of(&self, relation: &Relation) -> Arc<TableFolder> {
        self.folders
            .of(&relation.id, || self.folder_place(relation))
    }

    fn folder_place(&self, relation: &Relation) -> FolderPlace {
        match self.place.local_folder(relation) {
            Some(folder) => FolderPlace::Local(folder),
            None => FolderPlace::Remote {
                store: Arc::clone(self.files.store()),
                path: self.place.path(relation),
                network: self.workers.network().clone(),
            },
        }
    }

    fn log(&self, relation: &Relation) -> Result<DeltaLog> {
        // Its engine takes the runtime it is made in.
        let _runtime = self.workers.network().enter();
        let store = Arc::clone(self.files.store());
        let url = self.place.url(relation)?;
        DeltaLog::open(store, &url, &relation.name, self.files.is_local())
    }

    /// Begins nothing more unasked and waits for what goes on: the Delta library panics when its runtime
    /// ends under it.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(CLOSE_TIME_MAX, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("work on tables did not end in time");
        }
    }

    async fn on_network<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.workers.spawn_network(self.tasks.track_future(work));
        task.await
            .unwrap_or_else(|error| Err(crate::runtime::panic_error(error)))
    }

    /// Removes folders that no name points at: of dropped tables, of transactions that a crash ended, and
    /// of temporary tables. Nothing reads or writes yet; `id` is the catalog's number.
    async fn sweep(&self, id: &str) -> Result<()> {
        let names = self.names();
        let live: HashSet<&str> = names
            .relations
            .values()
            .map(|relation| relation.id.as_str())
            .collect();
        match &self.place {
            Place::Local { root, .. } => {
                sweep_folder(&root.join(TABLES_FOLDER), &live)?;
                sweep_folder(&root.join(TEMPORARY_FOLDER), &HashSet::new())
            }
            Place::Remote { location, .. } => {
                let store = self.files.store();
                Place::claim(location, store.as_ref(), id).await?;
                for (id, path) in Place::remote_folders(location, store.as_ref()).await? {
                    if !live.contains(id.as_str()) {
                        tracing::info!(%path, "removing what no table uses");
                        let gone = remove_all(store.as_ref(), &path).await;
                        gone.map_err(|error| {
                            fault::write_failed("a folder was not removed", error)
                        })?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Removes all folders in a folder but those with these names.
fn sweep_folder(folder: &FsPath, live: &HashSet<&str>) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::io_error(format!("could not look through {}", folder.display()))
            .with_detail(format!("{error}."))
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| live.contains(name)) {
            Warehouse::remove_unfinished(&entry.path())?;
            continue;
        }
        tracing::info!(folder = %entry.path().display(), "removing what no table uses");
        std::fs::remove_dir_all(entry.path()).map_err(failed)?;
    }
    Ok(())
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
