//! Statements that change tables: INSERT, UPDATE, DELETE, MERGE, and what makes, renames and drops them.
//!
//! What a statement does is staged in its session's `Work` and becomes real when its transaction ends.
//! Rows to change are found by an ordinary query for their addresses, so that every condition that a
//! SELECT takes means the same here.

mod alerts;
mod alter;
mod alter_keys;
mod assign;
mod change;
mod copy;
mod create;
mod drop;
mod history;
mod maintain;
mod materialized;
mod merge;
pub(super) mod names;
mod resolve;
mod returning;
mod serial;
mod syntax;
mod work;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use datafusion::sql::sqlparser::ast::{self, CreateTable, CreateView};
use futures::Stream;

pub(super) use self::assign::Assignment;
pub use self::copy::CopyInto;
pub(super) use self::materialized::ViewStatement;
pub use self::materialized::{REFRESH_APPLICATION, Refreshed, refresh_command};
use self::returning::Returning;
pub(super) use self::serial::sequence_name;
pub(super) use self::work::Work;
use super::command::Completion;
use super::control::StatementControl;
use super::plan::PlannedQuery;
use super::session::{Columns, Prepared, Session};
use super::statement::alert_command::AlertCommand;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::storage::StoredFile;
use crate::warehouse::{Relation, RowWriter};

/// A prepared statement that changes tables.
#[derive(Debug)]
pub(super) enum TableStatement {
    /// Rows are added, changed or removed.
    Change(Box<Change>),
    /// CREATE TABLE … AS.
    CreateAs(Box<CreateAs>),
    /// CREATE TABLE.
    Create(Box<CreateTable>),
    /// CREATE VIEW.
    CreateView(Box<CreateView>),
    /// What is about materialized views.
    View(Box<ViewStatement>),
    /// What is about alerts.
    Alert(Box<AlertCommand>),
    /// Rows of the history of jobs are removed.
    Forget(Box<Forget>),
    /// COPY … FROM STDIN.
    Copy(Box<copy::Copy>),
    /// What needs no plan.
    Definition(Box<ast::Statement>),
}

/// INSERT, UPDATE or DELETE.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: ChangeKind,
    pub(super) relation: Arc<Relation>,
    /// The table's columns when the statement was prepared.
    pub(super) columns: SchemaRef,
    /// The query for the rows.
    pub(super) query: ast::Statement,
    pub(super) planned: PlannedQuery,
    /// What each WHEN of a MERGE does.
    pub(super) actions: Vec<merge::Action>,
    /// Its RETURNING.
    pub(super) returning: Option<Returning>,
    /// Whether it reads tables, be it the one that it changes.
    pub(super) reads: bool,
}

/// What happens to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Insert,
    Update,
    Delete,
    Merge,
}

/// DELETE FROM cron.job_run_details.
#[derive(Debug)]
pub(super) struct Forget {
    /// The query for the numbers of the runs.
    pub(super) query: ast::Statement,
    pub(super) planned: PlannedQuery,
}

/// CREATE TABLE … AS.
#[derive(Debug)]
pub(super) struct CreateAs {
    pub(super) table: CreateTable,
    pub(super) query: ast::Statement,
    pub(super) planned: PlannedQuery,
}

impl TableStatement {
    /// The plan of its query.
    pub(super) fn planned(&self) -> Option<&PlannedQuery> {
        match self {
            Self::Change(change) => Some(&change.planned),
            Self::CreateAs(create) => Some(&create.planned),
            Self::Alert(_) => None,
            Self::View(view) => view.planned.as_ref(),
            Self::Forget(forget) => Some(&forget.planned),
            Self::Create(_) | Self::CreateView(_) | Self::Copy(_) | Self::Definition(_) => None,
        }
    }

    /// Whether it is INSERT, UPDATE, DELETE or MERGE.
    pub(super) fn is_change(&self) -> bool {
        matches!(self, Self::Change(_))
    }

    /// Whether it sees no rows of any table: it does not matter to it which of them are written.
    pub(super) fn only_adds(&self) -> bool {
        matches!(self, Self::Change(change) if change.kind == ChangeKind::Insert && !change.reads)
    }

    /// The columns of its result, if it has one.
    pub(super) fn columns(&self) -> Option<Columns> {
        match self {
            Self::Change(change) => change.returning.as_ref().map(Returning::columns),
            _ => None,
        }
    }
}

/// Name of the schema whose tables are the queries of materialized views, named by the views' ids. Who reads
/// one reads what its owner may; only those who have the owner's rights come to it.
pub(super) const QUERIES_SCHEMA: &str = "loyalhouse queries of views";

/// 0A000
fn unsupported(what: &str) -> Error {
    Error::feature_not_supported(format!("{what} is not supported"))
}

/// Whether a statement is SELECT … INTO.
pub(super) fn is_select_into(statement: &ast::Statement) -> bool {
    matches!(statement, ast::Statement::Query(query)
        if matches!(query.body.as_ref(), ast::SetExpr::Select(select) if select.into.is_some()))
}

/// SELECT … INTO as the CREATE TABLE … AS that it is.
pub(super) fn create_of_select_into(mut statement: ast::Statement) -> Result<ast::Statement> {
    let into = match &mut statement {
        ast::Statement::Query(query) => match query.body.as_mut() {
            ast::SetExpr::Select(select) => select.into.take(),
            _ => None,
        },
        _ => None,
    };
    let (ast::Statement::Query(query), Some(into)) = (statement, into) else {
        return Err(Error::internal("a SELECT INTO is none"));
    };
    let table = CreateTableBuilder::new(into.name)
        .temporary(into.temporary)
        .query(Some(query));
    Ok(table.build().into())
}

