//! All LOCATIONs together: one listing for everybody, tables made when they are asked for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::OnceCell;

use super::delta::DeltaFolder;
use super::folder_table::{FolderTable, TableFile};
use super::footer::{self, Footer};
use super::layout::{self, Content, FoundFile, FoundTable, Layout};
use super::partition::{self, Split};
use super::pinned::{self, Origin, PinnedFile};
use super::{Clock, Location, StorageSettings, fault, keys, merge};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Objects of one LOCATION that are listed; each takes some 300 bytes of memory.
const OBJECTS_MAX: usize = 5_000_000;
/// Schemas of the engine itself, which no folder may shadow.
const RESERVED_SCHEMAS: [&str; 2] = ["information_schema", "pg_catalog"];

/// All LOCATIONs of a server.
///
/// Cheap to ask: names come from the last listing, tables are made once per listing that changed
/// them, footers are read once per version of a file.
pub struct Lake {
    sources: Vec<Source>,
    pub(super) runtime: Arc<RuntimeEnv>,
    settings: StorageSettings,
    clock: Clock,
    listing: RwLock<Arc<Listing>>,
    generation: AtomicU64,
    /// Held by the one who lists.
    lister: tokio::sync::Mutex<()>,
    last_attempt: Mutex<Attempt>,
    footers: Mutex<HashMap<String, (ObjectMeta, Arc<Footer>)>>,
}

/// Something about a LOCATION that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether some query fails because of it; otherwise a file is passed over or read slower.
    pub is_error: bool,
    /// The file, folder or LOCATION concerned.
    pub place: String,
    /// What is the matter, in one lower-case phrase.
    pub message: String,
}

struct Source {
    location: Location,
    origin: Arc<Origin>,
    store_url: ObjectStoreUrl,
    prefix: Path,
}

struct Listing {
    listed_at: Instant,
    schemas: BTreeMap<String, BTreeMap<String, Arc<Relation>>>,
    findings: Vec<Finding>,
}

/// One table of a listing.
struct Relation {
    schema: String,
    name: String,
    source: usize,
    place: String,
    body: Body,
}

enum Body {
    Files {
        keys: Vec<String>,
        files: Vec<FoundFile>,
        provider: OnceCell<Arc<FolderTable>>,
    },
    /// A Delta table, whose log was at this version.
    Delta {
        folder: Path,
        version: u64,
        provider: OnceCell<Arc<FolderTable>>,
    },
    /// A table that is there and cannot be read; the error of every query on it.
    Fault {
        state: SqlState,
        message: String,
        detail: String,
        hint: String,
    },
}

#[derive(Default)]
struct Attempt {
    count: u64,
    failure: Option<Error>,
}

impl Lake {
    /// Opens the stores, makes them known to `runtime` and lists everything once. Sessions that
    /// query the tables must run in the same `runtime`.
    ///
    /// Fails if a LOCATION cannot be listed; a table that cannot be read does not matter here.
    pub async fn open(
        locations: Vec<Location>,
        runtime: Arc<RuntimeEnv>,
        settings: StorageSettings,
        clock: Clock,
    ) -> Result<Arc<Self>> {
        let stores = locations
            .into_iter()
            .map(|location| {
                let store = location.open_store(settings.io_runtime.as_ref())?;
                Ok((location, store))
            })
            .collect::<Result<Vec<_>>>()?;
        Self::over(stores, runtime, settings, clock).await
    }

    /// [`Lake::open`] over stores that are open already.
    pub(super) async fn over(
        stores: Vec<(Location, Arc<dyn ObjectStore>)>,
        runtime: Arc<RuntimeEnv>,
        settings: StorageSettings,
        clock: Clock,
    ) -> Result<Arc<Self>> {
        let sources = stores
            .into_iter()
            .map(|(location, store)| Source::new(location, store, &runtime))
            .collect::<Result<Vec<_>>>()?;
        let listing = Listing {
            listed_at: clock(),
            schemas: BTreeMap::new(),
            findings: Vec::new(),
        };
        let lake = Self {
            sources,
            runtime,
            settings,
            clock,
            listing: RwLock::new(Arc::new(listing)),
            generation: AtomicU64::new(0),
            lister: tokio::sync::Mutex::new(()),
            last_attempt: Mutex::new(Attempt::default()),
            footers: Mutex::new(HashMap::new()),
        };
        lake.list_again().await?;
        Ok(Arc::new(lake))
    }

