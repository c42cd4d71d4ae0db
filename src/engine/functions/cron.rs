//! pg_cron's functions. Their arguments come in one form, see the dialect's `cron`.
//!
//! What they do to jobs waits in the session's transaction.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListBuilder, StringArray,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use super::session::session;
use crate::engine::state::{CATALOG, SessionVariables};
use crate::engine::statement::dialect::{cron_option_names, cron_parameters};
use crate::error::{self, Error};
use crate::jobs::options::{Sort, Written};
use crate::jobs::schedule::{self, Schedule};
use crate::jobs::{Change, Job, Jobs, Known};
use crate::parse;
use crate::runtime::{Clock, microseconds};
use crate::sqlstate::SqlState;

/// Times that `cron.next_runs` gives at most.
const NEXT_RUNS_MAX: i64 = 1_000;
/// Times that it gives if none are asked for.
const NEXT_RUNS: i64 = 5;

/// Registers the functions of this file.
pub(crate) fn register(
    state: &mut SessionState,
    jobs: Option<&Arc<Jobs>>,
    clock: &Arc<dyn Clock>,
    zone: chrono_tz::Tz,
) -> Result<()> {
    for action in [
        Action::Schedule,
        Action::ScheduleInDatabase,
        Action::AlterJob,
        Action::Unschedule,
        Action::RunNow,
        Action::NextRuns,
    ] {
        let function = Cron {
            action,
            jobs: jobs.map(Arc::clone),
            clock: Arc::clone(clock),
            zone,
            signature: action.signature(),
        };
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(function)))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Schedule,
    ScheduleInDatabase,
    AlterJob,
    Unschedule,
    RunNow,
    NextRuns,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "cron.schedule",
            Self::ScheduleInDatabase => "cron.schedule_in_database",
            Self::AlterJob => "cron.alter_job",
            Self::Unschedule => "cron.unschedule",
            Self::RunNow => "cron.run_now",
            Self::NextRuns => "cron.next_runs",
        }
    }

    /// The name without the schema.
    fn bare(self) -> &'static str {
        self.name().trim_start_matches("cron.")
    }

    fn signature(self) -> Signature {
        let form = match self {
            Self::Unschedule | Self::RunNow => TypeSignature::Any(1),
            _ => {
                let count =
                    cron_parameters(self.bare()).len() + cron_option_names(self.bare()).len();
                TypeSignature::Exact(vec![DataType::Utf8; count])
            }
        };
        Signature::new(form, Volatility::Volatile)
    }
}

#[derive(Debug)]
struct Cron {
    action: Action,
    jobs: Option<Arc<Jobs>>,
    clock: Arc<dyn Clock>,
    zone: chrono_tz::Tz,
    signature: Signature,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.action == other.action
    }
}

impl Eq for Cron {}

impl Hash for Cron {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.action.hash(state);
    }
}

