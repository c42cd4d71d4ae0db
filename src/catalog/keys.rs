//! Keys of tables: declared in the configuration, shown as constraints and indexes.

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::fixed_rows;
use super::functions::quote_identifier;
use super::oid::{self, OidAssigner};
use super::pg_type;
use super::relation_table::{Producer, Scope};
use super::snapshot::{Attribute, Relation, Snapshot};
use crate::config::tables::{ForeignKeyNote, Notes, TableNotes, split_name};
use crate::error::Error;
use crate::sqlstate::nearest;

/// Access method btree, in which PostgreSQL keeps keys.
const BTREE: u32 = 403;
/// Bytes of the longest name.
const NAME_BYTES_MAX: usize = 63;
/// Operator class of text, which character types share.
const TEXT_OPERATORS: u32 = 3126;

/// A primary, unique or foreign key.
#[derive(Clone, Debug)]
pub struct Key {
    /// OID of the constraint.
    pub oid: u32,
    /// `p`, `u` or `f`.
    pub kind: char,
    /// The constraint's name, and its index's.
    pub name: String,
    /// OID of the table.
    pub relation_oid: u32,
    /// OID of the index; 0 for a foreign key.
    pub index_oid: u32,
    /// Numbers of the columns.
    pub columns: Vec<i16>,
    /// Where a foreign key points to.
    pub references: Option<Reference>,
}

/// Where a foreign key points to.
#[derive(Clone, Debug)]
pub struct Reference {
    /// OID of the other table.
    pub relation_oid: u32,
    /// OID of the index of the key there; 0 if no key is declared.
    pub index_oid: u32,
    /// Name of that key.
    pub key_name: Option<String>,
    /// Numbers of the columns there.
    pub columns: Vec<i16>,
}

/// What is wrong in the notes: tables and columns that are not there.
pub fn check(snapshot: &Snapshot, notes: &Notes) -> Vec<Error> {
    let mut errors = Vec::new();
    for (name, note) in notes {
        match find_table(snapshot, name) {
            Ok(relation) => check_table(snapshot, relation, note, &mut errors),
            Err(error) => errors.push(error),
        }
    }
    errors
}

fn check_table(
    snapshot: &Snapshot,
    relation: &Relation,
    note: &TableNotes,
    errors: &mut Vec<Error>,
) {
    let own = note
        .columns
        .keys()
        .chain(&note.primary_key)
        .chain(note.unique.iter().flatten())
        .chain(note.foreign_keys.iter().flat_map(|key| &key.columns));
    errors.extend(own.filter_map(|column| find_column(relation, column).err()));
    for key in &note.foreign_keys {
        match find_table(snapshot, &key.references) {
            Err(error) => errors.push(error),
            Ok(target) => {
                errors.extend(
                    key.to
                        .iter()
                        .filter_map(|column| find_column(target, column).err()),
                );
                if key.to.is_empty() && snapshot.primary_key(target.oid).is_none() {
                    errors.push(
                        Error::invalid_parameter_value(format!(
                            "the foreign key of \"{}\" to \"{}\" does not say which columns it points to",
                            relation.name, target.name
                        ))
                        .with_hint("Give `to`, or declare the primary_key of the other table."),
                    );
                }
            }
        }
    }
}

fn find_table<'a>(snapshot: &'a Snapshot, name: &str) -> std::result::Result<&'a Relation, Error> {
    let (schema, table) = split_name(name);
    if let Some(relation) = snapshot.relation_named(schema, table) {
        return Ok(relation);
    }
    let error = Error::undefined_table(format!(
        "relation \"{name}\" of the section [tables] does not exist"
    ));
    let known: Vec<String> = snapshot
        .user_relations()
        .filter(|relation| relation.kind != 'i')
        .map(|relation| format!("{}.{}", relation.schema, relation.name))
        .collect();
    Err(
        match nearest(
            &format!("{schema}.{table}"),
            known.iter().map(String::as_str),
        ) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            None => error,
        },
    )
}

