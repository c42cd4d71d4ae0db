//! Dates and times read by a pattern.

use super::pattern::{Field, Pattern, Piece};
use super::show::{JULIAN_EPOCH, MONTHS, ROMANS, WEEKDAYS};
use crate::calendar::{
    MICROS_PER_DAY, MICROS_PER_SECOND, Zone, civil, day_of, iso_week_start, overflow,
};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Years beyond which no calendar reaches.
const YEAR_MAX: i64 = 10_000_000;

/// A local time, with its zone if the text has one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReadMoment {
    pub(super) local: i64,
    pub(super) zone: Option<Zone>,
}

/// Reads a text.
pub(super) fn read(text: &str, pattern: &Pattern) -> Result<ReadMoment> {
    let mut reader = Reader {
        rest: text,
        exact: pattern.exact,
        extra: 0,
        taken: None,
        parts: Parts::default(),
    };
    for (at, piece) in pattern.pieces.iter().enumerate() {
        reader.piece(piece, pattern.pieces.get(at + 1), at == 0)?;
    }
    reader.parts.moment(text)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(SqlState::InvalidDatetimeFormat, message)
}

/// What was read.
#[derive(Debug, Clone, Copy, Default)]
struct Parts {
    hours: Option<i64>,
    twelve: bool,
    after_noon: Option<bool>,
    minutes: Option<i64>,
    seconds: Option<i64>,
    second_of_day: Option<i64>,
    millis: Option<i64>,
    micros: Option<i64>,
    year: Option<i64>,
    /// Digits of the pattern's year.
    year_digits: u8,
    century: Option<i64>,
    before_christ: Option<bool>,
    month: Option<i64>,
    of_month: Option<i64>,
    of_year: Option<i64>,
    week_of_year: Option<i64>,
    week_of_month: Option<i64>,
    weekday: Option<i64>,
    julian: Option<i64>,
    iso: Option<bool>,
    zone_sign: i64,
    zone_hours: Option<i64>,
    fraction_digits: Option<u8>,
    zone_minutes: Option<i64>,
}

struct Reader<'a> {
    rest: &'a str,
    exact: bool,
    /// Separators and spaces of the text beyond those of the pattern.
    extra: i64,
    /// The letter that was read last.
    taken: Option<char>,
    parts: Parts,
}

fn is_separator(c: char) -> bool {
    c.is_ascii_punctuation()
}

