//! Aligned columns, as psql prints them: centred header, numbers to the right, NULL as nothing.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;

use super::TextFormat;
use super::text::Cells;

/// Rows that are held back to find the widths of the columns. Later rows use the same widths; a
/// longer value pushes its line out of alignment.
const WIDTH_ROWS: usize = 1_000;

/// Bytes of text that are held back at most, so that long values do not pile up.
const WIDTH_BYTES: usize = 4 << 20;

/// Columns between two tab stops.
const TAB: usize = 8;

/// A table that is being printed.
pub(super) struct Table {
    columns: Vec<Column>,
    held: Vec<Vec<Cell>>,
    held_bytes: usize,
    /// Whether the header is out and the widths are fixed.
    started: bool,
}

struct Column {
    name: Cell,
    right: bool,
    width: usize,
}

/// The lines of a value, without control characters, each with its width on a terminal.
struct Cell(Vec<(String, usize)>);

impl Table {
    pub(super) fn new() -> Self {
        Self {
            columns: Vec::new(),
            held: Vec::new(),
            held_bytes: 0,
            started: false,
        }
    }

    /// Prints the header and the rows held back.
    fn start(&mut self, text: &mut String) {
        self.started = true;
        self.append_header(text);
        for row in std::mem::take(&mut self.held) {
            self.append_row(&row, text);
        }
    }

    fn append_header(&self, text: &mut String) {
        let height = self
            .columns
            .iter()
            .map(|column| column.name.0.len())
            .max()
            .unwrap_or(0);
        for line in 0..height {
            for (index, column) in self.columns.iter().enumerate() {
                text.push_str(if index > 0 { "| " } else { " " });
                let (name, width) = column.name.line(line);
                let room = column.width.saturating_sub(width);
                pad(room / 2, text);
                text.push_str(name);
                pad(room - room / 2, text);
                text.push(if line + 1 < column.name.0.len() {
                    '+'
                } else {
                    ' '
                });
            }
            text.push('\n');
        }
        let rules: Vec<_> = self
            .columns
            .iter()
            .map(|column| "-".repeat(column.width + 2))
            .collect();
        if !rules.is_empty() {
            text.push_str(&rules.join("+"));
            text.push('\n');
        }
    }

    fn append_row(&self, row: &[Cell], text: &mut String) {
        let height = row.iter().map(|cell| cell.0.len()).max().unwrap_or(0);
        let last = row.len().saturating_sub(1);
        for line in 0..height {
            for (index, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
                text.push_str(if index > 0 { "| " } else { " " });
                let (value, width) = cell.line(line);
                let room = column.width.saturating_sub(width);
                let continued = line + 1 < cell.0.len();
                if column.right && (index < last || line < cell.0.len()) {
                    pad(room, text);
                }
                text.push_str(value);
                if !column.right && (index < last || continued) {
                    pad(room, text);
                }
                if continued {
                    text.push('+');
                } else if index < last {
                    text.push(' ');
                }
            }
            text.push('\n');
        }
    }
}

impl TextFormat for Table {
    fn head(&mut self, schema: &SchemaRef, _: &mut String) {
        for field in schema.fields() {
            let name = Cell::new(field.name());
            let (right, width) = (is_number(field.data_type()), name.width());
            self.columns.push(Column { name, right, width });
        }
    }

    fn rows(&mut self, columns: &[Cells<'_>], rows: usize, text: &mut String) -> Result<()> {
        let mut value = String::new();
        for row in 0..rows {
            let mut cells = Vec::with_capacity(columns.len());
            for (column, shown) in columns.iter().zip(&mut self.columns) {
                value.clear();
                column.append(row, &mut value)?;
                let cell = Cell::new(&value);
                if !self.started {
                    shown.width = shown.width.max(cell.width());
                    self.held_bytes += value.len();
                }
                cells.push(cell);
            }
            if self.started {
                self.append_row(&cells, text);
                continue;
            }
            self.held.push(cells);
            if self.held.len() == WIDTH_ROWS || self.held_bytes > WIDTH_BYTES {
                self.start(text);
            }
        }
        Ok(())
    }

    fn foot(&mut self, rows: u64, text: &mut String) {
        if !self.started {
            self.start(text);
        }
        let noun = if rows == 1 { "row" } else { "rows" };
        text.push('(');
        text.push_str(&rows.to_string());
        text.push(' ');
        text.push_str(noun);
        text.push_str(")\n");
    }
}

impl Cell {
    fn new(value: &str) -> Self {
        Self(value.split('\n').map(printable).collect())
    }

    fn line(&self, index: usize) -> (&str, usize) {
        self.0
            .get(index)
            .map_or(("", 0), |(text, width)| (text, *width))
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, width)| *width).max().unwrap_or(0)
    }
}

