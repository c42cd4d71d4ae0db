//! Expected values come from PostgreSQL 15: `::text` and the `*_send` functions.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array,
    Decimal256Array, DictionaryArray, DurationMillisecondArray, DurationSecondArray,
    FixedSizeBinaryArray, FixedSizeListBuilder, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int32Builder, Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray,
    IntervalYearMonthArray, LargeListArray, ListArray, ListBuilder, MapBuilder, NullArray,
    RecordBatchOptions, RunArray, StringArray, StringBuilder, StringViewArray, StructArray,
    Time32SecondArray, Time64MicrosecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Fields, Int8Type, Int32Type, IntervalDayTime, IntervalMonthDayNano, i256,
};
use tokio_postgres::types::{FromSql, Type};

use super::*;

/// Value; text by default; binary; text with extra_float_digits 0 and -3.
const DOUBLES: &[(f64, &str, &str, &str, &str)] = &[
    (0.0, "0", "0000000000000000", "0", "0"),
    (-0.0, "-0", "8000000000000000", "-0", "-0"),
    (1.0, "1", "3ff0000000000000", "1", "1"),
    (-1.0, "-1", "bff0000000000000", "-1", "-1"),
    (0.1, "0.1", "3fb999999999999a", "0.1", "0.1"),
    (1.5, "1.5", "3ff8000000000000", "1.5", "1.5"),
    (
        123456.789,
        "123456.789",
        "40fe240c9fbe76c9",
        "123456.789",
        "123456.789",
    ),
    (
        1e14,
        "100000000000000",
        "42d6bcc41e900000",
        "100000000000000",
        "1e+14",
    ),
    (
        999_999_999_999_999.0,
        "999999999999999",
        "430c6bf52633fff8",
        "999999999999999",
        "1e+15",
    ),
    (1e15, "1e+15", "430c6bf526340000", "1e+15", "1e+15"),
    (1e20, "1e+20", "4415af1d78b58c40", "1e+20", "1e+20"),
    (1e22, "1e+22", "4480f0cf064dd592", "1e+22", "1e+22"),
    (
        1e23,
        "9.999999999999999e+22",
        "44b52d02c7e14af6",
        "1e+23",
        "1e+23",
    ),
    (
        9_007_199_254_740_992.0,
        "9.007199254740992e+15",
        "4340000000000000",
        "9.00719925474099e+15",
        "9.00719925474e+15",
    ),
    (
        9_007_199_254_740_991.0,
        "9.007199254740991e+15",
        "433fffffffffffff",
        "9.00719925474099e+15",
        "9.00719925474e+15",
    ),
    (0.0001, "0.0001", "3f1a36e2eb1c432d", "0.0001", "0.0001"),
    (0.00001, "1e-05", "3ee4f8b588e368f1", "1e-05", "1e-05"),
    (
        0.00012345,
        "0.00012345",
        "3f202e4b6ce5dc68",
        "0.00012345",
        "0.00012345",
    ),
    (1e-5, "1e-05", "3ee4f8b588e368f1", "1e-05", "1e-05"),
    (
        5e-324,
        "5e-324",
        "0000000000000001",
        "4.94065645841247e-324",
        "4.94065645841e-324",
    ),
    (
        2.2250738585072014e-308,
        "2.2250738585072014e-308",
        "0010000000000000",
        "2.2250738585072e-308",
        "2.22507385851e-308",
    ),
    (
        2.225073858507201e-308,
        "2.225073858507201e-308",
        "000fffffffffffff",
        "2.2250738585072e-308",
        "2.22507385851e-308",
    ),
    (
        1.7976931348623157e308,
        "1.7976931348623157e+308",
        "7fefffffffffffff",
        "1.79769313486232e+308",
        "1.79769313486e+308",
    ),
    (
        -1.7976931348623157e308,
        "-1.7976931348623157e+308",
        "ffefffffffffffff",
        "-1.79769313486232e+308",
        "-1.79769313486e+308",
    ),
    (
        std::f64::consts::PI,
        "3.141592653589793",
        "400921fb54442d18",
        "3.14159265358979",
        "3.14159265359",
    ),
    (
        0.30000000000000004,
        "0.30000000000000004",
        "3fd3333333333334",
        "0.3",
        "0.3",
    ),
    (100.0, "100", "4059000000000000", "100", "100"),
    (
        12345678.9,
        "12345678.9",
        "41678c29dccccccd",
        "12345678.9",
        "12345678.9",
    ),
    (0.5, "0.5", "3fe0000000000000", "0.5", "0.5"),
    (1e100, "1e+100", "54b249ad2594c37d", "1e+100", "1e+100"),
    (
        1.234_567_890_123_456_6e17,
        "1.2345678901234566e+17",
        "437b69b4ba630f34",
        "1.23456789012346e+17",
        "1.23456789012e+17",
    ),
    (4.35, "4.35", "4011666666666666", "4.35", "4.35"),
    (99.99, "99.99", "4058ff5c28f5c28f", "99.99", "99.99"),
    (-0.0001, "-0.0001", "bf1a36e2eb1c432d", "-0.0001", "-0.0001"),
    (
        72_057_594_037_927_952.0,
        "7.205759403792795e+16",
        "4370000000000001",
        "7.2057594037928e+16",
        "7.20575940379e+16",
    ),
    (
        8.41e21,
        "8.409999999999999e+21",
        "447c7e83209e90b2",
        "8.41e+21",
        "8.41e+21",
    ),
    (2.0e-3, "0.002", "3f60624dd2f1a9fc", "0.002", "0.002"),
    (1e21, "1e+21", "444b1ae4d6e2ef50", "1e+21", "1e+21"),
    (
        123e45,
        "1.23e+47",
        "49b58b82c0e0bb00",
        "1.23e+47",
        "1.23e+47",
    ),
    (
        223_943_281_875_771.125,
        "223943281875771.12",
        "42e9759b78836764",
        "223943281875771",
        "2.23943281876e+14",
    ),
    (
        9.5367431640625e-07,
        "9.5367431640625e-07",
        "3eb0000000000000",
        "9.5367431640625e-07",
        "9.53674316406e-07",
    ),
];

/// Value; text by default; binary; text with extra_float_digits 0.
const FLOATS: &[(f32, &str, &str, &str)] = &[
    (0.1, "0.1", "3dcccccd", "0.1"),
    (1.0, "1", "3f800000", "1"),
    (-1.5, "-1.5", "bfc00000", "-1.5"),
    (100000.0, "100000", "47c35000", "100000"),
    (999999.0, "999999", "497423f0", "999999"),
    (1000000.0, "1e+06", "49742400", "1e+06"),
    (16777216.0, "1.6777216e+07", "4b800000", "1.67772e+07"),
    (33554432.0, "3.3554432e+07", "4c000000", "3.35544e+07"),
    (1e10, "1e+10", "501502f9", "1e+10"),
    (3.4028235e38, "3.4028235e+38", "7f7fffff", "3.40282e+38"),
    (1e-45, "1e-45", "00000001", "1.4013e-45"),
    (1.1754944e-38, "1.1754944e-38", "00800000", "1.17549e-38"),
    (0.0001, "0.0001", "38d1b717", "0.0001"),
    (0.00001, "1e-05", "3727c5ac", "1e-05"),
    (1.1, "1.1", "3f8ccccd", "1.1"),
    (8.5070592e37, "8.507059e+37", "7e800000", "8.50706e+37"),
    (123456.7, "123456.7", "47f1205a", "123457"),
    (67108864.0, "6.7108864e+07", "4c800000", "6.71089e+07"),
    (5e10, "5e+10", "513a43b7", "5e+10"),
    (1e15, "1e+15", "58635fa9", "1e+15"),
    (0.3, "0.3", "3e99999a", "0.3"),
    (2_494_225.25, "2.4942252e+06", "4a183c45", "2.49423e+06"),
    (247_141.625, "247141.62", "48715968", "247142"),
];

