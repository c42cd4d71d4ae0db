//! What runs by itself: the loop that starts jobs when their time has come.
//!
//! [`planner`] decides, `run` makes one attempt, this file drives them and writes down what happens before
//! and after. The wall clock counts, and it is looked at every minute at least, so that a machine that slept
//! or whose clock was set is noticed.

mod alarm;
pub mod planner;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono_tz::Tz;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::alarm::Event;
use self::planner::{Due, Outcome, Planner, Start, Todo, Verdict, micros};
use self::run::{Attempt, Place};
use crate::engine::Engine;
use crate::engine::tables::{REFRESH_APPLICATION, refresh_command};
use crate::error::{Error, Result};
use crate::jobs::options::Sort;
use crate::jobs::{Change, Claim, Ended, Job, Jobs, Run, RunStatus, Trigger};
use crate::runtime::{Clock, microseconds};
use crate::warehouse::{Relation, Staged, View, Warehouse};

/// Longest time between two looks at the clock.
const LOOK_TIME_MAX: Duration = Duration::from_mins(1);
/// Time to wait when the catalog file could not be written.
const STORE_RETRY_TIME: Duration = Duration::from_secs(1);
/// Time between two looks for history that is too old.
const PRUNE_TIME: Duration = Duration::from_hours(1);
/// Attempts of a refresh that a crash may have ended, beyond its retries.
const RESTARTS_MAX: u32 = 3;
/// Shortest and longest time between two removals of a view's old versions.
const CLEAN_TIME_MIN: Duration = Duration::from_mins(1);
const CLEAN_TIME_MAX: Duration = Duration::from_hours(24);
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// How a scheduler works.
#[derive(Debug, Clone)]
pub struct SchedulerSettings {
    /// The clock of schedules that name no zone.
    pub zone: Tz,
    /// Runs at the same time.
    pub running_max: usize,
    /// Days that the history is kept.
    pub retention_days: usize,
}

/// The jobs of a server and what runs them.
#[derive(Debug)]
pub struct Scheduler {
    engine: Arc<Engine>,
    jobs: Arc<Jobs>,
    warehouse: Arc<Warehouse>,
    clock: Arc<dyn Clock>,
    /// Made for the first webhook: it reads the machine's certificates.
    client: OnceLock<reqwest::Client>,
    settings: SchedulerSettings,
}

/// What is late, and what is being sent.
#[derive(Debug, Default)]
struct Watch {
    late: BTreeSet<i64>,
    cleaning: JoinSet<()>,
    /// When old versions of each job's view were removed last, in microseconds since 1970-01-01 UTC.
    cleaned_us: BTreeMap<i64, i64>,
    sending: JoinSet<Result<()>>,
    /// Nothing is sent before, in microseconds since 1970-01-01 UTC: the catalog file could not be written.
    not_before_us: i64,
}

/// An attempt that has ended.
type Done = (Start, Result<Attempt>);

impl Scheduler {
    /// A scheduler of an engine's jobs; none without a warehouse.
    pub fn new(
        engine: &Arc<Engine>,
        clock: Arc<dyn Clock>,
        settings: SchedulerSettings,
    ) -> Option<Self> {
        Some(Self {
            jobs: engine.jobs()?,
            warehouse: engine.warehouse()?,
            engine: Arc::clone(engine),
            clock,
            client: OnceLock::new(),
            settings,
        })
    }

