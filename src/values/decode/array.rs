//! Arrays, from `{1,NULL,"a b"}` and from the binary form.

use std::sync::Arc;

use bytes::Buf;
use datafusion::arrow::array::{Array, ArrayRef, ListArray, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;

use super::number::{decimal_type, is_free};
use super::{Value, cannot_read, is_space, malformed, text, text_value, value};
use crate::calendar::Reader;
use crate::error::{Error, Result};
use crate::values::types::{Format, NUMERIC, PgType, array_of, arrow_type};

/// The elements of an array, None for NULL, and the sizes of its dimensions.
pub(super) fn elements(
    element: PgType,
    format: Format,
    bytes: &[u8],
    time: &Reader,
) -> Result<Elements> {
    match format {
        Format::Text => {
            let literal = text(bytes)?;
            let (texts, sizes) = Literal::new(literal).elements()?;
            let read = |t: Option<String>| t.map(|t| text_value(element, &t, time)).transpose();
            let values = texts.into_iter().map(read).collect::<Result<_>>()?;
            Ok(Elements { values, sizes })
        }
        Format::Binary => binary(element, bytes, time),
    }
}

/// Number of dimensions, null flag, element OID; size and lower bound; elements with lengths.
fn binary(element: PgType, bytes: &[u8], time: &Reader) -> Result<Elements> {
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
    if dimensions > DIMENSIONS_MAX {
        return Err(too_many_dimensions());
    }
    let mut sizes = Vec::new();
    for _ in 0..dimensions {
        sizes.push(usize::try_from(word()?).map_err(|_| invalid())?);
        word()?;
    }
    // Each element takes at least its length word.
    let count = match dimensions {
        0 => 0,
        _ => sizes
            .iter()
            .try_fold(1_usize, |count, size| count.checked_mul(*size))
            .ok_or_else(invalid)?,
    };
    if count > rest.len() / 4 {
        return Err(invalid());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let len = rest.try_get_i32().map_err(|_| invalid())?;
        if len == -1 {
            values.push(None);
            continue;
        }
        let len = usize::try_from(len).map_err(|_| invalid())?;
        let (own, after) = rest.split_at_checked(len).ok_or_else(invalid)?;
        values.push(Some(value(element, Format::Binary, own, time)?));
        rest = after;
    }
    if rest.is_empty() {
        Ok(Elements { values, sizes })
    } else {
        Err(invalid())
    }
}

fn too_many_dimensions() -> Error {
    Error::program_limit_exceeded(format!(
        "number of array dimensions exceeds the maximum allowed ({DIMENSIONS_MAX})"
    ))
}

/// Dimensions of an array.
const DIMENSIONS_MAX: i32 = 6;

/// The elements of an array, row by row, and the sizes of its dimensions.
pub(super) struct Elements {
    values: Vec<Option<Value>>,
    sizes: Vec<usize>,
}

/// The list in the wanted type, or one of the elements' own type.
pub(super) fn list(
    elements: Elements,
    element: PgType,
    target: Option<&DataType>,
    time: &Reader,
) -> Result<ScalarValue> {
    let Elements {
        values: elements,
        sizes,
    } = elements;
    let wanted = match target {
        None => None,
        Some(
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _),
        ) => Some(innermost(item.data_type()).clone()),
        Some(other) => {
            return Err(Error::datatype_mismatch(format!(
                "cannot read an array as {other}"
            )));
        }
    };
    let item = match wanted {
        // Numerics without declared digits have the same ones in all elements.
        Some(item) if element != NUMERIC || !is_free(&item) => item,
        _ => own_type(&elements, element)?,
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
    let list = ScalarValue::List(Arc::new(nested(values, &sizes)?));
    match target {
        // Several dimensions are lists of lists, whatever the plan has taken them for.
        Some(target) if *target != list.data_type() && sizes.len() < 2 => {
            list.cast_to(target).map_err(|e| cannot_read(target, e))
        }
        _ => Ok(list),
    }
}

/// The elements as a list of lists, one row of all dimensions.
fn nested(values: ArrayRef, sizes: &[usize]) -> Result<ListArray> {
    let mut count = values.len();
    let mut lists = values;
    for size in sizes.iter().skip(1).rev() {
        count /= (*size).max(1);
        lists = Arc::new(list_of(lists, std::iter::repeat_n(*size, count))?);
    }
    let all = lists.len();
    list_of(lists, [all])
}

fn list_of(values: ArrayRef, lengths: impl IntoIterator<Item = usize>) -> Result<ListArray> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, None)
        .map_err(|e| Error::internal("elements do not make a list").with_source(e))
}

fn innermost(of: &DataType) -> &DataType {
    match of {
        DataType::List(item) => innermost(item.data_type()),
        other => other,
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

    fn elements(mut self) -> Result<(Vec<Option<String>>, Vec<usize>)> {
        if self.rest.starts_with('[') {
            return Err(Error::feature_not_supported(
                "array values with explicit dimensions are not supported",
            ));
        }
        if !self.rest.starts_with('{') {
            return Err(
                self.malformed("Array value must start with \"{\" or dimension information.")
            );
        }
        let (mut elements, mut sizes) = (Vec::new(), Vec::new());
        self.level(0, &mut elements, &mut sizes)?;
        if !self.rest.is_empty() {
            return Err(self.malformed("Junk after closing right brace."));
        }
        if elements.is_empty() {
            sizes.clear();
        }
        Ok((elements, sizes))
    }

    /// One pair of braces: elements, or as many braces of the next dimension as its siblings have.
    fn level(
        &mut self,
        depth: usize,
        elements: &mut Vec<Option<String>>,
        sizes: &mut Vec<usize>,
    ) -> Result<()> {
        if depth >= DIMENSIONS_MAX as usize {
            return Err(too_many_dimensions());
        }
        self.next()?;
        let mut count = 0;
        let mut braces = None;
        self.skip_spaces();
        let first_visit = sizes.len() == depth;
        if first_visit {
            sizes.push(0);
        }
        if self.rest.starts_with('}') {
            self.next()?;
        } else {
            loop {
                self.skip_spaces();
                let nested = self.rest.starts_with('{');
                if *braces.get_or_insert(nested) != nested
                    || (!nested && sizes.len() > depth + 1)
                    || (nested && !first_visit && sizes.len() == depth + 1)
                {
                    return Err(self.malformed(
                        "Multidimensional arrays must have sub-arrays with matching dimensions.",
                    ));
                }
                if nested {
                    self.level(depth + 1, elements, sizes)?;
                } else {
                    elements.push(self.element()?);
                }
                count += 1;
                self.skip_spaces();
                match self.next()? {
                    ',' => {}
                    '}' => break,
                    other => {
                        return Err(self.malformed(&format!("Unexpected \"{other}\" character.")));
                    }
                }
            }
        }
        self.skip_spaces();
        if first_visit {
            sizes[depth] = count;
        } else if sizes[depth] != count {
            return Err(self.malformed(
                "Multidimensional arrays must have sub-arrays with matching dimensions.",
            ));
        }
        Ok(())
    }

    fn element(&mut self) -> Result<Option<String>> {
        match self.rest.chars().next() {
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
