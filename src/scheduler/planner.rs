//! Which job runs when: schedules, overlap, missed times, retries. Pure: time comes in, decisions go out.
//!
//! Whoever drives a [`Planner`] writes each [`Due`] down before it asks for what may start, so that a crash
//! neither forgets a time nor runs it twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use crate::error::Error;
use crate::jobs::options::{Catchup, Options, Overlap};
use crate::jobs::schedule::Schedule;
use crate::jobs::{Job, Known, Progress, Trigger};

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;
/// A time that is seen later than this was missed, in microseconds.
const LATE_US: i64 = 60 * SECOND_US;
/// A jump of the clock that is made up for minute by minute, in microseconds.
const SHORT_JUMP_US: i64 = 5 * 60 * SECOND_US;
/// A jump of the clock behind which fixed times are made up for, in microseconds.
const LONG_JUMP_US: i64 = 3 * 3_600 * SECOND_US;
/// Missed times that are made up for at most, newest first.
const CATCHUP_TIMES_MAX: usize = 1_000;
/// Runs of one job that wait for the one before.
const QUEUED_MAX: usize = 1_000;

/// A time that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The job.
    pub job: i64,
    /// The time that it is for, in microseconds since 1970-01-01 UTC.
    pub scheduled_us: i64,
    /// Why.
    pub trigger: Trigger,
    /// What is to be done.
    pub todo: Todo,
    /// The job's time after this one.
    pub next_us: Option<i64>,
}

/// What is to be done about a time that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// A run is to be written down.
    Run,
    /// It is to be written down that it was skipped.
    Skip,
    /// Only the job's next time is to be written down.
    Pass,
}

/// A run that may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The job.
    pub job: i64,
    /// The number of its run.
    pub run: i64,
    /// Attempts before this one.
    pub attempts: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Succeeded,
    /// It failed; `passing` failures may be gone at the next attempt.
    Failed {
        /// Whether it may be.
        passing: bool,
    },
}

/// What follows from an attempt's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The run is over.
    Over,
    /// The run is over, and with it the job: it failed too often.
    Suspend,
    /// There will be another attempt.
    Retry,
}

#[derive(Debug)]
struct Entry {
    job: Arc<Job>,
    options: Options,
    next_us: Option<i64>,
    failures: u32,
    /// Whether a run goes on or waits for its next attempt.
    running: bool,
    /// Runs that wait for the one that goes on.
    queued: VecDeque<Start>,
}

impl Entry {
    /// Runs before one that comes now.
    fn ahead(&self) -> usize {
        usize::from(self.running) + self.queued.len()
    }
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    start: Start,
    not_before_us: i64,
}

/// All jobs and where they stand.
#[derive(Debug)]
pub struct Planner {
    entries: BTreeMap<i64, Entry>,
    /// Runs that may start when there is a place, oldest first.
    waiting: VecDeque<Waiting>,
    busy: usize,
    busy_max: usize,
    zone: Tz,
}

impl Planner {
    /// No jobs yet. `busy_max` runs go on at the same time; `zone` is the clock of schedules without one.
    pub fn new(busy_max: usize, zone: Tz) -> Self {
        Self {
            entries: BTreeMap::new(),
            waiting: VecDeque::new(),
            busy: 0,
            busy_max: busy_max.max(1),
            zone,
        }
    }

