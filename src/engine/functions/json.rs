//! json and jsonb: carried as text, marked in the metadata of their field; and the functions that
//! read and build them.
//!
//! `json` keeps the text it was written with; `jsonb` is written in one form, by [`normalized`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::arrays::is_list;
use super::render::{Style, items, write_float};
use super::rowwise::{Kind, Row, Spec, Value, strict};
use crate::error::Error;
use crate::sqlstate::SqlState;

use Kind::{Any, Bool, Int4, Json, Jsonb, Text, Texts};

/// Digits of a number that is written without its exponent.
const NUMBER_DIGITS_MAX: i64 = 131_072;

/// Stands before rows and arrays that are collected: `json_agg` writes each on a line of its own. No JSON
/// has this character outside of strings, and in strings it is escaped.
const ON_ITS_LINE: char = '\u{1f}';

/// Metadata key of an extension type's name.
const EXTENSION: &str = "ARROW:extension:name";

/// Extension type of json.
const ARROW_JSON: &str = "arrow.json";

/// Metadata key of PostgreSQL's name of a type that has no Arrow type of its own.
const PG_TYPE: &str = "pg_type";

/// Marks a field as json, or as jsonb.
pub(super) fn mark(field: Field, binary: bool) -> Field {
    let (key, name) = match binary {
        true => (PG_TYPE, "jsonb"),
        false => (EXTENSION, ARROW_JSON),
    };
    field.with_metadata(HashMap::from([(key.to_owned(), name.to_owned())]))
}

/// Whether a field holds json or jsonb.
pub(super) fn is_json(field: &Field) -> bool {
    let metadata = field.metadata();
    metadata
        .get(EXTENSION)
        .is_some_and(|name| name == ARROW_JSON)
        || is_jsonb(field)
}

/// Whether a field holds jsonb.
pub(super) fn is_jsonb(field: &Field) -> bool {
    field
        .metadata()
        .get(PG_TYPE)
        .is_some_and(|name| name == "jsonb")
}

macro_rules! readers {
    ($json:ident, $prefix:literal) => {
        &[
            strict(
                concat!($prefix, "_array_element"),
                &[$json, Int4],
                $json,
                element,
            ),
            strict(
                concat!($prefix, "_array_element_text"),
                &[$json, Int4],
                Text,
                |row| Ok(as_text(element_of(row.text(0), row.int(1))?)),
            ),
            strict(
                concat!($prefix, "_array_elements_list"),
                &[$json],
                Texts,
                |row| {
                    Ok(Value::Texts(
                        array_of(row.text(0))?
                            .iter()
                            .map(|item| Some(item.get().to_owned()))
                            .collect(),
                    ))
                },
            ),
            strict(
                concat!($prefix, "_array_elements_text_list"),
                &[$json],
                Texts,
                |row| {
                    Ok(Value::Texts(
                        array_of(row.text(0))?
                            .iter()
                            .map(|item| unquoted(item.get()))
                            .collect(),
                    ))
                },
            ),
            strict(concat!($prefix, "_array_length"), &[$json], Int4, |row| {
                Ok(array_of(row.text(0))?.len().into())
            }),
            strict(concat!($prefix, "_each_keys"), &[$json], Texts, |row| {
                Ok(Value::Texts(
                    object_of(row.text(0))?
                        .into_iter()
                        .map(|(key, _)| Some(key))
                        .collect(),
                ))
            }),
            strict(concat!($prefix, "_each_values"), &[$json], Texts, |row| {
                Ok(Value::Texts(
                    object_of(row.text(0))?
                        .into_iter()
                        .map(|(_, item)| Some(item.get().to_owned()))
                        .collect(),
                ))
            }),
            strict(
                concat!($prefix, "_each_values_text"),
                &[$json],
                Texts,
                |row| {
                    Ok(Value::Texts(
                        object_of(row.text(0))?
                            .into_iter()
                            .map(|(_, item)| unquoted(item.get()))
                            .collect(),
                    ))
                },
            ),
            strict(concat!($prefix, "_extract_path"), &[$json], $json, |row| {
                Ok(at_path(row.text(0), path_arguments(row))?
                    .map(str::to_owned)
                    .into())
            })
            .variadic(Text),
            strict(
                concat!($prefix, "_extract_path_text"),
                &[$json],
                Text,
                |row| Ok(as_text(at_path(row.text(0), path_arguments(row))?)),
            )
            .variadic(Text),
            strict(
                concat!($prefix, "_path_array"),
                &[$json, Texts],
                $json,
                |row| {
                    Ok(at_path(row.text(0), row.texts(1)?)?
                        .map(str::to_owned)
                        .into())
                },
            ),
            strict(
                concat!($prefix, "_path_array_text"),
                &[$json, Texts],
                Text,
                |row| Ok(as_text(at_path(row.text(0), row.texts(1)?)?)),
            ),
            strict(
                concat!($prefix, "_object_field"),
                &[$json, Text],
                $json,
                |row| {
                    Ok(field_of(row.text(0), row.text(1))?
                        .map(str::to_owned)
                        .into())
                },
            ),
            strict(
                concat!($prefix, "_object_field_text"),
                &[$json, Text],
                Text,
                |row| Ok(as_text(field_of(row.text(0), row.text(1))?)),
            ),
            strict(concat!($prefix, "_typeof"), &[$json], Text, |row| {
                Ok(kind_of(row.text(0)).into())
            }),
        ]
    };
}

