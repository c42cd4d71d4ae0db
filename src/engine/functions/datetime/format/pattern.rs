//! Patterns of dates and times: `YYYY-MM-DD HH24:MI:SS`.

use crate::error::{Error, Result};

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 1024;

/// In which letters a name is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Capital,
    Lower,
}

/// What a pattern asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// AD or BC, maybe with points.
    Era {
        case: Case,
        points: bool,
    },
    /// AM or PM, maybe with points.
    Half {
        case: Case,
        points: bool,
    },
    Century,
    DayName {
        case: Case,
        short: bool,
    },
    DayOfYear,
    DayOfMonth,
    DayOfWeek,
    IsoDayOfYear,
    IsoDayOfWeek,
    IsoWeek,
    /// The last so many digits of the ISO year.
    IsoYear(u8),
    Fraction(u8),
    Hour12,
    Hour24,
    Julian,
    Minute,
    Month,
    MonthName {
        case: Case,
        short: bool,
    },
    Millisecond,
    Microsecond,
    Offset,
    Quarter,
    Roman {
        case: Case,
    },
    SecondOfDay,
    Second,
    Zone {
        case: Case,
    },
    ZoneHour,
    ZoneMinute,
    WeekOfYear,
    WeekOfMonth,
    /// `Y,YYY`
    YearComma,
    /// The last so many digits of the year.
    Year(u8),
}

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Field {
        field: Field,
        /// Its name in the pattern.
        name: &'static str,
        /// `FM`: without padding.
        fill: bool,
        /// `TM`: names without padding.
        translated: bool,
        /// `TH` (capitals) or `th`.
        ordinal: Option<bool>,
    },
    Space(char),
    Separator(char),
    Literal(char),
}

/// A pattern.
#[derive(Debug, Clone, Default)]
pub(super) struct Pattern {
    pub(super) pieces: Vec<Piece>,
    /// `FX`: input must match exactly.
    pub(super) exact: bool,
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn read(text: &str) -> Result<Self> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(Error::program_limit_exceeded("datetime format is too long")
                .with_detail(format!("A format may take {PATTERN_BYTES_MAX} bytes.")));
        }
        let mut pattern = Self::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (prefixed, fill, translated, exact) = prefixes(rest);
            pattern.exact |= exact;
            rest = prefixed;
            if let Some((name, field)) = keyword(rest) {
                rest = &rest[name.len()..];
                let ordinal = match rest.get(..2) {
                    Some("TH") => Some(true),
                    Some("th") => Some(false),
                    _ => None,
                };
                if ordinal.is_some() || rest.starts_with("SP") {
                    rest = &rest[2..];
                }
                pattern.pieces.push(Piece::Field {
                    field,
                    name,
                    fill,
                    translated,
                    ordinal,
                });
                continue;
            }
            if fill || translated || exact {
                continue;
            }
            if let Some(quoted) = rest.strip_prefix('"') {
                rest = super::quoted(quoted, |c| pattern.pieces.push(Piece::Literal(c)));
                continue;
            }
            let first = match rest
                .strip_prefix('\\')
                .and_then(|after| after.chars().next())
            {
                Some('"') => {
                    rest = &rest[1..];
                    '"'
                }
                _ => first,
            };
            pattern.pieces.push(match first {
                c if c.is_whitespace() => Piece::Space(c),
                c if c.is_ascii_punctuation() => Piece::Separator(c),
                c => Piece::Literal(c),
            });
            rest = &rest[first.len_utf8()..];
        }
        Ok(pattern)
    }
}

/// `FM`, `TM` and `FX` before a field: what follows them, and which there were.
fn prefixes(text: &str) -> (&str, bool, bool, bool) {
    let (mut rest, mut fill, mut translated, mut exact) = (text, false, false, false);
    loop {
        match rest.get(..2) {
            Some("FM" | "fm") => fill = true,
            Some("TM" | "tm") => translated = true,
            Some("FX" | "fx") => exact = true,
            _ => return (rest, fill, translated, exact),
        }
        rest = &rest[2..];
    }
}

/// The longest keyword at the beginning.
fn keyword(text: &str) -> Option<(&'static str, Field)> {
    KEYWORDS
        .iter()
        .filter(|(name, _)| text.starts_with(name))
        .max_by_key(|(name, _)| name.len())
        .copied()
}

const fn day(case: Case, short: bool) -> Field {
    Field::DayName { case, short }
}

const fn month(case: Case, short: bool) -> Field {
    Field::MonthName { case, short }
}

