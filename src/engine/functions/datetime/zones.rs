//! `timezone(zone, time)`, which `AT TIME ZONE` stands for.

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;

use super::function::{Call, Form, Function, Type};
use super::values::{intervals, map_timestamps, texts, timestamp_column, timestamps};
use crate::calendar::{MICROS_PER_SECOND, Offsets, Zone, overflow, put_interval};
use crate::error::{Error, Result as OwnResult};
use Type::{Interval, Text, Timestamp, TimestampTz};

pub(super) fn functions() -> Vec<Function> {
    vec![Function::immutable("timezone", TIMEZONE)]
}

const TIMEZONE: &[Form] = &[
    Form {
        parameters: &[Text, TimestampTz],
        result: Timestamp,
        run: |call| by_name(call, false),
    },
    Form {
        parameters: &[Text, Timestamp],
        result: TimestampTz,
        run: |call| by_name(call, true),
    },
    Form {
        parameters: &[Interval, TimestampTz],
        result: Timestamp,
        run: |call| by_interval(call, false),
    },
    Form {
        parameters: &[Interval, Timestamp],
        result: TimestampTz,
        run: |call| by_interval(call, true),
    },
];

/// A zone as users name it.
pub(super) fn zone_named(name: &str) -> OwnResult<Zone> {
    Zone::parse(name).ok_or_else(|| {
        Error::invalid_parameter_value(format!("time zone \"{name}\" not recognized"))
    })
}

fn by_name(call: &Call<'_>, to_instant: bool) -> Result<ArrayRef> {
    let names = texts(&call.columns[0])?;
    if let Some(name) = names.constant() {
        let zone = zone_named(name)?;
        let offsets = Offsets::new(zone, call.rows);
        if !call.columns[1].constant || call.rows == 1 {
            return map_timestamps(&call.columns[1], to_instant, |micros| {
                let moved = match to_instant {
                    true => zone.to_instant(micros),
                    false => offsets.to_local(micros),
                };
                moved.ok_or_else(out_of_range)
            });
        }
    }
    let micros = timestamps(&call.columns[1])?;
    timestamp_column(call, to_instant, |row| {
        let pair = names.get(row).zip(micros.get(row));
        pair.map(|(name, micros)| moved(zone_named(name)?, micros, to_instant))
            .transpose()
    })
}

fn by_interval(call: &Call<'_>, to_instant: bool) -> Result<ArrayRef> {
    let spans = intervals(&call.columns[0])?;
    let micros = timestamps(&call.columns[1])?;
    timestamp_column(call, to_instant, |row| {
        let Some((span, micros)) = spans.get(row).zip(micros.get(row)) else {
            return Ok(None);
        };
        if span.months != 0 || span.days != 0 {
            let mut shown = bytes::BytesMut::new();
            put_interval(span, call.time.settings.interval_style, &mut shown);
            return Err(Error::invalid_parameter_value(format!(
                "interval time zone \"{}\" must not include months or days",
                String::from_utf8_lossy(&shown)
            )));
        }
        let east = i32::try_from(span.micros / MICROS_PER_SECOND).map_err(|_| out_of_range())?;
        moved(Zone::Fixed(east), micros, to_instant).map(Some)
    })
}

fn moved(zone: Zone, micros: i64, to_instant: bool) -> OwnResult<i64> {
    let moved = match to_instant {
        true => zone.to_instant(micros),
        false => zone.to_local(micros),
    };
    moved.ok_or_else(out_of_range)
}

fn out_of_range() -> Error {
    overflow("timestamp out of range")
}
