//! What exists at one moment: schemas, relations and their columns, found by name or OID.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::logical_expr::TableType;
use futures::{StreamExt, stream};

use super::database::materialized;
use super::defaults;
use super::keys::{self, Key};
use super::oid::{self, OidAssigner};
use super::pg_type::{self, NO_TYPMOD};
use super::{INFORMATION_SCHEMA, PG_CATALOG, SessionFacts, layout};
use crate::config::tables::Notes;
use crate::warehouse::IDENTITY_METADATA;

/// Tables whose schema is read at the same time.
const LOADS_AT_ONCE: usize = 16;

/// Key of the schema or field metadata that holds the comment on a relation or column.
pub const COMMENT_METADATA: &str = "comment";

/// Key of the schema metadata of what shows a sequence.
pub(super) const SEQUENCE_METADATA: &str = "loyalhouse.is_sequence";

/// A schema.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// The schema's OID.
    pub oid: u32,
    /// The schema's name.
    pub name: String,
}

/// A table or view.
#[derive(Clone, Debug)]
pub struct Relation {
    /// The relation's OID.
    pub oid: u32,
    /// OID of its schema.
    pub schema_oid: u32,
    /// Name of its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `r` for tables, `v` for views, `m` for materialized views, `i` for the index of a declared key.
    pub kind: char,
    /// Whether it can be read; a materialized view that was never refreshed cannot.
    pub populated: bool,
    /// OID of the type of its rows; 0 for an index.
    pub row_type: u32,
    /// OID of the type of arrays of its rows; 0 for an index.
    pub array_type: u32,
    /// Whether it goes with the session.
    pub temporary: bool,
    /// Its columns; none if the table cannot be read now.
    pub columns: Vec<Attribute>,
    /// Number of rows, where known without reading.
    pub rows: Option<usize>,
    /// Size in bytes, where known without reading.
    pub bytes: Option<usize>,
    /// The statement behind a view.
    pub definition: Option<String>,
    /// The comment on it.
    pub comment: Option<String>,
}

impl Relation {
    /// The name by which it and its types get their OIDs.
    fn key(&self) -> String {
        oid::relation_key(&self.schema, &self.name)
    }
}

/// A column.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// The column's name.
    pub name: String,
    /// OID of its type.
    pub type_oid: u32,
    /// The type's modifier, -1 if none.
    pub typmod: i32,
    /// Whether it never holds NULL.
    pub not_null: bool,
    /// The comment on it.
    pub comment: Option<String>,
    /// Its DEFAULT.
    pub default: Option<String>,
    /// How it is GENERATED AS IDENTITY: `a` always, `d` by default.
    pub identity: Option<char>,
}

impl Attribute {
    /// The sequence that its DEFAULT takes numbers from, with its schema.
    pub fn sequence(&self) -> Option<&str> {
        self.default
            .as_deref()?
            .strip_prefix("nextval('")?
            .strip_suffix("'::regclass)")
    }
}

/// Schemas and relations at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    namespaces: Vec<Namespace>,
    relations: Vec<Relation>,
    keys: Vec<Key>,
    by_oid: HashMap<u32, usize>,
    by_type: HashMap<u32, usize>,
    by_name: HashMap<String, HashMap<String, usize>>,
}

static SYSTEM_RELATIONS: LazyLock<Vec<Relation>> = LazyLock::new(|| {
    let schemas = [
        (PG_CATALOG, oid::PG_CATALOG),
        (INFORMATION_SCHEMA, oid::INFORMATION_SCHEMA),
    ];
    schemas
        .into_iter()
        .flat_map(|(name, oid)| system_relations(name, oid))
        .collect()
});

impl Snapshot {
    /// The system schemas alone.
    pub fn empty() -> Self {
        Self::build(Vec::new(), Vec::new(), &Notes::default())
    }

