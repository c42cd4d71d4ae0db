//! Types, collations and encodings.

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::oid;
use super::pg_type;
use super::relation_table::{Producer, Scope};

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "pg_collation" => pg_collation,
        "pg_type" => pg_type_rows,
        _ => return None,
    })
}

fn pg_type_rows(_: &Scope<'_>, rows: &mut Rows) -> Result<()> {
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
            typalign: pg_type.align,
            typstorage: pg_type.storage,
            typtypmod: -1,
            typcollation: pg_type.collation,
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
