//! OIDs of the types that code names, as `pg_type` has them.

/// `bool`.
pub const BOOL: u32 = 16;
/// `bytea`.
pub const BYTEA: u32 = 17;
/// `"char"`.
pub const CHAR: u32 = 18;
/// `name`.
pub const NAME: u32 = 19;
/// `int8`.
pub const INT8: u32 = 20;
/// `int2`.
pub const INT2: u32 = 21;
/// `int4`.
pub const INT4: u32 = 23;
/// `text`.
pub const TEXT: u32 = 25;
/// `oid`.
pub const OID: u32 = 26;
/// `tid`.
pub const TID: u32 = 27;
/// `xid`.
pub const XID: u32 = 28;
/// `cid`.
pub const CID: u32 = 29;
/// `json`.
pub const JSON: u32 = 114;
/// `float4`.
pub const FLOAT4: u32 = 700;
/// `float8`.
pub const FLOAT8: u32 = 701;
/// `unknown`: a literal or parameter whose type is still open.
pub const UNKNOWN: u32 = 705;
/// `bpchar`.
pub const BPCHAR: u32 = 1042;
/// `varchar`.
pub const VARCHAR: u32 = 1043;
/// `date`.
pub const DATE: u32 = 1082;
/// `time`.
pub const TIME: u32 = 1083;
/// `timestamp`.
pub const TIMESTAMP: u32 = 1114;
/// `timestamptz`.
pub const TIMESTAMPTZ: u32 = 1184;
/// `interval`.
pub const INTERVAL: u32 = 1186;
/// `timetz`.
pub const TIMETZ: u32 = 1266;
/// `uuid`
pub(crate) const UUID: u32 = 2950;
/// `bit`.
pub const BIT: u32 = 1560;
/// `varbit`.
pub const VARBIT: u32 = 1562;
/// `numeric`.
pub const NUMERIC: u32 = 1700;
/// `record`.
pub const RECORD: u32 = 2249;
/// The pseudo-type "any".
pub const ANY: u32 = 2276;
/// `anyarray`.
pub const ANYARRAY: u32 = 2277;
/// `anyelement`.
pub const ANYELEMENT: u32 = 2283;
/// `anynonarray`.
pub const ANYNONARRAY: u32 = 2776;
/// `anycompatible`.
pub const ANYCOMPATIBLE: u32 = 5077;
/// `anycompatiblearray`.
pub const ANYCOMPATIBLEARRAY: u32 = 5078;
/// `anycompatiblenonarray`.
pub const ANYCOMPATIBLENONARRAY: u32 = 5079;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::pg_type;

    #[test]
    fn constants_are_the_catalogs() {
        for (oid, name) in [
            (BOOL, "bool"),
            (BYTEA, "bytea"),
            (CHAR, "char"),
            (NAME, "name"),
            (INT8, "int8"),
            (INT2, "int2"),
            (INT4, "int4"),
            (TEXT, "text"),
            (OID, "oid"),
            (TID, "tid"),
            (XID, "xid"),
            (CID, "cid"),
            (JSON, "json"),
            (FLOAT4, "float4"),
            (FLOAT8, "float8"),
            (UNKNOWN, "unknown"),
            (BPCHAR, "bpchar"),
            (VARCHAR, "varchar"),
            (DATE, "date"),
            (TIME, "time"),
            (TIMESTAMP, "timestamp"),
            (TIMESTAMPTZ, "timestamptz"),
            (INTERVAL, "interval"),
            (TIMETZ, "timetz"),
            (BIT, "bit"),
            (VARBIT, "varbit"),
            (NUMERIC, "numeric"),
            (RECORD, "record"),
            (ANY, "any"),
            (ANYARRAY, "anyarray"),
            (ANYELEMENT, "anyelement"),
            (ANYNONARRAY, "anynonarray"),
            (ANYCOMPATIBLE, "anycompatible"),
            (ANYCOMPATIBLEARRAY, "anycompatiblearray"),
            (ANYCOMPATIBLENONARRAY, "anycompatiblenonarray"),
        ] {
            assert_eq!(pg_type::oid_of_name(name), Some(oid), "{name}");
        }
    }
}