pub(super) const JSON_READERS: &[Spec] = readers!(Json, "json");
pub(super) const JSONB_READERS: &[Spec] = readers!(Jsonb, "jsonb");

pub(super) const SPECS: &[Spec] = &[
    strict("array_to_json", &[Any], Json, |row| {
        Ok(to_json(row, 0)?.into())
    })
    .stable(),
    strict("json_build_array", &[], Json, build_array)
        .variadic(Any)
        .lenient()
        .stable(),
    strict("json_build_object", &[], Json, build_object)
        .variadic(Any)
        .lenient()
        .stable(),
    strict("json_list", &[Texts], Json, |row| {
        let listed = members(row)?.join(", ");
        let listed = listed.strip_prefix(ON_ITS_LINE).unwrap_or(&listed);
        Ok(format!("[{}]", listed.replace(ON_ITS_LINE, "\n ")).into())
    }),
    strict("json_object_list", &[Texts], Json, |row| {
        Ok(format!("{{ {} }}", members(row)?.join(", ")).into())
    }),
    strict("json_member", &[Any, Any], Text, member)
        .lenient()
        .stable(),
    strict("json_value", &[Any], Text, |row| {
        let value = to_json(row, 0)?.unwrap_or_else(|| "null".to_owned());
        let is_nested = row
            .any(0)
            .is_some_and(|(array, ..)| array.data_type().is_nested());
        Ok(match is_nested {
            true => format!("{ON_ITS_LINE}{value}").into(),
            false => value.into(),
        })
    })
    .lenient()
    .stable(),
    strict("json_object", &[Texts], Json, object_of_texts),
    strict("json_object", &[Texts, Texts], Json, object_of_pairs),
    strict("json_record_texts", &[Text, Text], Texts, |row| {
        let field = field_of(row.text(0), row.text(1))?;
        Ok(Value::Texts(vec![field.and_then(unquoted)]))
    }),
    strict("json_record_values", &[Text, Text], Texts, |row| {
        let field = field_of(row.text(0), row.text(1))?;
        Ok(Value::Texts(vec![field.map(str::to_owned)]))
    }),
    strict("json_recordset_texts", &[Text, Text], Texts, |row| {
        recordset(row, unquoted)
    }),
    strict("json_recordset_values", &[Text, Text], Texts, |row| {
        recordset(row, |value| Some(value.to_owned()))
    }),
    strict("json_strip_nulls", &[Json], Json, |row| {
        Ok(stripped(row.text(0))?.into())
    }),
    strict("jsonb_build_array", &[], Jsonb, |row| {
        binary(build_array(row)?)
    })
    .variadic(Any)
    .lenient()
    .stable(),
    strict("jsonb_build_object", &[], Jsonb, |row| {
        binary(build_object(row)?)
    })
    .variadic(Any)
    .lenient()
    .stable(),
    strict("jsonb_list", &[Texts], Jsonb, |row| {
        let listed = members(row)?.join(", ").replace(ON_ITS_LINE, "");
        binary(format!("[{listed}]").into())
    }),
    strict("jsonb_object", &[Texts], Jsonb, |row| {
        binary(object_of_texts(row)?)
    }),
    strict("jsonb_object", &[Texts, Texts], Jsonb, |row| {
        binary(object_of_pairs(row)?)
    }),
    strict("jsonb_object_list", &[Texts], Jsonb, |row| {
        binary(format!("{{{}}}", members(row)?.join(", ")).into())
    }),
    strict("jsonb_strip_nulls", &[Jsonb], Jsonb, |row| {
        binary(stripped(row.text(0))?.into())
    }),
    strict("jsonb_contains", &[Jsonb, Jsonb], Bool, |row| {
        Ok(contains(&parse(row.text(0))?, &parse(row.text(1))?).into())
    }),
    strict("jsonb_exists", &[Jsonb, Text], Bool, |row| {
        Ok(exists(&parse(row.text(0))?, row.text(1)).into())
    }),
    strict("jsonb_exists_all", &[Jsonb, Texts], Bool, |row| {
        let value = parse(row.text(0))?;
        Ok(row
            .texts(1)?
            .iter()
            .flatten()
            .all(|key| exists(&value, key))
            .into())
    }),
    strict("jsonb_exists_any", &[Jsonb, Texts], Bool, |row| {
        let value = parse(row.text(0))?;
        Ok(row
            .texts(1)?
            .iter()
            .flatten()
            .any(|key| exists(&value, key))
            .into())
    }),
    strict("row_to_json", &[Any], Json, |row| {
        Ok(to_json(row, 0)?.into())
    })
    .stable(),
    strict("to_json", &[Any], Json, |row| Ok(to_json(row, 0)?.into())).stable(),
    strict("to_jsonb", &[Any], Jsonb, |row| {
        binary(to_json(row, 0)?.into())
    })
    .stable(),
];

