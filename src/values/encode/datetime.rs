//! Dates, times and intervals: Arrow's units to PostgreSQL's, and PostgreSQL's text.
//!
//! PostgreSQL counts dates in days and timestamps in microseconds from 2000-01-01. Nanoseconds are
//! rounded down to microseconds (towards the past), which keeps the order and never shows the next
//! second or day; interval nanoseconds are cut off towards zero, so that a negative interval is
//! the mirror image of the positive one.

use std::cell::Cell;

use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::TimeUnit;

use super::number::{put_i64, put_micros, put_two, put_u64};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Days from 1970-01-01 to 2000-01-01.
pub(crate) const EPOCH_DAYS: i64 = 10_957;

/// Seconds from 1970-01-01 to 2000-01-01.
pub(crate) const EPOCH_SECONDS: i64 = EPOCH_DAYS * SECONDS_PER_DAY;

pub(crate) const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// First date PostgreSQL holds, 4714-11-24 BC, in days from 2000-01-01.
const DATE_MIN: i64 = -2_451_545;

/// First day after PostgreSQL's dates, in days from 2000-01-01 (5874898-01-01).
const DATE_END: i64 = 2_145_031_949;

/// First timestamp PostgreSQL holds, in microseconds from 2000-01-01 (4714-11-24 BC).
const TIMESTAMP_MIN: i64 = -211_813_488_000_000_000;

/// First instant after PostgreSQL's timestamps (294277-01-01).
const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

/// Days in 400 years of the Gregorian calendar.
const DAYS_PER_ERA: i64 = 146_097;

/// Days from 0000-03-01 to 2000-03-01 less the days from 2000-01-01 to 2000-03-01.
const DAYS_TO_ERA: i64 = 5 * DAYS_PER_ERA - 60;

/// Year (0 is 1 BC), month, day of a day counted from 2000-01-01.
pub(crate) fn civil(day: i64) -> (i64, u32, u32) {
    // Years begin in March here, so that the leap day is a year's last.
    let shifted = day + DAYS_TO_ERA;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day_of_month as u32)
}

/// Days from 2000-01-01 of a date (year 0 is 1 BC); None when there is no such day.
pub(crate) fn day_of(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || day == 0 || year.abs() > 10_000_000 {
        return None;
    }
    let from_march = i64::from((month + 9) % 12);
    let march_year = year - i64::from(month <= 2);
    let of_era = march_year.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    let days = march_year.div_euclid(400) * DAYS_PER_ERA + 365 * of_era + of_era / 4 - of_era / 100
        + of_year
        - DAYS_TO_ERA;
    (civil(days) == (year, month, day)).then_some(days)
}

/// A date in days from 1970-01-01 as PostgreSQL's days from 2000-01-01; 22008 beyond its range.
pub(crate) fn pg_date(days: i64) -> Result<i32> {
    let day = days.saturating_sub(EPOCH_DAYS);
    if (DATE_MIN..DATE_END).contains(&day) {
        Ok(day as i32)
    } else {
        Err(overflow("date out of range"))
    }
}

/// A timestamp in microseconds from 2000-01-01; 22008 beyond PostgreSQL's range.
pub(crate) fn pg_timestamp(unit: TimeUnit, value: i64) -> Result<i64> {
    let micros = match unit {
        TimeUnit::Second => value
            .checked_sub(EPOCH_SECONDS)
            .and_then(|v| v.checked_mul(MICROS_PER_SECOND)),
        TimeUnit::Millisecond => value
            .checked_sub(EPOCH_SECONDS * 1000)
            .and_then(|v| v.checked_mul(1000)),
        TimeUnit::Microsecond => value.checked_sub(EPOCH_SECONDS * MICROS_PER_SECOND),
        TimeUnit::Nanosecond => Some(value.div_euclid(1000) - EPOCH_SECONDS * MICROS_PER_SECOND),
    };
    micros
        .filter(|micros| (TIMESTAMP_MIN..TIMESTAMP_END).contains(micros))
        .ok_or_else(|| overflow("timestamp out of range"))
}

/// A time of day in microseconds; 22008 outside 00:00:00 to 24:00:00.
pub(crate) fn pg_time(unit: TimeUnit, value: i64) -> Result<i64> {
    let micros = match unit {
        TimeUnit::Second => value.saturating_mul(MICROS_PER_SECOND),
        TimeUnit::Millisecond => value.saturating_mul(1000),
        TimeUnit::Microsecond => value,
        TimeUnit::Nanosecond => value.div_euclid(1000),
    };
    if (0..=MICROS_PER_DAY).contains(&micros) {
        Ok(micros)
    } else {
        Err(overflow("time out of range"))
    }
}

