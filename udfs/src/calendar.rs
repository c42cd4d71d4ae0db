//! Calendar arithmetic on days since 1970-01-01 and the units of time that functions take.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion_common::Result;

use crate::arguments::{NANOSECONDS_PER_DAY, invalid_call};

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// Year, month 1 to 12 and day 1 to 31 of a day.
pub(crate) fn civil(day: i64) -> (i64, i64, i64) {
    // Years that begin in March end with the leap day.
    let shifted = day + EPOCH;
    let (era, of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, day)
}

/// Months since January of year 0.
pub(crate) fn month_of(day: i64) -> i64 {
    let (year, month, _) = civil(day);
    year * 12 + month - 1
}

/// The first day of a month that [`month_of`] gave.
fn first_of_month(month: i64) -> i64 {
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 - EPOCH
}

/// Whether a part of an interval is below zero.
pub(crate) fn is_negative(span: IntervalMonthDayNano) -> bool {
    span.months < 0 || span.days < 0 || span.nanoseconds < 0
}

/// A point in time, in nanoseconds since 1970, moved by an interval: months by the calendar, where a
/// day that a month lacks becomes its last one.
#[inline]
pub(crate) fn add_interval(time: i128, span: IntervalMonthDayNano) -> i128 {
    let moved = if span.months == 0 {
        time
    } else {
        add_months(time, span.months)
    };
    moved + i128::from(span.days) * NANOSECONDS_PER_DAY + i128::from(span.nanoseconds)
}

fn add_months(time: i128, months: i32) -> i128 {
    let (day, rest) = (
        time.div_euclid(NANOSECONDS_PER_DAY),
        time.rem_euclid(NANOSECONDS_PER_DAY),
    );
    let day = day as i64;
    let month = month_of(day) + i64::from(months);
    let last = first_of_month(month + 1) - first_of_month(month);
    let day = first_of_month(month) + civil(day).2.min(last) - 1;
    i128::from(day) * NANOSECONDS_PER_DAY + rest
}

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A calendar day.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
    /// Three months from January, April, July or October.
    Quarter,
    /// A calendar year.
    Year,
}

impl Unit {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Day, "day"),
        (Self::Week, "week"),
        (Self::Month, "month"),
        (Self::Quarter, "quarter"),
        (Self::Year, "year"),
    ];

    /// The unit of a name.
    pub(crate) fn named(function: &str, argument: &str, name: &str) -> Result<Self> {
        let known = Self::ALL
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name));
        known.map(|(unit, _)| *unit).ok_or_else(|| {
            invalid_call(
                function,
                format!("{argument} '{name}' is not known; use 'day', 'week', 'month', 'quarter' or 'year'"),
            )
        })
    }

    /// A number for it, for states.
    pub(crate) fn code(self) -> i64 {
        let place = Self::ALL.iter().position(|(unit, _)| *unit == self);
        place.unwrap_or_default() as i64
    }

    /// The reverse of [`Unit::code`].
    pub(crate) fn of_code(code: i64) -> Self {
        let place = usize::try_from(code).unwrap_or_default();
        Self::ALL.get(place).map_or(Self::Month, |(unit, _)| *unit)
    }

    /// The number of the period that a day is in.
    pub(crate) fn period_of(self, day: i64) -> i64 {
        match self {
            Self::Day => day,
            // 1970-01-01 was a Thursday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => month_of(day),
            Self::Quarter => month_of(day).div_euclid(3),
            Self::Year => month_of(day).div_euclid(12),
        }
    }

    /// The first day of a period.
    pub(crate) fn first_day(self, period: i64) -> i64 {
        match self {
            Self::Day => period,
            Self::Week => period * 7 - 3,
            Self::Month => first_of_month(period),
            Self::Quarter => first_of_month(period * 3),
            Self::Year => first_of_month(period * 12),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(-1), (1969, 12, 31));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(2_932_896), (9999, 12, 31));
        assert_eq!(civil(-719_528), (0, 1, 1));
    }

    #[test]
    fn a_period_begins_with_its_first_day_and_holds_all_its_days() {
        for (unit, _) in Unit::ALL {
            for day in -800..800 {
                let period = unit.period_of(day);
                let first = unit.first_day(period);
                assert!(
                    first <= day && day < unit.first_day(period + 1),
                    "{unit:?} {day}"
                );
                assert_eq!(unit.period_of(first), period);
            }
            assert_eq!(Unit::of_code(unit.code()), unit);
        }
    }

    #[test]
    fn a_month_after_the_last_of_january_is_the_last_of_february() {
        let month = IntervalMonthDayNano::new(1, 0, 7);
        let after = add_interval(18_292 * NANOSECONDS_PER_DAY + 5, month);
        assert_eq!(after, 18_321 * NANOSECONDS_PER_DAY + 12);
    }

    #[test]
    fn weeks_begin_on_monday() {
        // 2024-01-01 was a Monday.
        assert_eq!(Unit::Week.first_day(Unit::Week.period_of(19_723)), 19_723);
        assert_eq!(Unit::Week.first_day(Unit::Week.period_of(19_729)), 19_723);
    }
}
