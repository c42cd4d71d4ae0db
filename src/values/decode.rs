//! Parameter values: PostgreSQL's text and binary forms to ScalarValue, with its error messages.

mod array;
mod datetime;
mod number;

use bytes::BytesMut;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::scalar::ScalarValue;

use crate::calendar::Reader;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::values::encode::put_uuid;
use crate::values::json;
use crate::values::types::{
    BOOL, BPCHAR, BYTEA, CHAR, CID, DATE, FLOAT4, FLOAT8, Format, INT2, INT4, INT8, INTERVAL, JSON,
    JSONB, NAME, NUMERIC, OID, PgType, REG_TYPES, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ, UNKNOWN,
    UUID, VARCHAR, XID, arrow_type, by_oid, element_of, plain_type,
};
use crate::values::utf8;

use number::Number;

/// Version byte of binary jsonb.
const JSONB_VERSION: u8 = 1;

/// Reads one parameter.
///
/// `oid` is the type the client declared; 0 or `unknown` leave it to `target`, the type the plan
/// wants, as does a declared text type where the plan wants something else. The result has
/// `target`'s type, or without one that of [`arrow_type`] (a `numeric`: the scale it is written
/// with). `time` reads by the session's settings: it gives timestamps without offset their instant.
///
/// 22P02, 22007 for text that is no value of the type, 22P03 for malformed binary, 22003, 22008
/// for values out of range, 22021 for text that is not UTF-8, 42704 for an unknown type, 0A000 for
/// values that Arrow cannot hold (numeric NaN, arrays of several dimensions).
pub fn parameter(
    oid: u32,
    target: Option<&DataType>,
    format: Format,
    bytes: Option<&[u8]>,
    time: &Reader,
) -> Result<ScalarValue> {
    let (pg_type, format) = effective_type(oid, target, format)?;
    let natural = arrow_type(pg_type.oid).ok_or_else(|| {
        Error::feature_not_supported(format!(
            "parameters of type {} are not supported",
            pg_type.sql_name()
        ))
    })?;
    let wanted = target.unwrap_or(&natural);
    let Some(bytes) = bytes else {
        return ScalarValue::try_from(wanted).map_err(|e| cannot_read(wanted, e));
    };
    if let Some(element) = element_of(pg_type) {
        let elements = array::elements(element, format, bytes, time)?;
        return array::list(elements, element, target, time);
    }
    let value = value(pg_type, format, bytes, time)?;
    value.into_scalar(target, time)
}

/// The decimal that holds a number as it is written; none for what is no number, or none that fits.
pub fn numeric_type(text: &str) -> Option<DataType> {
    let number = Number::parse(text).ok()?;
    number::decimal_type(number.whole_digits(), number.scale()).ok()
}

/// The type to read and the format it comes in.
fn effective_type(oid: u32, target: Option<&DataType>, format: Format) -> Result<(PgType, Format)> {
    let declared = match oid {
        0 => UNKNOWN,
        oid => by_oid(oid).ok_or_else(|| {
            Error::undefined_object(format!("type with OID {oid} does not exist"))
        })?,
    };
    let is_text = [TEXT, VARCHAR, BPCHAR, NAME, UNKNOWN].contains(&declared);
    match target {
        Some(target) if is_text && !holds_text(target) => {
            let wanted = plain_type(target).0;
            // Text is the same in both formats; a value of another type is not, and only a client
            // that declared none can mean that type's own binary form.
            let format = if declared == UNKNOWN {
                format
            } else {
                Format::Text
            };
            Ok((wanted, format))
        }
        _ => Ok((declared, format)),
    }
}

fn holds_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => holds_text(value),
        _ => false,
    }
}

fn cannot_read(
    data_type: &DataType,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::feature_not_supported(format!("cannot read a parameter as {data_type}"))
        .with_source(source)
}

/// A value before it takes the type the plan wants.
enum Value {
    Scalar(ScalarValue),
    /// Numerics keep their digits until it is known what becomes of them.
    Number(Number),
}

fn value(pg_type: PgType, format: Format, bytes: &[u8], time: &Reader) -> Result<Value> {
    match format {
        Format::Text => text_value(pg_type, text(bytes)?, time),
        Format::Binary => binary_value(pg_type, bytes),
    }
}

