//! What becomes of the values of a column in a cast.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, ListArray, PrimitiveArray, RecordBatch,
    StringViewBuilder, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, FieldRef, Float64Type, Int16Type, Int32Type, Int64Type,
    Schema, UInt32Type,
};
use datafusion::error::Result;
use datafusion::scalar::ScalarValue;

use super::function::Forms;
use super::types::marked;
use crate::engine::numeric::{self, shape};
use crate::error::Error;
use crate::values::decode;
use crate::values::encode::Columns;
use crate::values::types::{self as pg, Format, NO_TYPMOD, PgType, column_type};

/// Bytes of a `name` at the most.
const NAME_BYTES_MAX: usize = 63;

/// Bytes of a varlena header, which PostgreSQL adds to a length in a type modifier.
const HEADER_BYTES: i32 = 4;

/// Significant digits of a float that a numeric takes over.
const FLOAT8_DIGITS: usize = 15;
const FLOAT4_DIGITS: usize = 6;

const CHECKED: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: datafusion::arrow::util::display::FormatOptions::new(),
};

/// Whether Arrow's own cast gives what PostgreSQL's does.
pub(super) fn is_arrows(source: &Field, target: &Field) -> bool {
    let ((from, _), (to, typmod)) = (column_type(source), column_type(target));
    let same = source.data_type() == target.data_type();
    if from == to && typmod == NO_TYPMOD && same {
        return ![pg::JSONB].contains(&to);
    }
    let plain_text = |of: PgType| [pg::TEXT, pg::VARCHAR, pg::NAME, pg::UNKNOWN].contains(&of);
    if plain_text(from) && [pg::TEXT, pg::VARCHAR].contains(&to) && typmod == NO_TYPMOD {
        return true;
    }
    let wider: &[PgType] = match from {
        pg::INT2 => &[pg::INT4, pg::INT8, pg::FLOAT4, pg::FLOAT8, pg::NUMERIC],
        pg::INT4 => &[pg::INT8, pg::FLOAT4, pg::FLOAT8, pg::NUMERIC],
        pg::INT8 => &[pg::FLOAT4, pg::FLOAT8, pg::NUMERIC],
        pg::FLOAT4 => &[pg::FLOAT8],
        pg::NUMERIC if same => &[pg::NUMERIC],
        _ => &[],
    };
    wider.contains(&to) && typmod == NO_TYPMOD && !source.data_type().is_unsigned_integer()
}

/// The values of `source`'s type as values of `target`'s.
pub(super) fn array(
    array: &ArrayRef,
    source: &FieldRef,
    target: &FieldRef,
    forms: &Forms,
) -> Result<ArrayRef> {
    let ((from, _), (to, typmod)) = (column_type(source), column_type(target));
    let wanted = target.data_type();
    if array.null_count() == array.len() {
        return Ok(new_null_array(wanted, array.len()));
    }
    if is_text(to) {
        return texts(array, source, (to, typmod), forms);
    }
    if is_text(from) {
        return parsed(array, (from, to), wanted, forms);
    }
    if from == pg::JSONB && to != pg::JSON && to != pg::JSONB {
        return json_scalars(array, to, wanted, forms);
    }
    if let (DataType::List(of), DataType::List(item)) = (array.data_type(), wanted) {
        let lists = array.as_list::<i32>();
        let deeper = matches!(of.data_type(), DataType::List(_))
            && !matches!(item.data_type(), DataType::List(_));
        if deeper {
            let of = element_list(of, from);
            let values = self::array(lists.values(), &of, target, forms)?;
            let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            let nulls = lists.nulls().cloned();
            let lists = ListArray::try_new(item, lists.offsets().clone(), values, nulls)?;
            return Ok(Arc::new(lists));
        }
        let (of, to) = (element(of, from, NO_TYPMOD), element(item, to, typmod));
        let values = self::array(lists.values(), &of, &to, forms)?;
        let nulls = lists.nulls().cloned();
        let item = Arc::clone(item);
        let lists = ListArray::try_new(item, lists.offsets().clone(), values, nulls)?;
        return Ok(Arc::new(lists));
    }
    match to {
        pg::NUMERIC => numerics(array, from, wanted, forms),
        pg::INT2 => integers::<Int16Type>(array, to, wanted),
        pg::INT4 => integers::<Int32Type>(array, to, wanted),
        pg::INT8 => integers::<Int64Type>(array, to, wanted),
        to if to == pg::OID || pg::REG_TYPES.contains(&to) => {
            integers::<UInt32Type>(array, to, wanted)
        }
        pg::FLOAT8 if array.data_type().is_decimal() => {
            parsed_text(array, source, to, wanted, forms)
        }
        pg::FLOAT4 => float4(array, wanted),
        pg::JSONB | pg::JSON => parsed_text(array, source, to, wanted, forms),
        _ => Ok(cast_with_options(array, wanted, &CHECKED)?),
    }
}