    /// Takes over the jobs that are there now; those that cannot be scheduled. `last` is where the last
    /// server left them, when this one starts; later what is known here counts.
    pub fn set_jobs(
        &mut self,
        known: &Known,
        last: Option<&BTreeMap<i64, Progress>>,
        now_us: i64,
    ) -> Vec<(i64, Error)> {
        let mut refused = Vec::new();
        self.entries
            .retain(|id, entry| known.contains_key(id) || entry.running);
        for (id, entry) in &mut self.entries {
            if !known.contains_key(id) {
                entry.next_us = None;
            }
        }
        for (id, job) in known {
            let same = self.entries.get(id).is_some_and(|entry| entry.job == *job);
            if same {
                continue;
            }
            let options = match job.read_options() {
                Ok(options) => options,
                Err(error) => {
                    refused.push((*id, error));
                    continue;
                }
            };
            let before = self.entries.remove(id);
            let stands = last.and_then(|last| last.get(id)).copied();
            let stands = stands.unwrap_or_default();
            let zone = options.zone.unwrap_or(self.zone);
            let kept = match &before {
                Some(before)
                    if before.job.schedule() == job.schedule()
                        && before.job.active == job.active =>
                {
                    before.next_us
                }
                Some(_) => None,
                // Times of a downtime that nobody makes up for are passed over.
                None if matches!(options.catchup, Catchup::None | Catchup::Vixie) => None,
                None => stands.next_us,
            };
            let schedule = options.schedule.as_ref().filter(|_| job.active);
            let next_us =
                schedule.and_then(|schedule| kept.or_else(|| schedule.next_after(now_us, zone)));
            let (failures, running, queued) = before.map_or_else(
                || (stands.failures, false, VecDeque::new()),
                |before| (before.failures, before.running, before.queued),
            );
            let entry = Entry {
                job: Arc::clone(job),
                options,
                next_us,
                failures: if job.active { failures } else { 0 },
                running,
                queued,
            };
            self.entries.insert(*id, entry);
        }
        refused
    }

    /// The jobs that run when the server starts.
    pub fn at_start(&self) -> Vec<i64> {
        let starts =
            |entry: &&Entry| entry.job.active && entry.options.schedule == Some(Schedule::Reboot);
        let entries = self.entries.values().filter(starts);
        entries.map(|entry| entry.job.id).collect()
    }

    /// The job of a number.
    pub fn job(&self, id: i64) -> Option<&Arc<Job>> {
        self.entries.get(&id).map(|entry| &entry.job)
    }

    /// Its options.
    pub fn options(&self, id: i64) -> Option<&Options> {
        self.entries.get(&id).map(|entry| &entry.options)
    }

    /// All jobs with their options.
    pub fn jobs(&self) -> impl Iterator<Item = (&Arc<Job>, &Options)> {
        self.entries
            .values()
            .map(|entry| (&entry.job, &entry.options))
    }

    /// Failures of a job one after the other.
    pub fn failures(&self, id: i64) -> u32 {
        self.entries.get(&id).map_or(0, |entry| entry.failures)
    }

    /// The times that have come. Each is to be written down and given back by [`Planner::claimed`].
    pub fn due(&mut self, now_us: i64) -> Vec<Due> {
        let mut due = Vec::new();
        for (id, entry) in &mut self.entries {
            let Some(next_us) = entry.next_us.filter(|next| *next <= now_us) else {
                continue;
            };
            let Some(schedule) = &entry.options.schedule else {
                continue;
            };
            let zone = entry.options.zone.unwrap_or(self.zone);
            let (times, after) = missed(schedule, entry.options.catchup, zone, next_us, now_us);
            entry.next_us = after;
            if times.is_empty() {
                // Nothing runs, but the job must not look at these times again.
                due.push(Due {
                    job: *id,
                    scheduled_us: next_us,
                    trigger: Trigger::Catchup,
                    todo: Todo::Pass,
                    next_us: after,
                });
                continue;
            }
            let mut ahead = entry.ahead();
            for (at, time) in times.iter().copied().enumerate() {
                let is_interval = matches!(schedule, Schedule::Every { .. });
                let in_the_way = match entry.options.overlap {
                    Overlap::Skip => ahead > 0,
                    // An interval is about the pace: one may wait, not a heap of them.
                    Overlap::Queue => ahead > if is_interval { 1 } else { QUEUED_MAX },
                };
                let skipped = in_the_way && entry.options.catchup != Catchup::All;
                ahead += usize::from(!skipped);
                let late = now_us - time > LATE_US;
                due.push(Due {
                    job: *id,
                    scheduled_us: time,
                    trigger: if late {
                        Trigger::Catchup
                    } else {
                        Trigger::Schedule
                    },
                    todo: if skipped { Todo::Skip } else { Todo::Run },
                    next_us: times.get(at + 1).copied().or(after),
                });
            }
        }
        due.sort_by_key(|due| due.scheduled_us);
        due
    }

