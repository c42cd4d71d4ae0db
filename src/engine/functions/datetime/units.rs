//! The units that `extract`, `date_part` and `date_trunc` name.

use crate::error::{Error, Result};

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Century,
    Day,
    Decade,
    Dow,
    Doy,
    Epoch,
    Hour,
    Isodow,
    Isoyear,
    Julian,
    Microseconds,
    Millennium,
    Milliseconds,
    Minute,
    Month,
    Quarter,
    Second,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
    Week,
    Year,
}

impl Unit {
    /// By PostgreSQL's names; 22023 for a word that is none. `of` is the type's name.
    pub(super) fn named(text: &str, of: &str) -> Result<Self> {
        Ok(match text.trim().to_ascii_lowercase().as_str() {
            "c" | "cent" | "century" | "centuries" => Self::Century,
            "d" | "day" | "days" => Self::Day,
            "dec" | "decs" | "decade" | "decades" => Self::Decade,
            "dow" => Self::Dow,
            "doy" => Self::Doy,
            "epoch" => Self::Epoch,
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Hour,
            "isodow" => Self::Isodow,
            "isoyear" => Self::Isoyear,
            "j" | "jd" | "julian" => Self::Julian,
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds"
            | "microsecon" => Self::Microseconds,
            "mil" | "mils" | "millennium" | "millennia" => Self::Millennium,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds"
            | "millisecon" => Self::Milliseconds,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "mon" | "mons" | "month" | "months" => Self::Month,
            "qtr" | "quarter" => Self::Quarter,
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Second,
            "timezone" => Self::Timezone,
            "timezone_h" | "timezone_hour" => Self::TimezoneHour,
            "timezone_m" | "timezone_minute" => Self::TimezoneMinute,
            "w" | "week" | "weeks" => Self::Week,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Year,
            _ => return Err(not_recognized(text, of)),
        })
    }
}

/// A unit that `date_trunc` cannot cut to: 22023 for what is no unit of length, else 0A000.
pub(super) fn not_cut(unit: Unit, text: &str, of: &str) -> Error {
    match unit {
        Unit::Dow | Unit::Doy | Unit::Epoch | Unit::Isodow | Unit::Isoyear => {
            not_recognized(text, of)
        }
        _ => not_supported(text, of),
    }
}

fn not_recognized(text: &str, of: &str) -> Error {
    Error::invalid_parameter_value(format!(
        "unit \"{}\" not recognized for type {of}",
        text.to_ascii_lowercase()
    ))
}

/// 0A000
pub(super) fn not_supported(text: &str, of: &str) -> Error {
    Error::feature_not_supported(format!(
        "unit \"{}\" not supported for type {of}",
        text.to_ascii_lowercase()
    ))
}
