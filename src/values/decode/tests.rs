//! Values and messages as PostgreSQL 15 has them; round trips through the encoder.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Field, Int32Type, IntervalMonthDayNano, Schema, i256};
use proptest::prelude::*;

use super::*;
use crate::calendar::TimeSettings;
use crate::values::encode::{RowEncoder, TextStyle};
use crate::values::types::{
    ACLITEM, INT4_ARRAY, NUMERIC_ARRAY, REGCLASS, TEXT_ARRAY, TID, TYPES, column_type,
};

fn utc() -> &'static Reader {
    static UTC: std::sync::LazyLock<Reader> = std::sync::LazyLock::new(|| reader("UTC"));
    &UTC
}

fn reader(zone: &str) -> Reader {
    Reader::new(TimeSettings::in_zone(zone.parse().unwrap()), 0)
}

fn read(pg_type: PgType, text: &str) -> Result<ScalarValue> {
    parameter(
        pg_type.oid,
        None,
        Format::Text,
        Some(text.as_bytes()),
        utc(),
    )
}

fn read_as(pg_type: PgType, target: &DataType, text: &str) -> Result<ScalarValue> {
    parameter(
        pg_type.oid,
        Some(target),
        Format::Text,
        Some(text.as_bytes()),
        utc(),
    )
}

fn read_binary(pg_type: PgType, hex: &str) -> Result<ScalarValue> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    parameter(pg_type.oid, None, Format::Binary, Some(&bytes), utc())
}

fn failure(result: Result<ScalarValue>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.state().code(), error.message().to_owned())
}

#[test]
fn scalars_from_text() {
    let check = |pg_type, text: &str, expected: ScalarValue| {
        assert_eq!(read(pg_type, text).unwrap(), expected, "{text}");
    };
    for text in ["t", "true", " TRUE ", "y", "yes", "on", "1", "tr"] {
        check(BOOL, text, ScalarValue::Boolean(Some(true)));
    }
    for text in ["f", "false", "n", "no", "off", "of", "0"] {
        check(BOOL, text, ScalarValue::Boolean(Some(false)));
    }
    check(INT2, "-32768", ScalarValue::Int16(Some(i16::MIN)));
    check(INT4, " +7 ", ScalarValue::Int32(Some(7)));
    check(
        INT8,
        "-9223372036854775808",
        ScalarValue::Int64(Some(i64::MIN)),
    );
    check(OID, "4294967295", ScalarValue::Int64(Some(4_294_967_295)));
    check(FLOAT4, "1.5", ScalarValue::Float32(Some(1.5)));
    check(FLOAT8, "-1e-5", ScalarValue::Float64(Some(-1e-5)));
    check(
        FLOAT8,
        "Infinity",
        ScalarValue::Float64(Some(f64::INFINITY)),
    );
    assert!(matches!(read(FLOAT8, "NaN"), Ok(ScalarValue::Float64(Some(v))) if v.is_nan()));
    check(TEXT, "é", ScalarValue::Utf8(Some("é".into())));
    check(UNKNOWN, "x", ScalarValue::Utf8(Some("x".into())));
    check(REGCLASS, "orders", ScalarValue::Utf8(Some("orders".into())));
    check(
        BYTEA,
        "\\x00fF 10",
        ScalarValue::Binary(Some(vec![0, 255, 16])),
    );
    check(
        BYTEA,
        "a\\\\b\\001",
        ScalarValue::Binary(Some(b"a\\b\x01".to_vec())),
    );
    let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    for text in [
        uuid,
        "{6BA7B8109dad11d180b400c04fd430c8}",
        "6ba7-b8109dad11d180b4-00c04fd430c8",
    ] {
        check(UUID, text, ScalarValue::Utf8(Some(uuid.into())));
    }
}

