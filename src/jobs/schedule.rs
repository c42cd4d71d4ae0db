//! When a job is due: schedule texts and the times they mean. Pure.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, JobType};

use crate::error::{Error, Result};

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;
/// Longest interval of a schedule in seconds, in seconds; pg_cron's limit.
const INTERVAL_SECONDS_MAX: i64 = 59;
/// Longest text of a schedule, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// A schedule as its text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Times on the clock of a zone.
    Cron(Box<Cron>),
    /// Every so many seconds.
    Every {
        /// From one start to the next.
        seconds: i64,
    },
    /// Once, when the server starts.
    Reboot,
}

impl Schedule {
    /// Reads pg_cron's grammar: five fields of cron with names, ranges, steps and `$` for the last day of
    /// the month, a nickname such as `@daily`, `@reboot`, or `[1-59] seconds`. 22023 for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        if trimmed.len() > TEXT_BYTES_MAX {
            return Err(invalid(text));
        }
        let lower = trimmed.to_ascii_lowercase();
        if lower == "@reboot" {
            return Ok(Self::Reboot);
        }
        if let Some(seconds) = interval(&lower) {
            return match (1..=INTERVAL_SECONDS_MAX).contains(&seconds) {
                true => Ok(Self::Every { seconds }),
                false => Err(invalid(text)),
            };
        }
        let nickname = match lower.as_str() {
            "@midnight" => "@daily",
            "@annually" => "@yearly",
            other => other,
        };
        let is_nickname = nickname.starts_with('@');
        let known = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];
        if is_nickname && !known.contains(&nickname) {
            return Err(invalid(text));
        }
        let fields: Vec<&str> = nickname.split_whitespace().collect();
        if !is_nickname && fields.len() != 5 {
            return Err(invalid(text));
        }
        // The last day of the month has a letter there.
        let fields: Vec<&str> = fields
            .iter()
            .enumerate()
            .map(|(at, field)| {
                if at == 2 && *field == "$" {
                    "L"
                } else {
                    *field
                }
            })
            .collect();
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = match is_nickname {
            true => CronParser::new().parse(nickname),
            false => parser.parse(&fields.join(" ")),
        };
        let cron = cron.map_err(|_| invalid(text))?;
        let schedule = Self::Cron(Box::new(cron));
        // The 30th of February is never.
        match schedule.next_after(0, Tz::UTC) {
            Some(_) => Ok(schedule),
            None => Err(invalid(text)),
        }
    }

    /// The first time after `after_us` that a job is due, both in microseconds since 1970-01-01 UTC; none
    /// for what starts with the server.
    ///
    /// Where a zone's clock goes forward, times of the hour that is left out come at its end; where it goes
    /// back, fixed times come once and repeated ones follow real time (Vixie's rules).
    pub fn next_after(&self, after_us: i64, zone: Tz) -> Option<i64> {
        match self {
            Self::Reboot => None,
            Self::Every { seconds } => Some(after_us.saturating_add(seconds * SECOND_US)),
            Self::Cron(cron) => {
                let after = DateTime::<Utc>::from_timestamp_micros(after_us)?.with_timezone(&zone);
                let next = cron.find_next_occurrence(&after, false).ok()?;
                Some(next.timestamp_micros())
            }
        }
    }

    /// The last time that a job was due in `(after_us, until_us]`.
    pub fn last_within(&self, after_us: i64, until_us: i64, zone: Tz) -> Option<i64> {
        match self {
            Self::Reboot => None,
            Self::Every { seconds } => {
                let step = seconds * SECOND_US;
                let steps = until_us.saturating_sub(after_us).div_euclid(step);
                (steps > 0).then(|| after_us + steps * step)
            }
            Self::Cron(cron) => {
                let until = DateTime::<Utc>::from_timestamp_micros(until_us)?.with_timezone(&zone);
                let last = cron.find_previous_occurrence(&until, true).ok()?;
                Some(last.timestamp_micros()).filter(|last| *last > after_us)
            }
        }
    }

    /// Whether it names a minute and an hour, rather than many.
    pub fn is_fixed_time(&self) -> bool {
        match self {
            Self::Cron(cron) => cron.determine_job_type() == JobType::FixedTime,
            Self::Every { .. } | Self::Reboot => false,
        }
    }

    /// What it means, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Cron(cron) => cron.describe(),
            Self::Every { seconds: 1 } => "Every second.".to_owned(),
            Self::Every { seconds } => format!("Every {seconds} seconds."),
            Self::Reboot => "When the server starts.".to_owned(),
        }
    }
}

/// The number of `30 seconds`, in lower case.
fn interval(text: &str) -> Option<i64> {
    let (number, unit) = text.split_once(char::is_whitespace)?;
    let unit = unit.trim();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && ["second", "seconds"].contains(&unit)).then(|| number.parse().unwrap_or(i64::MAX))
}

