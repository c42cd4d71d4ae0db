//! Functions of intervals: made from parts, evened out, between two times; OVERLAPS.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::error::Result;

use super::function::{Call, Form, Function, Type};
use super::values::{
    Values, floats, integers, interval_column, intervals, texts, times, timestamps,
};
use crate::calendar::{
    IntervalFields, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, PgInterval, add_interval,
    civil, day_of, interval, interval_out_of_range, is_infinite, overflow,
};
use crate::error::Result as OwnResult;
use Type::{Bool, Float8, Int4, Interval, Text, Time, Timestamp, TimestampTz};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::immutable("make_interval", MAKE_INTERVAL),
        Function::immutable("justify_days", JUSTIFY_DAYS),
        Function::immutable("justify_hours", JUSTIFY_HOURS),
        Function::immutable("justify_interval", JUSTIFY_INTERVAL),
        Function::new("interval_in", INTERVAL_IN),
        Function::new("age", AGE),
        Function::new("overlaps", OVERLAPS),
    ]
}

const MAKE_INTERVAL: &[Form] = &[Form {
    parameters: &[Int4, Int4, Int4, Int4, Int4, Int4, Float8],
    result: Interval,
    run: |call| {
        let numbers = call.columns[..6]
            .iter()
            .map(integers)
            .collect::<Result<Vec<_>>>()?;
        let seconds = floats(&call.columns[6])?;
        interval_column(call, |row| {
            let parts = numbers
                .iter()
                .map(|number| number.get(row))
                .collect::<Option<Vec<_>>>();
            let (Some(parts), Some(seconds)) = (parts, seconds.get(row)) else {
                return Ok(None);
            };
            made(&parts, seconds)
                .map(Some)
                .ok_or_else(interval_out_of_range)
        })
    },
}];

fn made(parts: &[i64], seconds: f64) -> Option<PgInterval> {
    let [years, months, weeks, days, hours, minutes] = parts else {
        return None;
    };
    let micros = (seconds * 1e6).round_ties_even();
    let time = hours
        .checked_mul(MICROS_PER_HOUR)?
        .checked_add(minutes.checked_mul(MICROS_PER_MINUTE)?)?;
    let fits = micros.is_finite() && micros.abs() < 9.2e18;
    Some(PgInterval {
        micros: time.checked_add(fits.then_some(micros as i64)?)?,
        days: i32::try_from(weeks.checked_mul(7)?.checked_add(*days)?).ok()?,
        months: i32::try_from(years.checked_mul(12)?.checked_add(*months)?).ok()?,
    })
}

const JUSTIFY_DAYS: &[Form] = &[justify(|call| justified(call, PgInterval::justify_days))];
const JUSTIFY_HOURS: &[Form] = &[justify(|call| justified(call, PgInterval::justify_hours))];
const JUSTIFY_INTERVAL: &[Form] = &[justify(|call| {
    justified(call, PgInterval::justify_interval)
})];

