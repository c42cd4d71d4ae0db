//! JSON lines: one object per row, NULLs included, so that every line has the same keys.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;

use super::TextFormat;
use super::text::{Cells, append_json_string};

/// Rows as objects. The keys are those of the stream's schema.
pub(super) struct Lines {
    /// Each key with its quotes and colon.
    keys: Vec<String>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new() }
    }
}

impl TextFormat for Lines {
    fn head(&mut self, schema: &SchemaRef, _: &mut String) {
        for field in schema.fields() {
            let mut key = String::new();
            append_json_string(field.name(), &mut key);
            key.push(':');
            self.keys.push(key);
        }
    }

    fn rows(&mut self, columns: &[Cells<'_>], rows: usize, text: &mut String) -> Result<()> {
        for row in 0..rows {
            text.push('{');
            for (index, (key, column)) in self.keys.iter().zip(columns).enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(key);
                column.append_json(row, text)?;
            }
            text.push_str("}\n");
        }
        Ok(())
    }

    fn foot(&mut self, _: u64, _: &mut String) {}
}