    /// Reads every schema and table of `catalog`. A table that cannot be read has no columns.
    pub async fn load(catalog: &dyn CatalogProvider, notes: &Notes) -> Self {
        let mut schemas = catalog.schema_names();
        schemas.retain(|name| name != PG_CATALOG && name != INFORMATION_SCHEMA);
        schemas.sort_unstable();
        let mut relations = Vec::new();
        for name in &schemas {
            let Some(schema) = catalog.schema(name) else {
                continue;
            };
            let mut tables = schema.table_names();
            tables.sort_unstable();
            let loads = tables
                .into_iter()
                .map(|table| load(Arc::clone(&schema), name, table));
            let loaded: Vec<Relation> = stream::iter(loads).buffered(LOADS_AT_ONCE).collect().await;
            relations.extend(loaded);
        }
        Self::build(schemas, relations, notes)
    }

    /// All declared keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key of a constraint's OID.
    pub fn key(&self, oid: u32) -> Option<&Key> {
        self.keys.iter().find(|key| key.oid == oid)
    }

    /// The key that an index belongs to.
    pub fn key_of_index(&self, oid: u32) -> Option<&Key> {
        self.keys
            .iter()
            .find(|key| key.index_oid == oid && oid != 0)
    }

    /// The primary key of a table.
    pub fn primary_key(&self, relation_oid: u32) -> Option<&Key> {
        self.keys
            .iter()
            .find(|key| key.relation_oid == relation_oid && key.kind == 'p')
    }

    /// All schemas, the system's first.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// All relations, the system's first.
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// The relations that are not the system's.
    pub fn user_relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations
            .iter()
            .filter(|relation| relation.oid >= oid::FIRST_USER)
    }

    /// The relation of an OID.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.by_oid
            .get(&oid)
            .and_then(|index| self.relations.get(*index))
    }

    /// The relation whose rows, or arrays of them, have a type.
    pub fn relation_of_type(&self, oid: u32) -> Option<&Relation> {
        self.by_type
            .get(&oid)
            .and_then(|index| self.relations.get(*index))
    }

    /// The relation `schema.name`.
    pub fn relation_named(&self, schema: &str, name: &str) -> Option<&Relation> {
        let index = self.by_name.get(schema)?.get(name)?;
        self.relations.get(*index)
    }

    /// The relation that an unqualified name means in a session.
    pub fn relation_visible(&self, name: &str, session: &SessionFacts) -> Option<&Relation> {
        session
            .schemas_searched()
            .find_map(|schema| self.relation_named(schema, name))
    }

    /// The schema of a name.
    pub fn namespace_named(&self, name: &str) -> Option<&Namespace> {
        self.namespaces
            .iter()
            .find(|namespace| namespace.name == name)
    }

    /// The schema of an OID.
    pub fn namespace(&self, oid: u32) -> Option<&Namespace> {
        self.namespaces
            .iter()
            .find(|namespace| namespace.oid == oid)
    }

    fn build(schemas: Vec<String>, mut relations: Vec<Relation>, notes: &Notes) -> Self {
        let mut oids = OidAssigner::default();
        let fixed = [
            (oid::PG_CATALOG, PG_CATALOG),
            (oid::PUBLIC, "public"),
            (oid::INFORMATION_SCHEMA, INFORMATION_SCHEMA),
        ];
        let mut namespaces: Vec<Namespace> = fixed
            .map(|(oid, name)| Namespace {
                oid,
                name: name.to_owned(),
            })
            .into();
        for name in schemas.into_iter().filter(|name| name != "public") {
            namespaces.push(Namespace {
                oid: oids.assign("schema", &name),
                name,
            });
        }
        let mut snapshot = Self {
            namespaces,
            ..Self::default()
        };
        snapshot.relations.clone_from(&SYSTEM_RELATIONS);
        for relation in &mut relations {
            relation.oid = oids.assign("relation", &relation.key());
            let namespace = snapshot.namespace_named(&relation.schema);
            relation.schema_oid = namespace.map_or(0, |namespace| namespace.oid);
            keys::add_comments(relation, notes);
        }
        snapshot.keys = keys::keys(&relations, notes, &mut oids);
        let indexes = snapshot.keys.iter().filter_map(|key| {
            let table = relations
                .iter()
                .find(|relation| relation.oid == key.relation_oid)?;
            keys::index_relation(key, table)
        });
        let indexes: Vec<Relation> = indexes.collect();
        for relation in &mut relations {
            relation.row_type = oids.assign("type", &relation.key());
            relation.array_type = oids.assign("array type", &relation.key());
        }
        snapshot.relations.extend(relations);
        snapshot.relations.extend(indexes);
        for (index, relation) in snapshot.relations.iter().enumerate() {
            snapshot.by_oid.insert(relation.oid, index);
            for of_rows in [relation.row_type, relation.array_type] {
                if of_rows != 0 {
                    snapshot.by_type.insert(of_rows, index);
                }
            }
            let schema = snapshot.by_name.entry(relation.schema.clone()).or_default();
            // A table keeps its name against the index of a key.
            schema.entry(relation.name.clone()).or_insert(index);
        }
        snapshot
    }
}