    fn client(&self) -> Result<reqwest::Client> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let made = reqwest::Client::builder().build().map_err(|error| {
            Error::io_error("webhooks cannot be sent from this machine").with_source(error)
        })?;
        Ok(self.client.get_or_init(|| made).clone())
    }

    fn now(&self) -> i64 {
        microseconds(self.clock.now())
    }

    /// Starts jobs when they are due, until `stop`; then waits for those that run.
    pub async fn serve(&self, stop: CancellationToken) {
        let mut planner = Planner::new(self.settings.running_max, self.settings.zone);
        let mut running: JoinSet<Done> = JoinSet::new();
        if let Err(error) = self.begin(&mut planner).await {
            tracing::error!(%error, "the scheduler could not read its jobs");
        }
        let mut watch = Watch::default();
        let mut pruned_us = 0;
        loop {
            let looked = self.look(&mut planner, &mut running);
            let wait = match &looked {
                Ok(()) => self.wait(&planner).min(self.watch(&planner, &mut watch)),
                Err(error) => {
                    tracing::error!(%error, "the scheduler could not write down a run");
                    STORE_RETRY_TIME
                }
            };
            if self.now() - pruned_us > micros(PRUNE_TIME) {
                pruned_us = self.now();
                self.prune();
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.jobs.changed() => self.take_changes(&mut planner),
                Some(delivered) = watch.sending.join_next() => {
                    if let Ok(Err(error)) = delivered {
                        tracing::error!(%error, "messages could not be delivered");
                        watch.not_before_us = self.now() + micros(STORE_RETRY_TIME);
                    }
                }
                Some(done) = running.join_next() => self.done(&mut planner, &mut watch, done),
                () = tokio::time::sleep(wait) => {}
            }
        }
        while let Some(done) = running.join_next().await {
            self.done(&mut planner, &mut watch, done);
        }
    }

    /// Looks for what is late, and for messages that wait; how long until the next look.
    fn watch(&self, planner: &Planner, watch: &mut Watch) -> Duration {
        let now = self.now();
        let mut next = now + micros(LOOK_TIME_MAX);
        match self.tell_of_late(planner, watch, now) {
            Ok(at) => next = at.map_or(next, |at| next.min(at)),
            Err(error) => {
                tracing::error!(%error, "the scheduler could not read where jobs stand");
                return STORE_RETRY_TIME;
            }
        }
        // One delivery at a time; the next one finds what came meanwhile.
        if watch.sending.is_empty() {
            let post_us = self.jobs.next_post().unwrap_or_default();
            let post_us = post_us.map(|at| at.max(watch.not_before_us));
            if post_us.is_some_and(|at| at <= now) {
                let (client, jobs) = (self.client(), Arc::clone(&self.jobs));
                let delivery = async move { alarm::deliver(&client?, &jobs, now).await };
                watch.sending.spawn(delivery);
            } else if let Some(at) = post_us {
                next = next.min(at);
            }
        }
        Duration::from_micros(u64::try_from(next - now).unwrap_or(0))
    }

    /// Tells of jobs whose last success is too long ago; when the next one will be late.
    fn tell_of_late(&self, planner: &Planner, watch: &mut Watch, now: i64) -> Result<Option<i64>> {
        let watched = planner.jobs().filter(|(job, _)| job.active);
        let mut watched = watched
            .filter_map(|(job, options)| Some((job, options.target_lag?)))
            .peekable();
        if watched.peek().is_none() {
            return Ok(None);
        }
        let progress = self.jobs.progress()?;
        let mut next: Option<i64> = None;
        for (job, lag) in watched {
            let stands = progress.get(&job.id);
            let Some(succeeded) = stands.and_then(|stands| stands.succeeded_us) else {
                continue;
            };
            let late_us = succeeded.saturating_add(micros(lag));
            if late_us > now {
                next = Some(next.map_or(late_us, |next| next.min(late_us)));
            } else if watch.late.insert(job.id) {
                let at = chrono::DateTime::from_timestamp_micros(succeeded);
                let at = at.map(|at| at.to_rfc3339()).unwrap_or_default();
                let message = format!("the last success was at {at}");
                self.tell(planner, job, Event::Late, &message);
            }
        }
        Ok(next)
    }

    fn wait(&self, planner: &Planner) -> Duration {
        let wait = planner.wake_at().map_or(LOOK_TIME_MAX, |at| {
            Duration::from_micros(u64::try_from(at - self.now()).unwrap_or(0))
        });
        wait.min(LOOK_TIME_MAX)
    }

    fn prune(&self) {
        let days = i64::try_from(self.settings.retention_days).unwrap_or(i64::MAX / DAY_US);
        let before = self.now().saturating_sub(days.saturating_mul(DAY_US));
        if let Err(error) = self.jobs.prune(before) {
            tracing::error!(%error, "old runs could not be removed from the history");
        }
    }

    /// Takes over what the last server left.
    async fn begin(&self, planner: &mut Planner) -> Result<()> {
        let (now, known) = (self.now(), self.jobs.committed());
        let progress = self.jobs.progress()?;
        for (job, error) in planner.set_jobs(&known, Some(&progress), now) {
            tracing::error!(job, %error, "a job cannot be scheduled");
        }
        for run in self.jobs.unfinished()? {
            self.reconcile(planner, &run, now).await?;
        }
        for id in planner.at_start() {
            self.demand(planner, id, Trigger::Schedule)?;
        }
        self.write_next_times(planner)
    }

    /// What becomes of a run that the last server did not end.
    async fn reconcile(&self, planner: &mut Planner, run: &Run, now: i64) -> Result<()> {
        let job = planner.job(run.job).map(Arc::clone);
        if let Some(relation) = job.as_ref().and_then(|job| self.relation(job)) {
            let committed = self
                .warehouse
                .application_version(&relation, REFRESH_APPLICATION);
            if committed.await?.is_some_and(|version| version >= run.id) {
                let ended = Ended {
                    status: RunStatus::Succeeded,
                    at_us: now,
                    message: "REFRESH MATERIALIZED VIEW",
                    rows: run.rows,
                    version: None,
                };
                return self.jobs.ended(run.id, &ended).map(drop);
            }
            let retries = planner
                .options(run.job)
                .map_or(0, |options| options.retries);
            // Nothing of it was committed, so another attempt does it once.
            if run.attempt <= retries + RESTARTS_MAX {
                planner.resume(run.job, run.id, run.attempt, now);
                return Ok(());
            }
        } else if job.is_some() && run.attempt == 0 {
            planner.resume(run.job, run.id, 0, now);
            return Ok(());
        }
        let ended = Ended {
            status: RunStatus::Failed,
            at_us: now,
            message: "server restarted",
            rows: None,
            version: None,
        };
        self.jobs.ended(run.id, &ended).map(drop)
    }

    /// The tables as they are committed.
    fn view(&self) -> View {
        let nothing = Arc::new(Staged::default());
        self.warehouse.view(Arc::clone(&nothing), nothing)
    }

    fn relation(&self, job: &Job) -> Option<Arc<Relation>> {
        self.view().relation_by_id(job.relation.as_deref()?)
    }

    /// What a job runs; none if its view is gone.
    fn command(&self, job: &Job) -> Option<String> {
        match job.relation {
            None => Some(job.command.clone()),
            Some(_) => self
                .relation(job)
                .map(|relation| refresh_command(&relation)),
        }
    }

    fn write_next_times(&self, planner: &Planner) -> Result<()> {
        let written = self.jobs.progress()?;
        for (id, next) in planner.next_times() {
            if written
                .get(&id)
                .is_some_and(|progress| progress.next_us != next)
            {
                self.jobs.set_next(id, next)?;
            }
        }
        Ok(())
    }

    fn take_changes(&self, planner: &mut Planner) {
        let known = self.jobs.committed();
        let now = self.now();
        for (job, error) in planner.set_jobs(&known, None, now) {
            tracing::error!(job, %error, "a job cannot be scheduled");
        }
        let demanded = self.jobs.take_demanded().into_iter();
        let demanded = demanded.map(|id| self.demand(planner, id, Trigger::Manual));
        let outcome: Result<()> = demanded.collect();
        if let Err(error) = outcome.and_then(|()| self.write_next_times(planner)) {
            tracing::error!(%error, "the scheduler could not write down its jobs");
        }
    }

    fn demand(&self, planner: &mut Planner, job: i64, trigger: Trigger) -> Result<()> {
        match planner.demand(job, self.now(), trigger) {
            Some(due) => self.claim(planner, &due, None),
            None => Ok(()),
        }
    }

    /// Writes down what is due and starts what may.
    fn look(&self, planner: &mut Planner, running: &mut JoinSet<Done>) -> Result<()> {
        let now = self.now();
        let mut outcome = Ok(());
        for due in planner.due(now) {
            let claimed = match outcome {
                Ok(()) => self.claim(planner, &due, None),
                Err(_) => {
                    planner.unclaimed(&due);
                    continue;
                }
            };
            if claimed.is_err() {
                planner.unclaimed(&due);
                outcome = claimed;
            }
        }
        for start in planner.startable(now) {
            self.start(planner, start, running);
        }
        outcome
    }

    fn claim(&self, planner: &mut Planner, due: &Due, message: Option<&str>) -> Result<()> {
        let Some(job) = planner.job(due.job).map(Arc::clone) else {
            return Ok(());
        };
        if due.todo == Todo::Pass {
            return self.jobs.set_next(due.job, due.next_us);
        }
        let Some(command) = self.command(&job) else {
            return Ok(());
        };
        let skipped = due.todo == Todo::Skip;
        let run = self.jobs.claim(&Claim {
            job: &job,
            command: &command,
            scheduled_us: due.scheduled_us,
            trigger: due.trigger,
            status: if skipped {
                RunStatus::Skipped
            } else {
                RunStatus::Starting
            },
            message: message.or(skipped.then_some("the run before was not over")),
            next_us: due.next_us,
        })?;
        if !skipped {
            let jitter = planner
                .options(due.job)
                .map_or(Duration::ZERO, |options| options.jitter);
            let jitter = jitter.mul_f64(rand::random::<f64>());
            planner.claimed(due.job, run, self.now(), jitter);
        }
        Ok(())
    }

    fn start(&self, planner: &Planner, start: Start, running: &mut JoinSet<Done>) {
        let job = planner.job(start.job).map(Arc::clone);
        let command = job.as_ref().and_then(|job| self.command(job));
        let timeout = planner
            .options(start.job)
            .and_then(|options| options.timeout);
        let (engine, jobs) = (Arc::clone(&self.engine), Arc::clone(&self.jobs));
        let clock = Arc::clone(&self.clock);
        running.spawn(async move {
            let (Some(job), Some(command)) = (job, command) else {
                let gone = Error::undefined_object("the job is gone");
                return (start, Err(gone));
            };
            // A task of its own: a panic is this run's error.
            let attempt = tokio::spawn(async move {
                let place = Place {
                    engine: &engine,
                    jobs: &jobs,
                    clock: clock.as_ref(),
                };
                run::attempt(&place, &job, &command, start, timeout).await
            });
            let ended = attempt.await;
            let ended = ended.unwrap_or_else(|error| Err(crate::runtime::panic_error(error)));
            (start, ended)
        });
    }

    fn done(
        &self,
        planner: &mut Planner,
        watch: &mut Watch,
        done: std::result::Result<Done, tokio::task::JoinError>,
    ) {
        let Ok((start, ended)) = done else { return };
        let Some(job) = planner.job(start.job).map(Arc::clone) else {
            return;
        };
        let outcome = match &ended {
            Ok(_) => Outcome::Succeeded,
            Err(error) => Outcome::Failed {
                passing: run::may_pass(error),
            },
        };
        let now = self.now();
        let failed = planner.failures(start.job) > 0;
        let verdict = planner.finished(start, outcome, now, rand::random());
        let written = self.write_end(start, &ended, verdict, now);
        if let Err(error) = written {
            tracing::error!(run = start.run, %error, "the end of a run could not be written down");
        }
        match (&ended, verdict) {
            (_, Verdict::Retry) => {}
            (Ok(attempt), _) => {
                if let Some(holds) = attempt.holds {
                    self.checked(planner, &job, holds);
                }
                self.succeeded(planner, watch, &job, failed);
            }
            (Err(error), verdict) => self.failed(planner, &job, error, verdict),
        }
    }

    fn write_end(
        &self,
        start: Start,
        ended: &Result<Attempt>,
        verdict: Verdict,
        now: i64,
    ) -> Result<()> {
        match ended {
            Ok(attempt) => {
                let ended = Ended {
                    status: RunStatus::Succeeded,
                    at_us: now,
                    message: &attempt.tag,
                    rows: attempt.rows,
                    version: attempt.version,
                };
                self.jobs.ended(start.run, &ended).map(drop)
            }
            Err(error) if verdict == Verdict::Retry => {
                self.jobs.waits(start.run, &run::message(error))
            }
            Err(error) => {
                let ended = Ended {
                    status: RunStatus::Failed,
                    at_us: now,
                    message: &run::message(error),
                    rows: None,
                    version: None,
                };
                self.jobs.ended(start.run, &ended).map(drop)
            }
        }
    }

    /// Tells of an event by the ways that the job names.
    fn tell(&self, planner: &Planner, job: &Job, event: Event, message: &str) {
        let Some(options) = planner.options(job.id) else {
            return;
        };
        let (activity, name) = (self.engine.activity(), self.name(job));
        let told = (event, name.as_str(), message);
        if let Err(error) = alarm::tell(activity, &self.jobs, options, told, self.now()) {
            tracing::error!(name, %error, "an alert could not be written down");
        }
    }

    /// Removes what a view's versions have left behind, now and then, if its options say how long it is kept.
    fn clean(&self, planner: &Planner, watch: &mut Watch, job: &Job) {
        let retention = planner
            .options(job.id)
            .and_then(|options| options.retention);
        let (Some(retention), Some(relation)) = (retention, self.relation(job)) else {
            return;
        };
        let pause = (retention / 4).clamp(CLEAN_TIME_MIN, CLEAN_TIME_MAX);
        let now = self.now();
        let last = watch.cleaned_us.get(&job.id).copied();
        if last.is_some_and(|last| now - last < micros(pause)) {
            return;
        }
        watch.cleaned_us.insert(job.id, now);
        let warehouse = Arc::clone(&self.warehouse);
        watch.cleaning.spawn(async move {
            if let Err(error) = warehouse.vacuum(&relation, retention).await {
                tracing::warn!(%error, view = relation.name, "old versions were not removed");
            }
        });
        while watch.cleaning.try_join_next().is_some() {}
    }

    /// An alert has looked at its condition.
    fn checked(&self, planner: &Planner, job: &Job, holds: bool) {
        // First written down: it is told of once.
        match self.jobs.set_firing(job.id, holds.then(|| self.now())) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(job = job.id, %error, "an alert could not be written down");
                return;
            }
        }
        let message = planner
            .options(job.id)
            .and_then(|options| options.message.clone());
        let event = if holds {
            Event::Firing
        } else {
            Event::Resolved
        };
        self.tell(planner, job, event, &message.unwrap_or_default());
    }

    fn succeeded(&self, planner: &mut Planner, watch: &mut Watch, job: &Job, failed: bool) {
        let was_late = watch.late.remove(&job.id);
        if job.sort == Sort::Alert {
            return;
        }
        if failed || was_late {
            self.tell(planner, job, Event::Recovered, "");
        }
        self.clean(planner, watch, job);
        let options = planner.options(job.id);
        if let Some(channel) = options.and_then(|options| options.notify.clone()) {
            alarm::notify(self.engine.activity(), &channel, &self.name(job));
        }
        for id in self.followers(planner, job) {
            if let Err(error) = self.demand(planner, id, Trigger::After) {
                tracing::error!(job = id, %error, "a run could not be written down");
            }
        }
    }

    fn failed(&self, planner: &mut Planner, job: &Arc<Job>, error: &Error, verdict: Verdict) {
        let name = self.name(job);
        tracing::warn!(job = job.id, name, %error, "a scheduled run failed");
        // Once, until it succeeds again.
        if planner.failures(job.id) == 1 {
            self.tell(planner, job, Event::Failed, error.message());
        }
        if verdict == Verdict::Suspend {
            let mut suspended = job.as_ref().clone();
            suspended.active = false;
            self.tell(planner, job, Event::Suspended, error.message());
            if let Err(error) = self.jobs.commit(&[Change::Put(Arc::new(suspended))]) {
                tracing::error!(job = job.id, %error, "a job could not be suspended");
            }
        }
        // What stands on it keeps its rows, and the history says why.
        let mut missed = vec![(name, self.followers(planner, job))];
        let mut seen = vec![job.id];
        while let Some((name, followers)) = missed.pop() {
            for id in followers {
                if seen.contains(&id) {
                    continue;
                }
                seen.push(id);
                let due = Due {
                    job: id,
                    scheduled_us: self.now(),
                    trigger: Trigger::After,
                    todo: Todo::Skip,
                    next_us: None,
                };
                let message = format!("the refresh of {name} failed");
                if let Err(error) = self.claim(planner, &due, Some(&message)) {
                    tracing::error!(job = id, %error, "a run could not be written down");
                }
                if let Some(job) = planner.job(id).map(Arc::clone) {
                    missed.push((self.name(&job), self.followers(planner, &job)));
                }
            }
        }
    }

    /// The jobs that run when a view was refreshed.
    fn followers(&self, planner: &Planner, job: &Job) -> Vec<i64> {
        if job.relation.is_none() {
            return Vec::new();
        }
        let name = self.name(job);
        let follows = |after: &String| match after.contains('.') {
            true => *after == name,
            false => format!("public.{after}") == name,
        };
        let jobs = planner
            .jobs()
            .filter(|(other, options)| other.active && options.after.iter().any(follows));
        jobs.map(|(other, _)| other.id).collect()
    }

    /// What a job is called.
    fn name(&self, job: &Job) -> String {
        match (&job.name, self.relation(job)) {
            (_, Some(relation)) => format!("{}.{}", relation.schema, relation.name),
            (Some(name), None) => name.clone(),
            (None, None) => format!("job {}", job.id),
        }
    }
}
