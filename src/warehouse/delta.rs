//! The log of one Delta table: its versions, and commits to it.
//!
//! What calls the Delta library stands here, and in [`super::foreign`]. Its futures need the network runtime.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::scalar::ScalarValue;
use deltalake_core::kernel::LogicalFileView;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{Action, Add, Metadata, Protocol, Remove, Transaction};
use deltalake_core::logstore::{
    LogStore, LogStoreFactory, LogStoreRef, ObjectStoreRef, StorageConfig, default_logstore,
    logstore_factories,
};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::config::TablePropertiesExt;
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaResult, DeltaTableBuilder, DeltaTableError};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use serde_json::{Map, Value, json};
use url::Url;

use super::{columns, fault};
use crate::error::{Error, Result};
use crate::storage::{
    FileKeys, StoredFile, key_text, key_values, partition_columns, partitioned_by,
};

/// Attempts to append when another program commits at the same moment.
const APPEND_RETRIES_MAX: usize = 15;
/// Key of a commit's information under which it tells a number of its own.
const COMMIT_ID: &str = "loyalhouse.commit";
/// Commits from one checkpoint of a new table's log to the next, so that a table of many opens quickly.
const CHECKPOINT_COMMITS: u32 = 50;
/// How long the log of a new table tells of versions and of files that are no longer part of it.
const RETENTION: &str = "interval 7 days";
/// Bytes of a file that compacting aims at, as its history tells.
const COMPACT_BYTES: i64 = super::write::FILE_BYTES_MAX as i64;

/// Features of Delta tables that do not change what files mean, or that are looked at by themselves.
const READABLE_FEATURES: [&str; 6] = [
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "v2Checkpoint",
    "vacuumProtocolCheck",
];
/// Setting of a table that tells how its columns are found in files.
const MAPPING_MODE: &str = "delta.columnMapping.mode";
/// Its value if they have other names there.
const MAPPED_BY_NAME: &str = "name";
/// What helps where a feature is not supported.
const PLAIN_COPY: &str =
    "Let the program that writes the table turn that off, or write a plain copy.";
/// Schemes of object stores.
const REMOTE_SCHEMES: [&str; 7] = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss"];

/// What a commit does to a table, as its history tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Rows were added.
    Append,
    /// Rows were changed.
    Update,
    /// Rows were removed.
    Delete,
    /// Rows were merged in.
    Merge,
    /// The rows were replaced by others.
    Overwrite,
    /// The same rows were written to fewer files.
    Compact,
}

/// The log of a table in one folder.
pub(super) struct DeltaLog {
    pub(super) store: LogStoreRef,
    /// The table's folder, as a path from the root of the store.
    folder: Path,
    pub(super) table: String,
    /// Whether a failed write has surely not been made.
    is_local: bool,
}

/// A version of a table as its log tells it.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) state: DeltaTableState,
    pub(super) columns: SchemaRef,
}

/// A commit that was not made.
#[derive(Debug)]
pub(super) struct Uncommitted {
    pub(super) error: Error,
    /// Whether it may still turn out that it was.
    pub(super) in_doubt: bool,
}

impl From<Error> for Uncommitted {
    fn from(error: Error) -> Self {
        Self {
            error,
            in_doubt: false,
        }
    }
}

/// What comes of a commit: its version, or none if that cannot be read now.
pub(super) type Committed = std::result::Result<Option<Version>, Uncommitted>;

/// What a commit changes.
pub(super) struct Change<'a> {
    pub(super) operation: Operation,
    pub(super) added: Vec<&'a StoredFile>,
    /// Files of the version that the change was made on.
    pub(super) removed: Vec<&'a StoredFile>,
    /// The columns that the table is partitioned by.
    pub(super) partitioned_by: Vec<String>,
    /// The table's columns, if they are others now.
    pub(super) columns: Option<&'a Schema>,
    /// Who makes it.
    pub(super) application: Option<&'a Application>,
}

/// A number that an application writes into a table's log with a commit, to know after a crash whether
/// the commit was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The application.
    pub name: &'static str,
    /// The number.
    pub version: i64,
}

impl DeltaLog {
    /// The log of the table in a folder. `table` is what errors call it.
    pub(super) fn open(
        store: Arc<dyn ObjectStore>,
        folder: &Url,
        table: &str,
        is_local: bool,
    ) -> Result<Self> {
        register_remote_logs()?;
        let builder = fault::of_log(table, DeltaTableBuilder::from_url(folder.clone()))?;
        let store = builder
            .with_storage_backend(store, folder.clone())
            .build_storage();
        let path = Path::from_url_path(folder.path()).map_err(|error| {
            Error::io_error(format!("{folder} is no place for a table")).with_source(error)
        })?;
        Ok(Self {
            store: fault::of_log(table, store)?,
            folder: path,
            table: table.to_owned(),
            is_local,
        })
    }