async fn load(schema: Arc<dyn SchemaProvider>, schema_name: &str, name: String) -> Relation {
    let mut relation = Relation {
        oid: 0,
        schema_oid: 0,
        schema: schema_name.to_owned(),
        name,
        kind: 'r',
        populated: true,
        row_type: 0,
        array_type: 0,
        temporary: false,
        columns: Vec::new(),
        rows: None,
        bytes: None,
        definition: None,
        comment: None,
    };
    match schema.table(&relation.name).await {
        Ok(Some(table)) => describe(&mut relation, table.as_ref()),
        Ok(None) => {}
        Err(error) => {
            tracing::debug!(schema = schema_name, table = relation.name, %error, "table not read");
        }
    }
    if let Some((definition, populated)) = materialized(schema.as_ref(), &relation.name) {
        (relation.kind, relation.populated) = ('m', populated);
        relation.definition = definition;
    }
    relation
}

fn describe(relation: &mut Relation, table: &dyn TableProvider) {
    let schema = table.schema();
    relation.kind = match table.table_type() {
        TableType::View => 'v',
        _ if schema.metadata().contains_key(SEQUENCE_METADATA) => 'S',
        _ => 'r',
    };
    relation.temporary = table.table_type() == TableType::Temporary;
    relation.comment = schema.metadata().get(COMMENT_METADATA).cloned();
    relation.definition = table.get_table_definition().map(str::to_owned);
    relation.columns = schema
        .fields()
        .iter()
        .map(|field| {
            let (type_oid, typmod) = pg_type::pg_type_of_field(field);
            let comment = field.metadata().get(COMMENT_METADATA).cloned();
            let name = field.name().clone();
            Attribute {
                name,
                type_oid,
                typmod,
                not_null: !field.is_nullable(),
                comment,
                default: defaults::shown(field),
                identity: field
                    .metadata()
                    .get(IDENTITY_METADATA)
                    .and_then(|kind| kind.chars().next()),
            }
        })
        .collect();
    if let Some(statistics) = table.statistics() {
        relation.rows = known(&statistics.num_rows);
        relation.bytes = known(&statistics.total_byte_size);
    }
}

fn known(value: &Precision<usize>) -> Option<usize> {
    match value {
        Precision::Exact(value) | Precision::Inexact(value) => Some(*value),
        Precision::Absent => None,
    }
}

fn system_relations(schema: &'static str, schema_oid: u32) -> impl Iterator<Item = Relation> {
    layout::layouts(schema).map(move |layout| Relation {
        oid: layout.oid,
        schema_oid,
        schema: schema.to_owned(),
        name: layout.name.to_owned(),
        kind: layout.kind,
        populated: true,
        row_type: layout.row_type,
        array_type: layout.array_type,
        temporary: false,
        columns: layout
            .columns
            .iter()
            .map(|column| Attribute {
                name: column.name.to_owned(),
                type_oid: column.type_oid,
                typmod: NO_TYPMOD,
                not_null: column.not_null,
                comment: None,
                default: None,
                identity: None,
            })
            .collect(),
        rows: None,
        bytes: None,
        definition: None,
        comment: None,
    })
}