/// Text without NUL, which PostgreSQL cannot store either.
fn text(bytes: &[u8]) -> Result<&str> {
    if bytes.contains(&0) {
        return Err(Error::character_not_in_repertoire(
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    utf8(bytes)
}

fn text_value(pg_type: PgType, text: &str, time: &Reader) -> Result<Value> {
    let scalar = match pg_type {
        BOOL => ScalarValue::Boolean(Some(boolean(text)?)),
        INT2 => ScalarValue::Int16(Some(number::integer(text, pg_type)?)),
        INT4 => ScalarValue::Int32(Some(number::integer(text, pg_type)?)),
        INT8 => ScalarValue::Int64(Some(number::integer(text, pg_type)?)),
        OID | XID | CID => ScalarValue::Int64(Some(number::integer::<u32>(text, pg_type)?.into())),
        FLOAT4 => ScalarValue::Float32(Some(number::float4(text)?)),
        FLOAT8 => ScalarValue::Float64(Some(number::float8(text)?)),
        NUMERIC => return Ok(Value::Number(Number::parse(text)?)),
        BYTEA => ScalarValue::Binary(Some(bytea(text)?)),
        UUID => ScalarValue::Utf8(Some(uuid(text)?)),
        DATE => ScalarValue::Date32(Some(datetime::arrow_date(time.date(text)?)?)),
        TIME => ScalarValue::Time64Microsecond(Some(time.time(text)?)),
        TIMESTAMP => ScalarValue::TimestampMicrosecond(
            Some(datetime::arrow_timestamp(time.timestamp(text)?)?),
            None,
        ),
        TIMESTAMPTZ => ScalarValue::TimestampMicrosecond(
            Some(datetime::arrow_timestamp(time.timestamptz(text)?)?),
            Some("UTC".into()),
        ),
        INTERVAL => ScalarValue::IntervalMonthDayNano(Some(datetime::text_interval(
            text,
            time.settings().interval_style,
        )?)),
        JSON => {
            json::check(text)?;
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        JSONB => ScalarValue::Utf8(Some(json::normalized(text)?)),
        _ => ScalarValue::Utf8(Some(text.to_owned())),
    };
    Ok(Value::Scalar(scalar))
}

fn binary_value(pg_type: PgType, bytes: &[u8]) -> Result<Value> {
    let scalar = match pg_type {
        BOOL => ScalarValue::Boolean(Some(fixed::<1>(pg_type, bytes)? != [0])),
        INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(pg_type, bytes)?))),
        INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(pg_type, bytes)?))),
        INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(pg_type, bytes)?))),
        OID | XID | CID => {
            ScalarValue::Int64(Some(u32::from_be_bytes(fixed(pg_type, bytes)?).into()))
        }
        reg if REG_TYPES.contains(&reg) => {
            ScalarValue::Utf8(Some(u32::from_be_bytes(fixed(pg_type, bytes)?).to_string()))
        }
        FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(pg_type, bytes)?))),
        FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(pg_type, bytes)?))),
        NUMERIC => return Ok(Value::Number(Number::from_binary(bytes)?)),
        BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        UUID => {
            let mut out = BytesMut::new();
            put_uuid(&fixed::<16>(pg_type, bytes)?, &mut out);
            ScalarValue::Utf8(Some(utf8(&out)?.to_owned()))
        }
        DATE => ScalarValue::Date32(Some(datetime::binary_date(fixed(pg_type, bytes)?)?)),
        TIME => {
            ScalarValue::Time64Microsecond(Some(datetime::binary_time(fixed(pg_type, bytes)?)?))
        }
        TIMESTAMP => ScalarValue::TimestampMicrosecond(
            Some(datetime::binary_timestamp(fixed(pg_type, bytes)?)?),
            None,
        ),
        TIMESTAMPTZ => ScalarValue::TimestampMicrosecond(
            Some(datetime::binary_timestamp(fixed(pg_type, bytes)?)?),
            Some("UTC".into()),
        ),
        INTERVAL => ScalarValue::IntervalMonthDayNano(Some(datetime::binary_interval(fixed(
            pg_type, bytes,
        )?)?)),
        JSONB => match bytes {
            [JSONB_VERSION, json @ ..] => ScalarValue::Utf8(Some(json::normalized(text(json)?)?)),
            _ => return Err(malformed(pg_type)),
        },
        TEXT | VARCHAR | BPCHAR | NAME | UNKNOWN | JSON | CHAR => {
            ScalarValue::Utf8(Some(text(bytes)?.to_owned()))
        }
        _ => return Err(malformed(pg_type)),
    };
    Ok(Value::Scalar(scalar))
}

/// Exactly as many bytes as the type has; 08P01 for fewer, 22P03 for more.
fn fixed<const N: usize>(pg_type: PgType, bytes: &[u8]) -> Result<[u8; N]> {
    if bytes.len() < N {
        return Err(Error::protocol_violation(
            "insufficient data left in message",
        ));
    }
    bytes.try_into().map_err(|_| malformed(pg_type))
}

/// 22P03
fn malformed(pg_type: PgType) -> Error {
    Error::invalid_binary_representation("incorrect binary data format in bind parameter")
        .with_detail(format!("The value is not of type {}.", pg_type.sql_name()))
}

/// 22P02
fn invalid_syntax(pg_type: PgType, text: &str) -> Error {
    Error::invalid_text_representation(format!(
        "invalid input syntax for type {}: \"{text}\"",
        pg_type.sql_name()
    ))
}

