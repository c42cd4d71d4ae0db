//! CREATE SCHEMA, TABLE, TABLE AS and VIEW.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateView, Expr, HiveDistributionStyle, IndexColumn,
    ObjectName, SchemaName, Statement, TableConstraint,
};
use futures::TryStreamExt;

use super::resolve::{Found, shown};
use super::{CreateAs, serial, syntax, unsupported, write_all};
use crate::auth::privilege::{Object, Privilege};
use crate::auth::{DATABASE, OWNER};
use crate::config::tables::{ForeignKeyNote, TableNotes};
use crate::engine::authorize;
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::plan;
use crate::engine::session::{Prepared, Session};
use crate::engine::statement::definitions;
use crate::engine::statement::dialect::{cast as cast_to, name_of, name_parts, null};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::warehouse::{
    self, DEFAULT_METADATA, Kind, Operation, Relation, TEMPORARY_SCHEMA, already_exists,
    partitioned,
};

/// Columns of one table, as in PostgreSQL.
const COLUMNS_MAX: usize = 1_600;

impl Session {
    /// The role that owns what the session makes.
    fn owner(&self) -> String {
        let facts = self.facts();
        let book = facts.authority.book();
        let user = facts.authorization().user;
        match book.role(&user) {
            Some(role) => role.name.clone(),
            None => OWNER.to_owned(),
        }
    }

    pub(super) fn check_create(&self, schema: &str) -> Result<()> {
        let facts = self.facts();
        let authorization = facts.authorization();
        let book = facts.authority.book();
        let owns = self.existing_view()?.schema(schema);
        let owns = owns.is_some_and(|schema| authorization.has_role(&schema.owner));
        let object = Object::Schema(schema.to_owned());
        let may = authorization.may(&book, Privilege::Create, &object);
        match owns || may || schema == TEMPORARY_SCHEMA {
            true => Ok(()),
            false => Err(authorize::denied("schema", schema)),
        }
    }

    pub(super) fn create_schema(
        &mut self,
        name: &SchemaName,
        if_not_exists: bool,
    ) -> Result<Completion> {
        self.check_writable("CREATE SCHEMA")?;
        let (name, owner) = match name {
            SchemaName::Simple(name) => (single(name)?, None),
            SchemaName::UnnamedAuthorization(owner) => (name_of(owner), Some(name_of(owner))),
            SchemaName::NamedAuthorization(name, owner) => (single(name)?, Some(name_of(owner))),
        };
        let done = Completion::tag("CREATE SCHEMA");
        if name.starts_with("pg_") {
            return Err(Error::new(
                SqlState::ReservedName,
                format!("unacceptable schema name \"{name}\""),
            )
            .with_detail("The prefix \"pg_\" is reserved for system schemas."));
        }
        let facts = self.facts();
        let authorization = facts.authorization();
        let book = facts.authority.book();
        if !authorization.may(&book, Privilege::Create, &Object::Database) {
            return Err(authorize::denied("database", DATABASE));
        }
        if let Some(owner) = &owner
            && !book.is_open()
        {
            book.existing(owner)?;
        }
        if self.schemas()?.contains(&name) || name == "information_schema" {
            let message = format!("schema \"{name}\" already exists");
            return match if_not_exists {
                true => {
                    Ok(done.warning(SqlState::DuplicateSchema, &format!("{message}, skipping")))
                }
                false => Err(Error::new(SqlState::DuplicateSchema, message)),
            };
        }
        let schema = Arc::new(warehouse::Schema {
            name: name.clone(),
            owner: owner.unwrap_or_else(|| self.owner()),
            comment: None,
        });
        self.stage(|staged| staged.set_schema(&name, None, Some(schema)));
        Ok(done)
    }

    /// A name for something new; `None` if it is there and need not be made.
    pub(super) fn new_place(
        &self,
        name: &ObjectName,
        temporary: bool,
        if_not_exists: bool,
    ) -> Result<Option<(String, String)>> {
        let (schema, table) = self.place(name, temporary)?;
        self.check_create(&schema)?;
        let taken = self.existing_view()?.has(&schema, &table);
        match (taken, if_not_exists) {
            (false, _) => Ok(Some((schema, table))),
            (true, true) => Ok(None),
            (true, false) => Err(already_exists(&table)),
        }
    }

