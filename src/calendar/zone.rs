//! Time zones: names, abbreviations and offsets as PostgreSQL reads them, and their rules.

use std::cell::Cell;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::LazyLock;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS, Tz};

use super::{
    EPOCH_DAYS, EPOCH_SECONDS, MICROS_PER_SECOND, SECONDS_PER_DAY, civil, day_of, put_two,
};
use crate::error::{Error, Result};

/// Hours of a zone given as a number, less one; further ones are no zone.
const ZONE_HOURS_END: f64 = 168.0;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A zone of the IANA database.
    Named(Tz),
}

impl Default for Zone {
    fn default() -> Self {
        Self::Named(Tz::UTC)
    }
}

impl FromStr for Zone {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let zone = Self::setting(text).map(|(zone, _)| zone);
        zone.ok_or_else(|| {
            Error::invalid_parameter_value(format!("time zone \"{text}\" not recognized"))
        })
    }
}

impl Zone {
    /// The value of the setting TimeZone and the spelling that SHOW gives back: a name, hours east
    /// of UTC, or a POSIX zone such as `UTC+3` (which lies west).
    pub fn setting(text: &str) -> Option<(Self, String)> {
        let text = text.trim();
        if let Ok(hours) = text.parse::<f64>() {
            if hours.abs() >= ZONE_HOURS_END || hours.is_nan() {
                return None;
            }
            let zone = Self::Fixed((hours * 3600.0).trunc() as i32);
            return Some((zone, zone.posix_name()));
        }
        if let Some(tz) = named(text) {
            return Some((Self::Named(tz), tz.name().to_owned()));
        }
        posix(text).map(|east| (Self::Fixed(east), text.to_owned()))
    }

    /// A zone as it stands in a value or behind AT TIME ZONE: abbreviations come first.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        abbreviation(text)
            .map(Self::Fixed)
            .or_else(|| named(text).map(Self::Named))
            .or_else(|| posix(text).map(Self::Fixed))
    }

    /// `<+02>-02`: PostgreSQL's name for a zone that was given as a number.
    fn posix_name(self) -> String {
        match self {
            Self::Fixed(east) => format!("<{}>{}", offset_text(east), offset_text(-east)),
            Self::Named(tz) => tz.name().to_owned(),
        }
    }

    /// Seconds east of UTC at an instant in microseconds.
    pub(crate) fn offset(self, micros: i64) -> i32 {
        self.offset_at(micros.div_euclid(MICROS_PER_SECOND) + EPOCH_SECONDS)
    }

    /// Seconds east of UTC at `seconds` from 1970-01-01.
    pub(crate) fn offset_at(self, seconds: i64) -> i32 {
        match self {
            Self::Fixed(east) => east,
            Self::Named(Tz::UTC | Tz::Etc__UTC) => 0,
            Self::Named(tz) => table_offset(tz, known_seconds(tz, seconds)),
        }
    }

    /// Seconds east of UTC of a local time in microseconds.
    ///
    /// As in PostgreSQL a time that occurs twice is the one in standard time, the later, and one that
    /// is left out is read with the offset before the gap.
    pub(crate) fn local_offset(self, local: i64) -> i32 {
        let seconds = local.div_euclid(MICROS_PER_SECOND) + EPOCH_SECONDS;
        let before = self.offset_at(seconds - SECONDS_PER_DAY);
        let after = self.offset_at(seconds + SECONDS_PER_DAY);
        let holds = |offset: i32| self.offset_at(seconds - i64::from(offset)) == offset;
        if before == after || !holds(after) {
            before
        } else {
            after
        }
    }

    /// A local time as an instant.
    pub(crate) fn to_instant(self, local: i64) -> Option<i64> {
        if super::is_infinite(local) {
            return Some(local);
        }
        local.checked_sub(i64::from(self.local_offset(local)) * MICROS_PER_SECOND)
    }

    /// An instant as a local time.
    pub(crate) fn to_local(self, micros: i64) -> Option<i64> {
        if super::is_infinite(micros) {
            return Some(micros);
        }
        micros.checked_add(i64::from(self.offset(micros)) * MICROS_PER_SECOND)
    }

    /// Whether local times are those of UTC.
    pub(crate) fn is_utc(self) -> bool {
        matches!(
            self,
            Self::Fixed(0) | Self::Named(Tz::UTC | Tz::Etc__UTC | Tz::GMT | Tz::Etc__GMT)
        )
    }

    /// What the zone is called at an instant: `EET`, or `+03` where it has no letters.
    pub(crate) fn abbreviation(self, micros: i64) -> String {
        match self {
            Self::Fixed(east) => offset_text(east),
            Self::Named(tz) => {
                let seconds = micros.div_euclid(MICROS_PER_SECOND) + EPOCH_SECONDS;
                let instant = DateTime::from_timestamp(known_seconds(tz, seconds), 0);
                let offset = tz.offset_from_utc_datetime(&instant.unwrap_or_default().naive_utc());
                match offset.abbreviation() {
                    Some(letters) if !letters.is_empty() => letters.to_owned(),
                    _ => offset_text(self.offset(micros)),
                }
            }
        }
    }
}

