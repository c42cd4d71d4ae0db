//! Cursors as the engine hands them to the frontend that keeps them open.

use crate::error::Error;

/// A cursor to open.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The cursor's name.
    pub name: String,
    /// Whether its rows are sent in binary.
    pub binary: bool,
    /// Which of its rows are kept, so that it can go backward.
    pub keep: Keep,
    /// Whether it outlives its transaction.
    pub hold: bool,
    /// How many savepoints were open when it was made.
    pub depth: usize,
    /// The text of its DECLARE.
    pub text: String,
}

/// The rows that a result keeps for those who go backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// None: it is read forward.
    Nothing,
    /// As long as there are few: SCROLL was not asked for.
    Some,
    /// All of them: with SCROLL.
    Everything,
}

/// The error of a FETCH on a name that no cursor has.
pub fn no_cursor(name: &str) -> Error {
    Error::invalid_cursor_name(format!("cursor \"{name}\" does not exist"))
}