/// Days from 1970-01-01; text; binary.
const DATES: &[(i32, &str, &str)] = &[
    (0, "1970-01-01", "ffffd533"),
    (10957, "2000-01-01", "00000000"),
    (19782, "2024-02-29", "00002279"),
    (-1, "1969-12-31", "ffffd532"),
    (-719_162, "0001-01-01", "fff4dbf9"),
    (-719_163, "0001-12-31 BC", "fff4dbf8"),
    (-719_528, "0001-01-01 BC", "fff4da8b"),
    (-2_440_588, "4714-11-24 BC", "ffda97a7"),
    (2_145_042_905, "5874897-12-31", "7fda970c"),
    (2_932_896, "9999-12-31", "002c95d3"),
    (2_932_897, "10000-01-01", "002c95d4"),
    (-683_309, "0099-03-01", "fff56806"),
    (-25509, "1900-02-28", "ffff718e"),
    (47541, "2100-03-01", "00008ee8"),
    (-865_567, "0401-02-28 BC", "fff2a014"),
];

/// Microseconds from 1970-01-01; text with zone; text without; binary.
const INSTANTS: &[(&str, i64, &str, &str, &str)] = &[
    (
        "UTC",
        0,
        "1970-01-01 00:00:00+00",
        "1970-01-01 00:00:00",
        "fffca2fec4c82000",
    ),
    (
        "UTC",
        1_706_695_200_500_000,
        "2024-01-31 10:00:00.5+00",
        "2024-01-31 10:00:00.5",
        "0002b339b5f28920",
    ),
    (
        "UTC",
        1_719_837_296_789_012,
        "2024-07-01 12:34:56.789012+00",
        "2024-07-01 12:34:56.789012",
        "0002bf2d97eda614",
    ),
    (
        "UTC",
        -1,
        "1969-12-31 23:59:59.999999+00",
        "1969-12-31 23:59:59.999999",
        "fffca2fec4c81fff",
    ),
    (
        "UTC",
        -2_827_008_000_000_000,
        "1880-06-01 00:00:00+00",
        "1880-06-01 00:00:00",
        "fff297d8ad2a2000",
    ),
    (
        "UTC",
        -62_135_600_400_000_000,
        "0001-12-31 23:00:00+00 BC",
        "0001-12-31 23:00:00 BC",
        "ff1fe2feef08bc00",
    ),
    (
        "UTC",
        -210_866_716_800_000_000,
        "4714-11-25 00:00:00+00 BC",
        "4714-11-25 00:00:00 BC",
        "fd0f7cd55ef70000",
    ),
    (
        "UTC",
        1_711_846_799_000_000,
        "2024-03-31 00:59:59+00",
        "2024-03-31 00:59:59",
        "0002b7e9292561c0",
    ),
    (
        "UTC",
        1_711_846_800_000_000,
        "2024-03-31 01:00:00+00",
        "2024-03-31 01:00:00",
        "0002b7e92934a400",
    ),
    (
        "UTC",
        1_729_990_799_000_000,
        "2024-10-27 00:59:59+00",
        "2024-10-27 00:59:59",
        "0002c869a3d221c0",
    ),
    (
        "UTC",
        1_729_990_800_000_000,
        "2024-10-27 01:00:00+00",
        "2024-10-27 01:00:00",
        "0002c869a3e16400",
    ),
    (
        "UTC",
        1_710_053_999_900_000,
        "2024-03-10 06:59:59.9+00",
        "2024-03-10 06:59:59.9",
        "0002b647bdfe1560",
    ),
    (
        "UTC",
        1_710_054_000_000_000,
        "2024-03-10 07:00:00+00",
        "2024-03-10 07:00:00",
        "0002b647bdff9c00",
    ),
    (
        "UTC",
        253_402_300_799_000_000,
        "9999-12-31 23:59:59+00",
        "9999-12-31 23:59:59",
        "0380e70b912c3dc0",
    ),
];