fn binary(value: Value<'_>) -> Result<Value<'_>> {
    match value {
        Value::Text(text) => Ok(normalized(&text)?.into()),
        other => Ok(other),
    }
}

fn invalid(text: &str) -> datafusion::error::DataFusionError {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(_) => Error::invalid_text_representation("invalid input syntax for type json").into(),
        Ok(_) => Error::invalid_parameter_value("the JSON value is not of the kind that is needed")
            .into(),
    }
}

/// The text in jsonb's form: keys by length and bytes, the last of equal keys, one space after colons
/// and commas.
pub(super) fn normalized(text: &str) -> Result<String> {
    Ok(match kind_of(text) {
        "object" => {
            let mut members: HashMap<String, &RawValue> = HashMap::new();
            members.extend(object_of(text)?);
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            let shown = members
                .into_iter()
                .map(|(key, value)| Ok(format!("{}: {}", quoted(&key), normalized(value.get())?)));
            format!("{{{}}}", shown.collect::<Result<Vec<_>>>()?.join(", "))
        }
        "array" => {
            let items = array_of(text)?
                .into_iter()
                .map(|item| normalized(item.get()));
            format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(", "))
        }
        "number" => {
            let number: &RawValue = serde_json::from_str(text).map_err(|_| invalid(text))?;
            without_exponent(number.get())
        }
        _ => quoted_or_word(text)?,
    })
}

fn quoted_or_word(text: &str) -> Result<String> {
    let value = parse(text)?;
    Ok(value.to_string())
}

