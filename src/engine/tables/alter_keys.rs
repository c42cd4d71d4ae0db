//! ALTER TABLE of keys, which are hints to clients.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::TableConstraint;

use super::alter::Altered;
use super::create::declared_keys;
use crate::catalog::keys::default_name;
use crate::config::tables::TableNotes;
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::warehouse::Relation;

impl Session {
    pub(super) async fn add_key(
        &mut self,
        mut altered: Altered,
        constraint: &TableConstraint,
        done: Completion,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        let relation = Arc::clone(&altered.relation);
        let keys = declared_keys(&[], std::slice::from_ref(constraint))?;
        check_one_primary_key(&relation, &keys)?;
        let mut named = keys.primary_key.iter().chain(keys.unique.iter().flatten());
        if let Some(unknown) = named.find(|name| altered.place(name).is_err()) {
            return Err(Error::undefined_column(format!(
                "column \"{unknown}\" named in key does not exist"
            )));
        }
        for key in &keys.foreign_keys {
            key.columns
                .iter()
                .try_for_each(|name| altered.place(name).map(drop))?;
        }
        let mut changes = false;
        for name in &keys.primary_key {
            let place = altered.place(name)?;
            if altered.fields[place].is_nullable() {
                self.check_no_nulls(&altered, name, control).await?;
                altered.fields[place].set_nullable(false);
                changes = true;
            }
        }
        if changes {
            self.reshape(altered, None, control).await?;
        }
        self.renote(&relation, |notes| add_keys(notes, keys));
        Ok(done.warning(
            SqlState::SuccessfulCompletion,
            &format!(
                "the key of table \"{}\" is a hint to clients: its rows are not checked",
                relation.name
            ),
        ))
    }

    pub(super) fn drop_key(
        &mut self,
        relation: &Arc<Relation>,
        name: &str,
        if_exists: bool,
        done: Completion,
    ) -> Result<Completion> {
        let is_it = |kind, columns: &[String]| default_name(&relation.name, kind, columns) == name;
        let mut notes = relation.notes.clone();
        if !notes.primary_key.is_empty() && is_it('p', &notes.primary_key) {
            notes.primary_key.clear();
        }
        notes.unique.retain(|columns| !is_it('u', columns));
        notes.foreign_keys.retain(|key| !is_it('f', &key.columns));
        if notes != relation.notes {
            self.renote(relation, |known| *known = notes);
            return Ok(done);
        }
        let message = format!(
            "constraint \"{name}\" of relation \"{}\" does not exist",
            relation.name
        );
        match if_exists {
            true => Ok(done.warning(SqlState::UndefinedObject, &format!("{message}, skipping"))),
            false => Err(Error::undefined_object(message)
                .with_hint("Keys have the names that PostgreSQL gives those without one.")),
        }
    }
}

/// Adds keys to those of a table.
pub(super) fn add_keys(notes: &mut TableNotes, keys: TableNotes) {
    if !keys.primary_key.is_empty() {
        notes.primary_key = keys.primary_key;
    }
    notes.unique.extend(keys.unique);
    notes.foreign_keys.extend(keys.foreign_keys);
}

/// 42P16
pub(super) fn check_one_primary_key(relation: &Relation, keys: &TableNotes) -> Result<()> {
    if keys.primary_key.is_empty() || relation.notes.primary_key.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        SqlState::InvalidTableDefinition,
        format!(
            "multiple primary keys for table \"{}\" are not allowed",
            relation.name
        ),
    ))
}