const fn half(case: Case, points: bool) -> Field {
    Field::Half { case, points }
}

const fn era(case: Case, points: bool) -> Field {
    Field::Era { case, points }
}

const KEYWORDS: &[(&str, Field)] = &[
    ("A.D.", era(Case::Upper, true)),
    ("A.M.", half(Case::Upper, true)),
    ("AD", era(Case::Upper, false)),
    ("AM", half(Case::Upper, false)),
    ("B.C.", era(Case::Upper, true)),
    ("BC", era(Case::Upper, false)),
    ("CC", Field::Century),
    ("DAY", day(Case::Upper, false)),
    ("DDD", Field::DayOfYear),
    ("DD", Field::DayOfMonth),
    ("DY", day(Case::Upper, true)),
    ("Day", day(Case::Capital, false)),
    ("Dy", day(Case::Capital, true)),
    ("D", Field::DayOfWeek),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("IDDD", Field::IsoDayOfYear),
    ("ID", Field::IsoDayOfWeek),
    ("IW", Field::IsoWeek),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("I", Field::IsoYear(1)),
    ("J", Field::Julian),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MONTH", month(Case::Upper, false)),
    ("MON", month(Case::Upper, true)),
    ("MS", Field::Millisecond),
    ("Month", month(Case::Capital, false)),
    ("Mon", month(Case::Capital, true)),
    ("OF", Field::Offset),
    ("P.M.", half(Case::Upper, true)),
    ("PM", half(Case::Upper, false)),
    ("Q", Field::Quarter),
    ("RM", Field::Roman { case: Case::Upper }),
    ("SSSSS", Field::SecondOfDay),
    ("SSSS", Field::SecondOfDay),
    ("SS", Field::Second),
    ("TZH", Field::ZoneHour),
    ("TZM", Field::ZoneMinute),
    ("TZ", Field::Zone { case: Case::Upper }),
    ("US", Field::Microsecond),
    ("WW", Field::WeekOfYear),
    ("W", Field::WeekOfMonth),
    ("Y,YYY", Field::YearComma),
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
    ("a.d.", era(Case::Lower, true)),
    ("a.m.", half(Case::Lower, true)),
    ("ad", era(Case::Lower, false)),
    ("am", half(Case::Lower, false)),
    ("b.c.", era(Case::Lower, true)),
    ("bc", era(Case::Lower, false)),
    ("cc", Field::Century),
    ("day", day(Case::Lower, false)),
    ("ddd", Field::DayOfYear),
    ("dd", Field::DayOfMonth),
    ("dy", day(Case::Lower, true)),
    ("d", Field::DayOfWeek),
    ("ff1", Field::Fraction(1)),
    ("ff2", Field::Fraction(2)),
    ("ff3", Field::Fraction(3)),
    ("ff4", Field::Fraction(4)),
    ("ff5", Field::Fraction(5)),
    ("ff6", Field::Fraction(6)),
    ("hh24", Field::Hour24),
    ("hh12", Field::Hour12),
    ("hh", Field::Hour12),
    ("iddd", Field::IsoDayOfYear),
    ("id", Field::IsoDayOfWeek),
    ("iw", Field::IsoWeek),
    ("iyyy", Field::IsoYear(4)),
    ("iyy", Field::IsoYear(3)),
    ("iy", Field::IsoYear(2)),
    ("i", Field::IsoYear(1)),
    ("j", Field::Julian),
    ("mi", Field::Minute),
    ("mm", Field::Month),
    ("month", month(Case::Lower, false)),
    ("mon", month(Case::Lower, true)),
    ("ms", Field::Millisecond),
    ("of", Field::Offset),
    ("p.m.", half(Case::Lower, true)),
    ("pm", half(Case::Lower, false)),
    ("q", Field::Quarter),
    ("rm", Field::Roman { case: Case::Lower }),
    ("sssss", Field::SecondOfDay),
    ("ssss", Field::SecondOfDay),
    ("ss", Field::Second),
    ("tzh", Field::ZoneHour),
    ("tzm", Field::ZoneMinute),
    ("tz", Field::Zone { case: Case::Lower }),
    ("us", Field::Microsecond),
    ("ww", Field::WeekOfYear),
    ("w", Field::WeekOfMonth),
    ("y,yyy", Field::YearComma),
    ("yyyy", Field::Year(4)),
    ("yyy", Field::Year(3)),
    ("yy", Field::Year(2)),
    ("y", Field::Year(1)),
];
