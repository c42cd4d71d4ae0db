//! What a session holds open, as pg_prepared_statements and pg_cursors show it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The prepared statements and cursors of one session. Clones show the same ones.
#[derive(Debug, Clone, Default)]
pub struct Holdings(Arc<Mutex<Held>>);

/// The lists of [`Holdings`].
#[derive(Debug, Default)]
pub struct Held {
    /// Named prepared statements, by name.
    pub statements: BTreeMap<String, HeldStatement>,
    /// Open cursors, by name.
    pub cursors: BTreeMap<String, HeldCursor>,
    /// The last number that it got of each sequence, by the sequence's id.
    pub numbers: BTreeMap<String, i64>,
    /// The last number that it got of any.
    pub last_number: Option<i64>,
}

/// A row of pg_prepared_statements.
#[derive(Debug, Clone)]
pub struct HeldStatement {
    /// Its text.
    pub text: String,
    /// When it was prepared.
    pub prepared_at: SystemTime,
    /// The OIDs of its parameters' types.
    pub parameters: Vec<u32>,
    /// Whether PREPARE made it, not the protocol.
    pub from_sql: bool,
}

/// A row of pg_cursors.
#[derive(Debug, Clone)]
pub struct HeldCursor {
    /// The text of its DECLARE.
    pub text: String,
    /// When it was declared.
    pub created_at: SystemTime,
    /// WITH HOLD
    pub hold: bool,
    /// BINARY
    pub binary: bool,
    /// Whether it can go backward.
    pub scroll: bool,
}

impl Holdings {
    /// The lists, locked. A poisoned lock only means that a holder panicked; the maps stay whole.
    pub fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
