//! Dates, times and intervals: Arrow's units to PostgreSQL's.
//!
//! Nanoseconds are rounded down to microseconds (towards the past), which keeps the order and never
//! shows the next second or day; interval nanoseconds are cut off towards zero, so that a negative
//! interval is the mirror image of the positive one. The least and the greatest value of a date and
//! of a timestamp in microseconds are the infinities.

use datafusion::arrow::datatypes::TimeUnit;

use crate::calendar::{
    DATE_INFINITIES, EPOCH_DAYS, EPOCH_MICROS, EPOCH_SECONDS, MICROS_PER_DAY, MICROS_PER_SECOND,
    checked_date, checked_timestamp, interval_out_of_range, is_infinite, overflow,
};
pub(crate) use crate::calendar::{
    Offsets, PgInterval, Style, put_date, put_interval, put_time, put_timestamp,
};
use crate::error::Result;

/// A date in days from 1970-01-01 as PostgreSQL's days from 2000-01-01; 22008 beyond its range.
pub(crate) fn pg_date(days: i64) -> Result<i32> {
    if let Some(infinity) = DATE_INFINITIES.iter().find(|day| i64::from(**day) == days) {
        return Ok(*infinity);
    }
    checked_date(days.saturating_sub(EPOCH_DAYS))
}

/// A timestamp in microseconds from 2000-01-01; 22008 beyond PostgreSQL's range.
pub(crate) fn pg_timestamp(unit: TimeUnit, value: i64) -> Result<i64> {
    checked_timestamp(match unit {
        TimeUnit::Microsecond if is_infinite(value) => return Ok(value),
        TimeUnit::Second => value
            .checked_sub(EPOCH_SECONDS)
            .and_then(|v| v.checked_mul(MICROS_PER_SECOND)),
        TimeUnit::Millisecond => value
            .checked_sub(EPOCH_SECONDS * 1000)
            .and_then(|v| v.checked_mul(1000)),
        TimeUnit::Microsecond => value.checked_sub(EPOCH_MICROS),
        TimeUnit::Nanosecond => Some(value.div_euclid(1000) - EPOCH_MICROS),
    })
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
    Ok(PgInterval {
        micros: micros.ok_or_else(interval_out_of_range)?,
        ..PgInterval::default()
    })
}