    pub(super) async fn create_table(
        &mut self,
        table: &CreateTable,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("CREATE TABLE")?;
        check_form(table)?;
        let place = self.new_place(&table.name, table.temporary, table.if_not_exists)?;
        let done = Completion::tag("CREATE TABLE");
        let Some(place) = place else {
            return Ok(exists_notice(done, &table.name));
        };
        let mut relation = self.new_relation(place, Kind::Table);
        let columns = self.declared_columns(table, &mut relation, control).await?;
        let columns = Arc::new(partitioned(&columns, &partition_names(table))?);
        let content = self
            .warehouse()?
            .content_of(&relation, columns, Vec::new(), None)?;
        self.stage(|staged| {
            let id = relation.id.clone();
            staged.set_relation(key(&relation), None, Some(Arc::new(relation)));
            staged.set_content(&id, None, content, Operation::Append);
        });
        Ok(done)
    }

    pub(super) fn new_relation(&self, (schema, name): (String, String), kind: Kind) -> Relation {
        Relation {
            id: warehouse::new_id(),
            schema,
            name,
            kind,
            owner: self.owner(),
            definition: None,
            search_path: self.facts().facts().search_path,
            columns: None,
            notes: TableNotes::default(),
            sequences: Vec::new(),
            populated: true,
        }
    }

    /// The columns that a CREATE TABLE declares.
    async fn declared_columns(
        &self,
        table: &CreateTable,
        relation: &mut Relation,
        control: &Arc<StatementControl>,
    ) -> Result<SchemaRef> {
        if table.columns.len() > COLUMNS_MAX {
            return Err(Error::new(
                SqlState::TooManyColumns,
                format!("tables can have at most {COLUMNS_MAX} columns"),
            ));
        }
        let mut fields: Vec<Field> = Vec::with_capacity(table.columns.len());
        let mut notes = declared_keys(&table.columns, &table.constraints)?;
        for column in &table.columns {
            let declared = match definitions::like_options(&column.name.value) {
                Some(options) => {
                    self.columns_like(column, options, &mut notes, control)
                        .await?
                }
                None => {
                    let mut field = self.declared_column(column, control).await?;
                    if let Some(numbering) = serial::numbering(column)? {
                        let place = (relation.schema.as_str(), relation.name.as_str());
                        let taken = &relation.sequences;
                        let sequence = self.number_by(&mut field, &numbering, place, taken)?;
                        relation.sequences.push(sequence);
                    }
                    vec![field]
                }
            };
            for field in declared {
                if fields.iter().any(|known| known.name() == field.name()) {
                    return Err(syntax::named_twice(field.name()));
                }
                fields.push(field);
            }
        }
        for name in &notes.primary_key {
            let field = fields.iter_mut().find(|field| field.name() == name);
            let field = field.ok_or_else(|| {
                Error::undefined_column(format!("column \"{name}\" named in key does not exist"))
            })?;
            field.set_nullable(false);
        }
        relation.notes = notes;
        Ok(Arc::new(Schema::new(fields)))
    }

    /// The columns of another relation, and the keys of it that are taken over.
    async fn columns_like(
        &self,
        column: &ColumnDef,
        options: &str,
        notes: &mut TableNotes,
        control: &Arc<StatementControl>,
    ) -> Result<Vec<Field>> {
        let foreign = |option: &ColumnOption| match option {
            ColumnOption::ForeignKey(key) => Some(key.foreign_table.clone()),
            _ => None,
        };
        let name = column
            .options
            .iter()
            .find_map(|option| foreign(&option.option));
        let name = name.ok_or_else(|| Error::syntax_error("LIKE needs the name of a table"))?;
        let takes = |what: &str| {
            let words: Vec<&str> = options.split(' ').collect();
            let mut pairs = words.chunks(2).rev();
            pairs
                .find(|pair| pair.get(1).is_some_and(|word| [what, "all"].contains(word)))
                .is_some_and(|pair| pair[0] == "including")
        };
        let fields: Vec<Field> = match self.found(&name)? {
            Found::Written(relation) if relation.kind == Kind::Table => {
                self.check_privilege(&relation, Privilege::Select)?;
                let content = self.existing_view()?.content(&relation).await?;
                if takes("indexes") {
                    if notes.primary_key.is_empty() {
                        notes.primary_key.clone_from(&relation.notes.primary_key);
                    }
                    notes.unique.extend(relation.notes.unique.iter().cloned());
                }
                let fields = content.columns().fields().iter();
                fields.map(|field| field.as_ref().clone()).collect()
            }
            _ => {
                let query = Statement::Query(Box::new(plan::select_from(name, &[])?));
                let planned = self.plan(&query, &[], None, control).await?;
                let columns = stored_columns(&planned.schema, &planned.names)?;
                columns
                    .fields()
                    .iter()
                    .map(|field| field.as_ref().clone())
                    .collect()
            }
        };
        let dropped = [("defaults", DEFAULT_METADATA), ("comments", "comment")];
        let dropped = dropped.into_iter().filter(|(option, _)| !takes(option));
        let dropped: Vec<&str> = dropped.map(|(_, key)| key).collect();
        let taken = fields.into_iter().map(|field| {
            let mut metadata = field.metadata().clone();
            metadata.retain(|key, _| !dropped.contains(&key.as_str()));
            field.with_metadata(metadata)
        });
        Ok(taken.collect())
    }

