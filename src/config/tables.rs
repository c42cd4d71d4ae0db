//! What users tell about tables that are read in place: comments and keys, which Parquet does not hold.
//!
//! Nothing here is enforced: keys are shown to clients, which make joins and tooltips of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Section of the configuration: `[tables."schema.name"]`.
pub const SECTION: &str = "tables";

/// What is told of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableNotes {
    /// The comment on the table.
    pub comment: Option<String>,
    /// Comments on columns, by name.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Columns of the primary key.
    #[serde(default)]
    pub primary_key: Vec<String>,
    /// Columns of each unique key.
    #[serde(default)]
    pub unique: Vec<Vec<String>>,
    /// Keys that point to other tables.
    #[serde(default)]
    pub foreign_keys: Vec<ForeignKeyNote>,
}

/// A key that points to another table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignKeyNote {
    /// The columns of this table.
    pub columns: Vec<String>,
    /// The other table, `name` or `schema.name`.
    pub references: String,
    /// The columns of the other table; its primary key if not given.
    #[serde(default)]
    pub to: Vec<String>,
}

/// Notes by `schema.name`.
pub type Notes = BTreeMap<String, TableNotes>;

/// Schema and name of a table as the configuration writes it; a bare name is one of `public`.
pub fn split_name(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("public", name))
}
