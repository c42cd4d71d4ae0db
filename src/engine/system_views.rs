//! The server's own views: `cron.job` and its history, `loyalhouse.matviews` and what else tells how the
//! server does. They are not listed in the catalog: they are nobody's data.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    DataType, Field, IntervalMonthDayNano, IntervalUnit, Schema, SchemaRef, TimeUnit,
};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::probes::{self, Probes};
use super::state::SessionVariables;
use crate::error::Error;
use crate::jobs::options::{Sort, shown};
use crate::jobs::{Job, Jobs, Progress, Run, RunStatus};
use crate::runtime::{Clock, microseconds};
use crate::warehouse::Relation;

/// Schema of pg_cron's tables.
pub const CRON: &str = "cron";
/// Name of the history of jobs.
pub const RUNS: &str = "job_run_details";
/// Schema of the server's own views.
pub const OWN: &str = "loyalhouse";

/// Rows of the history that are shown at most, newest last.
const RUNS_SHOWN_MAX: usize = 100_000;
/// Microseconds to nanoseconds.
const NANOS: i64 = 1_000;

/// What the views are made from.
#[derive(Debug)]
pub struct Sources {
    /// What clients asked for in vain.
    pub probes: Arc<Probes>,
    /// The jobs; none without a warehouse folder.
    pub jobs: Option<Arc<Jobs>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A schema of system views.
#[derive(Debug)]
pub struct SystemViews {
    sources: Arc<Sources>,
    views: &'static [Name],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    CronJob,
    CronRuns,
    Probes,
    Matviews,
    Refreshes,
    Jobs,
    Alerts,
}

impl Name {
    const fn text(self) -> &'static str {
        match self {
            Self::CronJob => "job",
            Self::CronRuns => RUNS,
            Self::Probes => probes::VIEW,
            Self::Matviews => "matviews",
            Self::Refreshes => "matview_refreshes",
            Self::Jobs => "jobs",
            Self::Alerts => "alerts",
        }
    }
}

impl SystemViews {
    /// The schema `cron`.
    pub fn cron(sources: Arc<Sources>) -> Self {
        Self {
            sources,
            views: &[Name::CronJob, Name::CronRuns],
        }
    }

    /// The schema `loyalhouse`.
    pub fn own(sources: Arc<Sources>) -> Self {
        Self {
            sources,
            views: &[
                Name::Probes,
                Name::Matviews,
                Name::Refreshes,
                Name::Jobs,
                Name::Alerts,
            ],
        }
    }

    fn find(&self, name: &str) -> Option<Name> {
        self.views.iter().copied().find(|view| view.text() == name)
    }
}

#[async_trait]
impl SchemaProvider for SystemViews {
    fn table_names(&self) -> Vec<String> {
        self.views
            .iter()
            .map(|view| view.text().to_owned())
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(name) = self.find(name) else {
            return Ok(None);
        };
        let columns = Shown::default().rows_of(name).finish()?.schema();
        Ok(Some(Arc::new(SystemView {
            sources: Arc::clone(&self.sources),
            name,
            columns,
        })))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

#[derive(Debug)]
struct SystemView {
    sources: Arc<Sources>,
    name: Name,
    columns: SchemaRef,
}

#[async_trait]
impl TableProvider for SystemView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = match self.name {
            Name::Probes => self.sources.probes.rows()?,
            name => {
                let variables = session
                    .config()
                    .options()
                    .extensions
                    .get::<SessionVariables>();
                let variables =
                    variables.ok_or_else(|| Error::internal("a view is read outside a session"))?;
                let shown = Shown::read(&self.sources, variables, name).await?;
                shown.rows_of(name).finish()?
            }
        };
        Ok(MemorySourceConfig::try_new_exec(
            &[vec![batch]],
            self.schema(),
            projection.cloned(),
        )?)
    }
}

/// What a session may see of jobs.
#[derive(Debug, Default)]
struct Shown {
    jobs: Vec<Arc<Job>>,
    runs: Vec<Run>,
    last: BTreeMap<i64, Run>,
    progress: BTreeMap<i64, Progress>,
    relations: BTreeMap<String, Stored>,
    now_us: i64,
}

/// A materialized view as it is stored.
#[derive(Debug)]
struct Stored {
    relation: Arc<Relation>,
    rows: Option<i64>,
    version: Option<i64>,
}

