//! What a transaction has changed and nobody else sees yet, and what a statement of it sees.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::catalog::TableProvider;

use super::content::Content;
use super::delta::{Application, Operation};
use super::names::{Names, Relation, Renamed, Schema};
use super::sequences::Sequence;
use super::{TEMPORARY_SCHEMA, Warehouse};
use crate::error::{Error, Result};
use crate::storage::Lake;

/// Numbers the states of all transactions, so that no two are taken for one another.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// The changes of a transaction. Cheap to clone: a savepoint keeps one.
#[derive(Debug, Clone, Default)]
pub struct Staged {
    serial: u64,
    pub(super) schemas: BTreeMap<String, Renamed<Schema>>,
    pub(super) relations: BTreeMap<(String, String), Renamed<Relation>>,
    /// By the table's id.
    pub(super) contents: HashMap<String, StagedContent>,
}

/// The content of a table that a transaction changed.
#[derive(Debug, Clone)]
pub(super) struct StagedContent {
    /// What it was before the transaction; none if the transaction made the table.
    pub(super) base: Option<Arc<Content>>,
    pub(super) now: Arc<Content>,
    pub(super) operation: Operation,
    /// Rows that were added and are in no file yet.
    pub(super) pending: Pending,
    /// What the commit says of who made it.
    pub(super) application: Option<Application>,
}

/// Rows that a transaction added to a table and has not written.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    rows: Arc<Vec<RecordBatch>>,
    bytes: usize,
}

impl Pending {
    fn add(&mut self, rows: Vec<RecordBatch>) -> Result<()> {
        let kept = Arc::make_mut(&mut self.rows);
        self.bytes += rows
            .iter()
            .map(RecordBatch::get_array_memory_size)
            .sum::<usize>();
        kept.extend(rows);
        if let (Some(first), true) = (kept.first(), kept.len() > PENDING_BATCHES_MAX) {
            let rows = concat_batches(&first.schema(), kept.iter());
            let rows = rows
                .map_err(|error| Error::internal("rows to add are not alike").with_source(error))?;
            self.bytes = rows.get_array_memory_size();
            *kept = vec![rows];
        }
        Ok(())
    }
}

/// Batches of rows of one table that are kept apart.
const PENDING_BATCHES_MAX: usize = 1_000;

/// Bytes of rows of one table that wait for the end of a transaction; with more they are written.
pub const PENDING_BYTES_MAX: usize = 16 << 20;

