//! The session's settings that decide how dates and times are read and shown.

use super::Zone;

/// How dates look (the first word of DateStyle).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateStyle {
    /// `2024-02-29 10:00:00+02`
    #[default]
    Iso,
    /// `02/29/2024 10:00:00 EET`
    Sql,
    /// `Thu Feb 29 10:00:00 2024 EET`
    Postgres,
    /// `29.02.2024 10:00:00 EET`
    German,
}

/// In which order numbers of a date are read (the second word of DateStyle).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// How intervals look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntervalStyle {
    /// `1 year 2 mons 3 days 04:05:06`
    #[default]
    Postgres,
    /// `@ 1 year 2 mons 3 days 4 hours 5 mins 6 secs`
    PostgresVerbose,
    /// `+1-2 +3 +4:05:06`
    SqlStandard,
    /// `P1Y2M3DT4H5M6S`
    Iso8601,
}

/// TimeZone, DateStyle and IntervalStyle of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeSettings {
    /// The zone in which `timestamptz` is shown and local times are read.
    pub zone: Zone,
    /// How dates look.
    pub date_style: DateStyle,
    /// How numbers of a date are read.
    pub date_order: DateOrder,
    /// How intervals look.
    pub interval_style: IntervalStyle,
}

impl TimeSettings {
    /// The default styles in a zone.
    pub fn in_zone(zone: Zone) -> Self {
        Self {
            zone,
            ..Self::default()
        }
    }

    /// From the values of the three settings as they are stored; what cannot be read is the default.
    pub fn parse(zone: &str, date_style: &str, interval_style: &str) -> Self {
        let (style, order) = date_style_of(date_style).unwrap_or_default();
        let interval_style = match interval_style.to_ascii_lowercase().as_str() {
            "postgres_verbose" => IntervalStyle::PostgresVerbose,
            "sql_standard" => IntervalStyle::SqlStandard,
            "iso_8601" => IntervalStyle::Iso8601,
            _ => IntervalStyle::Postgres,
        };
        Self {
            zone: Zone::setting(zone)
                .map(|(zone, _)| zone)
                .unwrap_or_default(),
            date_style: style,
            date_order: order,
            interval_style,
        }
    }
}

/// DateStyle's value as it is stored, from what a client asks for and what was set before.
pub(crate) fn date_style_setting(text: &str, current: &str) -> Option<String> {
    let mut style = None;
    let mut order = None;
    for word in text.split(',').map(str::trim) {
        let word = word.to_ascii_lowercase();
        let (new_style, new_order) = match word.as_str() {
            "iso" => (Some(DateStyle::Iso), None),
            "sql" => (Some(DateStyle::Sql), None),
            "german" => (Some(DateStyle::German), None),
            _ if word.starts_with("postgres") => (Some(DateStyle::Postgres), None),
            "ymd" => (None, Some(DateOrder::Ymd)),
            "mdy" | "us" => (None, Some(DateOrder::Mdy)),
            _ if word.starts_with("noneuro") => (None, Some(DateOrder::Mdy)),
            "dmy" => (None, Some(DateOrder::Dmy)),
            _ if word.starts_with("euro") => (None, Some(DateOrder::Dmy)),
            "default" => (Some(DateStyle::Iso), Some(DateOrder::Mdy)),
            _ => return None,
        };
        // The same kind of word twice must say the same.
        if (new_style.is_some() && style.is_some() && new_style != style)
            || (new_order.is_some() && order.is_some() && new_order != order)
        {
            return None;
        }
        style = style.or(new_style);
        order = order.or(new_order);
    }
    // German style brings its order.
    if style == Some(DateStyle::German) && order.is_none() {
        order = Some(DateOrder::Dmy);
    }
    let (old_style, old_order) = date_style_of(current).unwrap_or_default();
    let style = match style.unwrap_or(old_style) {
        DateStyle::Iso => "ISO",
        DateStyle::Sql => "SQL",
        DateStyle::Postgres => "Postgres",
        DateStyle::German => "German",
    };
    let order = match order.unwrap_or(old_order) {
        DateOrder::Mdy => "MDY",
        DateOrder::Dmy => "DMY",
        DateOrder::Ymd => "YMD",
    };
    Some(format!("{style}, {order}"))
}

/// Style and order of a stored value.
fn date_style_of(stored: &str) -> Option<(DateStyle, DateOrder)> {
    let (style, order) = stored.split_once(", ")?;
    let style = match style {
        "ISO" => DateStyle::Iso,
        "SQL" => DateStyle::Sql,
        "Postgres" => DateStyle::Postgres,
        "German" => DateStyle::German,
        _ => return None,
    };
    let order = match order {
        "MDY" => DateOrder::Mdy,
        "DMY" => DateOrder::Dmy,
        "YMD" => DateOrder::Ymd,
        _ => return None,
    };
    Some((style, order))
}
