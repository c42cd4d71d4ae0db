//! ALTER TABLE: other names, other columns, other keys.
//!
//! Columns whose values change are written again, by a query over the stored rows; the others only get
//! another description in the table's log. Views on the table are planned again, so that none is left that
//! would not run, or would give other columns than it was made with.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::physical_plan::execute_stream;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, DropBehavior, Expr, Ident,
    ObjectName, Owner, RenameTableNameKind, SelectItem, Statement,
};
use futures::StreamExt;

use super::alter_keys::{add_keys, check_one_primary_key};
use super::assign::{Assignment, TextLimits};
use super::create::{declared_keys, key, note, single};
use super::drop::missing;
use super::resolve::no_schema;
use super::syntax::{self, ChangedTable};
use super::{serial, unsupported, write_all};
use crate::catalog::pg_type::{format_type, pg_type_of_field};
use crate::config::tables::TableNotes;
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::plan;
use crate::engine::session::Session;
use crate::engine::statement::definitions::SCHEMA_MARK;
use crate::engine::statement::dialect::{name_of, name_parts};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::storage::partition_columns;
use crate::warehouse::{
    Content, DEFAULT_METADATA, Kind, Operation, Relation, TEMPORARY_SCHEMA, already_exists,
    partitioned,
};

/// A table with what it becomes.
pub(super) struct Altered {
    pub(super) relation: Arc<Relation>,
    pub(super) base: Arc<Content>,
    pub(super) fields: Vec<Field>,
}

impl Session {
    pub(super) async fn alter_table(
        &mut self,
        alter: &AlterTable,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("ALTER TABLE")?;
        let mut done = Completion::tag("ALTER TABLE");
        let relation = match self.find(&alter.name)? {
            None if alter.if_exists => {
                return Ok(missing(done, "relation", std::slice::from_ref(&alter.name)));
            }
            _ => self.written(&alter.name)?,
        };
        self.check_owner(&relation)?;
        self.hold_stopping(&relation, control).await?;
        for operation in &alter.operations {
            let now = self.existing_view()?.relation_by_id(&relation.id);
            let now = now.ok_or_else(|| Error::internal("an altered table is gone"))?;
            done = Box::pin(self.alter(&now, operation, done, control)).await?;
        }
        Ok(done)
    }

    async fn alter(
        &mut self,
        relation: &Arc<Relation>,
        operation: &AlterTableOperation,
        done: Completion,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        use AlterTableOperation as A;
        match operation {
            A::RenameTable {
                table_name: RenameTableNameKind::To(to) | RenameTableNameKind::As(to),
            } => {
                let parts = name_parts(to).unwrap_or_default();
                match parts.as_slice() {
                    [mark, schema] if mark == SCHEMA_MARK => self.move_to(relation, schema)?,
                    _ => self.rename(relation, &relation.schema.clone(), &single(to)?)?,
                }
                return Ok(done);
            }
            A::OwnerTo { new_owner } => {
                self.give_to(relation, new_owner)?;
                return Ok(done);
            }
            _ if relation.kind == Kind::Table => {}
            _ => {
                return Err(Error::wrong_object_type(format!(
                    "\"{}\" is not a table",
                    relation.name
                )));
            }
        }
        let base = self.content_to_change(relation).await?;
        let fields = base.columns().fields().iter();
        let altered = Altered {
            relation: Arc::clone(relation),
            fields: fields.map(|field| field.as_ref().clone()).collect(),
            base,
        };
        match operation {
            A::AddColumn {
                if_not_exists,
                column_def,
                column_position: None,
                ..
            } => {
                self.add_column(altered, column_def, *if_not_exists, done, control)
                    .await
            }
            A::DropColumn {
                column_names,
                if_exists,
                drop_behavior,
                ..
            } => {
                let cascade = *drop_behavior == Some(DropBehavior::Cascade);
                let how = (*if_exists, cascade);
                self.drop_columns(altered, column_names, how, done, control)
                    .await
            }
            A::RenameColumn {
                old_column_name,
                new_column_name,
            } => {
                let (from, to) = (name_of(old_column_name), name_of(new_column_name));
                self.rename_column(altered, &from, &to, control).await?;
                Ok(done)
            }
            A::AlterColumn { column_name, op } => {
                let column = name_of(column_name);
                self.alter_column(altered, &column, op, control).await?;
                Ok(done)
            }
            A::AddConstraint { constraint, .. } => {
                self.add_key(altered, constraint, done, control).await
            }
            A::DropConstraint {
                if_exists, name, ..
            } => self.drop_key(relation, &name_of(name), *if_exists, done),
            other => Err(unsupported(&format!("ALTER TABLE … {other}"))),
        }
    }