/// The change that a query with WITH before it is.
fn change_within(query: &ast::Query) -> Option<&ast::Statement> {
    match query.body.as_ref() {
        ast::SetExpr::Insert(change)
        | ast::SetExpr::Update(change)
        | ast::SetExpr::Delete(change)
        | ast::SetExpr::Merge(change) => Some(change),
        _ => None,
    }
}

/// A change without the WITH before it, which an INSERT takes to its rows.
fn split_with(statement: ast::Statement) -> (Option<ast::With>, ast::Statement) {
    let ast::Statement::Query(query) = &statement else {
        return (None, statement);
    };
    let Some(change) = change_within(query) else {
        return (None, statement);
    };
    let (mut with, mut change) = (query.with.clone(), change.clone());
    if let (ast::Statement::Insert(insert), Some(outer)) = (&mut change, &mut with)
        && let Some(source) = &mut insert.source
    {
        if let Some(own) = source.with.take() {
            outer.recursive |= own.recursive;
            outer.cte_tables.extend(own.cte_tables);
        }
        source.with = with.take();
    }
    (with, change)
}

/// Whether a statement is one of those here.
pub(super) fn concerns(statement: &ast::Statement) -> bool {
    use ast::Statement as S;
    if let S::Query(query) = statement {
        return change_within(query).is_some();
    }
    matches!(
        statement,
        S::Insert(_)
            | S::Update(_)
            | S::Delete(_)
            | S::Merge(_)
            | S::CreateTable(_)
            | S::CreateView(_)
            | S::CreateSchema { .. }
            | S::Drop { .. }
            | S::Truncate(_)
            | S::AlterTable(_)
            | S::Comment { .. }
    )
}

impl Session {
    /// Prepares a statement that changes tables.
    pub(super) async fn prepare_table_statement(
        &self,
        statement: ast::Statement,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<TableStatement> {
        use ast::Statement as S;
        let (with, statement) = split_with(statement);
        let with = with.as_ref();
        match statement {
            S::Insert(insert) => Box::pin(self.prepare_insert(&insert, declared, control)).await,
            S::Update(update) => self.prepare_update(&update, with, declared, control).await,
            S::Delete(delete) => self.prepare_delete(&delete, with, declared, control).await,
            S::Merge(merge) => Box::pin(self.prepare_merge(&merge, with, declared, control)).await,
            S::CreateTable(mut table) => match table.query.take() {
                Some(query) => {
                    let query = ast::Statement::Query(query);
                    let planned = self.plan(&query, declared, None, control).await?;
                    Ok(TableStatement::CreateAs(Box::new(CreateAs {
                        table,
                        query,
                        planned,
                    })))
                }
                None => Ok(TableStatement::Create(Box::new(table))),
            },
            S::CreateView(view) => Ok(TableStatement::CreateView(Box::new(view))),
            other => Ok(TableStatement::Definition(Box::new(other))),
        }
    }

    /// Refuses what changes something in a transaction that must not.
    pub(super) fn check_writable(&self, command: &str) -> Result<()> {
        match self.settings().get("transaction_read_only") {
            Some("on") => Err(Error::new(
                SqlState::ReadOnlySqlTransaction,
                format!("cannot execute {command} in a read-only transaction"),
            )),
            _ => Ok(()),
        }
    }

    async fn run_definition(
        &mut self,
        statement: &ast::Statement,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        use ast::Statement as S;
        match statement {
            S::CreateSchema {
                schema_name,
                if_not_exists,
                ..
            } => self.create_schema(schema_name, *if_not_exists),
            S::Drop {
                object_type,
                if_exists,
                names,
                cascade,
                ..
            } => {
                self.drop_objects(*object_type, names, *if_exists, *cascade)
                    .await
            }
            S::Truncate(truncate) => self.truncate(truncate).await,
            S::AlterTable(alter) => Box::pin(self.alter_table(alter, control)).await,
            S::Comment {
                object_type,
                object_name,
                comment,
                ..
            } => {
                self.comment(*object_type, object_name, comment.clone())
                    .await
            }
            other => super::command::run(self, other),
        }
    }
}

impl Session {
    /// Runs a statement that changes tables.
    pub(super) async fn run_table_statement(
        &mut self,
        statement: &TableStatement,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        match statement {
            TableStatement::Change(_) => Err(Error::internal("a change was run as a definition")),
            TableStatement::CreateAs(create) => {
                self.create_as(create, prepared, values, control).await
            }
            TableStatement::Create(table) => self.create_table(table, control).await,
            TableStatement::CreateView(view) => {
                self.create_view(view, &prepared.text, control).await
            }
            TableStatement::View(view) => self.run_view_command(view, prepared, control).await,
            TableStatement::Alert(alert) => self.run_alert_command(alert, control).await,
            TableStatement::Forget(forget) => {
                self.forget_runs(forget, prepared, values, control).await
            }
            TableStatement::Copy(_) => Err(Error::internal("a COPY was run without its rows")),
            TableStatement::Definition(statement) => self.run_definition(statement, control).await,
        }
    }
}

/// Writes rows until there are no more or the statement is stopped.
async fn write_all(
    mut rows: impl Stream<Item = Result<RecordBatch>> + Unpin,
    mut writer: RowWriter,
    control: &StatementControl,
) -> Result<(Vec<StoredFile>, u64)> {
    let written = async {
        while let Some(batch) = control.next(&mut rows).await? {
            writer.write(&batch).await?;
        }
        Ok(())
    };
    let written = written.await;
    writer.conclude(written).await
}