/// A duration as an interval of microseconds; 22008 beyond 64 bits.
pub(crate) fn pg_duration(unit: TimeUnit, value: i64) -> Result<PgInterval> {
    let micros = match unit {
        TimeUnit::Second => value.checked_mul(MICROS_PER_SECOND),
        TimeUnit::Millisecond => value.checked_mul(1000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value / 1000),
    };
    let micros = micros.ok_or_else(|| overflow("interval out of range"))?;
    Ok(PgInterval {
        micros,
        days: 0,
        months: 0,
    })
}

fn overflow(message: &str) -> Error {
    Error::new(SqlState::DatetimeFieldOverflow, message)
}

/// An interval in PostgreSQL's three parts, in the order of its binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PgInterval {
    pub(crate) micros: i64,
    pub(crate) days: i32,
    pub(crate) months: i32,
}

/// Between date and time of a timestamp: a space in text, a `T` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Iso,
    Xsd,
}

/// Writes a date counted from 2000-01-01.
pub(crate) fn put_date(day: i32, out: &mut BytesMut) {
    let (year, month, day) = civil(i64::from(day));
    put_civil(year, month, day, out);
    put_era(year, out);
}

fn put_civil(year: i64, month: u32, day: u32, out: &mut BytesMut) {
    let shown = (if year > 0 { year } else { 1 - year }).unsigned_abs();
    if shown < 10_000 {
        put_two((shown / 100) as u32, out);
        put_two((shown % 100) as u32, out);
    } else {
        put_u64(shown, out);
    }
    out.put_u8(b'-');
    put_two(month, out);
    out.put_u8(b'-');
    put_two(day, out);
}

fn put_era(year: i64, out: &mut BytesMut) {
    if year <= 0 {
        out.put_slice(b" BC");
    }
}

/// Writes a time of day, `HH:MM:SS[.ffffff]`.
pub(crate) fn put_time(micros: i64, out: &mut BytesMut) {
    let seconds = micros / MICROS_PER_SECOND;
    put_two((seconds / 3600) as u32, out);
    out.put_u8(b':');
    put_two((seconds / 60 % 60) as u32, out);
    out.put_u8(b':');
    put_two((seconds % 60) as u32, out);
    put_micros((micros % MICROS_PER_SECOND) as u32, out);
}

/// Writes a timestamp in microseconds from 2000-01-01, with an offset from UTC in seconds if the
/// type has a zone; the instant is shifted by it.
pub(crate) fn put_timestamp(micros: i64, offset: Option<i32>, style: Style, out: &mut BytesMut) {
    let local = micros + i64::from(offset.unwrap_or(0)) * MICROS_PER_SECOND;
    let (year, month, day) = civil(local.div_euclid(MICROS_PER_DAY));
    put_civil(year, month, day, out);
    out.put_u8(if style == Style::Iso { b' ' } else { b'T' });
    put_time(local.rem_euclid(MICROS_PER_DAY), out);
    if let Some(offset) = offset {
        put_offset(offset, style, out);
    }
    put_era(year, out);
}

/// Writes `+02`, `+05:30`, `-04:56:02`; XSD always has the minutes.
fn put_offset(offset: i32, style: Style, out: &mut BytesMut) {
    out.put_u8(if offset < 0 { b'-' } else { b'+' });
    let seconds = offset.unsigned_abs();
    put_two(seconds / 3600, out);
    if !seconds.is_multiple_of(3600) || style == Style::Xsd {
        out.put_u8(b':');
        put_two(seconds / 60 % 60, out);
    }
    if !seconds.is_multiple_of(60) {
        out.put_u8(b':');
        put_two(seconds % 60, out);
    }
}

/// Writes an interval in the style `postgres`.
pub(crate) fn put_interval(interval: PgInterval, out: &mut BytesMut) {
    let parts = [
        (interval.months / 12, "year"),
        (interval.months % 12, "mon"),
        (interval.days, "day"),
    ];
    let mut first = true;
    // A positive part after a negative one carries its sign.
    let mut after_negative = false;
    for (value, unit) in parts {
        if value == 0 {
            continue;
        }
        if !first {
            out.put_u8(b' ');
        }
        if after_negative && value > 0 {
            out.put_u8(b'+');
        }
        put_i64(i64::from(value), out);
        out.put_u8(b' ');
        out.put_slice(unit.as_bytes());
        if value != 1 {
            out.put_u8(b's');
        }
        after_negative = value < 0;
        first = false;
    }
    if !first && interval.micros == 0 {
        return;
    }
    if !first {
        out.put_u8(b' ');
    }
    if interval.micros < 0 {
        out.put_u8(b'-');
    } else if after_negative {
        out.put_u8(b'+');
    }
    put_clock(interval.micros.unsigned_abs(), out);
}

/// Writes hours without limit, minutes, seconds.
fn put_clock(micros: u64, out: &mut BytesMut) {
    let seconds = micros / MICROS_PER_SECOND as u64;
    let hours = seconds / 3600;
    if hours < 10 {
        out.put_u8(b'0');
    }
    put_u64(hours, out);
    out.put_u8(b':');
    put_two((seconds / 60 % 60) as u32, out);
    out.put_u8(b':');
    put_two((seconds % 60) as u32, out);
    put_micros((micros % MICROS_PER_SECOND as u64) as u32, out);
}