/// Session zone; microseconds from 1970-01-01; text.
const ZONED: &[(&str, i64, &str)] = &[
    ("Europe/Berlin", 0, "1970-01-01 01:00:00+01"),
    (
        "Europe/Berlin",
        1_706_695_200_500_000,
        "2024-01-31 11:00:00.5+01",
    ),
    (
        "Europe/Berlin",
        1_719_837_296_789_012,
        "2024-07-01 14:34:56.789012+02",
    ),
    ("Europe/Berlin", -1, "1970-01-01 00:59:59.999999+01"),
    (
        "Europe/Berlin",
        -2_827_008_000_000_000,
        "1880-06-01 00:53:28+00:53:28",
    ),
    (
        "Europe/Berlin",
        -62_135_600_400_000_000,
        "0001-12-31 23:53:28+00:53:28 BC",
    ),
    (
        "Europe/Berlin",
        -210_866_716_800_000_000,
        "4714-11-25 00:53:28+00:53:28 BC",
    ),
    (
        "Europe/Berlin",
        1_711_846_799_000_000,
        "2024-03-31 01:59:59+01",
    ),
    (
        "Europe/Berlin",
        1_711_846_800_000_000,
        "2024-03-31 03:00:00+02",
    ),
    (
        "Europe/Berlin",
        1_729_990_799_000_000,
        "2024-10-27 02:59:59+02",
    ),
    (
        "Europe/Berlin",
        1_729_990_800_000_000,
        "2024-10-27 02:00:00+01",
    ),
    (
        "Europe/Berlin",
        1_710_053_999_900_000,
        "2024-03-10 07:59:59.9+01",
    ),
    (
        "Europe/Berlin",
        1_710_054_000_000_000,
        "2024-03-10 08:00:00+01",
    ),
    (
        "Europe/Berlin",
        253_402_300_799_000_000,
        "10000-01-01 00:59:59+01",
    ),
    ("America/New_York", 0, "1969-12-31 19:00:00-05"),
    (
        "America/New_York",
        1_706_695_200_500_000,
        "2024-01-31 05:00:00.5-05",
    ),
    (
        "America/New_York",
        1_719_837_296_789_012,
        "2024-07-01 08:34:56.789012-04",
    ),
    ("America/New_York", -1, "1969-12-31 18:59:59.999999-05"),
    (
        "America/New_York",
        -2_827_008_000_000_000,
        "1880-05-31 19:03:58-04:56:02",
    ),
    (
        "America/New_York",
        -62_135_600_400_000_000,
        "0001-12-31 18:03:58-04:56:02 BC",
    ),
    (
        "America/New_York",
        -210_866_716_800_000_000,
        "4714-11-24 19:03:58-04:56:02 BC",
    ),
    (
        "America/New_York",
        1_711_846_799_000_000,
        "2024-03-30 20:59:59-04",
    ),
    (
        "America/New_York",
        1_711_846_800_000_000,
        "2024-03-30 21:00:00-04",
    ),
    (
        "America/New_York",
        1_729_990_799_000_000,
        "2024-10-26 20:59:59-04",
    ),
    (
        "America/New_York",
        1_729_990_800_000_000,
        "2024-10-26 21:00:00-04",
    ),
    (
        "America/New_York",
        1_710_053_999_900_000,
        "2024-03-10 01:59:59.9-05",
    ),
    (
        "America/New_York",
        1_710_054_000_000_000,
        "2024-03-10 03:00:00-04",
    ),
    (
        "America/New_York",
        253_402_300_799_000_000,
        "9999-12-31 18:59:59-05",
    ),
    ("Asia/Kolkata", 0, "1970-01-01 05:30:00+05:30"),
    (
        "Asia/Kolkata",
        1_706_695_200_500_000,
        "2024-01-31 15:30:00.5+05:30",
    ),
    (
        "Asia/Kolkata",
        1_719_837_296_789_012,
        "2024-07-01 18:04:56.789012+05:30",
    ),
    ("Asia/Kolkata", -1, "1970-01-01 05:29:59.999999+05:30"),
    (
        "Asia/Kolkata",
        -2_827_008_000_000_000,
        "1880-06-01 05:21:10+05:21:10",
    ),
    (
        "Asia/Kolkata",
        -62_135_600_400_000_000,
        "0001-01-01 04:53:28+05:53:28",
    ),
    (
        "Asia/Kolkata",
        -210_866_716_800_000_000,
        "4714-11-25 05:53:28+05:53:28 BC",
    ),
    (
        "Asia/Kolkata",
        1_711_846_799_000_000,
        "2024-03-31 06:29:59+05:30",
    ),
    (
        "Asia/Kolkata",
        1_711_846_800_000_000,
        "2024-03-31 06:30:00+05:30",
    ),
    (
        "Asia/Kolkata",
        1_729_990_799_000_000,
        "2024-10-27 06:29:59+05:30",
    ),
    (
        "Asia/Kolkata",
        1_729_990_800_000_000,
        "2024-10-27 06:30:00+05:30",
    ),
    (
        "Asia/Kolkata",
        1_710_053_999_900_000,
        "2024-03-10 12:29:59.9+05:30",
    ),
    (
        "Asia/Kolkata",
        1_710_054_000_000_000,
        "2024-03-10 12:30:00+05:30",
    ),
    (
        "Asia/Kolkata",
        253_402_300_799_000_000,
        "10000-01-01 05:29:59+05:30",
    ),
    ("Asia/Kathmandu", 0, "1970-01-01 05:30:00+05:30"),
    (
        "Asia/Kathmandu",
        1_706_695_200_500_000,
        "2024-01-31 15:45:00.5+05:45",
    ),
    (
        "Asia/Kathmandu",
        1_719_837_296_789_012,
        "2024-07-01 18:19:56.789012+05:45",
    ),
    ("Asia/Kathmandu", -1, "1970-01-01 05:29:59.999999+05:30"),
    (
        "Asia/Kathmandu",
        -2_827_008_000_000_000,
        "1880-06-01 05:41:16+05:41:16",
    ),
    (
        "Asia/Kathmandu",
        -62_135_600_400_000_000,
        "0001-01-01 04:41:16+05:41:16",
    ),
    (
        "Asia/Kathmandu",
        -210_866_716_800_000_000,
        "4714-11-25 05:41:16+05:41:16 BC",
    ),
    (
        "Asia/Kathmandu",
        1_711_846_799_000_000,
        "2024-03-31 06:44:59+05:45",
    ),
    (
        "Asia/Kathmandu",
        1_711_846_800_000_000,
        "2024-03-31 06:45:00+05:45",
    ),
    (
        "Asia/Kathmandu",
        1_729_990_799_000_000,
        "2024-10-27 06:44:59+05:45",
    ),
    (
        "Asia/Kathmandu",
        1_729_990_800_000_000,
        "2024-10-27 06:45:00+05:45",
    ),
    (
        "Asia/Kathmandu",
        1_710_053_999_900_000,
        "2024-03-10 12:44:59.9+05:45",
    ),
    (
        "Asia/Kathmandu",
        1_710_054_000_000_000,
        "2024-03-10 12:45:00+05:45",
    ),
    (
        "Asia/Kathmandu",
        253_402_300_799_000_000,
        "10000-01-01 05:44:59+05:45",
    ),
];

/// The same after the end of the zone tables.
const FAR: &[(&str, i64, &str)] = &[
    (
        "Europe/Berlin",
        7_779_096_027_000_000,
        "2216-07-05 22:00:27+02",
    ),
    (
        "Europe/Berlin",
        4_107_499_200_000_000,
        "2100-02-28 13:00:00+01",
    ),
    (
        "Europe/Berlin",
        253_386_403_200_000_000,
        "9999-07-01 02:00:00+02",
    ),
    (
        "Europe/Berlin",
        4_078_429_199_000_000,
        "2099-03-29 01:59:59+01",
    ),
    (
        "Europe/Berlin",
        4_078_429_200_000_000,
        "2099-03-29 03:00:00+02",
    ),
    (
        "Europe/Berlin",
        13_595_561_999_000_000,
        "2400-10-29 02:59:59+02",
    ),
    (
        "Europe/Berlin",
        13_595_562_000_000_000,
        "2400-10-29 02:00:00+01",
    ),
    (
        "Africa/Casablanca",
        7_779_096_027_000_000,
        "2216-07-05 21:00:27+01",
    ),
    (
        "Africa/Casablanca",
        16_756_761_599_000_000,
        "2501-01-01 00:59:59+01",
    ),
    (
        "Australia/Lord_Howe",
        7_779_096_027_000_000,
        "2216-07-06 06:30:27+10:30",
    ),
    (
        "Australia/Lord_Howe",
        16_756_761_599_000_000,
        "2501-01-01 10:59:59+11",
    ),
];

