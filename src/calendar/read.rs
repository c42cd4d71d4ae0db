//! Dates, times and timestamps as text, in every form that PostgreSQL reads.

use super::fields::{self, Clock, Field, Shape, Word, fraction_micros, number};
use super::zone::abbreviation;
use super::{
    DATE_INFINITIES, DateOrder, EPOCH_DAYS, INFINITIES, MICROS_PER_DAY, TimeSettings, Zone,
    checked_date, checked_timestamp, civil, day_of, overflow,
};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Hours of an offset from UTC at the most.
const OFFSET_HOURS_MAX: i64 = 15;

/// Day number of 2000-01-01 in the Julian count.
const JULIAN_EPOCH: i64 = 2_451_545;

/// Years beyond which no calendar reaches.
const YEAR_MAX: i64 = 10_000_000;

/// The type that a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Date,
    Time,
    Timestamp,
    TimestampTz,
}

impl Kind {
    /// The name in messages of PostgreSQL's input functions.
    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamp with time zone",
        }
    }
}

/// Reads texts by a session's settings.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    settings: TimeSettings,
    /// What `now` means, in microseconds.
    now: i64,
}

impl Reader {
    /// A reader for a session whose transaction began at `now`.
    pub(crate) fn new(settings: TimeSettings, now: i64) -> Self {
        Self { settings, now }
    }

    /// The settings it reads by.
    pub(crate) fn settings(&self) -> &TimeSettings {
        &self.settings
    }

    /// A date; a time of day beside it is ignored, as PostgreSQL does.
    pub(crate) fn date(&self, text: &str) -> Result<i32> {
        match self.parse(text, Kind::Date)? {
            Meaning::Infinity(false) => Ok(DATE_INFINITIES[0]),
            Meaning::Infinity(true) => Ok(DATE_INFINITIES[1]),
            Meaning::Moment(moment) => {
                let day = moment.day.unwrap_or_default();
                checked_date(day).map_err(|_| overflow(format!("date out of range: \"{text}\"")))
            }
        }
    }

    /// A time of day in microseconds.
    pub(crate) fn time(&self, text: &str) -> Result<i64> {
        match self.parse(text, Kind::Time)? {
            Meaning::Moment(Moment {
                time: Some(time), ..
            }) => Ok(time),
            _ => Err(invalid(text, Kind::Time)),
        }
    }

    /// A timestamp without zone; an offset is ignored, as PostgreSQL does.
    pub(crate) fn timestamp(&self, text: &str) -> Result<i64> {
        match self.parse(text, Kind::Timestamp)? {
            Meaning::Infinity(after) => Ok(INFINITIES[usize::from(after)]),
            Meaning::Moment(moment) => in_range(moment.local(), text),
        }
    }

    /// A timestamp with zone; without an offset it is local in the session's zone.
    pub(crate) fn timestamptz(&self, text: &str) -> Result<i64> {
        let moment = match self.parse(text, Kind::TimestampTz)? {
            Meaning::Infinity(after) => return Ok(INFINITIES[usize::from(after)]),
            Meaning::Moment(moment) => moment,
        };
        let zone = moment.zone.unwrap_or(self.settings.zone);
        in_range(
            moment.local().and_then(|local| zone.to_instant(local)),
            text,
        )
    }

    fn parse(&self, text: &str, kind: Kind) -> Result<Meaning> {
        let fields = fields::split(text).ok_or_else(|| invalid(text, kind))?;
        if fields.is_empty() {
            return Err(invalid(text, kind));
        }
        let mut parser = Parser {
            text,
            kind,
            reader: self,
            seen: Seen::default(),
            clock: None,
            zone: None,
            half: None,
            julian_next: false,
            time_next: false,
            fixed: None,
        };
        for field in &fields {
            parser.field(field)?;
        }
        parser.finish()
    }
}

fn unknown_zone(name: &str) -> Error {
    Error::invalid_parameter_value(format!("time zone \"{name}\" not recognized"))
}

fn in_range(micros: Option<i64>, text: &str) -> Result<i64> {
    checked_timestamp(micros).map_err(|_| overflow(format!("timestamp out of range: \"{text}\"")))
}

fn invalid(text: &str, kind: Kind) -> Error {
    Error::new(
        SqlState::InvalidDatetimeFormat,
        format!("invalid input syntax for type {}: \"{text}\"", kind.name()),
    )
}

