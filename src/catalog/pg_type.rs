//! PostgreSQL's built-in types, and which of them an Arrow type is shown as.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::datatypes::{DataType, Field};

use super::type_oids::{
    ANY, BIT, BOOL, BPCHAR, BYTEA, CHAR, DATE, FLOAT4, FLOAT8, INT2, INT4, INT8, INTERVAL, JSON,
    NUMERIC, RECORD, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ, TIMETZ, UUID, VARBIT, VARCHAR,
};

/// Key of the field metadata that names a PostgreSQL type which the Arrow type alone does not
/// tell: `oid`, `name`, `char`, `regproc`, `int2vector`, …
pub const PG_TYPE_METADATA: &str = "pg_type";

/// The type modifier of a type without modifiers.
pub const NO_TYPMOD: i32 = -1;

/// One row of PostgreSQL 15's pg_type.
#[derive(Clone, Copy, Debug)]
pub struct PgType {
    /// `oid`.
    pub oid: u32,
    /// `typname`.
    pub name: &'static str,
    /// `typlen`: bytes, -1 for variable length, -2 for a C string.
    pub len: i16,
    /// `typbyval`.
    pub by_value: bool,
    /// `typtype`: b base, p pseudo, r range, m multirange.
    pub kind: char,
    /// `typcategory`.
    pub category: char,
    /// `typispreferred`.
    pub preferred: bool,
    /// `typdelim`.
    pub delimiter: char,
    /// `typelem`, 0 if none.
    pub element: u32,
    /// `typarray`, 0 if none.
    pub array: u32,
    /// `typinput`, `typoutput`, `typreceive`, `typsend`, `typmodin`, `typmodout`.
    pub functions: [u32; 6],
    /// `typalign`.
    pub align: char,
    /// `typstorage`.
    pub storage: char,
    /// `typcollation`: 100 or 950 for types with a collation, otherwise 0.
    pub collation: u32,
    /// `typsubscript`.
    pub subscript: u32,
}

static TYPES: LazyLock<Vec<PgType>> = LazyLock::new(|| {
    let lines = include_str!("postgres15/types.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    lines.filter_map(parse_type).collect()
});

static BY_OID: LazyLock<HashMap<u32, &'static PgType>> =
    LazyLock::new(|| TYPES.iter().map(|t| (t.oid, t)).collect());

static BY_NAME: LazyLock<HashMap<&'static str, &'static PgType>> =
    LazyLock::new(|| TYPES.iter().map(|t| (t.name, t)).collect());

/// All built-in types by OID.
pub fn all() -> &'static [PgType] {
    &TYPES
}

/// The type of an OID.
pub fn by_oid(oid: u32) -> Option<&'static PgType> {
    BY_OID.get(&oid).copied()
}

/// The OID of an internal name such as `int4` or `_text`.
pub fn oid_of_name(name: &str) -> Option<u32> {
    BY_NAME.get(name).map(|t| t.oid)
}

/// The OID of a type as SQL spells it: `bigint`, `character varying(10)`, `int4[]`.
pub fn oid_of_sql_name(name: &str) -> Option<u32> {
    let name = name.trim();
    if let Some(element) = name.strip_suffix("[]") {
        let element = oid_of_sql_name(element)?;
        // One array type serves every number of dimensions.
        let is_array = by_oid(element).is_some_and(|found| found.name.starts_with('_'));
        return if is_array {
            Some(element)
        } else {
            array_of(element)
        };
    }
    if let Some(quoted) = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
    {
        return oid_of_name(quoted);
    }
    let mut bare = name.to_lowercase();
    if let (Some(open), Some(close)) = (bare.find('('), bare.find(')'))
        && open < close
    {
        bare.replace_range(open..=close, "");
    }
    let bare = bare
        .trim()
        .strip_prefix("pg_catalog.")
        .unwrap_or(bare.trim())
        .to_owned();
    let internal = SQL_NAMES
        .iter()
        .find(|(_, sql, _)| *sql == bare)
        .map(|(oid, _, _)| *oid);
    let alias = || match bare.as_str() {
        "int" => Some(INT4),
        "decimal" | "dec" => Some(NUMERIC),
        "float" => Some(FLOAT8),
        "char" => Some(BPCHAR),
        "string" => Some(TEXT),
        _ => None,
    };
    internal.or_else(alias).or_else(|| oid_of_name(&bare))
}

