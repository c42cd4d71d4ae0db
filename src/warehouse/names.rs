//! The rows of the catalog file that name schemas, tables and views.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use rusqlite::{Transaction, params};

use super::folder::TableFolder;
use super::sequences::Sequence;
use crate::config::tables::TableNotes;
use crate::error::{Error, Result};
use crate::metastore::Metastore;
use crate::sqlstate::SqlState;

/// A schema that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
    /// The comment on it.
    pub comment: Option<String>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows that statements change.
    Table,
    /// A query.
    View,
    /// Rows that a query gave when it was last refreshed.
    MaterializedView,
}

/// A table or view that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// What it keeps when it is renamed; also the name of a table's folder.
    pub id: String,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The role that owns it.
    pub owner: String,
    /// The statement that made a view.
    pub definition: Option<String>,
    /// The schemas that a view's query finds bare names in.
    pub search_path: Vec<String>,
    /// The columns of a view when it was made.
    pub columns: Option<SchemaRef>,
    /// The comment on it, and keys, which are shown and not enforced.
    pub notes: TableNotes,
    /// The sequences of its columns.
    pub sequences: Vec<Sequence>,
    /// Whether it can be read; a materialized view that was never refreshed cannot.
    pub populated: bool,
}

/// Key of a relation's notes in the catalog file: its sequences.
const SEQUENCES_KEY: &str = "sequences";

/// What the catalog file keeps of a relation's notes.
fn kept_notes(relation: &Relation) -> String {
    let mut kept = serde_json::to_value(&relation.notes).unwrap_or_default();
    if let (Some(kept), false) = (kept.as_object_mut(), relation.sequences.is_empty()) {
        let sequences = serde_json::to_value(&relation.sequences).unwrap_or_default();
        kept.insert(SEQUENCES_KEY.to_owned(), sequences);
    }
    kept.to_string()
}

fn read_notes(text: &str) -> (TableNotes, Vec<Sequence>) {
    let mut kept: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let sequences = kept
        .as_object_mut()
        .and_then(|kept| kept.remove(SEQUENCES_KEY));
    let sequences = sequences.and_then(|sequences| serde_json::from_value(sequences).ok());
    let notes = serde_json::from_value(kept).unwrap_or_default();
    (notes, sequences.unwrap_or_default())
}

/// All names at one time.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) schemas: BTreeMap<String, Arc<Schema>>,
    pub(super) relations: BTreeMap<(String, String), Arc<Relation>>,
    /// The folders of the tables, by id: who may still come to a table by its name keeps it.
    pub(super) folders: HashMap<String, Arc<TableFolder>>,
}

impl Names {
    /// What [`write()`] has made of the catalog file.
    pub(super) fn apply(
        &mut self,
        schemas: &BTreeMap<String, Renamed<Schema>>,
        relations: &BTreeMap<(String, String), Renamed<Relation>>,
    ) {
        for (name, change) in schemas {
            match &change.now {
                Some(now) => self.schemas.insert(name.clone(), Arc::clone(now)),
                None => self.schemas.remove(name),
            };
        }
        for (key, change) in relations {
            match &change.now {
                Some(now) => self.relations.insert(key.clone(), Arc::clone(now)),
                None => self.relations.remove(key),
            };
        }
    }
}

/// What a transaction did to a name.
#[derive(Debug, Clone)]
pub(super) struct Renamed<T> {
    /// What the name stood for when the transaction came to it.
    pub(super) was: Option<Arc<T>>,
    /// What it stands for now.
    pub(super) now: Option<Arc<T>>,
}

impl Kind {
    /// What it is called, in the catalog file and in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
        }
    }

    /// Whether rows are kept for it.
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Table | Self::MaterializedView)
    }

    fn of(name: &str) -> Self {
        [Self::View, Self::MaterializedView]
            .into_iter()
            .find(|kind| kind.name() == name)
            .unwrap_or(Self::Table)
    }
}

/// Reads all names.
pub(super) fn load(store: &Metastore) -> Result<Names> {
    store.read(|transaction| read(transaction).map_err(|error| store.failed(error)))
}

fn read(transaction: &Transaction<'_>) -> rusqlite::Result<Names> {
    let mut names = Names::default();
    let sql = "SELECT s.name, r.name, s.comment FROM schemas s JOIN roles r ON r.id = s.owner";
    let mut query = transaction.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let schema = Schema {
            name: row.get(0)?,
            owner: row.get(1)?,
            comment: row.get(2)?,
        };
        names.schemas.insert(schema.name.clone(), Arc::new(schema));
    }
    let sql = "SELECT t.id, t.schema, t.name, t.kind, r.name, t.definition, t.notes, t.search_path, t.columns,
                   t.populated
               FROM relations t JOIN roles r ON r.id = t.owner";
    let mut query = transaction.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let kind: String = row.get(3)?;
        let (notes, sequences) = read_notes(&row.get::<_, String>(6)?);
        let relation = Relation {
            id: row.get(0)?,
            schema: row.get(1)?,
            name: row.get(2)?,
            kind: Kind::of(&kind),
            owner: row.get(4)?,
            definition: row.get(5)?,
            notes,
            sequences,
            search_path: serde_json::from_str(&row.get::<_, String>(7)?).unwrap_or_default(),
            columns: row
                .get::<_, Option<Vec<u8>>>(8)?
                .and_then(|bytes| from_ipc(&bytes)),
            populated: row.get(9)?,
        };
        let key = (relation.schema.clone(), relation.name.clone());
        names.relations.insert(key, Arc::new(relation));
    }
    Ok(names)
}