/// A number as numeric shows it.
fn without_exponent(number: &str) -> String {
    let Some((digits, exponent)) = number.split_once(['e', 'E']) else {
        return number.to_owned();
    };
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).unwrap_or(0) + exponent;
    let length = i64::try_from(all.len()).unwrap_or(0);
    if !(-NUMBER_DIGITS_MAX..NUMBER_DIGITS_MAX).contains(&point) {
        return number.to_owned();
    }
    let shown = if point <= 0 {
        format!(
            "0.{}{all}",
            "0".repeat(usize::try_from(-point).unwrap_or(0))
        )
    } else if point >= length {
        format!(
            "{all}{}",
            "0".repeat(usize::try_from(point - length).unwrap_or(0))
        )
    } else {
        let (whole, fraction) = all.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{fraction}")
    };
    let trimmed = shown.trim_start_matches('0');
    let zero = if trimmed.is_empty() || trimmed.starts_with('.') {
        "0"
    } else {
        ""
    };
    format!("{sign}{zero}{trimmed}")
}

fn parse(text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|_| invalid(text))
}

/// The members of an object in their order, equal keys too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

fn kind_of(text: &str) -> &'static str {
    match text.trim_start().bytes().next() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

pub(super) fn object_of(text: &str) -> Result<Vec<(String, &RawValue)>> {
    match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) => Ok(members.0),
        Err(_) => match kind_of(text) {
            "object" => Err(invalid(text)),
            kind => Err(Error::invalid_parameter_value(format!(
                "cannot deconstruct {} {kind}",
                article(kind)
            ))
            .into()),
        },
    }
}

fn article(kind: &str) -> &'static str {
    if kind == "array" { "an" } else { "a" }
}

pub(super) fn array_of(text: &str) -> Result<Vec<&RawValue>> {
    serde_json::from_str(text).map_err(|_| match kind_of(text) {
        "array" => invalid(text),
        "object" => Error::invalid_parameter_value("cannot get array length of a non-array").into(),
        _ => Error::invalid_parameter_value("cannot get array length of a scalar").into(),
    })
}

fn field_of<'a>(text: &'a str, key: &str) -> Result<Option<&'a str>> {
    if kind_of(text) != "object" {
        return Ok(None);
    }
    let members = object_of(text)?;
    let found = members.into_iter().rev().find(|(name, _)| name == key);
    Ok(found.map(|(_, value)| value.get()))
}

fn element_of(text: &str, index: i64) -> Result<Option<&str>> {
    if kind_of(text) != "array" {
        return Ok(None);
    }
    let items = array_of(text)?;
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let index = if index < 0 { index + length } else { index };
    let item = usize::try_from(index)
        .ok()
        .and_then(|index| items.get(index).copied());
    Ok(item.map(RawValue::get))
}

fn element<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    Ok(element_of(row.text(0), row.int(1))?
        .map(str::to_owned)
        .into())
}

fn path_arguments(row: &Row<'_>) -> Vec<Option<String>> {
    (1..row.len())
        .map(|argument| Some(row.text(argument).to_owned()))
        .collect()
}

fn at_path(text: &str, path: Vec<Option<String>>) -> Result<Option<&str>> {
    let mut at = Some(text);
    for step in path {
        let (Some(text), Some(step)) = (at, step) else {
            return Ok(None);
        };
        at = match (kind_of(text), step.parse::<i64>()) {
            ("array", Ok(index)) => element_of(text, index)?,
            _ => field_of(text, &step)?,
        };
    }
    Ok(at)
}

/// The text of a value: a string without quotes, NULL of null.
fn unquoted(text: &str) -> Option<String> {
    match kind_of(text) {
        "null" => None,
        "string" => Some(serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())),
        _ => Some(text.trim().to_owned()),
    }
}

fn as_text<'a>(value: Option<&str>) -> Value<'a> {
    value.and_then(unquoted).into()
}