#[test]
fn numerics_keep_their_scale() {
    let decimal = |v, p, s| ScalarValue::Decimal128(Some(v), p, s);
    let check = |text: &str, expected| assert_eq!(read(NUMERIC, text).unwrap(), expected, "{text}");
    check("0", decimal(0, 1, 0));
    check("-12.50", decimal(-1250, 4, 2));
    check(".5", decimal(5, 1, 1));
    check("5.", decimal(5, 1, 0));
    check("0.001", decimal(1, 3, 3));
    check("1.5e3", decimal(1500, 4, 0));
    check("1e-3", decimal(1, 3, 3));
    check("-0.0", decimal(0, 1, 1));
    let wide = "9".repeat(76);
    let expected = ScalarValue::Decimal256(i256::from_string(&wide), 76, 0);
    check(&wide, expected);
    assert_eq!(failure(read(NUMERIC, &"9".repeat(77))).0, "22003");
    assert_eq!(failure(read(NUMERIC, "1e2000")).0, "22003");
    assert_eq!(failure(read(NUMERIC, "1e99999999999")).0, "22003");
    assert_eq!(failure(read(NUMERIC, "NaN")).0, "0A000");
    assert_eq!(failure(read_binary(NUMERIC, "00000000c0000000")).0, "0A000");
    for text in ["", ".", "1.2.3", "e5", "1e", "--1", "+-1", "-NaN", "1 2"] {
        let expected = format!("invalid input syntax for type numeric: \"{text}\"");
        assert_eq!(failure(read(NUMERIC, text)), ("22P02", expected));
    }
}

#[test]
fn numerics_take_the_wanted_type() {
    let to = |target, text: &str| read_as(NUMERIC, &target, text);
    let money = DataType::Decimal128(10, 2);
    let cents = |v| ScalarValue::Decimal128(Some(v), 10, 2);
    assert_eq!(to(money.clone(), "1.005").unwrap(), cents(101));
    assert_eq!(to(money.clone(), "-1.005").unwrap(), cents(-101));
    assert_eq!(to(money.clone(), "0.004").unwrap(), cents(0));
    assert_eq!(to(money.clone(), "0.00004").unwrap(), cents(0));
    assert_eq!(to(money.clone(), "9.999").unwrap(), cents(1000));
    assert_eq!(to(money.clone(), "7").unwrap(), cents(700));
    assert_eq!(
        to(money.clone(), "99999999.99").unwrap(),
        cents(9_999_999_999)
    );
    assert_eq!(
        failure(to(money, "99999999.995")),
        ("22003", "numeric field overflow".to_owned())
    );
    assert_eq!(
        to(DataType::Decimal128(5, -2), "12350").unwrap(),
        ScalarValue::Decimal128(Some(124), 5, -2)
    );
    assert_eq!(
        to(DataType::Int32, "2.5").unwrap(),
        ScalarValue::Int32(Some(3))
    );
    assert_eq!(failure(to(DataType::Int16, "40000")).0, "22003");
    assert_eq!(
        to(DataType::Float64, "0.1").unwrap(),
        ScalarValue::Float64(Some(0.1))
    );
    assert!(to(DataType::Float64, "NaN").is_ok());
    assert_eq!(
        to(DataType::Utf8View, "-0.50").unwrap(),
        ScalarValue::Utf8View(Some("-0.50".into()))
    );
    assert_eq!(
        to(DataType::Decimal256(40, 1), "1.25").unwrap(),
        ScalarValue::Decimal256(Some(i256::from_i128(13)), 40, 1)
    );
}

#[test]
fn numerics_from_binary() {
    let check = |hex: &str, value, precision, scale| {
        let expected = ScalarValue::Decimal128(Some(value), precision, scale);
        assert_eq!(read_binary(NUMERIC, hex).unwrap(), expected, "{hex}");
    };
    check("0000000000000000", 0, 1, 0);
    check("0000000000000002", 0, 2, 2);
    check("000200000000000100011388", 15, 2, 1);
    check("0001ffff000000040001", 1, 4, 4);
    check("0001fffe0000000503e8", 1, 5, 5);
    check("0003000100000002007b11d722c4", 123_456_789, 9, 2);
    check(
        "000500040000000007341a5802e103bb064f",
        18_446_744_073_709_551_615,
        20,
        0,
    );
    check("0002000140000000000c0bb8", -123_000, 6, 0);
    check(
        "000a00064000000a270f270f270f270f270f270f270f270f270f26ac",
        -99_999_999_999_999_999_999_999_999_999_999_999_999,
        38,
        10,
    );
    for hex in [
        "",
        "0001000000000000",
        "00010000000000000001ff",
        "00010000000000002710",
        "00010000123400000001",
        "ffff000000000000",
    ] {
        assert_eq!(failure(read_binary(NUMERIC, hex)).0, "22P03", "{hex}");
    }
    assert_eq!(
        failure(read_binary(NUMERIC, "00017fff000000000001")).0,
        "22003"
    );
    assert_eq!(
        failure(read_binary(NUMERIC, "0001800000003fff0001")).0,
        "22003"
    );
}

