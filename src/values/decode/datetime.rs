//! Dates, times, timestamps and intervals of parameters: the binary forms, and changes of zone.

use datafusion::arrow::datatypes::{IntervalMonthDayNano, TimeUnit};
use datafusion::scalar::ScalarValue;

use crate::calendar::{
    DATE_INFINITIES, EPOCH_DAYS, EPOCH_MICROS, IntervalStyle, PgInterval, Zone, interval,
    is_infinite, overflow,
};
use crate::error::{Error, Result};
use crate::values::encode::datetime::{pg_date, pg_time, pg_timestamp};

/// Days from 2000-01-01 as Arrow's from 1970-01-01; infinities stay.
pub(super) fn arrow_date(day: i32) -> Result<i32> {
    if DATE_INFINITIES.contains(&day) {
        return Ok(day);
    }
    let days = i64::from(day) + EPOCH_DAYS;
    pg_date(days)?;
    i32::try_from(days).map_err(|_| overflow("date out of range"))
}

/// Microseconds from 2000-01-01 as Arrow's from 1970-01-01; infinities stay.
pub(super) fn arrow_timestamp(micros: i64) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    micros
        .checked_add(EPOCH_MICROS)
        .filter(|arrow| pg_timestamp(TimeUnit::Microsecond, *arrow).is_ok())
        .ok_or_else(|| overflow("timestamp out of range"))
}

/// An interval from text.
pub(super) fn text_interval(text: &str, style: IntervalStyle) -> Result<IntervalMonthDayNano> {
    interval(text, style, None, None)?.to_arrow()
}

/// A zoned timestamp as the session's local time.
pub(super) fn without_zone(scalar: ScalarValue, zone: Zone) -> Result<ScalarValue> {
    let local = zone.to_local(micros(&scalar)?).map(arrow_timestamp);
    let local = local.ok_or_else(|| overflow("timestamp out of range"))??;
    Ok(ScalarValue::TimestampMicrosecond(Some(local), None))
}

/// The session's local time as a zoned timestamp.
pub(super) fn with_zone(scalar: ScalarValue, zone: Zone) -> Result<ScalarValue> {
    let instant = zone.to_instant(micros(&scalar)?).map(arrow_timestamp);
    let instant = instant.ok_or_else(|| overflow("timestamp out of range"))??;
    Ok(ScalarValue::TimestampMicrosecond(
        Some(instant),
        Some("UTC".into()),
    ))
}

/// PostgreSQL's microseconds of a timestamp.
fn micros(scalar: &ScalarValue) -> Result<i64> {
    match scalar {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            pg_timestamp(TimeUnit::Microsecond, *micros)
        }
        _ => Err(Error::internal("parameter is no timestamp in microseconds")),
    }
}

/// A binary date as days from 1970-01-01.
pub(super) fn binary_date(bytes: [u8; 4]) -> Result<i32> {
    arrow_date(i32::from_be_bytes(bytes))
}

/// A binary time of day in microseconds.
pub(super) fn binary_time(bytes: [u8; 8]) -> Result<i64> {
    pg_time(TimeUnit::Microsecond, i64::from_be_bytes(bytes))
}

/// A binary timestamp as microseconds from 1970-01-01.
pub(super) fn binary_timestamp(bytes: [u8; 8]) -> Result<i64> {
    arrow_timestamp(i64::from_be_bytes(bytes))
}

/// An interval from its binary form: microseconds, days, months.
pub(super) fn binary_interval(bytes: [u8; 16]) -> Result<IntervalMonthDayNano> {
    let whole = u128::from_be_bytes(bytes);
    PgInterval {
        micros: (whole >> 64) as i64,
        days: (whole >> 32) as i32,
        months: whole as i32,
    }
    .to_arrow()
}
