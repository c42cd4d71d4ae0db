//! `date_trunc` and `date_bin`.

use std::cell::Cell;

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;

use super::function::{Call, Form, Function, Type};
use super::units::{Unit, not_cut, not_supported};
use super::values::{
    Values, interval_column, intervals, map_timestamps, texts, timestamp_column, timestamps,
};
use super::zones::zone_named;
use crate::calendar::{
    MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Offsets, PgInterval,
    checked_timestamp, civil, day_of, is_infinite, overflow, weekday,
};
use crate::error::{Error, Result as OwnResult};
use Type::{Interval, Text, Timestamp, TimestampTz};

const TIMESTAMP: &str = "timestamp without time zone";
const TIMESTAMPTZ: &str = "timestamp with time zone";

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("date_trunc", DATE_TRUNC),
        Function::immutable("date_bin", DATE_BIN),
    ]
}

const DATE_TRUNC: &[Form] = &[
    Form {
        parameters: &[Text, TimestampTz],
        result: TimestampTz,
        run: |call| zoned(call, &Offsets::new(call.time.settings.zone, call.rows)),
    },
    Form {
        parameters: &[Text, Timestamp],
        result: Timestamp,
        run: unzoned,
    },
    Form {
        parameters: &[Text, Interval],
        result: Interval,
        run: span,
    },
    Form {
        parameters: &[Text, TimestampTz, Text],
        result: TimestampTz,
        run: |call| {
            let names = texts(&call.columns[2])?;
            match names.constant() {
                Some(name) => zoned(call, &Offsets::new(zone_named(name)?, call.rows)),
                None => zoned_by_row(call, &names),
            }
        },
    },
];

fn unzoned(call: &Call<'_>) -> Result<ArrayRef> {
    let units = texts(&call.columns[0])?;
    if let Some(name) = units.constant() {
        let unit = Unit::named(name, TIMESTAMP)?;
        if !call.columns[1].constant || call.rows == 1 {
            return map_timestamps(&call.columns[1], false, |local| {
                truncated(local, unit).unwrap_or_else(|| Err(not_cut(unit, name, TIMESTAMP)))
            });
        }
    }
    let micros = timestamps(&call.columns[1])?;
    timestamp_column(call, false, |row| {
        let pair = units.get(row).zip(micros.get(row));
        pair.map(|(name, local)| {
            let unit = Unit::named(name, TIMESTAMP)?;
            truncated(local, unit).unwrap_or_else(|| Err(not_cut(unit, name, TIMESTAMP)))
        })
        .transpose()
    })
}

fn zoned(call: &Call<'_>, offsets: &Offsets) -> Result<ArrayRef> {
    let units = texts(&call.columns[0])?;
    if let Some(name) = units.constant() {
        let unit = Unit::named(name, TIMESTAMPTZ)?;
        // Neighbours in a column mostly fall on one day.
        let last = Cell::new(None);
        if !call.columns[1].constant || call.rows == 1 {
            return map_timestamps(&call.columns[1], true, |micros| {
                truncated_in(micros, unit, offsets, &last)
                    .unwrap_or_else(|| Err(not_cut(unit, name, TIMESTAMPTZ)))
            });
        }
    }
    let micros = timestamps(&call.columns[1])?;
    timestamp_column(call, true, |row| {
        let pair = units.get(row).zip(micros.get(row));
        pair.map(|(name, micros)| {
            truncated_in(
                micros,
                Unit::named(name, TIMESTAMPTZ)?,
                offsets,
                &Cell::new(None),
            )
            .unwrap_or_else(|| Err(not_supported(name, TIMESTAMPTZ)))
        })
        .transpose()
    })
}

fn zoned_by_row(
    call: &Call<'_>,
    names: &Values<datafusion::arrow::array::StringArray>,
) -> Result<ArrayRef> {
    let units = texts(&call.columns[0])?;
    let micros = timestamps(&call.columns[1])?;
    timestamp_column(call, true, |row| {
        let (Some(unit), Some(micros), Some(name)) =
            (units.get(row), micros.get(row), names.get(row))
        else {
            return Ok(None);
        };
        let offsets = Offsets::new(zone_named(name)?, 1);
        truncated_in(
            micros,
            Unit::named(unit, TIMESTAMPTZ)?,
            &offsets,
            &Cell::new(None),
        )
        .unwrap_or_else(|| Err(not_supported(unit, TIMESTAMPTZ)))
        .map(Some)
    })
}

/// A local day's beginning and the instant at which it lies.
type Known = Cell<Option<(i64, i64)>>;

/// An instant cut in a zone; None for a unit that is none of a truncation.
fn truncated_in(
    micros: i64,
    unit: Unit,
    offsets: &Offsets,
    last: &Known,
) -> Option<OwnResult<i64>> {
    if is_infinite(micros) {
        return truncated(micros, unit);
    }
    let out_of_range = || overflow("timestamp out of range");
    let offset = i64::from(offsets.at(micros)) * MICROS_PER_SECOND;
    let Some(local) = micros.checked_add(offset) else {
        return Some(Err(out_of_range()));
    };
    let cut = match truncated(local, unit)? {
        Ok(cut) => cut,
        Err(error) => return Some(Err(error)),
    };
    // Below a day the offset stays, from a day on it is that of the result.
    if matches!(
        unit,
        Unit::Microseconds | Unit::Milliseconds | Unit::Second | Unit::Minute | Unit::Hour
    ) {
        return Some(Ok(cut - offset));
    }
    Some(match last.get() {
        Some((known, instant)) if known == cut => Ok(instant),
        _ => offsets
            .zone()
            .to_instant(cut)
            .inspect(|instant| last.set(Some((cut, *instant))))
            .ok_or_else(out_of_range),
    })
}

