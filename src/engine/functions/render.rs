//! Values as text, as PostgreSQL's output functions show them, for functions that take anything.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, IntervalUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;

use crate::engine::state::SessionVariables;
use crate::values::encode::{TextStyle, value_json, value_text};

/// Largest exponent that PostgreSQL still writes without one.
const PLAIN_EXPONENT_MAX: i32 = 14;

/// Smallest exponent that PostgreSQL still writes without one.
const PLAIN_EXPONENT_MIN: i32 = -4;

/// Settings that matter for the text of a value.
#[derive(Debug, Clone)]
pub(super) struct Style {
    text: TextStyle,
}

impl Style {
    /// The session's style.
    pub(super) fn of(options: &ConfigOptions) -> Self {
        let variables = options.extensions.get::<SessionVariables>();
        Self {
            text: variables.map_or_else(TextStyle::default, SessionVariables::text_style),
        }
    }

    /// The text of a value that is not NULL.
    pub(super) fn show(&self, array: &ArrayRef, row: usize) -> Result<String> {
        let mut out = String::new();
        self.write(array, row, &mut out)?;
        Ok(out)
    }

    fn write(&self, array: &ArrayRef, row: usize, out: &mut String) -> Result<()> {
        match array.data_type() {
            DataType::Boolean => {
                out.push(if array.as_boolean().value(row) {
                    't'
                } else {
                    'f'
                });
            }
            DataType::Float64 => {
                write_float(array.as_primitive::<Float64Type>().value(row), out);
            }
            DataType::Float32 => {
                let value = array.as_primitive::<Float32Type>().value(row);
                let (plain, shortest) = (value.to_string(), format!("{value:e}"));
                write_exponential(f64::from(value), &plain, &shortest, out);
            }
            DataType::Utf8View => out.push_str(array.as_string_view().value(row)),
            DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                let bytes = cast(&array.slice(row, 1), &DataType::Binary)?;
                out.push_str("\\x");
                for byte in bytes.as_binary::<i32>().value(0) {
                    let _infallible = write!(out, "{byte:02x}");
                }
            }
            DataType::FixedSizeBinary(16) => {
                let bytes = array.as_fixed_size_binary().value(row);
                for (index, byte) in bytes.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        out.push('-');
                    }
                    let _infallible = write!(out, "{byte:02x}");
                }
            }
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                self.write_list(&items(array, row), out)?;
            }
            DataType::Struct(_) => self.write_record(array, row, out)?,
            DataType::Dictionary(_, of) => {
                self.write(&cast(&array.slice(row, 1), of)?, 0, out)?;
            }
            data_type => {
                let field = Arc::new(Field::new("", data_type.clone(), true));
                let value = array.slice(row, 1);
                out.push_str(&value_text(&field, &value, 0, &self.text)?);
            }
        }
        Ok(())
    }

    fn write_list(&self, items: &ArrayRef, out: &mut String) -> Result<()> {
        out.push('{');
        let nested =
            items.data_type().is_nested() && !matches!(items.data_type(), DataType::Struct(_));
        for index in 0..items.len() {
            if index > 0 {
                out.push(',');
            }
            if items.is_null(index) {
                out.push_str("NULL");
                continue;
            }
            let text = self.show(items, index)?;
            if nested {
                out.push_str(&text);
            } else {
                quote(&text, "{}", "\\", text.eq_ignore_ascii_case("null"), out);
            }
        }
        out.push('}');
        Ok(())
    }

    fn write_record(&self, array: &ArrayRef, row: usize, out: &mut String) -> Result<()> {
        out.push('(');
        for (index, column) in array.as_struct().columns().iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            if column.is_valid(row) && !column.data_type().is_null() {
                let text = self.show(column, row)?;
                quote(&text, "()", "\"", false, out);
            }
        }
        out.push(')');
        Ok(())
    }

    /// The value as a member of a JSON document.
    pub(super) fn json(&self, array: &ArrayRef, row: usize) -> Result<String> {
        let field = Arc::new(Field::new("", array.data_type().clone(), true));
        Ok(value_json(&field, &array.slice(row, 1), 0, &self.text)?)
    }
}

/// The items of a list.
pub(super) fn items(array: &ArrayRef, row: usize) -> ArrayRef {
    match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value(row),
        DataType::LargeList(_) => array.as_list::<i64>().value(row),
        _ => array.as_fixed_size_list().value(row),
    }
}

/// The shortest text that reads back as the number, with an exponent where PostgreSQL has one.
pub(super) fn write_float(value: f64, out: &mut String) {
    write_exponential(value, &value.to_string(), &format!("{value:e}"), out);
}

fn write_exponential(value: f64, plain: &str, shortest: &str, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
        return;
    }
    let (digits, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (PLAIN_EXPONENT_MIN..=PLAIN_EXPONENT_MAX).contains(&exponent) {
        out.push_str(plain);
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _infallible = write!(out, "{digits}e{sign}{:02}", exponent.abs());
    }
}

/// A text in a list or record, in double quotes if it needs them.
fn quote(text: &str, brackets: &str, escape: &str, always: bool, out: &mut String) {
    let special = |c: char| {
        matches!(c, '"' | '\\' | ',')
            || brackets.contains(c)
            || (c.is_ascii_whitespace() || c == '\x0b')
    };
    if !always && !text.is_empty() && !text.contains(special) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' if escape == "\"" => out.push('"'),
            '"' | '\\' => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out.push('"');
}

/// PostgreSQL's name of the type that a carrier stands for, for messages.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null | DataType::Utf8 => "unknown",
        DataType::Utf8View | DataType::LargeUtf8 => "text",
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt64 => "bigint",
        DataType::UInt32 => "oid",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        data_type if data_type.is_decimal() => "numeric",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea",
        DataType::FixedSizeBinary(16) => "uuid",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(IntervalUnit::MonthDayNano) | DataType::Duration(_) => "interval",
        DataType::Struct(_) => "record",
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return match item.data_type() {
                nested @ DataType::List(_) => type_name(nested),
                DataType::Utf8 => "text[]".to_owned(),
                item => format!("{}[]", type_name(item)),
            };
        }
        other => return other.to_string(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_an_exponent_where_postgresql_writes_one() {
        for (value, text) in [
            (0.1, "0.1"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (123456789012345.0, "123456789012345"),
            (1e15, "1e+15"),
            (-2.5e300, "-2.5e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (100.0, "100"),
        ] {
            let mut out = String::new();
            write_float(value, &mut out);
            assert_eq!(out, text);
        }
    }
}
