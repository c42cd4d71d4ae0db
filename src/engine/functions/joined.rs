//! `string_agg` with a delimiter of each row: every text with its delimiter, then the list of them.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;

use super::render::items;
use super::rowwise::{Kind, Row, Spec, Value, strict};
use super::text::check_length;
use crate::error::Error;

use Kind::{Any, Bytea, Text, Texts};

/// A text and what stands before it, unless it is the first; NULL for a text that is NULL.
pub(crate) const TEXT_AFTER: &str = "text_after";
/// What a list of those is as one text.
pub(crate) const TEXTS_JOINED: &str = "texts_joined";

pub(super) const SPECS: &[Spec] = &[
    strict(TEXT_AFTER, &[Text, Text], Texts, |row| {
        if !row.has(0) {
            return Ok(Value::Null);
        }
        let delimiter = row.has(1).then(|| row.text(1).to_owned());
        Ok(Value::Texts(vec![delimiter, Some(row.text(0).to_owned())]))
    })
    .lenient(),
    strict(TEXT_AFTER, &[Bytea, Bytea], Texts, |_| {
        Err(Error::feature_not_supported(
            "string_agg of bytea with a delimiter of each row is not supported",
        )
        .into())
    }),
    strict(TEXTS_JOINED, &[Any], Text, joined),
];

fn joined<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let Some((lists, at, _)) = row.any(0) else {
        return Ok(Value::Null);
    };
    let pairs = items(lists, at);
    let mut out: Option<String> = None;
    for index in 0..pairs.len() {
        if pairs.is_null(index) {
            continue;
        }
        let pair = cast(&items(&pairs, index), &DataType::Utf8View)?;
        let pair = pair.as_string_view();
        let (delimiter, text) = match (pair.is_valid(0), pair.len()) {
            (valid, 2) => (if valid { pair.value(0) } else { "" }, pair.value(1)),
            _ => return Err(Error::internal("a text without its delimiter").into()),
        };
        match &mut out {
            None => out = Some(text.to_owned()),
            Some(out) => {
                out.push_str(delimiter);
                out.push_str(text);
                check_length(out.len(), "string_agg")?;
            }
        }
    }
    Ok(out.into())
}
