//! Dates, times and timestamps: ISO 8601 text as PostgreSQL takes it, and the binary forms.

use std::str::FromStr;

use datafusion::arrow::array::timezone::Tz;
use datafusion::scalar::ScalarValue;

use super::is_space;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::values::encode::datetime::{
    EPOCH_DAYS, EPOCH_SECONDS, MICROS_PER_DAY, MICROS_PER_SECOND, SECONDS_PER_DAY, day_of,
    offset_at, pg_date, pg_time, pg_timestamp,
};
use crate::values::types::{DATE, PgType, TIME, TIMESTAMP, TIMESTAMPTZ};
use datafusion::arrow::datatypes::TimeUnit;

/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_MICROS: i64 = EPOCH_SECONDS * MICROS_PER_SECOND;

/// Hours of an offset from UTC at the most.
const OFFSET_HOURS_MAX: u32 = 15;

/// A date in days from 1970-01-01; a time of day behind it is ignored, as PostgreSQL does.
pub(super) fn date(text: &str) -> Result<i32> {
    let parsed = Parsed::new(text, DATE)?;
    let days = parsed.day + EPOCH_DAYS;
    pg_date(days).map_err(|_| {
        Error::new(
            SqlState::DatetimeFieldOverflow,
            format!("date out of range: \"{text}\""),
        )
    })?;
    Ok(days as i32)
}

/// A time of day in microseconds.
pub(super) fn time(text: &str) -> Result<i64> {
    let fields = Fields {
        text,
        pg_type: TIME,
    };
    fields.clock(text.trim_matches(is_space))
}

/// A timestamp without zone in microseconds from 1970-01-01; an offset is ignored, as PostgreSQL
/// does.
pub(super) fn timestamp(text: &str) -> Result<i64> {
    let parsed = Parsed::new(text, TIMESTAMP)?;
    to_arrow(parsed.local(text)?, text)
}

/// A timestamp with zone in microseconds from 1970-01-01 UTC; without offset it is the session's.
pub(super) fn timestamptz(text: &str, session: Tz) -> Result<i64> {
    let parsed = Parsed::new(text, TIMESTAMPTZ)?;
    let local = parsed.local(text)?;
    let offset = match parsed.zone {
        Some(Zone::Offset(seconds)) => seconds,
        Some(Zone::Named(zone)) => local_offset(zone, local),
        None => local_offset(session, local),
    };
    to_arrow(local - i64::from(offset) * MICROS_PER_SECOND, text)
}

/// PostgreSQL's microseconds to Arrow's; 22008 beyond the range of either.
fn to_arrow(micros: i64, text: &str) -> Result<i64> {
    micros
        .checked_add(EPOCH_MICROS)
        .filter(|micros| pg_timestamp(TimeUnit::Microsecond, *micros).is_ok())
        .ok_or_else(|| timestamp_out_of_range(text))
}

fn timestamp_out_of_range(text: &str) -> Error {
    Error::new(
        SqlState::DatetimeFieldOverflow,
        format!("timestamp out of range: \"{text}\""),
    )
}

/// Seconds east of UTC of a local time in microseconds from 2000-01-01.
///
/// As in PostgreSQL a time that occurs twice is the later one, and one that is left out is read
/// with the offset before the gap.
pub(super) fn local_offset(zone: Tz, local: i64) -> i32 {
    let seconds = local.div_euclid(MICROS_PER_SECOND) + EPOCH_SECONDS;
    let before = offset_at(zone, seconds - SECONDS_PER_DAY);
    let after = offset_at(zone, seconds + SECONDS_PER_DAY);
    let holds = |offset: i32| offset_at(zone, seconds - i64::from(offset)) == offset;
    if before == after || (!holds(after) && holds(before)) || !holds(after) {
        before
    } else {
        after
    }
}

/// A zoned timestamp as the session's local time.
pub(super) fn without_zone(scalar: ScalarValue, zone: Tz) -> Result<ScalarValue> {
    let ScalarValue::TimestampMicrosecond(Some(micros), _) = scalar else {
        return Err(Error::internal("parameter is no timestamp in microseconds"));
    };
    let offset = offset_at(zone, micros.div_euclid(MICROS_PER_SECOND));
    let local = micros.checked_add(i64::from(offset) * MICROS_PER_SECOND);
    let local = local.ok_or_else(|| timestamp_out_of_range(&micros.to_string()))?;
    Ok(ScalarValue::TimestampMicrosecond(Some(local), None))
}

/// The session's local time as a zoned timestamp.
pub(super) fn with_zone(scalar: ScalarValue, zone: Tz) -> Result<ScalarValue> {
    let ScalarValue::TimestampMicrosecond(Some(local), _) = scalar else {
        return Err(Error::internal("parameter is no timestamp in microseconds"));
    };
    let offset = local_offset(zone, local.saturating_sub(EPOCH_MICROS));
    let micros = local.checked_sub(i64::from(offset) * MICROS_PER_SECOND);
    let micros = micros.ok_or_else(|| timestamp_out_of_range(&local.to_string()))?;
    Ok(ScalarValue::TimestampMicrosecond(
        Some(micros),
        Some("UTC".into()),
    ))
}