    /// The first version of a table.
    pub(super) async fn create(&self, name: &str, change: &Change<'_>) -> Committed {
        let schema = change
            .columns
            .ok_or_else(|| Error::internal("a new table has no columns"))?;
        let id = format!("{:032x}", rand::random::<u128>());
        let metadata = metadata(&id, name, schema)?;
        let protocol = protocol(schema)?;
        let operation = DeltaOperation::Create {
            mode: SaveMode::ErrorIfExists,
            location: self.store.root_url().clone(),
            protocol: protocol.clone(),
            metadata: metadata.clone(),
        };
        let mut actions = vec![Action::Protocol(protocol), Action::Metadata(metadata)];
        actions.extend(self.data_actions(change)?);
        self.write(None, actions, operation, (0, change.application))
            .await
    }

    /// The number that an application wrote with its last commit.
    pub(super) async fn application_version(&self, application: &str) -> Result<Option<i64>> {
        let state = DeltaTableState::try_new(self.store.as_ref(), None).await;
        let state = fault::of_log(&self.table, state)?;
        let version = state
            .snapshot()
            .transaction_version(self.store.as_ref(), application)
            .await;
        fault::of_log(&self.table, version)
    }

    /// The latest version.
    pub(super) async fn load(&self) -> Result<Version> {
        let state = DeltaTableState::try_new(self.store.as_ref(), None).await;
        Version::new(fault::of_log(&self.table, state)?)
    }

    /// The latest version, from an earlier one.
    pub(super) async fn latest(&self, known: &Version) -> Result<Version> {
        let mut state = known.state.clone();
        fault::of_log(&self.table, state.update(self.store.as_ref(), None).await)?;
        Version::new(state)
    }

    /// Commits a change of `base`; 40001 if another program committed what does not go together with it.
    pub(super) async fn commit(&self, base: &Version, change: &Change<'_>) -> Committed {
        let predicate = None;
        let operation = match change.operation {
            Operation::Append => write(SaveMode::Append),
            Operation::Overwrite => write(SaveMode::Overwrite),
            Operation::Delete => DeltaOperation::Delete { predicate },
            Operation::Update => DeltaOperation::Update { predicate },
            Operation::Merge => DeltaOperation::Merge {
                predicate,
                merge_predicate: None,
                matched_predicates: Vec::new(),
                not_matched_predicates: Vec::new(),
                not_matched_by_source_predicates: Vec::new(),
            },
            Operation::Compact => DeltaOperation::Optimize {
                predicate,
                target_size: COMPACT_BYTES,
            },
        };
        let mut actions = Vec::new();
        if let Some(schema) = change.columns {
            actions.push(Action::Metadata(changed_metadata(&base.state, schema)?));
            actions.extend(changed_protocol(&base.state, schema)?.map(Action::Protocol));
        }
        actions.extend(self.data_actions(change)?);
        // Rows that are only added do not depend on what another program commits; all else was computed
        // from the version it was made on.
        let is_append = change.operation == Operation::Append && change.columns.is_none();
        let retries = if is_append { APPEND_RETRIES_MAX } else { 0 };
        self.write(
            Some(&base.state),
            actions,
            operation,
            (retries, change.application),
        )
        .await
    }

    /// Writes a commit to the log. What follows it, such as a checkpoint, may fail without harm.
    async fn write(
        &self,
        base: Option<&DeltaTableState>,
        actions: Vec<Action>,
        operation: DeltaOperation,
        (retries, application): (usize, Option<&Application>),
    ) -> Committed {
        let id = format!("{:032x}", rand::random::<u128>());
        let next = base.map_or(0, |base| base.version() + 1);
        let interval = base.map(|base| base.table_config().checkpoint_interval());
        // Behind each checkpoint the log before it is looked through.
        let is_due = interval.is_some_and(|interval| (next + 1).is_multiple_of(interval.get()));
        let properties = signed(application)
            .with_max_retries(retries)
            .with_cleanup_expired_logs(Some(is_due))
            .with_metadata([(COMMIT_ID.to_owned(), json!(id))]);
        let commit = CommitBuilder::from(properties).with_actions(actions).build(
            base.map(|base| base as &dyn TableReference),
            Arc::clone(&self.store),
            operation,
        );
        let prepared = fault::of_log(&self.table, commit.into_prepared_commit_future().await)?;
        let version = match prepared.await {
            Ok(made) => {
                let version = made.version;
                match made.await {
                    Ok(done) => return Ok(Version::new(done.snapshot()).ok()),
                    Err(error) => {
                        tracing::warn!(%error, table = self.table, "no checkpoint was made");
                        version
                    }
                }
            }
            Err(error) => self.settled(next, &id, error).await?,
        };
        let state = DeltaTableState::try_new(self.store.as_ref(), Some(version)).await;
        Ok(state.ok().and_then(|state| Version::new(state).ok()))
    }