/// The offsets of a zone, remembered by UTC day.
///
/// A look-up is a binary search in the zone's transitions; a day that begins and ends with one
/// offset has that offset throughout.
pub(crate) struct Offsets {
    zone: Tz,
    /// The offset of a zone without transitions.
    fixed: Option<i32>,
    /// One slot per day modulo their number: (day from 1970-01-01, seconds east of UTC).
    days: Vec<Cell<(i64, i32)>>,
}

/// Slots of the memo of offsets: about eleven years of days, 64 KiB.
const OFFSET_SLOTS_MAX: usize = 4096;
const OFFSET_SLOTS_MIN: usize = 4;

/// No day that a timestamp can fall on.
const NO_DAY: i64 = i64::MIN;

/// First second of 2099. The zone tables end soon after; from here on the rules of a year are those
/// of an earlier one with the same calendar.
const TABLES_END: i64 = 4_070_908_800;

/// Years that have all fourteen calendars and whose rules are in the tables.
const MODEL_YEARS: std::ops::Range<i64> = 2071..2099;

/// A date before which all zones had their local mean time and which chrono still reaches.
const CHRONO_SECONDS_MIN: i64 = -8_200_000_000_000;

impl Offsets {
    /// For about `rows` look-ups.
    pub(crate) fn new(zone: Tz, rows: usize) -> Self {
        let name = zone.to_string();
        let is_fixed = name.starts_with(['+', '-']) || matches!(name.as_str(), "UTC" | "Etc/UTC");
        let fixed = is_fixed.then(|| offset_at(zone, 0));
        let slots = if is_fixed {
            0
        } else {
            rows.clamp(OFFSET_SLOTS_MIN, OFFSET_SLOTS_MAX)
                .next_power_of_two()
        };
        Self {
            zone,
            fixed,
            days: vec![Cell::new((NO_DAY, 0)); slots],
        }
    }

    /// Seconds east of UTC at an instant in microseconds from 2000-01-01.
    pub(crate) fn at(&self, micros: i64) -> i32 {
        if let Some(offset) = self.fixed {
            return offset;
        }
        let seconds = micros.div_euclid(MICROS_PER_SECOND) + EPOCH_SECONDS;
        let day = seconds.div_euclid(SECONDS_PER_DAY);
        let Some(slot) = self
            .days
            .get(day.rem_euclid(self.days.len().max(1) as i64) as usize)
        else {
            return offset_at(self.zone, seconds);
        };
        let (known, offset) = slot.get();
        if known == day {
            return offset;
        }
        let start = offset_at(self.zone, day * SECONDS_PER_DAY);
        let end = offset_at(self.zone, (day + 1) * SECONDS_PER_DAY);
        if start != end {
            return offset_at(self.zone, seconds);
        }
        slot.set((day, start));
        start
    }
}

/// Seconds east of UTC at `seconds` from 1970-01-01.
pub(crate) fn offset_at(zone: Tz, seconds: i64) -> i32 {
    if seconds < TABLES_END {
        return table_offset(zone, seconds.max(CHRONO_SECONDS_MIN));
    }
    table_offset(zone, seconds - model_shift(zone, seconds) * SECONDS_PER_DAY)
}

/// Days between a year after the tables and the year that stands for it.
fn model_shift(zone: Tz, seconds: i64) -> i64 {
    let calendar = |year: i64| {
        let first = day_of(year, 1, 1).unwrap_or_default();
        let next = day_of(year + 1, 1, 1).unwrap_or_default();
        (first, first.rem_euclid(7), next - first)
    };
    let last = MODEL_YEARS.end - 1;
    let at_month = |month| {
        let day = day_of(last, month, 1).unwrap_or_default();
        table_offset(zone, day * SECONDS_PER_DAY + EPOCH_SECONDS)
    };
    let (year, _, _) = civil(seconds.div_euclid(SECONDS_PER_DAY) - EPOCH_DAYS);
    let (first, weekday, days) = calendar(year);
    // Zones that gave up changing (Morocco in 2087) must not go back to when they did.
    let changes = (2..=12).any(|month| at_month(month) != at_month(1));
    let models = if changes {
        MODEL_YEARS
    } else {
        last..MODEL_YEARS.end
    };
    let model = models
        .map(calendar)
        .find(|(_, w, d)| !changes || (*w, *d) == (weekday, days));
    // Day 366 of a year that does not change falls on the next, which is as good.
    model.map_or(0, |(model_first, _, _)| first - model_first)
}

fn table_offset(zone: Tz, seconds: i64) -> i32 {
    let instant = DateTime::from_timestamp(seconds, 0)
        .unwrap_or_default()
        .naive_utc();
    zone.offset_from_utc_datetime(&instant)
        .fix()
        .local_minus_utc()
}
