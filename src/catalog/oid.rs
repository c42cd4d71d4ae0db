//! Object identifiers: fixed ones of PostgreSQL, and stable ones for what users create.

use std::collections::HashMap;

/// Schema pg_catalog.
pub const PG_CATALOG: u32 = 11;
/// Schema public.
pub const PUBLIC: u32 = 2200;
/// Schema information_schema, as initdb of PostgreSQL 15 numbers it.
pub const INFORMATION_SCHEMA: u32 = 13207;
/// The role that owns everything.
pub const OWNER: u32 = 10;
/// The first OID of objects that users create.
pub const FIRST_USER: u32 = 16384;

/// Gives objects OIDs that depend on nothing but their kind and name.
///
/// Names are hashed; of two names with one hash the one that asks first keeps it, so callers ask
/// in sorted order: then the same objects get the same OIDs after every restart.
#[derive(Debug, Default)]
pub(crate) struct OidAssigner {
    taken: HashMap<u32, String>,
}

impl OidAssigner {
    /// The OID of `name` (qualified, unique within its kind).
    pub(crate) fn assign(&mut self, kind: &str, name: &str) -> u32 {
        let key = format!("{kind}/{name}");
        let mut oid = user_oid(fnv1a(key.as_bytes()));
        loop {
            match self.taken.get(&oid) {
                Some(owner) if *owner == key => return oid,
                Some(_) => {
                    oid = if oid == i32::MAX as u32 {
                        FIRST_USER
                    } else {
                        oid + 1
                    }
                }
                None => {
                    self.taken.insert(oid, key);
                    return oid;
                }
            }
        }
    }
}

/// The OID that a relation has unless another's name has the same hash.
pub(crate) fn of_relation(schema: &str, name: &str) -> u32 {
    OidAssigner::default().assign("relation", &relation_key(schema, name))
}

/// The name by which a relation gets its OID.
pub(crate) fn relation_key(schema: &str, name: &str) -> String {
    format!("{schema}/{name}")
}

/// 64-bit FNV-1a.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Folds a hash into 16384..=2^31-1: positive also for clients that read OIDs as int4.
fn user_oid(hash: u64) -> u32 {
    let range = u64::from(i32::MAX as u32 - FIRST_USER + 1);
    FIRST_USER + (hash % range) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_are_stable_across_versions() {
        let mut oids = OidAssigner::default();
        let first = oids.assign("relation", "public.customers");
        // A changed hash would change every client's cached OIDs: keep the number.
        assert_eq!(
            first,
            OidAssigner::default().assign("relation", "public.customers")
        );
        assert!((FIRST_USER..=i32::MAX as u32).contains(&first));
        assert_eq!(first, oids.assign("relation", "public.customers"));
        assert_ne!(first, oids.assign("type", "public.customers"));
    }

    #[test]
    fn a_collision_takes_the_next_number() {
        let mut oids = OidAssigner::default();
        let first = oids.assign("relation", "a");
        oids.taken
            .insert(user_oid(fnv1a(b"relation/b")), "another".into());
        let second = oids.assign("relation", "b");
        assert_eq!(second, user_oid(fnv1a(b"relation/b")) + 1);
        assert_ne!(first, second);
    }

    #[test]
    fn hashes_fold_into_the_range() {
        assert_eq!(user_oid(0), FIRST_USER);
        assert!(i32::try_from(user_oid(u64::MAX)).is_ok());
    }
}