    pub(super) async fn declared_column(
        &self,
        column: &ColumnDef,
        control: &Arc<StatementControl>,
    ) -> Result<Field> {
        let name = name_of(&column.name);
        let data_type = serial::serial_type(&column.data_type);
        let data_type = data_type.unwrap_or_else(|| column.data_type.clone());
        let query = syntax::select_one(cast_to(null(), data_type))?;
        let planned = self.plan(&query, &[], None, control).await?;
        let field = planned.schema.fields().first().cloned();
        let field = field.ok_or_else(|| Error::internal("a column has no type"))?;
        let mut field =
            warehouse::stored(&field.as_ref().clone().with_name(name))?.with_nullable(true);
        for option in &column.options {
            match &option.option {
                ColumnOption::Null => {}
                ColumnOption::NotNull | ColumnOption::PrimaryKey(_) => field.set_nullable(false),
                ColumnOption::Unique(_)
                | ColumnOption::ForeignKey(_)
                | ColumnOption::Collation(_)
                | ColumnOption::Generated { .. } => {}
                ColumnOption::Comment(comment) => {
                    note(&mut field, "comment", comment);
                }
                ColumnOption::Default(expr) => {
                    note(&mut field, DEFAULT_METADATA, &expr.to_string());
                    // Planned once, so that a mistake shows now and not with the first row.
                    self.default_value(&field, control).await?;
                }
                other => {
                    return Err(Error::feature_not_supported(format!(
                        "{other} of column \"{}\" is not supported",
                        field.name()
                    )));
                }
            }
        }
        Ok(field)
    }

    pub(super) async fn create_as(
        &mut self,
        create: &CreateAs,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("CREATE TABLE AS")?;
        let table = &create.table;
        check_form(table)?;
        let replaced = match table.or_replace {
            true => self.replaced(&table.name, control).await?,
            false => None,
        };
        let place = match &replaced {
            Some(old) => Some((old.schema.clone(), old.name.clone())),
            None => self.new_place(&table.name, table.temporary, table.if_not_exists)?,
        };
        let Some(place) = place else {
            return Ok(exists_notice(
                Completion::tag("CREATE TABLE AS"),
                &table.name,
            ));
        };
        let columns = result_columns(create)?;
        let columns = Arc::new(partitioned(&columns, &partition_names(table))?);
        let relation = Arc::new(self.new_relation(place, Kind::Table));
        let rows = self
            .rows(&create.query, &create.planned, prepared, values, control)
            .await?;
        let writer = self.warehouse()?.writer(&relation, Arc::clone(&columns))?;
        let control = Arc::clone(control);
        let written = self.shared.workers.query(async move {
            let stream = rows.start()?.map_err(Error::from);
            write_all(stream, writer, &control).await
        });
        let (files, count) = written.await?;
        let content = self
            .warehouse()?
            .content_of(&relation, columns, files, None)?;
        self.stage(|staged| {
            let id = relation.id.clone();
            if let Some(old) = &replaced {
                staged.forget_content(&old.id);
            }
            staged.set_relation(key(&relation), replaced, Some(Arc::clone(&relation)));
            staged.set_content(&id, None, content, Operation::Append);
        });
        let without_data = matches!(&create.query, Statement::Query(query)
            if definitions::is_without_data(query));
        Ok(match without_data {
            true => Completion::tag("CREATE TABLE AS"),
            false => Completion::tag(&format!("SELECT {count}")),
        })
    }

    /// The table that OR REPLACE puts another one in the place of.
    async fn replaced(
        &mut self,
        name: &ObjectName,
        control: &Arc<StatementControl>,
    ) -> Result<Option<Arc<Relation>>> {
        match self.find(name)? {
            None => Ok(None),
            Some(Found::InPlace(table)) => Err(super::resolve::in_place(&table)),
            Some(Found::Written(relation)) if relation.kind != Kind::Table => Err(
                Error::wrong_object_type(format!("\"{}\" is not a table", relation.name)),
            ),
            Some(Found::Written(relation)) => {
                self.check_owner(&relation)?;
                self.hold_stopping(&relation, control).await?;
                Ok(Some(relation))
            }
        }
    }

