//! Which table or schema a name in a statement means.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::ObjectName;

use crate::catalog::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::engine::session::Session;
use crate::engine::state::CATALOG;
use crate::engine::statement::dialect;
use crate::engine::system_views::{CRON, OWN};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::warehouse::{Relation, TEMPORARY_SCHEMA};

/// What a name means.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// A table or view that is written here.
    Written(Arc<Relation>),
    /// A table that is read in place, by name.
    InPlace(String),
}

/// The parts of a name, without the database.
fn parts(name: &ObjectName) -> Result<Vec<String>> {
    let mut parts = dialect::name_parts(name)
        .ok_or_else(|| Error::syntax_error(format!("\"{name}\" is no name of a table")))?;
    if parts.len() > 3 {
        return Err(Error::syntax_error(format!(
            "improper qualified name (too many dotted names): {name}"
        )));
    }
    if parts.len() == 3 {
        let database = parts.remove(0);
        if database != CATALOG {
            return Err(Error::feature_not_supported(format!(
                "cross-database references are not implemented: {name}"
            )));
        }
    }
    Ok(parts)
}

impl Session {
    fn search_path(&self) -> Vec<String> {
        self.facts().facts().search_path
    }

    /// What a name means, or 42P01.
    pub(super) fn found(&self, name: &ObjectName) -> Result<Found> {
        self.find(name)?.ok_or_else(|| {
            if let Some(error) = of_system_view(name) {
                return error;
            }
            Error::new(
                SqlState::UndefinedTable,
                format!("relation \"{}\" does not exist", shown(name)),
            )
        })
    }

    /// What a name means, if it means anything.
    pub(super) fn find(&self, name: &ObjectName) -> Result<Option<Found>> {
        let parts = parts(name)?;
        let (schemas, table) = match parts.as_slice() {
            [schema, table] => (vec![schema.clone()], table),
            [table] => {
                let path = self.search_path().into_iter();
                let first = std::iter::once(TEMPORARY_SCHEMA.to_owned());
                (first.chain(path).collect(), table)
            }
            _ => return Ok(None),
        };
        let view = self.view();
        for schema in schemas {
            if let Some(relation) = view.as_ref().and_then(|view| view.relation(&schema, table)) {
                return Ok(Some(Found::Written(relation)));
            }
            if self.shared.lake.table_names(&schema).contains(table) {
                return Ok(Some(Found::InPlace(table.clone())));
            }
        }
        Ok(None)
    }

    /// Schema and name for something new, or 3F000 if there is no such schema.
    pub(super) fn place(&self, name: &ObjectName, temporary: bool) -> Result<(String, String)> {
        let parts = parts(name)?;
        let known = self.schemas()?;
        match parts.as_slice() {
            [schema, table] if temporary && schema != TEMPORARY_SCHEMA => Err(Error::new(
                SqlState::InvalidTableDefinition,
                format!("cannot create temporary relation \"{table}\" in schema \"{schema}\""),
            )),
            [_, table] | [table] if temporary => Ok((TEMPORARY_SCHEMA.to_owned(), table.clone())),
            [schema, table] => match known.contains(schema) {
                true => Ok((schema.clone(), table.clone())),
                false if [PG_CATALOG, INFORMATION_SCHEMA].contains(&schema.as_str()) => {
                    Err(Error::insufficient_privilege(format!(
                        "permission denied to create \"{schema}.{table}\""
                    ))
                    .with_detail("System catalog modifications are currently disallowed."))
                }
                false => Err(no_schema(schema)),
            },
            [table] => {
                let path = self.search_path();
                let schema = path.into_iter().find(|schema| known.contains(schema));
                let schema = schema.ok_or_else(|| {
                    Error::invalid_schema_name("no schema has been selected to create in")
                })?;
                Ok((schema, table.clone()))
            }
            _ => Err(Error::syntax_error("a name is missing")),
        }
    }

    /// The schemas that users' relations may be in.
    pub(super) fn schemas(&self) -> Result<Vec<String>> {
        let mut schemas = self.shared.lake.schema_names();
        schemas.extend(self.existing_view()?.schemas());
        Ok(schemas)
    }

    /// A table that is written here, or why a name is none.
    pub(super) fn written(&self, name: &ObjectName) -> Result<Arc<Relation>> {
        match self.found(name)? {
            Found::Written(relation) => Ok(relation),
            Found::InPlace(table) => Err(in_place(&table)),
        }
    }
}

/// 42809 for a change of the server's own views.
fn of_system_view(name: &ObjectName) -> Option<Error> {
    let parts = parts(name).ok()?;
    let [schema, view] = parts.as_slice() else {
        return None;
    };
    let hint = match schema.as_str() {
        CRON => "Use cron.schedule(), cron.alter_job() and cron.unschedule().",
        OWN => "Use ALTER MATERIALIZED VIEW, ALTER ALERT and the functions of cron.",
        _ => return None,
    };
    let message = format!("rows of {schema}.{view} cannot be changed by a statement");
    Some(Error::wrong_object_type(message).with_hint(hint))
}

/// 3F000
pub(super) fn no_schema(name: &str) -> Error {
    Error::invalid_schema_name(format!("schema \"{name}\" does not exist"))
}

/// 0A000: files of LOCATION are never changed.
pub(super) fn in_place(table: &str) -> Error {
    Error::feature_not_supported(format!("table \"{table}\" is read in place"))
        .with_detail("Its files belong to whoever wrote them; this server does not change them.")
        .with_hint(format!(
            "Copy it first: CREATE TABLE my_{table} AS SELECT * FROM {table}."
        ))
}

/// A name as errors show it.
pub(super) fn shown(name: &ObjectName) -> String {
    match dialect::name_parts(name) {
        Some(parts) => parts.join("."),
        None => name.to_string(),
    }
}