/// What a text says.
enum Meaning {
    /// Whether it is the later one.
    Infinity(bool),
    Moment(Moment),
}

#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    day: Option<i64>,
    time: Option<i64>,
    zone: Option<Zone>,
}

impl Moment {
    fn local(&self) -> Option<i64> {
        self.day?
            .checked_mul(MICROS_PER_DAY)?
            .checked_add(self.time.unwrap_or(0))
    }
}

/// The parts of the date found so far.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    /// Day of the year.
    of_year: Option<i64>,
    /// Days from 2000-01-01, where the text gave the day as one number.
    whole: Option<i64>,
    text_month: bool,
    short_year: bool,
    before_christ: bool,
    has_era: bool,
}

impl Seen {
    fn is_complete(&self) -> bool {
        self.whole.is_some()
            || (self.year.is_some()
                && (self.of_year.is_some() || (self.month.is_some() && self.day.is_some())))
    }

    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.year.is_none() && self.month.is_none() && self.day.is_none()
    }
}

/// What a word alone says.
#[derive(Debug, Clone, Copy)]
enum Fixed {
    Infinity(bool),
    Epoch,
    Now,
}

struct Parser<'a> {
    text: &'a str,
    kind: Kind,
    reader: &'a Reader,
    seen: Seen,
    clock: Option<Clock>,
    zone: Option<Zone>,
    /// AM (false) or PM.
    half: Option<bool>,
    julian_next: bool,
    time_next: bool,
    fixed: Option<Fixed>,
}