    /// The version that a commit made after all, though writing it failed: the answer of a store may be
    /// lost, and the same request sent again finds its own file.
    async fn settled(
        &self,
        next: u64,
        id: &str,
        error: DeltaTableError,
    ) -> std::result::Result<u64, Uncommitted> {
        let is_conflict = fault::is_conflict(&error);
        let error = fault::log_failed(&self.table, error);
        match self.version_of(next, id).await {
            Ok(Some(version)) => Ok(version),
            Ok(None) => Err(Uncommitted {
                error,
                // A request that got lost on its way to a store may yet arrive.
                in_doubt: !is_conflict && !self.is_local,
            }),
            Err(unread) => {
                tracing::error!(error = %unread, table = self.table, "it is not known whether a commit was made");
                Err(Uncommitted {
                    error,
                    in_doubt: true,
                })
            }
        }
    }

    /// The version from `next` on that the commit of a number made.
    async fn version_of(&self, next: u64, id: &str) -> Result<Option<u64>> {
        for version in next.. {
            let entry = self.store.read_commit_entry(version).await;
            let Some(entry) = fault::of_log(&self.table, entry)? else {
                break;
            };
            if String::from_utf8_lossy(&entry).contains(id) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// Where the files of a version lie all of whose rows are the table's, under its own column names; with
    /// the values of its partition columns.
    pub(super) fn files(&self, version: &Version) -> Result<Vec<(Path, FileKeys)>> {
        if version.is_mapped() {
            return Err(self.unsupported("mapped columns"));
        }
        let names = partition_columns(&version.columns);
        let fields = names.iter().map(|name| {
            let field = version.columns.field_with_name(name);
            field.map(|field| Arc::new(field.clone())).map_err(|_| {
                Error::data_corrupted(format!(
                    "table \"{}\" is partitioned by a column \"{name}\" that it does not have",
                    self.table
                ))
            })
        });
        let fields = fields.collect::<Result<Vec<_>>>()?;
        let place = |file: LogicalFileView| match file.deletion_vector_descriptor() {
            Some(_) => Err(self.unsupported("deletion vectors")),
            None if fields.is_empty() => Ok((self.place(&file)?, FileKeys::default())),
            None => {
                let texts = file.partition_values_map();
                let keys = key_values(&self.table, &fields, &texts)?;
                Ok((self.place(&file)?, keys.into()))
            }
        };
        version.state.log_data().iter().map(place).collect()
    }

    fn unsupported(&self, what: &str) -> Error {
        Error::feature_not_supported(format!(
            "table \"{}\" has {what}, which are not supported",
            self.table
        ))
        .with_hint(PLAIN_COPY)
    }

    /// Where a file lies.
    pub(super) fn place(&self, file: &LogicalFileView) -> Result<Path> {
        if file.path().contains("://") || file.path().starts_with('/') {
            return Err(self.unsupported("files in other folders"));
        }
        Ok(self.absolute(&file.object_store_path()))
    }

    /// Files that were part of the table, and when they stopped to be, in milliseconds since 1970.
    pub(super) async fn removed_files(&self, version: &Version) -> Result<HashMap<Path, i64>> {
        let removed = version.state.all_tombstones(self.store.as_ref());
        let removed = removed
            .map_ok(|file| {
                let at = file.deletion_timestamp().unwrap_or_default();
                (self.absolute(&Path::from(file.path().as_ref())), at)
            })
            .try_collect();
        fault::of_log(&self.table, removed.await)
    }

    /// The place in the store of what the log tells by its place in the table's folder.
    fn absolute(&self, path: &Path) -> Path {
        Path::from_iter(self.folder.parts().chain(path.parts()))
    }

    fn data_actions(&self, change: &Change<'_>) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        let texts = |file: &StoredFile| -> Result<HashMap<String, Option<String>>> {
            let keys = change.partitioned_by.iter().zip(file.keys().iter());
            keys.map(|(name, key)| Ok((name.clone(), key_text(name, key)?)))
                .collect()
        };
        let data_change = change.operation != Operation::Compact;
        for file in &change.removed {
            actions.push(Action::Remove(Remove {
                path: self.relative(file)?,
                data_change,
                deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
                extended_file_metadata: Some(true),
                partition_values: Some(texts(file)?),
                size: Some(file.bytes() as i64),
                ..Remove::default()
            }));
        }
        for file in &change.added {
            actions.push(Action::Add(Add {
                path: self.relative(file)?,
                partition_values: texts(file)?,
                size: file.bytes() as i64,
                modification_time: file.modified_ms(),
                data_change,
                stats: Some(statistics(file).to_string()),
                ..Add::default()
            }));
        }
        Ok(actions)
    }

    fn relative(&self, file: &StoredFile) -> Result<String> {
        let parts = file.path().prefix_match(&self.folder);
        let parts = parts.ok_or_else(|| Error::internal("a file lies outside of its table"))?;
        Ok(Path::from_iter(parts).to_string())
    }
}

impl Version {
    /// Whether the columns have other names in files.
    pub(super) fn is_mapped(&self) -> bool {
        let settings = self.state.metadata().configuration();
        settings
            .get(MAPPING_MODE)
            .is_some_and(|mode| mode == MAPPED_BY_NAME)
    }

