//! The session and the server.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, argument_text, strict};
use crate::catalog::cells::Cell;
use crate::catalog::roles::UTF8;

type Evaluate = fn(&Call<'_>, &[Cell]) -> Result<Cell>;

const USER: Evaluate = |call, _| Ok((&call.session.user).into());
const DATABASE: Evaluate = |call, _| Ok((&call.session.database).into());
const NOTHING: Evaluate = |_, _| Ok(Cell::Null);

pub(super) const SPECS: &[Spec] = &[
    strict("current_catalog", (0, 0), Returns::Name, DATABASE),
    strict("current_database", (0, 0), Returns::Name, DATABASE),
    strict("current_role", (0, 0), Returns::Name, USER),
    strict("current_schema", (0, 0), Returns::Name, current_schema),
    strict("current_schemas", (1, 1), Returns::Names, current_schemas),
    strict("current_user", (0, 0), Returns::Name, USER),
    strict("session_user", (0, 0), Returns::Name, |call, _| {
        Ok((&call.session.session_user).into())
    }),
    strict("user", (0, 0), Returns::Name, USER),
    strict("getdatabaseencoding", (0, 0), Returns::Name, |_, _| {
        Ok("UTF8".into())
    }),
    strict("inet_client_addr", (0, 0), Returns::Text, |call, _| {
        Ok(call
            .session
            .client
            .map(|address| address.ip().to_string())
            .into())
    }),
    strict("inet_client_port", (0, 0), Returns::Int, |call, _| {
        Ok(call
            .session
            .client
            .map(|address| i32::from(address.port()))
            .into())
    }),
    strict("inet_server_addr", (0, 0), Returns::Text, |call, _| {
        Ok(call
            .session
            .server
            .map(|address| address.ip().to_string())
            .into())
    }),
    strict("inet_server_port", (0, 0), Returns::Int, |call, _| {
        Ok(call
            .session
            .server
            .map(|address| i32::from(address.port()))
            .into())
    }),
    strict("pg_backend_pid", (0, 0), Returns::Int, |call, _| {
        Ok(call.session.pid.into())
    }),
    strict("pg_char_to_encoding", (1, 1), Returns::Int, |_, args| {
        let name = argument_text(args, 0)
            .to_lowercase()
            .replace(['-', '_'], "");
        Ok(if matches!(name.as_str(), "utf8" | "unicode") {
            UTF8
        } else {
            -1
        }
        .into())
    }),
    strict("pg_client_encoding", (0, 0), Returns::Name, |_, _| {
        Ok("UTF8".into())
    }),
    strict("pg_conf_load_time", (0, 0), Returns::Instant, started_at),
    strict("pg_encoding_to_char", (1, 1), Returns::Name, |_, args| {
        let is_utf8 = argument(args, 0).to_int() == Some(i64::from(UTF8));
        Ok(if is_utf8 { "UTF8" } else { "" }.into())
    }),
    strict("pg_is_in_recovery", (0, 0), Returns::Bool, |_, _| {
        Ok(false.into())
    }),
    strict("pg_is_other_temp_schema", (1, 1), Returns::Bool, |_, _| {
        Ok(false.into())
    }),
    strict("pg_my_temp_schema", (0, 0), Returns::Oid, |_, _| {
        Ok(Cell::Int(0))
    }),
    strict(
        "pg_postmaster_start_time",
        (0, 0),
        Returns::Instant,
        started_at,
    ),
    strict("pg_tablespace_location", (1, 1), Returns::Text, |_, _| {
        Ok("".into())
    }),
    strict(
        "pg_current_xact_id_if_assigned",
        (0, 0),
        Returns::BigInt,
        NOTHING,
    ),
    strict("txid_current_if_assigned", (0, 0), Returns::BigInt, NOTHING),
    strict("txid_current", (0, 0), Returns::BigInt, |_, _| {
        Ok(FIRST_TRANSACTION.into())
    }),
    strict("pg_current_xact_id", (0, 0), Returns::BigInt, |_, _| {
        Ok(FIRST_TRANSACTION.into())
    }),
    strict("version", (0, 0), Returns::Text, version),
];

/// Statements here have no transaction numbers; all are said to run in PostgreSQL's first one.
const FIRST_TRANSACTION: i64 = 3;

/// The first schema of the search path that exists, as PostgreSQL defines it.
fn current_schema(call: &Call<'_>, _: &[Cell]) -> Result<Cell> {
    let mut schemas = schemas_existing(call, false);
    Ok((!schemas.is_empty()).then(|| schemas.swap_remove(0)).into())
}

fn current_schemas(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    Ok(schemas_existing(call, *argument(args, 0) == Cell::Bool(true)).into())
}

fn schemas_existing(call: &Call<'_>, with_implicit: bool) -> Vec<String> {
    let explicit = call
        .session
        .search_path
        .iter()
        .any(|schema| schema == "pg_catalog");
    let searched = call.session.schemas_searched();
    searched
        .filter(|schema| *schema != "pg_catalog" || with_implicit || explicit)
        .filter(|schema| call.snapshot.namespace_named(schema).is_some())
        .map(str::to_owned)
        .collect()
}

fn started_at(call: &Call<'_>, _: &[Cell]) -> Result<Cell> {
    Ok(Cell::Timestamp(call.catalog.facts().started_at_us()))
}

fn version(call: &Call<'_>, _: &[Cell]) -> Result<Cell> {
    let version = call.catalog.facts().version();
    let own = env!("CARGO_PKG_VERSION");
    Ok(format!("PostgreSQL {version} (Loyalhouse {own})").into())
}