/// The numbers or booleans of jsonb.
fn json_scalars(
    array: &ArrayRef,
    to: PgType,
    wanted: &DataType,
    forms: &Forms,
) -> Result<ArrayRef> {
    let texts = cast_with_options(array, &DataType::Utf8View, &CHECKED)?;
    let fits = if to == pg::BOOL { "boolean" } else { "numeric" };
    let mut values = Vec::with_capacity(texts.len());
    for text in texts.as_string_view() {
        let kind = match text.and_then(|text| text.bytes().next()) {
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b'"') => "string",
            Some(b'n') => "null",
            Some(b't' | b'f') => "boolean",
            _ => "numeric",
        };
        if text.is_some() && kind != fits {
            let message = format!("cannot cast jsonb {kind} to type {}", to.sql_name());
            return Err(Error::invalid_parameter_value(message).into());
        }
        values.push(match [pg::INT2, pg::INT4, pg::INT8].contains(&to) {
            true => read(text, pg::NUMERIC, &numeric::free(), forms)?,
            false => read(text, to, wanted, forms)?,
        });
    }
    let read = ScalarValue::iter_to_array(values)?;
    match to {
        pg::INT2 => integers::<Int16Type>(&read, to, wanted),
        pg::INT4 => integers::<Int32Type>(&read, to, wanted),
        pg::INT8 => integers::<Int64Type>(&read, to, wanted),
        _ => Ok(read),
    }
}

/// The lists of an array of several dimensions, which have its own type.
fn element_list(item: &FieldRef, array: PgType) -> FieldRef {
    marked(array.name, NO_TYPMOD, item.data_type().clone())
}

/// The elements of an array whose type is marked on the array.
fn element(item: &FieldRef, array: PgType, typmod: i32) -> FieldRef {
    match pg::element_of(array).or_else(|| pg::vector_element(array)) {
        Some(of) if column_type(item).0 != of => marked(of.name, typmod, item.data_type().clone()),
        _ => Arc::clone(item),
    }
}

fn is_text(of: PgType) -> bool {
    [
        pg::TEXT,
        pg::VARCHAR,
        pg::BPCHAR,
        pg::NAME,
        pg::CHAR,
        pg::UNKNOWN,
    ]
    .contains(&of)
}

/// What a client would see, cut or padded to the length of the type.
fn texts(
    array: &ArrayRef,
    source: &FieldRef,
    (to, typmod): (PgType, i32),
    forms: &Forms,
) -> Result<ArrayRef> {
    let from = column_type(source).0;
    let mut builder = StringViewBuilder::with_capacity(array.len());
    each_text(array, source, forms, |text| match text {
        None => builder.append_null(),
        Some(text) => {
            let text = match (from, text) {
                (pg::BOOL, "t") => "true",
                (pg::BOOL, _) => "false",
                (pg::BPCHAR, text) if to != pg::BPCHAR => text.trim_end_matches(' '),
                (_, text) => text,
            };
            match fitted(text, to, typmod) {
                Fitted::Same(text) => builder.append_value(text),
                Fitted::Padded(text) => builder.append_value(text),
            }
        }
    })?;
    Ok(Arc::new(builder.finish()))
}