    fn new(state: DeltaTableState) -> Result<Self> {
        check_readable(&state)?;
        let columns = columns::from_delta(&schema_of(&state)?)?;
        let keys = state.metadata().partition_columns();
        Ok(Self {
            columns: match keys.is_empty() {
                true => columns,
                false => Arc::new(partitioned_by(&columns, keys)),
            },
            state,
        })
    }

    /// Its number.
    pub(super) fn number(&self) -> u64 {
        self.state.version()
    }
}

/// 0A000 for a table whose rows are not what its files hold under the names of its columns.
/// The columns of a version as Delta writes them.
pub(super) fn schema_of(state: &DeltaTableState) -> Result<String> {
    let metadata = serde_json::to_value(state.metadata())
        .map_err(|error| Error::internal("a log cannot be read").with_source(error))?;
    let schema = metadata.get("schemaString").and_then(Value::as_str);
    let schema = schema.ok_or_else(|| Error::data_corrupted("a Delta table has no schema"))?;
    Ok(schema.to_owned())
}

fn check_readable(state: &DeltaTableState) -> Result<()> {
    let unsupported = |what: &str| {
        Err(
            Error::feature_not_supported(format!("Delta tables with {what} are not supported"))
                .with_hint(PLAIN_COPY),
        )
    };
    let mode = state.metadata().configuration().get(MAPPING_MODE);
    if mode.is_some_and(|mode| mode != "none" && mode != MAPPED_BY_NAME) {
        return unsupported("column mapping by anything but names");
    }
    let protocol = serde_json::to_value(state.protocol()).map_err(unbuilt)?;
    let features = protocol["readerFeatures"].as_array();
    let unknown = features.into_iter().flatten().filter_map(Value::as_str);
    match unknown
        .into_iter()
        .find(|feature| !READABLE_FEATURES.contains(feature))
    {
        Some(feature) => unsupported(&format!("the feature {feature}")),
        None => Ok(()),
    }
}

/// Logs in object stores: a version is put if it is not there, which one writer alone can.
#[derive(Debug, Clone, Default)]
struct RemoteLogs;

impl LogStoreFactory for RemoteLogs {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(
            prefixed_store,
            root_store,
            location,
            options,
        ))
    }
}

/// Makes the schemes of object stores known to the Delta library.
fn register_remote_logs() -> Result<()> {
    for scheme in REMOTE_SCHEMES {
        let url = Url::parse(&format!("{scheme}://"))
            .map_err(|error| Error::internal("a scheme is none").with_source(error))?;
        logstore_factories()
            .entry(url)
            .or_insert_with(|| Arc::new(RemoteLogs));
    }
    Ok(())
}

/// What a commit says of who makes it.
fn signed(application: Option<&Application>) -> CommitProperties {
    let properties = CommitProperties::default();
    match application {
        Some(application) => properties
            .with_application_transaction(Transaction::new(application.name, application.version)),
        None => properties,
    }
}

fn write(mode: SaveMode) -> DeltaOperation {
    DeltaOperation::Write {
        mode,
        partition_by: None,
        predicate: None,
    }
}

/// Tables of plain types are for every reader; times without a zone need a feature.
fn protocol(columns: &Schema) -> Result<Protocol> {
    let protocol = match columns::has_plain_timestamps(columns) {
        false => json!({ "minReaderVersion": 1, "minWriterVersion": 2 }),
        true => json!({
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"],
            "writerFeatures": ["timestampNtz"],
        }),
    };
    serde_json::from_value(protocol).map_err(unbuilt)
}