fn instants() -> DataType {
    let item = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

impl ScalarUDFImpl for Cron {
    fn name(&self) -> &'static str {
        self.action.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.action {
            Action::Schedule | Action::ScheduleInDatabase => DataType::Int64,
            Action::Unschedule | Action::RunNow => DataType::Boolean,
            // PostgreSQL's type is void, which clients see as an empty text.
            Action::AlterJob => DataType::Utf8,
            Action::NextRuns => instants(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let rows = arrays.first().map_or(args.number_rows, Array::len);
        let session = session(&args.config_options)?;
        let made: ArrayRef = match self.action {
            Action::Schedule | Action::ScheduleInDatabase | Action::AlterJob => {
                let given = (0..rows).map(|row| Given::of(self.action, &arrays, row));
                let ids = given
                    .map(|given| self.change(session, &given?).map(Some))
                    .collect::<error::Result<Int64Array>>()?;
                match self.action {
                    Action::AlterJob => Arc::new(StringArray::from(vec![""; rows])),
                    _ => Arc::new(ids),
                }
            }
            Action::Unschedule | Action::RunNow => {
                let jobs = (0..rows).map(|row| self.named(session, &arrays[0], row));
                let done = jobs
                    .map(|job| self.act(session, job?.as_ref()).map(Some))
                    .collect::<error::Result<BooleanArray>>()?;
                Arc::new(done)
            }
            Action::NextRuns => self.next_runs(&arrays, rows)?,
        };
        Ok(ColumnarValue::Array(made))
    }
}

/// The arguments of one call; those that were not given are none.
#[derive(Debug, Default)]
struct Given {
    job_name: Option<String>,
    job_id: Option<i64>,
    schedule: Option<String>,
    command: Option<String>,
    database: Option<String>,
    username: Option<String>,
    active: Option<bool>,
    options: Written,
}

impl Given {
    fn of(action: Action, arrays: &[ArrayRef], row: usize) -> error::Result<Self> {
        let mut given = Self::default();
        let parameters = cron_parameters(action.bare());
        for (at, name) in parameters.iter().enumerate() {
            let Some(value) = text_at(&arrays[at], row)? else {
                continue;
            };
            match *name {
                "job_name" => given.job_name = Some(value),
                "job_id" => {
                    let id = value.trim().parse().map_err(|_| {
                        Error::invalid_text_representation(format!(
                            "invalid input syntax for type bigint: \"{value}\""
                        ))
                    })?;
                    given.job_id = Some(id);
                }
                "schedule" => given.schedule = Some(value),
                "command" => given.command = Some(value),
                "database" => given.database = Some(value),
                "username" => given.username = Some(value),
                _ => {
                    let active = parse::boolean(&value).ok_or_else(|| {
                        Error::invalid_text_representation(format!(
                            "invalid input syntax for type boolean: \"{value}\""
                        ))
                    })?;
                    given.active = Some(active);
                }
            }
        }
        for (at, name) in cron_option_names(action.bare()).into_iter().enumerate() {
            if let Some(value) = text_at(&arrays[parameters.len() + at], row)? {
                given.options.insert(name.to_owned(), value);
            }
        }
        Ok(given)
    }
}

fn text_at(array: &ArrayRef, row: usize) -> error::Result<Option<String>> {
    let array = cast(array, &DataType::Utf8)
        .map_err(|error| Error::internal("an argument is no text").with_source(error))?;
    let array: &StringArray = array.as_string();
    Ok(array.is_valid(row).then(|| array.value(row).to_owned()))
}

impl Cron {
    fn jobs(&self, session: &SessionVariables) -> error::Result<&Arc<Jobs>> {
        let settings = session.settings.lock();
        let settings = settings.unwrap_or_else(std::sync::PoisonError::into_inner);
        if settings.get("transaction_read_only") == Some("on") {
            return Err(Error::new(
                SqlState::ReadOnlySqlTransaction,
                format!(
                    "cannot execute {}() in a read-only transaction",
                    self.action.name()
                ),
            ));
        }
        self.jobs.as_ref().ok_or_else(|| {
            Error::feature_not_supported("jobs are kept in a warehouse folder")
                .with_hint("Start the server with --warehouse DIR.")
        })
    }

    /// Makes a job, or makes it otherwise; its number.
    fn change(&self, session: &SessionVariables, given: &Given) -> error::Result<i64> {
        let jobs = self.jobs(session)?;
        let authorization = session.authorization();
        if self.action != Action::Schedule && !authorization.superuser {
            // As pg_cron revokes them from PUBLIC.
            return Err(Error::insufficient_privilege(format!(
                "permission denied for function {}",
                self.action.bare()
            )));
        }
        let user = given
            .username
            .clone()
            .unwrap_or_else(|| authorization.user.clone());
        let known = jobs.seen(&session.pending_jobs);
        let old = match self.action {
            Action::AlterJob => {
                let id = given.job_id.ok_or_else(|| not_null("job_id"))?;
                let job = known.get(&id).filter(|job| job.sort == Sort::Command);
                Some(job.ok_or_else(|| {
                    Error::undefined_object(format!("Job {id} does not exist or you don't own it"))
                })?)
            }
            _ => given.job_name.as_ref().and_then(|name| {
                let mut known = known.values();
                known.find(|job| {
                    job.sort == Sort::Command && job.name.as_ref() == Some(name) && job.user == user
                })
            }),
        };
        let mut job = match old {
            Some(job) => job.as_ref().clone(),
            None => Job {
                id: jobs.new_id(),
                name: given.job_name.clone(),
                sort: Sort::Command,
                relation: None,
                user: user.clone(),
                database: CATALOG.to_owned(),
                command: given.command.clone().ok_or_else(|| not_null("command"))?,
                active: true,
                options: Written::new(),
            },
        };
        if let Some(username) = &given.username {
            let book = session.authority.book();
            if !book.is_open() && book.role(username).is_none() {
                return Err(Error::undefined_object(format!(
                    "role \"{username}\" does not exist"
                )));
            }
            job.user.clone_from(username);
        }
        if let Some(command) = &given.command {
            job.command.clone_from(command);
        }
        if let Some(database) = &given.database {
            job.database.clone_from(database);
        }
        job.active = given.active.unwrap_or(job.active);
        job.options.extend(given.options.clone());
        match &given.schedule {
            Some(schedule) => {
                job.options.insert("schedule".to_owned(), schedule.clone());
            }
            None if old.is_none() => return Err(not_null("schedule")),
            None => {}
        }
        job.read_options()?;
        let id = job.id;
        session.pending_jobs.push(Change::Put(Arc::new(job)))?;
        Ok(id)
    }

    /// The job of a number or a name.
    fn named(
        &self,
        session: &SessionVariables,
        argument: &ArrayRef,
        row: usize,
    ) -> error::Result<Arc<Job>> {
        let jobs = self.jobs(session)?;
        let authorization = session.authorization();
        let known = jobs.seen(&session.pending_jobs);
        let own = |job: &&Arc<Job>| {
            job.sort == Sort::Command && (authorization.superuser || job.user == authorization.user)
        };
        let (found, shown) = match argument.data_type() {
            number if number.is_integer() => {
                let ids = cast(argument, &DataType::Int64).map_err(|error| {
                    Error::internal("a number of a job is none").with_source(error)
                })?;
                let id = ids.as_primitive::<Int64Type>().value(row);
                (known.get(&id).filter(own).map(Arc::clone), id.to_string())
            }
            _ => {
                let name = text_at(argument, row)?.unwrap_or_default();
                let mut jobs = known.values().filter(own);
                let mut named = jobs.clone().filter(|job| {
                    job.name.as_ref() == Some(&name) && job.user == authorization.user
                });
                let any = jobs.find(|job| job.name.as_ref() == Some(&name));
                let found = named.next().or(any).map(Arc::clone);
                let found = found.or_else(|| self.refresh_of(session, &known, &name));
                (found, format!("'{name}'"))
            }
        };
        found.ok_or_else(|| {
            Error::undefined_object(format!("could not find valid entry for job {shown}"))
                .with_hint("SELECT * FROM cron.job shows your jobs.")
        })
    }

    /// The job that refreshes a materialized view of that name, for who may start it.
    fn refresh_of(
        &self,
        session: &SessionVariables,
        known: &Known,
        name: &str,
    ) -> Option<Arc<Job>> {
        if self.action != Action::RunNow {
            return None;
        }
        let (schema, table) = name.split_once('.').unwrap_or(("public", name));
        let relation = session.view.as_ref()?.relation(schema, table)?;
        if !session.authorization().has_role(&relation.owner) {
            return None;
        }
        let mut jobs = known.values();
        let job = jobs.find(|job| job.relation.as_ref() == Some(&relation.id));
        job.map(Arc::clone)
    }

    fn act(&self, session: &SessionVariables, job: &Job) -> error::Result<bool> {
        let change = match self.action {
            Action::Unschedule => Change::Remove(job.id),
            _ => Change::RunNow(job.id),
        };
        session.pending_jobs.push(change)?;
        Ok(true)
    }

    fn next_runs(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let values = TimestampMicrosecondBuilder::new().with_timezone("UTC");
        let mut lists = ListBuilder::new(values);
        for row in 0..rows {
            let Some(text) = text_at(&arrays[0], row)? else {
                lists.append_null();
                continue;
            };
            let schedule = Schedule::parse(&text)?;
            let count = match text_at(&arrays[1], row)? {
                Some(text) => text.parse().unwrap_or(-1),
                None => NEXT_RUNS,
            };
            if !(0..=NEXT_RUNS_MAX).contains(&count) {
                let message = format!("n must be between 0 and {NEXT_RUNS_MAX}");
                return Err(Error::invalid_parameter_value(message).into());
            }
            let zone = text_at(&arrays[2], row)?
                .map(|name| schedule::zone(&name))
                .transpose()?;
            let mut time = Some(microseconds(self.clock.now()));
            for _ in 0..count {
                time = time.and_then(|time| schedule.next_after(time, zone.unwrap_or(self.zone)));
                let Some(time) = time else { break };
                lists.values().append_value(time);
            }
            lists.append(true);
        }
        Ok(Arc::new(lists.finish()))
    }
}

fn not_null(parameter: &str) -> Error {
    Error::invalid_parameter_value(format!("{parameter} can not be NULL"))
}