/// Months; days; microseconds; text; binary.
const INTERVALS: &[(i32, i32, i64, &str, &str)] = &[
    (
        14,
        3,
        14_706_789_000,
        "1 year 2 mons 3 days 04:05:06.789",
        "000000036c97ca88000000030000000e",
    ),
    (0, 0, 0, "00:00:00", "00000000000000000000000000000000"),
    (
        -10,
        -3,
        14_706_000_000,
        "-10 mons -3 days +04:05:06",
        "000000036c8bc080fffffffdfffffff6",
    ),
    (
        1,
        -1,
        0,
        "1 mon -1 days",
        "0000000000000000ffffffff00000001",
    ),
    (
        0,
        -1,
        7_380_000_000,
        "-1 days +02:03:00",
        "00000001b7e1dd00ffffffff00000000",
    ),
    (
        0,
        0,
        -500_000,
        "-00:00:00.5",
        "fffffffffff85ee00000000000000000",
    ),
    (
        0,
        0,
        360_000_000_000,
        "100:00:00",
        "00000053d1ac10000000000000000000",
    ),
    (
        1,
        0,
        -1_000_000,
        "1 mon -00:00:01",
        "fffffffffff0bdc00000000000000001",
    ),
    (-1, 0, 0, "-1 mons", "000000000000000000000000ffffffff"),
    (
        1,
        1,
        1,
        "1 mon 1 day 00:00:00.000001",
        "00000000000000010000000100000001",
    ),
    (12, 0, 0, "1 year", "0000000000000000000000000000000c"),
    (13, 0, 0, "1 year 1 mon", "0000000000000000000000000000000d"),
    (
        -13,
        2,
        -1,
        "-1 years -1 mons +2 days -00:00:00.000001",
        "ffffffffffffffff00000002fffffff3",
    ),
    (
        2_147_483_647,
        2_147_483_647,
        9_223_372_036_854_775,
        "178956970 years 7 mons 2147483647 days 2562047:47:16.854775",
        "0020c49ba5e353f77fffffff7fffffff",
    ),
    (
        -2_147_483_648,
        -2_147_483_648,
        -9_223_372_036_854_775,
        "-178956970 years -8 mons -2147483648 days -2562047:47:16.854775",
        "ffdf3b645a1cac098000000080000000",
    ),
    (0, 1, 0, "1 day", "00000000000000000000000100000000"),
    (0, -2, 0, "-2 days", "0000000000000000fffffffe00000000"),
    (
        -12,
        1,
        0,
        "-1 years +1 day",
        "000000000000000000000001fffffff4",
    ),
    (
        5,
        0,
        3_600_000_000,
        "5 mons 01:00:00",
        "00000000d693a4000000000000000005",
    ),
    (
        -25,
        0,
        0,
        "-2 years -1 mons",
        "000000000000000000000000ffffffe7",
    ),
];

const NUMERICS: &[(&str, &str)] = &[
    ("0", "0000000000000000"),
    ("0.00", "0000000000000002"),
    ("1", "00010000000000000001"),
    ("-1", "00010000400000000001"),
    ("1.5", "000200000000000100011388"),
    ("10000", "00010001000000000001"),
    ("100000000", "00010002000000000001"),
    ("0.0001", "0001ffff000000040001"),
    ("0.00001", "0001fffe0000000503e8"),
    (
        "123456789012345678901234567.8901234567",
        "000a00060000000a007b11d722c509291a85007b11d722c509291a2c",
    ),
    (
        "-9999999999999999999999999999.9999999999",
        "000a00064000000a270f270f270f270f270f270f270f270f270f26ac",
    ),
    ("0.10", "0001ffff0000000203e8"),
    ("12.345", "0002000000000003000c0d7a"),
    ("99990000", "0001000100000000270f"),
    (
        "18446744073709551615",
        "000500040000000007341a5802e103bb064f",
    ),
    ("-123000", "0002000140000000000c0bb8"),
    ("1234567.89", "0003000100000002007b11d722c4"),
    (
        "0.000000000000000000000000000000000001",
        "0001fff7000000240001",
    ),
];

fn utc() -> TextStyle {
    TextStyle::new("UTC".parse().unwrap())
}

fn zone(name: &str) -> TextStyle {
    TextStyle::new(name.parse().unwrap())
}

fn batch(field: Field, array: ArrayRef) -> RecordBatch {
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap()
}

/// The cells of a one-column batch, taken from the DataRow messages.
fn cells_of(
    field: Field,
    array: &ArrayRef,
    format: Format,
    style: &TextStyle,
) -> Vec<Option<Bytes>> {
    let batch = batch(field, ArrayRef::clone(array));
    let mut out = BytesMut::new();
    let encoder = RowEncoder::try_new(batch.schema_ref(), &[format], style).unwrap();
    encoder
        .encode(&batch, 0..batch.num_rows(), &mut out)
        .unwrap();
    split_rows(&out)
        .into_iter()
        .map(|row| row.into_iter().next().unwrap())
        .collect()
}

fn split_rows(mut out: &[u8]) -> Vec<Vec<Option<Bytes>>> {
    use bytes::Buf;
    let mut rows = vec![];
    while out.has_remaining() {
        assert_eq!(out.get_u8(), b'D');
        let len = out.get_i32() as usize - 4;
        let (mut row, rest) = out.split_at(len);
        out = rest;
        let count = row.get_i16();
        let mut cells = vec![];
        for _ in 0..count {
            cells.push(match row.get_i32() {
                -1 => None,
                len => {
                    let (cell, rest) = row.split_at(len as usize);
                    row = rest;
                    Some(Bytes::copy_from_slice(cell))
                }
            });
        }
        assert!(row.is_empty());
        rows.push(cells);
    }
    rows
}

fn field(array: &ArrayRef) -> Field {
    Field::new("c", array.data_type().clone(), true)
}

fn texts_in(array: &ArrayRef, style: &TextStyle) -> Vec<String> {
    cells_of(field(array), array, Format::Text, style)
        .into_iter()
        .map(|cell| {
            cell.map_or("∅".into(), |cell| {
                String::from_utf8(cell.to_vec()).unwrap()
            })
        })
        .collect()
}

fn texts(array: &ArrayRef) -> Vec<String> {
    texts_in(array, &utc())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn binaries(array: &ArrayRef) -> Vec<String> {
    cells_of(field(array), array, Format::Binary, &utc())
        .into_iter()
        .map(|cell| cell.map_or("∅".into(), |cell| hex(&cell)))
        .collect()
}

fn state(array: &ArrayRef) -> &'static str {
    let batch = batch(field(array), ArrayRef::clone(array));
    let mut codes = [Format::Text, Format::Binary].map(|format| {
        let mut out = BytesMut::new();
        let encoder = RowEncoder::try_new(batch.schema_ref(), &[format], &utc()).unwrap();
        encoder
            .encode(&batch, 0..batch.num_rows(), &mut out)
            .unwrap_err()
            .state()
            .code()
    });
    codes.sort_unstable();
    assert_eq!(codes[0], codes[1]);
    codes[0]
}

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn integers_and_booleans() {
    let check = |array: ArrayRef, text: &[&str], binary: &[&str]| {
        assert_eq!(texts(&array), text);
        assert_eq!(binaries(&array), binary);
    };
    check(
        array(BooleanArray::from(vec![Some(true), Some(false), None])),
        &["t", "f", "∅"],
        &["01", "00", "∅"],
    );
    check(
        array(Int8Array::from(vec![-128, 127])),
        &["-128", "127"],
        &["ff80", "007f"],
    );
    check(
        array(Int16Array::from(vec![i16::MIN, 99])),
        &["-32768", "99"],
        &["8000", "0063"],
    );
    check(
        array(Int32Array::from(vec![i32::MIN, 100])),
        &["-2147483648", "100"],
        &["80000000", "00000064"],
    );
    check(
        array(Int64Array::from(vec![i64::MIN, i64::MAX, 0, -7])),
        &["-9223372036854775808", "9223372036854775807", "0", "-7"],
        &[
            "8000000000000000",
            "7fffffffffffffff",
            "0000000000000000",
            "fffffffffffffff9",
        ],
    );
    check(array(UInt8Array::from(vec![255])), &["255"], &["00ff"]);
    check(
        array(UInt16Array::from(vec![65_535])),
        &["65535"],
        &["0000ffff"],
    );
    check(
        array(UInt32Array::from(vec![u32::MAX])),
        &["4294967295"],
        &["00000000ffffffff"],
    );
    check(
        array(UInt64Array::from(vec![u64::MAX])),
        &["18446744073709551615"],
        &["000500040000000007341a5802e103bb064f"],
    );
    check(array(NullArray::new(2)), &["∅", "∅"], &["∅", "∅"]);
}