fn members(row: &Row<'_>) -> Result<Vec<String>> {
    Ok(row.texts(0)?.into_iter().flatten().collect())
}

pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    serde_json::to_string(text).map_or(Cow::Borrowed("\"\""), Cow::Owned)
}

/// Any argument as JSON; none for NULL.
fn to_json(row: &Row<'_>, argument: usize) -> Result<Option<String>> {
    let Some((array, index, field)) = row.any(argument) else {
        return Ok(None);
    };
    let mut out = String::new();
    write(array, index, field, row.style, &mut out)?;
    Ok(Some(out))
}

fn write(
    array: &ArrayRef,
    row: usize,
    field: &Field,
    style: &Style,
    out: &mut String,
) -> Result<()> {
    if array.data_type().is_null() || array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) {
            "true"
        } else {
            "false"
        }),
        DataType::Float64 | DataType::Float32 | DataType::Float16 => {
            let mut text = String::new();
            match array.data_type() {
                DataType::Float64 => write_float(
                    array
                        .as_primitive::<datafusion::arrow::datatypes::Float64Type>()
                        .value(row),
                    &mut text,
                ),
                _ => text = style.show(array, row)?,
            }
            let finite = text.bytes().any(|byte| byte.is_ascii_digit());
            let mark = if finite { "" } else { "\"" };
            for part in [mark, &text, mark] {
                out.push_str(part);
            }
        }
        // No number to PostgreSQL.
        _ if field
            .metadata()
            .get(PG_TYPE)
            .is_some_and(|name| name == "oid") =>
        {
            out.push_str(&quoted(&style.show(array, row)?));
        }
        given if given.is_numeric() => out.push_str(&style.show(array, row)?),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            out.push_str(&style.json(array, row)?);
        }
        given if is_list(given) => {
            let (DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)) = given
            else {
                return Err(Error::internal("a list without items").into());
            };
            let values = items(array, row);
            out.push('[');
            for index in 0..values.len() {
                if index > 0 {
                    out.push(',');
                }
                write(&values, index, item, style, out)?;
            }
            out.push(']');
        }
        DataType::Struct(fields) => {
            out.push('{');
            for (index, (column, field)) in
                array.as_struct().columns().iter().zip(fields).enumerate()
            {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&quoted(&member_name(field, index)));
                out.push(':');
                write(column, row, field, style, out)?;
            }
            out.push('}');
        }
        _ => {
            let text = style.show(array, row)?;
            match is_json(field) {
                true => out.push_str(&text),
                false => out.push_str(&quoted(&text)),
            }
        }
    }
    Ok(())
}

/// The fields of a row without names are f1, f2, …
fn member_name(field: &FieldRef, index: usize) -> String {
    match field.name().strip_prefix('c') {
        Some(digits) if digits == index.to_string() => format!("f{}", index + 1),
        _ => field.name().clone(),
    }
}

fn build_array<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let mut parts = Vec::new();
    for argument in 0..row.len() {
        parts.push(to_json(row, argument)?.unwrap_or_else(|| "null".to_owned()));
    }
    Ok(format!("[{}]", parts.join(", ")).into())
}

fn build_object<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    if !row.len().is_multiple_of(2) {
        return Err(Error::invalid_parameter_value(
            "argument list must have even number of elements",
        )
        .with_hint(
            "The arguments of json_build_object() must consist of alternating keys and values.",
        )
        .into());
    }
    let mut parts = Vec::new();
    for argument in (0..row.len()).step_by(2) {
        parts.push(pair(row, argument)?);
    }
    Ok(format!("{{{}}}", parts.join(", ")).into())
}