const fn justify(run: fn(&Call<'_>) -> Result<ArrayRef>) -> Form {
    Form {
        parameters: &[Interval],
        result: Interval,
        run,
    }
}

fn justified(call: &Call<'_>, even: fn(PgInterval) -> Option<PgInterval>) -> Result<ArrayRef> {
    let spans = intervals(&call.columns[0])?;
    interval_column(call, |row| {
        spans
            .get(row)
            .map(|span| even(span).ok_or_else(interval_out_of_range))
            .transpose()
    })
}

/// `interval '…' fields(precision)`; an interval is written and read again with them.
const INTERVAL_IN: &[Form] = &[
    Form {
        parameters: &[Text, Text, Int4],
        result: Interval,
        run: |call| {
            let values = texts(&call.columns[0])?;
            let (fields, precision) = modifiers(call)?;
            let style = call.time.settings.interval_style;
            interval_column(call, |row| {
                let value = values.get(row);
                value
                    .map(|text| interval(text, style, fields, precision))
                    .transpose()
            })
        },
    },
    Form {
        parameters: &[Interval, Text, Int4],
        result: Interval,
        run: |call| {
            let spans = intervals(&call.columns[0])?;
            let (fields, precision) = modifiers(call)?;
            interval_column(call, |row| {
                Ok(spans.get(row).map(|span| span.limited(fields, precision)))
            })
        },
    },
];

/// Fields and digits of seconds of the type, which are constants.
fn modifiers(call: &Call<'_>) -> Result<(Option<IntervalFields>, Option<u32>)> {
    let names = texts(&call.columns[1])?;
    let fields = names.get(0).unwrap_or_default().to_ascii_uppercase();
    let fields = match fields.split_once(" TO ") {
        Some((first, last)) => IntervalFields::named(first, Some(last)),
        None => IntervalFields::named(&fields, None),
    };
    let precision = integers(&call.columns[2])?.get(0);
    Ok((
        fields,
        precision.and_then(|digits| u32::try_from(digits).ok()),
    ))
}

const AGE: &[Form] = &[
    Form {
        parameters: &[TimestampTz, TimestampTz],
        result: Interval,
        run: |call| {
            let (left, right) = (timestamps(&call.columns[0])?, timestamps(&call.columns[1])?);
            let zone = call.time.settings.zone;
            interval_column(call, |row| {
                let pair = left.get(row).zip(right.get(row));
                let local = pair.and_then(|(a, b)| zone.to_local(a).zip(zone.to_local(b)));
                local.map(|(a, b)| age(a, b)).transpose()
            })
        },
    },
    Form {
        parameters: &[Timestamp, Timestamp],
        result: Interval,
        run: |call| {
            let (left, right) = (timestamps(&call.columns[0])?, timestamps(&call.columns[1])?);
            interval_column(call, |row| {
                let pair = left.get(row).zip(right.get(row));
                pair.map(|(a, b)| age(a, b)).transpose()
            })
        },
    },
    Form {
        parameters: &[TimestampTz],
        result: Interval,
        run: |call| age_today(call, true),
    },
    Form {
        parameters: &[Timestamp],
        result: Interval,
        run: |call| age_today(call, false),
    },
];

/// The distance to the beginning of the session's day.
fn age_today(call: &Call<'_>, zoned: bool) -> Result<ArrayRef> {
    let zone = call.time.settings.zone;
    let now = zone.to_local(call.time.transaction).unwrap_or_default();
    let today = now.div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY;
    let micros = timestamps(&call.columns[0])?;
    interval_column(call, |row| {
        let local = micros.get(row).map(|micros| match zoned {
            true => zone.to_local(micros).unwrap_or(micros),
            false => micros,
        });
        local.map(|local| age(today, local)).transpose()
    })
}

/// Years, months, days and time between two local times, as on a calendar.
fn age(left: i64, right: i64) -> OwnResult<PgInterval> {
    if is_infinite(left) || is_infinite(right) {
        return Err(overflow("timestamp out of range"));
    }
    let sign = if left < right { -1 } else { 1 };
    let (late, early) = (left.max(right), left.min(right));
    let (late_year, late_month, late_day) = civil(late.div_euclid(MICROS_PER_DAY));
    let (year, month, day) = civil(early.div_euclid(MICROS_PER_DAY));
    let mut months = (late_year - year) * 12 + i64::from(late_month) - i64::from(month);
    let mut days = i64::from(late_day) - i64::from(day);
    let mut micros = late.rem_euclid(MICROS_PER_DAY) - early.rem_euclid(MICROS_PER_DAY);
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        // The month that is borrowed is that of the earlier time.
        days += month_days(year, month);
        months -= 1;
    }
    let months = i32::try_from(months).map_err(|_| interval_out_of_range())?;
    Ok(PgInterval {
        micros: sign * micros,
        days: sign as i32 * days as i32,
        months: sign as i32 * months,
    })
}

fn month_days(year: i64, month: u32) -> i64 {
    let (next_year, next_month) = match month {
        12 => (year + 1, 1),
        month => (year, month + 1),
    };
    let next = day_of(next_year, next_month, 1).unwrap_or_default();
    next - day_of(year, month, 1).unwrap_or_default()
}