/// A binary date as days from 1970-01-01.
pub(super) fn binary_date(bytes: [u8; 4]) -> Result<i32> {
    let day = i32::from_be_bytes(bytes);
    if matches!(day, i32::MIN | i32::MAX) {
        return Err(infinite());
    }
    let days = i64::from(day) + EPOCH_DAYS;
    pg_date(days)?;
    Ok(days as i32)
}

/// A binary time of day in microseconds.
pub(super) fn binary_time(bytes: [u8; 8]) -> Result<i64> {
    pg_time(TimeUnit::Microsecond, i64::from_be_bytes(bytes))
}

/// A binary timestamp as microseconds from 1970-01-01.
pub(super) fn binary_timestamp(bytes: [u8; 8]) -> Result<i64> {
    let micros = i64::from_be_bytes(bytes);
    if matches!(micros, i64::MIN | i64::MAX) {
        return Err(infinite());
    }
    let arrow = micros.checked_add(EPOCH_MICROS);
    arrow
        .filter(|arrow| pg_timestamp(TimeUnit::Microsecond, *arrow).is_ok())
        .ok_or_else(|| Error::new(SqlState::DatetimeFieldOverflow, "timestamp out of range"))
}

fn infinite() -> Error {
    Error::feature_not_supported("infinite dates and timestamps are not supported")
}

enum Zone {
    /// Seconds east of UTC.
    Offset(i32),
    Named(Tz),
}

/// A date with or without a time of day and a zone.
struct Parsed {
    /// Days from 2000-01-01.
    day: i64,
    /// Microseconds.
    time: i64,
    zone: Option<Zone>,
}

impl Parsed {
    fn new(text: &str, pg_type: PgType) -> Result<Self> {
        let fields = Fields { text, pg_type };
        let trimmed = text.trim_matches(is_space);
        match trimmed.to_ascii_lowercase().as_str() {
            "infinity" | "-infinity" | "+infinity" => return Err(infinite()),
            "epoch" => {
                return Ok(Self {
                    day: -EPOCH_DAYS,
                    time: 0,
                    zone: Some(Zone::Offset(0)),
                });
            }
            _ => {}
        }
        let (trimmed, before_christ) = era(trimmed);
        let date_len = trimmed.find(|c: char| is_space(c) || c == 'T' || c == 't');
        let (date, rest) = trimmed.split_at(date_len.unwrap_or(trimmed.len()));
        let day = fields.date(date, before_christ)?;
        let rest = rest
            .strip_prefix(['T', 't'])
            .unwrap_or(rest)
            .trim_matches(is_space);
        if rest.is_empty() {
            return Ok(Self {
                day,
                time: 0,
                zone: None,
            });
        }
        let in_clock = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.');
        let (clock, zone) = rest.split_at(rest.find(|c| !in_clock(c)).unwrap_or(rest.len()));
        let time = fields.clock(clock)?;
        let zone = zone.trim_matches(is_space);
        let zone = if zone.is_empty() {
            None
        } else {
            Some(fields.zone(zone)?)
        };
        Ok(Self { day, time, zone })
    }

    /// Microseconds from 2000-01-01, local.
    fn local(&self, text: &str) -> Result<i64> {
        let day = self.day.checked_mul(MICROS_PER_DAY);
        day.and_then(|micros| micros.checked_add(self.time))
            .filter(|micros| {
                micros.unsigned_abs() < i64::MAX.unsigned_abs() - 2 * MICROS_PER_DAY as u64
            })
            .ok_or_else(|| timestamp_out_of_range(text))
    }
}

/// Cuts `BC` or `AD` off the end.
fn era(text: &str) -> (&str, bool) {
    for (suffix, before_christ) in [("BC", true), ("AD", false)] {
        let start = text.len().saturating_sub(suffix.len());
        if let Some((head, tail)) = text.split_at_checked(start)
            && tail.eq_ignore_ascii_case(suffix)
            && head.ends_with(is_space)
        {
            return (head.trim_end_matches(is_space), before_christ);
        }
    }
    (text, false)
}

/// Reads the fields of one text, which error messages quote.
#[derive(Clone, Copy)]
struct Fields<'a> {
    text: &'a str,
    pg_type: PgType,
}

