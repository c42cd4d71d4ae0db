//! The one table of types: Arrow type, PostgreSQL type, OID, width, array type.

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::error::{Error, Result};
use crate::values::digits::{PG_TYPMOD_METADATA, numeric_typmod};

/// A type as PostgreSQL's catalog describes it (`pg_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PgType {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typname`: `int4`, not `integer`.
    pub name: &'static str,
    /// `pg_type.typlen`: bytes, or -1 for a variable width.
    pub size: i16,
    /// `pg_type.typarray`; zero for a type that has no array type.
    pub array_oid: u32,
}

impl PgType {
    /// The name in messages and in `format_type`: `integer`, `double precision[]`.
    pub fn sql_name(self) -> String {
        let (base, suffix) = match self.name.strip_prefix('_') {
            Some(base) => (base, "[]"),
            None => (self.name, ""),
        };
        let base = match base {
            "bool" => "boolean",
            "bpchar" => "character",
            "char" => "\"char\"",
            "float4" => "real",
            "float8" => "double precision",
            "int2" => "smallint",
            "int4" => "integer",
            "int8" => "bigint",
            "time" => "time without time zone",
            "timestamp" => "timestamp without time zone",
            "timestamptz" => "timestamp with time zone",
            "varchar" => "character varying",
            other => other,
        };
        format!("{base}{suffix}")
    }
}

/// How one value travels: as text, or in its type's binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Code 0.
    #[default]
    Text,
    /// Code 1.
    Binary,
}

impl Format {
    /// The code in the protocol.
    pub const fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }

    /// The formats of `count` values by the rule of Bind: no code means text for all, one code
    /// stands for all, otherwise there is one for each.
    ///
    /// 08P01 when the numbers differ, 22023 for an unknown code. `what` completes the message:
    /// `result formats but query has` or `parameter formats but` ….
    pub fn expand(codes: &[i16], count: usize, what: &str) -> Result<Vec<Self>> {
        let one = |code: &i16| Self::try_from(*code);
        match codes {
            [] => Ok(vec![Self::Text; count]),
            [code] => Ok(vec![one(code)?; count]),
            codes if codes.len() == count => codes.iter().map(one).collect(),
            codes => Err(Error::protocol_violation(format!(
                "bind message has {} {what} {count}",
                codes.len()
            ))),
        }
    }
}

impl TryFrom<i16> for Format {
    type Error = Error;

    fn try_from(code: i16) -> Result<Self> {
        match code {
            0 => Ok(Self::Text),
            1 => Ok(Self::Binary),
            code => Err(Error::invalid_parameter_value(format!(
                "unsupported format code: {code}"
            ))),
        }
    }
}

macro_rules! table {
    ($($name:ident $typname:literal $oid:literal $size:literal $array:ident $array_name:literal $array_oid:literal;)*) => {
        $(
            #[doc = concat!("`", $typname, "`")]
            pub const $name: PgType =
                PgType { oid: $oid, name: $typname, size: $size, array_oid: $array_oid };
            #[doc = concat!("`", $typname, "[]`")]
            pub const $array: PgType =
                PgType { oid: $array_oid, name: $array_name, size: -1, array_oid: 0 };
        )*

        /// Every type this server speaks, each followed by its array type.
        pub const TYPES: &[PgType] = &[$($name, $array),*];
    };
}

