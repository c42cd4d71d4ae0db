//! Dates, times and intervals as text in the session's styles.

use bytes::{BufMut, BytesMut};

use super::{
    DateOrder, DateStyle, IntervalStyle, MICROS_PER_DAY, MICROS_PER_SECOND, PgInterval,
    TimeSettings, civil, is_infinite, put_i64, put_micros, put_two, put_u64, weekday,
};

/// How a date and time are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A session's DateStyle.
    Session(DateStyle, DateOrder),
    /// With a `T` between date and time, as in JSON.
    Xsd,
}

impl Style {
    /// ISO, whatever the session has set.
    pub(crate) const ISO: Self = Self::Session(DateStyle::Iso, DateOrder::Mdy);

    /// The session's style.
    pub(crate) fn of(settings: &TimeSettings) -> Self {
        Self::Session(settings.date_style, settings.date_order)
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Writes a date.
pub(crate) fn put_date(day: i32, style: Style, out: &mut BytesMut) {
    if put_infinity(day == i32::MIN, day == i32::MAX, out) {
        return;
    }
    let (year, month, day) = civil(i64::from(day));
    match style {
        Style::Session(DateStyle::Postgres, order) => {
            put_short(year, month, day, order, b'-', out);
        }
        style => put_civil(year, month, day, style, out),
    }
    put_era(year, out);
}

fn put_infinity(before: bool, after: bool, out: &mut BytesMut) -> bool {
    if before {
        out.put_slice(b"-");
    }
    if before || after {
        out.put_slice(b"infinity");
    }
    before || after
}

fn put_civil(year: i64, month: u32, day: u32, style: Style, out: &mut BytesMut) {
    match style {
        Style::Session(DateStyle::Sql, order) => put_short(year, month, day, order, b'/', out),
        Style::Session(DateStyle::German, _) => {
            put_short(year, month, day, DateOrder::Dmy, b'.', out);
        }
        _ => {
            put_year(year, out);
            out.put_u8(b'-');
            put_two(month, out);
            out.put_u8(b'-');
            put_two(day, out);
        }
    }
}

/// Day and month, then the year.
fn put_short(year: i64, month: u32, day: u32, order: DateOrder, by: u8, out: &mut BytesMut) {
    let (first, second) = match order {
        DateOrder::Dmy => (day, month),
        DateOrder::Mdy | DateOrder::Ymd => (month, day),
    };
    put_two(first, out);
    out.put_u8(by);
    put_two(second, out);
    out.put_u8(by);
    put_year(year, out);
}

fn put_year(year: i64, out: &mut BytesMut) {
    let shown = (if year > 0 { year } else { 1 - year }).unsigned_abs();
    if shown < 10_000 {
        put_two((shown / 100) as u32, out);
        put_two((shown % 100) as u32, out);
    } else {
        put_u64(shown, out);
    }
}

fn put_era(year: i64, out: &mut BytesMut) {
    if year <= 0 {
        out.put_slice(b" BC");
    }
}

/// Writes a time of day, `HH:MM:SS[.ffffff]`.
pub(crate) fn put_time(micros: i64, out: &mut BytesMut) {
    let seconds = micros / MICROS_PER_SECOND;
    put_two((seconds / 3600) as u32, out);
    out.put_u8(b':');
    put_two((seconds / 60 % 60) as u32, out);
    out.put_u8(b':');
    put_two((seconds % 60) as u32, out);
    put_micros((micros % MICROS_PER_SECOND) as u32, out);
}

/// Writes a timestamp, with an offset from UTC in seconds if the type has a zone; the instant is
/// shifted by it. `abbreviation` names the zone where the style shows a name.
pub(crate) fn put_timestamp(
    micros: i64,
    offset: Option<i32>,
    abbreviation: impl FnOnce() -> String,
    style: Style,
    out: &mut BytesMut,
) {
    if is_infinite(micros) {
        put_infinity(micros == i64::MIN, micros == i64::MAX, out);
        return;
    }
    let local = micros + i64::from(offset.unwrap_or(0)) * MICROS_PER_SECOND;
    let day = local.div_euclid(MICROS_PER_DAY);
    let time = local.rem_euclid(MICROS_PER_DAY);
    let (year, month, day_of_month) = civil(day);
    if let Style::Session(DateStyle::Postgres, order) = style {
        out.put_slice(WEEKDAYS[weekday(day) as usize].as_bytes());
        out.put_u8(b' ');
        let name = MONTHS[(month - 1) as usize].as_bytes();
        if order == DateOrder::Dmy {
            put_two(day_of_month, out);
            out.put_u8(b' ');
            out.put_slice(name);
        } else {
            out.put_slice(name);
            out.put_u8(b' ');
            put_two(day_of_month, out);
        }
        out.put_u8(b' ');
        put_time(time, out);
        out.put_u8(b' ');
        put_year(year, out);
    } else {
        put_civil(year, month, day_of_month, style, out);
        out.put_u8(if style == Style::Xsd { b'T' } else { b' ' });
        put_time(time, out);
    }
    match (offset, style) {
        (None, _) => {}
        (Some(offset), Style::Xsd | Style::Session(DateStyle::Iso, _)) => {
            put_offset(offset, style, out);
        }
        (Some(_), Style::Session(..)) => {
            out.put_u8(b' ');
            out.put_slice(abbreviation().as_bytes());
        }
    }
    put_era(year, out);
}

/// Writes `+02`, `+05:30`, `-04:56:02`; XSD always has the minutes.
fn put_offset(offset: i32, style: Style, out: &mut BytesMut) {
    out.put_u8(if offset < 0 { b'-' } else { b'+' });
    let seconds = offset.unsigned_abs();
    put_two(seconds / 3600, out);
    if !seconds.is_multiple_of(3600) || style == Style::Xsd {
        out.put_u8(b':');
        put_two(seconds / 60 % 60, out);
    }
    if !seconds.is_multiple_of(60) {
        out.put_u8(b':');
        put_two(seconds % 60, out);
    }
}

/// Writes an interval.
pub(crate) fn put_interval(interval: PgInterval, style: IntervalStyle, out: &mut BytesMut) {
    match style {
        IntervalStyle::Postgres => put_postgres(interval, out),
        IntervalStyle::PostgresVerbose => put_verbose(interval, out),
        IntervalStyle::SqlStandard => put_sql_standard(interval, out),
        IntervalStyle::Iso8601 => put_iso_8601(interval, out),
    }
}

fn put_postgres(interval: PgInterval, out: &mut BytesMut) {
    let parts = [
        (interval.months / 12, "year"),
        (interval.months % 12, "mon"),
        (interval.days, "day"),
    ];
    let mut first = true;
    // A positive part after a negative one carries its sign.
    let mut after_negative = false;
    for (value, unit) in parts {
        if value == 0 {
            continue;
        }
        if !first {
            out.put_u8(b' ');
        }
        if after_negative && value > 0 {
            out.put_u8(b'+');
        }
        put_i64(i64::from(value), out);
        out.put_u8(b' ');
        out.put_slice(unit.as_bytes());
        if value != 1 {
            out.put_u8(b's');
        }
        after_negative = value < 0;
        first = false;
    }
    if !first && interval.micros == 0 {
        return;
    }
    if !first {
        out.put_u8(b' ');
    }
    if interval.micros < 0 {
        out.put_u8(b'-');
    } else if after_negative {
        out.put_u8(b'+');
    }
    put_clock(interval.micros.unsigned_abs(), 2, out);
}

/// Hours, minutes, seconds, microseconds, each with the sign.
fn clock_parts(micros: i64) -> [i64; 4] {
    let seconds = micros / MICROS_PER_SECOND;
    [
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        micros % MICROS_PER_SECOND,
    ]
}

/// `@ 1 year 2 mons ago`: the first part's sign is that of the whole.
fn put_verbose(interval: PgInterval, out: &mut BytesMut) {
    let [hours, minutes, seconds, fraction] = clock_parts(interval.micros);
    let parts = [
        (i64::from(interval.months / 12), "year"),
        (i64::from(interval.months % 12), "mon"),
        (i64::from(interval.days), "day"),
        (hours, "hour"),
        (minutes, "min"),
    ];
    out.put_u8(b'@');
    let mut ago = None;
    for (value, unit) in parts {
        if value == 0 {
            continue;
        }
        let ago = *ago.get_or_insert(value < 0);
        out.put_u8(b' ');
        put_i64(if ago { -value } else { value }, out);
        out.put_u8(b' ');
        out.put_slice(unit.as_bytes());
        if (if ago { -value } else { value }) != 1 {
            out.put_u8(b's');
        }
    }
    if seconds != 0 || fraction != 0 {
        let negative = seconds < 0 || fraction < 0;
        let ago = *ago.get_or_insert(negative);
        out.put_u8(b' ');
        if ago != negative {
            out.put_u8(b'-');
        }
        put_u64(seconds.unsigned_abs(), out);
        put_micros(fraction.unsigned_abs() as u32, out);
        out.put_slice(b" sec");
        if seconds.abs() != 1 || fraction != 0 {
            out.put_u8(b's');
        }
    }
    match ago {
        None => out.put_slice(b" 0"),
        Some(true) => out.put_slice(b" ago"),
        Some(false) => {}
    }
}

fn put_sql_standard(interval: PgInterval, out: &mut BytesMut) {
    let PgInterval {
        micros,
        days,
        months,
    } = interval;
    let negative = months < 0 || days < 0 || micros < 0;
    let positive = months > 0 || days > 0 || micros > 0;
    let has_months = months != 0;
    let has_rest = days != 0 || micros != 0;
    if !negative && !positive {
        out.put_u8(b'0');
    } else if (negative && positive) || (has_months && has_rest) {
        // Not one of the standard's intervals: every part with its sign.
        put_signed(months < 0, out);
        put_year_month(months, out);
        out.put_u8(b' ');
        put_signed(days < 0, out);
        put_u64(u64::from(days.unsigned_abs()), out);
        out.put_u8(b' ');
        put_signed(micros < 0, out);
        put_clock(micros.unsigned_abs(), 1, out);
    } else {
        if negative {
            out.put_u8(b'-');
        }
        if has_months {
            put_year_month(months, out);
        } else {
            if days != 0 {
                put_u64(u64::from(days.unsigned_abs()), out);
                out.put_u8(b' ');
            }
            put_clock(micros.unsigned_abs(), 1, out);
        }
    }
}

fn put_signed(negative: bool, out: &mut BytesMut) {
    out.put_u8(if negative { b'-' } else { b'+' });
}

fn put_year_month(months: i32, out: &mut BytesMut) {
    let months = months.unsigned_abs();
    put_u64(u64::from(months / 12), out);
    out.put_u8(b'-');
    put_u64(u64::from(months % 12), out);
}

fn put_iso_8601(interval: PgInterval, out: &mut BytesMut) {
    let [hours, minutes, seconds, fraction] = clock_parts(interval.micros);
    out.put_u8(b'P');
    let put = |value: i64, unit: u8, out: &mut BytesMut| {
        if value != 0 {
            put_i64(value, out);
            out.put_u8(unit);
        }
    };
    put(i64::from(interval.months / 12), b'Y', out);
    put(i64::from(interval.months % 12), b'M', out);
    put(i64::from(interval.days), b'D', out);
    let nothing = interval.months == 0 && interval.days == 0 && interval.micros == 0;
    if interval.micros == 0 && !nothing {
        return;
    }
    out.put_u8(b'T');
    put(hours, b'H', out);
    put(minutes, b'M', out);
    if seconds != 0 || fraction != 0 || nothing {
        if seconds < 0 || fraction < 0 {
            out.put_u8(b'-');
        }
        put_u64(seconds.unsigned_abs(), out);
        put_micros(fraction.unsigned_abs() as u32, out);
        out.put_u8(b'S');
    }
}

/// Writes hours of at least `width` (1 or 2) digits, minutes, seconds.
fn put_clock(micros: u64, width: usize, out: &mut BytesMut) {
    let seconds = micros / MICROS_PER_SECOND as u64;
    let hours = seconds / 3600;
    if hours < 10 && width == 2 {
        out.put_u8(b'0');
    }
    put_u64(hours, out);
    out.put_u8(b':');
    put_two((seconds / 60 % 60) as u32, out);
    out.put_u8(b':');
    put_two((seconds % 60) as u32, out);
    put_micros((micros % MICROS_PER_SECOND as u64) as u32, out);
}