/// The protocol of a table that gets columns which the one it has does not allow. Features that another
/// program turned on stay.
fn changed_protocol(base: &DeltaTableState, columns: &Schema) -> Result<Option<Protocol>> {
    let needed = serde_json::to_value(protocol(columns)?).map_err(unbuilt)?;
    let mut known = serde_json::to_value(base.protocol()).map_err(unbuilt)?;
    let mut changed = false;
    for version in ["minReaderVersion", "minWriterVersion"] {
        if known[version].as_i64() < needed[version].as_i64() {
            known[version] = needed[version].clone();
            changed = true;
        }
    }
    for list in ["readerFeatures", "writerFeatures"] {
        let mut names = known[list].as_array().cloned().unwrap_or_default();
        let missing = needed[list].as_array().into_iter().flatten();
        let missing: Vec<Value> = missing
            .filter(|name| !names.contains(name))
            .cloned()
            .collect();
        if !missing.is_empty() {
            names.extend(missing);
            known[list] = Value::Array(names);
            changed = true;
        }
    }
    match changed {
        true => Ok(Some(serde_json::from_value(known).map_err(unbuilt)?)),
        false => Ok(None),
    }
}

/// The metadata of a table whose columns change; its id, settings and age stay.
fn changed_metadata(base: &DeltaTableState, columns: &Schema) -> Result<Metadata> {
    let mut metadata = serde_json::to_value(base.metadata()).map_err(unbuilt)?;
    metadata["schemaString"] = Value::String(columns::to_delta(columns)?.to_string());
    metadata["partitionColumns"] = json!(partition_columns(columns));
    metadata["description"] = json!(columns.metadata().get("comment"));
    serde_json::from_value(metadata).map_err(unbuilt)
}

fn metadata(id: &str, name: &str, columns: &Schema) -> Result<Metadata> {
    let metadata = json!({
        "id": id,
        "name": name,
        "description": columns.metadata().get("comment"),
        "format": { "provider": "parquet", "options": {} },
        "schemaString": columns::to_delta(columns)?.to_string(),
        "partitionColumns": partition_columns(columns),
        "configuration": {
            "delta.checkpointInterval": CHECKPOINT_COMMITS.to_string(),
            "delta.logRetentionDuration": RETENTION,
            "delta.deletedFileRetentionDuration": RETENTION,
        },
        "createdTime": chrono::Utc::now().timestamp_millis(),
    });
    serde_json::from_value(metadata).map_err(unbuilt)
}

fn unbuilt(error: serde_json::Error) -> Error {
    Error::internal("a commit was not built").with_source(error)
}

/// The counts and bounds that let readers pass over a file. Bounds of text are left out: they would keep
/// names and addresses in the log after the rows are erased.
fn statistics(file: &StoredFile) -> Value {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let columns = file.schema().fields().iter();
    for (field, known) in columns.zip(&file.statistics().column_statistics) {
        let name = field.name().clone();
        if field.data_type().is_nested() {
            continue;
        }
        if let Precision::Exact(count) = known.null_count {
            nulls.insert(name.clone(), json!(count));
        }
        let bound = |value: &Precision<ScalarValue>| match value {
            Precision::Exact(value) => bound(value),
            _ => None,
        };
        if let (Some(min), Some(max)) = (bound(&known.min_value), bound(&known.max_value)) {
            least.insert(name.clone(), min);
            greatest.insert(name, max);
        }
    }
    json!({
        "numRecords": file.rows(),
        "minValues": least,
        "maxValues": greatest,
        "nullCount": nulls,
    })
}

fn bound(value: &ScalarValue) -> Option<Value> {
    match value {
        ScalarValue::Int16(Some(value)) => Some(json!(value)),
        ScalarValue::Int32(Some(value)) => Some(json!(value)),
        ScalarValue::Int64(Some(value)) => Some(json!(value)),
        ScalarValue::Date32(Some(_)) => {
            let text = value.cast_to(&DataType::Utf8).ok()?;
            Some(json!(text.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_plain_types_is_for_every_reader() {
        let plain = Schema::empty();
        let told = serde_json::to_value(protocol(&plain).unwrap()).unwrap();
        assert_eq!(told["minReaderVersion"], 1);
        assert_eq!(
            bound(&ScalarValue::Date32(Some(0))),
            Some(json!("1970-01-01"))
        );
        assert_eq!(bound(&ScalarValue::from("Ann")), None);
    }
}
