//! Intervals as numbers: PostgreSQL's three parts, their arithmetic, and their sum with a timestamp.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::{MICROS_PER_DAY, Zone, checked_timestamp, civil, day_of, is_infinite, overflow};
use crate::error::{Error, Result};

/// Days PostgreSQL takes for a month where it must take some number.
pub(crate) const DAYS_PER_MONTH: i64 = 30;

/// An interval in PostgreSQL's three parts, in the order of its binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PgInterval {
    pub(crate) micros: i64,
    pub(crate) days: i32,
    pub(crate) months: i32,
}

/// 22008
pub(crate) fn interval_out_of_range() -> Error {
    overflow("interval out of range")
}

impl PgInterval {
    /// From Arrow's form; nanoseconds are cut off towards zero, so that a negative interval is the
    /// mirror image of the positive one.
    pub(crate) fn from_arrow(value: IntervalMonthDayNano) -> Self {
        Self {
            micros: value.nanoseconds / 1000,
            days: value.days,
            months: value.months,
        }
    }

    /// Arrow's form; 22008 where nanoseconds do not fit 64 bits (beyond 292 years of time).
    pub(crate) fn to_arrow(self) -> Result<IntervalMonthDayNano> {
        let nanoseconds = self.micros.checked_mul(1000);
        Ok(IntervalMonthDayNano::new(
            self.months,
            self.days,
            nanoseconds.ok_or_else(interval_out_of_range)?,
        ))
    }

    /// The sum of the parts.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            micros: self.micros.checked_add(other.micros)?,
            days: self.days.checked_add(other.days)?,
            months: self.months.checked_add(other.months)?,
        })
    }

    /// Every part with the other sign.
    pub(crate) fn checked_neg(self) -> Option<Self> {
        Some(Self {
            micros: self.micros.checked_neg()?,
            days: self.days.checked_neg()?,
            months: self.months.checked_neg()?,
        })
    }

    /// The product with a number: fractions of months become days, those of days time.
    pub(crate) fn checked_mul(self, factor: f64) -> Option<Self> {
        self.scaled(
            f64::from(self.months) * factor,
            f64::from(self.days) * factor,
            |micros, seconds| micros * factor + seconds * 1e6,
        )
    }

    /// The quotient by a number that is not zero.
    pub(crate) fn checked_div(self, divisor: f64) -> Option<Self> {
        self.scaled(
            f64::from(self.months) / divisor,
            f64::from(self.days) / divisor,
            |micros, seconds| micros / divisor + seconds * 1e6,
        )
    }

    fn scaled(self, months: f64, days: f64, micros: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let whole_months = to_i32(months)?;
        let whole_days = to_i32(days)?;
        let months_as_days =
            round_micro((months - f64::from(whole_months)) * DAYS_PER_MONTH as f64);
        let day_part = days - f64::from(whole_days) + months_as_days - months_as_days.trunc();
        let seconds = round_micro(day_part * 86_400.0);
        // Rounding may have made a whole day of it.
        let (carried, seconds) = match seconds.abs() >= 86_400.0 {
            true => ((seconds / 86_400.0).trunc(), seconds % 86_400.0),
            false => (0.0, seconds),
        };
        let days = whole_days
            .checked_add(to_i32(months_as_days)?)?
            .checked_add(carried as i32)?;
        let micros = micros(self.micros as f64, seconds).round_ties_even();
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&micros);
        fits.then_some(Self {
            micros: micros as i64,
            days,
            months: whole_months,
        })
    }

    /// Whole days of the time become days.
    pub(crate) fn justify_hours(self) -> Option<Self> {
        let carried = self.micros / MICROS_PER_DAY;
        let mut micros = self.micros % MICROS_PER_DAY;
        let mut days = i64::from(self.days) + carried;
        one_sign(&mut days, &mut micros, MICROS_PER_DAY);
        Some(Self {
            micros,
            days: i32::try_from(days).ok()?,
            months: self.months,
        })
    }

    /// Thirty days become a month.
    pub(crate) fn justify_days(self) -> Option<Self> {
        let mut days = i64::from(self.days) % DAYS_PER_MONTH;
        let mut months = i64::from(self.months) + i64::from(self.days) / DAYS_PER_MONTH;
        one_sign(&mut months, &mut days, DAYS_PER_MONTH);
        Some(Self {
            micros: self.micros,
            days: days as i32,
            months: i32::try_from(months).ok()?,
        })
    }

    /// Both, and one sign for all parts.
    pub(crate) fn justify_interval(self) -> Option<Self> {
        let mut days = i64::from(self.days) + self.micros / MICROS_PER_DAY;
        let mut micros = self.micros % MICROS_PER_DAY;
        let mut months = i64::from(self.months) + days / DAYS_PER_MONTH;
        days %= DAYS_PER_MONTH;
        if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
            days += DAYS_PER_MONTH;
            months -= 1;
        } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
            days -= DAYS_PER_MONTH;
            months += 1;
        }
        one_sign(&mut days, &mut micros, MICROS_PER_DAY);
        Some(Self {
            micros,
            days: days as i32,
            months: i32::try_from(months).ok()?,
        })
    }
}

/// Carries one unit between a number of units and a part of one, so that they have the same sign.
fn one_sign(units: &mut i64, part: &mut i64, unit: i64) {
    if *units > 0 && *part < 0 {
        *part += unit;
        *units -= 1;
    } else if *units < 0 && *part > 0 {
        *part -= unit;
        *units += 1;
    }
}

fn to_i32(value: f64) -> Option<i32> {
    let whole = value.trunc();
    (whole >= f64::from(i32::MIN) && whole <= f64::from(i32::MAX)).then_some(whole as i32)
}

/// Rounded to a millionth, as PostgreSQL does to hide the error of a product of doubles.
fn round_micro(value: f64) -> f64 {
    (value * 1e6).round_ties_even() / 1e6
}

/// A timestamp plus an interval: months first (a day that the month lacks becomes its last), then
/// days, then time. With a zone the timestamp is an instant, and months and days are local.
pub(crate) fn add_interval(micros: i64, span: PgInterval, zone: Option<Zone>) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let mut micros = micros;
    if span.months != 0 || span.days != 0 {
        let local = match zone {
            Some(zone) => zone.to_local(micros),
            None => Some(micros),
        };
        let local = local.and_then(|local| shifted(local, span));
        let moved = match zone {
            Some(zone) => local.and_then(|local| zone.to_instant(local)),
            None => local,
        };
        micros = checked_timestamp(moved)?;
    }
    checked_timestamp(micros.checked_add(span.micros))
}

/// A local time moved by months and days.
fn shifted(local: i64, span: PgInterval) -> Option<i64> {
    let time = local.rem_euclid(MICROS_PER_DAY);
    let mut day = local.div_euclid(MICROS_PER_DAY);
    if span.months != 0 {
        let (year, month, of_month) = civil(day);
        let months = year * 12 + i64::from(month) - 1 + i64::from(span.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
        day = (0..4).find_map(|less| day_of(year, month, of_month.checked_sub(less)?))?;
    }
    day.checked_add(i64::from(span.days))?
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(time)
}