enum Fitted<'a> {
    Same(&'a str),
    Padded(String),
}

fn fitted(text: &str, to: PgType, typmod: i32) -> Fitted<'_> {
    match to {
        pg::NAME => {
            let mut end = text.len().min(NAME_BYTES_MAX);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            Fitted::Same(&text[..end])
        }
        pg::CHAR => {
            let end = text.chars().next().map_or(0, char::len_utf8);
            Fitted::Same(&text[..end])
        }
        pg::VARCHAR | pg::BPCHAR if typmod >= HEADER_BYTES => {
            let length = (typmod - HEADER_BYTES).unsigned_abs() as usize;
            match text.char_indices().nth(length) {
                Some((end, _)) => Fitted::Same(&text[..end]),
                None if to == pg::VARCHAR => Fitted::Same(text),
                None => {
                    let missing = length - text.chars().count();
                    Fitted::Padded(format!("{text}{}", " ".repeat(missing)))
                }
            }
        }
        _ => Fitted::Same(text),
    }
}

/// Calls `take` with the text form of each value, none for NULL.
fn each_text(
    array: &ArrayRef,
    source: &FieldRef,
    forms: &Forms,
    mut take: impl FnMut(Option<&str>),
) -> Result<()> {
    let field = source
        .as_ref()
        .clone()
        .with_data_type(array.data_type().clone())
        .with_nullable(true);
    let schema = Arc::new(Schema::new(vec![field]));
    let columns = Columns::try_new(&schema, &[Format::Text], &forms.text)?;
    let batch = RecordBatch::try_new(schema, vec![Arc::clone(array)])?;
    let bound = columns.bind(&batch, 0..array.len())?;
    let Some(cells) = bound.cells.first() else {
        return Err(Error::internal("a cast without a column").into());
    };
    let mut buffer = BytesMut::new();
    for row in 0..array.len() {
        if cells.is_null(row) {
            take(None);
            continue;
        }
        buffer.clear();
        cells.put(row, &mut buffer)?;
        let text = std::str::from_utf8(&buffer)
            .map_err(|error| Error::internal("a value's text is not UTF-8").with_source(error))?;
        take(Some(text));
    }
    Ok(())
}

/// Values read from texts as PostgreSQL's input functions read them.
fn parsed(
    array: &ArrayRef,
    (from, to): (PgType, PgType),
    wanted: &DataType,
    forms: &Forms,
) -> Result<ArrayRef> {
    let texts = cast_with_options(array, &DataType::Utf8View, &CHECKED)?;
    let mut values = Vec::with_capacity(texts.len());
    for text in texts.as_string_view() {
        let text = match (from, text) {
            (pg::BPCHAR, Some(text)) => Some(text.trim_end_matches(' ')),
            (_, text) => text,
        };
        values.push(read(text, to, wanted, forms)?);
    }
    ScalarValue::iter_to_array(values)
}

fn read(text: Option<&str>, to: PgType, wanted: &DataType, forms: &Forms) -> Result<ScalarValue> {
    let bytes = text.map(str::as_bytes);
    let value = decode::parameter(to.oid, Some(wanted), Format::Text, bytes, &forms.time)?;
    let nested = |of: &DataType| match of {
        DataType::List(item) => matches!(item.data_type(), DataType::List(_)),
        _ => false,
    };
    let of = value.data_type();
    if of.is_decimal() && of != *wanted {
        return value.cast_to(wanted).map_err(|_| field_overflow(wanted));
    }
    // An array of several dimensions is a list of lists, which its text alone can tell.
    Ok(match of == *wanted || nested(&of) {
        true => value,
        false => value.cast_to(wanted)?,
    })
}

/// By way of the text form.
fn parsed_text(
    array: &ArrayRef,
    source: &FieldRef,
    to: PgType,
    wanted: &DataType,
    forms: &Forms,
) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(array.len());
    each_text(array, source, forms, |text| {
        values.push(read(text, to, wanted, forms));
    })?;
    let values = values.into_iter().collect::<Result<Vec<_>>>()?;
    ScalarValue::iter_to_array(values)
}