    /// Lists again if the last listing is older than allowed, or a scan found a file changed.
    ///
    /// One caller lists, the others wait for it and share its outcome. A LOCATION that cannot be
    /// listed is an error: nobody is served from a listing older than promised.
    pub async fn refresh_if_stale(&self) -> Result<()> {
        if self.is_fresh() {
            return Ok(());
        }
        let seen = lock(&self.last_attempt).count;
        let _turn = self.lister.lock().await;
        if self.is_fresh() {
            return Ok(());
        }
        {
            let attempt = lock(&self.last_attempt);
            if attempt.count != seen
                && let Some(failure) = &attempt.failure
            {
                return Err(fault::copy(failure));
            }
        }
        let outcome = self.list_again().await;
        let mut attempt = lock(&self.last_attempt);
        attempt.count += 1;
        attempt.failure = outcome.as_ref().err().map(fault::copy);
        outcome
    }

    /// A number that changes whenever a listing finds a table new, gone or changed. Plans that were
    /// made from an older one are out of date.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Names of the schemas, sorted; `public` is always one.
    pub fn schema_names(&self) -> Vec<String> {
        let listing = self.listing();
        let mut names: Vec<String> = listing.schemas.keys().cloned().collect();
        if let Err(at) = names.binary_search_by(|name| name.as_str().cmp(layout::TOP_SCHEMA)) {
            names.insert(at, layout::TOP_SCHEMA.to_owned());
        }
        names
    }

