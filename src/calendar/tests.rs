//! Zones, calendars and arithmetic at their edges; texts stand in `tests/slt/time`.

use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

#[test]
fn weeks_belong_to_the_year_of_their_thursday() {
    let week = |year, month, day| iso_week(day_of(year, month, day).unwrap());
    assert_eq!(week(2020, 12, 31), (2020, 53));
    assert_eq!(week(2021, 1, 3), (2020, 53));
    assert_eq!(week(2021, 1, 4), (2021, 1));
    assert_eq!(week(2024, 12, 30), (2025, 1));
    assert_eq!(weekday(day_of(2024, 2, 29).unwrap()), 4);
}

#[test]
fn zones_have_names_numbers_and_posix_forms() {
    let setting = |text| Zone::setting(text).map(|(zone, shown)| (zone.offset(0), shown));
    let known = |offset, shown: &str| Some((offset, shown.to_owned()));
    assert_eq!(setting("europe/kyiv"), known(7200, "Europe/Kyiv"));
    assert_eq!(setting("-7"), known(-25_200, "<-07>+07"));
    assert_eq!(setting("5.5"), known(19_800, "<+05:30>-05:30"));
    assert_eq!(setting("UTC+3"), known(-10_800, "UTC+3"));
    assert_eq!(setting("+02:00"), known(-7200, "+02:00"));
    for text in ["Foo/Bar", "CEST", "Z", "2000", "", "UTC+", "nan"] {
        assert_eq!(setting(text), None, "{text}");
    }
    assert_eq!(Zone::parse("PST"), Some(Zone::Fixed(-28_800)));
}

#[test]
fn a_stored_date_style_keeps_what_is_not_said() {
    let set = |text, current| date_style_setting(text, current);
    assert_eq!(set("SQL", "ISO, DMY").as_deref(), Some("SQL, DMY"));
    assert_eq!(set("german", "ISO, MDY").as_deref(), Some("German, DMY"));
    assert_eq!(
        set("ymd", "Postgres, MDY").as_deref(),
        Some("Postgres, YMD")
    );
    assert_eq!(set("ISO, SQL", "ISO, MDY"), None);
}

#[test]
fn months_end_where_they_end() {
    let moment = |y, m, d| day_of(y, m, d).unwrap() * MICROS_PER_DAY;
    let month = PgInterval {
        months: 1,
        ..PgInterval::default()
    };
    let sum = |micros| add_interval(micros, month, None).unwrap();
    assert_eq!(sum(moment(2024, 1, 31)), moment(2024, 2, 29));
    assert_eq!(sum(moment(2023, 1, 31)), moment(2023, 2, 28));
    assert_eq!(sum(i64::MAX), i64::MAX);
    assert!(add_interval(TIMESTAMP_END - 1, month, None).is_err());
}

#[test]
fn no_text_makes_a_reader_fail_other_than_by_an_error() {
    let reader = Reader::new(TimeSettings::in_zone(zone("Europe/Kyiv")), 0);
    let text = "[-+0-9a-zA-Z:/., äT]{0,40}";
    proptest!(|(text in text)| {
        let _ = reader.date(&text);
        let _ = reader.time(&text);
        let _ = reader.timestamp(&text);
        let _ = reader.timestamptz(&text);
        let _ = interval(&text, IntervalStyle::SqlStandard, None, None);
        let _ = Zone::setting(&text);
        let _ = Zone::parse(&text);
    });
}

proptest! {
    #[test]
    fn instants_and_local_times_go_together(micros in -3_000_000_000_000_000_i64..3_000_000_000_000_000) {
        let zone = zone("America/New_York");
        let local = zone.to_local(micros).unwrap();
        let back = zone.to_instant(local).unwrap();
        // The hour that comes twice is read as the later one.
        prop_assert!(back == micros || back == micros + MICROS_PER_HOUR);
    }

    #[test]
    fn intervals_are_read_as_they_are_shown(
        months in any::<i32>(),
        days in any::<i32>(),
        micros in -9_000_000_000_000_000_i64..9_000_000_000_000_000,
    ) {
        let span = PgInterval { micros, days, months };
        for style in [IntervalStyle::Postgres, IntervalStyle::Iso8601] {
            let mut out = bytes::BytesMut::new();
            put_interval(span, style, &mut out);
            let text = String::from_utf8(out.to_vec()).unwrap();
            prop_assert_eq!(interval(&text, style, None, None).unwrap(), span, "{}", text);
        }
    }
}