impl Shown {
    async fn read(sources: &Sources, session: &SessionVariables, name: Name) -> Result<Self> {
        let Some(jobs) = &sources.jobs else {
            return Ok(Self::default());
        };
        let authorization = session.authorization();
        // As pg_cron's policies: everybody sees what is his own.
        let may_see = |user: &str| authorization.superuser || authorization.user == user;
        let mut shown = Self {
            now_us: microseconds(sources.clock.now()),
            ..Self::default()
        };
        let known = jobs.seen(&session.pending_jobs).into_values();
        shown.jobs = known.filter(|job| may_see(&job.user)).collect();
        if matches!(name, Name::CronRuns | Name::Refreshes) {
            let mut runs = jobs.runs(RUNS_SHOWN_MAX)?;
            runs.retain(|run| may_see(&run.user));
            shown.runs = runs;
        }
        if matches!(name, Name::Jobs | Name::Matviews | Name::Alerts) {
            shown.last = jobs.last_runs()?;
            shown.progress = jobs.progress()?;
        }
        let Some(view) = &session.view else {
            return Ok(shown);
        };
        for relation in view.relations() {
            let mut stored = Stored {
                relation: Arc::clone(&relation),
                rows: None,
                version: None,
            };
            let is_shown = shown
                .jobs
                .iter()
                .any(|job| job.relation.as_ref() == Some(&relation.id));
            if name == Name::Matviews && is_shown && relation.populated {
                let content = view.content(&relation).await?;
                stored.rows = i64::try_from(content.rows()).ok();
                stored.version = content
                    .version_number()
                    .and_then(|version| version.try_into().ok());
            }
            shown.relations.insert(relation.id.clone(), stored);
        }
        Ok(shown)
    }

    fn rows_of(&self, name: Name) -> Columns {
        match name {
            Name::CronJob => self.cron_jobs(),
            Name::CronRuns => self.cron_runs(),
            Name::Matviews => self.matviews(),
            Name::Refreshes => self.refreshes(),
            Name::Jobs => self.own_jobs(),
            Name::Alerts => self.alerts(),
            Name::Probes => Columns::of(Probes::columns()),
        }
    }

    fn commands(&self) -> Vec<&Arc<Job>> {
        self.jobs
            .iter()
            .filter(|job| job.sort == Sort::Command)
            .collect()
    }

    fn cron_jobs(&self) -> Columns {
        let jobs = self.commands();
        let mut columns = Columns::default();
        columns.numbers("jobid", jobs.iter().map(|job| Some(job.id)));
        columns.texts("schedule", jobs.iter().map(|job| Some(job.schedule())));
        columns.texts("command", jobs.iter().map(|job| Some(job.command.as_str())));
        columns.texts("nodename", jobs.iter().map(|_| Some("localhost")));
        columns.integers("nodeport", jobs.iter().map(|_| Some(5432)));
        columns.texts(
            "database",
            jobs.iter().map(|job| Some(job.database.as_str())),
        );
        columns.texts("username", jobs.iter().map(|job| Some(job.user.as_str())));
        columns.truths("active", jobs.iter().map(|job| Some(job.active)));
        columns.texts("jobname", jobs.iter().map(|job| job.name.as_deref()));
        columns
    }

    fn cron_runs(&self) -> Columns {
        // pg_cron knows no run that never ran.
        let runs = self.runs.iter();
        let runs: Vec<&Run> = runs
            .filter(|run| run.sort == Sort::Command && run.status != RunStatus::Skipped)
            .collect();
        let mut columns = Columns::default();
        columns.numbers("jobid", runs.iter().map(|run| Some(run.job)));
        columns.numbers("runid", runs.iter().map(|run| Some(run.id)));
        columns.integers("job_pid", runs.iter().map(|run| run.pid));
        columns.texts(
            "database",
            runs.iter().map(|run| Some(run.database.as_str())),
        );
        columns.texts("username", runs.iter().map(|run| Some(run.user.as_str())));
        columns.texts("command", runs.iter().map(|run| Some(run.command.as_str())));
        columns.texts("status", runs.iter().map(|run| Some(run.status.name())));
        columns.texts(
            "return_message",
            runs.iter().map(|run| run.message.as_deref()),
        );
        columns.instants("start_time", runs.iter().map(|run| run.started_us));
        columns.instants("end_time", runs.iter().map(|run| run.ended_us));
        columns
    }

    fn name_of(&self, relation: Option<&String>) -> Option<String> {
        let stored = self.relations.get(relation?)?;
        let relation = &stored.relation;
        Some(format!("{}.{}", relation.schema, relation.name))
    }