table! {
    BOOL "bool" 16 1 BOOL_ARRAY "_bool" 1000;
    BYTEA "bytea" 17 -1 BYTEA_ARRAY "_bytea" 1001;
    CHAR "char" 18 1 CHAR_ARRAY "_char" 1002;
    NAME "name" 19 64 NAME_ARRAY "_name" 1003;
    INT8 "int8" 20 8 INT8_ARRAY "_int8" 1016;
    INT2 "int2" 21 2 INT2_ARRAY "_int2" 1005;
    INT4 "int4" 23 4 INT4_ARRAY "_int4" 1007;
    TEXT "text" 25 -1 TEXT_ARRAY "_text" 1009;
    INT2VECTOR "int2vector" 22 -1 INT2VECTOR_ARRAY "_int2vector" 1006;
    REGPROC "regproc" 24 4 REGPROC_ARRAY "_regproc" 1008;
    OID "oid" 26 4 OID_ARRAY "_oid" 1028;
    TID "tid" 27 6 TID_ARRAY "_tid" 1010;
    XID "xid" 28 4 XID_ARRAY "_xid" 1011;
    CID "cid" 29 4 CID_ARRAY "_cid" 1012;
    OIDVECTOR "oidvector" 30 -1 OIDVECTOR_ARRAY "_oidvector" 1013;
    JSON "json" 114 -1 JSON_ARRAY "_json" 199;
    FLOAT4 "float4" 700 4 FLOAT4_ARRAY "_float4" 1021;
    FLOAT8 "float8" 701 8 FLOAT8_ARRAY "_float8" 1022;
    INET "inet" 869 -1 INET_ARRAY "_inet" 1041;
    ACLITEM "aclitem" 1033 12 ACLITEM_ARRAY "_aclitem" 1034;
    BPCHAR "bpchar" 1042 -1 BPCHAR_ARRAY "_bpchar" 1014;
    VARCHAR "varchar" 1043 -1 VARCHAR_ARRAY "_varchar" 1015;
    DATE "date" 1082 4 DATE_ARRAY "_date" 1182;
    TIME "time" 1083 8 TIME_ARRAY "_time" 1183;
    TIMESTAMP "timestamp" 1114 8 TIMESTAMP_ARRAY "_timestamp" 1115;
    TIMESTAMPTZ "timestamptz" 1184 8 TIMESTAMPTZ_ARRAY "_timestamptz" 1185;
    INTERVAL "interval" 1186 16 INTERVAL_ARRAY "_interval" 1187;
    NUMERIC "numeric" 1700 -1 NUMERIC_ARRAY "_numeric" 1231;
    REGPROCEDURE "regprocedure" 2202 4 REGPROCEDURE_ARRAY "_regprocedure" 2207;
    REGOPER "regoper" 2203 4 REGOPER_ARRAY "_regoper" 2208;
    REGOPERATOR "regoperator" 2204 4 REGOPERATOR_ARRAY "_regoperator" 2209;
    REGCLASS "regclass" 2205 4 REGCLASS_ARRAY "_regclass" 2210;
    REGTYPE "regtype" 2206 4 REGTYPE_ARRAY "_regtype" 2211;
    RECORD "record" 2249 -1 RECORD_ARRAY "_record" 2287;
    UUID "uuid" 2950 16 UUID_ARRAY "_uuid" 2951;
    JSONB "jsonb" 3802 -1 JSONB_ARRAY "_jsonb" 3807;
    REGNAMESPACE "regnamespace" 4089 4 REGNAMESPACE_ARRAY "_regnamespace" 4090;
    REGROLE "regrole" 4096 4 REGROLE_ARRAY "_regrole" 4097;
}

/// The types of OIDs that stand for objects and are shown as their names.
pub const REG_TYPES: &[PgType] = &[
    REGCLASS,
    REGNAMESPACE,
    REGOPER,
    REGOPERATOR,
    REGPROC,
    REGPROCEDURE,
    REGROLE,
    REGTYPE,
];

/// The types of numbers.
pub const NUMBERS: &[PgType] = &[INT2, INT4, INT8, FLOAT4, FLOAT8, NUMERIC];

/// `unknown`: a parameter or literal whose type is still open. It has no array type.
pub const UNKNOWN: PgType = PgType {
    oid: 705,
    name: "unknown",
    size: -2,
    array_oid: 0,
};

/// The type modifier that says nothing.
pub const NO_TYPMOD: i32 = -1;

/// Arrow's canonical extension type for JSON held in strings.
const EXTENSION_JSON: &str = "arrow.json";

/// Arrow's canonical extension type for UUIDs held in 16 bytes.
const EXTENSION_UUID: &str = "arrow.uuid";

/// The PostgreSQL type and type modifier under which a column of Arrow's type goes out.
///
/// Integers that PostgreSQL lacks take the next wider type (UInt64: `numeric(20,0)`), maps and unions
/// travel as `json`, encodings (dictionary, run-end) as their values.
pub fn column_type(field: &Field) -> (PgType, i32) {
    match (field.extension_type_name(), field.data_type()) {
        (Some(EXTENSION_JSON), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            (JSON, NO_TYPMOD)
        }
        (Some(EXTENSION_UUID), DataType::FixedSizeBinary(16)) => (UUID, NO_TYPMOD),
        (Some(EXTENSION_JSON | EXTENSION_UUID), DataType::Dictionary(_, value)) => {
            column_type(&field.clone().with_data_type(value.as_ref().clone()))
        }
        (_, data_type) => marked_type(field).unwrap_or_else(|| plain_type(data_type)),
    }
}

/// The type that the field's metadata names, if Arrow's type can carry it.
fn marked_type(field: &Field) -> Option<(PgType, i32)> {
    let named = by_name(field.metadata().get(PG_TYPE_METADATA)?)?;
    let typmod = field
        .metadata()
        .get(PG_TYPMOD_METADATA)
        .and_then(|typmod| typmod.parse().ok())
        .unwrap_or(NO_TYPMOD);
    carries(field.data_type(), named).then_some((named, typmod))
}