#[test]
fn doubles() {
    for (value, text, binary, fifteen, twelve) in DOUBLES {
        let column = array(Float64Array::from(vec![*value]));
        assert_eq!(texts(&column), [*text]);
        assert_eq!(binaries(&column), [*binary]);
        let style = |extra| TextStyle {
            extra_float_digits: extra,
            ..utc()
        };
        assert_eq!(texts_in(&column, &style(0)), [*fifteen]);
        assert_eq!(texts_in(&column, &style(-3)), [*twelve]);
    }
    let special = Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    assert_eq!(texts(&array(special)), ["NaN", "Infinity", "-Infinity"]);
}

#[test]
fn floats() {
    for (value, text, binary, six) in FLOATS {
        let column = array(Float32Array::from(vec![*value]));
        assert_eq!(texts(&column), [*text]);
        assert_eq!(binaries(&column), [*binary]);
        let style = TextStyle {
            extra_float_digits: 0,
            ..utc()
        };
        assert_eq!(texts_in(&column, &style), [*six]);
    }
    let half = cast(&Float32Array::from(vec![1.5, 65_504.0]), &DataType::Float16).unwrap();
    assert_eq!(texts(&half), ["1.5", "65504"]);
    assert_eq!(binaries(&half), ["3fc00000", "477fe000"]);
}

/// The unscaled value and scale of decimal text.
fn unscaled(text: &str) -> (i128, i8) {
    let scale = text
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    (text.replace('.', "").parse().unwrap(), scale as i8)
}

#[test]
fn numerics() {
    for (text, binary) in NUMERICS {
        let (value, scale) = unscaled(text);
        let narrow = Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale);
        let narrow = array(narrow.unwrap());
        assert_eq!(texts(&narrow), [*text]);
        assert_eq!(binaries(&narrow), [*binary], "{text}");
        let wide = Decimal256Array::from(vec![i256::from_i128(value)]);
        let wide = array(wide.with_precision_and_scale(76, scale).unwrap());
        assert_eq!(texts(&wide), [*text]);
        assert_eq!(binaries(&wide), [*binary], "{text}");
    }
}

#[test]
fn numerics_at_the_limits() {
    // '12300'::numeric(5,-2)
    let negative = Decimal128Array::from(vec![123, 0])
        .with_precision_and_scale(5, -2)
        .unwrap();
    assert_eq!(texts(&array(negative.clone())), ["12300", "0"]);
    assert_eq!(
        binaries(&array(negative)),
        ["0002000100000000000108fc", "0000000000000000"]
    );
    let digits = "9".repeat(76);
    let wide = Decimal256Array::from(vec![i256::from_string(&digits).unwrap()]);
    let whole = array(wide.clone().with_precision_and_scale(76, 0).unwrap());
    assert_eq!(texts(&whole), [digits.clone()]);
    assert_eq!(
        binaries(&whole),
        [format!("0013001200000000{}", "270f".repeat(19))]
    );
    let shifted = array(wide.with_precision_and_scale(76, 75).unwrap());
    assert_eq!(texts(&shifted), [format!("9.{}", "9".repeat(75))]);
    assert_eq!(
        binaries(&shifted),
        [format!("001400000000004b0009{}26ac", "270f".repeat(18)).replace("26ac", "2706")]
    );
    let least = Decimal128Array::from(vec![i128::MIN])
        .with_precision_and_scale(38, 38)
        .unwrap();
    assert_eq!(
        texts(&array(least)),
        ["-1.70141183460469231731687303715884105728"]
    );
}

#[test]
fn text_and_bytes() {
    let values = vec![
        Some("a"),
        None,
        Some(""),
        Some("Zoë 日本 with more than twelve bytes"),
    ];
    let expected = ["a", "∅", "", "Zoë 日本 with more than twelve bytes"];
    let plain = array(StringArray::from(values));
    for data_type in [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::LargeUtf8)),
    ] {
        let column = cast(&plain, &data_type).unwrap();
        assert_eq!(texts(&column), expected, "{data_type}");
        assert_eq!(binaries(&column)[0], "61", "{data_type}");
        assert_eq!(texts(&column.slice(1, 2)), expected[1..3], "{data_type}");
    }
    let bytes = array(BinaryArray::from(vec![&b"\x00\xff\x10ab"[..], b""]));
    for data_type in [
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
    ] {
        let column = cast(&bytes, &data_type).unwrap();
        assert_eq!(texts(&column), ["\\x00ff106162", "\\x"]);
        assert_eq!(binaries(&column), ["00ff106162", ""]);
    }
    let long: Vec<u8> = (0..=255).collect();
    let column = array(BinaryArray::from(vec![&long[..]]));
    assert_eq!(texts(&column), [format!("\\x{}", hex(&long))]);
}

#[test]
fn encoded_columns_go_out_as_their_values() {
    let keys = Int8Array::from(vec![Some(1), None, Some(0), Some(2)]);
    let values = StringArray::from(vec![Some("x"), Some("y"), None]);
    let dictionary = DictionaryArray::<Int8Type>::try_new(keys, Arc::new(values)).unwrap();
    assert_eq!(texts(&array(dictionary)), ["y", "∅", "x", "∅"]);
    let empty = DictionaryArray::<Int8Type>::try_new(
        Int8Array::from(vec![None, None]),
        Arc::new(StringArray::from(Vec::<&str>::new())),
    );
    assert_eq!(texts(&array(empty.unwrap())), ["∅", "∅"]);
    let runs = RunArray::<Int32Type>::try_new(
        &Int32Array::from(vec![2, 3, 6]),
        &Int64Array::from(vec![Some(10), None, Some(30)]),
    );
    let runs = array(runs.unwrap());
    assert_eq!(texts(&runs), ["10", "10", "∅", "30", "30", "30"]);
    assert_eq!(texts(&runs.slice(1, 3)), ["10", "∅", "30"]);
    assert_eq!(binaries(&runs.slice(3, 1)), ["000000000000001e"]);
}

