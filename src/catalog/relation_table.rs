//! A system relation as a table: its rows are collected when it is scanned.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::cells::Rows;
use super::facts::{ServerFacts, SessionFacts};
use super::layout::Layout;
use super::snapshot::Snapshot;
use super::{
    SystemCatalog, fixed_rows, information_schema, keys, procs, relations, roles, server, types,
};

/// What a producer of rows may look at.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) functions: &'a [procs::Function],
    pub(crate) callable: &'a HashMap<String, Option<String>>,
    pub(crate) facts: &'a dyn ServerFacts,
    pub(crate) session: &'a SessionFacts,
    pub(crate) options: &'a ConfigOptions,
}

/// Adds the rows of one relation.
pub(crate) type Producer = fn(&Scope<'_>, &mut Rows) -> Result<()>;

/// Whether `pg_catalog.name` exists and never has rows here, whatever users create.
pub fn is_always_empty(name: &str) -> bool {
    super::layout::is_pg_catalog_relation(name) && producer("pg_catalog", name).is_none()
}

/// Who produces the rows of a relation; none for relations of objects that do not exist here.
pub(crate) fn producer(schema: &str, name: &str) -> Option<Producer> {
    match schema {
        "pg_catalog" => relations::producer(name)
            .or_else(|| types::producer(name))
            .or_else(|| keys::producer(name))
            .or_else(|| procs::producer(name))
            .or_else(|| roles::producer(name))
            .or_else(|| server::producer(name))
            .or_else(|| fixed_rows::producer(name)),
        _ => information_schema::producer(name),
    }
}

/// One system relation.
#[derive(Debug)]
pub(crate) struct RelationTable {
    layout: Arc<Layout>,
    catalog: Arc<SystemCatalog>,
}

impl RelationTable {
    pub(crate) fn new(layout: Arc<Layout>, catalog: Arc<SystemCatalog>) -> Self {
        Self { layout, catalog }
    }

    /// Its schema and name.
    pub(crate) fn name(&self) -> (&'static str, &'static str) {
        (self.layout.schema_name, self.layout.name)
    }

    async fn rows(&self, options: &ConfigOptions) -> Result<Rows> {
        let mut rows = Rows::new(Arc::clone(&self.layout));
        if let Some(produce) = producer(self.layout.schema_name, self.layout.name) {
            let session = SessionFacts::of(options);
            let snapshot = self.catalog.refresh(&session).await;
            let scope = Scope {
                snapshot: &snapshot,
                functions: self.catalog.functions(),
                callable: self.catalog.callable(),
                facts: self.catalog.facts(),
                session: &session,
                options,
            };
            produce(&scope, &mut rows)?;
        }
        Ok(rows)
    }
}

#[async_trait]
impl TableProvider for RelationTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.layout.arrow)
    }

    fn table_type(&self) -> TableType {
        if self.layout.kind == 'v' {
            TableType::View
        } else {
            TableType::Base
        }
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = self.rows(state.config_options()).await?.finish()?;
        let schema = Arc::clone(&self.layout.arrow);
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, projection.cloned())?;
        Ok(plan)
    }
}
