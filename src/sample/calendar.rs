//! The sample's three years, with the hours, days and months in which people buy.
//!
//! Behaviour is modelled on an even clock ("effort", in days) and mapped to real time through the
//! cumulated business of the hours. A busy hour takes up more of the even clock than a quiet one,
//! so seasons come out of one monotone map and every order of events survives it.

use chrono::{DateTime, Datelike, Timelike};

/// 2023-01-01 in days since 1970-01-01.
pub(super) const FIRST_DAY: i64 = 19_358;

/// Days from 2023-01-01 to 2025-12-31, both included.
pub(super) const DAYS: i64 = 1_096;

/// The first year.
const FIRST_YEAR: i32 = 2023;

/// Seconds in a day.
pub(super) const DAY: i64 = 86_400;

const HOUR: i64 = 3_600;

/// The first second, as seconds since 1970-01-01 UTC.
pub(super) const START: i64 = FIRST_DAY * DAY;

/// The second after the last one.
pub(super) const END: i64 = START + DAYS * DAY;

/// How busy the months are, January first; November and December peak.
const MONTHS: [f64; 12] = [
    0.84, 0.85, 0.93, 0.95, 0.98, 0.95, 0.92, 0.90, 0.98, 1.05, 1.35, 1.45,
];

/// How busy the days of the week are, Monday first.
const WEEKDAYS: [f64; 7] = [0.95, 0.90, 0.92, 0.98, 1.10, 1.20, 0.95];

/// How busy the hours of the day are, midnight first.
const HOURS: [f64; 24] = [
    0.25, 0.12, 0.06, 0.04, 0.05, 0.12, 0.35, 0.65, 0.95, 1.20, 1.40, 1.55, 1.65, 1.50, 1.35, 1.30,
    1.35, 1.50, 1.70, 1.95, 2.00, 1.65, 1.10, 0.60,
];

/// The map between the even clock and real time.
pub(super) struct Calendar {
    /// Effort at the start of each hour, and at the end of the last one: from 0 to [`DAYS`].
    effort: Vec<f64>,
    /// The first second of each month.
    months: Vec<i64>,
}

impl Calendar {
    pub(super) fn new() -> Self {
        let mut effort = vec![0.0];
        let mut months = Vec::new();
        let mut sum = 0.0;
        for second in (START..END).step_by(HOUR as usize) {
            let time = DateTime::from_timestamp(second, 0).unwrap_or_default();
            if time.day() == 1 && time.hour() == 0 {
                months.push(second);
            }
            sum += MONTHS[time.month0() as usize]
                * WEEKDAYS[time.weekday().num_days_from_monday() as usize]
                * HOURS[time.hour() as usize];
            effort.push(sum);
        }
        let unit = DAYS as f64 / sum;
        for value in &mut effort {
            *value *= unit;
        }
        Self { effort, months }
    }

    /// The second at which the even clock shows `effort` days; `None` outside the three years.
    pub(super) fn second(&self, effort: f64) -> Option<i64> {
        let after = self.effort.partition_point(|&start| start <= effort);
        let hour = after.checked_sub(1)?;
        let (from, to) = (self.effort.get(hour)?, self.effort.get(after)?);
        let within = ((effort - from) / (to - from) * HOUR as f64) as i64;
        Some(START + hour as i64 * HOUR + within.clamp(0, HOUR - 1))
    }

    /// What the even clock shows at `second`, which lies in the three years.
    pub(super) fn effort(&self, second: i64) -> f64 {
        let since = (second - START).clamp(0, DAYS * DAY - 1);
        let hour = (since / HOUR) as usize;
        let (from, to) = (self.effort[hour], self.effort[hour + 1]);
        from + (to - from) * (since % HOUR) as f64 / HOUR as f64
    }

    /// Year and month (1 to 12) of `second`.
    pub(super) fn month(&self, second: i64) -> (i32, i32) {
        let index = self
            .months
            .partition_point(|&start| start <= second)
            .saturating_sub(1) as i32;
        (FIRST_YEAR + index / 12, index % 12 + 1)
    }
}

/// How well the house serves its customers at `second`, in standard deviations of satisfaction:
/// a slow rise, a bad spring of 2025, and a recovery.
pub(super) fn service_level(second: i64) -> f64 {
    const LEVELS: [(f64, f64); 5] = [
        (0.0, -0.15),
        (610.0, 0.25),
        (830.0, -0.20),
        (980.0, 0.20),
        (1_096.0, 0.30),
    ];
    let day = (second - START) as f64 / DAY as f64;
    for pair in LEVELS.windows(2) {
        let ((from, low), (to, high)) = (pair[0], pair[1]);
        if day <= to {
            return low + (high - low) * (day - from) / (to - from);
        }
    }
    LEVELS[LEVELS.len() - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_three_years() {
        let date = |second| DateTime::from_timestamp(second, 0).unwrap().to_string();
        assert_eq!(date(START), "2023-01-01 00:00:00 UTC");
        assert_eq!(date(END), "2026-01-01 00:00:00 UTC");
    }

    #[test]
    fn the_map_is_monotone_and_invertible() {
        let calendar = Calendar::new();
        let mut last = START;
        for step in 0..200_000 {
            let effort = DAYS as f64 * f64::from(step) / 200_000.0;
            let second = calendar.second(effort).unwrap();
            assert!(second >= last && second < END);
            // One second of the busiest hour.
            assert!((calendar.effort(second) - effort).abs() < 1e-4, "{effort}");
            last = second;
        }
        assert_eq!(calendar.second(-0.001), None);
        assert_eq!(calendar.second(DAYS as f64 + 0.001), None);
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let calendar = Calendar::new();
        for second in (START..END).step_by(43_199) {
            let time = DateTime::from_timestamp(second, 0).unwrap();
            assert_eq!(calendar.month(second), (time.year(), time.month() as i32));
        }
        assert_eq!(calendar.month(END - 1), (2025, 12));
    }

    #[test]
    fn service_moves_and_stays_small() {
        let level = |day: i64| service_level(START + day * DAY);
        assert!(level(600) > level(10) && level(830) < level(600) && level(1_090) > level(830));
        assert!((0..DAYS).all(|day| level(day).abs() < 0.5));
    }
}