#[test]
fn dates() {
    for (days, text, binary) in DATES {
        let column = array(Date32Array::from(vec![*days]));
        assert_eq!(texts(&column), [*text]);
        assert_eq!(binaries(&column), [*binary]);
        let millis = i64::from(*days) * 86_400_000;
        assert_eq!(
            texts(&array(Date64Array::from(vec![millis, millis + 86_399_999]))),
            [*text; 2]
        );
    }
    for days in [i32::MIN + 1, i32::MAX - 1, -2_440_589, 2_145_042_906] {
        assert_eq!(state(&array(Date32Array::from(vec![days]))), "22008");
    }
    assert_eq!(state(&array(Date64Array::from(vec![i64::MIN]))), "22008");
}

#[test]
fn days_and_dates_are_inverse() {
    for day in (-2_451_545..2_145_031_949).step_by(99_991) {
        let (year, month, of_month) = crate::calendar::civil(day);
        assert_eq!(crate::calendar::day_of(year, month, of_month), Some(day));
    }
    assert_eq!(crate::calendar::day_of(2023, 2, 29), None);
    assert_eq!(crate::calendar::day_of(2024, 13, 1), None);
    assert_eq!(crate::calendar::day_of(2024, 1, 0), None);
    assert_eq!(crate::calendar::day_of(2024, 4, 31), None);
}

#[test]
fn timestamps() {
    for (_, micros, zoned, plain, binary) in INSTANTS {
        let column = array(TimestampMicrosecondArray::from(vec![*micros]));
        assert_eq!(texts(&column), [*plain]);
        assert_eq!(binaries(&column), [*binary]);
        let column = TimestampMicrosecondArray::from(vec![*micros]).with_timezone("Asia/Tokyo");
        assert_eq!(texts(&array(column.clone())), [*zoned]);
        assert_eq!(binaries(&array(column)), [*binary]);
    }
    for (name, micros, text) in ZONED {
        let column = TimestampMicrosecondArray::from(vec![*micros]).with_timezone("UTC");
        assert_eq!(texts_in(&array(column), &zone(name)), [*text], "{name}");
    }
    for (name, micros, text) in FAR {
        let column = TimestampMicrosecondArray::from(vec![*micros]).with_timezone("UTC");
        assert_eq!(texts_in(&array(column), &zone(name)), [*text], "{name}");
    }
    let fixed = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    assert_eq!(
        texts_in(&array(fixed), &zone("<-03:30>+03:30")),
        ["1969-12-31 20:30:00-03:30"]
    );
}

#[test]
fn the_memo_of_offsets_serves_whole_columns() {
    for name in ["Europe/Berlin", "America/New_York", "Asia/Kolkata"] {
        let of_zone: Vec<_> = ZONED.iter().filter(|(zone, _, _)| *zone == name).collect();
        // Each instant twice: the second look-up finds what the first left.
        let micros: Vec<i64> = of_zone
            .iter()
            .chain(&of_zone)
            .map(|(_, micros, _)| *micros)
            .collect();
        let expected: Vec<&str> = of_zone
            .iter()
            .chain(&of_zone)
            .map(|(_, _, text)| *text)
            .collect();
        let column = TimestampMicrosecondArray::from(micros).with_timezone("UTC");
        assert_eq!(texts_in(&array(column), &zone(name)), expected);
    }
}

#[test]
fn units_of_timestamps() {
    let seconds = array(TimestampSecondArray::from(vec![
        9_224_318_015_999,
        -210_866_803_200,
    ]));
    assert_eq!(
        texts(&seconds),
        ["294276-12-31 23:59:59", "4714-11-24 00:00:00 BC"]
    );
    assert_eq!(binaries(&seconds), ["7fffff5bb3a35dc0", "fd0f7cc1411fa000"]);
    let millis = array(TimestampMillisecondArray::from(vec![-1, 1500]));
    assert_eq!(
        texts(&millis),
        ["1969-12-31 23:59:59.999", "1970-01-01 00:00:01.5"]
    );
    // Rounded down: 1 ns before the epoch is in its last microsecond before it.
    let nanos = array(TimestampNanosecondArray::from(vec![
        -1,
        1_999,
        999,
        i64::MIN,
        i64::MAX,
    ]));
    assert_eq!(
        texts(&nanos),
        [
            "1969-12-31 23:59:59.999999",
            "1970-01-01 00:00:00.000001",
            "1970-01-01 00:00:00",
            "1677-09-21 00:12:43.145224",
            "2262-04-11 23:47:16.854775",
        ]
    );
    for value in [9_224_318_016_000, -210_866_803_201, i64::MAX, i64::MIN] {
        assert_eq!(
            state(&array(TimestampSecondArray::from(vec![value]))),
            "22008"
        );
        let zoned = TimestampSecondArray::from(vec![value]).with_timezone("UTC");
        assert_eq!(state(&array(zoned)), "22008");
    }
    assert_eq!(
        state(&array(TimestampMicrosecondArray::from(vec![i64::MIN + 1]))),
        "22008"
    );
}

#[test]
fn times() {
    let micros = array(Time64MicrosecondArray::from(vec![
        0,
        86_399_500_000,
        86_400_000_000,
    ]));
    assert_eq!(texts(&micros), ["00:00:00", "23:59:59.5", "24:00:00"]);
    assert_eq!(binaries(&micros)[1], "000000141dcfbee0");
    assert_eq!(
        texts(&array(Time32SecondArray::from(vec![3661]))),
        ["01:01:01"]
    );
    assert_eq!(
        texts(&array(Time64NanosecondArray::from(vec![1_999]))),
        ["00:00:00.000001"]
    );
    assert_eq!(state(&array(Time32SecondArray::from(vec![-1]))), "22008");
    assert_eq!(
        state(&array(Time64NanosecondArray::from(vec![
            86_400_000_001_000
        ]))),
        "22008"
    );
}

#[test]
fn intervals() {
    for (months, days, micros, text, binary) in INTERVALS {
        let value = IntervalMonthDayNano::new(*months, *days, micros * 1000);
        let column = array(IntervalMonthDayNanoArray::from(vec![value]));
        assert_eq!(texts(&column), [*text]);
        assert_eq!(binaries(&column), [*binary]);
    }
    let year_month = array(IntervalYearMonthArray::from(vec![14, -1]));
    assert_eq!(texts(&year_month), ["1 year 2 mons", "-1 mons"]);
    let day_time = IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, -1500)]);
    assert_eq!(texts(&array(day_time)), ["1 day -00:00:01.5"]);
    assert_eq!(
        texts(&array(DurationSecondArray::from(vec![93_600]))),
        ["26:00:00"]
    );
    assert_eq!(
        texts(&array(DurationMillisecondArray::from(vec![-1]))),
        ["-00:00:00.001"]
    );
    assert_eq!(
        state(&array(DurationSecondArray::from(vec![i64::MAX]))),
        "22008"
    );
    // Towards zero: less than a microsecond is nothing.
    let tiny = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 0, -999)]);
    assert_eq!(texts(&array(tiny)), ["00:00:00"]);
}