    /// 42501 unless the relation is the session's.
    pub(super) fn check_owner(&self, relation: &Relation) -> Result<()> {
        match authorize::owns(&self.facts().authorization(), relation) {
            true => Ok(()),
            false => Err(Error::insufficient_privilege(format!(
                "must be owner of {} {}",
                relation.kind.name(),
                relation.name
            ))),
        }
    }

    pub(super) async fn create_view(
        &mut self,
        view: &CreateView,
        text: &str,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("CREATE VIEW")?;
        let done = Completion::tag("CREATE VIEW");
        let old = match self.find(&view.name)? {
            Some(Found::Written(old)) if view.or_replace => Some(old),
            _ => None,
        };
        let place = match &old {
            Some(old) => Some((old.schema.clone(), old.name.clone())),
            None => self.new_place(&view.name, view.temporary, view.if_not_exists)?,
        };
        let Some(place) = place else {
            return Ok(exists_notice(done, &view.name));
        };
        let query = Statement::Query(view.query.clone());
        let planned = self.plan(&query, &[], None, control).await?;
        let mut names: Vec<String> = planned.names.clone();
        for (name, column) in names.iter_mut().zip(&view.columns) {
            *name = name_of(&column.name);
        }
        let columns = named_columns(&planned.schema, &names)?;
        if let Some(old) = &old {
            if old.kind != Kind::View {
                return Err(Error::wrong_object_type(format!(
                    "\"{}\" is not a view",
                    old.name
                )));
            }
            self.check_owner(old)?;
            check_replaceable(old.columns.as_deref(), &columns)?;
        }
        let mut relation = self.new_relation(place, Kind::View);
        relation.definition = Some(text.to_owned());
        relation.columns = Some(Arc::new(columns));
        if let Some(old) = &old {
            relation.id.clone_from(&old.id);
            relation.owner.clone_from(&old.owner);
            relation.notes.clone_from(&old.notes);
        }
        self.stage(|staged| staged.set_relation(key(&relation), old, Some(Arc::new(relation))));
        Ok(done)
    }
}

/// The keys that columns and constraints declare.
pub(super) fn declared_keys(
    columns: &[ColumnDef],
    constraints: &[TableConstraint],
) -> Result<TableNotes> {
    let mut notes = TableNotes::default();
    let columns = columns
        .iter()
        .filter(|column| definitions::like_options(&column.name.value).is_none());
    for column in columns {
        let name = name_of(&column.name);
        for option in &column.options {
            match &option.option {
                ColumnOption::PrimaryKey(_) => notes.primary_key.push(name.clone()),
                ColumnOption::Unique(_) => notes.unique.push(vec![name.clone()]),
                ColumnOption::ForeignKey(key) => notes.foreign_keys.push(ForeignKeyNote {
                    columns: vec![name.clone()],
                    references: shown(&key.foreign_table),
                    to: key.referred_columns.iter().map(name_of).collect(),
                }),
                _ => {}
            }
        }
    }
    for constraint in constraints {
        match constraint {
            TableConstraint::PrimaryKey(key) => notes.primary_key = key_columns(&key.columns)?,
            TableConstraint::Unique(key) => notes.unique.push(key_columns(&key.columns)?),
            TableConstraint::ForeignKey(key) => notes.foreign_keys.push(ForeignKeyNote {
                columns: key.columns.iter().map(name_of).collect(),
                references: shown(&key.foreign_table),
                to: key.referred_columns.iter().map(name_of).collect(),
            }),
            other => {
                return Err(Error::feature_not_supported(format!(
                    "the constraint {other} is not supported"
                )));
            }
        }
    }
    Ok(notes)
}

fn key_columns(columns: &[IndexColumn]) -> Result<Vec<String>> {
    let name = |column: &IndexColumn| match &column.column.expr {
        Expr::Identifier(name) => Ok(name_of(name)),
        other => Err(Error::syntax_error(format!(
            "\"{other}\" is no column of a key"
        ))),
    };
    columns.iter().map(name).collect()
}

/// Schema and name of a relation.
pub(super) fn key(relation: &Relation) -> (String, String) {
    (relation.schema.clone(), relation.name.clone())
}

