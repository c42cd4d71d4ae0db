//! Functions about the shape and text of arrays.
//!
//! An array of two dimensions is a list of lists. PostgreSQL's empty array has no dimension.

use std::fmt::Write;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;

use super::render::{Style, items};
use super::rowwise::{Kind, Row, Spec, Value, strict};
use super::text::check_length;
use crate::error::Error;

use Kind::{Any, Int4, Text};

pub(super) const SPECS: &[Spec] = &[
    strict("array_dims", &[Any], Text, |row| {
        let dimensions = dimensions(row)?;
        let mut shown = String::new();
        for length in dimensions {
            let _infallible = write!(shown, "[1:{length}]");
        }
        Ok((!shown.is_empty()).then_some(shown).into())
    }),
    strict("array_length", &[Any, Int4], Int4, |row| {
        Ok(length(row)?.into())
    }),
    strict("array_ndims", &[Any], Int4, |row| {
        let count = dimensions(row)?.len();
        Ok((count > 0).then_some(count).into())
    }),
    strict("array_to_string", &[Any, Text, Text], Text, array_to_string)
        .optional(1)
        .lenient()
        .stable(),
    strict("cardinality", &[Any], Int4, |row| {
        let dimensions = dimensions(row)?;
        Ok(match dimensions.is_empty() {
            true => Value::Int(0),
            false => dimensions.iter().product::<usize>().into(),
        })
    }),
];

/// The length of each dimension; none of an empty array.
fn dimensions(row: &Row<'_>) -> Result<Vec<usize>> {
    let Some((array, index, _)) = row.any(0) else {
        return Ok(Vec::new());
    };
    if !is_list(array.data_type()) {
        return Err(Error::datatype_mismatch("argument must be an array").into());
    }
    let mut lengths = Vec::new();
    let mut level = items(array, index);
    loop {
        if level.is_empty() {
            return Ok(lengths);
        }
        lengths.push(level.len());
        if !is_list(level.data_type()) || level.is_null(0) {
            return Ok(lengths);
        }
        level = items(&level, 0);
    }
}

fn length(row: &Row<'_>) -> Result<Option<usize>> {
    let dimension = usize::try_from(row.int(1)).unwrap_or(0);
    let lengths = dimensions(row)?;
    Ok(dimension
        .checked_sub(1)
        .and_then(|at| lengths.get(at).copied()))
}

/// Whether values of the type are arrays.
pub(super) fn is_list(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
    )
}

fn array_to_string<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let Some((array, index, _)) = row.any(0).filter(|_| row.has(1)) else {
        return Ok(Value::Null);
    };
    if !is_list(array.data_type()) {
        return Err(Error::undefined_function("array_to_string needs an array").into());
    }
    let null = row.has(2).then(|| row.text(2));
    let mut out = String::new();
    let mut first = true;
    let mut writer = |text: Option<&str>| -> Result<()> {
        if let Some(text) = text.or(null) {
            if !first {
                out.push_str(row.text(1));
            }
            first = false;
            out.push_str(text);
        }
        check_length(out.len(), "array_to_string")
    };
    leaves(&items(array, index), row.style, &mut writer)?;
    Ok(out.into())
}

fn leaves(
    level: &ArrayRef,
    style: &Style,
    write: &mut dyn FnMut(Option<&str>) -> Result<()>,
) -> Result<()> {
    for index in 0..level.len() {
        if level.is_null(index) || level.data_type().is_null() {
            write(None)?;
        } else if is_list(level.data_type()) {
            leaves(&items(level, index), style, write)?;
        } else {
            write(Some(&style.show(level, index)?))?;
        }
    }
    Ok(())
}

/// The items of a one-dimensional array constant: `{a,"b c",NULL}`.
pub(super) fn parse_texts(text: &str) -> Result<Vec<Option<String>>> {
    let malformed =
        || Error::invalid_text_representation(format!("malformed array literal: \"{text}\""));
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let Some(inner) = inner else {
        return Err(malformed()
            .with_detail("Array value must start with \"{\" or dimension information.")
            .into());
    };
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Ok(items);
    }
    let (mut item, mut quoted, mut was_quoted) = (String::new(), false, false);
    let mut letters = inner.chars();
    loop {
        match letters.next() {
            Some('"') => {
                quoted = !quoted;
                was_quoted = true;
            }
            Some('\\') => item.push(letters.next().ok_or_else(malformed)?),
            Some('{' | '}') if !quoted => return Err(malformed().into()),
            Some(letter) if quoted || letter != ',' => item.push(letter),
            end => {
                let plain = if was_quoted {
                    item.as_str()
                } else {
                    item.trim()
                };
                if quoted || (plain.is_empty() && !was_quoted) {
                    return Err(malformed().into());
                }
                let null = !was_quoted && plain.eq_ignore_ascii_case("null");
                items.push((!null).then(|| plain.to_owned()));
                item.clear();
                was_quoted = false;
                if end.is_none() {
                    return Ok(items);
                }
            }
        }
    }
}
