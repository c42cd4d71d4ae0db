//! Dates and times from their parts and from numbers; what is finite; rounding to a precision.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::error::Result;

use super::function::{Call, Form, Function, Type};
use super::values::{
    date_column, dates, floats, integers, map_timestamps, texts, time_column, times,
    timestamp_column, timestamps,
};
use super::zones::zone_named;
use crate::calendar::{
    DATE_INFINITIES, EPOCH_MICROS, INFINITIES, MICROS_PER_DAY, MICROS_PER_SECOND, Zone,
    checked_date, checked_timestamp, day_of, is_infinite, overflow,
};
use crate::error::{Error, Result as OwnResult};
use Type::{Bool, Date, Float8, Int4, Interval, Text, Time, Timestamp, TimestampTz};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::immutable("make_date", MAKE_DATE),
        Function::immutable("make_time", MAKE_TIME),
        Function::immutable("make_timestamp", MAKE_TIMESTAMP),
        Function::new("make_timestamptz", MAKE_TIMESTAMPTZ),
        Function::immutable("isfinite", ISFINITE),
        Function::immutable("timestamp_round", TIMESTAMP_ROUND),
        Function::immutable("time_round", TIME_ROUND),
    ]
}

/// Seconds between UTC and a zone given as a number are less than this.
const ZONE_SECONDS_END: i32 = 16 * 3600;

const MAKE_DATE: &[Form] = &[Form {
    parameters: &[Int4, Int4, Int4],
    result: Date,
    run: |call| {
        let parts = Parts::new(call)?;
        date_column(call, |row| {
            let parts = parts.first_three(row);
            parts.map(|[y, m, d]| Ok(day(y, m, d)? as i32)).transpose()
        })
    },
}];

const MAKE_TIME: &[Form] = &[Form {
    parameters: &[Int4, Int4, Float8],
    result: Time,
    run: |call| {
        let hours = integers(&call.columns[0])?;
        let minutes = integers(&call.columns[1])?;
        let seconds = floats(&call.columns[2])?;
        time_column(call, |row| {
            let parts = hours.get(row).zip(minutes.get(row)).zip(seconds.get(row));
            parts.map(|((h, m), s)| clock(h, m, s)).transpose()
        })
    },
}];

const MAKE_TIMESTAMP: &[Form] = &[Form {
    parameters: &[Int4, Int4, Int4, Int4, Int4, Float8],
    result: Timestamp,
    run: |call| {
        let parts = Parts::new(call)?;
        timestamp_column(call, false, |row| parts.local(row))
    },
}];

const MAKE_TIMESTAMPTZ: &[Form] = &[
    Form {
        parameters: &[Int4, Int4, Int4, Int4, Int4, Float8],
        result: TimestampTz,
        run: |call| {
            let parts = Parts::new(call)?;
            let zone = call.time.settings.zone;
            timestamp_column(call, true, |row| {
                let local = parts.local(row)?;
                local
                    .map(|local| checked_timestamp(zone.to_instant(local)))
                    .transpose()
            })
        },
    },
    Form {
        parameters: &[Int4, Int4, Int4, Int4, Int4, Float8, Text],
        result: TimestampTz,
        run: |call| {
            let parts = Parts::new(call)?;
            let names = texts(&call.columns[6])?;
            timestamp_column(call, true, |row| {
                let Some((local, name)) = parts.local(row)?.zip(names.get(row)) else {
                    return Ok(None);
                };
                checked_timestamp(zone_given(name)?.to_instant(local)).map(Some)
            })
        },
    },
];

/// A zone by name, or as hours and minutes east of UTC with their sign.
fn zone_given(name: &str) -> OwnResult<Zone> {
    match name.chars().next() {
        Some(first) if first.is_ascii_digit() => Err(Error::invalid_parameter_value(format!(
            "invalid input syntax for type numeric time zone: \"{name}\""
        ))
        .with_hint("Numeric time zones must have \"-\" or \"+\" as first character.")),
        Some('+' | '-') => match zone_named(name)? {
            Zone::Fixed(west) if west.abs() < ZONE_SECONDS_END => Ok(Zone::Fixed(-west)),
            _ => Err(Error::invalid_parameter_value(format!(
                "numeric time zone \"{name}\" out of range"
            ))),
        },
        _ => zone_named(name),
    }
}

/// The columns of parts.
struct Parts {
    numbers: Vec<super::values::Values<datafusion::arrow::array::Int64Array>>,
    seconds: Option<super::values::Values<datafusion::arrow::array::Float64Array>>,
}

impl Parts {
    fn new(call: &Call<'_>) -> Result<Self> {
        let numbers = call.columns.iter().take(5).map(integers);
        Ok(Self {
            numbers: numbers.collect::<Result<_>>()?,
            seconds: call.columns.get(5).map(floats).transpose()?,
        })
    }

    fn first_three(&self, row: usize) -> Option<[i64; 3]> {
        let number = |at: usize| self.numbers.get(at)?.get(row);
        Some([number(0)?, number(1)?, number(2)?])
    }