fn pair(row: &Row<'_>, argument: usize) -> Result<String> {
    let Some(key) = row.shown(argument)? else {
        return Err(Error::invalid_parameter_value(format!(
            "argument {}: key must not be null",
            argument + 1
        ))
        .into());
    };
    let is_scalar = row.any(argument).is_none_or(|(array, _, field)| {
        !is_json(field) && !is_list(array.data_type()) && !array.data_type().is_nested()
    });
    if !is_scalar {
        return Err(Error::invalid_parameter_value(
            "key value must be scalar, not array, composite, or json",
        )
        .into());
    }
    let value = to_json(row, argument + 1)?.unwrap_or_else(|| "null".to_owned());
    Ok(format!("{} : {value}", quoted(&key)))
}

/// A field of each object of an array.
fn recordset<'a>(row: &Row<'a>, read: fn(&str) -> Option<String>) -> Result<Value<'a>> {
    let mut values = Vec::new();
    for item in array_of(row.text(0))? {
        values.push(field_of(item.get(), row.text(1))?.and_then(read));
    }
    Ok(Value::Texts(values))
}

fn member<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    if !row.has(0) {
        return Err(
            Error::new(SqlState::NullValueNotAllowed, "field name must not be null").into(),
        );
    }
    Ok(pair(row, 0)?.into())
}

fn object_of_texts<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let texts = row.texts(0)?;
    if !texts.len().is_multiple_of(2) {
        return Err(Error::new(
            SqlState::ArraySubscriptError,
            "array must have even number of elements",
        )
        .into());
    }
    let pairs = texts
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()));
    object_of_members(pairs)
}

fn object_of_pairs<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let (keys, values) = (row.texts(0)?, row.texts(1)?);
    if keys.len() != values.len() {
        return Err(
            Error::new(SqlState::ArraySubscriptError, "mismatched array dimensions").into(),
        );
    }
    object_of_members(keys.into_iter().zip(values))
}

fn object_of_members<'a>(
    pairs: impl Iterator<Item = (Option<String>, Option<String>)>,
) -> Result<Value<'a>> {
    let mut parts = Vec::new();
    for (key, value) in pairs {
        let Some(key) = key else {
            return Err(Error::new(
                SqlState::NullValueNotAllowed,
                "null value not allowed for object key",
            )
            .into());
        };
        let value = value.map_or(Cow::Borrowed("null"), |value| {
            Cow::Owned(quoted(&value).into_owned())
        });
        parts.push(format!("{} : {value}", quoted(&key)));
    }
    Ok(format!("{{{}}}", parts.join(", ")).into())
}

fn stripped(text: &str) -> Result<String> {
    Ok(match kind_of(text) {
        "object" => {
            let mut parts = Vec::new();
            for (key, value) in object_of(text)? {
                if kind_of(value.get()) != "null" {
                    parts.push(format!("{}:{}", quoted(&key), stripped(value.get())?));
                }
            }
            format!("{{{}}}", parts.join(","))
        }
        "array" => {
            let parts = array_of(text)?.into_iter().map(|item| stripped(item.get()));
            format!("[{}]", parts.collect::<Result<Vec<_>>>()?.join(","))
        }
        _ => text.trim().to_owned(),
    })
}

fn exists(value: &serde_json::Value, key: &str) -> bool {
    use serde_json::Value as Json;
    match value {
        Json::Object(members) => members.contains_key(key),
        Json::Array(items) => items.iter().any(|item| item.as_str() == Some(key)),
        Json::String(text) => text == key,
        _ => false,
    }
}

/// PostgreSQL's `@>`: an array may also contain a scalar at its top.
fn contains(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (left, right) {
        (Json::Array(items), scalar) if !scalar.is_array() && !scalar.is_object() => {
            items.iter().any(|item| equal(item, scalar))
        }
        _ => contains_inside(left, right),
    }
}

fn contains_inside(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (left, right) {
        (Json::Object(left), Json::Object(right)) => right.iter().all(|(key, wanted)| {
            left.get(key)
                .is_some_and(|value| contains_inside(value, wanted))
        }),
        (Json::Array(left), Json::Array(right)) => right
            .iter()
            .all(|wanted| left.iter().any(|item| contains_inside(item, wanted))),
        (left, right) => equal(left, right),
    }
}

fn equal(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}