    /// A run that is asked for or that follows from another one; whether it is skipped because the one
    /// before goes on.
    pub fn demand(&self, job: i64, now_us: i64, trigger: Trigger) -> Option<Due> {
        let entry = self.entries.get(&job)?;
        let ahead = entry.ahead();
        Some(Due {
            job,
            scheduled_us: now_us,
            trigger,
            // One more may wait: it sees what came after the one that goes on had started.
            todo: if ahead > 1 { Todo::Skip } else { Todo::Run },
            next_us: None,
        })
    }

    /// A due time could not be written down: it is due again.
    pub fn unclaimed(&mut self, due: &Due) {
        if let Some(entry) = self.entries.get_mut(&due.job) {
            let next = entry.next_us.unwrap_or(i64::MAX);
            entry.next_us = Some(next.min(due.scheduled_us));
        }
    }

    /// The next time of each job.
    pub fn next_times(&self) -> impl Iterator<Item = (i64, Option<i64>)> {
        self.entries.iter().map(|(id, entry)| (*id, entry.next_us))
    }

    /// A due time was written down as a run. `jitter` is how long its start waits.
    pub fn claimed(&mut self, job: i64, run: i64, now_us: i64, jitter: Duration) {
        self.resume(job, run, 0, now_us + micros(jitter));
    }

    /// A run of the last server that goes on here, not before a time.
    pub fn resume(&mut self, job: i64, run: i64, attempts: u32, not_before_us: i64) {
        let Some(entry) = self.entries.get_mut(&job) else {
            return;
        };
        let start = Start { job, run, attempts };
        match std::mem::replace(&mut entry.running, true) {
            true => entry.queued.push_back(start),
            false => self.wait(start, not_before_us),
        }
    }

    fn wait(&mut self, start: Start, not_before_us: i64) {
        self.waiting.push_back(Waiting {
            start,
            not_before_us,
        });
    }

    /// The runs that may start now; each takes a place until [`Planner::finished`].
    pub fn startable(&mut self, now_us: i64) -> Vec<Start> {
        let mut starts = Vec::new();
        let mut kept = VecDeque::new();
        for waiting in self.waiting.drain(..) {
            if self.busy < self.busy_max && waiting.not_before_us <= now_us {
                self.busy += 1;
                starts.push(waiting.start);
            } else {
                kept.push_back(waiting);
            }
        }
        self.waiting = kept;
        starts
    }

    /// An attempt has ended. `jitter` in `0..=1` spreads the wait before the next one.
    pub fn finished(
        &mut self,
        start: Start,
        outcome: Outcome,
        now_us: i64,
        jitter: f64,
    ) -> Verdict {
        self.busy = self.busy.saturating_sub(1);
        let Some(entry) = self.entries.get_mut(&start.job) else {
            return Verdict::Over;
        };
        if outcome == (Outcome::Failed { passing: true }) && start.attempts < entry.options.retries
        {
            let wait = backoff(&entry.options, start.attempts, jitter);
            let next = Start {
                attempts: start.attempts + 1,
                ..start
            };
            self.wait(next, now_us + micros(wait));
            return Verdict::Retry;
        }
        entry.failures = match outcome {
            Outcome::Succeeded => 0,
            Outcome::Failed { .. } => entry.failures.saturating_add(1),
        };
        let limit = entry.options.suspend_after_failures;
        let suspend = limit > 0 && entry.failures >= limit;
        let next = entry.queued.pop_front();
        entry.running = next.is_some();
        if suspend {
            entry.next_us = None;
        }
        if let Some(next) = next {
            self.wait(next, now_us);
        }
        match suspend {
            true => Verdict::Suspend,
            false => Verdict::Over,
        }
    }

    /// When to look again; none if nothing is planned.
    pub fn wake_at(&self) -> Option<i64> {
        let times = self.entries.values().filter_map(|entry| entry.next_us);
        let free = self.busy < self.busy_max;
        let starts = self.waiting.iter().filter(|_| free);
        times
            .chain(starts.map(|waiting| waiting.not_before_us))
            .min()
    }
}