    fn refreshes(&self) -> Columns {
        let runs = self.runs.iter().filter(|run| run.relation.is_some());
        let runs: Vec<&Run> = runs.collect();
        let mut columns = Columns::default();
        columns.owned(
            "view",
            runs.iter().map(|run| self.name_of(run.relation.as_ref())),
        );
        columns.numbers("run_id", runs.iter().map(|run| Some(run.id)));
        columns.texts("trigger", runs.iter().map(|run| Some(run.trigger.name())));
        columns.instants(
            "scheduled_at",
            runs.iter().map(|run| Some(run.scheduled_us)),
        );
        columns.instants("start_time", runs.iter().map(|run| run.started_us));
        columns.instants("end_time", runs.iter().map(|run| run.ended_us));
        columns.spans("duration", runs.iter().map(|run| duration(run)));
        columns.texts("status", runs.iter().map(|run| Some(run.status.name())));
        columns.numbers(
            "attempt",
            runs.iter().map(|run| Some(i64::from(run.attempt))),
        );
        columns.numbers("rows_written", runs.iter().map(|run| run.rows));
        columns.numbers("delta_version", runs.iter().map(|run| run.version));
        let failed = |run: &&&Run| run.status != RunStatus::Succeeded;
        columns.texts(
            "error",
            runs.iter().map(|run| {
                Some(run)
                    .filter(failed)
                    .and_then(|run| run.message.as_deref())
            }),
        );
        columns
    }

    fn matviews(&self) -> Columns {
        let views: Vec<(&Arc<Job>, &Stored)> = self
            .jobs
            .iter()
            .filter_map(|job| Some((job, self.relations.get(job.relation.as_ref()?)?)))
            .collect();
        let mut columns = Columns::default();
        let relations = || views.iter().map(|(_, stored)| &stored.relation);
        columns.texts(
            "schema",
            relations().map(|relation| Some(relation.schema.as_str())),
        );
        columns.texts(
            "name",
            relations().map(|relation| Some(relation.name.as_str())),
        );
        columns.texts(
            "owner",
            relations().map(|relation| Some(relation.owner.as_str())),
        );
        let option = |name: &'static str| {
            views
                .iter()
                .map(move |(job, _)| job.options.get(name).map(String::as_str))
        };
        columns.texts("schedule", option("schedule"));
        columns.texts("timezone", option("timezone"));
        columns.texts("after", option("after"));
        columns.owned(
            "mode",
            views.iter().map(|(job, _)| {
                Some(
                    job.options
                        .get("mode")
                        .map_or("replace", String::as_str)
                        .to_owned(),
                )
            }),
        );
        self.standing(
            &mut columns,
            &views.iter().map(|(job, _)| *job).collect::<Vec<_>>(),
        );
        columns.numbers("row_count", views.iter().map(|(_, stored)| stored.rows));
        columns.numbers("version", views.iter().map(|(_, stored)| stored.version));
        columns.truths(
            "populated",
            relations().map(|relation| Some(relation.populated)),
        );
        columns.owned(
            "options",
            views
                .iter()
                .map(|(job, _)| serde_json::to_string(&shown(&job.options)).ok()),
        );
        columns
    }

    fn own_jobs(&self) -> Columns {
        let jobs = self.commands();
        let mut columns = Columns::default();
        columns.numbers("jobid", jobs.iter().map(|job| Some(job.id)));
        columns.texts("jobname", jobs.iter().map(|job| job.name.as_deref()));
        columns.texts("schedule", jobs.iter().map(|job| Some(job.schedule())));
        columns.texts("username", jobs.iter().map(|job| Some(job.user.as_str())));
        self.standing(&mut columns, &jobs);
        columns.owned(
            "options",
            jobs.iter()
                .map(|job| serde_json::to_string(&shown(&job.options)).ok()),
        );
        columns
    }

    fn alerts(&self) -> Columns {
        let alerts: Vec<&Arc<Job>> = self
            .jobs
            .iter()
            .filter(|job| job.sort == Sort::Alert)
            .collect();
        let progress = |job: &Job| self.progress.get(&job.id).copied().unwrap_or_default();
        let mut columns = Columns::default();
        columns.texts("name", alerts.iter().map(|job| job.name.as_deref()));
        columns.texts("owner", alerts.iter().map(|job| Some(job.user.as_str())));
        columns.texts(
            "condition",
            alerts.iter().map(|job| job.command.strip_prefix("SELECT ")),
        );
        columns.texts("schedule", alerts.iter().map(|job| Some(job.schedule())));
        columns.truths("active", alerts.iter().map(|job| Some(job.active)));
        columns.truths(
            "firing",
            alerts
                .iter()
                .map(|job| Some(progress(job).firing_us.is_some())),
        );
        columns.instants("since", alerts.iter().map(|job| progress(job).firing_us));
        columns.instants(
            "last_check",
            alerts.iter().map(|job| progress(job).succeeded_us),
        );
        columns.instants(
            "next_check",
            alerts
                .iter()
                .map(|job| progress(job).next_us.filter(|_| job.active)),
        );
        columns.numbers(
            "failures",
            alerts
                .iter()
                .map(|job| Some(i64::from(progress(job).failures))),
        );
        columns.texts(
            "last_error",
            alerts.iter().map(|job| {
                let last = self
                    .last
                    .get(&job.id)
                    .filter(|run| run.status == RunStatus::Failed);
                last.and_then(|run| run.message.as_deref())
            }),
        );
        columns.owned(
            "options",
            alerts
                .iter()
                .map(|job| serde_json::to_string(&shown(&job.options)).ok()),
        );
        columns
    }

    /// Where jobs stand.
    fn standing(&self, columns: &mut Columns, jobs: &[&Arc<Job>]) {
        let progress = |job: &Job| self.progress.get(&job.id).copied().unwrap_or_default();
        let last = |job: &Job| self.last.get(&job.id);
        columns.texts(
            "status",
            jobs.iter().map(|job| Some(status(job, last(job)))),
        );
        columns.instants(
            "last_success",
            jobs.iter().map(|job| progress(job).succeeded_us),
        );
        columns.instants(
            "next_run",
            jobs.iter()
                .map(|job| progress(job).next_us.filter(|_| job.active)),
        );
        columns.spans(
            "staleness",
            jobs.iter().map(|job| {
                progress(job)
                    .succeeded_us
                    .map(|at| self.now_us.saturating_sub(at).max(0))
            }),
        );
        columns.numbers(
            "failures",
            jobs.iter()
                .map(|job| Some(i64::from(progress(job).failures))),
        );
        columns.spans(
            "last_duration",
            jobs.iter().map(|job| last(job).and_then(duration)),
        );
        columns.texts(
            "last_error",
            jobs.iter().map(|job| {
                let failed = last(job).filter(|run| {
                    matches!(
                        run.status,
                        RunStatus::Failed | RunStatus::Starting | RunStatus::Skipped
                    )
                });
                failed.and_then(|run| run.message.as_deref())
            }),
        );
    }
}