const OVERLAPS: &[Form] = &[
    Form {
        parameters: &[TimestampTz, TimestampTz, TimestampTz, TimestampTz],
        result: Bool,
        run: |call| overlap(call, [false, false]),
    },
    Form {
        parameters: &[TimestampTz, Interval, TimestampTz, Interval],
        result: Bool,
        run: |call| overlap(call, [true, true]),
    },
    Form {
        parameters: &[TimestampTz, TimestampTz, TimestampTz, Interval],
        result: Bool,
        run: |call| overlap(call, [false, true]),
    },
    Form {
        parameters: &[TimestampTz, Interval, TimestampTz, TimestampTz],
        result: Bool,
        run: |call| overlap(call, [true, false]),
    },
    Form {
        parameters: &[Timestamp, Timestamp, Timestamp, Timestamp],
        result: Bool,
        run: |call| overlap(call, [false, false]),
    },
    Form {
        parameters: &[Timestamp, Interval, Timestamp, Interval],
        result: Bool,
        run: |call| overlap(call, [true, true]),
    },
    Form {
        parameters: &[Timestamp, Timestamp, Timestamp, Interval],
        result: Bool,
        run: |call| overlap(call, [false, true]),
    },
    Form {
        parameters: &[Timestamp, Interval, Timestamp, Timestamp],
        result: Bool,
        run: |call| overlap(call, [true, false]),
    },
    Form {
        parameters: &[Time, Time, Time, Time],
        result: Bool,
        run: |call| {
            let ends = call.columns.iter().map(times).collect::<Result<Vec<_>>>()?;
            let get = |row: usize| ends.iter().map(|end| end.get(row)).collect::<Vec<_>>();
            overlap_column(call, |row| Ok(get(row)))
        },
    },
];

/// The end of a row's span, given its start.
type EndOf = Box<dyn Fn(usize, Option<i64>) -> OwnResult<Option<i64>>>;

/// Whether two spans of time share a moment; `lengths` says which end is given as an interval.
fn overlap(call: &Call<'_>, lengths: [bool; 2]) -> Result<ArrayRef> {
    let zone = match Type::of(call.columns[0].array.data_type()) {
        Some(TimestampTz) => Some(call.time.settings.zone),
        _ => None,
    };
    let starts = [timestamps(&call.columns[0])?, timestamps(&call.columns[2])?];
    let mut ends: Vec<EndOf> = Vec::new();
    for (side, is_length) in lengths.into_iter().enumerate() {
        let column = &call.columns[side * 2 + 1];
        if is_length {
            let spans = intervals(column)?;
            ends.push(Box::new(move |row, start| {
                let pair = start.zip(spans.get(row));
                pair.map(|(start, span)| add_interval(start, span, zone))
                    .transpose()
            }));
        } else {
            let moments: Values<_> = timestamps(column)?;
            ends.push(Box::new(move |row, _| Ok(moments.get(row))));
        }
    }
    overlap_column(call, |row| {
        let (first, second) = (starts[0].get(row), starts[1].get(row));
        Ok(vec![
            first,
            ends[0](row, first)?,
            second,
            ends[1](row, second)?,
        ])
    })
}

fn overlap_column(
    call: &Call<'_>,
    ends: impl Fn(usize) -> OwnResult<Vec<Option<i64>>>,
) -> Result<ArrayRef> {
    let shared = (0..call.rows)
        .map(|row| match ends(row)?.as_slice() {
            [a, b, c, d] => Ok(share((*a, *b), (*c, *d))),
            _ => Ok(None),
        })
        .collect::<OwnResult<BooleanArray>>()?;
    Ok(Arc::new(shared))
}

/// SQL's rule: ends may come in either order, the later one does not belong to the span, and one end
/// may be unknown.
fn share(first: (Option<i64>, Option<i64>), second: (Option<i64>, Option<i64>)) -> Option<bool> {
    let ordered = |(start, end): (Option<i64>, Option<i64>)| match (start, end) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some((one, None)),
        (Some(start), Some(end)) => Some((start.min(end), Some(start.max(end)))),
    };
    let ((start, end), (other_start, other_end)) = (ordered(first)?, ordered(second)?);
    match start.cmp(&other_start) {
        std::cmp::Ordering::Equal => match (end, other_end) {
            (Some(_), Some(_)) => Some(true),
            _ => None,
        },
        std::cmp::Ordering::Greater => before(start, other_end, end),
        std::cmp::Ordering::Less => before(other_start, end, other_end),
    }
}

/// Whether the later start lies before the end of the other span.
fn before(start: i64, end: Option<i64>, own_end: Option<i64>) -> Option<bool> {
    match end {
        None => None,
        Some(end) if start < end => Some(true),
        Some(_) => own_end.map(|_| false),
    }
}