/// 22023
fn invalid(text: &str) -> Error {
    Error::invalid_parameter_value(format!("invalid schedule: {text}"))
        .with_hint("Use cron format (e.g. 5 4 * * *), or interval format '[1-59] seconds'.")
}

/// The zone of a name; 22023 if there is none.
pub fn zone(name: &str) -> Result<Tz> {
    let known = match name.trim() {
        "GMT" | "gmt" | "UTC" | "utc" => Some(Tz::UTC),
        other => other.parse().ok(),
    };
    known.ok_or_else(|| {
        Error::invalid_parameter_value(format!("time zone \"{name}\" not recognized"))
            .with_hint("Use the name of a zone such as Europe/Kyiv.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    fn shown(us: i64) -> String {
        DateTime::<Utc>::from_timestamp_micros(us)
            .unwrap()
            .to_rfc3339()
    }

    fn next(schedule: &str, after: &str, zone_name: &str) -> String {
        let schedule = Schedule::parse(schedule).unwrap();
        let next = schedule.next_after(at(after), zone(zone_name).unwrap());
        shown(next.unwrap())
    }

    #[test]
    fn pg_crons_grammar_is_read() {
        let after = "2026-11-22T10:00:00Z";
        for (schedule, expected) in [
            ("30 3 * * 6", "2026-11-28T03:30:00+00:00"),
            ("0 10 * * *", "2026-11-23T10:00:00+00:00"),
            ("0 12 $ * *", "2026-11-30T12:00:00+00:00"),
            ("*/5 * * * *", "2026-11-22T10:05:00+00:00"),
            ("0 4 * * sun", "2026-11-29T04:00:00+00:00"),
            ("15 6 1-5,20 jan,feb *", "2027-01-01T06:15:00+00:00"),
            ("@hourly", "2026-11-22T11:00:00+00:00"),
            ("@midnight", "2026-11-23T00:00:00+00:00"),
            ("30 seconds", "2026-11-22T10:00:30+00:00"),
            ("1 second", "2026-11-22T10:00:01+00:00"),
            // A day of the month or a day of the week.
            ("0 0 13 * 5", "2026-11-27T00:00:00+00:00"),
        ] {
            assert_eq!(next(schedule, after, "GMT"), expected, "{schedule}");
        }
        assert_eq!(Schedule::parse(" @reboot ").unwrap(), Schedule::Reboot);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "abc",
            "* * * *",
            "* * * * * *",
            "61 * * * *",
            "0 25 * * *",
            "60 seconds",
            "0 seconds",
            "-1 seconds",
            "5 minutes",
            "30 seconds ago",
            "@fortnightly",
            "0 0 30 2 *",
            "99999999999999999999 seconds",
            "*/0 * * * *",
        ] {
            let error = Schedule::parse(text).unwrap_err();
            assert_eq!(error.message(), format!("invalid schedule: {text}"));
        }
    }

    #[test]
    fn clock_changes_neither_lose_nor_double_a_fixed_time() {
        // Kyiv goes to summer time on 2027-03-28 at 03:00, which is 01:00 UTC, and back on 2026-10-25.
        let kyiv = "Europe/Kyiv";
        assert_eq!(
            next("30 3 * * *", "2027-03-27T02:00:00Z", kyiv),
            "2027-03-28T01:00:00+00:00"
        );
        assert_eq!(
            next("30 3 * * *", "2026-10-24T12:00:00Z", kyiv),
            "2026-10-25T00:30:00+00:00"
        );
        assert_eq!(
            next("30 3 * * *", "2026-10-25T00:30:00Z", kyiv),
            "2026-10-26T01:30:00+00:00"
        );
        // What runs every half hour goes on with real time.
        assert_eq!(
            next("*/30 * * * *", "2026-10-25T00:30:00Z", kyiv),
            "2026-10-25T01:00:00+00:00"
        );
    }

    #[test]
    fn the_last_time_before_now_is_found() {
        let hourly = Schedule::parse("@hourly").unwrap();
        let last = |schedule: &Schedule, after, until| {
            schedule
                .last_within(at(after), at(until), Tz::UTC)
                .map(shown)
        };
        let (after, until) = ("2026-11-22T10:00:00Z", "2026-11-22T13:30:00Z");
        let found = last(&hourly, after, until);
        assert_eq!(found.as_deref(), Some("2026-11-22T13:00:00+00:00"));
        assert_eq!(last(&hourly, after, "2026-11-22T10:59:59Z"), None);
        let every = Schedule::parse("7 seconds").unwrap();
        let found = last(&every, after, "2026-11-22T10:00:20Z");
        assert_eq!(found.as_deref(), Some("2026-11-22T10:00:14+00:00"));
    }

    #[test]
    fn fixed_times_are_told_from_repeated_ones() {
        assert!(Schedule::parse("5 6 * * *").unwrap().is_fixed_time());
        assert!(!Schedule::parse("5 * * * *").unwrap().is_fixed_time());
        assert!(!Schedule::parse("30 seconds").unwrap().is_fixed_time());
    }
}