/// One line as a terminal may show it, with its width: data must not move the cursor.
fn printable(line: &str) -> (String, usize) {
    let mut text = String::with_capacity(line.len());
    let mut width = 0;
    for c in line.chars() {
        if c == '\t' {
            let room = TAB - width % TAB;
            pad(room, &mut text);
            width += room;
        } else if c == '\r' {
            text.push_str("\\r");
            width += 2;
        } else if c.is_control() {
            let escape = format!("\\x{:02X}", u32::from(c));
            width += escape.len();
            text.push_str(&escape);
        } else {
            text.push(c);
            width += char_width(c);
        }
    }
    (text, width)
}

fn pad(width: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', width));
}

/// Columns that a character takes: none for combining marks, two for East Asian wide characters and
/// pictographs (the blocks of Unicode's EastAsianWidth.txt, coarsely).
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036F
        | 0x0483..=0x0489
        | 0x200B..=0x200F
        | 0x202A..=0x202E
        | 0x2060..=0x2064
        | 0x20D0..=0x20F0
        | 0xFE00..=0xFE0F
        | 0xFEFF => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F900..=0x1F9FF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_number(value),
        other => other.is_numeric(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;

    fn printed(batches: &[RecordBatch]) -> String {
        let (mut table, mut text) = (Table::new(), String::new());
        table.head(&batches[0].schema(), &mut text);
        let mut rows = 0;
        for batch in batches {
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| Cells::new(column).unwrap())
                .collect();
            table.rows(&columns, batch.num_rows(), &mut text).unwrap();
            rows += batch.num_rows() as u64;
        }
        table.foot(rows, &mut text);
        text
    }

    fn names(values: Vec<&str>) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(0..values.len() as i64);
        RecordBatch::try_from_iter([
            ("name", Arc::new(StringArray::from(values)) as ArrayRef),
            ("n", Arc::new(numbers)),
        ])
        .unwrap()
    }

    #[test]
    fn one_row_is_singular() {
        assert_eq!(
            printed(&[names(vec!["Ёлка"])]),
            " name | n \n------+---\n Ёлка | 0\n(1 row)\n"
        );
    }

    #[test]
    fn lines_of_a_value_stay_in_its_column() {
        let expected =
            "  name   | n \n---------+---\n first  +| 0\n second  | \n third\\r | 1\n(2 rows)\n";
        assert_eq!(
            printed(&[names(vec!["first\nsecond", "third\r"])]),
            expected
        );
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a\nlonger"]));
        let batch = RecordBatch::try_from_iter([("t", text)]).unwrap();
        assert_eq!(
            printed(&[batch]),
            "   t    \n--------\n a     +\n longer\n(1 row)\n"
        );
    }

    #[test]
    fn data_cannot_control_the_terminal() {
        let text = printed(&[names(vec!["\u{1b}[2J\u{9b}x", "a\tb"])]);
        assert!(text.contains("\\x1B[2J\\x9Bx |"), "{text}");
        assert!(text.contains(" a       b "), "{text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
    }

    #[test]
    fn wide_and_combining_characters_are_measured() {
        assert_eq!(printable("日本").1, 4);
        assert_eq!(printable("e\u{301}").1, 1);
        assert_eq!(printable("Київ").1, 4);
    }

    /// After the rows that fix the widths, the table streams, whatever comes.
    #[test]
    fn later_rows_keep_the_widths() {
        let first = names(vec!["ab"; WIDTH_ROWS]);
        let (mut table, mut text) = (Table::new(), String::new());
        table.head(&first.schema(), &mut text);
        assert!(text.is_empty());
        let columns: Vec<_> = first
            .columns()
            .iter()
            .map(|c| Cells::new(c).unwrap())
            .collect();
        table.rows(&columns, WIDTH_ROWS - 1, &mut text).unwrap();
        assert!(text.is_empty());
        table.rows(&columns, 1, &mut text).unwrap();
        assert!(
            text.starts_with(" name |  n  \n------+-----\n ab   |   0\n"),
            "{text}"
        );
        text.clear();
        let later = names(vec!["x", "much longer"]);
        let columns: Vec<_> = later
            .columns()
            .iter()
            .map(|c| Cells::new(c).unwrap())
            .collect();
        table.rows(&columns, 2, &mut text).unwrap();
        assert_eq!(text, " x    |   0\n much longer |   1\n");
    }

    #[test]
    fn long_values_are_not_held_back() {
        let long = "x".repeat(WIDTH_BYTES / 2);
        let batch = names(vec![&long, &long, &long]);
        let (mut table, mut text) = (Table::new(), String::new());
        table.head(&batch.schema(), &mut text);
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| Cells::new(c).unwrap())
            .collect();
        table.rows(&columns, 3, &mut text).unwrap();
        assert!(!text.is_empty());
    }

    #[test]
    fn no_columns_no_header() {
        let (mut table, mut text) = (Table::new(), String::new());
        table.head(
            &Arc::new(datafusion::arrow::datatypes::Schema::empty()),
            &mut text,
        );
        table.foot(0, &mut text);
        assert_eq!(text, "(0 rows)\n");
    }
}