fn find_column(relation: &Relation, name: &str) -> std::result::Result<i16, Error> {
    if let Some(number) = column_number(relation, name) {
        return Ok(number);
    }
    let error = Error::undefined_column(format!(
        "column \"{name}\" of relation \"{}\" in the section [tables] does not exist",
        relation.name
    ));
    let known = relation.columns.iter().map(|column| column.name.as_str());
    Err(match nearest(name, known) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error,
    })
}

fn column_number(relation: &Relation, name: &str) -> Option<i16> {
    let index = relation
        .columns
        .iter()
        .position(|column| column.name == name)?;
    i16::try_from(index + 1).ok()
}

fn column_numbers(relation: &Relation, names: &[String]) -> Option<Vec<i16>> {
    let numbers: Option<Vec<i16>> = names
        .iter()
        .map(|name| column_number(relation, name))
        .collect();
    numbers.filter(|numbers| !numbers.is_empty())
}

/// Puts comments on a relation and its columns.
pub(crate) fn add_comments(relation: &mut Relation, notes: &Notes) {
    let Some(note) = note_of(notes, relation) else {
        return;
    };
    if note.comment.is_some() {
        relation.comment.clone_from(&note.comment);
    }
    for column in &mut relation.columns {
        if let Some(comment) = note.columns.get(&column.name) {
            column.comment = Some(comment.clone());
        }
        if note.primary_key.contains(&column.name) {
            column.not_null = true;
        }
    }
}

fn note_of<'a>(notes: &'a Notes, relation: &Relation) -> Option<&'a TableNotes> {
    notes
        .iter()
        .find(|(name, _)| split_name(name) == (&relation.schema, &relation.name))
        .map(|(_, note)| note)
}

/// The keys of all relations; those that name unknown tables or columns are left out.
pub(crate) fn keys(relations: &[Relation], notes: &Notes, oids: &mut OidAssigner) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut pending: Vec<(&Relation, &ForeignKeyNote)> = Vec::new();
    for relation in relations {
        let Some(note) = note_of(notes, relation) else {
            continue;
        };
        let primary = (!note.primary_key.is_empty()).then_some((&note.primary_key, 'p'));
        let unique = note.unique.iter().map(|columns| (columns, 'u'));
        for (columns, kind) in primary.into_iter().chain(unique) {
            if let Some(numbers) = column_numbers(relation, columns) {
                keys.push(key(relation, kind, columns, numbers, None, oids));
            }
        }
        pending.extend(note.foreign_keys.iter().map(|key| (relation, key)));
    }
    for (relation, note) in pending {
        if let Some((numbers, reference)) = foreign_key(relations, &keys, relation, note) {
            keys.push(key(
                relation,
                'f',
                &note.columns,
                numbers,
                Some(reference),
                oids,
            ));
        }
    }
    keys
}

fn foreign_key(
    relations: &[Relation],
    keys: &[Key],
    relation: &Relation,
    note: &ForeignKeyNote,
) -> Option<(Vec<i16>, Reference)> {
    let numbers = column_numbers(relation, &note.columns)?;
    let target = relations
        .iter()
        .find(|target| split_name(&note.references) == (&target.schema, &target.name))?;
    let theirs = |key: &&Key| key.relation_oid == target.oid && key.kind != 'f';
    let found = match note.to.is_empty() {
        true => keys.iter().filter(theirs).find(|key| key.kind == 'p'),
        false => {
            let columns = column_numbers(target, &note.to)?;
            keys.iter()
                .filter(theirs)
                .find(|key| key.columns == columns)
        }
    };
    let columns = match found {
        Some(key) => key.columns.clone(),
        None => column_numbers(target, &note.to)?,
    };
    (columns.len() == numbers.len()).then(|| {
        let reference = Reference {
            relation_oid: target.oid,
            index_oid: found.map_or(0, |key| key.index_oid),
            key_name: found.map(|key| key.name.clone()),
            columns,
        };
        (numbers, reference)
    })
}