    fn local(&self, row: usize) -> OwnResult<Option<i64>> {
        let number = |at: usize| self.numbers.get(at)?.get(row);
        let seconds = self.seconds.as_ref().and_then(|seconds| seconds.get(row));
        let Some((((date, hours), minutes), seconds)) = self
            .first_three(row)
            .zip(number(3))
            .zip(number(4))
            .zip(seconds)
        else {
            return Ok(None);
        };
        let [year, month, of_month] = date;
        let micros = day(year, month, of_month)?
            .checked_mul(MICROS_PER_DAY)
            .zip(Some(clock(hours, minutes, seconds)?))
            .and_then(|(day, time)| day.checked_add(time));
        checked_timestamp(micros).map(Some)
    }
}

fn day(year: i64, month: i64, of_month: i64) -> OwnResult<i64> {
    let out_of_range = || {
        overflow(format!(
            "date field value out of range: {year}-{month:02}-{of_month:02}"
        ))
    };
    // A negative year is BC; there is no year 0.
    let counted = match year {
        0 => return Err(out_of_range()),
        year if year < 0 => year + 1,
        year => year,
    };
    let month = u32::try_from(month).map_err(|_| out_of_range())?;
    let of_month = u32::try_from(of_month).map_err(|_| out_of_range())?;
    let day = day_of(counted, month, of_month).ok_or_else(out_of_range)?;
    checked_date(day).map(i64::from)
}

fn clock(hours: i64, minutes: i64, seconds: f64) -> OwnResult<i64> {
    let whole = (0..=24).contains(&hours) && (0..60).contains(&minutes);
    let micros = (seconds * MICROS_PER_SECOND as f64).round_ties_even();
    let fits = whole && (0.0..=60e6).contains(&micros);
    let total = (hours * 60 + minutes) * 60 * MICROS_PER_SECOND + micros as i64;
    match fits && total <= MICROS_PER_DAY {
        true => Ok(total),
        false => Err(overflow(format!(
            "time field value out of range: {hours}:{minutes:02}:{seconds:02}"
        ))),
    }
}

/// Seconds from 1970-01-01 as microseconds from 2000-01-01.
pub(super) fn from_epoch(seconds: f64) -> OwnResult<i64> {
    if seconds.is_nan() {
        return Err(overflow("timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(INFINITIES[usize::from(seconds > 0.0)]);
    }
    let micros = (seconds * 1e6).round_ties_even();
    let in_range = (-9.2e18..9.3e18).contains(&micros);
    let micros = in_range.then(|| micros as i128 - i128::from(EPOCH_MICROS));
    checked_timestamp(micros.and_then(|micros| i64::try_from(micros).ok()))
        .map_err(|_| overflow(format!("timestamp out of range: \"{seconds}\"")))
}

const ISFINITE: &[Form] = &[
    Form {
        parameters: &[TimestampTz],
        result: Bool,
        run: finite_timestamps,
    },
    Form {
        parameters: &[Timestamp],
        result: Bool,
        run: finite_timestamps,
    },
    Form {
        parameters: &[Date],
        result: Bool,
        run: |call| {
            let days = dates(&call.columns[0])?;
            Ok(finite(call, |row| {
                let infinite = |day| DATE_INFINITIES.iter().any(|known| i64::from(*known) == day);
                days.get(row).map(|day| !infinite(day))
            }))
        },
    },
    Form {
        parameters: &[Interval],
        result: Bool,
        run: |call| {
            let spans = super::values::intervals(&call.columns[0])?;
            Ok(finite(call, |row| spans.get(row).map(|_| true)))
        },
    },
];

fn finite_timestamps(call: &Call<'_>) -> Result<ArrayRef> {
    let micros = timestamps(&call.columns[0])?;
    Ok(finite(call, |row| {
        micros.get(row).map(|micros| !is_infinite(micros))
    }))
}

fn finite(call: &Call<'_>, value: impl Fn(usize) -> Option<bool>) -> ArrayRef {
    Arc::new((0..call.rows).map(value).collect::<BooleanArray>())
}

const TIMESTAMP_ROUND: &[Form] = &[
    Form {
        parameters: &[Timestamp, Int4],
        result: Timestamp,
        run: |call| rounded_timestamps(call, false),
    },
    Form {
        parameters: &[TimestampTz, Int4],
        result: TimestampTz,
        run: |call| rounded_timestamps(call, true),
    },
];

const TIME_ROUND: &[Form] = &[Form {
    parameters: &[Time, Int4],
    result: Time,
    run: |call| {
        let unit = unit(call)?;
        let micros = times(&call.columns[0])?;
        time_column(call, |row| {
            Ok(micros.get(row).map(|time| rounded(time, unit)))
        })
    },
}];

fn rounded_timestamps(call: &Call<'_>, zoned: bool) -> Result<ArrayRef> {
    let unit = unit(call)?;
    map_timestamps(&call.columns[0], zoned, |micros| {
        match is_infinite(micros) {
            true => Ok(micros),
            false => checked_timestamp(Some(rounded(micros, unit))),
        }
    })
}

/// Microseconds of the last digit that stays.
fn unit(call: &Call<'_>) -> Result<i64> {
    let digits = integers(&call.columns[1])?.get(0);
    let digits = digits.and_then(|digits| u32::try_from(digits).ok());
    let digits = digits.ok_or_else(|| Error::internal("a precision is no number"))?;
    Ok(10_i64.pow(6 - digits.min(6)))
}

/// Halves go away from zero, counted from 2000-01-01.
fn rounded(micros: i64, unit: i64) -> i64 {
    let half = unit / 2 * micros.signum();
    micros.saturating_add(half) / unit * unit
}