#[test]
fn messages_are_postgresqls() {
    let check = |pg_type, text: &str, state: &str, message: &str| {
        assert_eq!(
            failure(read(pg_type, text)),
            (state.to_owned().leak() as &str, message.into())
        );
    };
    check(
        INT4,
        "abc",
        "22P02",
        "invalid input syntax for type integer: \"abc\"",
    );
    check(
        INT4,
        "",
        "22P02",
        "invalid input syntax for type integer: \"\"",
    );
    check(
        INT4,
        "1.0",
        "22P02",
        "invalid input syntax for type integer: \"1.0\"",
    );
    check(
        INT2,
        "40000",
        "22003",
        "value \"40000\" is out of range for type smallint",
    );
    check(
        INT4,
        "99999999999",
        "22003",
        "value \"99999999999\" is out of range for type integer",
    );
    check(
        INT8,
        "9223372036854775808",
        "22003",
        "value \"9223372036854775808\" is out of range for type bigint",
    );
    check(
        FLOAT8,
        "x",
        "22P02",
        "invalid input syntax for type double precision: \"x\"",
    );
    check(
        FLOAT8,
        "1e400",
        "22003",
        "\"1e400\" is out of range for type double precision",
    );
    check(
        FLOAT8,
        "1e-400",
        "22003",
        "\"1e-400\" is out of range for type double precision",
    );
    check(
        FLOAT4,
        "1e40",
        "22003",
        "\"1e40\" is out of range for type real",
    );
    check(
        BOOL,
        "maybe",
        "22P02",
        "invalid input syntax for type boolean: \"maybe\"",
    );
    check(
        BOOL,
        "o",
        "22P02",
        "invalid input syntax for type boolean: \"o\"",
    );
    check(
        BOOL,
        "",
        "22P02",
        "invalid input syntax for type boolean: \"\"",
    );
    check(
        UUID,
        "6ba7",
        "22P02",
        "invalid input syntax for type uuid: \"6ba7\"",
    );
    check(BYTEA, "\\xz", "22023", "invalid hexadecimal digit: \"z\"");
    check(
        BYTEA,
        "\\xabc",
        "22023",
        "invalid hexadecimal data: odd number of digits",
    );
    check(
        BYTEA,
        "a\\b",
        "22P02",
        "invalid input syntax for type bytea",
    );
    check(
        DATE,
        "abc",
        "22007",
        "invalid input syntax for type date: \"abc\"",
    );
    check(
        DATE,
        "2024-13-01",
        "22008",
        "date/time field value out of range: \"2024-13-01\"",
    );
    check(
        DATE,
        "2023-02-29",
        "22008",
        "date/time field value out of range: \"2023-02-29\"",
    );
    check(
        DATE,
        "5874898-01-01",
        "22008",
        "date out of range: \"5874898-01-01\"",
    );
    check(
        TIME,
        "25:00:00",
        "22008",
        "date/time field value out of range: \"25:00:00\"",
    );
    check(
        TIMESTAMP,
        "2024-01-01 xx",
        "22007",
        "invalid input syntax for type timestamp: \"2024-01-01 xx\"",
    );
    check(
        TIMESTAMP,
        "294277-01-01 00:00:00",
        "22008",
        "timestamp out of range: \"294277-01-01 00:00:00\"",
    );
    check(
        TIMESTAMPTZ,
        "2024-01-01 00:00:00 Mars/Olympus",
        "22023",
        "time zone \"mars/olympus\" not recognized",
    );
    check(
        INTERVAL,
        "1 foo",
        "22007",
        "invalid input syntax for type interval: \"1 foo\"",
    );
    check(
        INTERVAL,
        "",
        "22007",
        "invalid input syntax for type interval: \"\"",
    );
    check(
        INT4_ARRAY,
        "{1,2",
        "22P02",
        "malformed array literal: \"{1,2\"",
    );
    check(
        INT4_ARRAY,
        "{a}",
        "22P02",
        "invalid input syntax for type integer: \"a\"",
    );
}

