//! Materialized views: tables that hold what a query gave, and are filled anew by REFRESH.
//!
//! A refresh is a transaction like any other: readers see the rows before until it is committed, and a
//! failed one leaves them. Its query runs with the rights of the view's owner.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Owner};

use super::create::{key, stored_columns};
use super::resolve::{Found, shown};
use super::{QUERIES_SCHEMA, write_all};
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::plan::PlannedQuery;
use crate::engine::session::{Outcome, Prepared, Rows, Session};
use crate::engine::state::CATALOG;
use crate::engine::statement::dialect::name_of;
use crate::engine::statement::view_command::{Alteration, CreateMaterialized, ViewCommand};
use crate::error::{Error, Result};
use crate::jobs::options::{Mode, Options, Sort};
use crate::jobs::{Change, Job, Jobs, Ran};
use crate::runtime::microseconds;
use crate::sqlstate::SqlState;
use crate::storage::partition_columns;
use crate::warehouse::{Application, Content, Kind, Operation, Relation, partitioned};

/// The name under which refreshes sign their commits.
pub const REFRESH_APPLICATION: &str = "loyalhouse.refresh";

/// A prepared statement about materialized views.
#[derive(Debug)]
pub(in crate::engine) struct ViewStatement {
    command: ViewCommand,
    /// The query of a new view.
    pub(super) planned: Option<PlannedQuery>,
}

/// What a refresh did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// The view's id.
    pub relation: String,
    /// Rows that it wrote.
    pub rows: u64,
}