    /// Names of the tables of a schema, sorted; none if there is no such schema.
    pub fn table_names(&self, schema: &str) -> Vec<String> {
        let listing = self.listing();
        listing
            .schemas
            .get(schema)
            .map(|tables| tables.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// The table as of the last listing, or `None`.
    ///
    /// The first call after files changed reads the footers of the new ones.
    pub async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(relation) = self.relation(schema, table) else {
            return Ok(None);
        };
        let error = match self.provider(&relation).await {
            Ok(provider) => return Ok(Some(provider)),
            Err(error) => error,
        };
        // The listing may be behind what happened to the files.
        if self.is_fresh() {
            return Err(error);
        }
        self.refresh_if_stale().await?;
        match self.relation(schema, table) {
            None => Ok(None),
            Some(relation) => Ok(Some(self.provider(&relation).await?)),
        }
    }

    /// Rows of a table by its footers, if they have been read.
    pub fn row_estimate(&self, schema: &str, table: &str) -> Option<u64> {
        match &self.relation(schema, table)?.body {
            Body::Files { provider, .. } | Body::Delta { provider, .. } => {
                provider.get().map(|table| table.rows())
            }
            Body::Fault { .. } => None,
        }
    }

    /// Lists again, reads every footer, and tells all that is wrong or passed over.
    pub async fn check(&self) -> Vec<Finding> {
        if let Err(error) = self.list_again().await {
            return vec![error_finding(&self.places(), &error)];
        }
        let listing = self.listing();
        let mut findings = listing.findings.clone();
        for relation in listing.schemas.values().flat_map(BTreeMap::values) {
            self.check_relation(relation, &mut findings).await;
        }
        findings
    }

    fn places(&self) -> String {
        let places: Vec<String> = self
            .sources
            .iter()
            .map(|source| source.location.to_string())
            .collect();
        places.join(", ")
    }

    fn listing(&self) -> Arc<Listing> {
        Arc::clone(&self.listing.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn relation(&self, schema: &str, table: &str) -> Option<Arc<Relation>> {
        self.listing()
            .schemas
            .get(schema)?
            .get(table)
            .map(Arc::clone)
    }

    fn is_fresh(&self) -> bool {
        let age = (self.clock)().saturating_duration_since(self.listing().listed_at);
        age < self.settings.staleness_max
            && !self
                .sources
                .iter()
                .any(|source| source.origin.outdated.load(Ordering::Acquire))
    }

    async fn list_again(&self) -> Result<()> {
        // The age counts from before: what is written while the store lists may be missing.
        let listed_at = (self.clock)();
        for source in &self.sources {
            source.origin.outdated.store(false, Ordering::Release);
        }
        let listings: Result<Vec<Layout>> = stream::iter(0..self.sources.len())
            .map(|index| self.sources[index].list())
            .buffered(self.settings.listing_concurrency_max.max(1))
            .try_collect()
            .await;
        let layouts = match listings {
            Ok(layouts) => layouts,
            Err(error) => {
                for source in &self.sources {
                    source.origin.outdated.store(true, Ordering::Release);
                }
                return Err(error);
            }
        };
        let old = self.listing();
        let new = Assembly::new(&self.sources, &old).assemble(layouts, listed_at);
        self.forget_footers(&old, &new);
        if !old
            .relations()
            .map(Arc::as_ptr)
            .eq(new.relations().map(Arc::as_ptr))
        {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        *self.listing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }

    /// Drops footers of files that are no longer listed.
    fn forget_footers(&self, old: &Listing, new: &Listing) {
        let gone = old.relations().any(|relation| {
            let now = new
                .schemas
                .get(&relation.schema)
                .and_then(|s| s.get(&relation.name));
            !now.is_some_and(|now| Arc::ptr_eq(now, relation))
        });
        if !gone {
            return;
        }
        let live: HashSet<String> = new
            .relations()
            .flat_map(|relation| {
                let origin = &self.sources[relation.source].origin;
                relation
                    .files()
                    .iter()
                    .map(|file| origin.shown(&file.meta.location))
            })
            .collect();
        // Files of Delta tables are not listed as theirs: those of tables that are there are kept.
        let delta: Vec<String> = new
            .relations()
            .filter(|relation| matches!(relation.body, Body::Delta { .. }))
            .map(|relation| format!("{}/", relation.place))
            .collect();
        lock(&self.footers).retain(|name, _| {
            live.contains(name) || delta.iter().any(|folder| name.starts_with(folder))
        });
    }

    async fn provider(&self, relation: &Arc<Relation>) -> Result<Arc<FolderTable>> {
        match &relation.body {
            Body::Fault {
                state,
                message,
                detail,
                hint,
            } => Err(Error::new(*state, message)
                .with_detail(detail)
                .with_hint(hint)),
            Body::Files {
                keys,
                files,
                provider,
            } => provider
                .get_or_try_init(|| self.make_table(relation, keys, files))
                .await
                .map(Arc::clone),
            Body::Delta {
                folder, provider, ..
            } => provider
                .get_or_try_init(|| self.make_delta_table(relation, folder))
                .await
                .map(Arc::clone),
        }
    }

    async fn make_table(
        &self,
        relation: &Relation,
        keys: &[String],
        files: &[FoundFile],
    ) -> Result<Arc<FolderTable>> {
        let source = &self.sources[relation.source];
        let footers: Vec<Arc<Footer>> = stream::iter(0..files.len())
            .map(|index| self.footer(source, &files[index].meta))
            .buffered(self.settings.footer_concurrency_max.max(1))
            .try_collect()
            .await?;
        let merged = relation.merge(&source.origin, &footers)?;
        let key_fields = key_fields(keys, files);
        let file_schema = without_keys(&merged, keys);
        let files = files
            .iter()
            .zip(footers)
            .map(|(file, footer)| TableFile {
                meta: file.meta.clone(),
                footer,
                keys: key_values(file, &key_fields),
                kept: None,
            })
            .collect();
        let (origin, url) = (Arc::clone(&source.origin), source.store_url.clone());
        let table = FolderTable::new(origin, url, file_schema, key_fields, files);
        table.map(Arc::new).map_err(|error| {
            Error::internal("the statistics of a table could not be merged").with_source(error)
        })
    }

    /// The newest version of a Delta table.
    async fn make_delta_table(
        &self,
        relation: &Relation,
        folder: &Path,
    ) -> Result<Arc<FolderTable>> {
        let source = &self.sources[relation.source];
        let Some(logs) = &self.settings.delta_logs else {
            return Err(Error::feature_not_supported(format!(
                "table {} is a Delta Lake table, which cannot be read here",
                relation.qualified()
            )));
        };
        let version = logs
            .newest(DeltaFolder {
                store: Arc::clone(&source.origin.store),
                url: source.location.folder_url(folder)?,
                is_local: source.origin.local,
                name: relation.name.clone(),
            })
            .await?;
        let opened: Vec<(ObjectMeta, Arc<Footer>)> = stream::iter(0..version.files.len())
            .map(|index| self.known_file(source, &version.files[index].path))
            .buffered(self.settings.footer_concurrency_max.max(1))
            .try_collect()
            .await?;
        let Split { own, keys, order } = version.split();
        let mut files = Vec::with_capacity(opened.len());
        for (file, (meta, footer)) in version.files.iter().zip(opened) {
            let keys = partition::key_values(&relation.qualified(), &keys, &file.values)?;
            let kept = file.kept.clone();
            files.push(TableFile {
                meta,
                footer,
                keys,
                kept,
            });
        }
        let (origin, url) = (Arc::clone(&source.origin), source.store_url.clone());
        let table = FolderTable::new(origin, url, own, keys, files)
            .and_then(|table| table.ordered(order, version.shown.as_deref()));
        table.map(Arc::new).map_err(|error| {
            Error::internal("the statistics of a table could not be merged").with_source(error)
        })
    }

    /// A file of a Delta table, which never changes once it is there.
    async fn known_file(&self, source: &Source, path: &Path) -> Result<(ObjectMeta, Arc<Footer>)> {
        let name = source.origin.shown(path);
        if let Some((meta, footer)) = lock(&self.footers).get(&name) {
            return Ok((meta.clone(), Arc::clone(footer)));
        }
        let meta = match source.origin.store.head(path).await {
            Ok(meta) => meta,
            Err(object_store::Error::NotFound { .. }) => return Err(fault::file_deleted(&name)),
            Err(error) => return Err(fault::store_failed(&name, &error)),
        };
        let footer = self.footer(source, &meta).await?;
        Ok((meta, footer))
    }

    async fn footer(&self, source: &Source, meta: &ObjectMeta) -> Result<Arc<Footer>> {
        let name = source.origin.shown(&meta.location);
        if let Some((known, footer)) = lock(&self.footers).get(&name)
            && known == meta
        {
            return Ok(Arc::clone(footer));
        }
        let cache = self.runtime.cache_manager.get_file_metadata_cache();
        let mut file = PinnedFile::new(Arc::clone(&source.origin), meta.clone());
        let metadata = pinned::cached_footer(&mut file, &cache).await?;
        let footer = Arc::new(footer::summarize(&name, &metadata)?);
        lock(&self.footers).insert(name, (meta.clone(), Arc::clone(&footer)));
        Ok(footer)
    }

    async fn check_relation(&self, relation: &Arc<Relation>, findings: &mut Vec<Finding>) {
        let (keys, files) = match &relation.body {
            Body::Files { keys, files, .. } => (keys, files),
            Body::Delta { .. } => {
                // Its files are looked at when the table is made.
                let made = self.provider(relation).await;
                findings.extend(
                    made.err()
                        .map(|error| error_finding(&relation.place, &error)),
                );
                return;
            }
            Body::Fault { .. } => {
                findings.extend(relation.fault_finding());
                return;
            }
        };
        let source = &self.sources[relation.source];
        let outcomes: Vec<(String, Result<Arc<Footer>>)> = stream::iter(0..files.len())
            .map(|index| async move {
                let meta = &files[index].meta;
                (
                    source.origin.shown(&meta.location),
                    self.footer(source, meta).await,
                )
            })
            .buffered(self.settings.footer_concurrency_max.max(1))
            .collect()
            .await;
        let mut footers = Vec::with_capacity(outcomes.len());
        for (name, outcome) in outcomes {
            match outcome {
                Ok(footer) => {
                    footer_findings(&name, &footer, keys, findings);
                    footers.push(footer);
                }
                Err(error) => findings.push(error_finding(&name, &error)),
            }
        }
        if footers.len() == files.len()
            && let Err(error) = relation.merge(&source.origin, &footers)
        {
            findings.push(error_finding(&relation.place, &error));
        }
    }
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lake({})", self.places())
    }
}

impl Source {
    fn new(location: Location, store: Arc<dyn ObjectStore>, runtime: &RuntimeEnv) -> Result<Self> {
        let store_url = location.store_url()?;
        runtime.register_object_store(store_url.as_ref(), Arc::clone(&store));
        let origin = Origin::new(store, location.is_local(), location.shown_root());
        let prefix = location.prefix()?;
        Ok(Self {
            location,
            origin: Arc::new(origin),
            store_url,
            prefix,
        })
    }

    async fn list(&self) -> Result<Layout> {
        let place = self.location.to_string();
        let store = &self.origin.store;
        if self.location.may_be_file() {
            match store.head(&self.prefix).await {
                Ok(meta) => return Ok(layout::single_file(meta)),
                // Spark names folders so too.
                Err(object_store::Error::NotFound { .. }) if !self.location.is_local() => {}
                Err(error) => return Err(fault::store_failed(&place, &error)),
            }
        }
        if let Some(path) = self.location.local_path() {
            // The store lists a folder that is gone as an empty one.
            let path = path.to_owned();
            tokio::task::spawn_blocking(move || std::fs::read_dir(path).map(drop))
                .await
                .map_err(|error| Error::internal("a listing was lost").with_source(error))?
                .map_err(|error| fault::local_failed(&place, &error))?;
        }
        let objects: Vec<ObjectMeta> = store
            .list(Some(&self.prefix))
            .take(OBJECTS_MAX + 1)
            .try_collect()
            .await
            .map_err(|error| fault::store_failed(&place, &error))?;
        if objects.len() > OBJECTS_MAX {
            return Err(Error::program_limit_exceeded(format!(
                "location \"{place}\" has more than {OBJECTS_MAX} objects"
            )));
        }
        Ok(layout::classify(
            &self.prefix,
            &self.location.folder_name(),
            objects,
        ))
    }
}

impl Listing {
    fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.schemas.values().flat_map(BTreeMap::values)
    }
}

impl Relation {
    fn files(&self) -> &[FoundFile] {
        match &self.body {
            Body::Files { files, .. } => files,
            Body::Delta { .. } | Body::Fault { .. } => &[],
        }
    }

    fn qualified(&self) -> String {
        format!("\"{}\".\"{}\"", self.schema, self.name)
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.body, &other.body) {
            (
                Body::Files { keys, files, .. },
                Body::Files {
                    keys: other_keys,
                    files: other_files,
                    ..
                },
            ) => self.source == other.source && keys == other_keys && files == other_files,
            (
                Body::Delta {
                    folder, version, ..
                },
                Body::Delta {
                    folder: other_folder,
                    version: other_version,
                    ..
                },
            ) => self.source == other.source && folder == other_folder && version == other_version,
            _ => false,
        }
    }

    /// The one schema of all files, or 42804 naming two files that do not fit together.
    fn merge(&self, origin: &Origin, footers: &[Arc<Footer>]) -> Result<SchemaRef> {
        let schemas: Vec<SchemaRef> = footers
            .iter()
            .map(|footer| Arc::clone(&footer.schema))
            .collect();
        merge::merge_schemas(&schemas).map_err(|conflict| {
            let shown = |file: usize| origin.shown(&self.files()[file].meta.location);
            Error::datatype_mismatch(format!(
                "column \"{}\" of table {} has types that cannot be merged",
                conflict.column,
                self.qualified()
            ))
            .with_detail(format!(
                "File \"{}\" has type {}, file \"{}\" has type {}.",
                shown(conflict.first),
                type_name(&conflict.first_type),
                shown(conflict.second),
                type_name(&conflict.second_type)
            ))
            .with_hint("Write one of the files again with the type of the other, or move it away.")
        })
    }

    fn fault_finding(&self) -> Option<Finding> {
        match &self.body {
            Body::Files { .. } | Body::Delta { .. } => None,
            Body::Fault {
                message, detail, ..
            } => Some(Finding {
                is_error: true,
                place: self.place.clone(),
                message: format!("{message}: {detail}"),
            }),
        }
    }
}

/// Puts the layouts of all LOCATIONs together, keeping what did not change.
struct Assembly<'a> {
    sources: &'a [Source],
    old: &'a Listing,
    schemas: BTreeMap<String, BTreeMap<String, Arc<Relation>>>,
    findings: Vec<Finding>,
}