    /// Gives a relation another name or schema.
    pub(super) fn rename(
        &mut self,
        relation: &Arc<Relation>,
        schema: &str,
        name: &str,
    ) -> Result<()> {
        if self.existing_view()?.has(schema, name) {
            return Err(already_exists(name));
        }
        let mut renamed = relation.as_ref().clone();
        schema.clone_into(&mut renamed.schema);
        name.clone_into(&mut renamed.name);
        let old = Arc::clone(relation);
        self.stage(|staged| {
            staged.set_relation(key(&old), Some(old), None);
            staged.set_relation(key(&renamed), None, Some(Arc::new(renamed)));
        });
        Ok(())
    }

    pub(super) fn move_to(&mut self, relation: &Arc<Relation>, schema: &str) -> Result<()> {
        if *schema == relation.schema {
            return Ok(());
        }
        if !self.schemas()?.iter().any(|known| known == schema) {
            return Err(no_schema(schema));
        }
        if relation.schema == TEMPORARY_SCHEMA || schema == TEMPORARY_SCHEMA {
            return Err(Error::feature_not_supported(
                "cannot move objects into or out of temporary schemas",
            ));
        }
        if !relation.sequences.is_empty() {
            return Err(unsupported("SET SCHEMA of a table that numbers its rows"));
        }
        self.check_create(schema)?;
        self.rename(relation, schema, &relation.name.clone())
    }

    pub(super) fn give_to(&mut self, relation: &Arc<Relation>, owner: &Owner) -> Result<()> {
        let facts = self.facts();
        let owner = match owner {
            Owner::Ident(name) => name_of(name),
            Owner::CurrentRole | Owner::CurrentUser => facts.authorization().user,
            Owner::SessionUser => facts.origin.user.clone(),
        };
        let book = facts.authority.book();
        if !book.is_open() {
            book.existing(&owner)?;
            if !facts.authorization().has_role(&owner) {
                return Err(Error::insufficient_privilege(format!(
                    "must be member of role \"{owner}\""
                )));
            }
        }
        self.give_job_to(relation, &owner)?;
        let mut given = relation.as_ref().clone();
        given.owner = owner;
        self.restage(relation, given);
        Ok(())
    }

    /// Makes what is said of a relation another thing.
    fn restage(&mut self, relation: &Arc<Relation>, now: Relation) {
        let (key, was) = (key(relation), Arc::clone(relation));
        self.stage(|staged| staged.set_relation(key, Some(was), Some(Arc::new(now))));
    }

    pub(super) fn renote(
        &mut self,
        relation: &Arc<Relation>,
        change: impl FnOnce(&mut TableNotes),
    ) {
        let mut noted = relation.as_ref().clone();
        change(&mut noted.notes);
        if noted.notes != relation.notes {
            self.restage(relation, noted);
        }
    }
}

// --- columns ---