#[test]
fn dates_and_times() {
    let date = |text: &str| match read(DATE, text).unwrap() {
        ScalarValue::Date32(Some(days)) => days,
        other => panic!("{other}"),
    };
    assert_eq!(date("2024-02-29"), 19_782);
    assert_eq!(date("20240229"), 19_782);
    assert_eq!(date("2024-2-9"), 19_762);
    assert_eq!(date("0001-01-01 BC"), -719_528);
    assert_eq!(date("4714-11-24 BC"), -2_440_588);
    assert_eq!(date("5874897-12-31"), 2_145_042_905);
    assert_eq!(date("2024-02-29 23:59:59+02"), 19_782);
    assert_eq!(date("epoch"), 0);
    let time = |text: &str| read(TIME, text).unwrap();
    assert_eq!(
        time("04:05:06.789"),
        ScalarValue::Time64Microsecond(Some(14_706_789_000))
    );
    assert_eq!(
        time("04:05"),
        ScalarValue::Time64Microsecond(Some(14_700_000_000))
    );
    assert_eq!(
        time("24:00:00"),
        ScalarValue::Time64Microsecond(Some(86_400_000_000))
    );
    let endless = ScalarValue::Date32(Some(i32::MAX));
    assert_eq!(read(DATE, "infinity").unwrap(), endless);
    assert_eq!(read_binary(DATE, "7fffffff").unwrap(), endless);
    assert_eq!(failure(read_binary(DATE, "80000001")).0, "22008");
    assert_eq!(
        read_binary(TIMESTAMP, "7fffffffffffffff").unwrap(),
        ScalarValue::TimestampMicrosecond(Some(i64::MAX), None)
    );
    assert_eq!(
        failure(read_binary(TIMESTAMP, "8000000000000001")).0,
        "22008"
    );
    assert_eq!(failure(read_binary(TIME, "ffffffffffffffff")).0, "22008");
}

#[test]
fn timestamps() {
    let stamp = |text: &str| match read(TIMESTAMP, text).unwrap() {
        ScalarValue::TimestampMicrosecond(Some(micros), None) => micros,
        other => panic!("{other}"),
    };
    assert_eq!(stamp("1970-01-01"), 0);
    assert_eq!(stamp("2024-01-31T10:00:00.5"), 1_706_695_200_500_000);
    assert_eq!(stamp("1969-12-31 23:59:59.9999996"), 0);
    assert_eq!(stamp("1970-01-01 00:00:00+02"), 0);
    assert_eq!(stamp("0001-12-31 23:00:00 BC"), -62_135_600_400_000_000);
    let zoned = |text: &str, zone: &str| {
        let zone = &reader(zone);
        match parameter(1184, None, Format::Text, Some(text.as_bytes()), zone).unwrap() {
            ScalarValue::TimestampMicrosecond(Some(micros), Some(zone)) => {
                assert_eq!(&*zone, "UTC");
                micros
            }
            other => panic!("{other}"),
        }
    };
    let hour = 3_600_000_000_i64;
    assert_eq!(zoned("1970-01-01 02:00:00+02", "Asia/Tokyo"), 0);
    assert_eq!(zoned("1970-01-01 05:30:00+0530", "UTC"), 0);
    assert_eq!(zoned("1970-01-01 00:00:00Z", "Asia/Tokyo"), 0);
    assert_eq!(zoned("1970-01-01 09:00:00", "Asia/Tokyo"), 0);
    assert_eq!(zoned("1970-01-01 09:00:00 Asia/Tokyo", "UTC"), 0);
    assert_eq!(zoned("1970-01-01 00:00:01-00:00:01", "UTC"), 2_000_000);
    // The hour that Berlin skips is read with the offset before, the doubled one as the later.
    let spring = 1_711_846_800_000_000;
    assert_eq!(
        zoned("2024-03-31 02:30:00", "Europe/Berlin"),
        spring + hour / 2
    );
    assert_eq!(
        zoned("2024-03-31 01:30:00", "Europe/Berlin"),
        spring - hour / 2
    );
    assert_eq!(zoned("2024-03-31 03:00:00", "Europe/Berlin"), spring);
    let autumn = 1_729_990_800_000_000;
    assert_eq!(
        zoned("2024-10-27 02:30:00", "Europe/Berlin"),
        autumn + hour / 2
    );
    assert_eq!(
        zoned("2024-10-27 01:59:59", "Europe/Berlin"),
        autumn - hour - 1_000_000
    );
    assert_eq!(zoned("2024-10-27 03:00:00", "Europe/Berlin"), autumn + hour);
}

