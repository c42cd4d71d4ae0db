//! Arrays of one dimension, from `{1,NULL,"a b"}` and from the binary form.

use std::sync::Arc;

use bytes::Buf;
use datafusion::arrow::array::{Array, ArrayRef, ListArray, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;

use super::number::decimal_type;
use super::{Value, cannot_read, is_space, malformed, text, text_value, value};
use crate::calendar::Reader;
use crate::error::{Error, Result};
use crate::postgres::types::{Format, PgType, array_of, arrow_type};

/// The elements of an array; None for NULL.
pub(super) fn elements(
    element: PgType,
    format: Format,
    bytes: &[u8],
    time: &Reader,
) -> Result<Vec<Option<Value>>> {
    match format {
        Format::Text => {
            let literal = text(bytes)?;
            let texts = Literal::new(literal).elements()?;
            let read = |t: Option<String>| t.map(|t| text_value(element, &t, time)).transpose();
            texts.into_iter().map(read).collect()
        }
        Format::Binary => binary(element, bytes, time),
    }
}

/// Number of dimensions, null flag, element OID; size and lower bound; elements with lengths.
fn binary(element: PgType, bytes: &[u8], time: &Reader) -> Result<Vec<Option<Value>>> {
    let array = array_of(element).unwrap_or(element);
    let invalid = || malformed(array);
    let mut rest = bytes;
    let mut word = || rest.try_get_i32().map_err(|_| invalid());
    let (dimensions, flags, oid) = (word()?, word()?, word()?.cast_unsigned());
    if !(0..=1).contains(&flags) || dimensions < 0 {
        return Err(invalid());
    }
    if oid != element.oid {
        return Err(Error::datatype_mismatch(format!(
            "binary data has array element type {oid} instead of expected {}",
            element.oid
        )));
    }
    if dimensions > 1 {
        return Err(several_dimensions());
    }
    let count = if dimensions == 0 { 0 } else { word()? };
    if dimensions == 1 {
        word()?;
    }
    // Each element takes at least its length word.
    let count = usize::try_from(count).map_err(|_| invalid())?;
    if count > rest.len() / 4 {
        return Err(invalid());
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        let len = rest.try_get_i32().map_err(|_| invalid())?;
        if len == -1 {
            elements.push(None);
            continue;
        }
        let len = usize::try_from(len).map_err(|_| invalid())?;
        let (own, after) = rest.split_at_checked(len).ok_or_else(invalid)?;
        elements.push(Some(value(element, Format::Binary, own, time)?));
        rest = after;
    }
    if rest.is_empty() {
        Ok(elements)
    } else {
        Err(invalid())
    }
}

fn several_dimensions() -> Error {
    Error::feature_not_supported("array parameters of more than one dimension are not supported")
}

/// The list in the wanted type, or one of the elements' own type.
pub(super) fn list(
    elements: Vec<Option<Value>>,
    element: PgType,
    target: Option<&DataType>,
    time: &Reader,
) -> Result<ScalarValue> {
    let wanted = match target {
        None => None,
        Some(
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _),
        ) => Some(item.data_type().clone()),
        Some(other) => {
            return Err(Error::datatype_mismatch(format!(
                "cannot read an array as {other}"
            )));
        }
    };
    let item = match wanted {
        Some(item) => item,
        None => own_type(&elements, element)?,
    };
    let mut scalars = Vec::with_capacity(elements.len());
    for element in elements {
        scalars.push(match element {
            Some(value) => value.into_scalar(Some(&item), time)?,
            None => ScalarValue::try_from(&item).map_err(|e| cannot_read(&item, e))?,
        });
    }
    let values: ArrayRef = if scalars.is_empty() {
        new_empty_array(&item)
    } else {
        ScalarValue::iter_to_array(scalars).map_err(|e| cannot_read(&item, e))?
    };
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    let field = Arc::new(Field::new_list_field(item, true));
    let list = ListArray::try_new(field, offsets, values, None)
        .map_err(|e| Error::internal("elements do not make a list").with_source(e))?;
    let list = ScalarValue::List(Arc::new(list));
    match target {
        Some(target) if *target != list.data_type() => {
            list.cast_to(target).map_err(|e| cannot_read(target, e))
        }
        _ => Ok(list),
    }
}