impl Session {
    async fn add_column(
        &mut self,
        mut altered: Altered,
        column: &ColumnDef,
        if_not_exists: bool,
        done: Completion,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        let name = name_of(&column.name);
        if altered.place(&name).is_ok() {
            let message = format!(
                "column \"{name}\" of relation \"{}\" already exists",
                altered.relation.name
            );
            return match if_not_exists {
                true => {
                    Ok(done.warning(SqlState::DuplicateColumn, &format!("{message}, skipping")))
                }
                false => Err(Error::new(SqlState::DuplicateColumn, message)),
            };
        }
        let keys = declared_keys(std::slice::from_ref(column), &[])?;
        check_one_primary_key(&altered.relation, &keys)?;
        let mut field = self.declared_column(column, control).await?;
        if !keys.primary_key.is_empty() {
            field.set_nullable(false);
        }
        if let Some(numbering) = serial::numbering(column)? {
            let relation = &altered.relation;
            let place = (relation.schema.as_str(), relation.name.as_str());
            let sequence = self.number_by(&mut field, &numbering, place, &relation.sequences)?;
            let mut numbered = relation.as_ref().clone();
            numbered.sequences.push(sequence);
            self.restage(&Arc::clone(relation), numbered.clone());
            altered.relation = Arc::new(numbered);
        }
        let has_default = field.metadata().contains_key(DEFAULT_METADATA);
        if !field.is_nullable() && !has_default && altered.base.rows() > 0 {
            return Err(contains_nulls(&name, &altered.relation));
        }
        let mut values = altered.values();
        values.push(syntax::default_of(&field)?);
        altered.fields.push(field);
        let relation = Arc::clone(&altered.relation);
        self.reshape(altered, has_default.then_some(values), control)
            .await?;
        self.check_views(&relation, None, control).await?;
        self.renote(&relation, |notes| add_keys(notes, keys));
        Ok(done)
    }