#[test]
fn zones_come_and_go_as_the_session_has_them() {
    let berlin = &reader("Europe/Berlin");
    let read = |oid, target: &DataType, text: &str| {
        parameter(
            oid,
            Some(target),
            Format::Text,
            Some(text.as_bytes()),
            berlin,
        )
        .unwrap()
    };
    let plain = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()));
    let noon = 1_719_835_200_000_000_000_i64;
    let two_hours = 7_200_000_000_000;
    assert_eq!(
        read(1184, &plain, "2024-07-01 12:00:00Z"),
        ScalarValue::TimestampNanosecond(Some(noon + two_hours), None)
    );
    assert_eq!(
        read(1114, &zoned, "2024-07-01 12:00:00"),
        ScalarValue::TimestampNanosecond(Some(noon - two_hours), Some("+00:00".into()))
    );
    assert_eq!(
        read(1184, &zoned, "2024-07-01 12:00:00Z"),
        ScalarValue::TimestampNanosecond(Some(noon), Some("+00:00".into()))
    );
    assert_eq!(
        read(1082, &zoned, "2024-07-01"),
        ScalarValue::TimestampNanosecond(Some(noon - 7 * two_hours), Some("+00:00".into()))
    );
    assert_eq!(
        read(1184, &DataType::Date32, "2024-07-01 23:00:00Z"),
        ScalarValue::Date32(Some(19_906))
    );
    let far = parameter(
        1114,
        Some(&plain),
        Format::Text,
        Some(b"3000-01-01"),
        berlin,
    );
    assert_eq!(failure(far).0, "22008");
}

#[test]
fn intervals() {
    let check = |text: &str, months, days, micros: i64| {
        let expected = IntervalMonthDayNano::new(months, days, micros * 1000);
        assert_eq!(
            read(INTERVAL, text).unwrap(),
            ScalarValue::IntervalMonthDayNano(Some(expected)),
            "{text}"
        );
    };
    check("1 year 2 mons 3 days 04:05:06.789", 14, 3, 14_706_789_000);
    check("-10 mons -3 days +04:05:06", -10, -3, 14_706_000_000);
    check("-1 day 02:03", 0, -1, 7_380_000_000);
    check("-00:00:00.5", 0, 0, -500_000);
    check("@ 1 hour 30 minutes ago", 0, 0, -5_400_000_000);
    check("1.5 days", 0, 1, 43_200_000_000);
    check("1.5 years", 18, 0, 0);
    check("1.5 months", 1, 15, 0);
    check("2 weeks", 0, 14, 0);
    check("90", 0, 0, 90_000_000);
    check("1day 2h", 0, 1, 7_200_000_000);
    check("250 ms", 0, 0, 250_000);
    check("P1Y2M3DT4H5M6.789S", 14, 3, 14_706_789_000);
    check("P-1Y2WT-0.5S", -12, 14, -500_000);
    check("1 century 1 decade", 1320, 0, 0);
    check("0.000001 seconds", 0, 0, 1);
    for text in ["P", "1 2 days", "ago", "1:2:3:4", "1..5 days", "five days"] {
        assert_eq!(failure(read(INTERVAL, text)).0, "22007", "{text}");
    }
    for text in [
        "99999999999 days",
        "300000000 years",
        "9999999999999999999 s",
        "3000000 hours 00:61",
    ] {
        assert_eq!(failure(read(INTERVAL, text)).0, "22015", "{text}");
    }
}

