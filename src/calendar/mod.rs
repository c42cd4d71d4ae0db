//! PostgreSQL's dates, times, intervals and time zones as numbers and as text.
//!
//! PostgreSQL counts dates in days and timestamps in microseconds from 2000-01-01; so does
//! everything here. The least and the greatest number stand for the infinities.

mod civil;
mod digits;
mod fields;
mod interval;
mod read;
mod span;
mod style;
mod write;
mod zone;

pub(crate) use civil::{civil, day_of, iso_week, iso_week_start, weekday};
pub(crate) use digits::{put_i64, put_micros, put_two, put_u64, u64_digits};
pub(crate) use interval::{IntervalFields, interval};
pub use read::Reader;
pub(crate) use span::{PgInterval, add_interval, interval_out_of_range};
pub(crate) use style::date_style_setting;
pub use style::{DateOrder, DateStyle, IntervalStyle, TimeSettings};
pub(crate) use write::{Style, put_date, put_interval, put_time, put_timestamp};
pub use zone::Zone;
pub(crate) use zone::{Offsets, abbreviations, zones};

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Days from 1970-01-01 to 2000-01-01.
pub(crate) const EPOCH_DAYS: i64 = 10_957;

/// Seconds from 1970-01-01 to 2000-01-01.
pub(crate) const EPOCH_SECONDS: i64 = EPOCH_DAYS * SECONDS_PER_DAY;

/// Microseconds from 1970-01-01 to 2000-01-01.
pub(crate) const EPOCH_MICROS: i64 = EPOCH_SECONDS * MICROS_PER_SECOND;

pub(crate) const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub(crate) const MICROS_PER_HOUR: i64 = 3600 * MICROS_PER_SECOND;
pub(crate) const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// First date PostgreSQL holds, 4714-11-24 BC.
const DATE_MIN: i64 = -2_451_545;

/// First day after PostgreSQL's dates (5874898-01-01).
const DATE_END: i64 = 2_145_031_949;

/// First timestamp PostgreSQL holds (4714-11-24 BC).
pub(crate) const TIMESTAMP_MIN: i64 = -211_813_488_000_000_000;

/// First instant after PostgreSQL's timestamps (294277-01-01).
pub(crate) const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

/// Before and after every timestamp.
pub(crate) const INFINITIES: [i64; 2] = [i64::MIN, i64::MAX];

/// Before and after every date.
pub(crate) const DATE_INFINITIES: [i32; 2] = [i32::MIN, i32::MAX];

/// Whether a timestamp is an infinity.
pub(crate) fn is_infinite(micros: i64) -> bool {
    INFINITIES.contains(&micros)
}

/// A day as PostgreSQL's date; 22008 beyond its range.
pub(crate) fn checked_date(day: i64) -> Result<i32> {
    match (DATE_MIN..DATE_END).contains(&day) {
        true => Ok(day as i32),
        false => Err(overflow("date out of range")),
    }
}

/// Microseconds as PostgreSQL's timestamp; 22008 beyond its range.
pub(crate) fn checked_timestamp(micros: Option<i64>) -> Result<i64> {
    micros
        .filter(|micros| (TIMESTAMP_MIN..TIMESTAMP_END).contains(micros))
        .ok_or_else(|| overflow("timestamp out of range"))
}

/// 22008
pub(crate) fn overflow(message: impl Into<String>) -> Error {
    Error::new(SqlState::DatetimeFieldOverflow, message)
}

#[cfg(test)]
mod tests;