impl Parser<'_> {
    fn invalid(&self) -> Error {
        invalid(self.text, self.kind)
    }

    fn out_of_range(&self) -> Error {
        overflow(format!(
            "date/time field value out of range: \"{}\"",
            self.text
        ))
    }

    fn field(&mut self, field: &Field) -> Result<()> {
        let text = field.text.as_str();
        match field.shape {
            Shape::Date => self.date_field(text),
            Shape::Time => {
                self.time_next = false;
                let clock = fields::clock(text).ok_or_else(|| self.invalid())?;
                self.set_clock(clock)
            }
            Shape::Signed => self.offset(text),
            Shape::Number => self.number_field(text),
            Shape::Word => self.word(text),
            Shape::SignedWord => match text {
                "-infinity" => self.set_fixed(Fixed::Infinity(false)),
                _ => Err(self.invalid()),
            },
        }
    }

    fn set_fixed(&mut self, fixed: Fixed) -> Result<()> {
        if self.fixed.is_some() || !self.seen.is_empty() || self.clock.is_some() {
            return Err(self.invalid());
        }
        self.fixed = Some(fixed);
        Ok(())
    }

    fn set_clock(&mut self, clock: Clock) -> Result<()> {
        if self.clock.is_some() {
            return Err(self.invalid());
        }
        if !clock.is_valid() {
            return Err(self.out_of_range());
        }
        self.clock = Some(clock);
        Ok(())
    }

    fn set_zone(&mut self, zone: Zone) -> Result<()> {
        if self.zone.is_some() {
            return Err(self.invalid());
        }
        self.zone = Some(zone);
        Ok(())
    }

    fn date_field(&mut self, text: &str) -> Result<()> {
        let digit_first = text.starts_with(|c: char| c.is_ascii_digit());
        if self.julian_next {
            return self.julian(text);
        }
        let has_day = self.seen.month.is_some() && self.seen.day.is_some();
        if self.time_next
            || has_day
            || self.seen.whole.is_some()
            || self.kind == Kind::Time && !digit_first
        {
            if digit_first || self.time_next {
                // A time without colons and an offset: 140506-08.
                let (time, offset) = match text.find('-') {
                    Some(at) => text.split_at(at),
                    None => return Err(self.invalid()),
                };
                self.time_next = false;
                self.offset(offset)?;
                return self.concatenated(time);
            }
            let zone = Zone::parse(text).ok_or_else(|| unknown_zone(text))?;
            return self.set_zone(zone);
        }
        if !digit_first && let Some(zone) = Zone::parse(text) {
            return self.set_zone(zone);
        }
        if !digit_first
            && fields::word(text.split(['-', '/', '.']).next().unwrap_or_default()).is_none()
        {
            return Err(match text.contains('/') {
                true => unknown_zone(text),
                false => self.invalid(),
            });
        }
        self.date(text)
    }

    /// The parts of one date: first a month's name, then the numbers.
    fn date(&mut self, text: &str) -> Result<()> {
        if self.clock.is_some() {
            return Err(self.invalid());
        }
        let parts: Vec<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect();
        if parts.len() > 3 {
            return Err(self.invalid());
        }
        for part in &parts {
            if part.starts_with(|c: char| c.is_ascii_alphabetic()) {
                match fields::word(part) {
                    Some(Word::Month(month)) if self.seen.month.is_none() => {
                        self.seen.month = Some(i64::from(month));
                        self.seen.text_month = true;
                    }
                    _ => return Err(self.invalid()),
                }
            }
        }
        for part in parts {
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                self.date_number(part)?;
            }
        }
        match self.seen.is_complete() {
            true => Ok(()),
            false => Err(self.invalid()),
        }
    }

    fn number_field(&mut self, text: &str) -> Result<()> {
        if self.julian_next {
            return self.julian(text);
        }
        if self.time_next {
            self.time_next = false;
            return self.concatenated_time(text);
        }
        let whole = text.split('.').next().unwrap_or_default();
        let has_point = text.contains('.');
        let has_date = self.seen.is_complete() || self.kind == Kind::Time;
        if has_point && !has_date && self.seen.is_empty() {
            return self.date(text);
        }
        if has_point && whole.len() > 2 {
            return self.concatenated(text);
        }
        if text.len() >= 6 && (!has_date || self.clock.is_none()) {
            return self.concatenated(text);
        }
        if has_date {
            return self.concatenated_time(text);
        }
        self.date_number(text)
    }

    /// Digits without separators: a date of six or more, or a time of four or six.
    fn concatenated(&mut self, text: &str) -> Result<()> {
        let digits = text.len();
        let has_date = self.seen.is_complete() || self.kind == Kind::Time;
        if !text.contains('.') && !has_date && digits >= 6 {
            if !self.seen.is_empty() {
                return Err(self.invalid());
            }
            let (rest, day) = text.split_at(digits - 2);
            let (year, month) = rest.split_at(digits - 4);
            self.seen.short_year = year.len() == 2;
            self.seen.year = Some(number(year).ok_or_else(|| self.invalid())?);
            self.seen.month = number(month);
            self.seen.day = number(day);
            return Ok(());
        }
        self.concatenated_time(text)
    }

    fn concatenated_time(&mut self, text: &str) -> Result<()> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !whole.is_ascii() {
            return Err(self.invalid());
        }
        let (hours, minutes, seconds) = match whole.len() {
            6 => (&whole[..2], &whole[2..4], &whole[4..]),
            4 => (&whole[..2], &whole[2..], "0"),
            2 if self.half.is_some() || self.clock.is_none() && self.kind != Kind::Time => {
                return Err(self.invalid());
            }
            _ => return Err(self.invalid()),
        };
        let parts = number(hours).zip(number(minutes)).zip(number(seconds));
        let ((hours, minutes), seconds) = parts.ok_or_else(|| self.invalid())?;
        let micros = fraction_micros(fraction).ok_or_else(|| self.invalid())?;
        self.set_clock(Clock {
            hours,
            minutes,
            seconds,
            micros,
        })
    }

    /// `J2451187`, with a fraction of the day.
    fn julian(&mut self, text: &str) -> Result<()> {
        self.julian_next = false;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let day = number(whole).ok_or_else(|| self.invalid())?;
        if !self.seen.is_empty() {
            return Err(self.invalid());
        }
        self.seen.whole = Some(day - JULIAN_EPOCH);
        if !fraction.is_empty() {
            let part: f64 = format!("0.{fraction}")
                .parse()
                .map_err(|_| self.invalid())?;
            let micros = (part * MICROS_PER_DAY as f64).round_ties_even() as i64;
            self.set_clock(Clock {
                micros,
                ..Clock::default()
            })?;
        }
        Ok(())
    }

    /// One number of a date; the session's order says which where its length does not.
    fn date_number(&mut self, text: &str) -> Result<()> {
        let value = number(text).ok_or_else(|| self.invalid())?;
        let length = text.len();
        let order = self.reader.settings.date_order;
        let seen = &mut self.seen;
        if length == 3
            && seen.year.is_some()
            && seen.month.is_none()
            && seen.day.is_none()
            && (1..=366).contains(&value)
        {
            seen.of_year = Some(value);
            return Ok(());
        }
        let as_year = length >= 3 || order == DateOrder::Ymd;
        match (seen.year, seen.month, seen.day) {
            (None, None, None) if as_year => seen.set_year(value, length),
            (None, None, None) if order == DateOrder::Dmy => seen.day = Some(value),
            (None, None, None) => seen.month = Some(value),
            (Some(_), None, None) => seen.month = Some(value),
            (None, Some(_), None) if seen.text_month && as_year => seen.set_year(value, length),
            (None, Some(_), None) => seen.day = Some(value),
            (Some(year), Some(_), None) if seen.text_month && length >= 3 && seen.short_year => {
                // 08-Jan-1999 where the order is year, month, day.
                seen.day = Some(year);
                seen.short_year = false;
                seen.year = Some(value);
            }
            (Some(_), Some(_), None) => seen.day = Some(value),
            (None, None, Some(_)) => seen.month = Some(value),
            (None, Some(_), Some(_)) => seen.set_year(value, length),
            _ => return Err(self.invalid()),
        }
        Ok(())
    }

    /// `+02`, `-0330`, `+02:00:00`.
    fn offset(&mut self, text: &str) -> Result<()> {
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let digits = &text[1..];
        let mut parts = digits.split(':');
        let (mut hours, mut minutes) = (parts.next().unwrap_or_default(), parts.next());
        if minutes.is_none() && matches!(hours.len(), 3 | 4) {
            let (first, last) = hours.split_at(hours.len() - 2);
            (hours, minutes) = (first, Some(last));
        }
        let seconds = parts.next();
        let read = |part: Option<&str>| part.map_or(Some(0), number);
        let parsed = number(hours).zip(read(minutes)).zip(read(seconds));
        let (Some(((hours, minutes), seconds)), None) = (parsed, parts.next()) else {
            return Err(self.invalid());
        };
        if hours > OFFSET_HOURS_MAX || minutes > 59 || seconds > 59 {
            return Err(Error::new(
                SqlState::InvalidTimeZoneDisplacementValue,
                format!("time zone displacement out of range: \"{}\"", self.text),
            ));
        }
        let east = (sign * ((hours * 60 + minutes) * 60 + seconds)) as i32;
        self.set_zone(Zone::Fixed(east))
    }

    fn word(&mut self, text: &str) -> Result<()> {
        if let Some(east) = abbreviation(text) {
            return self.set_zone(Zone::Fixed(east));
        }
        let Some(word) = fields::word(text) else {
            let zone = Zone::parse(text).ok_or_else(|| self.invalid())?;
            return self.set_zone(zone);
        };
        match word {
            Word::Month(month) => self.month(i64::from(month)),
            Word::Weekday | Word::Filler => Ok(()),
            Word::Now => self.set_fixed(Fixed::Now),
            Word::Today => self.relative(0),
            Word::Tomorrow => self.relative(1),
            Word::Yesterday => self.relative(-1),
            Word::Epoch => self.set_fixed(Fixed::Epoch),
            Word::Infinity => self.set_fixed(Fixed::Infinity(true)),
            Word::AllBalls => {
                self.set_clock(Clock::default())?;
                self.set_zone(Zone::Fixed(0))
            }
            Word::Am | Word::Pm => {
                self.half = Some(word == Word::Pm);
                Ok(())
            }
            Word::Ad | Word::Bc => {
                self.seen.before_christ = word == Word::Bc;
                self.seen.has_era = true;
                Ok(())
            }
            Word::Summer => match &mut self.zone {
                Some(Zone::Fixed(east)) => {
                    *east += 3600;
                    Ok(())
                }
                _ => Err(self.invalid()),
            },
            Word::IsoTime => {
                self.time_next = true;
                Ok(())
            }
            Word::Julian => {
                self.julian_next = true;
                Ok(())
            }
            Word::Unit => Err(self.invalid()),
        }
    }

    /// A month's name; a number that was taken for the month was the day.
    fn month(&mut self, month: i64) -> Result<()> {
        let seen = &mut self.seen;
        match seen.month {
            None => {}
            Some(earlier)
                if !seen.text_month && seen.day.is_none() && (1..=31).contains(&earlier) =>
            {
                seen.day = Some(earlier);
            }
            Some(_) => return Err(self.invalid()),
        }
        self.seen.text_month = true;
        self.seen.month = Some(month);
        Ok(())
    }

    fn relative(&mut self, days: i64) -> Result<()> {
        if !self.seen.is_empty() {
            return Err(self.invalid());
        }
        let local = self.reader.settings.zone.to_local(self.reader.now);
        let today = local.unwrap_or_default().div_euclid(MICROS_PER_DAY);
        self.seen.whole = Some(today + days);
        Ok(())
    }

    fn finish(mut self) -> Result<Meaning> {
        if self.julian_next || self.time_next {
            return Err(self.invalid());
        }
        match self.fixed {
            Some(Fixed::Infinity(_)) if self.kind == Kind::Time => return Err(self.invalid()),
            Some(Fixed::Infinity(after)) => return Ok(Meaning::Infinity(after)),
            Some(Fixed::Epoch) => {
                return Ok(Meaning::Moment(Moment {
                    day: Some(-EPOCH_DAYS),
                    time: Some(0),
                    zone: Some(Zone::Fixed(0)),
                }));
            }
            Some(Fixed::Now) => {
                let local = self.reader.settings.zone.to_local(self.reader.now);
                let local = local.unwrap_or_default();
                return Ok(Meaning::Moment(Moment {
                    day: Some(local.div_euclid(MICROS_PER_DAY)),
                    time: Some(local.rem_euclid(MICROS_PER_DAY)),
                    zone: Some(Zone::Fixed(
                        self.reader.settings.zone.offset(self.reader.now),
                    )),
                }));
            }
            None => {}
        }
        let time = self.time_of_day()?;
        let day = match self.seen.is_complete() {
            true => Some(self.day()?),
            false if self.kind == Kind::Time && self.seen.is_empty() => None,
            false => return Err(self.invalid()),
        };
        Ok(Meaning::Moment(Moment {
            day,
            time,
            zone: self.zone,
        }))
    }

    fn time_of_day(&mut self) -> Result<Option<i64>> {
        let Some(mut clock) = self.clock else {
            return match (self.half, self.seen.whole) {
                (Some(_), _) => Err(self.invalid()),
                _ => Ok(None),
            };
        };
        if let Some(after_noon) = self.half {
            if clock.hours > 12 {
                return Err(self.out_of_range());
            }
            clock.hours = clock.hours % 12 + if after_noon { 12 } else { 0 };
        }
        let total = clock.total().ok_or_else(|| self.out_of_range())?;
        match clock.hours <= 24 && total <= MICROS_PER_DAY {
            true => Ok(Some(total)),
            false => Err(self.out_of_range()),
        }
    }

    fn day(&mut self) -> Result<i64> {
        let seen = self.seen;
        if let Some(whole) = seen.whole {
            return Ok(whole);
        }
        let mut year = seen.year.unwrap_or_default();
        if seen.before_christ {
            if year <= 0 {
                return Err(self.out_of_range());
            }
            year = 1 - year;
        } else if seen.short_year {
            year += if year < 70 { 2000 } else { 1900 };
        } else if year <= 0 {
            return Err(self.out_of_range());
        }
        if let Some(of_year) = seen.of_year {
            let first = day_of(year, 1, 1).ok_or_else(|| self.out_of_range())?;
            let day = first + of_year - 1;
            return match civil(day).0 == year {
                true => Ok(day),
                false => Err(self.out_of_range()),
            };
        }
        let (month, day) = (seen.month.unwrap_or_default(), seen.day.unwrap_or_default());
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(self
                .out_of_range()
                .with_hint("Perhaps you need a different \"datestyle\" setting."));
        }
        if year > YEAR_MAX {
            // Beyond every date; the caller says so in its type's words.
            return Ok(i64::from(i32::MAX) * 1000);
        }
        day_of(year, month as u32, day as u32).ok_or_else(|| self.out_of_range())
    }
}

impl Seen {
    fn set_year(&mut self, year: i64, length: usize) {
        self.year = Some(year);
        self.short_year = length <= 2;
    }
}
