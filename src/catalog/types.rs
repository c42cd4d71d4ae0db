//! Types, collations and encodings.

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::oid;
use super::pg_type;
use super::relation_table::{Producer, Scope};
use super::snapshot::Relation;

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "pg_collation" => pg_collation,
        "pg_type" => pg_type_rows,
        _ => return None,
    })
}

/// Input, output, receive and send of rows.
const ROW_FUNCTIONS: [u32; 4] = [2290, 2291, 2402, 2403];
/// Input, output, receive and send of arrays.
const ARRAY_FUNCTIONS: [u32; 4] = [750, 751, 2400, 2401];
/// Function `array_typanalyze`.
const ARRAY_ANALYZE: u32 = 3816;
/// Function `array_subscript_handler`.
const ARRAY_SUBSCRIPT: u32 = 6179;

fn pg_type_rows(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for pg_type in pg_type::all() {
        let [input, output, receive, send, modin, modout] = pg_type.functions;
        row!(
            rows,
            oid: pg_type.oid,
            typname: pg_type.name,
            typnamespace: oid::PG_CATALOG,
            typowner: oid::OWNER,
            typlen: pg_type.len,
            typbyval: pg_type.by_value,
            typtype: pg_type.kind,
            typcategory: pg_type.category,
            typispreferred: pg_type.preferred,
            typisdefined: true,
            typdelim: pg_type.delimiter,
            typsubscript: pg_type.subscript,
            typelem: pg_type.element,
            typarray: pg_type.array,
            typinput: input,
            typoutput: output,
            typreceive: receive,
            typsend: send,
            typmodin: modin,
            typmodout: modout,
            typanalyze: if pg_type.name.starts_with('_') { ARRAY_ANALYZE } else { 0 },
            typalign: pg_type.align,
            typstorage: pg_type.storage,
            typtypmod: -1,
            typcollation: pg_type.collation,
        )?;
    }
    for relation in scope.snapshot.relations() {
        if relation.row_type != 0 {
            types_of_rows(relation, rows)?;
        }
    }
    Ok(())
}

fn types_of_rows(relation: &Relation, rows: &mut Rows) -> Result<()> {
    let array_name = format!("_{}", relation.name);
    let both = [
        (relation.row_type, relation.name.as_str(), ROW_FUNCTIONS),
        (relation.array_type, array_name.as_str(), ARRAY_FUNCTIONS),
    ];
    for (type_oid, name, [input, output, receive, send]) in both {
        let is_array = type_oid == relation.array_type;
        row!(
            rows,
            oid: type_oid,
            typname: name,
            typnamespace: relation.schema_oid,
            typowner: oid::OWNER,
            typlen: -1,
            typtype: if is_array { 'b' } else { 'c' },
            typcategory: if is_array { 'A' } else { 'C' },
            typisdefined: true,
            typdelim: ',',
            typrelid: if is_array { 0 } else { relation.oid },
            typsubscript: if is_array { ARRAY_SUBSCRIPT } else { 0 },
            typelem: if is_array { relation.row_type } else { 0 },
            typarray: if is_array { 0 } else { relation.array_type },
            typinput: input,
            typoutput: output,
            typreceive: receive,
            typsend: send,
            typanalyze: if is_array { ARRAY_ANALYZE } else { 0 },
            typalign: 'd',
            typstorage: 'x',
            typtypmod: -1,
        )?;
    }
    Ok(())
}

fn pg_collation(_: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let collations = [
        (100_u32, "default", 'd', None),
        (950, "C", 'c', Some("C")),
        (951, "POSIX", 'c', Some("POSIX")),
    ];
    for (oid, name, provider, locale) in collations {
        row!(
            rows,
            oid: oid,
            collname: name,
            collnamespace: oid::PG_CATALOG,
            collowner: oid::OWNER,
            collprovider: provider,
            collisdeterministic: true,
            collencoding: -1,
            collcollate: locale,
            collctype: locale,
            colliculocale: Cell::Null,
        )?;
    }
    Ok(())
}
