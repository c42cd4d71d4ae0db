//! The text of a date, time or interval cut into fields, and its words.

/// Fields of one text.
const FIELDS_MAX: usize = 25;

/// Bytes of one text; a longer one is no date.
const TEXT_BYTES_MAX: usize = 256;

/// What a field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Digits, maybe with a point.
    Number,
    /// Digits and letters joined by `-`, `/` or `.`; also names of zones.
    Date,
    /// Digits joined by colons.
    Time,
    /// A sign and digits: an offset from UTC, or a number of an interval.
    Signed,
    /// Letters.
    Word,
    /// A sign and letters: `-infinity`.
    SignedWord,
}

/// A field; letters are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) shape: Shape,
    pub(super) text: String,
}

/// White space to PostgreSQL's input functions.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Cuts a text into fields; None where it holds what no date does.
pub(super) fn split(text: &str) -> Option<Vec<Field>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut cutter = Cutter {
        bytes: text.as_bytes(),
        at: 0,
    };
    let mut fields = Vec::new();
    while let Some(byte) = cutter.peek() {
        let start = cutter.at;
        let (shape, from) = match byte {
            byte if is_space(byte) => {
                cutter.at += 1;
                continue;
            }
            b'0'..=b'9' => (cutter.digits_first(), start),
            b'.' => {
                cutter.at += 1;
                cutter.skip(|b| b.is_ascii_digit());
                (Shape::Number, start)
            }
            byte if byte.is_ascii_alphabetic() => (cutter.letters_first(), start),
            b'+' | b'-' => {
                cutter.at += 1;
                cutter.skip(is_space);
                let from = cutter.at;
                match cutter.peek() {
                    Some(b'0'..=b'9') => {
                        cutter.skip(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-'));
                        (Shape::Signed, from)
                    }
                    Some(b) if b.is_ascii_alphabetic() => {
                        cutter.skip(|b| b.is_ascii_alphabetic());
                        (Shape::SignedWord, from)
                    }
                    _ => return None,
                }
            }
            byte if byte.is_ascii_punctuation() => {
                cutter.at += 1;
                continue;
            }
            _ => return None,
        };
        if fields.len() == FIELDS_MAX {
            return None;
        }
        let mut field = text.get(from..cutter.at)?.to_ascii_lowercase();
        if matches!(shape, Shape::Signed | Shape::SignedWord) {
            field.insert(0, byte as char);
        }
        fields.push(Field { shape, text: field });
    }
    Some(fields)
}

struct Cutter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cutter<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
    }

    fn digits_first(&mut self) -> Shape {
        self.skip(|b| b.is_ascii_digit());
        match self.peek() {
            Some(b':') => {
                self.skip(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'));
                Shape::Time
            }
            Some(by @ (b'-' | b'/' | b'.')) => {
                self.at += 1;
                if self.peek().is_some_and(|b| b.is_ascii_digit()) {
                    self.skip(|b| b.is_ascii_digit());
                    if self.peek() == Some(by) {
                        self.skip(|b| b.is_ascii_digit() || b == by);
                        return Shape::Date;
                    }
                    return match by {
                        b'.' => Shape::Number,
                        _ => Shape::Date,
                    };
                }
                self.skip(|b| b.is_ascii_alphanumeric() || b == by);
                Shape::Date
            }
            _ => Shape::Number,
        }
    }

    fn letters_first(&mut self) -> Shape {
        let start = self.at;
        self.skip(|b| b.is_ascii_alphabetic());
        let word = &self.bytes[start..self.at];
        let joined = match self.peek() {
            Some(b'-' | b'/' | b'.') => true,
            Some(b'+' | b'0'..=b'9') => {
                let word = String::from_utf8_lossy(word).to_ascii_lowercase();
                self::word(&word).is_none()
            }
            _ => false,
        };
        if !joined {
            return Shape::Word;
        }
        self.skip(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
        });
        Shape::Date
    }
}

/// What a word of a date means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Month(u32),
    Weekday,
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Epoch,
    Infinity,
    AllBalls,
    Am,
    Pm,
    Ad,
    Bc,
    /// `dst` behind an abbreviation.
    Summer,
    /// `at`, `on`: no meaning.
    Filler,
    /// `t` between date and time of ISO 8601.
    IsoTime,
    /// `j`, `jd`, `julian` before a day number.
    Julian,
    /// A unit's letter, which is no part of a date here.
    Unit,
}