/// The array type over an element type.
pub fn array_of(element: u32) -> Option<u32> {
    by_oid(element).map(|t| t.array).filter(|oid| *oid != 0)
}

/// How SQL names a type: `format_type(oid, typmod)` without the lookup of users' types.
pub fn format_type(oid: u32, typmod: i32) -> Option<String> {
    let found = by_oid(oid)?;
    if found.element != 0 && found.name.starts_with('_') {
        return format_type(found.element, typmod).map(|element| format!("{element}[]"));
    }
    let sql = SQL_NAMES.iter().find(|(known, ..)| *known == oid);
    let Some((_, name, suffix)) = sql else {
        return Some(super::functions::quote_identifier(found.name));
    };
    let modifier = modifier_text(oid, typmod).unwrap_or_default();
    if suffix.is_empty() {
        return Some(format!("{name}{modifier}"));
    }
    let head = name.strip_suffix(suffix).unwrap_or(name).trim_end();
    Some(format!("{head}{modifier} {suffix}"))
}

/// The PostgreSQL type of an Arrow type: OID and type modifier (-1 if none).
///
/// Unsigned integers take the next wider signed type, dictionaries and run-ends their value type,
/// maps and lists of lists json, structs record, and what PostgreSQL has no type for is text.
pub fn pg_type_of(data_type: &DataType) -> (u32, i32) {
    let plain = |oid| (oid, NO_TYPMOD);
    match data_type {
        DataType::Boolean => plain(BOOL),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => plain(INT2),
        DataType::Int32 | DataType::UInt16 => plain(INT4),
        DataType::Int64 | DataType::UInt32 => plain(INT8),
        DataType::UInt64 => (NUMERIC, numeric_typmod(20, 0)),
        DataType::Float16 | DataType::Float32 => plain(FLOAT4),
        DataType::Float64 => plain(FLOAT8),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (NUMERIC, numeric_typmod(*precision, *scale)),
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => plain(TEXT),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => plain(BYTEA),
        DataType::Date32 | DataType::Date64 => plain(DATE),
        DataType::Time32(_) | DataType::Time64(_) => plain(TIME),
        DataType::Timestamp(_, None) => plain(TIMESTAMP),
        DataType::Timestamp(_, Some(_)) => plain(TIMESTAMPTZ),
        DataType::Interval(_) | DataType::Duration(_) => plain(INTERVAL),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => plain(list_type(item)),
        DataType::Struct(_) => plain(RECORD),
        DataType::Map(..) | DataType::Union(..) => plain(JSON),
        DataType::Dictionary(_, value) => pg_type_of(value),
        DataType::RunEndEncoded(_, values) => pg_type_of(values.data_type()),
    }
}

/// The PostgreSQL type of a field: the one its metadata names, otherwise that of its Arrow type.
pub fn pg_type_of_field(field: &Field) -> (u32, i32) {
    let metadata = field.metadata();
    let named = metadata
        .get(PG_TYPE_METADATA)
        .and_then(|name| oid_of_name(name));
    let extension = || match metadata.get(EXTENSION_METADATA).map(String::as_str) {
        Some("arrow.uuid") => Some(UUID),
        Some("arrow.json") => Some(JSON),
        _ => None,
    };
    match named.or_else(extension) {
        Some(oid) => {
            let typmod = metadata.get(PG_TYPMOD_METADATA);
            let typmod = typmod.and_then(|text| text.parse().ok());
            (oid, typmod.unwrap_or(NO_TYPMOD))
        }
        None => pg_type_of(field.data_type()),
    }
}

/// Key of the metadata that holds a declared type modifier, as PostgreSQL packs it.
const PG_TYPMOD_METADATA: &str = "pg_typmod";
/// Key of the metadata that names a field's extension type of Arrow.
const EXTENSION_METADATA: &str = "ARROW:extension:name";

/// Bytes of the longest text that PostgreSQL reports for unlimited character types.
const OCTETS_MAX: i32 = 1_073_741_824;
/// Bytes that one character takes at most in UTF8.
const BYTES_PER_CHARACTER_MAX: i32 = 4;

/// The standard's numbers about a type; none where they do not apply.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TypeLimits {
    /// Characters at most.
    pub length: Option<i32>,
    /// Bytes at most.
    pub octets: Option<i32>,
    /// Digits, in `radix`.
    pub precision: Option<i32>,
    /// 2 or 10.
    pub radix: Option<i32>,
    /// Digits behind the point.
    pub scale: Option<i32>,
    /// Digits of fractional seconds.
    pub datetime: Option<i32>,
}