impl Value {
    /// Takes the wanted type, or its own without one.
    fn into_scalar(self, target: Option<&DataType>, time: &Reader) -> Result<ScalarValue> {
        let scalar = match (self, target) {
            (Self::Number(number), target) => return number.into_scalar(target),
            (Self::Scalar(scalar), None) => return Ok(scalar),
            (Self::Scalar(scalar), Some(_)) => scalar,
        };
        match target {
            Some(target) if *target != scalar.data_type() => convert(scalar, target, time),
            _ => Ok(scalar),
        }
    }
}

/// Casts between types; a time changes between zoned and not as the session's zone has it.
fn convert(scalar: ScalarValue, target: &DataType, time: &Reader) -> Result<ScalarValue> {
    if let (ScalarValue::Utf8(Some(text)), DataType::FixedSizeBinary(16)) = (&scalar, target) {
        return Ok(ScalarValue::FixedSizeBinary(16, Some(uuid_bytes(text)?)));
    }
    let scalar = match (scalar.data_type(), target) {
        (DataType::Utf8, target) if !holds_text(target) => {
            return Err(Error::feature_not_supported(format!(
                "cannot read a parameter as {target}"
            )));
        }
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None) | DataType::Date32) => {
            datetime::without_zone(scalar, time.settings().zone)?
        }
        (DataType::Timestamp(_, None) | DataType::Date32, DataType::Timestamp(_, Some(_))) => {
            let local = scalar
                .cast_to(&DataType::Timestamp(TimeUnit::Microsecond, None))
                .map_err(|e| out_of_range(target).with_source(e))?;
            datetime::with_zone(local, time.settings().zone)?
        }
        _ => scalar,
    };
    scalar
        .cast_to(target)
        .map_err(|e| out_of_range(target).with_source(e))
}

/// 22008 for times, 22003 for the rest.
fn out_of_range(data_type: &DataType) -> Error {
    let name = plain_type(data_type).0.sql_name();
    let state = if data_type.is_temporal() {
        SqlState::DatetimeFieldOverflow
    } else {
        SqlState::NumericValueOutOfRange
    };
    Error::new(state, format!("{name} out of range"))
}

/// PostgreSQL's words for truth, and their unambiguous beginnings.
fn boolean(text: &str) -> Result<bool> {
    const WORDS: [(&str, usize, bool); 8] = [
        ("true", 1, true),
        ("yes", 1, true),
        ("on", 2, true),
        ("1", 1, true),
        ("false", 1, false),
        ("no", 1, false),
        ("off", 2, false),
        ("0", 1, false),
    ];
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    WORDS
        .iter()
        .find(|(full, shortest, _)| word.len() >= *shortest && full.starts_with(&word))
        .map(|(_, _, value)| *value)
        .ok_or_else(|| invalid_syntax(BOOL, text))
}

/// White space to PostgreSQL's input functions.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// `\x` and hexadecimal digits, or the older form with octal escapes.
fn bytea(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => bytea_hex(digits),
        None => bytea_escape(text.as_bytes()).ok_or_else(|| {
            Error::invalid_text_representation("invalid input syntax for type bytea")
        }),
    }
}

fn bytea_hex(digits: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut high = None;
    for c in digits.chars() {
        if high.is_none() && is_space(c) {
            continue;
        }
        let digit = c.to_digit(16).ok_or_else(|| {
            Error::invalid_parameter_value(format!("invalid hexadecimal digit: \"{c}\""))
        })? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    if high.is_some() {
        return Err(Error::invalid_parameter_value(
            "invalid hexadecimal data: odd number of digits",
        ));
    }
    Ok(bytes)
}

fn bytea_escape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// A UUID in its usual form: 8-4-4-4-12 digits in lower case.
fn uuid(text: &str) -> Result<String> {
    let mut out = BytesMut::new();
    put_uuid(&uuid_bytes(text)?, &mut out);
    Ok(utf8(&out)?.to_owned())
}

/// Accepts what PostgreSQL does: upper case, braces, hyphens after any group of four digits.
fn uuid_bytes(text: &str) -> Result<Vec<u8>> {
    let invalid = || invalid_syntax(UUID, text);
    let digits = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}').ok_or_else(invalid)?,
        None => text,
    };
    let mut nibbles = Vec::with_capacity(32);
    let mut after_hyphen = false;
    for c in digits.chars() {
        if c == '-' {
            if after_hyphen || nibbles.is_empty() || nibbles.len() % 4 != 0 || nibbles.len() == 32 {
                return Err(invalid());
            }
            after_hyphen = true;
        } else {
            nibbles.push(c.to_digit(16).ok_or_else(invalid)? as u8);
            after_hyphen = false;
        }
        if nibbles.len() > 32 {
            return Err(invalid());
        }
    }
    if nibbles.len() != 32 {
        return Err(invalid());
    }
    Ok(nibbles
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect())
}

#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "one long table of expected values")]
mod tests;