/// A word, in lower case.
pub(super) fn word(text: &str) -> Option<Word> {
    Some(match text {
        "jan" | "january" => Word::Month(1),
        "feb" | "february" => Word::Month(2),
        "mar" | "march" => Word::Month(3),
        "apr" | "april" => Word::Month(4),
        "may" => Word::Month(5),
        "jun" | "june" => Word::Month(6),
        "jul" | "july" => Word::Month(7),
        "aug" | "august" => Word::Month(8),
        "sep" | "sept" | "september" => Word::Month(9),
        "oct" | "october" => Word::Month(10),
        "nov" | "november" => Word::Month(11),
        "dec" | "december" => Word::Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds"
        | "wednesday" | "thu" | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat"
        | "saturday" => Word::Weekday,
        "now" => Word::Now,
        "today" => Word::Today,
        "tomorrow" => Word::Tomorrow,
        "yesterday" => Word::Yesterday,
        "epoch" => Word::Epoch,
        "infinity" => Word::Infinity,
        "allballs" => Word::AllBalls,
        "am" => Word::Am,
        "pm" => Word::Pm,
        "ad" => Word::Ad,
        "bc" => Word::Bc,
        "dst" => Word::Summer,
        "at" | "on" => Word::Filler,
        "t" => Word::IsoTime,
        "j" | "jd" | "julian" => Word::Julian,
        "d" | "h" | "m" | "mm" | "s" | "y" | "dow" | "doy" | "isodow" | "isoyear" => Word::Unit,
        _ => return None,
    })
}

/// The value of digits; None if they are none or too many.
pub(super) fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Microseconds of the digits behind a point, rounded; None if they are no digits.
pub(super) fn fraction_micros(digits: &str) -> Option<i64> {
    const DIGITS: usize = 6;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let shown = digits.bytes().chain(std::iter::repeat(b'0')).take(DIGITS);
    let micros = shown.fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
    let (next, rest) = match digits.as_bytes().get(DIGITS..) {
        None | Some([]) => return Some(micros),
        Some([next, rest @ ..]) => (*next, rest),
    };
    // A half goes to the even neighbour.
    let half = next == b'5' && rest.iter().all(|digit| *digit == b'0');
    let up = if half { micros % 2 == 1 } else { next >= b'5' };
    Some(micros + i64::from(up))
}

/// `HH:MM[:SS[.ffffff]]` or `MM:SS.ffffff` in parts: hours, minutes, seconds, microseconds. None if
/// it is no clock; 22008 is for the caller where parts are too large.
pub(super) fn clock(text: &str) -> Option<Clock> {
    let mut parts = text.split(':');
    let (first, second) = (number(parts.next()?)?, parts.next()?);
    let third = parts.next();
    if parts.next().is_some() {
        return None;
    }
    let (hours, minutes, seconds) = match (second.split_once('.'), third) {
        (Some(_), Some(_)) => return None,
        // With a fraction these are minutes and seconds.
        (Some(_), None) => (0, first, second),
        (None, Some(third)) => (first, number(second)?, third),
        (None, None) => (first, number(second)?, "0"),
    };
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    Some(Clock {
        hours,
        minutes,
        seconds: number(whole)?,
        micros: fraction_micros(fraction)?,
    })
}

/// Parts of a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Clock {
    pub(super) hours: i64,
    pub(super) minutes: i64,
    pub(super) seconds: i64,
    pub(super) micros: i64,
}

impl Clock {
    /// Whether minutes and seconds are those of a clock.
    pub(super) fn is_valid(self) -> bool {
        self.minutes <= 59 && self.seconds <= 60
    }

    /// Microseconds.
    pub(super) fn total(self) -> Option<i64> {
        let minutes = self.hours.checked_mul(60)?.checked_add(self.minutes)?;
        let seconds = minutes.checked_mul(60)?.checked_add(self.seconds)?;
        seconds.checked_mul(1_000_000)?.checked_add(self.micros)
    }
}