/// `+02`, `-03:30`.
fn offset_text(east: i32) -> String {
    let mut out = bytes::BytesMut::new();
    out.extend_from_slice(if east < 0 { b"-" } else { b"+" });
    let seconds = east.unsigned_abs();
    put_two(seconds / 3600, &mut out);
    if !seconds.is_multiple_of(3600) {
        out.extend_from_slice(b":");
        put_two(seconds / 60 % 60, &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A zone of the database by its name, in any case.
fn named(text: &str) -> Option<Tz> {
    static BY_LOWER_NAME: LazyLock<HashMap<String, Tz>> = LazyLock::new(|| {
        TZ_VARIANTS
            .iter()
            .map(|tz| (tz.name().to_ascii_lowercase(), *tz))
            .collect()
    });
    text.parse()
        .ok()
        .or_else(|| BY_LOWER_NAME.get(&text.to_ascii_lowercase()).copied())
}

/// `UTC+3`, `<-07>+07`, `+02:00`: letters and the distance west of Greenwich.
fn posix(text: &str) -> Option<i32> {
    let (has_name, rest) = match text.strip_prefix('<') {
        Some(quoted) => (true, quoted.split_once('>')?.1),
        None => {
            let at = text.find(|c: char| !c.is_ascii_alphabetic())?;
            (at > 0, &text[at..])
        }
    };
    if has_name && rest.is_empty() {
        return None;
    }
    let (sign, digits) = match rest.as_bytes().first()? {
        b'-' => (1, &rest[1..]),
        b'+' => (-1, &rest[1..]),
        _ => (-1, rest),
    };
    let mut seconds = 0;
    let mut unit = 3600;
    let mut parts = digits.split(':');
    for part in parts.by_ref().take(3) {
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number: i32 = part.parse().ok()?;
        if number >= if unit == 3600 { 168 } else { 60 } {
            return None;
        }
        seconds += number * unit;
        unit /= 60;
    }
    parts.next().is_none().then_some(sign * seconds)
}

/// Minutes east of UTC and what such zones are called in short.
const ABBREVIATIONS: &[(i32, &str)] = &[
    (-660, "NUT"),
    (-600, "CKT HST TAHT"),
    (-570, "MART"),
    (-540, "AKST GAMT"),
    (-480, "AKDT PST"),
    (-420, "MST PDT"),
    (-360, "CST GALT MDT"),
    (-300, "ACT CDT COT EASST EAST EST PET"),
    (-240, "AMT AST BOT EDT GYT VET"),
    (-210, "NFT NST"),
    (
        -180,
        "ADT ARST ART BRA BRT CLST CLT FKST FKT GFT PMST PYST PYT UYT WGT",
    ),
    (-150, "NDT"),
    (-120, "BRST FNT PMDT UYST WGST"),
    (-60, "AZOT EGT FNST"),
    (0, "AZOST EGST GMT UCT UT UTC WET Z ZULU"),
    (60, "BST CET MET MEZ WAT WETDST"),
    (120, "BDST CEST CETDST EET IST MEST MESZ METDST SAST"),
    (180, "EAT EEST EETDST FET IDT MSK VOLT"),
    (210, "IRT"),
    (240, "AMST AZST AZT GEST GET MSD MUT RET SCT"),
    (270, "AFT"),
    (300, "MAWT MUST MVT PKT TFT TJT TMT UZT YEKT"),
    (330, "LKT"),
    (345, "NPT"),
    (
        360,
        "ALMT BDT BTT IOT KGST KGT OMSST OMST PKST UZST XJT YEKST",
    ),
    (390, "MMT"),
    (420, "ALMST CXT DAVT ICT KRAST KRAT NOVST NOVT WAST"),
    (
        480,
        "AWST BNT BORT CCT HKT IRKST IRKT MYT PHT SGT ULAT WADT",
    ),
    (525, "ACWST"),
    (540, "AWSST JAYT JST KST PWT ULAST WDT YAKST YAKT"),
    (570, "ACST CAST"),
    (600, "AEST CHUT DDUT KDT LIGT MPT PGT TRUT VLAST VLAT YAPT"),
    (630, "ACDT ACSST CADT LHST SADT"),
    (660, "AEDT AESST KOST LHDT MAGST MAGT PONT VUT"),
    (
        720,
        "ANAST ANAT FJT GILT MHT NZST NZT PETST PETT TVT WAKT WFT",
    ),
    (765, "CHAST"),
    (780, "FJST NZDT TKT TOT"),
    (825, "CHADT"),
    (840, "LINT"),
];

/// The abbreviations of summer times.
const SUMMER_TIMES: &str = "ACDT ACSST ADT AEDT AESST AKDT ALMST AWSST AZOST BDST BRST BST CADT CDT CEST CETDST CHADT \
    CLST CLT EASST EAST EDT EEST EETDST EGST FJST FNST IDT KDT KGST LHDT MDT MEST MESZ METDST MSD MUST NDT NZDT PDT \
    PKST PMDT PYST SADT ULAST UYST UZST WADT WDT WETDST WGST YEKST";

/// All abbreviations: name, seconds east of UTC, whether it is a summer time.
pub(crate) fn abbreviations() -> impl Iterator<Item = (&'static str, i32, bool)> {
    ABBREVIATIONS.iter().flat_map(|(minutes, names)| {
        names.split(' ').map(move |name| {
            let summer = SUMMER_TIMES.split_whitespace().any(|known| known == name);
            (name, minutes * 60, summer)
        })
    })
}

/// All zones of the IANA database at an instant in microseconds: name, abbreviation, seconds east of
/// UTC, whether it is summer there.
pub(crate) fn zones(micros: i64) -> impl Iterator<Item = (&'static str, String, i32, bool)> {
    let seconds = micros.div_euclid(MICROS_PER_SECOND) + EPOCH_SECONDS;
    TZ_VARIANTS.iter().map(move |tz| {
        let zone = Zone::Named(*tz);
        let instant = DateTime::from_timestamp(known_seconds(*tz, seconds), 0);
        let offset = tz.offset_from_utc_datetime(&instant.unwrap_or_default().naive_utc());
        let is_summer = !offset.dst_offset().is_zero();
        let name = zone.abbreviation(micros);
        (tz.name(), name, zone.offset(micros), is_summer)
    })
}

/// Seconds east of UTC of an abbreviation.
pub(super) fn abbreviation(text: &str) -> Option<i32> {
    static BY_NAME: LazyLock<HashMap<&'static str, i32>> = LazyLock::new(|| {
        ABBREVIATIONS
            .iter()
            .flat_map(|(minutes, names)| names.split(' ').map(move |name| (name, minutes * 60)))
            .collect()
    });
    BY_NAME.get(text.to_ascii_uppercase().as_str()).copied()
}

/// The offsets of a zone, remembered by UTC day.
///
/// A look-up is a binary search in the zone's transitions; a day that begins and ends with one
/// offset has that offset throughout.
pub(crate) struct Offsets {
    zone: Zone,
    /// The offset of a zone without transitions.
    fixed: Option<i32>,
    /// One slot per day modulo their number: (day from 1970-01-01, seconds east of UTC).
    days: Vec<Cell<(i64, i32)>>,
}

/// Slots of the memo of offsets: about eleven years of days, 64 KiB.
const OFFSET_SLOTS_MAX: usize = 4096;
const OFFSET_SLOTS_MIN: usize = 4;

/// No day that a timestamp can fall on.
const NO_DAY: i64 = i64::MIN;

/// First second of 2099. The zone tables end soon after; from here on the rules of a year are those
/// of an earlier one with the same calendar.
const TABLES_END: i64 = 4_070_908_800;

/// Years that have all fourteen calendars and whose rules are in the tables.
const MODEL_YEARS: std::ops::Range<i64> = 2071..2099;

/// A date before which all zones had their local mean time and which chrono still reaches.
const CHRONO_SECONDS_MIN: i64 = -8_200_000_000_000;

impl Offsets {
    /// For about `rows` look-ups.
    pub(crate) fn new(zone: Zone, rows: usize) -> Self {
        let fixed = match zone {
            Zone::Fixed(east) => Some(east),
            Zone::Named(_) => zone.is_utc().then_some(0),
        };
        let slots = match fixed {
            Some(_) => 0,
            None => rows
                .clamp(OFFSET_SLOTS_MIN, OFFSET_SLOTS_MAX)
                .next_power_of_two(),
        };
        Self {
            zone,
            fixed,
            days: vec![Cell::new((NO_DAY, 0)); slots],
        }
    }

    /// Seconds east of UTC at an instant in microseconds.
    pub(crate) fn at(&self, micros: i64) -> i32 {
        if let Some(offset) = self.fixed {
            return offset;
        }
        let seconds = micros.div_euclid(MICROS_PER_SECOND) + EPOCH_SECONDS;
        let day = seconds.div_euclid(SECONDS_PER_DAY);
        let Some(slot) = self
            .days
            .get(day.rem_euclid(self.days.len().max(1) as i64) as usize)
        else {
            return self.zone.offset_at(seconds);
        };
        let (known, offset) = slot.get();
        if known == day {
            return offset;
        }
        let start = self.zone.offset_at(day * SECONDS_PER_DAY);
        let end = self.zone.offset_at((day + 1) * SECONDS_PER_DAY);
        if start != end {
            return self.zone.offset_at(seconds);
        }
        slot.set((day, start));
        start
    }

    /// An instant as a local time; infinities stay.
    pub(crate) fn to_local(&self, micros: i64) -> Option<i64> {
        if super::is_infinite(micros) {
            return Some(micros);
        }
        micros.checked_add(i64::from(self.at(micros)) * MICROS_PER_SECOND)
    }

    /// The zone.
    pub(crate) fn zone(&self) -> Zone {
        self.zone
    }
}

/// An instant that the zone's table knows and that has the offset of `seconds`.
fn known_seconds(tz: Tz, seconds: i64) -> i64 {
    if seconds < TABLES_END {
        return seconds.max(CHRONO_SECONDS_MIN);
    }
    seconds - model_shift(tz, seconds) * SECONDS_PER_DAY
}

/// Days between a year after the tables and the year that stands for it.
fn model_shift(tz: Tz, seconds: i64) -> i64 {
    let calendar = |year: i64| {
        let first = day_of(year, 1, 1).unwrap_or_default();
        let next = day_of(year + 1, 1, 1).unwrap_or_default();
        (first, first.rem_euclid(7), next - first)
    };
    let last = MODEL_YEARS.end - 1;
    let at_month = |month| {
        let day = day_of(last, month, 1).unwrap_or_default();
        table_offset(tz, day * SECONDS_PER_DAY + EPOCH_SECONDS)
    };
    let (year, _, _) = civil(seconds.div_euclid(SECONDS_PER_DAY) - EPOCH_DAYS);
    let (first, weekday, days) = calendar(year);
    // Zones that gave up changing (Morocco in 2087) must not go back to when they did.
    let changes = (2..=12).any(|month| at_month(month) != at_month(1));
    let models = if changes {
        MODEL_YEARS
    } else {
        last..MODEL_YEARS.end
    };
    let model = models
        .map(calendar)
        .find(|(_, w, d)| !changes || (*w, *d) == (weekday, days));
    // Day 366 of a year that does not change falls on the next, which is as good.
    model.map_or(0, |(model_first, _, _)| first - model_first)
}

fn table_offset(tz: Tz, seconds: i64) -> i32 {
    let instant = DateTime::from_timestamp(seconds, 0)
        .unwrap_or_default()
        .naive_utc();
    tz.offset_from_utc_datetime(&instant)
        .fix()
        .local_minus_utc()
}