/// The times of `[next_us, now_us]` that run, and the first one behind them.
fn missed(
    schedule: &Schedule,
    catchup: Catchup,
    zone: Tz,
    next_us: i64,
    now_us: i64,
) -> (Vec<i64>, Option<i64>) {
    let last = schedule
        .last_within(next_us, now_us, zone)
        .unwrap_or(next_us);
    let after = match schedule {
        Schedule::Every { .. } => schedule.next_after(last, zone),
        _ => schedule.next_after(now_us, zone),
    };
    let on_time = now_us - last <= LATE_US;
    let only_last = || vec![last];
    let times = match (schedule, catchup) {
        (Schedule::Every { .. }, Catchup::None | Catchup::Vixie) if !on_time => Vec::new(),
        (Schedule::Every { .. }, _) => only_last(),
        (_, Catchup::Once) => only_last(),
        (_, Catchup::All) => all(schedule, zone, next_us, last),
        (_, Catchup::None) if on_time => only_last(),
        (_, Catchup::None) => Vec::new(),
        (_, Catchup::Vixie) => {
            let jump = now_us - next_us;
            if jump <= SHORT_JUMP_US || (jump <= LONG_JUMP_US && schedule.is_fixed_time()) {
                all(schedule, zone, next_us, last)
            } else if on_time || jump <= LONG_JUMP_US {
                only_last()
            } else {
                Vec::new()
            }
        }
    };
    (times, after)
}

fn all(schedule: &Schedule, zone: Tz, first: i64, last: i64) -> Vec<i64> {
    let mut times = VecDeque::from([first]);
    let mut time = first;
    while let Some(next) = schedule.next_after(time, zone).filter(|next| *next <= last) {
        times.push_back(next);
        if times.len() > CATCHUP_TIMES_MAX {
            times.pop_front();
        }
        time = next;
    }
    times.into()
}

/// The wait before attempt `attempts + 2`: doubled each time, spread by a fifth each way.
fn backoff(options: &Options, attempts: u32, jitter: f64) -> Duration {
    let doubled = options
        .retry_backoff
        .saturating_mul(1_u32.checked_shl(attempts).unwrap_or(u32::MAX));
    let wait = doubled.min(options.retry_max_backoff);
    wait.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}