impl Session {
    pub(in crate::engine) async fn prepare_view_command(
        &self,
        command: ViewCommand,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<ViewStatement> {
        let planned = match &command {
            ViewCommand::Create(create) => {
                let planned = self.plan(&create.query, declared, None, control).await?;
                if !planned.parameters.is_empty() {
                    return Err(Error::feature_not_supported(
                        "materialized views may not be defined using bound parameters",
                    ));
                }
                Some(planned)
            }
            _ => None,
        };
        Ok(ViewStatement { command, planned })
    }

    pub(super) async fn run_view_command(
        &mut self,
        statement: &ViewStatement,
        prepared: &Prepared,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        match (&statement.command, &statement.planned) {
            (ViewCommand::Create(create), Some(planned)) => {
                Box::pin(self.create_materialized(create, planned, prepared, control)).await
            }
            (ViewCommand::Create(_), None) => Err(Error::internal("a view has no query")),
            (ViewCommand::Refresh { name, with_data }, _) => {
                Box::pin(self.refresh(name, *with_data, control)).await
            }
            (
                ViewCommand::Alter {
                    name,
                    if_exists,
                    action,
                },
                _,
            ) => Box::pin(self.alter_materialized(name, *if_exists, action, control)).await,
        }
    }

    pub(super) fn jobs(&self) -> Result<Arc<Jobs>> {
        self.shared
            .jobs
            .clone()
            .ok_or_else(super::work::no_warehouse)
    }

    /// The job that refreshes a view, as this transaction sees it.
    fn job_of(&self, relation: &Relation) -> Result<Option<Arc<Job>>> {
        let known = self.jobs()?.seen(&self.work.jobs);
        let mut jobs = known.into_values();
        Ok(jobs.find(|job| job.relation.as_deref() == Some(relation.id.as_str())))
    }

    /// Ends the schedule of a view that goes.
    pub(super) fn forget_job(&self, relation: &Relation) -> Result<()> {
        match self.job_of(relation)? {
            Some(job) => self.work.jobs.push(Change::Remove(job.id)),
            None => Ok(()),
        }
    }

    async fn create_materialized(
        &mut self,
        create: &CreateMaterialized,
        planned: &PlannedQuery,
        prepared: &Prepared,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("CREATE MATERIALIZED VIEW")?;
        let options = Options::read(&create.options, Sort::Refresh)?;
        let replaced = match create.or_replace {
            true => self.replaced_view(&create.name, control).await?,
            false => None,
        };
        let done = Completion::tag("CREATE MATERIALIZED VIEW");
        let place = match &replaced {
            Some(old) => Some((old.schema.clone(), old.name.clone())),
            None => self.new_place(&create.name, false, create.if_not_exists)?,
        };
        let Some(place) = place else {
            let message = format!(
                "relation \"{}\" already exists, skipping",
                shown(&create.name)
            );
            return Ok(done.warning(SqlState::DuplicateTable, &message));
        };
        self.check_after(&place, &options)?;
        let columns = view_columns(create, planned)?;
        let columns = Arc::new(partitioned(&columns, &create.partitioned_by)?);
        check_columns(&options, &columns)?;
        let mut relation = self.new_relation(place, Kind::MaterializedView);
        relation.definition = Some(definition(create));
        relation.notes.comment.clone_from(&create.comment);
        relation.columns = Some(Arc::clone(&columns));
        relation.populated = create.with_data;
        let relation = Arc::new(relation);
        let started = self.shared.clock.now();
        let (files, count) = match create.with_data {
            true => {
                let rows = self.rows(&create.query, planned, prepared, Vec::new(), control);
                let rows = rows.await?;
                self.write_rows(rows, &relation, Arc::clone(&columns), control)
                    .await?
            }
            false => (Vec::new(), 0),
        };
        let warehouse = self.warehouse()?;
        let content = warehouse.content_of(&relation, columns, files, None)?;
        if let Some(old) = &replaced {
            self.forget_job(old)?;
        }
        self.stage(|staged| {
            if let Some(old) = &replaced {
                staged.forget_content(&old.id);
            }
            staged.set_relation(key(&relation), replaced, Some(Arc::clone(&relation)));
            staged.set_content(&relation.id, None, content, Operation::Append);
        });
        let job = Arc::new(Job {
            id: self.jobs()?.new_id(),
            name: None,
            sort: Sort::Refresh,
            relation: Some(relation.id.clone()),
            user: self.facts().authorization().user,
            database: CATALOG.to_owned(),
            command: String::new(),
            active: true,
            options: create.options.clone(),
        });
        self.work.jobs.push(Change::Put(Arc::clone(&job)))?;
        if !create.with_data {
            return Ok(done);
        }
        self.note_run(&job, &relation, started, count)?;
        Ok(Completion::tag(&format!("SELECT {count}")))
    }

    /// The view that OR REPLACE puts another one in the place of.
    async fn replaced_view(
        &mut self,
        name: &ObjectName,
        control: &Arc<StatementControl>,
    ) -> Result<Option<Arc<Relation>>> {
        match self.find(name)? {
            None => Ok(None),
            Some(Found::InPlace(table)) => Err(super::resolve::in_place(&table)),
            Some(Found::Written(relation)) => {
                check_is_view(&relation)?;
                self.check_owner(&relation)?;
                self.hold_stopping(&relation, control).await?;
                Ok(Some(relation))
            }
        }
    }

    /// 42P01 unless what a view waits for are materialized views; 42P17 if it waits for itself.
    fn check_after(&self, place: &(String, String), options: &Options) -> Result<()> {
        let view = self.existing_view()?;
        let own = format!("{}.{}", place.0, place.1);
        for name in &options.after {
            let (schema, table) = name.split_once('.').unwrap_or(("public", name.as_str()));
            let relation = view.relation(schema, table);
            let is_view = relation.is_some_and(|found| found.kind == Kind::MaterializedView);
            if format!("{schema}.{table}") == own {
                return Err(Error::new(
                    SqlState::InvalidObjectDefinition,
                    format!("materialized view \"{own}\" cannot wait for itself"),
                ));
            }
            if !is_view {
                return Err(Error::new(
                    SqlState::UndefinedTable,
                    format!("materialized view \"{name}\" does not exist"),
                )
                .with_hint("Name in \"after\" the materialized view, with its schema, whose refresh starts this one."));
            }
        }
        Ok(())
    }

    async fn write_rows(
        &self,
        rows: Rows,
        relation: &Relation,
        columns: SchemaRef,
        control: &Arc<StatementControl>,
    ) -> Result<(Vec<crate::storage::StoredFile>, u64)> {
        use futures::StreamExt;
        let writer = self.warehouse()?.writer(relation, columns)?;
        let control = Arc::clone(control);
        let written = self.shared.workers.query(async move {
            let stream = rows.start()?.map(|batch| batch.map_err(Error::from));
            write_all(stream, writer, &control).await
        });
        written.await
    }

    /// The history shows a refresh that was asked for; that of a job writes its own.
    fn note_run(
        &self,
        job: &Arc<Job>,
        relation: &Relation,
        started: std::time::SystemTime,
        rows: u64,
    ) -> Result<()> {
        if self.run.is_some() {
            return Ok(());
        }
        self.work.jobs.push(Change::Ran(Box::new(Ran {
            job: Arc::clone(job),
            command: refresh_command(relation),
            user: self.facts().authorization().user,
            pid: self.backend.pid,
            started_us: microseconds(started),
            ended_us: microseconds(self.shared.clock.now()),
            rows: i64::try_from(rows).unwrap_or(i64::MAX),
        })))
    }

    async fn refresh(
        &mut self,
        name: &ObjectName,
        with_data: bool,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("REFRESH MATERIALIZED VIEW")?;
        let relation = self.written(name)?;
        check_is_view(&relation)?;
        self.check_owner(&relation)?;
        self.hold_stopping(&relation, control).await?;
        let started = self.shared.clock.now();
        let base = self.content_to_change(&relation).await?;
        let done = Completion::tag("REFRESH MATERIALIZED VIEW");
        let job = self.job_of(&relation)?;
        let options = match &job {
            Some(job) => job.read_options()?,
            None => Options::read(&crate::jobs::options::Written::new(), Sort::Refresh)?,
        };
        let rows = if !with_data {
            self.replace_rows(&relation, &base, Vec::new(), Arc::clone(base.columns()))?;
            0
        } else if options.mode == Mode::Replace && options.window.is_none() {
            self.refresh_all(&relation, &base, control).await?
        } else {
            self.refreshing = Some(relation.id.clone());
            let refreshed = Box::pin(self.refresh_part(&relation, &options, control)).await;
            self.refreshing = None;
            refreshed?
        };
        if relation.populated != with_data {
            let mut changed = relation.as_ref().clone();
            changed.populated = with_data;
            self.stage(|staged| {
                staged.set_relation(
                    key(&relation),
                    Some(Arc::clone(&relation)),
                    Some(Arc::new(changed)),
                );
            });
        }
        if let Some(run) = self.run {
            self.stage(|staged| {
                let application = Application {
                    name: REFRESH_APPLICATION,
                    version: run,
                };
                staged.sign_content(&relation.id, application);
            });
        }
        if let Some(job) = job.filter(|_| with_data) {
            self.note_run(&job, &relation, started, rows)?;
        }
        self.refreshed = Some(Refreshed {
            relation: relation.id.clone(),
            rows,
        });
        Ok(done)
    }

    /// The rows of the view's query, with the rights of its owner.
    async fn query_of(
        &mut self,
        relation: &Relation,
        control: &Arc<StatementControl>,
    ) -> Result<Rows> {
        let text = format!("SELECT * FROM {}", query_name(relation));
        match self.run_text(&text, control).await? {
            Outcome::Rows(rows) => Ok(rows),
            _ => Err(Error::internal("the query of a view gave no rows")),
        }
    }

    /// Runs a statement that a refresh is made of.
    async fn run_text(&mut self, text: &str, control: &Arc<StatementControl>) -> Result<Outcome> {
        let parsed = self.parse(text, control).await?.pop();
        let parsed = parsed.ok_or_else(|| Error::internal("a refresh has no statement"))?;
        let prepared = Box::pin(self.prepare(parsed, Vec::new(), control)).await?;
        let run = Box::pin(self.execute(&prepared, Vec::<ScalarValue>::new(), control));
        run.await
    }

    /// All rows anew.
    async fn refresh_all(
        &mut self,
        relation: &Arc<Relation>,
        base: &Arc<Content>,
        control: &Arc<StatementControl>,
    ) -> Result<u64> {
        let rows = self.query_of(relation, control).await?;
        let now = stored_columns(&rows.columns.schema, &rows.columns.names)?;
        let columns = match same_types(&now, base.columns()) {
            true => Arc::clone(base.columns()),
            false => {
                let keys = partition_columns(base.columns());
                Arc::new(partitioned(&now, &keys)?)
            }
        };
        let written = self.write_rows(rows, relation, Arc::clone(&columns), control);
        let (files, count) = written.await?;
        self.replace_rows(relation, base, files, columns)?;
        Ok(count)
    }

    fn replace_rows(
        &mut self,
        relation: &Relation,
        base: &Arc<Content>,
        files: Vec<crate::storage::StoredFile>,
        columns: SchemaRef,
    ) -> Result<()> {
        let warehouse = self.warehouse()?;
        let content = warehouse.content_of(relation, columns, files, Some(base.as_ref()))?;
        let base = Arc::clone(base);
        self.stage(|staged| {
            staged.set_content(&relation.id, Some(base), content, Operation::Overwrite);
        });
        Ok(())
    }

    /// New rows beside those that stay. The query runs once: its rows wait in a temporary table.
    async fn refresh_part(
        &mut self,
        relation: &Arc<Relation>,
        options: &Options,
        control: &Arc<StatementControl>,
    ) -> Result<u64> {
        let view = format!("{}.{}", quoted(&relation.schema), quoted(&relation.name));
        let query = query_name(relation);
        let new = format!("pg_temp.{}", quoted(&format!("refresh of {}", relation.id)));
        let within = match (&options.window, &options.window_column) {
            (Some(window), Some(column)) => Some(format!(
                "{} >= now() - interval '{}'",
                quoted(column),
                window.replace('\'', "''")
            )),
            _ => None,
        };
        let mut texts = vec![format!(
            "CREATE TEMP TABLE {new} AS SELECT * FROM {query}{}",
            within
                .as_ref()
                .map(|within| format!(" WHERE {within}"))
                .unwrap_or_default()
        )];
        if let Some(within) = &within {
            texts.push(format!("DELETE FROM {view} WHERE {within}"));
        }
        if options.mode == Mode::Merge {
            let keys: Vec<String> = options.key.iter().map(|name| quoted(name)).collect();
            let same = keys
                .iter()
                .map(|key| format!("o.{key} IS NOT DISTINCT FROM n.{key}"));
            let same = same.collect::<Vec<_>>().join(" AND ");
            self.run_done(&texts.remove(0), control).await?;
            self.check_once(&new, &keys, control).await?;
            texts.push(format!(
                "DELETE FROM {view} AS o USING {new} AS n WHERE {same}"
            ));
        }
        texts.push(format!("INSERT INTO {view} SELECT * FROM {new}"));
        let mut tag = String::new();
        for text in &texts {
            tag = self.run_done(text, control).await?;
        }
        self.run_done(&format!("DROP TABLE {new}"), control).await?;
        let rows = tag.rsplit(' ').next().and_then(|count| count.parse().ok());
        Ok(rows.unwrap_or_default())
    }

    async fn run_done(&mut self, text: &str, control: &Arc<StatementControl>) -> Result<String> {
        match self.run_text(text, control).await? {
            Outcome::Done(done) => Ok(done.tag),
            _ => Err(Error::internal("a statement of a refresh gave rows")),
        }
    }

    /// 21000 if two new rows have one key: which of them stays would be chance.
    async fn check_once(
        &mut self,
        new: &str,
        keys: &[String],
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        let keys = keys.join(", ");
        let text = format!(
            "SELECT count(*) FROM (SELECT {keys} FROM {new} GROUP BY {keys} HAVING count(*) > 1) twice"
        );
        let parsed = self.parse(&text, control).await?.pop();
        let query = parsed.and_then(|parsed| parsed.statement);
        let query = query.ok_or_else(|| Error::internal("a check has no query"))?;
        match self.single_value(&query, control).await? {
            ScalarValue::Int64(Some(0)) => Ok(()),
            _ => Err(Error::new(
                SqlState::CardinalityViolation,
                format!("the query gives more than one row for a key ({keys})"),
            )
            .with_hint("Group by the key's columns, or name more columns in key.")),
        }
    }

    async fn alter_materialized(
        &mut self,
        name: &ObjectName,
        if_exists: bool,
        action: &Alteration,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("ALTER MATERIALIZED VIEW")?;
        let done = Completion::tag("ALTER MATERIALIZED VIEW");
        let relation = match self.find(name)? {
            None if if_exists => {
                let message = format!("relation \"{}\" does not exist, skipping", shown(name));
                return Ok(done.warning(SqlState::UndefinedTable, &message));
            }
            _ => self.written(name)?,
        };
        check_is_view(&relation)?;
        self.check_owner(&relation)?;
        self.hold_stopping(&relation, control).await?;
        match action {
            Alteration::Rename(to) => self.rename(&relation, &relation.schema.clone(), to)?,
            Alteration::Schema(to) => self.move_to(&relation, to)?,
            Alteration::Column { .. } => {
                return Err(
                    super::unsupported("ALTER MATERIALIZED VIEW … RENAME COLUMN")
                        .with_hint("Use CREATE OR REPLACE MATERIALIZED VIEW."),
                );
            }
            Alteration::Owner(owner) => {
                self.give_to(&relation, &Owner::Ident(Ident::with_quote('"', owner)))?;
            }
            other => self.alter_job(&relation, other)?,
        }
        Ok(done)
    }

    /// The refreshes of a view run as its owner.
    pub(super) fn give_job_to(&self, relation: &Relation, owner: &str) -> Result<()> {
        match self.job_of(relation)? {
            None => Ok(()),
            Some(job) => {
                let mut job = job.as_ref().clone();
                owner.clone_into(&mut job.user);
                self.work.jobs.push(Change::Put(Arc::new(job)))
            }
        }
    }

    fn alter_job(&mut self, relation: &Relation, action: &Alteration) -> Result<()> {
        let job = self.job_of(relation)?;
        let mut job = job
            .ok_or_else(|| Error::internal("a materialized view has no job"))?
            .as_ref()
            .clone();
        match action {
            Alteration::Suspend => job.active = false,
            Alteration::Resume => job.active = true,
            Alteration::Set(options) => job.options.extend(options.clone()),
            Alteration::Reset(names) => {
                for name in names {
                    crate::jobs::options::check_name(name, Sort::Refresh)?;
                    job.options.remove(name);
                }
            }
            _ => return Err(Error::internal("an alteration is none of a schedule")),
        }
        let options = job.read_options()?;
        self.check_after(&(relation.schema.clone(), relation.name.clone()), &options)?;
        if let Some(columns) = &relation.columns {
            check_columns(&options, columns)?;
        }
        self.work.jobs.push(Change::Put(Arc::new(job)))
    }
}

/// The statement that refreshes a view.
pub fn refresh_command(relation: &Relation) -> String {
    let (schema, name) = (&relation.schema, &relation.name);
    format!(
        "REFRESH MATERIALIZED VIEW {}.{}",
        quoted(schema),
        quoted(name)
    )
}

/// A name as SQL spells it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn query_name(relation: &Relation) -> String {
    format!("{}.{}", quoted(QUERIES_SCHEMA), quoted(&relation.id))
}

