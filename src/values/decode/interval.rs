//! Intervals: `1 year 2 mons 3 days 04:05:06`, ISO 8601 `P1Y2M3DT4H5M6S`, and the binary form.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::datetime::fraction_micros;
use super::is_space;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::values::encode::datetime::{MICROS_PER_DAY, MICROS_PER_SECOND, PgInterval};

/// Days PostgreSQL takes for the fraction of a month.
const DAYS_PER_MONTH: f64 = 30.0;

const MICROS_PER_HOUR: i64 = 3600 * MICROS_PER_SECOND;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;

/// What one unit adds to.
#[derive(Clone, Copy)]
enum Unit {
    Months(i32),
    Days(i32),
    Micros(i64),
}

/// An interval from text.
pub(super) fn interval(text: &str) -> Result<IntervalMonthDayNano> {
    let trimmed = text.trim_matches(is_space);
    let mut sum = Sum {
        text,
        months: 0,
        days: 0,
        micros: 0,
    };
    match trimmed.strip_prefix('P') {
        Some(iso) => sum.iso(iso)?,
        None => sum.words(trimmed.strip_prefix('@').unwrap_or(trimmed))?,
    }
    to_arrow(PgInterval {
        micros: sum.micros,
        days: sum.days,
        months: sum.months,
    })
    .ok_or_else(|| sum.out_of_range())
}

/// An interval from its binary form: microseconds, days, months.
pub(super) fn binary(bytes: [u8; 16]) -> Result<IntervalMonthDayNano> {
    let whole = u128::from_be_bytes(bytes);
    let interval = PgInterval {
        micros: (whole >> 64) as i64,
        days: (whole >> 32) as i32,
        months: whole as i32,
    };
    to_arrow(interval)
        .ok_or_else(|| Error::new(SqlState::DatetimeFieldOverflow, "interval out of range"))
}

/// None where nanoseconds do not fit 64 bits (beyond 292 years of time).
fn to_arrow(interval: PgInterval) -> Option<IntervalMonthDayNano> {
    let nanoseconds = interval.micros.checked_mul(1000)?;
    Some(IntervalMonthDayNano::new(
        interval.months,
        interval.days,
        nanoseconds,
    ))
}

