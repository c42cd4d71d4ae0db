//! Times and intervals shown by a pattern.

use bytes::{BufMut, BytesMut};

use super::pattern::{Case, Field, Pattern, Piece};
use crate::calendar::{
    MICROS_PER_DAY, MICROS_PER_SECOND, PgInterval, civil, day_of, iso_week, iso_week_start, weekday,
};
use crate::error::{Error, Result};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Months in Roman numerals.
pub(super) const ROMANS: [&str; 12] = [
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
];

/// Day number of 2000-01-01 in the Julian count.
pub(super) const JULIAN_EPOCH: i64 = 2_451_545;

/// Width of a month's or day's name that is not cut down by `FM`.
const NAME_WIDTH: usize = 9;

/// A time or an interval in parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Moment {
    year: i64,
    month: i64,
    of_month: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    micros: i64,
    /// Days from 2000-01-01; an interval has none.
    day: Option<i64>,
    of_year: i64,
    /// Seconds east of UTC.
    offset: i32,
    zone: String,
}

impl Moment {
    /// A local time.
    pub(super) fn of_local(local: i64) -> Self {
        let day = local.div_euclid(MICROS_PER_DAY);
        let (year, month, of_month) = civil(day);
        Self {
            year,
            month: i64::from(month),
            of_month: i64::from(of_month),
            day: Some(day),
            of_year: day - day_of(year, 1, 1).unwrap_or(day) + 1,
            ..Self::of_clock(local.rem_euclid(MICROS_PER_DAY))
        }
    }

    /// An interval.
    pub(super) fn of_interval(span: PgInterval) -> Self {
        let months = i64::from(span.months);
        Self {
            year: months / 12,
            month: months % 12,
            of_month: i64::from(span.days),
            of_year: months * 30 + i64::from(span.days),
            ..Self::of_clock(span.micros)
        }
    }

    fn of_clock(micros: i64) -> Self {
        let seconds = micros / MICROS_PER_SECOND;
        Self {
            hours: seconds / 3600,
            minutes: seconds / 60 % 60,
            seconds: seconds % 60,
            micros: micros % MICROS_PER_SECOND,
            ..Self::default()
        }
    }

    /// With its zone.
    pub(super) fn in_zone(mut self, offset: i32, abbreviation: String) -> Self {
        self.offset = offset;
        self.zone = abbreviation;
        self
    }

    fn is_interval(&self) -> bool {
        self.day.is_none()
    }

    /// The day; 22007 for an interval, which lies on none.
    fn day(&self) -> Result<i64> {
        self.day.ok_or_else(|| {
            Error::new(
                crate::sqlstate::SqlState::InvalidDatetimeFormat,
                "invalid format specification for an interval value",
            )
            .with_hint("Intervals are not tied to specific calendar dates.")
        })
    }

    /// The year as people count; before Christ it is that of the era.
    fn shown_year(&self, year: i64) -> i64 {
        match self.is_interval() {
            false if year <= 0 => 1 - year,
            _ => year,
        }
    }
}

/// Shows a moment.
pub(super) fn put(pattern: &Pattern, moment: &Moment, out: &mut BytesMut) -> Result<()> {
    for piece in &pattern.pieces {
        match piece {
            Piece::Space(c) | Piece::Separator(c) | Piece::Literal(c) => {
                out.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Piece::Field {
                field,
                fill,
                translated,
                ordinal: th,
                ..
            } => {
                let start = out.len();
                let is_number = put_field(*field, moment, *fill, *translated, out)?;
                if let (true, Some(capitals)) = (is_number, th) {
                    let shown = String::from_utf8_lossy(&out[start..]).into_owned();
                    out.put_slice(ordinal(&shown, !capitals).as_bytes());
                }
            }
        }
    }
    Ok(())
}

/// The ending of an ordinal number.
pub(super) fn ordinal(number: &str, lower: bool) -> &'static str {
    let digits = number.as_bytes();
    let last = digits.last().copied().unwrap_or(b'0');
    let teen = digits.len() > 1 && digits[digits.len() - 2] == b'1';
    match (last, teen, lower) {
        (b'1', false, true) => "st",
        (b'2', false, true) => "nd",
        (b'3', false, true) => "rd",
        (_, _, true) => "th",
        (b'1', false, false) => "ST",
        (b'2', false, false) => "ND",
        (b'3', false, false) => "RD",
        (_, _, false) => "TH",
    }
}