fn int_lists() -> ListArray {
    ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None, Some(3)]),
        None,
        Some(vec![]),
        Some(vec![Some(-5)]),
    ])
}

#[test]
fn arrays_of_integers() {
    let lists = array(int_lists());
    let text = ["{1,NULL,3}", "∅", "{}", "{-5}"];
    let binary = [
        "00000001000000010000001700000003000000010000000400000001ffffffff0000000400000003",
        "∅",
        "000000000000000000000017",
        "000000010000000000000017000000010000000100000004fffffffb",
    ];
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    for data_type in [
        DataType::List(Arc::clone(&item)),
        DataType::LargeList(Arc::clone(&item)),
        DataType::ListView(Arc::clone(&item)),
        DataType::LargeListView(item),
    ] {
        let column = cast(&lists, &data_type).unwrap();
        assert_eq!(texts(&column), text, "{data_type}");
        assert_eq!(binaries(&column), binary, "{data_type}");
        assert_eq!(texts(&column.slice(2, 2)), text[2..], "{data_type}");
    }
    let values = Vec::<i32>::from_sql(
        &Type::INT4_ARRAY,
        &cells_of(field(&lists), &lists.slice(3, 1), Format::Binary, &utc())[0]
            .clone()
            .unwrap(),
    );
    assert_eq!(values.unwrap(), [-5]);
}

#[test]
fn fixed_size_lists_in_slices() {
    let mut builder = FixedSizeListBuilder::new(Int32Builder::new(), 2);
    for value in 0..4 {
        builder.values().append_value(value);
        builder.values().append_value(value * 10);
        builder.append(value != 1);
    }
    let lists = array(builder.finish());
    assert_eq!(texts(&lists), ["{0,0}", "∅", "{2,20}", "{3,30}"]);
    assert_eq!(texts(&lists.slice(1, 3)), ["∅", "{2,20}", "{3,30}"]);
}

fn text_list(values: &[Option<&str>]) -> ListArray {
    let mut builder = ListBuilder::new(StringBuilder::new());
    builder.append_value(values.iter().copied());
    builder.finish()
}

#[test]
fn array_elements_are_quoted_where_needed() {
    let values = [
        Some("a"),
        Some(""),
        Some("NULL"),
        Some("a b"),
        Some("x\"y"),
        Some("b\\z"),
        None,
        Some("null"),
        Some("{"),
        Some("a,b"),
        Some("é"),
    ];
    assert_eq!(
        texts(&array(text_list(&values))),
        [r#"{a,"","NULL","a b","x\"y","b\\z",NULL,"null","{","a,b",é}"#]
    );
    assert_eq!(
        binaries(&array(text_list(&[Some("a"), Some("b")]))),
        ["000000010000000000000019000000020000000100000001610000000162"]
    );
    let stamps = TimestampSecondArray::from(vec![1_704_067_200]);
    let offsets = OffsetBuffer::from_lengths([1]);
    let item = Arc::new(Field::new_list_field(stamps.data_type().clone(), true));
    let lists = LargeListArray::new(item, offsets_i64(&offsets), Arc::new(stamps), None);
    assert_eq!(texts(&array(lists)), ["{\"2024-01-01 00:00:00\"}"]);
}

fn offsets_i64(offsets: &OffsetBuffer<i32>) -> OffsetBuffer<i64> {
    OffsetBuffer::from_lengths(offsets.lengths())
}

fn records() -> StructArray {
    let fields: Fields = vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b \"x\"", DataType::Utf8, true),
    ]
    .into();
    let columns: Vec<ArrayRef> = vec![
        array(Int32Array::from(vec![Some(1), None, Some(3), Some(4)])),
        array(StringArray::from(vec![
            Some("b c"),
            None,
            Some(""),
            Some("q\"\\"),
        ])),
    ];
    StructArray::new(fields, columns, Some(vec![true, true, true, true].into()))
}

