//! Schemas, relations, columns and what is said about them.

use std::sync::LazyLock;

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::facts::Securable;
use super::oid;
use super::pg_type;
use super::relation_table::{Producer, Scope};
use super::snapshot::Relation;

/// Bytes of a page, in which PostgreSQL counts `relpages`.
const PAGE_BYTES: usize = 8192;
/// Access method heap.
const HEAP: u32 = 2;
/// Access method btree.
pub(crate) const BTREE: u32 = 403;
/// OID of relation pg_class, the class of relations in comments.
pub(crate) const PG_CLASS: u32 = 1259;
/// OID of relation pg_proc, the class of functions in comments.
pub(crate) const PG_PROC: u32 = 1255;

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "pg_attrdef" => pg_attrdef,
        "pg_attribute" => pg_attribute,
        "pg_class" => pg_class,
        "pg_description" => pg_description,
        "pg_namespace" => pg_namespace,
        "pg_stat_all_tables" => pg_stat_all_tables,
        "pg_stat_user_tables" => pg_stat_user_tables,
        "pg_statio_user_tables" => pg_statio_user_tables,
        "pg_tables" => pg_tables,
        "pg_matviews" => pg_matviews,
        "pg_views" => pg_views,
        _ => return None,
    })
}

/// PostgreSQL's estimate of rows: -1 where nothing is known.
fn reltuples(relation: &Relation) -> f64 {
    match relation.kind {
        'v' => 0.0,
        _ if relation.oid < oid::FIRST_USER => 0.0,
        _ => relation.rows.map_or(-1.0, |rows| rows as f64),
    }
}

fn pg_namespace(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for namespace in scope.snapshot.namespaces() {
        row!(
            rows,
            oid: namespace.oid,
            nspname: &namespace.name,
            nspowner: oid::OWNER,
            nspacl: scope.facts.acl(Securable::Schema(&namespace.name)),
        )?;
    }
    Ok(())
}

fn pg_class(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for relation in scope.snapshot.relations() {
        let (is_view, is_index) = (relation.kind == 'v', relation.kind == 'i');
        let object = Securable::Table {
            schema: &relation.schema,
            name: &relation.name,
        };
        let counted = may_count(scope, relation);
        let keys = scope.snapshot.keys();
        let indexed = keys
            .iter()
            .any(|key| key.relation_oid == relation.oid && key.kind != 'f');
        let pages = relation
            .bytes
            .filter(|_| counted)
            .map_or(0, |bytes| bytes.div_ceil(PAGE_BYTES));
        row!(
            rows,
            oid: relation.oid,
            relname: &relation.name,
            relnamespace: relation.schema_oid,
            reltype: relation.row_type,
            relowner: oid::OWNER,
            relam: match relation.kind {
                'v' => 0,
                'i' => BTREE,
                _ => HEAP,
            },
            relpages: i32::try_from(pages).unwrap_or(i32::MAX),
            reltuples: if counted { reltuples(relation) } else { -1.0 },
            relacl: scope.facts.acl(object),
            relpersistence: if relation.temporary { 't' } else { 'p' },
            relkind: relation.kind,
            relhasindex: indexed,
            relnatts: i16::try_from(relation.columns.len()).unwrap_or(i16::MAX),
            relhasrules: is_view || relation.kind == 'm',
            relispopulated: relation.populated,
            relreplident: if is_view || is_index || relation.oid < oid::FIRST_USER { 'n' } else { 'd' },
        )?;
    }
    Ok(())
}

fn pg_attribute(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for relation in scope.snapshot.relations() {
        for (index, column) in relation.columns.iter().enumerate() {
            let Some(pg_type) = pg_type::by_oid(column.type_oid) else {
                continue;
            };
            row!(
                rows,
                attrelid: relation.oid,
                attname: &column.name,
                atttypid: column.type_oid,
                attstattarget: -1,
                attlen: pg_type.len,
                attnum: i16::try_from(index + 1).unwrap_or(i16::MAX),
                attndims: i32::from(pg_type.category == 'A'),
                attcacheoff: -1,
                atttypmod: column.typmod,
                attbyval: pg_type.by_value,
                attalign: pg_type.align,
                attstorage: pg_type.storage,
                attnotnull: column.not_null && relation.kind != 'i',
                atthasdef: column.default.is_some() && column.identity.is_none(),
                attidentity: column.identity.map_or(String::new(), String::from),
                attislocal: true,
                attcollation: pg_type.collation,
            )?;
        }
    }
    Ok(())
}

/// Between the OIDs of tables and those of the defaults of their columns.
const DEFAULT_OIDS: u32 = 0x2000_0000;

fn pg_attrdef(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for relation in scope.snapshot.user_relations() {
        for (index, column) in relation.columns.iter().enumerate() {
            let Some(default) = column
                .default
                .as_ref()
                .filter(|_| column.identity.is_none())
            else {
                continue;
            };
            let number = i16::try_from(index + 1).unwrap_or(i16::MAX);
            row!(
                rows,
                oid: (relation.oid ^ DEFAULT_OIDS).wrapping_add(u32::from(number.unsigned_abs())),
                adrelid: relation.oid,
                adnum: number,
                adbin: default,
            )?;
        }
    }
    Ok(())
}

