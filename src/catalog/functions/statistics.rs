//! The numbers that PostgreSQL's statistics collector keeps: live rows come from the files' footers, and
//! what is never done here (writes, vacuum, index scans) counts zero.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, names, strict};
use crate::catalog::cells::Cell;

type Evaluate = fn(&Call<'_>, &[Cell]) -> Result<Cell>;

const ZERO: Evaluate = |_, _| Ok(Cell::Int(0));
const NEVER: Evaluate = |_, _| Ok(Cell::Null);

const fn count(name: &'static str) -> Spec {
    strict(name, (1, 1), Returns::BigInt, ZERO)
}

const fn instant(name: &'static str) -> Spec {
    strict(name, (1, 1), Returns::Instant, NEVER)
}

pub(super) const SPECS: &[Spec] = &[
    strict(
        "pg_stat_get_live_tuples",
        (1, 1),
        Returns::BigInt,
        live_tuples,
    ),
    count("pg_stat_get_analyze_count"),
    count("pg_stat_get_autoanalyze_count"),
    count("pg_stat_get_autovacuum_count"),
    count("pg_stat_get_blocks_fetched"),
    count("pg_stat_get_blocks_hit"),
    count("pg_stat_get_dead_tuples"),
    count("pg_stat_get_ins_since_vacuum"),
    count("pg_stat_get_mod_since_analyze"),
    count("pg_stat_get_numscans"),
    count("pg_stat_get_tuples_deleted"),
    count("pg_stat_get_tuples_fetched"),
    count("pg_stat_get_tuples_hot_updated"),
    count("pg_stat_get_tuples_inserted"),
    count("pg_stat_get_tuples_returned"),
    count("pg_stat_get_tuples_updated"),
    count("pg_stat_get_vacuum_count"),
    count("pg_stat_get_db_blocks_fetched"),
    count("pg_stat_get_db_blocks_hit"),
    count("pg_stat_get_db_conflict_all"),
    count("pg_stat_get_db_deadlocks"),
    count("pg_stat_get_db_temp_bytes"),
    count("pg_stat_get_db_temp_files"),
    count("pg_stat_get_db_tuples_deleted"),
    count("pg_stat_get_db_tuples_fetched"),
    count("pg_stat_get_db_tuples_inserted"),
    count("pg_stat_get_db_tuples_returned"),
    count("pg_stat_get_db_tuples_updated"),
    count("pg_stat_get_db_xact_commit"),
    count("pg_stat_get_db_xact_rollback"),
    instant("pg_stat_get_last_analyze_time"),
    instant("pg_stat_get_last_autoanalyze_time"),
    instant("pg_stat_get_last_autovacuum_time"),
    instant("pg_stat_get_last_vacuum_time"),
    instant("pg_stat_get_db_stat_reset_time"),
    // No transaction is counted, so none is older than another.
    strict("pg_xid_age", (1, 1), Returns::Int, ZERO),
    strict("mxid_age", (1, 1), Returns::Int, ZERO),
];

fn live_tuples(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let relation = names::countable(call, argument(args, 0))?;
    let rows = relation.and_then(|relation| relation.rows).unwrap_or(0);
    Ok(Cell::Int(i64::try_from(rows).unwrap_or(i64::MAX)))
}