/// Makes the changes of a transaction; 42P07 if a name was taken meanwhile, 40001 if what it stood for is
/// not that any more.
pub(super) fn write(
    store: &Metastore,
    transaction: &Transaction<'_>,
    schemas: &BTreeMap<String, Renamed<Schema>>,
    relations: &BTreeMap<(String, String), Renamed<Relation>>,
) -> Result<()> {
    let failed = |error| store.failed(error);
    // Away first: a rename frees the name that another one takes.
    for was in relations
        .values()
        .filter_map(|change| change.was.as_deref())
    {
        let sql = "DELETE FROM relations WHERE schema = ?1 AND name = ?2 AND id = ?3";
        let gone = transaction
            .execute(sql, params![was.schema, was.name, was.id])
            .map_err(failed)?;
        if gone == 0 {
            return Err(Error::new(
                SqlState::SerializationFailure,
                format!(
                    "relation \"{}\" was changed by another transaction",
                    was.name
                ),
            )
            .with_hint("Run the transaction again."));
        }
    }
    for (name, change) in schemas {
        write_schema(transaction, name, change).map_err(failed)?;
    }
    for relation in relations
        .values()
        .filter_map(|change| change.now.as_deref())
    {
        insert(transaction, relation).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => already_exists(&relation.name),
            _ => store.failed(error),
        })?;
    }
    Ok(())
}

fn write_schema(
    transaction: &Transaction<'_>,
    name: &str,
    change: &Renamed<Schema>,
) -> rusqlite::Result<usize> {
    match &change.now {
        None => transaction.execute("DELETE FROM schemas WHERE name = ?1", [name]),
        Some(schema) => {
            let sql = "INSERT INTO schemas (name, owner, comment) VALUES
                (?1, coalesce((SELECT id FROM roles WHERE name = ?2), 10), ?3)
                ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, comment = excluded.comment";
            transaction.execute(sql, params![schema.name, schema.owner, schema.comment])
        }
    }
}

fn insert(transaction: &Transaction<'_>, relation: &Relation) -> rusqlite::Result<usize> {
    let sql = "INSERT INTO relations
        (id, schema, name, kind, owner, definition, notes, search_path, columns, populated) VALUES
        (?1, ?2, ?3, ?4, coalesce((SELECT id FROM roles WHERE name = ?5), 10), ?6, ?7, ?8, ?9, ?10)";
    transaction.execute(
        sql,
        params![
            relation.id,
            relation.schema,
            relation.name,
            relation.kind.name(),
            relation.owner,
            relation.definition,
            kept_notes(relation),
            serde_json::Value::from(relation.search_path.clone()).to_string(),
            relation.columns.as_ref().and_then(to_ipc),
            relation.populated,
        ],
    )
}

/// The number of this catalog, if its tables lie where `place` says; otherwise 55000. What it says is remembered
/// when the first table may be made.
pub(super) fn remember_place(store: &Metastore, names: &Names, place: &str) -> Result<String> {
    let (id, known) = store.read(|transaction| {
        let sql = "SELECT id, table_store FROM warehouse";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?));
        let found: rusqlite::Result<(String, Option<String>)> = transaction.query_row(sql, [], row);
        found.map_err(|error| store.failed(error))
    })?;
    // Before a place could be given it was the folder.
    let is_used = names
        .relations
        .values()
        .any(|relation| relation.kind.is_stored());
    let known = known.or_else(|| is_used.then(String::new));
    match known {
        Some(known) if known == place => Ok(id),
        Some(known) => Err(Error::new(
            SqlState::ObjectNotInPrerequisiteState,
            "the tables of this warehouse lie in another place",
        )
        .with_detail(match known.as_str() {
            "" => "They lie in the warehouse folder itself.".to_owned(),
            known => format!("They lie in {known}."),
        })
        .with_hint("Start the server with the table_store that the tables were made with.")),
        None => {
            store.write(|transaction| {
                let sql = "UPDATE warehouse SET table_store = ?1";
                let done = transaction.execute(sql, [place]);
                done.map(drop).map_err(|error| store.failed(error))
            })?;
            Ok(id)
        }
    }
}

/// A schema as the first message of an Arrow stream.
fn to_ipc(columns: &SchemaRef) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, columns).ok()?;
    writer.finish().ok()?;
    drop(writer);
    Some(bytes)
}

fn from_ipc(bytes: &[u8]) -> Option<SchemaRef> {
    let reader = StreamReader::try_new(bytes, None).ok()?;
    Some(reader.schema())
}

/// 42P07
pub fn already_exists(name: &str) -> Error {
    Error::new(
        SqlState::DuplicateTable,
        format!("relation \"{name}\" already exists"),
    )
}