fn numerics(array: &ArrayRef, from: PgType, wanted: &DataType, forms: &Forms) -> Result<ArrayRef> {
    if !array.data_type().is_floating() {
        return cast_with_options(array, wanted, &CHECKED).map_err(|_| field_overflow(wanted));
    }
    let digits = if from == pg::FLOAT4 {
        FLOAT4_DIGITS
    } else {
        FLOAT8_DIGITS
    };
    let floats = cast_with_options(array, &DataType::Float64, &CHECKED)?;
    let values = floats
        .as_primitive::<Float64Type>()
        .iter()
        .map(|value| {
            let text = value.map(|value| match value {
                value if value.is_nan() => "NaN".to_owned(),
                value if value.is_infinite() && value < 0.0 => "-Infinity".to_owned(),
                value if value.is_infinite() => "Infinity".to_owned(),
                value => format!("{value:.*e}", digits - 1),
            });
            read(text.as_deref(), pg::NUMERIC, wanted, forms)
        })
        .collect::<Result<Vec<_>>>()?;
    ScalarValue::iter_to_array(values)
}

fn field_overflow(wanted: &DataType) -> datafusion::error::DataFusionError {
    let (precision, scale) = shape(wanted).unwrap_or((0, 0));
    let whole = i32::from(precision) - i32::from(scale);
    let limit = if whole == 0 {
        "1".to_owned()
    } else {
        format!("10^{whole}")
    };
    Error::numeric_value_out_of_range("numeric field overflow")
        .with_detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value \
             less than {limit}."
        ))
        .into()
}

/// Floats round half to even, numerics half away from zero.
fn integers<T>(array: &ArrayRef, to: PgType, wanted: &DataType) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    let out_of_range =
        || Error::numeric_value_out_of_range(format!("{} out of range", to.sql_name()));
    if array.data_type().is_floating() {
        let floats = cast_with_options(array, &DataType::Float64, &CHECKED)?;
        let values = floats
            .as_primitive::<Float64Type>()
            .iter()
            .map(|value| {
                value
                    .map(|value| {
                        let whole = value.round_ties_even();
                        // Beyond this a float is no i128, and no integer of PostgreSQL either.
                        (whole.abs() < 1e30)
                            .then_some(whole as i128)
                            .and_then(|whole| T::Native::try_from(whole).ok())
                            .ok_or_else(out_of_range)
                    })
                    .transpose()
            })
            .collect::<std::result::Result<PrimitiveArray<T>, _>>()?;
        return Ok(Arc::new(values));
    }
    let whole = match shape(array.data_type()) {
        Some((precision, scale)) if scale > 0 => {
            let rounded = numeric::decimal(i32::from(precision) - i32::from(scale) + 1, 0);
            cast_with_options(array, &rounded, &CHECKED)?
        }
        _ => Arc::clone(array),
    };
    cast_with_options(&whole, wanted, &CHECKED).map_err(|_| out_of_range().into())
}

fn float4(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let wide = cast_with_options(array, &DataType::Float64, &CHECKED)?;
    let wide: &Float64Array = wide.as_primitive::<Float64Type>();
    let values = wide
        .iter()
        .map(|value| {
            value
                .map(|value| {
                    let narrow = value as f32;
                    let lost = narrow.is_infinite() && value.is_finite();
                    let vanished = narrow == 0.0 && value != 0.0;
                    match (lost, vanished) {
                        (true, _) => Err(Error::numeric_value_out_of_range(
                            "value out of range: overflow",
                        )),
                        (_, true) => Err(Error::numeric_value_out_of_range(
                            "value out of range: underflow",
                        )),
                        _ => Ok(narrow),
                    }
                })
                .transpose()
        })
        .collect::<std::result::Result<Float32Array, _>>()?;
    Ok(cast_with_options(&values, wanted, &CHECKED)?)
}
