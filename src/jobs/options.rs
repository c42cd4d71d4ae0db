//! The options of a job: how it is scheduled, retried and told of. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono_tz::Tz;

use super::schedule::{self, Schedule};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Retries of one run at most.
const RETRIES_MAX: u32 = 100;
/// Longest span of an option: one year.
const SPAN_MAX: Duration = Duration::from_hours(365 * 24);
/// Longest value of an option, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;

/// Options as they were written, by name. `schedule` is one of a materialized view's.
pub type Written = BTreeMap<String, String>;

/// What to do with a time that comes while the run before it still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Nothing runs; the history says so.
    Skip,
    /// It runs when the run before it is over.
    Queue,
}

/// What to do with times at which the server did not look, such as those of a downtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catchup {
    /// They are passed over.
    None,
    /// The last of them is made up for.
    Once,
    /// Each of them is made up for.
    All,
    /// As cron does after a jump of the clock: a short one is made up for, fixed times also after a longer
    /// one; those of a downtime are passed over.
    Vixie,
}

/// How a refresh changes the rows of its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The query's rows take the place of all that were there.
    Replace,
    /// They are added.
    Append,
    /// They take the place of rows with the same key.
    Merge,
}

/// Options read and filled up with what holds where nothing was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// When it runs.
    pub schedule: Option<Schedule>,
    /// The zone of the schedule's clock; that of the server if none.
    pub zone: Option<Tz>,
    /// The materialized views whose refresh starts it, `schema.name`.
    pub after: Vec<String>,
    /// How rows change.
    pub mode: Mode,
    /// The columns of a merge's key.
    pub key: Vec<String>,
    /// Only rows of this last span are computed anew: an interval.
    pub window: Option<String>,
    /// The column that the window is about.
    pub window_column: Option<String>,
    /// See [`Overlap`].
    pub overlap: Overlap,
    /// See [`Catchup`].
    pub catchup: Catchup,
    /// Further attempts after a failure that may pass.
    pub retries: u32,
    /// Wait before the first of them; it doubles.
    pub retry_backoff: Duration,
    /// Longest such wait.
    pub retry_max_backoff: Duration,
    /// Random wait before each start, at most.
    pub jitter: Duration,
    /// Longest time of one attempt.
    pub timeout: Option<Duration>,
    /// Failures one after the other that suspend it; 0 for never.
    pub suspend_after_failures: u32,
    /// The age of the last success that raises an alert.
    pub target_lag: Option<Duration>,
    /// Where a failure is told: `webhook:URL` or `notify:CHANNEL`.
    pub on_failure: Option<String>,
    /// The channel that hears of each success.
    pub notify: Option<String>,
    /// How long files of older versions are kept.
    pub retention: Option<Duration>,
    /// The URL that hears of an alert.
    pub webhook: Option<String>,
    /// What is sent to webhooks is signed with it.
    pub webhook_secret: Option<String>,
    /// What an alert says.
    pub message: Option<String>,
}

/// What a job is, for the defaults of its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A command of `cron.schedule`.
    Command,
    /// The refresh of a materialized view.
    Refresh,
    /// A look at the condition of an alert.
    Alert,
}

impl Sort {
    /// As the catalog file has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Refresh => "refresh",
            Self::Alert => "alert",
        }
    }

    /// The sort of a name.
    pub fn of(name: &str) -> Self {
        let all = [Self::Refresh, Self::Alert];
        all.into_iter()
            .find(|sort| sort.name() == name)
            .unwrap_or(Self::Command)
    }
}

/// The options, and the jobs that have them.
const OPTIONS: &[(&str, &[Sort])] = &[
    ("after", &[Sort::Refresh]),
    ("catchup", &[Sort::Refresh, Sort::Command]),
    ("jitter", &[Sort::Refresh, Sort::Command, Sort::Alert]),
    ("key", &[Sort::Refresh]),
    ("message", &[Sort::Alert]),
    ("mode", &[Sort::Refresh]),
    ("notify", &[Sort::Refresh, Sort::Command, Sort::Alert]),
    ("on_failure", &[Sort::Refresh, Sort::Command]),
    ("on_overlap", &[Sort::Refresh, Sort::Command]),
    ("retention", &[Sort::Refresh]),
    ("retries", &[Sort::Refresh, Sort::Command]),
    ("retry_backoff", &[Sort::Refresh, Sort::Command]),
    ("retry_max_backoff", &[Sort::Refresh, Sort::Command]),
    ("schedule", &[Sort::Refresh, Sort::Alert]),
    ("suspend_after_failures", &[Sort::Refresh, Sort::Command]),
    ("target_lag", &[Sort::Refresh, Sort::Command]),
    ("timeout", &[Sort::Refresh, Sort::Command, Sort::Alert]),
    ("timezone", &[Sort::Refresh, Sort::Command, Sort::Alert]),
    ("webhook", &[Sort::Alert]),
    (
        "webhook_secret",
        &[Sort::Refresh, Sort::Command, Sort::Alert],
    ),
    ("window", &[Sort::Refresh]),
    ("window_column", &[Sort::Refresh]),
];

