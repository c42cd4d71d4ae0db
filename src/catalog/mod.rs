//! The system catalogs: pg_catalog and information_schema as real relations over users' schemas.
//!
//! Every relation of PostgreSQL 15 exists with its columns (`postgres15/relations.txt`); rows are
//! collected when a relation is scanned, from a [`Snapshot`] of users' schemas and from what the
//! session and the server tell ([`SessionFacts`], [`ServerFacts`]). A relation without a producer
//! of rows (`relation_table::producer`) is empty by nature: this server has no such objects.

mod cells;
pub mod database;
mod defaults;
pub mod facts;
pub(crate) mod fixed_rows;
pub mod functions;
mod information_schema;
pub mod keys;
pub mod layout;
pub mod oid;
pub mod pg_type;
pub(crate) mod procs;
mod relation_table;
mod relations;
mod roles;
mod server;
mod snapshot;
mod standard_keys;
mod table_functions;
#[cfg(test)]
mod tests;
pub mod type_oids;
mod types;

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::TableType;

use crate::config::tables::Notes;

pub use self::facts::{
    ActivityRow, CursorRow, GrantRow, LastSnapshot, LockRow, MemberRow, PreparedRow, RoleRow,
    Securable, ServerFacts, SessionFacts, SessionTables, SettingRow,
};
pub use self::procs::{FunctionDescription, FunctionKind};
use self::relation_table::RelationTable;
pub use self::relation_table::is_always_empty;
pub use self::snapshot::{Attribute, COMMENT_METADATA, Namespace, Relation, Snapshot};
pub use self::table_functions::table_functions;

/// Name of the schema of PostgreSQL's own relations.
pub const PG_CATALOG: &str = "pg_catalog";
/// Name of the standard's schema.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// What both system schemas and the catalog functions share: users' schemas, the functions that
/// SQL can call, the server's facts, and the last snapshot of it all.
pub struct SystemCatalog {
    user: Arc<dyn CatalogProvider>,
    functions: Vec<procs::Function>,
    /// Names of all functions that SQL can call, with what is said about them.
    callable: HashMap<String, Option<String>>,
    /// Comments and keys that the configuration declares.
    notes: Notes,
    facts: Arc<dyn ServerFacts>,
    snapshot: RwLock<Arc<Snapshot>>,
}

impl SystemCatalog {
    /// A catalog over users' schemas. Schemas named pg_catalog and information_schema in `user`
    /// are passed over, so `user` may be the provider that the system schemas are added to.
    pub fn new(
        user: Arc<dyn CatalogProvider>,
        functions: Vec<FunctionDescription>,
        facts: Arc<dyn ServerFacts>,
        notes: Notes,
    ) -> Arc<Self> {
        let snapshot = RwLock::new(Arc::new(Snapshot::empty()));
        let callable = functions
            .iter()
            .map(|function| (function.name.clone(), function.description.clone()))
            .collect();
        Arc::new(Self {
            user,
            callable,
            notes,
            functions: procs::assign_oids(functions),
            facts,
            snapshot,
        })
    }

    /// Reads users' schemas anew. Call it before planning a statement that
    /// [`crate::engine::statement::dialect::rewrite`] reports to use the catalog: functions such as
    /// `'t'::regclass` are answered while planning, from the last snapshot.
    pub async fn refresh(&self, session: &SessionFacts) -> Arc<Snapshot> {
        if let Some(tables) = &session.tables {
            let notes = tables.database.notes(&self.notes);
            let fresh = Arc::new(Snapshot::load(tables.database.as_ref(), &notes).await);
            let mut held = tables
                .snapshot
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            *held = Some(Arc::clone(&fresh));
            return fresh;
        }
        let fresh = Arc::new(Snapshot::load(self.user.as_ref(), &self.notes).await);
        let mut held = self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = Arc::clone(&fresh);
        fresh
    }

    /// The last snapshot of what a session's statement sees.
    pub fn snapshot_for(&self, session: &SessionFacts) -> Arc<Snapshot> {
        let own = session.tables.as_ref().and_then(|tables| {
            let held = tables
                .snapshot
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            held.clone()
        });
        own.unwrap_or_else(|| self.snapshot())
    }

    /// The last snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The OID of a user's relation. It follows from the name, so that no snapshot is needed.
    pub fn relation_oid(&self, schema: &str, name: &str) -> u32 {
        match self.snapshot().relation_named(schema, name) {
            Some(relation) => relation.oid,
            None => oid::of_relation(schema, name),
        }
    }

    /// What is wrong in the configuration's comments and keys.
    pub async fn check_notes(&self) -> Vec<crate::error::Error> {
        if self.notes.is_empty() {
            // Nothing is read that no statement asked for.
            return Vec::new();
        }
        keys::check(
            self.refresh(&SessionFacts::default()).await.as_ref(),
            &self.notes,
        )
    }

    /// The server's facts.
    pub fn facts(&self) -> &dyn ServerFacts {
        self.facts.as_ref()
    }

    pub(crate) fn functions(&self) -> &[procs::Function] {
        &self.functions
    }

    pub(crate) fn callable(&self) -> &HashMap<String, Option<String>> {
        &self.callable
    }
}

impl Debug for SystemCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemCatalog")
            .field("functions", &self.functions.len())
            .finish_non_exhaustive()
    }
}

/// Schema and name of a relation of the system; `None` for any other.
pub fn system_relation(provider: &dyn TableProvider) -> Option<(&'static str, &'static str)> {
    provider
        .downcast_ref::<RelationTable>()
        .map(RelationTable::name)
}

/// The schema pg_catalog.
#[derive(Debug)]
pub struct PgCatalog(SystemSchema);

impl PgCatalog {
    /// The schema over `catalog`.
    pub fn new(catalog: Arc<SystemCatalog>) -> Self {
        Self(SystemSchema {
            name: PG_CATALOG,
            catalog,
        })
    }
}

/// The schema information_schema.
#[derive(Debug)]
pub struct InformationSchema(SystemSchema);

impl InformationSchema {
    /// The schema over `catalog`.
    pub fn new(catalog: Arc<SystemCatalog>) -> Self {
        Self(SystemSchema {
            name: INFORMATION_SCHEMA,
            catalog,
        })
    }
}

#[derive(Debug)]
struct SystemSchema {
    name: &'static str,
    catalog: Arc<SystemCatalog>,
}

impl SystemSchema {
    fn table_names(&self) -> Vec<String> {
        layout::layouts(self.name)
            .map(|layout| layout.name.to_owned())
            .collect()
    }

    fn table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let layout = layout::layout(self.name, name)?;
        Some(Arc::new(RelationTable::new(
            layout,
            Arc::clone(&self.catalog),
        )))
    }
}

macro_rules! system_schema {
    ($schema:ty) => {
        #[async_trait]
        impl SchemaProvider for $schema {
            fn table_names(&self) -> Vec<String> {
                self.0.table_names()
            }

            async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
                Ok(self.0.table(name))
            }

            async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
                Ok(self.0.table(name).map(|table| table.table_type()))
            }

            fn table_exist(&self, name: &str) -> bool {
                layout::layout(self.0.name, name).is_some()
            }
        }
    };
}

system_schema!(PgCatalog);
system_schema!(InformationSchema);