/// Shows a field; whether it is a number, which may take an ending.
fn put_field(
    field: Field,
    moment: &Moment,
    fill: bool,
    translated: bool,
    out: &mut BytesMut,
) -> Result<bool> {
    match field {
        Field::Era { .. }
        | Field::Half { .. }
        | Field::DayName { .. }
        | Field::MonthName { .. }
        | Field::Roman { .. }
        | Field::Zone { .. } => {
            put_name(field, moment, fill || translated, out)?;
            Ok(false)
        }
        field => put_number(field, moment, fill, out).map(|()| true),
    }
}

fn put_name(field: Field, moment: &Moment, narrow: bool, out: &mut BytesMut) -> Result<()> {
    let (text, case, width) = match field {
        Field::Era { case, points } => {
            moment.day()?;
            let text = match (moment.year <= 0, points) {
                (true, false) => "BC",
                (true, true) => "B.C.",
                (false, false) => "AD",
                (false, true) => "A.D.",
            };
            (text, case, 0)
        }
        Field::Half { case, points } => {
            let text = match (moment.hours % 24 >= 12, points) {
                (true, false) => "PM",
                (true, true) => "P.M.",
                (false, false) => "AM",
                (false, true) => "A.M.",
            };
            (text, case, 0)
        }
        Field::DayName { case, short } => {
            let name = WEEKDAYS[weekday(moment.day()?) as usize];
            match short {
                true => (&name[..3], case, 0),
                false => (name, case, NAME_WIDTH),
            }
        }
        Field::MonthName { case, short } => {
            moment.day()?;
            let name = MONTHS[(moment.month - 1).rem_euclid(12) as usize];
            match short {
                true => (&name[..3], case, 0),
                false => (name, case, NAME_WIDTH),
            }
        }
        Field::Roman { case } => {
            if moment.month == 0 && moment.year == 0 {
                return Ok(());
            }
            // Months count from the end of the years: a whole number of them ends with the twelfth, or
            // begins with the first where they go back.
            let index = match moment.month {
                0 if moment.year < 0 => 0,
                month if month < 0 => month,
                month => month - 1,
            };
            (ROMANS[index.rem_euclid(12) as usize], case, 4)
        }
        _ => {
            moment.day()?;
            (
                moment.zone.as_str(),
                if field == (Field::Zone { case: Case::Lower }) {
                    Case::Lower
                } else {
                    Case::Upper
                },
                0,
            )
        }
    };
    let text = match case {
        Case::Upper => text.to_ascii_uppercase(),
        Case::Capital => text.to_owned(),
        Case::Lower => text.to_ascii_lowercase(),
    };
    put_padded(&text, width, narrow, out)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the last step of functions that can fail"
)]
fn put_padded(text: &str, width: usize, narrow: bool, out: &mut BytesMut) -> Result<()> {
    out.put_slice(text.as_bytes());
    if !narrow {
        out.extend(std::iter::repeat_n(b' ', width.saturating_sub(text.len())));
    }
    Ok(())
}