/// The definition in the form of an ordinary view's.
fn definition(create: &CreateMaterialized) -> String {
    let columns: Vec<String> = create
        .columns
        .iter()
        .map(|name| quoted(&name_of(name)))
        .collect();
    let columns = match columns.is_empty() {
        true => String::new(),
        false => format!(" ({})", columns.join(", ")),
    };
    format!("CREATE VIEW v{columns} AS {}", create.query_text)
}

fn view_columns(create: &CreateMaterialized, planned: &PlannedQuery) -> Result<SchemaRef> {
    let mut names = planned.names.clone();
    if create.columns.len() > names.len() {
        return Err(Error::syntax_error("too many column names were specified"));
    }
    for (name, column) in names.iter_mut().zip(&create.columns) {
        *name = name_of(column);
    }
    stored_columns(&planned.schema, &names)
}

/// 42703 for an option that names a column which is not there.
fn check_columns(options: &Options, columns: &SchemaRef) -> Result<()> {
    for name in options.key.iter().chain(&options.window_column) {
        if columns.column_with_name(name).is_none() {
            return Err(Error::undefined_column(format!(
                "column \"{name}\" of the view's query does not exist"
            )));
        }
    }
    Ok(())
}

/// 42809
fn check_is_view(relation: &Relation) -> Result<()> {
    match relation.kind {
        Kind::MaterializedView => Ok(()),
        _ => Err(Error::wrong_object_type(format!(
            "\"{}\" is not a materialized view",
            relation.name
        ))),
    }
}

fn same_types(left: &SchemaRef, right: &SchemaRef) -> bool {
    let types = crate::catalog::pg_type::pg_type_of_field;
    left.fields().len() == right.fields().len()
        && left
            .fields()
            .iter()
            .zip(right.fields())
            .all(|(left, right)| {
                left.name() == right.name()
                    && left.data_type() == right.data_type()
                    && types(left) == types(right)
            })
}