struct Sum<'a> {
    /// For error messages.
    text: &'a str,
    months: i32,
    days: i32,
    micros: i64,
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
            SqlState::DatetimeFieldOverflow,
            format!("interval field value out of range: \"{}\"", self.text),
        )
    }

    /// Numbers with units, a clock, maybe `ago`; a last number without unit is seconds.
    fn words(&mut self, text: &str) -> Result<()> {
        let mut words = Words(text);
        let mut found = false;
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case("ago") && found && words.next().is_none() {
                return self.negate();
            }
            if word.contains(':') {
                self.clock(word)?;
            } else {
                let unit = match words.next() {
                    None => Unit::Micros(MICROS_PER_SECOND),
                    Some(name) => unit(name).ok_or_else(|| self.invalid())?,
                };
                self.add(word, unit)?;
            }
            found = true;
        }
        if found { Ok(()) } else { Err(self.invalid()) }
    }

    /// What follows the `P`: designators, with `T` before those of time.
    fn iso(&mut self, text: &str) -> Result<()> {
        let (date, time) = match text.split_once('T') {
            Some((_, "")) => return Err(self.invalid()),
            Some((date, time)) => (date, time),
            None if text.is_empty() => return Err(self.invalid()),
            None => (text, ""),
        };
        let date_unit = |c| match c {
            'Y' => Some(Unit::Months(12)),
            'M' => Some(Unit::Months(1)),
            'W' => Some(Unit::Days(7)),
            'D' => Some(Unit::Days(1)),
            _ => None,
        };
        let time_unit = |c| match c {
            'H' => Some(Unit::Micros(MICROS_PER_HOUR)),
            'M' => Some(Unit::Micros(MICROS_PER_MINUTE)),
            'S' => Some(Unit::Micros(MICROS_PER_SECOND)),
            _ => None,
        };
        self.designators(date, date_unit)?;
        self.designators(time, time_unit)
    }

    fn designators(&mut self, text: &str, unit: impl Fn(char) -> Option<Unit>) -> Result<()> {
        let mut rest = text;
        while !rest.is_empty() {
            let is_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
            let len = rest.find(|c| !is_number(c)).ok_or_else(|| self.invalid())?;
            let (number, after) = rest.split_at(len);
            let mut chars = after.chars();
            let unit = chars.next().and_then(&unit).ok_or_else(|| self.invalid())?;
            self.add(number, unit)?;
            rest = chars.as_str();
        }
        Ok(())
    }

    /// Adds a number, with or without fraction, of a unit.
    fn add(&mut self, number: &str, unit: Unit) -> Result<()> {
        let (negative, digits) = sign(number);
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
        match unit {
            Unit::Months(months) => {
                self.add_months(whole, months)?;
                if months == 1 {
                    self.add_day_fraction(part * DAYS_PER_MONTH)?;
                } else {
                    self.add_months((part * f64::from(months)).round_ties_even() as i64, 1)?;
                }
            }
            Unit::Days(days) => {
                let sum = whole
                    .checked_mul(i64::from(days))
                    .and_then(|n| n.checked_add(self.days.into()));
                self.days = self.fit(sum)?;
                self.add_day_fraction(part * f64::from(days))?;
            }
            Unit::Micros(micros) => {
                let extra = if micros == MICROS_PER_SECOND {
                    // Exact, where the product of a double need not be.
                    let exact = fraction_micros(fraction).ok_or_else(|| self.invalid())?;
                    if negative { -exact } else { exact }
                } else {
                    (part * micros as f64).round_ties_even() as i64
                };
                let sum = whole.checked_mul(micros).and_then(|n| n.checked_add(extra));
                self.add_micros(sum)?;
            }
        }
        Ok(())
    }

    fn fit(&self, sum: Option<i64>) -> Result<i32> {
        sum.and_then(|n| i32::try_from(n).ok())
            .ok_or_else(|| self.out_of_range())
    }

    fn add_months(&mut self, count: i64, months: i32) -> Result<()> {
        let sum = count.checked_mul(i64::from(months));
        let sum = sum.and_then(|n| n.checked_add(self.months.into()));
        self.months = self.fit(sum)?;
        Ok(())
    }

    /// Adds days with a fraction, which becomes time.
    fn add_day_fraction(&mut self, days: f64) -> Result<()> {
        let whole = days.trunc();
        self.days = self.fit(i64::from(self.days).checked_add(whole as i64))?;
        let micros = ((days - whole) * MICROS_PER_DAY as f64).round_ties_even() as i64;
        self.add_micros(Some(micros))
    }

    fn add_micros(&mut self, micros: Option<i64>) -> Result<()> {
        let sum = micros.and_then(|micros| self.micros.checked_add(micros));
        self.micros = sum.ok_or_else(|| self.out_of_range())?;
        Ok(())
    }

    /// `[-]HH:MM[:SS[.ffffff]]`, hours without limit.
    fn clock(&mut self, text: &str) -> Result<()> {
        let (negative, unsigned) = sign(text);
        let mut parts = unsigned.split(':');
        let (Some(hours), Some(minutes)) = (parts.next(), parts.next()) else {
            return Err(self.invalid());
        };
        let seconds = parts.next().unwrap_or("0");
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        if parts.next().is_some() {
            return Err(self.invalid());
        }
        let number = |digits: &str| {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(self.invalid());
            }
            digits.parse::<i64>().map_err(|_| self.out_of_range())
        };
        let (hours, minutes, seconds) = (number(hours)?, number(minutes)?, number(seconds)?);
        if minutes > 59 || seconds > 60 {
            return Err(self.out_of_range());
        }
        let below_hour = minutes * MICROS_PER_MINUTE
            + seconds * MICROS_PER_SECOND
            + fraction_micros(fraction).ok_or_else(|| self.invalid())?;
        let micros = hours
            .checked_mul(MICROS_PER_HOUR)
            .and_then(|n| n.checked_add(below_hour));
        self.add_micros(micros.map(|micros| if negative { -micros } else { micros }))
    }

    fn negate(&mut self) -> Result<()> {
        let negated = self.months.checked_neg().zip(self.days.checked_neg());
        let (months, days) = negated.ok_or_else(|| self.out_of_range())?;
        self.micros = self
            .micros
            .checked_neg()
            .ok_or_else(|| self.out_of_range())?;
        (self.months, self.days) = (months, days);
        Ok(())
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
    Some(match name.to_ascii_lowercase().as_str() {
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => Unit::Micros(1),
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => Unit::Micros(1000),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(MICROS_PER_SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(MICROS_PER_MINUTE),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(MICROS_PER_HOUR),
        "d" | "day" | "days" => Unit::Days(1),
        "w" | "week" | "weeks" => Unit::Days(7),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        "decade" | "decades" => Unit::Months(120),
        "century" | "centuries" => Unit::Months(1200),
        "millennium" | "millennia" => Unit::Months(12_000),
        _ => return None,
    })
}

/// Words: runs of letters, or of the characters of numbers and clocks; `1day` is two words.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches(is_space);
        let letters = text.chars().next()?.is_alphabetic();
        let ends = |c: char| is_space(c) || c.is_alphabetic() != letters;
        let (word, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        self.0 = rest;
        Some(word)
    }
}