impl<'a> Assembly<'a> {
    fn new(sources: &'a [Source], old: &'a Listing) -> Self {
        Self {
            sources,
            old,
            schemas: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    fn assemble(mut self, layouts: Vec<Layout>, listed_at: Instant) -> Listing {
        for (source, layout) in layouts.into_iter().enumerate() {
            let origin = Arc::clone(&self.sources[source].origin);
            for (path, why) in layout.strays {
                let place = origin.shown(&path);
                let message = format!("is passed over: {why}");
                self.findings.push(Finding {
                    is_error: false,
                    place,
                    message,
                });
            }
            for found in layout.tables {
                self.add(relation(source, &origin, found));
            }
        }
        Listing {
            listed_at,
            schemas: self.schemas,
            findings: self.findings,
        }
    }

    fn add(&mut self, new: Relation) {
        if RESERVED_SCHEMAS.contains(&new.schema.as_str()) {
            let message = format!(
                "is passed over: schema \"{}\" belongs to the server",
                new.schema
            );
            self.findings.push(Finding {
                is_error: false,
                place: new.place,
                message,
            });
            return;
        }
        let kept = self
            .old
            .schemas
            .get(&new.schema)
            .and_then(|tables| tables.get(&new.name));
        let new = match kept {
            Some(old) if old.is_same(&new) => Arc::clone(old),
            _ => Arc::new(new),
        };
        let tables = self.schemas.entry(new.schema.clone()).or_default();
        let new = match tables.get(&new.name) {
            Some(first) => Arc::new(duplicate(first, &new)),
            None => new,
        };
        tables.insert(new.name.clone(), new);
    }
}

fn relation(source: usize, origin: &Origin, found: FoundTable) -> Relation {
    let place = origin.shown(&found.place);
    let qualified = format!("\"{}\".\"{}\"", found.schema, found.name);
    let body = match found.content {
        Content::Parquet { keys, files } => Body::Files {
            keys,
            files,
            provider: OnceCell::new(),
        },
        Content::Uneven { first, second } => Body::Fault {
            state: SqlState::DatatypeMismatch,
            message: format!("files of table {qualified} have different partition keys"),
            detail: format!(
                "Files \"{}\" and \"{}\" lie under different key=value levels.",
                origin.shown(&first),
                origin.shown(&second)
            ),
            hint: "Move the files so that all lie under the same keys.".to_owned(),
        },
        Content::Delta { version } => Body::Delta {
            folder: found.place,
            version,
            provider: OnceCell::new(),
        },
    };
    Relation {
        schema: found.schema,
        name: found.name,
        source,
        place,
        body,
    }
}

fn duplicate(first: &Relation, second: &Relation) -> Relation {
    Relation {
        schema: first.schema.clone(),
        name: first.name.clone(),
        source: first.source,
        place: first.place.clone(),
        body: Body::Fault {
            state: SqlState::DuplicateTable,
            message: format!("table {} is there twice", first.qualified()),
            detail: format!("Both \"{}\" and \"{}\" are it.", first.place, second.place),
            hint: "Rename or move one of them.".to_owned(),
        },
    }
}

fn error_finding(place: &str, error: &Error) -> Finding {
    let mut message = error.message().to_owned();
    if let Some(detail) = error.detail() {
        message = format!("{message}: {detail}");
    }
    Finding {
        is_error: true,
        place: place.to_owned(),
        message,
    }
}

fn footer_findings(name: &str, footer: &Footer, keys: &[String], findings: &mut Vec<Finding>) {
    let mut note = |message: String| {
        findings.push(Finding {
            is_error: false,
            place: name.to_owned(),
            message,
        });
    };
    for key in keys
        .iter()
        .filter(|key| footer.schema.index_of(key).is_ok())
    {
        note(format!(
            "has a column \"{key}\" that is also a partition key: the path's value wins"
        ));
    }
    if !footer.uncounted.is_empty() {
        let columns = footer.uncounted.join("\", \"");
        note(format!(
            "has no null counts for \"{columns}\": these columns are read without pruning"
        ));
    }
}

fn key_fields(keys: &[String], files: &[FoundFile]) -> Vec<FieldRef> {
    keys.iter()
        .enumerate()
        .map(|(at, key)| {
            let values = files.iter().map(|file| file.values[at].as_deref());
            Arc::new(Field::new(key, keys::key_type(values), true))
        })
        .collect()
}

fn key_values(file: &FoundFile, fields: &[FieldRef]) -> Vec<datafusion::scalar::ScalarValue> {
    file.values
        .iter()
        .zip(fields)
        .map(|(value, field)| keys::key_value(value.as_deref(), field.data_type()))
        .collect()
}

fn without_keys(schema: &SchemaRef, keys: &[String]) -> SchemaRef {
    if !keys.iter().any(|key| schema.index_of(key).is_ok()) {
        return Arc::clone(schema);
    }
    let fields: Vec<FieldRef> = schema
        .fields()
        .iter()
        .filter(|field| !keys.contains(field.name()))
        .map(Arc::clone)
        .collect();
    Arc::new(Schema::new(fields))
}

/// A type as the reader of an error knows it.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_owned(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "bytea".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("numeric({precision},{scale})")
        }
        DataType::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            let zone = if zone.is_some() {
                " with time zone"
            } else {
                ""
            };
            format!("timestamp({digits}){zone}")
        }
        DataType::List(item) | DataType::LargeList(item) => {
            format!("{}[]", type_name(item.data_type()))
        }
        other => other.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