/// The only part of a schema's name.
pub(super) fn single(name: &ObjectName) -> Result<String> {
    let parts = name_parts(name).unwrap_or_default();
    match parts.as_slice() {
        [name] => Ok(name.clone()),
        [database, name] if database == crate::engine::state::CATALOG => Ok(name.clone()),
        _ => Err(Error::syntax_error(format!(
            "\"{name}\" is no name of a schema"
        ))),
    }
}

pub(super) fn note(field: &mut Field, key: &str, value: &str) {
    let mut metadata: HashMap<String, String> = field.metadata().clone();
    metadata.insert(key.to_owned(), value.to_owned());
    field.set_metadata(metadata);
}

fn exists_notice(done: Completion, name: &ObjectName) -> Completion {
    let message = format!("relation \"{}\" already exists, skipping", shown(name));
    done.warning(SqlState::DuplicateTable, &message)
}

fn check_form(table: &CreateTable) -> Result<()> {
    let refused = [
        (table.external, "CREATE EXTERNAL TABLE"),
        (table.inherits.is_some(), "INHERITS"),
        (table.partition_of.is_some(), "PARTITION OF"),
        (
            table.partition_by.is_some(),
            "PARTITION BY (tables have PARTITIONED BY (column, …))",
        ),
        (table.clone.is_some(), "CLONE"),
        (table.like.is_some(), "LIKE behind the name"),
    ];
    match refused.iter().find(|(is_used, _)| *is_used) {
        Some((_, what)) => Err(unsupported(what)),
        None => Ok(()),
    }
}

/// The columns that PARTITIONED BY names.
fn partition_names(table: &CreateTable) -> Vec<String> {
    match &table.hive_distribution {
        HiveDistributionStyle::PARTITIONED { columns } => {
            columns.iter().map(|column| name_of(&column.name)).collect()
        }
        _ => Vec::new(),
    }
}

/// The columns of a table that is made from a query.
fn result_columns(create: &CreateAs) -> Result<SchemaRef> {
    let planned = &create.planned;
    let mut names = planned.names.clone();
    if create.table.columns.len() > names.len() {
        return Err(Error::syntax_error("too many column names were specified"));
    }
    for (name, column) in names.iter_mut().zip(&create.table.columns) {
        *name = name_of(&column.name);
    }
    stored_columns(&planned.schema, &names)
}

/// The columns that a query's rows are kept in.
pub(super) fn stored_columns(schema: &Schema, names: &[String]) -> Result<SchemaRef> {
    let columns = named_columns(schema, names)?;
    let stored = columns.fields().iter().map(|field| {
        let field = warehouse::stored(field)?;
        // What a query gives may hold NULL later; keys of the metadata that are another table's go.
        let mut metadata = field.metadata().clone();
        metadata.retain(|key, _| key.starts_with("pg_") || key.starts_with("ARROW:"));
        Ok(field.with_nullable(true).with_metadata(metadata))
    });
    Ok(Arc::new(Schema::new(
        stored.collect::<Result<Vec<Field>>>()?,
    )))
}

/// Columns with other names; 42701 if one is given twice.
pub(super) fn named_columns(schema: &Schema, names: &[String]) -> Result<Schema> {
    let mut fields: Vec<Field> = Vec::with_capacity(names.len());
    for (field, name) in schema.fields().iter().zip(names) {
        if fields.iter().any(|known| known.name() == name) {
            return Err(syntax::named_twice(name));
        }
        fields.push(field.as_ref().clone().with_name(name));
    }
    Ok(Schema::new(fields))
}

/// 42P16 unless a view keeps its columns, as PostgreSQL demands of OR REPLACE.
fn check_replaceable(old: Option<&Schema>, new: &Schema) -> Result<()> {
    let Some(old) = old else { return Ok(()) };
    let wrong = |message: String| Err(Error::new(SqlState::InvalidTableDefinition, message));
    if old.fields().len() > new.fields().len() {
        return wrong("cannot drop columns from view".to_owned());
    }
    for (old, new) in old.fields().iter().zip(new.fields()) {
        if old.name() != new.name() {
            return wrong(format!(
                "cannot change name of view column \"{}\" to \"{}\"",
                old.name(),
                new.name()
            ));
        }
        let types = |field: &Field| crate::catalog::pg_type::pg_type_of_field(field).0;
        if types(old) != types(new) {
            return wrong(format!(
                "cannot change data type of view column \"{}\"",
                old.name()
            ));
        }
    }
    Ok(())
}
