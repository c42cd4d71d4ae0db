//! Intervals as text: PostgreSQL's words and clocks, the SQL standard's `1-2 3 4:05:06`, and ISO 8601.

use super::fields::{self, Clock, Field, Shape, fraction_micros, is_space, number};
use super::span::{DAYS_PER_MONTH, PgInterval};
use super::{IntervalStyle, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// The unit that a number without one has, and what an interval is cut down to: the fields of
/// `interval '…' YEAR TO MONTH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum IntervalFields {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    YearToMonth,
    DayToHour,
    DayToMinute,
    DayToSecond,
    HourToMinute,
    HourToSecond,
    MinuteToSecond,
}

impl IntervalFields {
    /// From the names of the first and the last field, in capitals.
    pub(crate) fn named(first: &str, last: Option<&str>) -> Option<Self> {
        Some(match (first, last) {
            ("YEAR", None) => Self::Year,
            ("MONTH", None) => Self::Month,
            ("DAY", None) => Self::Day,
            ("HOUR", None) => Self::Hour,
            ("MINUTE", None) => Self::Minute,
            ("SECOND", None) => Self::Second,
            ("YEAR", Some("MONTH")) => Self::YearToMonth,
            ("DAY", Some("HOUR")) => Self::DayToHour,
            ("DAY", Some("MINUTE")) => Self::DayToMinute,
            ("DAY", Some("SECOND")) => Self::DayToSecond,
            ("HOUR", Some("MINUTE")) => Self::HourToMinute,
            ("HOUR", Some("SECOND")) => Self::HourToSecond,
            ("MINUTE", Some("SECOND")) => Self::MinuteToSecond,
            _ => return None,
        })
    }

    fn last_unit(self) -> Unit {
        match self {
            Self::Year => Unit::Year,
            Self::Month | Self::YearToMonth => Unit::Month,
            Self::Day => Unit::Day,
            Self::Hour | Self::DayToHour => Unit::Hour,
            Self::Minute | Self::HourToMinute | Self::DayToMinute => Unit::Minute,
            _ => Unit::Second,
        }
    }

    /// Cuts off what lies below the last field.
    fn cut(self, span: PgInterval) -> PgInterval {
        let PgInterval {
            micros,
            days,
            months,
        } = span;
        let whole = |unit: i64| micros / unit * unit;
        let (months, days, micros) = match self {
            Self::Year => (months / 12 * 12, 0, 0),
            Self::Month | Self::YearToMonth => (months, 0, 0),
            Self::Day => (months, days, 0),
            Self::Hour | Self::DayToHour => (months, days, whole(MICROS_PER_HOUR)),
            Self::Minute | Self::DayToMinute | Self::HourToMinute => {
                (months, days, whole(MICROS_PER_MINUTE))
            }
            _ => (months, days, micros),
        };
        PgInterval {
            micros,
            days,
            months,
        }
    }
}

/// Units, each with the number by which a repeated one is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    fn mask(self) -> u32 {
        1 << self as u32
    }
}

/// The units of a clock.
const CLOCK_MASK: u32 =
    1 << Unit::Hour as u32 | 1 << Unit::Minute as u32 | 1 << Unit::Second as u32;

/// Reads an interval; `fields` and `precision` (digits of seconds) are those of the type.
pub(crate) fn interval(
    text: &str,
    style: IntervalStyle,
    fields: Option<IntervalFields>,
    precision: Option<u32>,
) -> Result<PgInterval> {
    let mut sum = Sum {
        text,
        span: PgInterval::default(),
    };
    let trimmed = text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
    match trimmed.strip_prefix('P') {
        Some(iso) => sum.iso(iso)?,
        None => sum.words(trimmed, style, fields)?,
    }
    Ok(sum.span.limited(fields, precision))
}

struct Sum<'a> {
    /// For error messages.
    text: &'a str,
    span: PgInterval,
}