impl Staged {
    /// A number that no other state has; 0 if nothing was changed.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty() && self.relations.is_empty() && self.contents.is_empty()
    }

    fn touch(&mut self) {
        self.serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes a schema stand or go.
    pub fn set_schema(&mut self, name: &str, was: Option<Arc<Schema>>, now: Option<Arc<Schema>>) {
        let first = self
            .schemas
            .get(name)
            .map_or(was, |known| known.was.clone());
        self.schemas
            .insert(name.to_owned(), Renamed { was: first, now });
        self.touch();
    }

    /// Makes a name stand for something else, or nothing.
    pub fn set_relation(
        &mut self,
        key: (String, String),
        was: Option<Arc<Relation>>,
        now: Option<Arc<Relation>>,
    ) {
        let first = self
            .relations
            .get(&key)
            .map_or(was, |known| known.was.clone());
        self.relations.insert(key, Renamed { was: first, now });
        self.touch();
    }

    /// Gives a table another content.
    pub fn set_content(
        &mut self,
        id: &str,
        base: Option<Arc<Content>>,
        now: Arc<Content>,
        operation: Operation,
    ) {
        let content = match self.contents.remove(id) {
            None => StagedContent {
                base,
                now,
                operation,
                pending: Pending::default(),
                application: None,
            },
            Some(before) => StagedContent {
                base: before.base,
                pending: before.pending,
                now,
                operation: match before.operation == operation {
                    true => operation,
                    false => Operation::Overwrite,
                },
                application: before.application,
            },
        };
        self.contents.insert(id.to_owned(), content);
        self.touch();
    }

    /// Lets the commit of a changed table say who made it.
    pub fn sign_content(&mut self, id: &str, application: Application) {
        if let Some(content) = self.contents.get_mut(id) {
            content.application = Some(application);
        }
        self.touch();
    }

    /// Adds rows to a table whose content is `base` now; the bytes that wait with them. What is seen of
    /// the table stays as it is until they are written.
    pub fn add_rows(
        &mut self,
        id: &str,
        base: &Arc<Content>,
        rows: Vec<RecordBatch>,
    ) -> Result<usize> {
        let content = self.contents.entry(id.to_owned());
        let content = content.or_insert_with(|| StagedContent {
            base: Some(Arc::clone(base)),
            now: Arc::clone(base),
            operation: Operation::Append,
            pending: Pending::default(),
            application: None,
        });
        content.pending.add(rows)?;
        Ok(content.pending.bytes)
    }

    /// The tables with rows that are not written, and those rows.
    pub fn pending(&self) -> Vec<(String, Arc<Vec<RecordBatch>>)> {
        let contents = self.contents.iter();
        contents
            .filter(|(_, content)| !content.pending.rows.is_empty())
            .map(|(id, content)| (id.clone(), Arc::clone(&content.pending.rows)))
            .collect()
    }

    /// The rows of a table that waited are in its content.
    pub fn set_written(&mut self, id: &str, now: Arc<Content>) {
        if let Some(content) = self.contents.get_mut(id) {
            content.pending = Pending::default();
        }
        self.set_content(id, None, now, Operation::Append);
    }

    /// Forgets what a transaction did to the content of a table that it drops.
    pub fn forget_content(&mut self, id: &str) {
        self.contents.remove(id);
        self.touch();
    }

    /// Takes out what belongs to the session's temporary tables, of which it has had `before`.
    #[must_use]
    pub fn take_temporary(&mut self, before: &Self) -> Self {
        let mut temporary = Self {
            serial: self.serial,
            ..Self::default()
        };
        let keys = self
            .relations
            .keys()
            .filter(|(schema, _)| schema == TEMPORARY_SCHEMA);
        for key in keys.cloned().collect::<Vec<_>>() {
            if let Some(change) = self.relations.remove(&key) {
                for relation in [&change.was, &change.now].into_iter().flatten() {
                    if let Some(content) = self.contents.remove(&relation.id) {
                        temporary.contents.insert(relation.id.clone(), content);
                    }
                }
                temporary.relations.insert(key, change);
            }
        }
        for id in before.contents.keys() {
            if let Some(content) = self.contents.remove(id) {
                temporary.contents.insert(id.clone(), content);
            }
        }
        temporary
    }

    /// The tables and views that this makes, by name or under another one.
    pub fn made(&self) -> impl Iterator<Item = &Arc<Relation>> {
        let known: BTreeSet<&str> = self
            .relations
            .values()
            .filter_map(|change| change.was.as_deref())
            .map(|relation| relation.id.as_str())
            .collect();
        let now = self
            .relations
            .values()
            .filter_map(|change| change.now.as_ref());
        now.filter(move |relation| !known.contains(relation.id.as_str()))
    }

    /// Adds what a transaction did to temporary tables; those that it dropped.
    pub fn absorb(&mut self, other: Self) -> Vec<Arc<Relation>> {
        let mut gone = Vec::new();
        for (key, change) in other.relations {
            gone.extend(self.relations.remove(&key).and_then(|known| known.now));
            if let Some(now) = change.now {
                let made = Renamed {
                    was: None,
                    now: Some(now),
                };
                self.relations.insert(key, made);
            }
        }
        for (id, content) in other.contents {
            self.contents.insert(id, content);
        }
        let live: BTreeSet<&str> = self
            .relations
            .values()
            .filter_map(|change| change.now.as_deref())
            .map(|relation| relation.id.as_str())
            .collect();
        self.contents.retain(|id, _| live.contains(id.as_str()));
        gone.retain(|relation| !live.contains(relation.id.as_str()));
        self.touch();
        gone
    }
}

/// The tables that one statement sees: those that are committed, its session's temporary ones, and what
/// its own transaction changed.
#[derive(Debug, Clone)]
pub struct View {
    pub(super) warehouse: Arc<Warehouse>,
    pub(super) names: Arc<Names>,
    pub(super) temporary: Arc<Staged>,
    pub(super) staged: Arc<Staged>,
    pub(super) in_place: Arc<Lake>,
    pub(super) given: Option<Arc<dyn TableProvider>>,
}

impl View {
    /// The tables' warehouse.
    pub fn warehouse(&self) -> &Arc<Warehouse> {
        &self.warehouse
    }

    /// The sequences of all tables, with the schemas that they are in.
    pub fn sequences(&self) -> Vec<(String, Sequence)> {
        let relations = self.relations().into_iter();
        let of = |relation: &Arc<Relation>| {
            let schema = relation.schema.clone();
            let own = relation.sequences.iter().cloned();
            own.map(|sequence| (schema.clone(), sequence))
                .collect::<Vec<_>>()
        };
        relations.flat_map(|relation| of(&relation)).collect()
    }