/// The name of a key that has got none: of kind `p`, `u` or `f`.
pub fn default_name(table: &str, kind: char, columns: &[String]) -> String {
    let suffix = match kind {
        'p' => "pkey".to_owned(),
        'u' => format!("{}_key", columns.join("_")),
        _ => format!("{}_fkey", columns.join("_")),
    };
    let mut name = format!("{table}_{suffix}");
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    name
}

fn key(
    relation: &Relation,
    kind: char,
    columns: &[String],
    numbers: Vec<i16>,
    references: Option<Reference>,
    oids: &mut OidAssigner,
) -> Key {
    let name = default_name(&relation.name, kind, columns);
    let qualified = format!("{}/{}/{name}", relation.schema, relation.name);
    let index_oid = match kind {
        'f' => 0,
        _ => oids.assign("index", &qualified),
    };
    Key {
        oid: oids.assign("constraint", &qualified),
        kind,
        name,
        relation_oid: relation.oid,
        index_oid,
        columns: numbers,
        references,
    }
}

/// The index of a key as a relation.
pub(crate) fn index_relation(key: &Key, table: &Relation) -> Option<Relation> {
    (key.index_oid != 0).then(|| Relation {
        oid: key.index_oid,
        schema_oid: table.schema_oid,
        schema: table.schema.clone(),
        name: key.name.clone(),
        kind: 'i',
        populated: true,
        row_type: 0,
        array_type: 0,
        temporary: false,
        columns: columns_of(table, &key.columns).cloned().collect(),
        rows: table.rows,
        bytes: None,
        definition: None,
        comment: None,
    })
}

fn columns_of<'a>(table: &'a Relation, numbers: &[i16]) -> impl Iterator<Item = &'a Attribute> {
    numbers.iter().filter_map(|number| {
        let index = usize::try_from(*number).ok()?.checked_sub(1)?;
        table.columns.get(index)
    })
}

fn column_names(table: &Relation, numbers: &[i16]) -> Vec<String> {
    columns_of(table, numbers)
        .map(|column| quote_identifier(&column.name))
        .collect()
}

/// The key as CREATE TABLE writes it; `shown` writes the name of the other table.
pub(crate) fn definition(
    snapshot: &Snapshot,
    key: &Key,
    shown: impl Fn(&Relation) -> String,
) -> Option<String> {
    let table = snapshot.relation(key.relation_oid)?;
    let columns = column_names(table, &key.columns).join(", ");
    Some(match (&key.references, key.kind) {
        (Some(reference), _) => {
            let target = snapshot.relation(reference.relation_oid)?;
            let theirs = column_names(target, &reference.columns).join(", ");
            format!(
                "FOREIGN KEY ({columns}) REFERENCES {}({theirs})",
                shown(target)
            )
        }
        (None, 'p') => format!("PRIMARY KEY ({columns})"),
        (None, _) => format!("UNIQUE ({columns})"),
    })
}

/// The statement that would make a key's index.
pub(crate) fn index_definition(snapshot: &Snapshot, key: &Key) -> Option<String> {
    let table = snapshot.relation(key.relation_oid)?;
    Some(format!(
        "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
        quote_identifier(&key.name),
        quote_identifier(&table.schema),
        quote_identifier(&table.name),
        column_names(table, &key.columns).join(", ")
    ))
}

/// One column of an index, from 1.
pub(crate) fn index_column(snapshot: &Snapshot, key: &Key, place: usize) -> Option<String> {
    let table = snapshot.relation(key.relation_oid)?;
    let names = column_names(table, &key.columns);
    names.into_iter().nth(place.checked_sub(1)?)
}

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "pg_constraint" => pg_constraint,
        "pg_index" => pg_index,
        "pg_indexes" => pg_indexes,
        "pg_stat_all_indexes" | "pg_stat_user_indexes" => pg_stat_indexes,
        "pg_statio_all_indexes" | "pg_statio_user_indexes" => pg_statio_indexes,
        _ => return None,
    })
}

