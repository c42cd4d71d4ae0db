//! The one check of privileges: every relation that a plan reads, before anything of it runs.

use std::collections::BTreeSet;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast;

use super::state::SessionVariables;
use crate::auth::privilege::{Object, Privilege};
use crate::auth::{Authorization, Book};
use crate::catalog;
use crate::catalog::database::ROWS_SCHEMA;
use crate::error::{Error, Result};
use crate::storage::{self, Lake};
use crate::warehouse::{Relation, TEMPORARY_SCHEMA, View};

/// Relations of the system that tell secrets: superusers may read them.
const SECRET_RELATIONS: &[&str] = &[
    "pg_authid",
    "pg_shadow",
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_subscription",
    "pg_user_mapping",
    "pg_largeobject",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_file_settings",
];

/// Whether a relation of the system tells secrets.
pub(super) fn is_secret(relation: &str) -> bool {
    SECRET_RELATIONS.contains(&relation)
}

/// Whether an error may name a table to the session that `state` belongs to.
pub(super) fn may_see(state: &SessionState, schema: &str, table: &str) -> bool {
    let variables = state.config_options().extensions.get::<SessionVariables>();
    variables.is_some_and(|variables| {
        let object = Object::table(schema, table);
        variables
            .authorization()
            .may_anything(&variables.authority.book(), &object)
    })
}

/// What the session that `state` belongs to may do, and by which book.
pub(super) struct Check<'a> {
    state: &'a SessionState,
    lake: &'a Lake,
    book: std::sync::Arc<Book>,
    session: Authorization,
    view: Option<std::sync::Arc<View>>,
    /// The tables that views let the session read.
    through: BTreeSet<(String, String)>,
}

impl<'a> Check<'a> {
    pub(super) fn new(state: &'a SessionState, lake: &'a Lake) -> Result<Self> {
        let variables = state
            .config_options()
            .extensions
            .get::<SessionVariables>()
            .ok_or_else(|| Error::internal("a statement has no session"))?;
        let book = variables.authority.book();
        let session = variables.authorization();
        Ok(Self {
            state,
            lake,
            book,
            session,
            view: variables.view.clone(),
            through: BTreeSet::new(),
        })
    }

    /// The check of a statement that reads these tables by views, whose owners may. What it names itself
    /// must have passed [`Check::statement`].
    pub(super) fn through(self, through: BTreeSet<(String, String)>) -> Self {
        Self { through, ..self }
    }

    /// The tables that are read by views.
    pub(super) fn into_through(self) -> BTreeSet<(String, String)> {
        self.through
    }

    /// Refuses a statement by the names in it, before planning could say something of what they name.
    pub(super) fn statement(&self, statement: &ast::Statement) -> Result<()> {
        if self.session.superuser {
            return Ok(());
        }
        let statement = DfStatement::Statement(Box::new(statement.clone()));
        for name in self.state.resolve_table_references(&statement)? {
            let (schema, table) = self.resolved(&name);
            if self.is_known(&schema, &table) {
                self.table(schema, table)?;
            }
        }
        Ok(())
    }

    /// Refuses a plan that reads what the session may not.
    pub(super) fn plan(&self, plan: &LogicalPlan) -> Result<()> {
        if self.session.superuser {
            return Ok(());
        }
        let mut refusal = None;
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Err(error) = source_as_provider(&scan.source)
                    .map_err(Error::from)
                    .and_then(|provider| self.scan(&scan.table_name, provider.as_ref()))
            {
                refusal = Some(error);
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        refusal.map_or(Ok(()), Err)
    }

    fn scan(&self, name: &TableReference, provider: &dyn TableProvider) -> Result<()> {
        if let Some((_, relation)) = catalog::system_relation(provider) {
            return match is_secret(relation) {
                true => Err(denied("table", relation)),
                false => Ok(()),
            };
        }
        let (mut schema, mut table) = self.resolved(name);
        if schema == ROWS_SCHEMA
            && let Some(relation) = self
                .view
                .as_ref()
                .and_then(|view| view.relation_by_id(&table))
        {
            (schema, table) = (relation.schema.clone(), relation.name.clone());
        }
        // Rows that are computed, such as those of generate_series(), are nobody's.
        if storage::is_stored(provider) || self.is_known(&schema, &table) {
            return self.table(schema, table);
        }
        Ok(())
    }

    fn table(&self, schema: String, table: String) -> Result<()> {
        if self.through.contains(&(schema.clone(), table.clone())) || self.owns(&schema, &table) {
            return Ok(());
        }
        let may = |privilege, object: &Object| self.session.may(&self.book, privilege, object);
        if !may(Privilege::Usage, &Object::Schema(schema.clone())) {
            return Err(denied("schema", &schema));
        }
        match may(Privilege::Select, &Object::table(schema, table.as_str())) {
            true => Ok(()),
            false => Err(denied("table", &table)),
        }
    }

    fn is_known(&self, schema: &str, table: &str) -> bool {
        let written = self
            .view
            .as_ref()
            .and_then(|view| view.relation(schema, table));
        let tables = self.lake.table_names(schema);
        written.is_some() || tables.iter().any(|known| known == table)
    }

    /// Whether the table is the session's.
    fn owns(&self, schema: &str, table: &str) -> bool {
        let written = self
            .view
            .as_ref()
            .and_then(|view| view.relation(schema, table));
        written.is_some_and(|relation| owns(&self.session, &relation))
    }

    /// Schema and name, as the planner resolves them.
    fn resolved(&self, name: &TableReference) -> (String, String) {
        let defaults = &self.state.config_options().catalog;
        let resolved = name
            .clone()
            .resolve(&defaults.default_catalog, &defaults.default_schema);
        (resolved.schema.to_string(), resolved.table.to_string())
    }
}

/// Whether a relation that is written here is the session's: a temporary one, or of a role that it has.
pub(super) fn owns(session: &Authorization, relation: &Relation) -> bool {
    relation.schema == TEMPORARY_SCHEMA || session.has_role(&relation.owner)
}

/// 42501
pub(super) fn denied(kind: &str, name: &str) -> Error {
    Error::insufficient_privilege(format!("permission denied for {kind} {name}"))
}