/// Comments on PostgreSQL's own objects: class, OID and text.
static COMMENTS: LazyLock<Vec<(u32, u32, &'static str)>> = LazyLock::new(|| {
    let lines = include_str!("postgres15/comments.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (class, rest) = line.split_once(' ')?;
            let (oid, text) = rest.split_once(' ')?;
            Some((class.parse().ok()?, oid.parse().ok()?, text))
        })
        .collect()
});

/// The comment on one of PostgreSQL's own objects other than functions; of any class if none is given.
pub(crate) fn comment(class: Option<u32>, object: u32) -> Option<&'static str> {
    let mut comments = COMMENTS.iter();
    comments
        .find(|(of, oid, _)| *oid == object && class.is_none_or(|class| class == *of))
        .map(|(_, _, text)| *text)
}

fn pg_description(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (class, oid, text) in COMMENTS.iter() {
        row!(rows, objoid: *oid, classoid: *class, objsubid: 0, description: *text)?;
    }
    for relation in scope.snapshot.user_relations() {
        let columns = relation
            .columns
            .iter()
            .map(|column| column.comment.as_ref());
        let comments = std::iter::once(relation.comment.as_ref()).chain(columns);
        for (number, comment) in comments.enumerate() {
            let Some(comment) = comment else { continue };
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            row!(
                rows,
                objoid: relation.oid,
                classoid: PG_CLASS,
                objsubid: number,
                description: comment,
            )?;
        }
    }
    for function in super::procs::built_ins_shown(scope.callable) {
        if let Some(Some(description)) = scope.callable.get(function.name) {
            row!(
                rows,
                objoid: function.oid,
                classoid: PG_PROC,
                objsubid: 0,
                description: description,
            )?;
        }
    }
    for function in scope.functions {
        if let Some(description) = &function.description {
            row!(
                rows,
                objoid: function.oid,
                classoid: PG_PROC,
                objsubid: 0,
                description: description,
            )?;
        }
    }
    Ok(())
}

fn pg_tables(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let owner = scope.facts.owner();
    for relation in scope
        .snapshot
        .relations()
        .iter()
        .filter(|relation| relation.kind == 'r')
    {
        row!(
            rows,
            schemaname: &relation.schema,
            tablename: &relation.name,
            tableowner: &owner,
            hasindexes: scope.snapshot.keys().iter().any(|key| {
                key.relation_oid == relation.oid && key.index_oid != 0
            }),
            hasrules: false,
            hastriggers: false,
            rowsecurity: false,
        )?;
    }
    Ok(())
}

fn pg_views(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let owner = scope.facts.owner();
    for relation in scope
        .snapshot
        .relations()
        .iter()
        .filter(|relation| relation.kind == 'v')
    {
        row!(
            rows,
            schemaname: &relation.schema,
            viewname: &relation.name,
            viewowner: &owner,
            definition: relation.definition.as_ref(),
        )?;
    }
    Ok(())
}

fn pg_matviews(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let owner = scope.facts.owner();
    let relations = scope.snapshot.relations().iter();
    for relation in relations.filter(|relation| relation.kind == 'm') {
        row!(
            rows,
            schemaname: &relation.schema,
            matviewname: &relation.name,
            matviewowner: &owner,
            hasindexes: false,
            ispopulated: relation.populated,
            definition: relation.definition.as_ref(),
        )?;
    }
    Ok(())
}

fn pg_stat_all_tables(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    table_statistics(scope, scope.snapshot.relations().iter(), rows)
}

fn pg_stat_user_tables(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    table_statistics(scope, scope.snapshot.user_relations(), rows)
}

/// How many rows a table has is for those who may read it.
fn may_count(scope: &Scope<'_>, relation: &Relation) -> bool {
    let object = Securable::Table {
        schema: &relation.schema,
        name: &relation.name,
    };
    scope
        .facts
        .may(&scope.session.user, "SELECT", false, object)
}

fn table_statistics<'a>(
    scope: &Scope<'_>,
    relations: impl Iterator<Item = &'a Relation>,
    rows: &mut Rows,
) -> Result<()> {
    for relation in relations.filter(|relation| matches!(relation.kind, 'r' | 'm')) {
        let live = relation
            .rows
            .filter(|_| may_count(scope, relation))
            .map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
        row!(
            rows,
            relid: relation.oid,
            schemaname: &relation.schema,
            relname: &relation.name,
            seq_scan: 0_i64,
            seq_tup_read: 0_i64,
            n_tup_ins: 0_i64,
            n_tup_upd: 0_i64,
            n_tup_del: 0_i64,
            n_live_tup: live,
            n_dead_tup: 0_i64,
        )?;
    }
    Ok(())
}

fn pg_statio_user_tables(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for relation in scope
        .snapshot
        .user_relations()
        .filter(|relation| relation.kind == 'r')
    {
        row!(
            rows,
            relid: relation.oid,
            schemaname: &relation.schema,
            relname: &relation.name,
            heap_blks_read: Cell::Null,
        )?;
    }
    Ok(())
}