impl TypeLimits {
    /// The numbers of a type with a modifier.
    pub fn of(pg_type: &PgType, typmod: i32) -> Self {
        let binary = |bits, scale| Self {
            precision: Some(bits),
            radix: Some(2),
            scale,
            ..Self::default()
        };
        match pg_type.oid {
            INT2 => binary(16, Some(0)),
            INT4 => binary(32, Some(0)),
            INT8 => binary(64, Some(0)),
            FLOAT4 => binary(24, None),
            FLOAT8 => binary(53, None),
            NUMERIC if typmod >= 4 => Self {
                precision: Some(((typmod - 4) >> 16) & 0xffff),
                radix: Some(10),
                scale: Some((((typmod - 4) & 0x7ff) ^ 1024) - 1024),
                ..Self::default()
            },
            NUMERIC => Self {
                radix: Some(10),
                ..Self::default()
            },
            DATE => Self {
                datetime: Some(0),
                ..Self::default()
            },
            TIME | TIMESTAMP | TIMESTAMPTZ | INTERVAL | TIMETZ => Self {
                datetime: Some(6),
                ..Self::default()
            },
            BPCHAR | VARCHAR if typmod >= 4 => Self {
                length: Some(typmod - 4),
                octets: Some((typmod - 4).saturating_mul(BYTES_PER_CHARACTER_MAX)),
                ..Self::default()
            },
            TEXT | BPCHAR | VARCHAR => Self {
                octets: Some(OCTETS_MAX),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

/// numeric(precision, scale) as a type modifier; -1 where PostgreSQL has no such numeric.
fn numeric_typmod(precision: u8, scale: i8) -> i32 {
    // PostgreSQL keeps eleven bits of scale in two's complement.
    let scale = i32::from(scale) & 0x7ff;
    ((i32::from(precision) << 16) | scale) + 4
}

fn list_type(item: &Field) -> u32 {
    let (element, _) = pg_type_of_field(item);
    match by_oid(element) {
        // One array type serves every number of dimensions.
        Some(found) if found.category == 'A' => element,
        Some(_) if element != JSON => array_of(element).unwrap_or(JSON),
        _ => JSON,
    }
}

/// OID, SQL name, and the words after which a modifier is not written but before: time (3) with
/// time zone.
const SQL_NAMES: &[(u32, &str, &str)] = &[
    (BOOL, "boolean", ""),
    (CHAR, "\"char\"", ""),
    (INT8, "bigint", ""),
    (INT2, "smallint", ""),
    (INT4, "integer", ""),
    (FLOAT4, "real", ""),
    (FLOAT8, "double precision", ""),
    (BPCHAR, "character", ""),
    (VARCHAR, "character varying", ""),
    (TIME, "time without time zone", "without time zone"),
    (
        TIMESTAMP,
        "timestamp without time zone",
        "without time zone",
    ),
    (TIMESTAMPTZ, "timestamp with time zone", "with time zone"),
    (INTERVAL, "interval", ""),
    (TIMETZ, "time with time zone", "with time zone"),
    (BIT, "bit", ""),
    (VARBIT, "bit varying", ""),
    (NUMERIC, "numeric", ""),
    (ANY, "\"any\"", ""),
];

fn modifier_text(oid: u32, typmod: i32) -> Option<String> {
    if typmod < 0 {
        return None;
    }
    match oid {
        BPCHAR | VARCHAR if typmod >= 4 => Some(format!("({})", typmod - 4)),
        BIT | VARBIT | TIME | TIMESTAMP | TIMESTAMPTZ | TIMETZ => Some(format!("({typmod})")),
        NUMERIC if typmod >= 4 => {
            let packed = typmod - 4;
            let scale = ((packed & 0x7ff) ^ 1024) - 1024;
            Some(format!("({},{scale})", (packed >> 16) & 0xffff))
        }
        _ => None,
    }
}

fn parse_type(line: &'static str) -> Option<PgType> {
    let words: Vec<&'static str> = line.split(' ').collect();
    let word = |index: usize| words.get(index).copied();
    let number = |index| word(index)?.parse::<u32>().ok();
    let letter = |index| word(index)?.chars().next();
    Some(PgType {
        oid: number(0)?,
        name: word(1)?,
        len: word(2)?.parse().ok()?,
        by_value: word(3)? == "1",
        kind: letter(4)?,
        category: letter(5)?,
        preferred: word(6)? == "1",
        delimiter: letter(7)?,
        element: number(8)?,
        array: number(9)?,
        functions: [
            number(10)?,
            number(11)?,
            number(12)?,
            number(13)?,
            number(14)?,
            number(15)?,
        ],
        align: letter(16)?,
        storage: letter(17)?,
        collation: number(18)?,
        subscript: number(19)?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{IntervalUnit, TimeUnit};

    use super::*;

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new_list_field(item, true)))
    }

    fn name_of(data_type: &DataType) -> String {
        let (oid, typmod) = pg_type_of(data_type);
        format_type(oid, typmod).unwrap()
    }

    #[test]
    fn every_line_of_the_list_is_read() {
        let text = include_str!("postgres15/types.txt");
        assert_eq!(
            all().len(),
            text.lines().filter(|line| !line.starts_with('#')).count()
        );
    }

    #[test]
    fn arrow_types_have_postgresqls_names() {
        let cases = [
            (DataType::Boolean, "boolean"),
            (DataType::UInt8, "smallint"),
            (DataType::UInt16, "integer"),
            (DataType::UInt32, "bigint"),
            (DataType::UInt64, "numeric(20,0)"),
            (DataType::Float16, "real"),
            (DataType::Decimal128(12, 2), "numeric(12,2)"),
            (DataType::Decimal128(5, -2), "numeric(5,-2)"),
            (DataType::Utf8View, "text"),
            (DataType::Null, "text"),
            (DataType::FixedSizeBinary(16), "bytea"),
            (
                DataType::Time64(TimeUnit::Microsecond),
                "time without time zone",
            ),
            (
                DataType::Timestamp(TimeUnit::Second, None),
                "timestamp without time zone",
            ),
            (
                DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
                "timestamp with time zone",
            ),
            (DataType::Interval(IntervalUnit::YearMonth), "interval"),
            (list(DataType::Utf8), "text[]"),
            (list(DataType::Decimal128(12, 2)), "numeric[]"),
            (list(list(DataType::Int32)), "integer[]"),
            (
                list(DataType::Struct(
                    vec![Field::new("a", DataType::Int8, true)].into(),
                )),
                "record[]",
            ),
            (
                DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
                "text",
            ),
        ];
        for (data_type, name) in cases {
            assert_eq!(name_of(&data_type), name, "{data_type}");
        }
    }

    #[test]
    fn modifiers_are_written_where_postgresql_writes_them() {
        assert_eq!(format_type(1184, 3).unwrap(), "timestamp(3) with time zone");
        assert_eq!(format_type(1043, 14).unwrap(), "character varying(10)");
        assert_eq!(format_type(18, -1).unwrap(), "\"char\"");
        assert_eq!(format_type(19, -1).unwrap(), "name");
        assert_eq!(format_type(22, -1).unwrap(), "int2vector");
        assert_eq!(format_type(1, -1), None);
    }

    #[test]
    fn sql_names_are_found() {
        for (name, oid) in [
            ("bigint", 20),
            ("INT", 23),
            ("character varying(10)", 1043),
            ("timestamp(3) with time zone", 1184),
            ("text[]", 1009),
            ("pg_catalog.int4", 23),
            ("\"char\"", 18),
            ("double precision", 701),
        ] {
            assert_eq!(oid_of_sql_name(name), Some(oid), "{name}");
        }
        assert_eq!(oid_of_sql_name("nosuch"), None);
    }

    #[test]
    fn metadata_names_a_better_type() {
        let field = Field::new("oid", DataType::UInt32, false).with_metadata(HashMap::from([(
            PG_TYPE_METADATA.to_owned(),
            "oid".to_owned(),
        )]));
        assert_eq!(pg_type_of_field(&field), (26, NO_TYPMOD));
    }

    #[test]
    fn numeric_limits_come_from_the_modifier() {
        let (oid, typmod) = pg_type_of(&DataType::Decimal128(12, 2));
        let limits = TypeLimits::of(by_oid(oid).unwrap(), typmod);
        assert_eq!(
            (limits.precision, limits.radix, limits.scale),
            (Some(12), Some(10), Some(2))
        );
    }
}