impl Sum<'_> {
    fn invalid(&self) -> Error {
        Error::new(
            SqlState::InvalidDatetimeFormat,
            format!("invalid input syntax for type interval: \"{}\"", self.text),
        )
    }

    fn out_of_range(&self) -> Error {
        Error::new(
            SqlState::IntervalFieldOverflow,
            format!("interval field value out of range: \"{}\"", self.text),
        )
    }

    /// Fields from the last to the first: a number takes the unit that stands behind it.
    fn words(
        &mut self,
        text: &str,
        style: IntervalStyle,
        range: Option<IntervalFields>,
    ) -> Result<()> {
        let fields = fields::split(text).ok_or_else(|| self.invalid())?;
        let all_negative = style == IntervalStyle::SqlStandard
            && fields
                .first()
                .is_some_and(|first| first.text.starts_with('-'))
            && !fields[1..]
                .iter()
                .any(|field| field.text.starts_with(['-', '+']));
        let mut unit = None;
        // A unit that waits for its number.
        let mut waiting = false;
        let mut ago = false;
        let mut seen = 0;
        for Field { shape, text } in fields.iter().rev() {
            let mask = match shape {
                Shape::Time => {
                    self.clock(text, false, range)?;
                    unit = Some(Unit::Day);
                    waiting = false;
                    CLOCK_MASK
                }
                Shape::Signed if text.contains(':') => {
                    self.clock(&text[1..], text.starts_with('-'), range)?;
                    unit = Some(Unit::Day);
                    waiting = false;
                    CLOCK_MASK
                }
                Shape::Signed | Shape::Number | Shape::Date => {
                    let of = unit
                        .unwrap_or_else(|| range.map_or(Unit::Second, IntervalFields::last_unit));
                    let of = self.number(text, of, all_negative)?;
                    // Before hours stand days.
                    unit = Some(if of == Unit::Hour { Unit::Day } else { of });
                    waiting = false;
                    of.mask()
                }
                Shape::Word | Shape::SignedWord => {
                    if waiting {
                        return Err(self.invalid());
                    }
                    if text == "ago" {
                        ago = true;
                        0
                    } else if matches!(text.as_str(), "at" | "on") {
                        0
                    } else {
                        unit = Some(self::unit(text).ok_or_else(|| self.invalid())?);
                        waiting = true;
                        0
                    }
                }
            };
            if seen & mask != 0 {
                return Err(self.invalid());
            }
            seen |= mask;
        }
        if seen == 0 || waiting {
            return Err(self.invalid());
        }
        if all_negative {
            let parts = &mut self.span;
            parts.micros = -parts.micros.abs();
            parts.days = -parts.days.abs();
            parts.months = -parts.months.abs();
        }
        if ago {
            self.span = self.span.checked_neg().ok_or_else(|| self.out_of_range())?;
        }
        Ok(())
    }

    fn clock(&mut self, text: &str, negative: bool, range: Option<IntervalFields>) -> Result<()> {
        let mut clock = fields::clock(text).ok_or_else(|| self.invalid())?;
        if range == Some(IntervalFields::MinuteToSecond)
            && text.matches(':').count() == 1
            && !text.contains('.')
        {
            clock = Clock {
                hours: 0,
                minutes: clock.hours,
                seconds: clock.minutes,
                micros: 0,
            };
        }
        if !clock.is_valid() {
            return Err(self.out_of_range());
        }
        let micros = clock.total().ok_or_else(|| self.out_of_range())?;
        self.add_micros(Some(if negative { -micros } else { micros }))
    }

    /// A number of a unit, or `years-months`; the unit that it was.
    fn number(&mut self, text: &str, unit: Unit, negative: bool) -> Result<Unit> {
        let (minus, digits) = sign(text);
        if let Some((years, months)) = digits.split_once('-') {
            let years = number(years).ok_or_else(|| self.invalid())?;
            let months = number(months).ok_or_else(|| self.invalid())?;
            if months >= 12 {
                return Err(self.out_of_range());
            }
            let total = years.checked_mul(12).and_then(|n| n.checked_add(months));
            let total = total.ok_or_else(|| self.out_of_range())?;
            self.add_months(if minus { -total } else { total }, 1)?;
            return Ok(Unit::Month);
        }
        self.add(text, unit, negative)?;
        Ok(unit)
    }

    /// What follows the `P`: designators, with `T` before those of time; or the parts as in a
    /// timestamp.
    fn iso(&mut self, text: &str) -> Result<()> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, Some(time)),
            None if text.is_empty() => return Err(self.invalid()),
            None => (text, None),
        };
        let has_letter = |part: &str| part.bytes().any(|b| b.is_ascii_alphabetic());
        if !has_letter(date) && !date.is_empty() {
            self.iso_date(date)?;
        } else {
            self.designators(date, |c| match c {
                'Y' => Some(Unit::Year),
                'M' => Some(Unit::Month),
                'W' => Some(Unit::Week),
                'D' => Some(Unit::Day),
                _ => None,
            })?;
        }
        match time {
            None | Some("") => Ok(()),
            Some(time) if !has_letter(time) => self.iso_time(time),
            Some(time) => self.designators(time, |c| match c {
                'H' => Some(Unit::Hour),
                'M' => Some(Unit::Minute),
                'S' => Some(Unit::Second),
                _ => None,
            }),
        }
    }

    /// `YYYY-MM-DD` or `YYYYMMDD`.
    fn iso_date(&mut self, text: &str) -> Result<()> {
        let (years, months, days) = match text.split('-').collect::<Vec<_>>().as_slice() {
            [all] if all.len() == 8 && all.is_ascii() => (&all[..4], &all[4..6], &all[6..]),
            [years, months, days] => (*years, *months, *days),
            [years, months] => (*years, *months, "0"),
            [years] => (*years, "0", "0"),
            _ => return Err(self.invalid()),
        };
        self.add(years, Unit::Year, false)?;
        self.add(months, Unit::Month, false)?;
        self.add(days, Unit::Day, false)
    }

    /// `HH:MM:SS` or `HHMMSS`.
    fn iso_time(&mut self, text: &str) -> Result<()> {
        let (hours, minutes, seconds) = match text.split(':').collect::<Vec<_>>().as_slice() {
            [all] if all.len() == 6 && all.is_ascii() => (&all[..2], &all[2..4], &all[4..]),
            [hours, minutes, seconds] => (*hours, *minutes, *seconds),
            [hours, minutes] => (*hours, *minutes, "0"),
            [hours] => (*hours, "0", "0"),
            _ => return Err(self.invalid()),
        };
        self.add(hours, Unit::Hour, false)?;
        self.add(minutes, Unit::Minute, false)?;
        self.add(seconds, Unit::Second, false)
    }

    fn designators(&mut self, text: &str, unit: impl Fn(char) -> Option<Unit>) -> Result<()> {
        let mut rest = text;
        while !rest.is_empty() {
            let is_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
            let len = rest.find(|c| !is_number(c)).ok_or_else(|| self.invalid())?;
            let (number, after) = rest.split_at(len);
            let mut chars = after.chars();
            let unit = chars.next().and_then(&unit).ok_or_else(|| self.invalid())?;
            self.add(number, unit, false)?;
            rest = chars.as_str();
        }
        Ok(())
    }

    /// Adds a number, with or without fraction, of a unit.
    fn add(&mut self, text: &str, unit: Unit, negative: bool) -> Result<()> {
        let (minus, digits) = sign(text);
        let negative = minus || negative;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return Err(self.invalid());
        }
        let mut whole: i64 = match whole {
            "" => 0,
            digits => digits.parse().map_err(|_| self.out_of_range())?,
        };
        let mut part: f64 = format!("0.{fraction}0")
            .parse()
            .map_err(|_| self.invalid())?;
        if negative {
            (whole, part) = (-whole, -part);
        }
        let years = |count: i32| 12 * count;
        match unit {
            Unit::Month => {
                self.add_months(whole, 1)?;
                self.add_days(0, 1, part * DAYS_PER_MONTH as f64)
            }
            Unit::Year => self.add_years(whole, part, years(1)),
            Unit::Decade => self.add_years(whole, part, years(10)),
            Unit::Century => self.add_years(whole, part, years(100)),
            Unit::Millennium => self.add_years(whole, part, years(1000)),
            Unit::Week => self.add_days(whole, 7, part * 7.0),
            Unit::Day => self.add_days(whole, 1, part),
            Unit::Hour => self.add_time(whole, part, MICROS_PER_HOUR),
            Unit::Minute => self.add_time(whole, part, MICROS_PER_MINUTE),
            Unit::Second => {
                // Exact, where the product of a double need not be.
                let exact = fraction_micros(fraction).ok_or_else(|| self.invalid())?;
                let exact = if negative { -exact } else { exact };
                let sum = whole.checked_mul(MICROS_PER_SECOND);
                self.add_micros(sum.and_then(|n| n.checked_add(exact)))
            }
            Unit::Millisecond => self.add_time(whole, part, 1000),
            Unit::Microsecond => self.add_time(whole, part, 1),
        }
    }

    fn add_years(&mut self, whole: i64, part: f64, months: i32) -> Result<()> {
        self.add_months(whole, months)?;
        self.add_months((part * f64::from(months)).round_ties_even() as i64, 1)
    }

    fn add_months(&mut self, count: i64, months: i32) -> Result<()> {
        let sum = count.checked_mul(i64::from(months));
        let sum = sum.and_then(|n| n.checked_add(self.span.months.into()));
        self.span.months = self.fit(sum)?;
        Ok(())
    }

    /// Adds days with a fraction, which becomes time.
    fn add_days(&mut self, count: i64, days: i64, part: f64) -> Result<()> {
        let whole = part.trunc();
        let sum = count
            .checked_mul(days)
            .and_then(|n| n.checked_add(whole as i64));
        let sum = sum.and_then(|n| n.checked_add(self.span.days.into()));
        self.span.days = self.fit(sum)?;
        let micros = ((part - whole) * MICROS_PER_DAY as f64).round_ties_even() as i64;
        self.add_micros(Some(micros))
    }

    fn add_time(&mut self, whole: i64, part: f64, unit: i64) -> Result<()> {
        let part = (part * unit as f64).round_ties_even() as i64;
        self.add_micros(whole.checked_mul(unit).and_then(|n| n.checked_add(part)))
    }

    fn add_micros(&mut self, micros: Option<i64>) -> Result<()> {
        let sum = micros.and_then(|micros| self.span.micros.checked_add(micros));
        self.span.micros = sum.ok_or_else(|| self.out_of_range())?;
        Ok(())
    }

    fn fit(&self, sum: Option<i64>) -> Result<i32> {
        sum.and_then(|n| i32::try_from(n).ok())
            .ok_or_else(|| self.out_of_range())
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    }
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds"
        | "microsecon" => Unit::Microsecond,
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds"
        | "millisecon" => Unit::Millisecond,
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "dec" | "decs" | "decade" | "decades" => Unit::Decade,
        "c" | "cent" | "century" | "centuries" => Unit::Century,
        "mil" | "mils" | "millennium" | "millennia" => Unit::Millennium,
        _ => return None,
    })
}

impl PgInterval {
    /// Cut down to the fields and the digits of seconds of a type.
    pub(crate) fn limited(self, fields: Option<IntervalFields>, precision: Option<u32>) -> Self {
        let span = fields.map_or(self, |fields| fields.cut(self));
        match precision {
            Some(digits) if digits < 6 => {
                let unit = 10_i64.pow(6 - digits);
                let half = unit / 2 * span.micros.signum();
                Self {
                    micros: span.micros.saturating_add(half) / unit * unit,
                    ..span
                }
            }
            _ => span,
        }
    }
}