/// A local time cut to a unit; None for a unit that is none of a truncation.
fn truncated(local: i64, unit: Unit) -> Option<OwnResult<i64>> {
    let floor = |size: i64| local.div_euclid(size).checked_mul(size);
    let day = local.div_euclid(MICROS_PER_DAY);
    let at = |day: Option<i64>| day.and_then(|day| day.checked_mul(MICROS_PER_DAY));
    let infinite = is_infinite(local);
    let cut = match unit {
        Unit::Microseconds => Some(local),
        Unit::Milliseconds => floor(1000),
        Unit::Second => floor(MICROS_PER_SECOND),
        Unit::Minute => floor(MICROS_PER_MINUTE),
        Unit::Hour => floor(MICROS_PER_HOUR),
        Unit::Day => floor(MICROS_PER_DAY),
        Unit::Week => at(Some(day - (weekday(day) + 6) % 7)),
        _ if infinite => None,
        Unit::Month => {
            let (_, _, of_month) = civil(day);
            at(Some(day - i64::from(of_month) + 1))
        }
        Unit::Quarter => {
            let (year, month, _) = civil(day);
            at(day_of(year, (month - 1) / 3 * 3 + 1, 1))
        }
        Unit::Year => at(day_of(civil(day).0, 1, 1)),
        Unit::Decade => at(day_of(civil(day).0.div_euclid(10) * 10, 1, 1)),
        Unit::Century => at(day_of(first_of(civil(day).0, 100), 1, 1)),
        Unit::Millennium => at(day_of(first_of(civil(day).0, 1000), 1, 1)),
        _ => return None,
    };
    if infinite {
        return match unit {
            Unit::Dow
            | Unit::Doy
            | Unit::Epoch
            | Unit::Isodow
            | Unit::Isoyear
            | Unit::Julian
            | Unit::Timezone
            | Unit::TimezoneHour
            | Unit::TimezoneMinute => None,
            _ => Some(Ok(local)),
        };
    }
    Some(checked_timestamp(cut))
}

/// The first year of a century or millennium, which begin with year 1; year 0 is 1 BC.
fn first_of(year: i64, years: i64) -> i64 {
    (year - 1).div_euclid(years) * years + 1
}

fn span(call: &Call<'_>) -> Result<ArrayRef> {
    let units = texts(&call.columns[0])?;
    let spans = intervals(&call.columns[1])?;
    interval_column(call, |row| {
        let pair = units.get(row).zip(spans.get(row));
        pair.map(|(name, span)| truncated_span(span, name))
            .transpose()
    })
}

fn truncated_span(span: PgInterval, name: &str) -> OwnResult<PgInterval> {
    let PgInterval {
        micros,
        days,
        months,
    } = span;
    let time = |size: i64| (months, days, micros / size * size);
    let years = |years: i32| (months / (12 * years) * (12 * years), 0, 0);
    let (months, days, micros) = match Unit::named(name, "interval")? {
        Unit::Microseconds => time(1),
        Unit::Milliseconds => time(1000),
        Unit::Second => time(MICROS_PER_SECOND),
        Unit::Minute => time(MICROS_PER_MINUTE),
        Unit::Hour => time(MICROS_PER_HOUR),
        Unit::Day => (months, days, 0),
        Unit::Month => (months, 0, 0),
        Unit::Quarter => (months / 3 * 3, 0, 0),
        Unit::Year => years(1),
        Unit::Decade => years(10),
        Unit::Century => years(100),
        Unit::Millennium => years(1000),
        Unit::Week => {
            return Err(not_supported(name, "interval")
                .with_detail("Months usually have fractional weeks."));
        }
        unit => return Err(not_cut(unit, name, "interval")),
    };
    Ok(PgInterval {
        micros,
        days,
        months,
    })
}

const DATE_BIN: &[Form] = &[
    Form {
        parameters: &[Interval, TimestampTz, TimestampTz],
        result: TimestampTz,
        run: |call| binned(call, true),
    },
    Form {
        parameters: &[Interval, Timestamp, Timestamp],
        result: Timestamp,
        run: |call| binned(call, false),
    },
];

fn binned(call: &Call<'_>, zoned: bool) -> Result<ArrayRef> {
    let strides = intervals(&call.columns[0])?;
    let (sources, origins) = (timestamps(&call.columns[1])?, timestamps(&call.columns[2])?);
    timestamp_column(call, zoned, |row| {
        let (Some(stride), Some(source), Some(origin)) =
            (strides.get(row), sources.get(row), origins.get(row))
        else {
            return Ok(None);
        };
        if is_infinite(source) {
            return Ok(Some(source));
        }
        if is_infinite(origin) {
            return Err(overflow("origin out of range"));
        }
        if stride.months != 0 {
            return Err(Error::feature_not_supported(
                "timestamps cannot be binned into intervals containing months or years",
            ));
        }
        let size = i64::from(stride.days)
            .checked_mul(MICROS_PER_DAY)
            .and_then(|days| days.checked_add(stride.micros));
        let size = size.ok_or_else(|| overflow("interval out of range"))?;
        if size <= 0 {
            return Err(overflow("stride must be greater than zero"));
        }
        let distance = source.checked_sub(origin);
        let distance = distance.ok_or_else(|| overflow("interval out of range"))?;
        checked_timestamp(
            distance
                .div_euclid(size)
                .checked_mul(size)
                .and_then(|n| n.checked_add(origin)),
        )
        .map(Some)
    })
}
