//! Sizes of relations and of the database, and how they are written.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, names, strict};
use crate::catalog::cells::Cell;

pub(super) const SPECS: &[Spec] = &[
    strict("pg_database_size", (1, 1), Returns::BigInt, database_size),
    strict("pg_indexes_size", (1, 1), Returns::BigInt, |_, _| {
        Ok(Cell::Int(0))
    }),
    strict("pg_relation_size", (1, 2), Returns::BigInt, relation_size),
    strict("pg_size_pretty", (1, 1), Returns::Text, size_pretty),
    strict("pg_table_size", (1, 1), Returns::BigInt, relation_size),
    strict("pg_tablespace_size", (1, 1), Returns::BigInt, database_size),
    strict(
        "pg_total_relation_size",
        (1, 1),
        Returns::BigInt,
        relation_size,
    ),
];

/// NULL for a relation that does not exist, zero for one whose size is not known.
fn relation_size(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let relation = names::relation(call, argument(args, 0))?;
    let bytes = relation.map(|relation| relation.bytes.unwrap_or(0));
    Ok(bytes
        .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
        .into())
}

fn database_size(call: &Call<'_>, _: &[Cell]) -> Result<Cell> {
    let sizes = call
        .snapshot
        .user_relations()
        .filter_map(|relation| relation.bytes);
    let total = sizes.fold(0_usize, usize::saturating_add);
    Ok(i64::try_from(total).unwrap_or(i64::MAX).into())
}

fn size_pretty(_: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    Ok(match argument(args, 0) {
        Cell::Float(bytes) => Some(pretty(*bytes as i64)),
        other => other.to_int().map(pretty),
    }
    .into())
}

/// PostgreSQL's rule: a unit is used up to 10240 of it (20479 halves), rounded half up.
fn pretty(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    const BYTES_MAX: u64 = 10 * 1024;
    const HALVES_MAX: u64 = 20 * 1024 - 1;
    if bytes.unsigned_abs() < BYTES_MAX {
        return format!("{bytes} bytes");
    }
    // From here in halves of the unit, so that one more step rounds.
    let mut halves = bytes / 512;
    let mut unit = 0;
    while halves.unsigned_abs() >= HALVES_MAX && unit + 1 < UNITS.len() {
        halves /= 1024;
        unit += 1;
    }
    #[expect(
        clippy::manual_midpoint,
        reason = "half away from zero, not the middle of two numbers"
    )]
    let rounded = (halves + halves.signum()) / 2;
    format!("{rounded} {}", UNITS.get(unit).unwrap_or(&"PB"))
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn sizes_are_written_as_postgresql_writes_them() {
        // Answers of PostgreSQL 15's pg_size_pretty.
        for (bytes, text) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (1_000_000, "977 kB"),
            (5_000_000_000, "4768 MB"),
            (-20_000, "-20 kB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(pretty(bytes), text, "{bytes}");
        }
    }
}