#[test]
fn records_as_postgresql_writes_them() {
    let column = array(records());
    assert_eq!(
        texts(&column),
        [r#"(1,"b c")"#, "(,)", r#"(3,"")"#, r#"(4,"q""\\")"#]
    );
    assert_eq!(
        binaries(&column)[0],
        "0000000200000017000000040000000100000019000000036220 63".replace(' ', "")
    );
    assert_eq!(
        binaries(&column)[1],
        "0000000200000017ffffffff00000019ffffffff"
    );
    let item = Arc::new(Field::new_list_field(column.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([2, 2]);
    let lists = array(ListArray::new(item, offsets, Arc::new(records()), None));
    assert_eq!(texts(&lists)[0], r#"{"(1,\"b c\")","(,)"}"#);
    assert_eq!(
        &binaries(&lists)[0][..40],
        "0000000100000000000008c90000000200000001"
    );
}

#[test]
fn nested_lists_are_arrays_and_maps_json() {
    let inner = array(int_lists());
    let item = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([3, 1]);
    let lists = array(ListArray::new(item, offsets, inner, None));
    assert_eq!(texts(&lists), ["{{1,NULL,3},NULL,{}}", "{{-5}}"]);
    let binary = "00000002000000000000001700000001000000010000000100000001\
                  00000004fffffffb";
    assert_eq!(binaries(&lists.slice(1, 1))[0], binary);

    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    builder.keys().append_value("a\"\u{1}\n");
    builder.values().append_value(1);
    builder.keys().append_value("b");
    builder.values().append_null();
    builder.append(true).unwrap();
    builder.append(false).unwrap();
    builder.append(true).unwrap();
    let map = array(builder.finish());
    assert_eq!(texts(&map), [r#"{"a\"\u0001\n":1,"b":null}"#, "∅", "{}"]);
    assert_eq!(texts(&map.slice(2, 1)), ["{}"]);
}

/// The values of a column as JSON, with commas between them.
fn as_json(values: ArrayRef, style: &TextStyle) -> String {
    let field = Arc::new(Field::new("c", values.data_type().clone(), true));
    let put = json::put(&field, &values, style).unwrap();
    let mut out = BytesMut::new();
    for row in 0..values.len() {
        if row > 0 {
            out.extend_from_slice(b",");
        }
        match values.is_null(row) {
            true => out.extend_from_slice(b"null"),
            false => put(row, &mut out).unwrap(),
        }
    }
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn json_values_are_to_jsons() {
    let json = |values: ArrayRef| as_json(values, &zone("Asia/Kolkata"));
    let stamps = TimestampMillisecondArray::from(vec![1_706_702_400_500]);
    assert_eq!(json(array(stamps.clone())), r#""2024-01-31T12:00:00.5""#);
    assert_eq!(
        json(array(stamps.with_timezone("UTC"))),
        r#""2024-01-31T17:30:00.5+05:30""#
    );
    let decimals = Decimal128Array::from(vec![150])
        .with_precision_and_scale(5, 2)
        .unwrap();
    assert_eq!(json(array(decimals)), "1.50");
    let doubles = Float64Array::from(vec![f64::NAN, f64::INFINITY, 1e20, 1.5]);
    assert_eq!(json(array(doubles)), r#""NaN","Infinity",1e+20,1.5"#);
    let controls = StringArray::from(vec!["\u{8}\u{c}\n\r\t\u{1}\u{7f}\"\\/é"]);
    assert_eq!(
        json(array(controls)),
        "\"\\b\\f\\n\\r\\t\\u0001\u{7f}\\\"\\\\/é\""
    );
    assert_eq!(
        json(array(BinaryArray::from(vec![&b"\xab"[..]]))),
        r#""\\xab""#
    );
    assert_eq!(
        json(array(BooleanArray::from(vec![true, false]))),
        "true,false"
    );
    assert_eq!(
        json(array(Date32Array::from(vec![-735_160]))),
        r#""0044-03-15 BC""#
    );
    let interval = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 1, 0)]);
    assert_eq!(json(array(interval)), r#""1 day""#);
    assert_eq!(
        json(array(records().slice(0, 2))),
        r#"{"a":1,"b \"x\"":"b c"},{"a":null,"b \"x\"":null}"#
    );
}

#[test]
fn uuid_and_json_extensions() {
    let with = |array: &ArrayRef, name: &str| {
        field(array).with_metadata([("ARROW:extension:name".to_owned(), name.to_owned())].into())
    };
    let bytes = [
        0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
    ];
    let column = array(FixedSizeBinaryArray::try_from_iter([bytes].into_iter()).unwrap());
    let cells = cells_of(with(&column, "arrow.uuid"), &column, Format::Text, &utc());
    assert_eq!(
        cells[0].as_deref(),
        Some(&b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"[..])
    );
    let cells = cells_of(with(&column, "arrow.uuid"), &column, Format::Binary, &utc());
    assert_eq!(cells[0].as_deref(), Some(&bytes[..]));
    assert_eq!(texts(&column), ["\\x6ba7b8109dad11d180b400c04fd430c8"]);
    let column = array(StringArray::from(vec!["{\"a\": 1}"]));
    let cells = cells_of(with(&column, "arrow.json"), &column, Format::Text, &utc());
    assert_eq!(cells[0].as_deref(), Some(&b"{\"a\": 1}"[..]));
}

#[test]
fn rows_are_complete_messages_in_order() {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        array(Int32Array::from(vec![Some(1), None, Some(3)])),
        array(StringArray::from(vec!["x", "y", "z"])),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap();
    let formats = [Format::Binary, Format::Text];
    let encoder = RowEncoder::try_new(&schema, &formats, &utc()).unwrap();
    let mut out = BytesMut::from(&b"before"[..]);
    encoder.encode(&batch, 0..2, &mut out).unwrap();
    assert_eq!(
        out,
        &b"beforeD\0\0\0\x13\0\x02\0\0\0\x04\0\0\0\x01\0\0\0\x01xD\0\0\0\x0f\0\x02\xff\xff\xff\xff\0\0\0\x01y"[..]
    );
    out.clear();
    encoder.encode(&batch, 2..3, &mut out).unwrap();
    assert_eq!(split_rows(&out)[0][1].as_deref(), Some(&b"z"[..]));
    out.clear();
    encoder.encode(&batch, 3..3, &mut out).unwrap();
    assert!(out.is_empty());
    assert!(encoder.encode(&batch, 2..4, &mut out).is_err());
    let backwards = Range { start: 2, end: 1 };
    assert!(encoder.encode(&batch, backwards, &mut out).is_err());
    assert!(RowEncoder::try_new(&schema, &[Format::Text; 3], &utc()).is_err());
}

#[test]
fn no_columns_still_make_rows() {
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    let schema = Arc::new(Schema::empty());
    let batch = RecordBatch::try_new_with_options(schema, vec![], &options).unwrap();
    let encoder = RowEncoder::try_new(batch.schema_ref(), &[], &utc()).unwrap();
    let mut out = BytesMut::new();
    encoder.encode(&batch, 0..2, &mut out).unwrap();
    assert_eq!(out, &b"D\0\0\0\x06\0\0D\0\0\0\x06\0\0"[..]);
}

#[test]
fn a_failing_row_leaves_the_rows_before_it() {
    let column = array(Date32Array::from(vec![0, i32::MAX - 1, 1]));
    let batch = batch(field(&column), column);
    let encoder = RowEncoder::try_new(batch.schema_ref(), &[], &utc()).unwrap();
    let mut out = BytesMut::new();
    let error = encoder.encode(&batch, 0..3, &mut out).unwrap_err();
    assert_eq!(error.state().code(), "22008");
    assert_eq!(split_rows(&out).len(), 1);
}

#[test]
fn a_batch_may_hold_another_arrow_type_of_the_same_postgresql_type() {
    let schema = Schema::new(vec![Field::new("c", DataType::Utf8, true)]);
    let encoder = RowEncoder::try_new(&schema, &[], &utc()).unwrap();
    let mut out = BytesMut::new();
    let view = array(StringViewArray::from(vec!["v"]));
    encoder
        .encode(&batch(field(&view), view), 0..1, &mut out)
        .unwrap();
    assert_eq!(split_rows(&out)[0][0].as_deref(), Some(&b"v"[..]));
    let number = array(Int32Array::from(vec![1]));
    let error = encoder
        .encode(&batch(field(&number), number), 0..1, &mut out)
        .unwrap_err();
    assert_eq!(error.state().code(), "XX000");
}

#[test]
fn too_many_columns_are_refused() {
    let fields: Vec<Field> = (0..=COLUMNS_MAX)
        .map(|i| Field::new(i.to_string(), DataType::Int8, true))
        .collect();
    let schema = Schema::new(fields);
    let error = RowEncoder::try_new(&schema, &[], &utc()).unwrap_err();
    assert_eq!(error.state().code(), "54000");
    assert!(row_description(&schema, &[], &[]).is_err());
}

#[test]
fn row_descriptions() {
    let origin = ColumnOrigin {
        table_oid: 16_384,
        column: 3,
    };
    let schema = Schema::new(vec![
        Field::new("a", DataType::Decimal128(10, 2), true).with_metadata(origin.metadata().into()),
        Field::new("b", DataType::Int32, true),
    ]);
    let described =
        row_description(&schema, &["x".into()], &[Format::Text, Format::Binary]).unwrap();
    assert_eq!(
        described,
        &b"T\0\0\0\x2e\0\x02x\0\0\0\x40\0\0\x03\0\0\x06\xa4\xff\xff\xff\xff\xff\xff\0\0b\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01"[..]
    );
    assert!(row_description(&schema, &[], &[Format::Text; 3]).is_err());
}

#[test]
fn messages_over_the_limit_are_refused_and_undone() {
    assert_eq!(
        check_cell(CELL_BYTES_MAX + 1).unwrap_err().state().code(),
        "54000"
    );
    assert!(check_cell(CELL_BYTES_MAX).is_ok());
    let mut out = BytesMut::from(&b"kept"[..]);
    let failed = message(b'D', &mut out, |out| {
        out.put_slice(b"half");
        Err(Error::internal("no"))
    });
    assert!(failed.is_err());
    assert_eq!(out, &b"kept"[..]);
}