fn pg_constraint(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for key in scope.snapshot.keys() {
        let Some(table) = scope.snapshot.relation(key.relation_oid) else {
            continue;
        };
        let reference = key.references.as_ref();
        let action = if reference.is_some() { 'a' } else { ' ' };
        row!(
            rows,
            oid: key.oid,
            conname: &key.name,
            connamespace: table.schema_oid,
            contype: key.kind,
            convalidated: true,
            conrelid: key.relation_oid,
            conindid: reference.map_or(key.index_oid, |reference| reference.index_oid),
            confrelid: reference.map_or(0, |reference| reference.relation_oid),
            confupdtype: action,
            confdeltype: action,
            confmatchtype: if reference.is_some() { 's' } else { ' ' },
            conislocal: true,
            connoinherit: true,
            conkey: key.columns.clone(),
            confkey: reference.map(|reference| reference.columns.clone()),
        )?;
    }
    Ok(())
}

fn pg_index(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (key, table) in indexes(scope) {
        let count = i16::try_from(key.columns.len()).unwrap_or(i16::MAX);
        let collations = columns_of(table, &key.columns)
            .map(|column| pg_type::by_oid(column.type_oid).map_or(0, |known| known.collation));
        let classes = columns_of(table, &key.columns).map(|column| operator_class(column.type_oid));
        row!(
            rows,
            indexrelid: key.index_oid,
            indrelid: key.relation_oid,
            indnatts: count,
            indnkeyatts: count,
            indisunique: true,
            indisprimary: key.kind == 'p',
            indimmediate: true,
            indisvalid: true,
            indisready: true,
            indislive: true,
            indkey: key.columns.clone(),
            indcollation: collations.collect::<Vec<u32>>(),
            indclass: classes.collect::<Vec<u32>>(),
            indoption: vec![0_i16; key.columns.len()],
        )?;
    }
    Ok(())
}

fn indexes<'a>(scope: &'a Scope<'_>) -> impl Iterator<Item = (&'a Key, &'a Relation)> {
    scope
        .snapshot
        .keys()
        .iter()
        .filter(|key| key.index_oid != 0)
        .filter_map(|key| Some((key, scope.snapshot.relation(key.relation_oid)?)))
}

/// The default btree operator class of a type.
fn operator_class(type_oid: u32) -> u32 {
    let (btree, wanted) = (BTREE.to_string(), type_oid.to_string());
    let mut classes = fixed_rows::cells("pg_opclass");
    let found = classes.find(|class| {
        class.get("opcmethod") == Some(&btree.as_str())
            && class.get("opcdefault") == Some(&"t")
            && class.get("opcintype") == Some(&wanted.as_str())
    });
    found
        .and_then(|class| class.get("oid")?.parse().ok())
        .unwrap_or(TEXT_OPERATORS)
}

fn pg_indexes(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (key, table) in indexes(scope) {
        row!(
            rows,
            schemaname: &table.schema,
            tablename: &table.name,
            indexname: &key.name,
            tablespace: Cell::Null,
            indexdef: index_definition(scope.snapshot, key),
        )?;
    }
    Ok(())
}

fn pg_stat_indexes(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (key, table) in indexes(scope) {
        row!(
            rows,
            relid: table.oid,
            indexrelid: key.index_oid,
            schemaname: &table.schema,
            relname: &table.name,
            indexrelname: &key.name,
            idx_scan: 0_i64,
            idx_tup_read: 0_i64,
            idx_tup_fetch: 0_i64,
        )?;
    }
    Ok(())
}

fn pg_statio_indexes(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (key, table) in indexes(scope) {
        row!(
            rows,
            relid: table.oid,
            indexrelid: key.index_oid,
            schemaname: &table.schema,
            relname: &table.name,
            indexrelname: &key.name,
            idx_blks_read: 0_i64,
            idx_blks_hit: 0_i64,
        )?;
    }
    Ok(())
}

/// Whether a relation is one of users' and not of the system.
pub(crate) fn is_users(relation: &Relation) -> bool {
    relation.oid >= oid::FIRST_USER
}