    async fn drop_columns(
        &mut self,
        mut altered: Altered,
        names: &[Ident],
        (if_exists, cascade): (bool, bool),
        mut done: Completion,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        let relation = Arc::clone(&altered.relation);
        let mut values = altered.values();
        let mut gone = Vec::new();
        for name in names {
            let name = name_of(name);
            match altered.place(&name) {
                Ok(place) => {
                    altered.fields.remove(place);
                    values.remove(place);
                    gone.push(name);
                }
                Err(error) if if_exists => {
                    let message = format!("{}, skipping", error.message());
                    done = done.warning(SqlState::UndefinedColumn, &message);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(first) = gone.first() else {
            return Ok(done);
        };
        if altered.fields.is_empty() {
            return Err(unsupported("a table without columns"));
        }
        let broken = format!("column {first} of table {}", relation.name);
        self.reshape(altered, Some(values), control).await?;
        let behaviour = match cascade {
            true => Dependents::Drop,
            false => Dependents::Refuse(SqlState::DependentObjectsStillExist, broken),
        };
        self.check_views(&relation, Some(behaviour), control)
            .await?;
        self.renote(&relation, |notes| {
            let stays = |columns: &[String]| !columns.iter().any(|column| gone.contains(column));
            if !stays(&notes.primary_key) {
                notes.primary_key.clear();
            }
            notes.unique.retain(|columns| stays(columns));
            notes.foreign_keys.retain(|key| stays(&key.columns));
        });
        if relation
            .sequences
            .iter()
            .any(|sequence| gone.contains(&sequence.column))
        {
            let relation = self
                .existing_view()?
                .relation_by_id(&relation.id)
                .unwrap_or(relation);
            let mut left = relation.as_ref().clone();
            left.sequences
                .retain(|sequence| !gone.contains(&sequence.column));
            self.restage(&relation, left);
        }
        Ok(done)
    }

    async fn rename_column(
        &mut self,
        mut altered: Altered,
        from: &str,
        to: &str,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        let relation = Arc::clone(&altered.relation);
        let place = altered
            .place(from)
            .map_err(|_| Error::undefined_column(format!("column \"{from}\" does not exist")))?;
        if altered.place(to).is_ok() {
            return Err(Error::new(
                SqlState::DuplicateColumn,
                format!(
                    "column \"{to}\" of relation \"{}\" already exists",
                    relation.name
                ),
            ));
        }
        let values = altered.values();
        altered.fields[place] = altered.fields[place].clone().with_name(to);
        self.reshape(altered, Some(values), control).await?;
        let refused = Dependents::Refuse(
            SqlState::FeatureNotSupported,
            format!("cannot rename column \"{from}\": a view uses it"),
        );
        self.check_views(&relation, Some(refused), control).await?;
        let mut called = relation.as_ref().clone();
        for sequence in &mut called.sequences {
            if sequence.column == from {
                to.clone_into(&mut sequence.column);
            }
        }
        let relation = match called == *relation {
            true => relation,
            false => {
                self.restage(&relation, called.clone());
                Arc::new(called)
            }
        };
        self.renote(&relation, |notes| {
            let keys = notes.foreign_keys.iter_mut().map(|key| &mut key.columns);
            let keys = keys
                .chain(&mut notes.unique)
                .chain([&mut notes.primary_key]);
            for column in keys.flatten().filter(|column| *column == from) {
                to.clone_into(column);
            }
        });
        Ok(())
    }

    async fn alter_column(
        &mut self,
        mut altered: Altered,
        column: &str,
        operation: &AlterColumnOperation,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        use AlterColumnOperation as O;
        let place = altered.place(column)?;
        match operation {
            O::SetNotNull => {
                self.check_no_nulls(&altered, column, control).await?;
                altered.fields[place].set_nullable(false);
            }
            O::DropNotNull => {
                if altered
                    .relation
                    .notes
                    .primary_key
                    .iter()
                    .any(|key| key == column)
                {
                    return Err(Error::new(
                        SqlState::InvalidTableDefinition,
                        format!("column \"{column}\" is in a primary key"),
                    ));
                }
                altered.fields[place].set_nullable(true);
            }
            O::SetDefault { value } => {
                let field = &mut altered.fields[place];
                note(field, DEFAULT_METADATA, &value.to_string());
                self.default_value(field, control).await?;
            }
            O::DropDefault => {
                let field = &mut altered.fields[place];
                let mut metadata = field.metadata().clone();
                metadata.remove(DEFAULT_METADATA);
                field.set_metadata(metadata);
            }
            O::SetDataType {
                data_type, using, ..
            } => {
                let definition = ColumnDef {
                    name: Ident::with_quote('"', column),
                    data_type: data_type.clone(),
                    options: Vec::new(),
                };
                let new = self.declared_column(&definition, control).await?;
                return self
                    .retype(altered, place, new, using.as_ref(), control)
                    .await;
            }
            O::AddGenerated { .. } => return Err(unsupported("ADD GENERATED")),
        }
        self.reshape(altered, None, control).await
    }

    async fn retype(
        &mut self,
        mut altered: Altered,
        place: usize,
        new: Field,
        using: Option<&Expr>,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        let relation = Arc::clone(&altered.relation);
        let old = altered.fields[place].clone();
        let mut values = altered.values();
        if let Some(using) = using {
            values[place] = using.clone();
        }
        let mut field = new.with_nullable(old.is_nullable());
        for key in [DEFAULT_METADATA, "comment"] {
            if let Some(value) = old.metadata().get(key) {
                note(&mut field, key, value);
            }
        }
        self.default_value(&field, control).await.map_err(|_| {
            Error::datatype_mismatch(format!(
                "default for column \"{}\" cannot be cast automatically to type {}",
                field.name(),
                type_name(&field)
            ))
        })?;
        altered.fields[place] = field.clone();
        let reshaped = self.reshape(altered, Some(values), control).await;
        reshaped.map_err(|error| match error.state() {
            SqlState::DatatypeMismatch => not_automatic(&field, using.is_some()),
            _ => error,
        })?;
        let refused = Dependents::Refuse(
            SqlState::FeatureNotSupported,
            "cannot alter type of a column used by a view or rule".to_owned(),
        );
        self.check_views(&relation, Some(refused), control).await
    }

    /// Gives a table other columns, with the rows that the expressions make of the old ones; without any,
    /// the rows stay as they are.
    pub(super) async fn reshape(
        &mut self,
        altered: Altered,
        values: Option<Vec<Expr>>,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        let columns = Schema::new_with_metadata(
            altered.fields.clone(),
            altered.base.columns().metadata().clone(),
        );
        let columns: SchemaRef = Arc::new(partitioned(&columns, &altered.partition_columns()?)?);
        let (relation, base) = (&altered.relation, &altered.base);
        let (files, operation) = match values.filter(|_| base.rows() > 0) {
            None => (base.files().to_vec(), Operation::Append),
            Some(values) => {
                let items = values.into_iter().map(SelectItem::UnnamedExpr).collect();
                let query = altered.table().select_only(&relation.id, items)?;
                let files = self.rewritten(relation, &columns, &query, control).await?;
                (files, Operation::Overwrite)
            }
        };
        let now = self
            .warehouse()?
            .content_of(relation, columns, files, Some(base.as_ref()))?;
        let (id, base) = (relation.id.clone(), Arc::clone(base));
        self.stage(|staged| staged.set_content(&id, Some(base), now, operation));
        Ok(())
    }

    /// Writes the rows of a query to files of a table that will have these columns.
    async fn rewritten(
        &self,
        relation: &Relation,
        columns: &SchemaRef,
        query: &Statement,
        control: &Arc<StatementControl>,
    ) -> Result<Vec<crate::storage::StoredFile>> {
        let assignment = Assignment::of_all(columns, 0);
        let planned = self.plan(query, &[], Some(&assignment), control).await?;
        let planning = Arc::clone(control);
        let runnable = self
            .plan_on_thread(control, move |shared, state| async move {
                plan::make_runnable(&state, &shared.lake, planned, Vec::new(), 0, &planning).await
            })
            .await?;
        let limits = TextLimits::of(columns);
        let writer = self.warehouse()?.writer(relation, Arc::clone(columns))?;
        let control = Arc::clone(control);
        let written = self.shared.workers.query(async move {
            let rows = execute_stream(runnable.plan, runnable.context)?;
            let rows = rows.map(move |batch| limits.apply(batch?));
            write_all(rows.boxed(), writer, &control).await
        });
        Ok(written.await?.0)
    }

    pub(super) async fn check_no_nulls(
        &self,
        altered: &Altered,
        column: &str,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        let table = altered.table();
        let count = syntax::parse_expression("count(*)")?;
        let items = vec![SelectItem::UnnamedExpr(count)];
        let mut query = table.select_only(&altered.relation.id, items)?;
        if let Statement::Query(query) = &mut query {
            let missing = Expr::IsNull(Box::new(table.column(column)));
            syntax::select_mut(query)?.selection = Some(missing);
        }
        match self.single_value(&query, control).await? {
            ScalarValue::Int64(Some(0)) => Ok(()),
            _ => Err(contains_nulls(column, &altered.relation)),
        }
    }
}

impl Altered {
    /// The columns that the table is partitioned by, under their new names; 42P16 if one is not what it was.
    fn partition_columns(&self) -> Result<Vec<String>> {
        let columns = self.base.columns();
        let is_same = self.fields.len() == columns.fields().len();
        let key = |name: String| {
            let wrong = |what: &str| {
                Error::new(
                    SqlState::InvalidTableDefinition,
                    format!(
                        "cannot {what} column \"{name}\" because it is part of the partition key of relation \"{}\"",
                        self.relation.name
                    ),
                )
            };
            let known = columns.column_with_name(&name);
            let (place, old) = known.ok_or_else(|| wrong("find"))?;
            let now = match is_same {
                true => self.fields.get(place),
                false => self.fields.iter().find(|field| *field.name() == name),
            };
            let now = now.ok_or_else(|| wrong("drop"))?;
            match now.data_type() == old.data_type() {
                true => Ok(now.name().clone()),
                false => Err(wrong("alter")),
            }
        };
        partition_columns(columns).into_iter().map(key).collect()
    }

    pub(super) fn place(&self, column: &str) -> Result<usize> {
        let place = self.fields.iter().position(|field| field.name() == column);
        place.ok_or_else(|| {
            Error::undefined_column(format!(
                "column \"{column}\" of relation \"{}\" does not exist",
                self.relation.name
            ))
        })
    }

    fn table(&self) -> ChangedTable {
        ChangedTable::own(
            &self.relation.schema,
            &self.relation.name,
            &self.relation.name,
        )
    }

    /// Each column as it is.
    fn values(&self) -> Vec<Expr> {
        let table = self.table();
        let fields = self.fields.iter();
        fields.map(|field| table.column(field.name())).collect()
    }
}

/// 23502
fn contains_nulls(column: &str, relation: &Relation) -> Error {
    Error::new(
        SqlState::NotNullViolation,
        format!(
            "column \"{column}\" of relation \"{}\" contains null values",
            relation.name
        ),
    )
}

fn type_name(field: &Field) -> String {
    let (oid, typmod) = pg_type_of_field(field);
    format_type(oid, typmod).unwrap_or_else(|| "text".to_owned())
}

/// 42804
fn not_automatic(field: &Field, has_using: bool) -> Error {
    let (column, name) = (field.name(), type_name(field));
    match has_using {
        true => Error::datatype_mismatch(format!(
            "result of USING clause for column \"{column}\" cannot be cast automatically to type {name}"
        ))
        .with_hint("You might need to add an explicit cast."),
        false => Error::datatype_mismatch(format!(
            "column \"{column}\" cannot be cast automatically to type {name}"
        ))
        .with_hint(format!("You might need to specify \"USING {column}::{name}\".")),
    }
}

// --- views ---

/// What happens to views that do not give their columns any more.
enum Dependents {
    Drop,
    Refuse(SqlState, String),
}

impl Session {
    /// Plans the views on an altered table again.
    async fn check_views(
        &mut self,
        relation: &Arc<Relation>,
        behaviour: Option<Dependents>,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        for view in self.dependents(relation)? {
            let name = ObjectName::from(
                [&view.schema, &view.name]
                    .map(|part| Ident::with_quote('"', part))
                    .to_vec(),
            );
            let query = Statement::Query(Box::new(plan::select_from(name, &[])?));
            let broken = match self.plan(&query, &[], None, control).await {
                Ok(planned) => !gives_its_columns(&view, &planned.schema, &planned.names),
                Err(error) if error.state() == SqlState::QueryCanceled => return Err(error),
                Err(_) => true,
            };
            if !broken {
                continue;
            }
            match &behaviour {
                Some(Dependents::Drop) => self.drop_relation(&view, true).await?,
                Some(Dependents::Refuse(SqlState::DependentObjectsStillExist, what)) => {
                    return Err(Error::new(
                        SqlState::DependentObjectsStillExist,
                        format!("cannot drop {what} because other objects depend on it"),
                    )
                    .with_detail(format!("view {} depends on {what}", view.name))
                    .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
                }
                Some(Dependents::Refuse(state, message)) => {
                    return Err(Error::new(*state, message.clone())
                        .with_detail(format!("It is view {}.", view.name))
                        .with_hint("Drop the view first, and make it again."));
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn gives_its_columns(view: &Relation, schema: &Schema, names: &[String]) -> bool {
    let Some(columns) = &view.columns else {
        return true;
    };
    let types = |schema: &Schema| -> Vec<u32> {
        let fields = schema.fields().iter();
        fields.map(|field| pg_type_of_field(field).0).collect()
    };
    let own = columns.fields().iter().map(|field| field.name());
    own.eq(names) && types(columns) == types(schema)
}