fn put_number(field: Field, moment: &Moment, fill: bool, out: &mut BytesMut) -> Result<()> {
    let (value, width) = match field {
        Field::Hour12 => (hour12(moment), 2),
        Field::Hour24 => (moment.hours, 2),
        Field::Minute => (moment.minutes, 2),
        Field::Second => (moment.seconds, 2),
        Field::Millisecond => {
            put_fraction(moment.micros, 3, out);
            return Ok(());
        }
        Field::Microsecond => {
            put_fraction(moment.micros, 6, out);
            return Ok(());
        }
        Field::Fraction(digits) => {
            put_fraction(moment.micros, usize::from(digits), out);
            return Ok(());
        }
        Field::SecondOfDay => (
            moment.hours * 3600 + moment.minutes * 60 + moment.seconds,
            0,
        ),
        Field::Offset | Field::ZoneHour | Field::ZoneMinute => {
            moment.day()?;
            put_offset(field, moment.offset, fill, out);
            return Ok(());
        }
        Field::Month => (moment.month, 2),
        Field::DayOfMonth => (moment.of_month, 2),
        Field::DayOfYear => (moment.of_year, 3),
        Field::DayOfWeek => (weekday(moment.day()?) + 1, 0),
        Field::IsoDayOfWeek => match weekday(moment.day()?) {
            0 => (7, 0),
            other => (other, 0),
        },
        Field::IsoDayOfYear => {
            let day = moment.day()?;
            (day - iso_week_start(iso_week(day).0) + 1, 3)
        }
        Field::WeekOfYear => ((moment.of_year - 1) / 7 + 1, 2),
        Field::IsoWeek => (iso_week(moment.day()?).1, 2),
        Field::WeekOfMonth => ((moment.of_month - 1) / 7 + 1, 0),
        Field::Quarter if moment.month == 0 => return Ok(()),
        Field::Quarter => ((moment.month - 1) / 3 + 1, 0),
        Field::Century => {
            put_century(moment, fill, out);
            return Ok(());
        }
        Field::YearComma => {
            let year = moment.shown_year(moment.year);
            out.put_slice(format!("{},{:03}", year / 1000, year % 1000).as_bytes());
            return Ok(());
        }
        Field::Year(digits) => (last_digits(moment.shown_year(moment.year), digits), digits),
        Field::IsoYear(digits) => {
            let year = match moment.day {
                Some(day) => iso_week(day).0,
                // PostgreSQL counts the parts of an interval as a date; month zero is the last one of
                // the year before.
                None => {
                    let (year, month) = match moment.month {
                        0 => (moment.year - 1, 12),
                        month => (moment.year, month.rem_euclid(12) as u32),
                    };
                    let first = day_of(year, month, 1).unwrap_or_default();
                    iso_week(first + moment.of_month - 1).0
                }
            };
            let year = moment.shown_year(year);
            // PostgreSQL leaves room for a sign by the other year, that of the month.
            let sign = u8::from(year < 0 && moment.shown_year(moment.year) >= 0);
            (last_digits(year, digits), digits.saturating_sub(sign))
        }
        _ => (moment.day()? + JULIAN_EPOCH, 0),
    };
    put_wide(value, usize::from(width), fill, out);
    Ok(())
}

fn hour12(moment: &Moment) -> i64 {
    match moment.hours % 12 {
        0 => 12,
        other => other,
    }
}

fn last_digits(year: i64, digits: u8) -> i64 {
    match digits {
        4 => year,
        digits => year % 10_i64.pow(u32::from(digits)),
    }
}

/// A number with leading zeros, the sign beside them.
fn put_wide(value: i64, width: usize, fill: bool, out: &mut BytesMut) {
    let width = if fill { 0 } else { width };
    let sign = if value < 0 { "-" } else { "" };
    out.put_slice(format!("{sign}{:0width$}", value.unsigned_abs()).as_bytes());
}

fn put_fraction(micros: i64, digits: usize, out: &mut BytesMut) {
    let unit = 10_i64.pow(6 - digits.min(6) as u32);
    let value = micros / unit;
    let sign = if value < 0 { "-" } else { "" };
    // As C pads: the sign counts.
    let width = digits - usize::from(value < 0).min(digits);
    out.put_slice(format!("{sign}{:0width$}", value.unsigned_abs()).as_bytes());
}

fn put_offset(field: Field, offset: i32, fill: bool, out: &mut BytesMut) {
    let seconds = offset.unsigned_abs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let sign = if offset < 0 { '-' } else { '+' };
    let text = match field {
        Field::ZoneHour => format!("{sign}{hours:02}"),
        Field::ZoneMinute => format!("{minutes:02}"),
        _ => {
            let hours = if fill {
                format!("{hours}")
            } else {
                format!("{hours:02}")
            };
            match seconds % 3600 {
                0 => format!("{sign}{hours}"),
                _ => format!("{sign}{hours}:{minutes:02}"),
            }
        }
    };
    out.put_slice(text.as_bytes());
}

fn put_century(moment: &Moment, fill: bool, out: &mut BytesMut) {
    let century = match moment.year {
        year if moment.is_interval() => year / 100,
        year if year > 0 => (year - 1) / 100 + 1,
        // Before Christ there is no year 0.
        year => year / 100 - 1,
    };
    let width = if century.abs() <= 99 { 2 } else { 0 };
    put_wide(century, width, fill, out);
}