fn carries(data_type: &DataType, named: PgType) -> bool {
    let (plain, _) = plain_type(data_type);
    match named {
        VARCHAR | BPCHAR | NAME | CHAR | JSON | JSONB | UNKNOWN | TID | INET | ACLITEM => {
            plain == TEXT
        }
        UUID => *data_type == DataType::FixedSizeBinary(16),
        OID | XID | CID => [INT4, INT8, OID].contains(&plain),
        INT2VECTOR | OIDVECTOR => match (vector_element(named), data_type) {
            (Some(element), DataType::List(item)) => carries(item.data_type(), element),
            _ => false,
        },
        named if REG_TYPES.contains(&named) => [INT4, INT8, OID].contains(&plain),
        named => match (element_of(named), data_type) {
            (Some(element), DataType::List(item)) => match item.data_type() {
                nested @ DataType::List(_) => carries(nested, named),
                item => carries(item, element),
            },
            (Some(_), _) => false,
            (None, _) => named == plain,
        },
    }
}

/// [`column_type`] of a type without a field's metadata.
pub fn plain_type(data_type: &DataType) -> (PgType, i32) {
    let plain = match data_type {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => INT2,
        DataType::Int32 | DataType::UInt16 => INT4,
        DataType::Int64 | DataType::UInt32 => INT8,
        DataType::UInt64 => return (NUMERIC, numeric_typmod(20, 0)),
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => NUMERIC,
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TEXT,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => BYTEA,
        DataType::Date32 | DataType::Date64 => DATE,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            let (element, typmod) = column_type(item);
            // One array type serves every number of dimensions.
            if element_of(element).is_some() {
                return (element, typmod);
            }
            return match array_of(element) {
                Some(array) => (array, typmod),
                None => (JSON, NO_TYPMOD),
            };
        }
        DataType::Struct(_) => RECORD,
        DataType::Map(..) | DataType::Union(..) => JSON,
        DataType::Dictionary(_, value) => return plain_type(value),
        DataType::RunEndEncoded(_, values) => return column_type(values),
    };
    (plain, NO_TYPMOD)
}

/// The type with this OID, if the server speaks it.
pub fn by_oid(oid: u32) -> Option<PgType> {
    if oid == UNKNOWN.oid {
        return Some(UNKNOWN);
    }
    TYPES.iter().copied().find(|t| t.oid == oid)
}

/// The type with this `typname`, if the server speaks it.
pub fn by_name(name: &str) -> Option<PgType> {
    if name == UNKNOWN.name {
        return Some(UNKNOWN);
    }
    TYPES.iter().copied().find(|t| t.name == name)
}

/// The array type over an element type.
pub fn array_of(element: PgType) -> Option<PgType> {
    if element.array_oid == 0 {
        None
    } else {
        by_oid(element.array_oid)
    }
}

/// The element type of an array type.
pub fn element_of(array: PgType) -> Option<PgType> {
    let is_element = |t: &PgType| t.array_oid == array.oid && array.oid != 0;
    TYPES.iter().copied().find(is_element)
}

/// The element type of int2vector or oidvector, which are lists but no array types.
pub fn vector_element(vector: PgType) -> Option<PgType> {
    match vector {
        INT2VECTOR => Some(INT2),
        OIDVECTOR => Some(OID),
        _ => None,
    }
}

/// Whether a column's text has names of objects in it.
pub fn names_objects(field: &Field) -> bool {
    let (of, _) = column_type(field);
    let nested = || match field.data_type() {
        DataType::Struct(fields) => fields.iter().any(|field| names_objects(field)),
        DataType::List(item) => names_objects(item),
        _ => false,
    };
    REG_TYPES.contains(&element_of(of).unwrap_or(of)) || nested()
}

