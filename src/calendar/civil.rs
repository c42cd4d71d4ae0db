//! The Gregorian calendar: days to years, months, weeks and back.

/// Days in 400 years.
const DAYS_PER_ERA: i64 = 146_097;

/// Days from 0000-03-01 to 2000-03-01 less the days from 2000-01-01 to 2000-03-01.
const DAYS_TO_ERA: i64 = 5 * DAYS_PER_ERA - 60;

/// 2000-01-01 was a Saturday.
const FIRST_WEEKDAY: i64 = 6;

/// Year (0 is 1 BC), month, day of a day counted from 2000-01-01.
pub(crate) fn civil(day: i64) -> (i64, u32, u32) {
    // Years begin in March here, so that the leap day is a year's last.
    let shifted = day + DAYS_TO_ERA;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day_of_month as u32)
}

/// Days from 2000-01-01 of a date (year 0 is 1 BC); None when there is no such day.
pub(crate) fn day_of(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || day == 0 || year.abs() > 10_000_000 {
        return None;
    }
    let from_march = i64::from((month + 9) % 12);
    let march_year = year - i64::from(month <= 2);
    let of_era = march_year.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    let days = march_year.div_euclid(400) * DAYS_PER_ERA + 365 * of_era + of_era / 4 - of_era / 100
        + of_year
        - DAYS_TO_ERA;
    (civil(days) == (year, month, day)).then_some(days)
}

/// The day of the week, Sunday 0.
pub(crate) fn weekday(day: i64) -> i64 {
    (day + FIRST_WEEKDAY).rem_euclid(7)
}

/// The day (Monday) on which an ISO year begins.
pub(crate) fn iso_week_start(year: i64) -> i64 {
    // The fourth of January is always in the first week.
    let fourth = day_of(year, 1, 4).unwrap_or_default();
    fourth - (weekday(fourth) + 6).rem_euclid(7)
}

/// ISO year and week of a day.
pub(crate) fn iso_week(day: i64) -> (i64, i64) {
    let (year, _, _) = civil(day);
    let year = match (year + 1, iso_week_start(year + 1)) {
        (next, start) if day >= start => next,
        _ if day < iso_week_start(year) => year - 1,
        _ => year,
    };
    (year, (day - iso_week_start(year)) / 7 + 1)
}