    /// A sequence.
    pub fn sequence(&self, schema: &str, name: &str) -> Option<Sequence> {
        let mut known = self.sequences().into_iter();
        let found = known.find(|(of, sequence)| of == schema && sequence.name == name);
        found.map(|(_, sequence)| sequence)
    }

    /// The same with rows that one statement reads besides.
    #[must_use]
    pub fn with_given(&self, rows: Arc<dyn TableProvider>) -> Self {
        Self {
            given: Some(rows),
            ..self.clone()
        }
    }

    /// The rows that the statement reads besides.
    pub fn given(&self) -> Option<&Arc<dyn TableProvider>> {
        self.given.as_ref()
    }

    /// Whether there is a relation of this name, written here or read in place.
    pub fn has(&self, schema: &str, name: &str) -> bool {
        let in_place = || self.in_place.table_names(schema);
        self.relation(schema, name).is_some() || in_place().iter().any(|known| known == name)
    }

    /// The schemas that were made, without those that only hold files read in place.
    pub fn schemas(&self) -> Vec<String> {
        let mut names: BTreeSet<&String> = self.names.schemas.keys().collect();
        for (name, change) in &self.staged.schemas {
            match change.now {
                Some(_) => names.insert(name),
                None => names.remove(name),
            };
        }
        let mut names: Vec<String> = names.into_iter().cloned().collect();
        if self.has_temporary() {
            names.push(TEMPORARY_SCHEMA.to_owned());
        }
        names
    }

    fn has_temporary(&self) -> bool {
        [&self.temporary, &self.staged].iter().any(|staged| {
            let mut known = staged.relations.iter();
            known.any(|((schema, _), change)| schema == TEMPORARY_SCHEMA && change.now.is_some())
        })
    }

    /// A schema that was made.
    pub fn schema(&self, name: &str) -> Option<Arc<Schema>> {
        match self.staged.schemas.get(name) {
            Some(change) => change.now.clone(),
            None => self.names.schemas.get(name).cloned(),
        }
    }

    /// What a name stands for.
    pub fn relation(&self, schema: &str, name: &str) -> Option<Arc<Relation>> {
        let key = (schema.to_owned(), name.to_owned());
        for staged in [&self.staged, &self.temporary] {
            if let Some(change) = staged.relations.get(&key) {
                return change.now.clone();
            }
        }
        self.names.relations.get(&key).cloned()
    }

    /// A relation by what it keeps when it is renamed.
    pub fn relation_by_id(&self, id: &str) -> Option<Arc<Relation>> {
        self.relations()
            .into_iter()
            .find(|relation| relation.id == id)
    }

    /// Every relation, by schema and name.
    pub fn relations(&self) -> Vec<Arc<Relation>> {
        let mut relations: BTreeMap<&(String, String), Arc<Relation>> = self
            .names
            .relations
            .iter()
            .map(|(key, relation)| (key, Arc::clone(relation)))
            .collect();
        for staged in [&self.temporary, &self.staged] {
            for (key, change) in &staged.relations {
                match &change.now {
                    Some(now) => relations.insert(key, Arc::clone(now)),
                    None => relations.remove(key),
                };
            }
        }
        relations.into_values().collect()
    }

    /// Names of the relations of a schema, sorted.
    pub fn relation_names(&self, schema: &str) -> Vec<String> {
        let relations = self.relations().into_iter();
        relations
            .filter(|relation| relation.schema == schema)
            .map(|relation| relation.name.clone())
            .collect()
    }

    /// A number for each part of what is seen; equal if nothing has changed.
    pub fn generation(&self) -> [u64; 3] {
        [
            self.warehouse.generation(),
            self.temporary.serial(),
            self.staged.serial(),
        ]
    }

    /// The content of a table that its transaction changed, or of a temporary one.
    pub fn staged_content(&self, relation: &Relation) -> Option<Arc<Content>> {
        let known = [&self.staged, &self.temporary].into_iter();
        let mut known = known.filter_map(|staged| staged.contents.get(&relation.id));
        known.next().map(|content| Arc::clone(&content.now))
    }

    /// The content of a table as its transaction sees it.
    pub async fn content(&self, relation: &Relation) -> Result<Arc<Content>> {
        match self.staged_content(relation) {
            Some(content) => Ok(content),
            None => self.warehouse.content(relation, false).await,
        }
    }
}