/// In a word.
fn status(job: &Job, last: Option<&Run>) -> &'static str {
    match last.map(|run| run.status) {
        Some(RunStatus::Running) => "running",
        Some(RunStatus::Starting) => "waiting",
        _ if !job.active => "suspended",
        Some(RunStatus::Failed) => "failed",
        Some(RunStatus::Skipped) => "skipped",
        Some(RunStatus::Succeeded) => "ok",
        None => "never run",
    }
}

fn duration(run: &Run) -> Option<i64> {
    Some(run.ended_us?.saturating_sub(run.started_us?).max(0))
}

/// Columns of a result, one after the other.
#[derive(Debug, Default)]
struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    /// Columns without rows.
    fn of(schema: SchemaRef) -> Self {
        let batch = RecordBatch::new_empty(schema);
        let fields = batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        Self {
            fields,
            arrays: batch.columns().to_vec(),
        }
    }

    fn push(&mut self, name: &str, data_type: DataType, array: ArrayRef) {
        self.fields.push(Field::new(name, data_type, true));
        self.arrays.push(array);
    }

    fn texts<'a>(&mut self, name: &str, values: impl Iterator<Item = Option<&'a str>>) {
        let array: StringArray = values.collect();
        self.push(name, DataType::Utf8, Arc::new(array));
    }

    fn owned(&mut self, name: &str, values: impl Iterator<Item = Option<String>>) {
        let array: StringArray = values.collect();
        self.push(name, DataType::Utf8, Arc::new(array));
    }

    fn numbers(&mut self, name: &str, values: impl Iterator<Item = Option<i64>>) {
        let array: Int64Array = values.collect();
        self.push(name, DataType::Int64, Arc::new(array));
    }

    fn integers(&mut self, name: &str, values: impl Iterator<Item = Option<i32>>) {
        let array: Int32Array = values.collect();
        self.push(name, DataType::Int32, Arc::new(array));
    }

    fn truths(&mut self, name: &str, values: impl Iterator<Item = Option<bool>>) {
        let array: BooleanArray = values.collect();
        self.push(name, DataType::Boolean, Arc::new(array));
    }

    fn instants(&mut self, name: &str, values: impl Iterator<Item = Option<i64>>) {
        let array: TimestampMicrosecondArray = values.collect();
        let data_type = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        self.push(name, data_type, Arc::new(array.with_timezone("UTC")));
    }

    /// Spans in microseconds.
    fn spans(&mut self, name: &str, values: impl Iterator<Item = Option<i64>>) {
        let spans = values.map(|span| {
            span.map(|span| IntervalMonthDayNano::new(0, 0, span.saturating_mul(NANOS)))
        });
        let array: IntervalMonthDayNanoArray = spans.collect();
        self.push(
            name,
            DataType::Interval(IntervalUnit::MonthDayNano),
            Arc::new(array),
        );
    }

    fn finish(self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(self.fields)),
            self.arrays,
        )?)
    }
}