#[test]
fn arrays_from_text() {
    let ints = |text: &str| match read(INT4_ARRAY, text).unwrap() {
        ScalarValue::List(list) => list
            .value(0)
            .as_primitive::<Int32Type>()
            .iter()
            .collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    let none: Vec<Option<i32>> = vec![];
    assert_eq!(ints("{}"), none);
    assert_eq!(ints(" { } "), none);
    assert_eq!(ints("{1,NULL,-3}"), [Some(1), None, Some(-3)]);
    assert_eq!(ints("{ 1 , null , \"3\" }"), [Some(1), None, Some(3)]);
    assert_eq!(ints("{NULL,NULL}"), [None, None]);
    let texts = |text: &str| match read(TEXT_ARRAY, text).unwrap() {
        ScalarValue::List(list) => {
            let values = list.value(0);
            values
                .as_string::<i32>()
                .iter()
                .map(|v| v.map(str::to_owned))
                .collect::<Vec<_>>()
        }
        other => panic!("{other}"),
    };
    assert_eq!(
        texts(r#"{a,"",a b ,"x\"y\\","NULL",NULL,\NULL,"{,}"}"#),
        [
            Some("a".into()),
            Some(String::new()),
            Some("a b".into()),
            Some("x\"y\\".into()),
            Some("NULL".into()),
            None,
            Some("NULL".into()),
            Some("{,}".into()),
        ]
    );
    for text in [
        "", "1", "{1,}", "{,1}", "{1}x", "{a\"b\"}", "{\"a", "{\"a\"b}", "{", "{1",
    ] {
        let (state, message) = failure(read(TEXT_ARRAY, text));
        assert_eq!(
            (state, message),
            ("22P02", format!("malformed array literal: \"{text}\""))
        );
    }
    let nested = DataType::new_list(DataType::new_list(DataType::Int32, true), true);
    assert_eq!(read(INT4_ARRAY, "{{1},{2}}").unwrap().data_type(), nested);
    for text in ["{{1},{2,3}}", "{1,{2}}", "{{1},2}", "{{1},{{2}}}"] {
        assert_eq!(failure(read(INT4_ARRAY, text)).0, "22P02", "{text}");
    }
    assert_eq!(failure(read(INT4_ARRAY, "[0:1]={1,2}")).0, "0A000");
    let numbers = read(NUMERIC_ARRAY, "{1.5,NULL,100,0.001}").unwrap();
    assert_eq!(
        numbers.data_type(),
        DataType::new_list(DataType::Decimal128(6, 3), true)
    );
}

#[test]
fn arrays_take_the_wanted_type() {
    let wide = DataType::LargeList(Arc::new(Field::new("item", DataType::Int64, true)));
    let list = read_as(INT4_ARRAY, &wide, "{1,NULL}").unwrap();
    assert_eq!(list.data_type(), wide);
    let open = parameter(0, Some(&wide), Format::Text, Some(b"{5}"), utc()).unwrap();
    assert_eq!(open.data_type(), wide);
    assert_eq!(
        failure(read_as(INT4_ARRAY, &DataType::Int32, "{1}")).0,
        "42804"
    );
}

#[test]
fn malformed_binary_is_refused() {
    for pg_type in TYPES {
        let is_text = [BYTEA, TEXT, VARCHAR, BPCHAR, NAME, JSON, CHAR].contains(pg_type);
        if arrow_type(pg_type.oid).is_none() || is_text {
            continue;
        }
        for hex in ["", "00", "000000", "00000000000000000000000000000000000000"] {
            if (*pg_type, hex) == (BOOL, "00") {
                continue;
            }
            // The long one reaches an array's element type, which is not its own.
            let is_array = element_of(*pg_type).is_some() && hex.len() > 24;
            let is_short = usize::try_from(pg_type.size).is_ok_and(|size| hex.len() / 2 < size)
                && ![ACLITEM, TID].contains(pg_type);
            let expected = match (is_array, is_short) {
                (true, _) => "42804",
                (_, true) => "08P01",
                _ => "22P03",
            };
            assert_eq!(
                failure(read_binary(*pg_type, hex)).0,
                expected,
                "{pg_type:?} {hex}"
            );
        }
    }
    for hex in [
        "00000001000000000000001700000002000000010000000400000001",
        "000000010000000000000017000000010000000100000004000000",
        "00000001000000000000001700000001000000010000000400000001ff",
        "00000001000000000000001700000001000000017fffffff00000001",
        "0000000100000000000000177fffffff00000001",
        "000000010000000000000017ffffffff00000001",
        "ffffffff0000000000000017",
        "000000010000000200000017",
    ] {
        assert_eq!(failure(read_binary(INT4_ARRAY, hex)).0, "22P03", "{hex}");
    }
    assert_eq!(
        failure(read_binary(INT4_ARRAY, "000000000000000000000019")).0,
        "42804"
    );
    let two = "0000000200000000000000170000000100000001000000010000000100000004 00000001";
    let nested = DataType::new_list(DataType::new_list(DataType::Int32, true), true);
    assert_eq!(read_binary(INT4_ARRAY, two).unwrap().data_type(), nested);
    assert_eq!(failure(read_binary(TEXT, "ff")).0, "22021");
    assert_eq!(failure(read_binary(TEXT, "6100")).0, "22021");
    assert_eq!(failure(read_binary(JSONB, "027b7d")).0, "22P03");
    assert_eq!(
        read_binary(JSONB, "017b7d").unwrap(),
        ScalarValue::Utf8(Some("{}".into()))
    );
    assert_eq!(
        read_binary(REGCLASS, "00004000").unwrap(),
        ScalarValue::Utf8(Some("16384".into()))
    );
}

#[test]
fn undeclared_parameters_are_the_plans() {
    let read = |oid, target: &DataType, format, bytes: &[u8]| {
        parameter(oid, Some(target), format, Some(bytes), utc())
    };
    let five = ScalarValue::Int32(Some(5));
    assert_eq!(read(0, &DataType::Int32, Format::Text, b"5").unwrap(), five);
    assert_eq!(
        read(705, &DataType::Int32, Format::Binary, b"\0\0\0\x05").unwrap(),
        five
    );
    assert_eq!(
        read(25, &DataType::Int32, Format::Binary, b"5").unwrap(),
        five
    );
    assert_eq!(
        read(20, &DataType::Int32, Format::Text, b"5").unwrap(),
        five
    );
    assert_eq!(
        failure(read(20, &DataType::Int32, Format::Text, b"5000000000")).0,
        "22003"
    );
    assert_eq!(
        failure(read(25, &DataType::Int32, Format::Text, b"x")).0,
        "22P02"
    );
    let view = read(1043, &DataType::Utf8View, Format::Text, b"x").unwrap();
    assert_eq!(view, ScalarValue::Utf8View(Some("x".into())));
    let day = read(0, &DataType::Date32, Format::Text, b"2024-02-29").unwrap();
    assert_eq!(day, ScalarValue::Date32(Some(19_782)));
    let uuid = read(
        2950,
        &DataType::FixedSizeBinary(16),
        Format::Text,
        b"6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    );
    assert!(matches!(uuid, Ok(ScalarValue::FixedSizeBinary(16, Some(bytes))) if bytes[0] == 0x6b));
    let nothing = parameter(0, None, Format::Text, Some(b"x"), utc()).unwrap();
    assert_eq!(nothing, ScalarValue::Utf8(Some("x".into())));
    assert_eq!(
        failure(parameter(1, None, Format::Text, Some(b"x"), utc())).0,
        "42704"
    );
    assert_eq!(
        failure(parameter(2249, None, Format::Text, Some(b"()"), utc())).0,
        "0A000"
    );
}

#[test]
fn nulls_have_a_type() {
    let null =
        |oid, target: Option<&DataType>| parameter(oid, target, Format::Text, None, utc()).unwrap();
    assert_eq!(null(23, None), ScalarValue::Int32(None));
    assert_eq!(null(0, Some(&DataType::Int64)), ScalarValue::Int64(None));
    assert_eq!(null(0, None), ScalarValue::Utf8(None));
    assert!(null(1007, None).is_null());
}

/// The value as the encoder sends it, read back.
fn round_trip(value: &ScalarValue, format: Format, zone: &str) -> ScalarValue {
    let array: ArrayRef = value.to_array_of_size(1).unwrap();
    let field = Field::new("c", array.data_type().clone(), true);
    let oid = column_type(&field).0.oid;
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema, vec![array]).unwrap();
    let style = TextStyle::new(zone.parse().unwrap());
    let encoder = RowEncoder::try_new(batch.schema_ref(), &[format], &style).unwrap();
    let mut out = BytesMut::new();
    encoder.encode(&batch, 0..1, &mut out).unwrap();
    let cell = (out[7..11] != [0xff; 4]).then(|| &out[11..]);
    parameter(
        oid,
        Some(&value.data_type()),
        format,
        cell,
        &Reader::new(style.time, 0),
    )
    .unwrap()
}

/// Microseconds of the years 1 to 9999, where neither zone nor range can interfere.
const MICROS: std::ops::Range<i64> = -62_000_000_000_000_000..250_000_000_000_000_000;

fn any_scalar() -> impl Strategy<Value = ScalarValue> {
    let number =
        prop_oneof![
            any::<bool>().prop_map(|v| ScalarValue::Boolean(Some(v))),
            any::<i16>().prop_map(|v| ScalarValue::Int16(Some(v))),
            any::<i32>().prop_map(|v| ScalarValue::Int32(Some(v))),
            any::<i64>().prop_map(|v| ScalarValue::Int64(Some(v))),
            any::<i8>().prop_map(|v| ScalarValue::Int8(Some(v))),
            any::<u32>().prop_map(|v| ScalarValue::UInt32(Some(v))),
            any::<u64>().prop_map(|v| ScalarValue::UInt64(Some(v))),
            any::<f32>().prop_map(|v| ScalarValue::Float32(Some(v))),
            any::<f64>().prop_map(|v| ScalarValue::Float64(Some(v))),
            (-100_000_000_i64..100_000_000)
                .prop_map(|v| ScalarValue::Float64(Some(v as f64 / 100.0))),
            (-10_i128.pow(37)..10_i128.pow(37), 0_i8..38)
                .prop_map(|(v, s)| ScalarValue::Decimal128(Some(v), 38, s)),
            // A scale of 38 stands for numerics without declared digits.
            (any::<i128>(), any::<u32>(), 0_i8..38).prop_map(|(v, w, s)| {
                let wide = i256::from_i128(v).wrapping_mul(i256::from_i128(w.into()));
                ScalarValue::Decimal256(Some(wide), 76, s)
            }),
        ];
    let other = prop_oneof![
        ".{0,20}"
            .prop_filter("no NUL", |s| !s.contains('\0'))
            .prop_map(|v| ScalarValue::Utf8(Some(v))),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| ScalarValue::Binary(Some(v))),
        (-700_000_i32..2_000_000).prop_map(|v| ScalarValue::Date32(Some(v))),
        (0..86_400_000_000_i64).prop_map(|v| ScalarValue::Time64Microsecond(Some(v))),
        MICROS.prop_map(|v| ScalarValue::TimestampMicrosecond(Some(v), None)),
        MICROS.prop_map(|v| ScalarValue::TimestampMicrosecond(Some(v), Some("UTC".into()))),
        (any::<i32>(), any::<i32>(), i64::MIN / 1000..i64::MAX / 1000).prop_map(|(m, d, us)| {
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(m, d, us * 1000)))
        }),
    ];
    prop_oneof![number, other]
}