impl Fields<'_> {
    fn invalid(self) -> Error {
        Error::new(
            SqlState::InvalidDatetimeFormat,
            format!(
                "invalid input syntax for type {}: \"{}\"",
                self.type_name(),
                self.text
            ),
        )
    }

    /// PostgreSQL's input functions leave out `without time zone`.
    fn type_name(self) -> String {
        match self.pg_type {
            TIME | TIMESTAMP => self.pg_type.name.to_owned(),
            other => other.sql_name(),
        }
    }

    fn out_of_range(self) -> Error {
        Error::new(
            SqlState::DatetimeFieldOverflow,
            format!("date/time field value out of range: \"{}\"", self.text),
        )
    }

    fn number(self, digits: &str) -> Result<u32> {
        /// Digits of a field at the most.
        const DIGITS_MAX: usize = 9;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.invalid());
        }
        if digits.len() > DIGITS_MAX {
            return Err(self.out_of_range());
        }
        digits.parse().map_err(|_| self.invalid())
    }

    /// `YYYY-MM-DD` with four or more digits of the year, or `YYYYMMDD`.
    fn date(self, text: &str, before_christ: bool) -> Result<i64> {
        const YEAR_DIGITS_MIN: usize = 4;
        let (year, month, day) = if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
            (&text[..4], &text[4..6], &text[6..])
        } else {
            let mut parts = text.split('-');
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(year), Some(month), Some(day), None) => (year, month, day),
                _ => return Err(self.invalid()),
            }
        };
        if year.len() < YEAR_DIGITS_MIN || month.len() > 2 || day.len() > 2 {
            return Err(self.invalid());
        }
        let year = i64::from(self.number(year)?);
        let (month, day) = (self.number(month)?, self.number(day)?);
        if year == 0 {
            return Err(self.out_of_range());
        }
        let year = if before_christ { 1 - year } else { year };
        day_of(year, month, day).ok_or_else(|| self.out_of_range())
    }

    /// `HH:MM[:SS[.ffffff]]` in microseconds; 24:00:00 and a second 60 are allowed.
    fn clock(self, text: &str) -> Result<i64> {
        let mut parts = text.split(':');
        let (Some(hour), Some(minute)) = (parts.next(), parts.next()) else {
            return Err(self.invalid());
        };
        let second = parts.next().unwrap_or("0");
        if parts.next().is_some() {
            return Err(self.invalid());
        }
        let (whole, fraction) = second.split_once('.').unwrap_or((second, ""));
        let (hour, minute) = (
            i64::from(self.number(hour)?),
            i64::from(self.number(minute)?),
        );
        let second = i64::from(self.number(whole)?);
        if hour > 24 || minute > 59 || second > 60 {
            return Err(self.out_of_range());
        }
        let micros = ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND
            + fraction_micros(fraction).ok_or_else(|| self.invalid())?;
        if micros > MICROS_PER_DAY {
            Err(self.out_of_range())
        } else {
            Ok(micros)
        }
    }

    /// `Z`, `+02`, `+0200`, `+02:00:00`, `Europe/Berlin`.
    fn zone(self, text: &str) -> Result<Zone> {
        let (sign, digits) = match text.as_bytes() {
            [b'+', ..] => (1, &text[1..]),
            [b'-', ..] => (-1, &text[1..]),
            _ if text.eq_ignore_ascii_case("z") => return Ok(Zone::Offset(0)),
            _ => {
                return Tz::from_str(text).map(Zone::Named).map_err(|e| {
                    Error::invalid_parameter_value(format!("time zone \"{text}\" not recognized"))
                        .with_source(e)
                });
            }
        };
        let mut parts = digits.split(':');
        let (mut hour, mut minute) = (parts.next().unwrap_or_default(), parts.next());
        if minute.is_none() && hour.is_ascii() && matches!(hour.len(), 3 | 4) {
            let (hours, minutes) = hour.split_at(hour.len() - 2);
            (hour, minute) = (hours, Some(minutes));
        }
        let second = parts.next();
        if parts.next().is_some() {
            return Err(self.invalid());
        }
        let hour = self.number(hour)?;
        let minute = minute.map_or(Ok(0), |minute| self.number(minute))?;
        let second = second.map_or(Ok(0), |second| self.number(second))?;
        if hour > OFFSET_HOURS_MAX || minute > 59 || second > 59 {
            return Err(Error::new(
                SqlState::DatetimeFieldOverflow,
                format!("time zone displacement out of range: \"{}\"", self.text),
            ));
        }
        Ok(Zone::Offset(
            sign * ((hour * 60 + minute) * 60 + second).cast_signed(),
        ))
    }
}

/// Microseconds of the digits behind a point, rounded half up; None if they are no digits.
pub(super) fn fraction_micros(digits: &str) -> Option<i64> {
    const DIGITS: usize = 6;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let shown = digits.bytes().chain(std::iter::repeat(b'0')).take(DIGITS);
    let micros = shown.fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
    let rounds_up = digits
        .as_bytes()
        .get(DIGITS)
        .is_some_and(|digit| *digit >= b'5');
    Some(micros + i64::from(rounds_up))
}