/// A span in microseconds.
pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::jobs::options::Sort;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    fn job(id: i64, relation: bool, options: &[(&str, &str)]) -> Arc<Job> {
        let options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Arc::new(Job {
            id,
            name: None,
            sort: if relation {
                Sort::Refresh
            } else {
                Sort::Command
            },
            relation: relation.then(|| format!("view {id}")),
            user: "ann".to_owned(),
            database: "loyalhouse".to_owned(),
            command: "SELECT 1".to_owned(),
            active: true,
            options: options.collect(),
        })
    }

    fn planner(jobs: &[Arc<Job>], now: i64) -> Planner {
        let mut planner = Planner::new(2, Tz::UTC);
        let known = jobs.iter().map(|job| (job.id, Arc::clone(job))).collect();
        let refused = planner.set_jobs(&known, Some(&BTreeMap::new()), now);
        assert!(refused.is_empty(), "{refused:?}");
        planner
    }

    /// Takes what is due, writes it down under its time, and starts what may.
    fn step(planner: &mut Planner, now: i64) -> (Vec<Due>, Vec<Start>) {
        let due = planner.due(now);
        for due in due.iter().filter(|due| due.todo == Todo::Run) {
            planner.claimed(due.job, due.scheduled_us, now, Duration::ZERO);
        }
        (due, planner.startable(now))
    }

    #[test]
    fn a_year_of_schedules_runs_each_time_once() {
        let start = at("2026-01-01T00:00:00Z");
        let end = at("2027-01-01T00:00:00Z");
        let mut planner = planner(
            &[
                job(1, false, &[("schedule", "0 6 * * *")]),
                job(
                    2,
                    true,
                    &[("schedule", "30 3 * * *"), ("timezone", "Europe/Kyiv")],
                ),
                job(3, false, &[("schedule", "0 12 $ * *")]),
                job(4, true, &[("schedule", "*/30 * * * *")]),
            ],
            start,
        );
        let mut counts = BTreeMap::new();
        let mut last = BTreeMap::new();
        while let Some(now) = planner.wake_at().filter(|now| *now < end) {
            let (due, starts) = step(&mut planner, now);
            assert!(!due.is_empty());
            for due in due {
                assert_eq!(due.todo, Todo::Run);
                assert!(last.insert(due.job, due.scheduled_us) < Some(due.scheduled_us));
                *counts.entry(due.job).or_insert(0) += 1;
            }
            let mut starts = VecDeque::from(starts);
            while let Some(start) = starts.pop_front() {
                planner.finished(start, Outcome::Succeeded, now, 0.5);
                starts.extend(planner.startable(now));
            }
        }
        // At midnight itself the first half hour has begun already.
        let expected = BTreeMap::from([(1, 365), (2, 365), (3, 12), (4, 365 * 48 - 1)]);
        assert_eq!(counts, expected);
    }

    #[test]
    fn overlapping_times_wait_or_are_skipped() {
        let now = at("2026-11-22T10:00:00Z");
        let minute = |n: i64| now + n * 60 * SECOND_US;
        let mut planner = planner(
            &[
                job(1, false, &[("schedule", "* * * * *")]),
                job(2, true, &[("schedule", "* * * * *")]),
                job(3, false, &[("schedule", "20 seconds")]),
            ],
            now,
        );
        planner.busy_max = 10;
        let (due, starts) = step(&mut planner, minute(1));
        assert_eq!((due.len(), starts.len()), (3, 3));
        let (due, starts) = step(&mut planner, minute(2));
        let skipped: Vec<_> = due
            .iter()
            .map(|due| (due.job, due.todo == Todo::Skip))
            .collect();
        assert_eq!(skipped, [(1, false), (2, true), (3, false)]);
        assert!(starts.is_empty());
        let (due, _) = step(&mut planner, minute(3));
        let skipped: Vec<_> = due
            .iter()
            .map(|due| (due.job, due.todo == Todo::Skip))
            .collect();
        assert_eq!(skipped, [(1, false), (2, true), (3, true)]);
        let first = Start {
            job: 1,
            run: minute(1),
            attempts: 0,
        };
        planner.finished(first, Outcome::Succeeded, minute(3), 0.5);
        let next = planner.startable(minute(3));
        assert_eq!(
            next,
            [Start {
                job: 1,
                run: minute(2),
                attempts: 0
            }]
        );
    }

    #[test]
    fn missed_times_are_made_up_for_as_written() {
        let (next, now) = (at("2026-11-20T06:00:00Z"), at("2026-11-22T10:00:00Z"));
        let times = |schedule: &str, catchup, next, now| {
            let schedule = Schedule::parse(schedule).unwrap();
            let (times, after) = missed(&schedule, catchup, Tz::UTC, next, now);
            assert!(after > Some(now));
            times.len()
        };
        assert_eq!(times("0 6 * * *", Catchup::Once, next, now), 1);
        assert_eq!(times("0 6 * * *", Catchup::All, next, now), 3);
        assert_eq!(times("0 6 * * *", Catchup::None, next, now), 0);
        assert_eq!(times("0 6 * * *", Catchup::Vixie, next, now), 0);
        assert_eq!(times("10 seconds", Catchup::Once, next, now), 1);
        let minute = 60 * SECOND_US;
        assert_eq!(
            times("* * * * *", Catchup::Vixie, next, next + 4 * minute),
            5
        );
        assert_eq!(
            times("* * * * *", Catchup::Vixie, next, next + 90 * minute),
            1
        );
        assert_eq!(
            times("0 6 * * *", Catchup::Vixie, next, next + 90 * minute),
            1
        );
        assert_eq!(
            times("0 6 * * *", Catchup::None, next, next + minute / 2),
            1
        );
        assert_eq!(
            times("* * * * *", Catchup::All, next, now),
            CATCHUP_TIMES_MAX
        );
    }

    #[test]
    fn a_crash_between_two_missed_times_runs_neither_twice() {
        let now = at("2026-11-22T10:00:00Z");
        let options = [("schedule", "0 6 * * *"), ("catchup", "all")];
        let mut planner = Planner::new(2, Tz::UTC);
        let known = [(1, job(1, true, &options))].into();
        let before = Progress {
            next_us: Some(at("2026-11-20T06:00:00Z")),
            ..Progress::default()
        };
        planner.set_jobs(&known, Some(&BTreeMap::from([(1, before)])), now);
        let due = planner.due(now);
        let times: Vec<_> = due.iter().map(|due| due.scheduled_us).collect();
        // What is written down with each is the time that a server started then would begin with.
        let next: Vec<_> = due.iter().filter_map(|due| due.next_us).collect();
        assert_eq!(next[..2], times[1..]);
        assert_eq!(next[2], at("2026-11-23T06:00:00Z"));
    }

    #[test]
    fn a_downtime_is_made_up_for_by_refreshes_alone() {
        let now = at("2026-11-22T10:00:00Z");
        let jobs = [
            job(1, false, &[("schedule", "0 6 * * *")]),
            job(2, true, &[("schedule", "0 6 * * *")]),
        ];
        let before = Progress {
            next_us: Some(at("2026-11-21T06:00:00Z")),
            ..Progress::default()
        };
        let mut planner = Planner::new(2, Tz::UTC);
        let known = jobs.iter().map(|job| (job.id, Arc::clone(job))).collect();
        let progress = BTreeMap::from([(1, before), (2, before)]);
        planner.set_jobs(&known, Some(&progress), now);
        let (due, _) = step(&mut planner, now);
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].job, due[0].trigger), (2, Trigger::Catchup));
        assert_eq!(due[0].scheduled_us, at("2026-11-22T06:00:00Z"));
    }

    #[test]
    fn failures_that_may_pass_are_tried_again_and_too_many_suspend() {
        let now = at("2026-11-22T10:00:00Z");
        let options = [
            ("schedule", "* * * * *"),
            ("retries", "2"),
            ("retry_backoff", "10 s"),
            ("retry_max_backoff", "15 s"),
            ("suspend_after_failures", "2"),
        ];
        let mut planner = planner(&[job(1, true, &options)], now);
        let now = now + 60 * SECOND_US;
        let (_, starts) = step(&mut planner, now);
        let passing = Outcome::Failed { passing: true };
        assert_eq!(
            planner.finished(starts[0], passing, now, 0.5),
            Verdict::Retry
        );
        assert!(planner.startable(now + 9 * SECOND_US).is_empty());
        let again = planner.startable(now + 10 * SECOND_US);
        assert_eq!((again[0].run, again[0].attempts), (starts[0].run, 1));
        assert_eq!(
            planner.finished(again[0], passing, now, 0.5),
            Verdict::Retry
        );
        let third = planner.startable(now + 15 * SECOND_US);
        assert_eq!(planner.finished(third[0], passing, now, 0.5), Verdict::Over);
        let (_, starts) = step(&mut planner, now + 60 * SECOND_US);
        let wrong = Outcome::Failed { passing: false };
        assert_eq!(
            planner.finished(starts[0], wrong, now, 0.5),
            Verdict::Suspend
        );
        assert_eq!(planner.wake_at(), None);
    }

    #[test]
    fn places_are_few() {
        let now = at("2026-11-22T10:00:00Z");
        let jobs: Vec<_> = (1..=5)
            .map(|id| job(id, true, &[("schedule", "* * * * *")]))
            .collect();
        let mut planner = planner(&jobs, now);
        let (due, starts) = step(&mut planner, now + 60 * SECOND_US);
        assert_eq!((due.len(), starts.len()), (5, 2));
        planner.finished(starts[0], Outcome::Succeeded, now, 0.5);
        assert_eq!(planner.startable(now + 60 * SECOND_US).len(), 1);
    }
}