/// The names of the options of a sort of jobs.
pub fn names(sort: Sort) -> impl Iterator<Item = &'static str> {
    let own = OPTIONS
        .iter()
        .filter(move |(_, sorts)| sorts.contains(&sort));
    own.map(|(name, _)| *name)
}

impl Options {
    /// Reads options; 22023 for a name or value that is none.
    pub fn read(written: &Written, sort: Sort) -> Result<Self> {
        for name in written.keys() {
            check_name(name, sort)?;
        }
        let reader = Reader(written);
        let retry_backoff = Duration::from_secs(10);
        let options = Self {
            schedule: reader.with("schedule", Schedule::parse)?,
            zone: reader.with("timezone", schedule::zone)?,
            after: reader.names("after"),
            mode: reader
                .word(
                    "mode",
                    &[
                        ("replace", Mode::Replace),
                        ("append", Mode::Append),
                        ("merge", Mode::Merge),
                    ],
                )?
                .unwrap_or(Mode::Replace),
            key: reader.names("key"),
            window: reader.text("window"),
            window_column: reader.text("window_column"),
            overlap: reader
                .word(
                    "on_overlap",
                    &[("skip", Overlap::Skip), ("queue", Overlap::Queue)],
                )?
                .unwrap_or(match sort {
                    Sort::Command => Overlap::Queue,
                    Sort::Refresh | Sort::Alert => Overlap::Skip,
                }),
            catchup: reader
                .word(
                    "catchup",
                    &[
                        ("none", Catchup::None),
                        ("once", Catchup::Once),
                        ("all", Catchup::All),
                    ],
                )?
                .unwrap_or(match sort {
                    Sort::Command => Catchup::Vixie,
                    Sort::Refresh | Sort::Alert => Catchup::Once,
                }),
            retries: reader.number("retries", RETRIES_MAX)?.unwrap_or(0),
            retry_backoff: reader.span("retry_backoff")?.unwrap_or(retry_backoff),
            retry_max_backoff: reader
                .span("retry_max_backoff")?
                .unwrap_or(Duration::from_mins(10)),
            jitter: reader.span("jitter")?.unwrap_or_default(),
            timeout: reader.span("timeout")?.filter(|limit| !limit.is_zero()),
            suspend_after_failures: reader
                .number("suspend_after_failures", u32::MAX)?
                .unwrap_or(0),
            target_lag: reader.span("target_lag")?.filter(|lag| !lag.is_zero()),
            on_failure: reader.with("on_failure", told_at)?,
            notify: reader.text("notify"),
            retention: reader.span("retention")?,
            webhook: reader.with("webhook", url)?,
            webhook_secret: reader.text("webhook_secret"),
            message: reader.text("message"),
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        let refused = |message: &str, hint: &str| {
            Err(Error::invalid_parameter_value(message).with_hint(hint))
        };
        if self.mode == Mode::Merge && self.key.is_empty() {
            return refused(
                "mode = 'merge' needs a key",
                "Add key = 'day,segment': the columns that make a row the same row.",
            );
        }
        if self.mode != Mode::Merge && !self.key.is_empty() {
            return refused(
                "a key is of use with mode = 'merge' only",
                "Add mode = 'merge'.",
            );
        }
        match (&self.window, &self.window_column) {
            (Some(_), None) => refused(
                "a window needs a window_column",
                "Add window_column = 'day': the column that tells how old a row is.",
            ),
            (None, Some(_)) => refused(
                "a window_column needs a window",
                "Add window = '30 days': how much is computed anew.",
            ),
            (Some(_), Some(_)) if self.mode != Mode::Replace => refused(
                "a window is of use with mode = 'replace' only",
                "Leave out mode, or the window.",
            ),
            _ => Ok(()),
        }
    }
}

/// 22023 for a name that is no option of such a job.
pub fn check_name(name: &str, sort: Sort) -> Result<()> {
    if names(sort).any(|known| known == name) {
        return Ok(());
    }
    if OPTIONS.iter().any(|(known, _)| *known == name) {
        return Err(
            Error::invalid_parameter_value(format!("\"{name}\" is no option of this"))
                .with_hint(format!("Its options are {}.", listed(sort))),
        );
    }
    let error = Error::invalid_parameter_value(format!("unrecognized parameter \"{name}\""));
    Err(match crate::sqlstate::nearest(name, names(sort)) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error.with_hint(format!("The options are {}.", listed(sort))),
    })
}

fn listed(sort: Sort) -> String {
    names(sort).collect::<Vec<_>>().join(", ")
}

