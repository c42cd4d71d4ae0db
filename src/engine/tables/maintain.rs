//! VACUUM and OPTIMIZE of tables.

use std::sync::Arc;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::ObjectName;

use super::resolve::{Found, shown};
use crate::catalog::layout::is_pg_catalog_relation;
use crate::catalog::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::engine::authorize;
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::session::{Session, TransactionStatus};
use crate::engine::session_command;
use crate::engine::statement::dialect;
use crate::engine::statement::maintenance::Maintenance;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::warehouse::{Relation, TEMPORARY_SCHEMA};

/// The setting that says how long files stay which left their table.
const RETENTION: &str = "loyalhouse.vacuum_retention";

impl Session {
    /// Maintains tables. What it does is not part of a transaction.
    pub(in crate::engine) async fn maintain(
        &mut self,
        maintenance: &Maintenance,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        let command = maintenance.command();
        let is_alone = self.transaction_status() == TransactionStatus::Idle
            && !self.in_implicit_block
            && self.work.staged.is_empty();
        if !is_alone {
            return Err(session_command::inside(command));
        }
        if let Some(option) = &maintenance.unknown_option {
            return Err(Error::syntax_error(format!(
                "unrecognized {command} option \"{option}\""
            )));
        }
        if maintenance.orders {
            return Err(
                Error::feature_not_supported("OPTIMIZE … ZORDER BY is not supported").with_hint(
                    "Write the rows in order: CREATE OR REPLACE TABLE … AS SELECT … ORDER BY.",
                ),
            );
        }
        let mut done = Completion::tag(command);
        for relation in self.maintained(maintenance, &mut done)? {
            if maintenance.compacts {
                self.compact(&relation, control).await?;
            }
            if maintenance.cleans {
                let warehouse = self.warehouse()?;
                let removed = warehouse.vacuum(&relation, self.vacuum_retention());
                tokio::select! {
                    biased;
                    () = control.stopped() => return Err(control.error()),
                    removed = removed => removed?,
                };
            }
        }
        Ok(done)
    }

    /// The tables of this session's user among those that a statement names.
    fn maintained(
        &self,
        maintenance: &Maintenance,
        done: &mut Completion,
    ) -> Result<Vec<Arc<Relation>>> {
        let authorization = self.facts().authorization();
        let mut relations = Vec::new();
        if maintenance.tables.is_empty() {
            let all = self.view().map(|view| view.relations()).unwrap_or_default();
            relations.extend(all.into_iter().filter(|relation| {
                relation.kind.is_stored()
                    && relation.schema != TEMPORARY_SCHEMA
                    && authorize::owns(&authorization, relation)
            }));
            return Ok(relations);
        }
        for name in &maintenance.tables {
            let relation = match self.find(name)? {
                Some(Found::Written(relation)) => relation,
                // There is nothing to do for files that belong to others.
                Some(Found::InPlace(_)) if maintenance.cleans => continue,
                Some(Found::InPlace(table)) => return Err(super::resolve::in_place(&table)),
                None if is_system_table(name) => continue,
                None => {
                    return Err(Error::new(
                        SqlState::UndefinedTable,
                        format!("relation \"{}\" does not exist", shown(name)),
                    ));
                }
            };
            if !relation.kind.is_stored() {
                let message = format!(
                    "skipping \"{}\" --- cannot vacuum non-tables or special system tables",
                    relation.name
                );
                done.notices.push(Error::new(SqlState::Warning, message));
            } else if !maintenance.cleans {
                self.check_owner(&relation)?;
                relations.push(relation);
            } else if authorize::owns(&authorization, &relation) {
                relations.push(relation);
            } else {
                let message = format!(
                    "permission denied to vacuum \"{}\", skipping it",
                    relation.name
                );
                done.notices.push(Error::new(SqlState::Warning, message));
            }
        }
        relations.retain(|relation| relation.schema != TEMPORARY_SCHEMA);
        Ok(relations)
    }

    async fn compact(
        &mut self,
        relation: &Arc<Relation>,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        let warehouse = self.warehouse()?;
        self.hold_stopping(relation, control).await?;
        let (relation, control) = (Arc::clone(relation), Arc::clone(control));
        let work = async move {
            tokio::select! {
                biased;
                () = control.stopped() => Err(control.error()),
                done = warehouse.compact(&relation) => done,
            }
        };
        self.shared.workers.query(work).await.map(drop)
    }

    fn vacuum_retention(&self) -> Duration {
        let millis = self
            .settings()
            .get(RETENTION)
            .and_then(|text| text.parse().ok());
        Duration::from_millis(millis.unwrap_or_default())
    }
}

/// Whether a name is one of a system table, which have no files.
fn is_system_table(name: &ObjectName) -> bool {
    match dialect::name_parts(name).as_deref() {
        Some([schema, _]) => [PG_CATALOG, INFORMATION_SCHEMA].contains(&schema.as_str()),
        Some([table]) => is_pg_catalog_relation(table),
        _ => false,
    }
}