/// The Arrow type in which a parameter of this OID is read when the plan wants no other.
///
/// None for OIDs this server does not know and for records. Types that only name or describe
/// something (`name`, `regclass`, `"char"`, `json`, `uuid`, `unknown`) are text; `oid` is Int64;
/// `numeric` stands for its widest plain form, though a value takes the scale it was written with.
pub fn arrow_type(oid: u32) -> Option<DataType> {
    let pg_type = by_oid(oid)?;
    if let Some(element) = element_of(pg_type) {
        return Some(DataType::new_list(arrow_type(element.oid)?, true));
    }
    Some(match pg_type {
        BOOL => DataType::Boolean,
        BYTEA => DataType::Binary,
        INT2 => DataType::Int16,
        INT4 => DataType::Int32,
        INT8 | OID | XID | CID => DataType::Int64,
        FLOAT4 => DataType::Float32,
        FLOAT8 => DataType::Float64,
        NUMERIC => DataType::Decimal128(38, 10),
        DATE => DataType::Date32,
        TIME => DataType::Time64(TimeUnit::Microsecond),
        TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        RECORD => return None,
        _ => DataType::Utf8,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;

    fn oid(data_type: DataType) -> u32 {
        column_type(&Field::new("c", data_type, true)).0.oid
    }

    #[test]
    fn each_oid_and_name_occurs_once() {
        for (i, a) in TYPES.iter().enumerate() {
            for b in &TYPES[i + 1..] {
                assert!(a.oid != b.oid && a.name != b.name, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn arrays_and_elements_name_each_other() {
        for t in TYPES {
            if let Some(array) = array_of(*t) {
                assert_eq!(element_of(array), Some(*t));
                assert_eq!(array.name, format!("_{}", t.name));
            } else {
                assert!(element_of(*t).is_some());
            }
        }
    }

    #[test]
    fn nested_types_follow_their_elements() {
        let list = |t| DataType::new_list(t, true);
        let record = DataType::Struct(vec![Field::new("a", DataType::Int8, true)].into());
        assert_eq!(oid(list(DataType::Int32)), 1007);
        assert_eq!(
            oid(DataType::new_fixed_size_list(DataType::Float32, 3, true)),
            1021
        );
        assert_eq!(oid(list(list(DataType::Int32))), 1007);
        assert_eq!(oid(record.clone()), RECORD.oid);
        assert_eq!(oid(list(record)), 2287);
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        assert_eq!(oid(dictionary.clone()), TEXT.oid);
        assert_eq!(oid(list(dictionary)), 1009);
        assert_eq!(oid(DataType::Null), TEXT.oid);
    }

    #[test]
    fn extension_metadata_decides() {
        let with = |data_type, name: &str| {
            let metadata = HashMap::from([("ARROW:extension:name".to_owned(), name.to_owned())]);
            let field = Field::new("c", data_type, true).with_metadata(metadata);
            let list = Field::new("l", DataType::List(Arc::new(field.clone())), true);
            (column_type(&field).0, column_type(&list).0)
        };
        assert_eq!(
            with(DataType::FixedSizeBinary(16), "arrow.uuid"),
            (UUID, UUID_ARRAY)
        );
        assert_eq!(with(DataType::Utf8View, "arrow.json"), (JSON, JSON_ARRAY));
        assert_eq!(
            with(DataType::FixedSizeBinary(8), "arrow.uuid"),
            (BYTEA, BYTEA_ARRAY)
        );
        assert_eq!(with(DataType::Int32, "arrow.json"), (INT4, INT4_ARRAY));
    }

    #[test]
    fn modifiers_are_those_of_the_metadata() {
        // select atttypmod from pg_attribute … numeric(10,2), numeric(38,10), numeric(5,-2)
        assert_eq!(numeric_typmod(10, 2), 655_366);
        assert_eq!(numeric_typmod(38, 10), 2_490_382);
        assert_eq!(numeric_typmod(5, -2), 329_730);
        let of = |data_type, name: &str| {
            let metadata = HashMap::from([
                (PG_TYPE_METADATA.to_owned(), name.to_owned()),
                (PG_TYPMOD_METADATA.to_owned(), "14".to_owned()),
            ]);
            column_type(&Field::new("c", data_type, true).with_metadata(metadata))
        };
        assert_eq!(of(DataType::Utf8View, "varchar"), (VARCHAR, 14));
        assert_eq!(of(DataType::UInt32, "oid"), (OID, 14));
        assert_eq!(of(DataType::Utf8, "oid"), (TEXT, NO_TYPMOD));
        assert_eq!(of(DataType::Decimal128(9, 2), "numeric"), (NUMERIC, 14));
        let plain = Field::new("c", DataType::Decimal128(9, 2), true);
        assert_eq!(column_type(&plain), (NUMERIC, NO_TYPMOD));
        let plain = Field::new("c", DataType::UInt64, true);
        assert_eq!(column_type(&plain).1, 1_310_724);
    }

    #[test]
    fn every_parameter_type_but_records_reads_as_arrow() {
        for t in TYPES {
            assert_eq!(
                arrow_type(t.oid).is_none(),
                t.name.ends_with("record"),
                "{}",
                t.name
            );
        }
        assert_eq!(arrow_type(UNKNOWN.oid), Some(DataType::Utf8));
        assert_eq!(arrow_type(1), None);
    }

    #[test]
    fn formats_follow_the_rule_of_bind() {
        use Format::{Binary, Text};
        let expand = |codes: &[i16], n| Format::expand(codes, n, "result formats but query has");
        assert_eq!(expand(&[], 2).unwrap(), [Text, Text]);
        assert_eq!(expand(&[1], 2).unwrap(), [Binary, Binary]);
        assert_eq!(expand(&[1, 0], 2).unwrap(), [Binary, Text]);
        assert_eq!(expand(&[1], 0).unwrap(), []);
        let error = expand(&[1, 0, 0], 2).unwrap_err();
        assert_eq!(error.state().code(), "08P01");
        assert_eq!(
            error.message(),
            "bind message has 3 result formats but query has 2"
        );
        assert_eq!(expand(&[7], 1).unwrap_err().state().code(), "22023");
    }
}