/// The elements' type; for numerics the one that holds all of them.
fn own_type(elements: &[Option<Value>], element: PgType) -> Result<DataType> {
    let (mut whole, mut scale, mut numbers) = (0, 0, false);
    for value in elements.iter().flatten() {
        if let Value::Number(number) = value {
            whole = whole.max(number.whole_digits());
            scale = scale.max(number.scale());
            numbers = true;
        }
    }
    if numbers {
        return decimal_type(whole, scale);
    }
    arrow_type(element.oid).ok_or_else(|| Error::internal("element of no type"))
}

/// An array in text.
struct Literal<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn new(whole: &'a str) -> Self {
        Self {
            whole,
            rest: whole.trim_matches(is_space),
        }
    }

    fn malformed(&self, detail: &str) -> Error {
        let whole = self.whole;
        Error::invalid_text_representation(format!("malformed array literal: \"{whole}\""))
            .with_detail(detail)
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn next(&mut self) -> Result<char> {
        let mut chars = self.rest.chars();
        let next = chars
            .next()
            .ok_or_else(|| self.malformed("Unexpected end of input."))?;
        self.rest = chars.as_str();
        Ok(next)
    }

    fn elements(mut self) -> Result<Vec<Option<String>>> {
        if self.rest.starts_with('[') {
            return Err(Error::feature_not_supported(
                "array parameters with explicit dimensions are not supported",
            ));
        }
        if !self.rest.starts_with('{') {
            return Err(
                self.malformed("Array value must start with \"{\" or dimension information.")
            );
        }
        self.next()?;
        let mut elements = vec![];
        self.skip_spaces();
        if self.rest.starts_with('}') {
            self.next()?;
            return self.end(elements);
        }
        loop {
            self.skip_spaces();
            elements.push(self.element()?);
            self.skip_spaces();
            match self.next()? {
                ',' => {}
                '}' => return self.end(elements),
                other => {
                    return Err(self.malformed(&format!("Unexpected \"{other}\" character.")));
                }
            }
        }
    }

    fn end(&self, elements: Vec<Option<String>>) -> Result<Vec<Option<String>>> {
        if self.rest.is_empty() {
            Ok(elements)
        } else {
            Err(self.malformed("Junk after closing right brace."))
        }
    }

    fn element(&mut self) -> Result<Option<String>> {
        match self.rest.chars().next() {
            Some('{') => Err(several_dimensions()),
            Some('"') => self.quoted().map(Some),
            _ => self.unquoted(),
        }
    }

    fn quoted(&mut self) -> Result<String> {
        self.next()?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Ok(text),
                '\\' => text.push(self.next()?),
                other => text.push(other),
            }
        }
    }

    fn unquoted(&mut self) -> Result<Option<String>> {
        let mut text = String::new();
        // Where the text ends without trailing spaces that were not escaped.
        let mut end = 0;
        let mut escaped = false;
        while !self.rest.starts_with([',', '}']) {
            match self.next()? {
                '\\' => {
                    text.push(self.next()?);
                    escaped = true;
                    end = text.len();
                }
                '"' | '{' => return Err(self.malformed("Incorrectly quoted array element.")),
                other => {
                    text.push(other);
                    if !is_space(other) {
                        end = text.len();
                    }
                }
            }
        }
        text.truncate(end);
        if text.is_empty() {
            let next = self.next()?;
            return Err(self.malformed(&format!("Unexpected \"{next}\" character.")));
        }
        let is_null = !escaped && text.eq_ignore_ascii_case("NULL");
        Ok((!is_null).then_some(text))
    }
}