/// Options as others may see them: without secrets.
pub fn shown(written: &Written) -> Written {
    let mut shown = written.clone();
    if let Some(secret) = shown.get_mut("webhook_secret") {
        "(hidden)".clone_into(secret);
    }
    shown
}

/// `webhook:URL` or `notify:CHANNEL`.
fn told_at(text: &str) -> Result<String> {
    let is_place = match text.split_once(':') {
        Some(("webhook", text)) => url(text).is_ok(),
        Some(("notify", channel)) => !channel.is_empty(),
        _ => false,
    };
    match is_place {
        true => Ok(text.to_owned()),
        false => Err(Error::invalid_parameter_value(format!(
            "invalid value for parameter \"on_failure\": \"{text}\""
        ))
        .with_hint("Use webhook:https://… or notify:channel.")),
    }
}

/// 22023 unless a text is the URL of a webhook.
fn url(text: &str) -> Result<String> {
    let known = ["http", "https"];
    match url::Url::parse(text) {
        Ok(url) if known.contains(&url.scheme()) && url.host().is_some() => Ok(text.to_owned()),
        _ => Err(wrong("webhook", text).with_hint("Use a URL such as https://example.com/hook.")),
    }
}

struct Reader<'a>(&'a Written);

impl Reader<'_> {
    fn get(&self, name: &str) -> Result<Option<&str>> {
        match self.0.get(name) {
            Some(value) if value.len() > VALUE_BYTES_MAX => Err(Error::new(
                SqlState::ProgramLimitExceeded,
                format!("the value of parameter \"{name}\" is longer than {VALUE_BYTES_MAX} bytes"),
            )),
            value => Ok(value
                .map(|value| value.trim())
                .filter(|value| !value.is_empty())),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).ok().flatten().map(str::to_owned)
    }

    fn with<T>(&self, name: &str, read: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        self.get(name)?.map(read).transpose()
    }

    fn names(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        let names = text.split(',').map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    }

    fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        self.with(name, |text| {
            let lower = text.to_ascii_lowercase();
            let known = words.iter().find(|(word, _)| *word == lower);
            known.map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                wrong(name, text).with_hint(format!("Available values: {}.", words.join(", ")))
            })
        })
    }

    fn number(&self, name: &str, max: u32) -> Result<Option<u32>> {
        self.with(name, |text| {
            let number = text.parse().ok().filter(|number| *number <= max);
            number.ok_or_else(|| wrong(name, text).with_hint(format!("Use a number up to {max}.")))
        })
    }

    fn span(&self, name: &str) -> Result<Option<Duration>> {
        self.with(name, |text| {
            span(text).ok_or_else(|| {
                wrong(name, text)
                    .with_hint("Use a number and a unit, such as 90 s, 15 min, 2 hours or 7 days.")
            })
        })
    }
}

fn wrong(name: &str, text: &str) -> Error {
    Error::invalid_parameter_value(format!(
        "invalid value for parameter \"{name}\": \"{text}\""
    ))
}

/// A span in words: `90 s`, `15 min`, `2 hours`, `7 days`.
pub fn span(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit.trim() {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    };
    let span = Duration::try_from_secs_f64(number * seconds).ok()?;
    (span <= SPAN_MAX).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], sort: Sort) -> Result<Options> {
        let written = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Options::read(&written.collect(), sort)
    }

    #[test]
    fn what_is_not_written_has_a_default_by_sort() {
        let command = read(&[], Sort::Command).unwrap();
        assert_eq!(
            (command.overlap, command.catchup),
            (Overlap::Queue, Catchup::Vixie)
        );
        let refresh = read(&[], Sort::Refresh).unwrap();
        assert_eq!(
            (refresh.overlap, refresh.catchup),
            (Overlap::Skip, Catchup::Once)
        );
    }

    #[test]
    fn spans_take_words() {
        for (text, seconds) in [
            ("90 s", 90),
            ("15min", 900),
            ("2 hours", 7_200),
            ("1.5 d", 129_600),
        ] {
            assert_eq!(span(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "soon", "-1 s", "400 days", "1e9 days"] {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_remedy() {
        for pairs in [
            &[("mode", "merge")][..],
            &[("mode", "upsert")],
            &[("key", "day")],
            &[("window", "30 days")],
            &[("window_column", "day")],
            &[("retries", "-1")],
            &[("retries", "101")],
            &[("timeout", "soon")],
            &[("on_failure", "mail:me")],
            &[("timezone", "Europe/Atlantis")],
            &[("schedule", "whenever")],
            &[("shedule", "@daily")],
        ] {
            let error = read(pairs, Sort::Refresh).unwrap_err();
            assert_eq!(error.state(), SqlState::InvalidParameterValue, "{pairs:?}");
            assert!(error.hint().is_some(), "{pairs:?}");
        }
        assert!(read(&[("window", "30 days")], Sort::Command).is_err());
    }
}