impl Reader<'_> {
    fn take(&mut self) {
        let mut chars = self.rest.chars();
        self.taken = chars.next();
        self.rest = chars.as_str();
    }

    fn skip_spaces(&mut self) {
        while self.rest.starts_with(|c: char| c.is_ascii_whitespace()) {
            self.take();
            self.extra += 1;
        }
    }

    fn piece(&mut self, piece: &Piece, next: Option<&Piece>, first: bool) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        if !self.exact && (first || matches!(piece, Piece::Field { .. })) {
            self.skip_spaces();
        }
        match piece {
            Piece::Space(_) | Piece::Separator(_) => {
                if self.exact {
                    self.take();
                    return Ok(());
                }
                self.extra -= 1;
                if self
                    .rest
                    .starts_with(|c: char| c.is_ascii_whitespace() || is_separator(c))
                {
                    self.take();
                    self.extra += 1;
                }
                Ok(())
            }
            Piece::Literal(_) => {
                if !self.exact && self.extra > 0 {
                    self.extra -= 1;
                } else {
                    self.take();
                }
                Ok(())
            }
            Piece::Field {
                field,
                name,
                fill,
                ordinal,
                ..
            } => {
                self.field(*field, name, *fill, next)?;
                if ordinal.is_some() {
                    self.take();
                    self.take();
                }
                if !self.exact {
                    self.extra = 0;
                    self.skip_spaces();
                }
                Ok(())
            }
        }
    }

    fn field(&mut self, field: Field, name: &str, fill: bool, next: Option<&Piece>) -> Result<()> {
        let open = fill || ends_number(next);
        match field {
            Field::Half { points, .. } => {
                let words = if points {
                    ["a.m.", "p.m."]
                } else {
                    ["am", "pm"]
                };
                let half = self.word(&words, name)?;
                set(&mut self.parts.after_noon, half == 1, name)?;
                self.parts.twelve = true;
            }
            Field::Era { points, .. } => {
                let words = if points {
                    ["a.d.", "b.c."]
                } else {
                    ["ad", "bc"]
                };
                let era = self.word(&words, name)?;
                set(&mut self.parts.before_christ, era == 1, name)?;
            }
            Field::MonthName { short, .. } => {
                let month = self.name(&MONTHS, short, name)?;
                set(&mut self.parts.month, month as i64 + 1, name)?;
            }
            Field::DayName { short, .. } => {
                let day = self.name(&WEEKDAYS, short, name)?;
                self.calendar(false)?;
                set(&mut self.parts.weekday, day as i64, name)?;
            }
            Field::Roman { .. } => {
                let longest_first = [
                    "viii", "vii", "iii", "xii", "vi", "iv", "ix", "ii", "xi", "i", "v", "x",
                ];
                let at = self.word(&longest_first, name)?;
                let numeral = longest_first[at].to_ascii_uppercase();
                let month = ROMANS
                    .iter()
                    .position(|roman| *roman == numeral)
                    .unwrap_or(0);
                set(&mut self.parts.month, month as i64 + 1, name)?;
            }
            Field::Zone { .. } | Field::Offset => {
                return Err(Error::feature_not_supported(format!(
                    "formatting field \"{name}\" is only supported in to_char"
                )));
            }
            field => self.number_field(field, name, open)?,
        }
        Ok(())
    }

    /// Weeks and days of ISO and of the calendar do not go together.
    fn calendar(&mut self, iso: bool) -> Result<()> {
        match self.parts.iso {
            Some(known) if known != iso => Err(invalid("invalid combination of date conventions")
                .with_hint(
                    "Do not mix Gregorian and ISO week date conventions in a formatting template.",
                )),
            _ => {
                self.parts.iso = Some(iso);
                Ok(())
            }
        }
    }

    fn number_field(&mut self, field: Field, name: &str, open: bool) -> Result<()> {
        match field {
            Field::IsoYear(_) | Field::IsoWeek | Field::IsoDayOfWeek | Field::IsoDayOfYear => {
                self.calendar(true)?;
            }
            Field::Year(_)
            | Field::YearComma
            | Field::Month
            | Field::DayOfMonth
            | Field::DayOfYear
            | Field::DayOfWeek
            | Field::WeekOfYear
            | Field::WeekOfMonth => self.calendar(false)?,
            _ => {}
        }
        if let Field::ZoneHour = field {
            // A separator of the pattern may have taken the sign.
            let signed = self.rest.starts_with(['+', '-', ' ']);
            self.parts.zone_sign = match self.rest.chars().next() {
                Some('-') => -1,
                _ if !signed && self.extra > 0 && self.taken == Some('-') => -1,
                _ => 1,
            };
            if self.rest.starts_with(['+', '-', ' ']) {
                self.take();
            }
        }
        if let Field::YearComma = field {
            return self.year_with_comma(name);
        }
        let digits = width(field);
        let (value, length) = self.number(digits, name, open)?;
        let parts = &mut self.parts;
        match field {
            Field::Hour12 => {
                parts.twelve = true;
                set(&mut parts.hours, value, name)
            }
            Field::Hour24 => set(&mut parts.hours, value, name),
            Field::Minute => set(&mut parts.minutes, value, name),
            Field::Second => set(&mut parts.seconds, value, name),
            Field::SecondOfDay => set(&mut parts.second_of_day, value, name),
            Field::Millisecond => set(&mut parts.millis, fraction(value, length, 3), name),
            Field::Microsecond | Field::Fraction(_) => {
                if let Field::Fraction(digits) = field {
                    parts.fraction_digits = Some(digits);
                }
                set(&mut parts.micros, fraction(value, length, 6), name)
            }
            Field::ZoneHour => set(&mut parts.zone_hours, value, name),
            Field::ZoneMinute => set(&mut parts.zone_minutes, value, name),
            Field::Month => set(&mut parts.month, value, name),
            Field::DayOfMonth => set(&mut parts.of_month, value, name),
            Field::DayOfYear | Field::IsoDayOfYear => set(&mut parts.of_year, value, name),
            Field::DayOfWeek => set(&mut parts.weekday, value - 1, name),
            Field::IsoDayOfWeek => set(&mut parts.weekday, value % 7, name),
            Field::WeekOfYear | Field::IsoWeek => set(&mut parts.week_of_year, value, name),
            Field::WeekOfMonth => set(&mut parts.week_of_month, value, name),
            Field::Julian => set(&mut parts.julian, value, name),
            Field::Century => set(&mut parts.century, value, name),
            Field::Year(digits) | Field::IsoYear(digits) => {
                parts.year_digits = digits;
                let year = if digits < 4 && length < 4 {
                    near_2020(value)
                } else {
                    value
                };
                set(&mut parts.year, year, name)
            }
            // Quarters are read and not used, as PostgreSQL does.
            _ => Ok(()),
        }
    }

    /// `2,024`
    fn year_with_comma(&mut self, name: &str) -> Result<()> {
        let (thousands, _) = self.number(usize::MAX, name, true)?;
        if !self.rest.starts_with(',') {
            return Err(invalid(format!("invalid input string for \"{name}\"")));
        }
        self.take();
        let (rest, _) = self.number(3, name, false)?;
        self.parts.year_digits = 4;
        set(&mut self.parts.year, thousands * 1000 + rest, name)
    }

    /// A number of at most so many digits, of any number of them if it is `open`.
    fn number(&mut self, digits: usize, name: &str, open: bool) -> Result<(i64, usize)> {
        let signed = usize::from(self.rest.starts_with(['-', '+']));
        let run = self.rest[signed..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(self.rest.len(), |end| end + signed);
        let limit = match open {
            true => run,
            false => {
                let available = self.rest.chars().count();
                if digits != usize::MAX && available < digits {
                    return Err(invalid(format!(
                        "source string too short for \"{name}\" formatting field"
                    ))
                    .with_detail(format!(
                        "Field requires {digits} characters, but only {available} remain."
                    ))
                    .with_hint(
                        "If your source string is not fixed-width, try using the \"FM\" modifier.",
                    ));
                }
                run.min(digits)
            }
        };
        let text = &self.rest[..limit];
        let quoted: String = match open {
            true => self.rest.chars().take(digits.min(32)).collect(),
            false => self.rest.chars().take(digits).collect(),
        };
        let used = limit - signed.min(limit);
        if used == 0 {
            return Err(
                invalid(format!("invalid value \"{quoted}\" for \"{name}\""))
                    .with_detail("Value must be an integer."),
            );
        }
        if !open && limit < digits && digits != usize::MAX {
            return Err(
                invalid(format!("invalid value \"{quoted}\" for \"{name}\""))
                    .with_detail(format!(
                        "Field requires {digits} characters, but only {limit} could be parsed."
                    ))
                    .with_hint(
                        "If your source string is not fixed-width, try using the \"FM\" modifier.",
                    ),
            );
        }
        let value: i64 = text.trim_start_matches('+').parse().unwrap_or(i64::MAX);
        if i32::try_from(value).is_err() {
            return Err(overflow(format!(
                "value for \"{name}\" in source string is out of range"
            ))
            .with_detail("Value must be in the range -2147483648 to 2147483647."));
        }
        self.rest = &self.rest[limit..];
        Ok((value, used))
    }

    /// One of the words, in any case.
    fn word(&mut self, words: &[&str], name: &str) -> Result<usize> {
        let at = words.iter().position(|word| {
            self.rest
                .get(..word.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        });
        let at = at.ok_or_else(|| self.no_word(name))?;
        self.rest = &self.rest[words[at].len()..];
        Ok(at)
    }

    fn no_word(&self, name: &str) -> Error {
        let found: String = self.rest.split(' ').next().unwrap_or_default().to_owned();
        invalid(format!("invalid value \"{found}\" for \"{name}\""))
            .with_detail("The given value did not match any of the allowed values for this field.")
    }

    /// A month's or a day's name.
    fn name(&mut self, names: &[&str], short: bool, name: &str) -> Result<usize> {
        let shown: Vec<&str> = names
            .iter()
            .map(|full| if short { &full[..3] } else { full })
            .collect();
        self.word(&shown, name)
    }
}

/// Whether the pattern goes on with something that ends a number.
fn ends_number(next: Option<&Piece>) -> bool {
    match next {
        None | Some(Piece::Space(_) | Piece::Separator(_)) => true,
        Some(Piece::Literal(c)) => !c.is_ascii_digit(),
        Some(Piece::Field { field, .. }) => !is_number(*field),
    }
}

fn is_number(field: Field) -> bool {
    !matches!(
        field,
        Field::Half { .. }
            | Field::Era { .. }
            | Field::MonthName { .. }
            | Field::DayName { .. }
            | Field::Roman { .. }
            | Field::Zone { .. }
            | Field::Offset
    )
}

/// Digits that a field has where nothing ends it.
fn width(field: Field) -> usize {
    match field {
        Field::DayOfYear | Field::IsoDayOfYear | Field::Millisecond => 3,
        Field::Microsecond => 6,
        Field::Fraction(digits) | Field::Year(digits) | Field::IsoYear(digits) => {
            usize::from(digits)
        }
        Field::SecondOfDay => 5,
        Field::DayOfWeek | Field::IsoDayOfWeek | Field::WeekOfMonth | Field::Quarter => 1,
        Field::Julian => usize::MAX,
        _ => 2,
    }
}

fn set<T: PartialEq>(part: &mut Option<T>, value: T, name: &str) -> Result<()> {
    match part {
        Some(known) if *known != value => Err(invalid(format!(
            "conflicting values for \"{name}\" field in formatting string"
        ))
        .with_detail("This value contradicts a previous setting for the same field type.")),
        _ => {
            *part = Some(value);
            Ok(())
        }
    }
}

/// Digits behind the point as so many digits.
fn fraction(value: i64, length: usize, digits: u32) -> i64 {
    let length = u32::try_from(length).unwrap_or(digits);
    match digits.checked_sub(length) {
        Some(more) => value * 10_i64.pow(more),
        None => value / 10_i64.pow((length - digits).min(18)),
    }
}

/// A year of fewer than four digits lies as near to 2020 as it can.
fn near_2020(year: i64) -> i64 {
    match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}

impl Parts {
    fn moment(&self, text: &str) -> Result<ReadMoment> {
        let day = self.day(text)?;
        let time = self.time(text)?;
        let micros = day
            .checked_mul(MICROS_PER_DAY)
            .and_then(|day| day.checked_add(time));
        let local = micros
            .and_then(|micros| self.rounded(micros))
            .ok_or_else(|| out_of_range(text))?;
        let zone = match (self.zone_hours, self.zone_minutes) {
            (None, None) => None,
            (hours, minutes) => {
                let (hours, minutes) = (hours.unwrap_or(0), minutes.unwrap_or(0));
                if hours > 15 || minutes > 59 {
                    return Err(Error::new(
                        SqlState::InvalidTimeZoneDisplacementValue,
                        format!("time zone displacement out of range: \"{text}\""),
                    ));
                }
                let sign = if self.zone_sign < 0 { -1 } else { 1 };
                Some(Zone::Fixed((sign * (hours * 60 + minutes) * 60) as i32))
            }
        };
        Ok(ReadMoment { local, zone })
    }

    /// To as many digits as FF1 to FF5 says.
    fn rounded(&self, micros: i64) -> Option<i64> {
        let Some(digits) = self.fraction_digits else {
            return Some(micros);
        };
        let unit = 10_i64.pow(6_u32.saturating_sub(digits.into()));
        let rounded = micros.unsigned_abs().checked_add(unit.unsigned_abs() / 2)?;
        let rounded = i64::try_from(rounded - rounded % unit.unsigned_abs()).ok()?;
        Some(if micros < 0 { -rounded } else { rounded })
    }

    fn time(&self, text: &str) -> Result<i64> {
        let (mut hours, mut minutes, mut seconds) = (
            self.hours.unwrap_or(0),
            self.minutes.unwrap_or(0),
            self.seconds.unwrap_or(0),
        );
        if let Some(of_day) = self.second_of_day {
            (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        }
        if self.twelve {
            if self.hours.is_some() && !(1..=12).contains(&hours) {
                return Err(
                    invalid(format!("hour \"{hours}\" is invalid for the 12-hour clock"))
                        .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."),
                );
            }
            match self.after_noon {
                Some(true) if hours < 12 => hours += 12,
                Some(false) | None if hours == 12 => hours = 0,
                _ => {}
            }
        }
        let micros = self.millis.unwrap_or(0) * 1000 + self.micros.unwrap_or(0);
        let valid =
            (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
        if !valid || !(0..MICROS_PER_SECOND).contains(&micros) {
            return Err(out_of_range(text));
        }
        Ok(((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros)
    }

    /// Days from 2000-01-01; without any part 1 BC-01-01, as in PostgreSQL.
    fn day(&self, text: &str) -> Result<i64> {
        if let Some(julian) = self.julian {
            return Ok(julian - JULIAN_EPOCH);
        }
        let year = self.full_year();
        if year.abs() > YEAR_MAX {
            return Err(overflow(format!("date out of range: \"{text}\"")));
        }
        if self.iso == Some(true) {
            return self.iso_day(year, text);
        }
        let (mut month, mut of_month) = (self.month, self.of_month);
        if let (Some(of_year), Some(first)) = (self.of_year, day_of(year, 1, 1))
            && (month.is_none() || of_month.is_none())
        {
            let day = first + of_year - 1;
            let in_year = civil(day).0 == year && self.year.is_some();
            return if in_year {
                Ok(day)
            } else {
                Err(out_of_range(text))
            };
        }
        if let (Some(week), None) = (self.week_of_year, month) {
            let first = day_of(year, 1, 1).ok_or_else(|| out_of_range(text))?;
            return Ok(first + (week - 1) * 7);
        }
        if let (Some(week), None) = (self.week_of_month, of_month) {
            of_month = Some((week - 1) * 7 + 1);
        }
        let month = *month.get_or_insert(1);
        let of_month = of_month.unwrap_or(1);
        let (Ok(month), Ok(of_month)) = (u32::try_from(month), u32::try_from(of_month)) else {
            return Err(out_of_range(text));
        };
        day_of(year, month, of_month).ok_or_else(|| out_of_range(text))
    }

    /// The year counted with a year 0.
    fn full_year(&self) -> i64 {
        let before_christ = self.before_christ == Some(true);
        match (self.year, self.century) {
            (Some(year), Some(century)) if self.year_digits <= 2 => {
                // The last two digits come from the year, the rest from the century.
                let short = year % 100;
                match short {
                    0 => century * 100,
                    short => (century - 1) * 100 + short,
                }
            }
            (Some(year), _) if before_christ && year > 0 => 1 - year,
            (Some(year), _) if year < 0 => year + 1,
            (Some(year), _) => year,
            (None, Some(century)) if before_christ => -(century * 100) + 1,
            (None, Some(century)) => (century - 1) * 100 + 1,
            (None, None) => 0,
        }
    }

    fn iso_day(&self, year: i64, text: &str) -> Result<i64> {
        let start = iso_week_start(year);
        if let Some(of_year) = self.of_year {
            return match (1..=371).contains(&of_year) {
                true => Ok(start + of_year - 1),
                false => Err(out_of_range(text)),
            };
        }
        let week = self.week_of_year.unwrap_or(1);
        if !(1..=53).contains(&week) {
            return Err(out_of_range(text));
        }
        let weekday = match self.weekday {
            Some(0) => 6,
            Some(day) => day - 1,
            None => 0,
        };
        Ok(start + (week - 1) * 7 + weekday)
    }
}

fn out_of_range(text: &str) -> Error {
    overflow(format!("date/time field value out of range: \"{text}\""))
}
