//! CSV: RFC 4180 quoting, with the line ends and the NULL of PostgreSQL's COPY … CSV.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;

use super::TextFormat;
use super::text::Cells;

/// The format has no state.
pub(super) struct Csv;

impl TextFormat for Csv {
    fn head(&mut self, schema: &SchemaRef, text: &mut String) {
        for (index, field) in schema.fields().iter().enumerate() {
            separate(index, text);
            append_field(field.name(), text);
        }
        text.push('\n');
    }

    fn rows(&mut self, columns: &[Cells<'_>], rows: usize, text: &mut String) -> Result<()> {
        let mut cell = String::new();
        for row in 0..rows {
            for (index, column) in columns.iter().enumerate() {
                separate(index, text);
                cell.clear();
                if column.append(row, &mut cell)? {
                    append_field(&cell, text);
                }
            }
            text.push('\n');
        }
        Ok(())
    }

    fn foot(&mut self, _: u64, _: &mut String) {}
}

fn separate(index: usize, text: &mut String) {
    if index > 0 {
        text.push(',');
    }
}

/// Quotes what would be misread; an empty text too, as nothing at all is NULL.
fn append_field(value: &str, text: &mut String) {
    // PostgreSQL also quotes \. where it would stand alone on a line and end a COPY.
    if value.is_empty() || value == "\\." || value.contains([',', '"', '\n', '\r']) {
        text.push('"');
        text.push_str(&value.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(value: &str) -> String {
        let mut text = String::new();
        append_field(value, &mut text);
        text
    }

    #[test]
    fn only_what_needs_quotes_is_quoted() {
        assert_eq!(field("plain text; 'so'"), "plain text; 'so'");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(field("two\nlines"), "\"two\nlines\"");
        assert_eq!(field("old mac\r"), "\"old mac\r\"");
        assert_eq!(field(""), "\"\"");
        assert_eq!(field("\\."), "\"\\.\"");
    }
}