proptest! {
    #[test]
    fn scalars_survive_the_wire(value in any_scalar()) {
        for format in [Format::Text, Format::Binary] {
            let back = round_trip(&value, format, "America/New_York");
            let same_nan = matches!(
                (&value, &back),
                (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) if a.is_nan() && b.is_nan()
            ) || matches!(
                (&value, &back),
                (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) if a.is_nan() && b.is_nan()
            );
            prop_assert!(same_nan || back == value, "{format:?}: {value:?} came back as {back:?}");
        }
    }

    #[test]
    fn lists_survive_the_wire(value in any_scalar(), nulls in prop::collection::vec(any::<bool>(), 0..5)) {
        prop_assume!(!matches!(value, ScalarValue::Float64(Some(v)) if v.is_nan()));
        prop_assume!(!matches!(value, ScalarValue::Float32(Some(v)) if v.is_nan()));
        let null = ScalarValue::try_from(&value.data_type()).unwrap();
        let elements: Vec<_> =
            nulls.iter().map(|is_null| if *is_null { null.clone() } else { value.clone() }).collect();
        let list = ScalarValue::List(ScalarValue::new_list(&elements, &value.data_type(), true));
        for format in [Format::Text, Format::Binary] {
            prop_assert_eq!(&round_trip(&list, format, "Asia/Tokyo"), &list);
        }
    }

    #[test]
    fn reading_never_panics(
        pg_type in prop::sample::select(TYPES),
        binary in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let format = if binary { Format::Binary } else { Format::Text };
        let _ = parameter(pg_type.oid, None, format, Some(&bytes), utc());
    }

    #[test]
    fn reading_text_never_panics(
        pg_type in prop::sample::select(TYPES),
        text in "[-+0-9:. TZPYMDHSeE{},\"\\\\xaBC]{0,30}",
    ) {
        let _ = parameter(pg_type.oid, None, Format::Text, Some(text.as_bytes()), utc());
    }
}
