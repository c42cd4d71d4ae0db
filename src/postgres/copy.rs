//! COPY … TO STDOUT: options as PostgreSQL checks them, rows as text, CSV or binary CopyData.

use std::ops::Range;

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;

use crate::error::{Error, Result};
use crate::postgres::encode::{BoundColumns, Columns, TextStyle, message};
use crate::postgres::types::Format;
use crate::sqlstate::SqlState;

/// The signature, flags (none) and header extension (none) of binary COPY.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What binary COPY data begin with.
pub const BINARY_SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The format of a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyFormat {
    /// Tab-separated with backslash escapes.
    #[default]
    Text,
    /// Comma-separated with quotes.
    Csv,
    /// PostgreSQL's binary tuples.
    Binary,
}

/// The options of a COPY as written, before they are checked together.
#[derive(Debug, Clone, Default)]
pub struct CopyClauses {
    /// FORMAT, in any case.
    pub format: Option<String>,
    /// DELIMITER
    pub delimiter: Option<String>,
    /// NULL
    pub null: Option<String>,
    /// HEADER
    pub header: bool,
    /// QUOTE
    pub quote: Option<String>,
    /// ESCAPE
    pub escape: Option<String>,
    /// FORCE_QUOTE
    pub force_quote: ForceQuote,
    /// FORCE_NOT_NULL
    pub force_not_null: ForceQuote,
    /// FORCE_NULL
    pub force_null: ForceQuote,
    /// HEADER MATCH
    pub header_match: bool,
    /// ON_ERROR ignore
    pub skips_errors: bool,
    /// ENCODING
    pub encoding: Option<String>,
}

/// Which columns CSV quotes whether they need it or not (never NULL).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ForceQuote {
    /// None.
    #[default]
    No,
    /// `*`
    All,
    /// These, by name.
    Columns(Vec<String>),
}

/// The options of a COPY, valid together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    format: CopyFormat,
    delimiter: u8,
    null: String,
    header: bool,
    quote: u8,
    escape: u8,
    force_quote: ForceQuote,
    force_not_null: ForceQuote,
    force_null: ForceQuote,
    header_match: bool,
    skips_errors: bool,
}

impl CopyOptions {
    /// The format.
    pub fn format(&self) -> CopyFormat {
        self.format
    }

    /// The byte between columns.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// What stands for NULL.
    pub fn null(&self) -> &str {
        &self.null
    }

    /// Whether the first line has the names.
    pub fn header(&self) -> bool {
        self.header
    }

    /// Whether the first line must have the names of the columns.
    pub fn header_match(&self) -> bool {
        self.header_match
    }

    /// Whether rows with values that cannot be read are passed over.
    pub fn skips_errors(&self) -> bool {
        self.skips_errors
    }

    /// For each column: whether what stands for NULL is a text there, and whether it is NULL in quotes
    /// too. 42P10 for an unknown name.
    pub fn forced(&self, names: &[String]) -> Result<Vec<(bool, bool)>> {
        let forced = |what: &str, of: &ForceQuote| -> Result<Vec<bool>> {
            Ok(match of {
                ForceQuote::No => vec![false; names.len()],
                ForceQuote::All => vec![true; names.len()],
                ForceQuote::Columns(forced) => {
                    if let Some(stranger) = forced.iter().find(|name| !names.contains(name)) {
                        return Err(Error::new(
                            SqlState::InvalidColumnReference,
                            format!("{what} column \"{stranger}\" not referenced by COPY"),
                        ));
                    }
                    names.iter().map(|name| forced.contains(name)).collect()
                }
            })
        };
        let texts = forced("FORCE_NOT_NULL", &self.force_not_null)?;
        let nulls = forced("FORCE_NULL", &self.force_null)?;
        Ok(texts.into_iter().zip(nulls).collect())
    }

    /// 0A000 and 42601 for what only COPY FROM takes.
    pub fn check_to(&self) -> Result<()> {
        let only = |what: &str| {
            Err(Error::feature_not_supported(format!(
                "COPY {what} only available using COPY FROM"
            )))
        };
        match self {
            _ if self.force_not_null != ForceQuote::No => only("force not null"),
            _ if self.force_null != ForceQuote::No => only("force null"),
            _ if self.header_match => Err(Error::feature_not_supported(
                "cannot use \"match\" with HEADER in COPY TO",
            )),
            _ if self.skips_errors => Err(Error::syntax_error(
                "COPY ON_ERROR cannot be used with COPY TO",
            )),
            _ => Ok(()),
        }
    }

    /// The byte around values in CSV.
    pub fn quote(&self) -> u8 {
        self.quote
    }

    /// The byte before a quote within quotes in CSV.
    pub fn escape(&self) -> u8 {
        self.escape
    }

    /// The format code of CopyOutResponse.
    pub fn wire_format(&self) -> Format {
        match self.format {
            CopyFormat::Binary => Format::Binary,
            CopyFormat::Text | CopyFormat::Csv => Format::Text,
        }
    }
}

impl TryFrom<CopyClauses> for CopyOptions {
    type Error = Error;

    /// Checks the options in PostgreSQL's order and words: 42601 for what binary cannot have,
    /// 22023 for a bad value, 0A000 for one that is not supported.
    fn try_from(clauses: CopyClauses) -> Result<Self> {
        let format = format(clauses.format.as_deref())?;
        check_encoding(clauses.encoding.as_deref())?;
        let csv = format == CopyFormat::Csv;
        if format == CopyFormat::Binary {
            check_binary(&clauses)?;
        }
        let delimiter = delimiter(clauses.delimiter.as_deref(), csv)?;
        let null = clauses
            .null
            .unwrap_or_else(|| if csv { "" } else { "\\N" }.to_owned());
        if null.contains(['\r', '\n']) {
            return Err(Error::invalid_parameter_value(
                "COPY null representation cannot use newline or carriage return",
            ));
        }
        if !csv && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            let shown = char::from(delimiter);
            return Err(Error::invalid_parameter_value(format!(
                "COPY delimiter cannot be \"{shown}\""
            )));
        }
        if clauses.header && format == CopyFormat::Binary {
            return Err(Error::feature_not_supported(
                "cannot specify HEADER in BINARY mode",
            ));
        }
        let quote = csv_byte("quote", clauses.quote.as_deref(), csv)?.unwrap_or(b'"');
        if csv && delimiter == quote {
            return Err(Error::invalid_parameter_value(
                "COPY delimiter and quote must be different",
            ));
        }
        let escape = csv_byte("escape", clauses.escape.as_deref(), csv)?.unwrap_or(quote);
        if !csv && clauses.force_quote != ForceQuote::No {
            return Err(Error::feature_not_supported(
                "COPY force quote available only in CSV mode",
            ));
        }
        for (what, forced) in [
            ("not null", &clauses.force_not_null),
            ("null", &clauses.force_null),
        ] {
            if !csv && *forced != ForceQuote::No {
                return Err(Error::feature_not_supported(format!(
                    "COPY force {what} available only in CSV mode"
                )));
            }
        }
        if clauses.skips_errors && format == CopyFormat::Binary {
            return Err(Error::syntax_error(
                "only ON_ERROR STOP is allowed in BINARY mode",
            ));
        }
        if format != CopyFormat::Binary && null.as_bytes().contains(&delimiter) {
            return Err(Error::feature_not_supported(
                "COPY delimiter must not appear in the NULL specification",
            ));
        }
        if csv && null.as_bytes().contains(&quote) {
            return Err(Error::feature_not_supported(
                "CSV quote character must not appear in the NULL specification",
            ));
        }
        let (header, force_quote) = (clauses.header, clauses.force_quote);
        Ok(Self {
            format,
            delimiter,
            null,
            header,
            quote,
            escape,
            force_quote,
            force_not_null: clauses.force_not_null,
            force_null: clauses.force_null,
            header_match: clauses.header_match,
            skips_errors: clauses.skips_errors,
        })
    }
}

fn format(word: Option<&str>) -> Result<CopyFormat> {
    match word {
        None => Ok(CopyFormat::Text),
        Some(word) if word.eq_ignore_ascii_case("text") => Ok(CopyFormat::Text),
        Some(word) if word.eq_ignore_ascii_case("csv") => Ok(CopyFormat::Csv),
        Some(word) if word.eq_ignore_ascii_case("binary") => Ok(CopyFormat::Binary),
        Some(word) => Err(Error::invalid_parameter_value(format!(
            "COPY format \"{word}\" not recognized"
        ))),
    }
}

fn check_encoding(encoding: Option<&str>) -> Result<()> {
    let is_utf8 = |name: &str| {
        let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        letters.eq_ignore_ascii_case("utf8") || letters.eq_ignore_ascii_case("unicode")
    };
    match encoding {
        Some(name) if !is_utf8(name) => Err(Error::feature_not_supported(format!(
            "encoding \"{name}\" is not supported by COPY"
        ))
        .with_hint("Use UTF8.")),
        _ => Ok(()),
    }
}

fn check_binary(clauses: &CopyClauses) -> Result<()> {
    if clauses.delimiter.is_some() {
        return Err(Error::syntax_error(
            "cannot specify DELIMITER in BINARY mode",
        ));
    }
    if clauses.null.is_some() {
        return Err(Error::syntax_error("cannot specify NULL in BINARY mode"));
    }
    Ok(())
}

fn delimiter(text: Option<&str>, csv: bool) -> Result<u8> {
    let text = text.unwrap_or(if csv { "," } else { "\t" });
    let [byte] = text.as_bytes() else {
        return Err(Error::feature_not_supported(
            "COPY delimiter must be a single one-byte character",
        ));
    };
    if matches!(byte, b'\r' | b'\n') {
        return Err(Error::invalid_parameter_value(
            "COPY delimiter cannot be newline or carriage return",
        ));
    }
    Ok(*byte)
}

fn csv_byte(what: &str, text: Option<&str>, csv: bool) -> Result<Option<u8>> {
    match text.map(str::as_bytes) {
        None => Ok(None),
        Some(_) if !csv => Err(Error::feature_not_supported(format!(
            "COPY {what} available only in CSV mode"
        ))),
        Some([byte]) => Ok(Some(*byte)),
        Some(_) => Err(Error::feature_not_supported(format!(
            "COPY {what} must be a single one-byte character"
        ))),
    }
}

/// Turns batches of one schema into CopyData messages, one per row.
#[derive(Debug, Clone)]
pub struct CopyEncoder {
    columns: Columns,
    names: Vec<String>,
    /// For CSV, per column.
    force_quote: Vec<bool>,
    options: CopyOptions,
    /// Whether the binary signature has still to go out, before the first row.
    unsigned: bool,
}

impl CopyEncoder {
    /// An encoder for results of `schema` under `names`, the columns' names.
    ///
    /// 42703 for a FORCE_QUOTE column that is not among them, 54000 for too many columns.
    pub fn try_new(
        schema: &Schema,
        names: &[String],
        options: CopyOptions,
        style: &TextStyle,
    ) -> Result<Self> {
        let force_quote = match &options.force_quote {
            ForceQuote::No => vec![false; names.len()],
            ForceQuote::All => vec![true; names.len()],
            ForceQuote::Columns(forced) => {
                if let Some(stranger) = forced.iter().find(|name| !names.contains(name)) {
                    return Err(Error::undefined_column(format!(
                        "column \"{stranger}\" does not exist"
                    )));
                }
                names.iter().map(|name| forced.contains(name)).collect()
            }
        };
        if names.len() != schema.fields().len() {
            return Err(Error::internal(
                "names and columns of COPY differ in number",
            ));
        }
        let columns = Columns::try_new(schema, &[options.wire_format()], style)?;
        Ok(Self {
            columns,
            names: names.to_vec(),
            force_quote,
            unsigned: options.format == CopyFormat::Binary,
            options,
        })
    }

    /// Appends what goes before the rows in a message of its own: the line of names, or nothing.
    /// The binary signature goes with the first row, as PostgreSQL sends it: readers count on it.
    pub fn header(&self, out: &mut BytesMut) -> Result<()> {
        if !self.options.header {
            return Ok(());
        }
        message(b'd', out, |out| {
            for (i, name) in self.names.iter().enumerate() {
                if i > 0 {
                    out.put_u8(self.options.delimiter);
                }
                let at = out.len();
                out.put_slice(name.as_bytes());
                self.escape(at, false, out);
            }
            out.put_u8(b'\n');
            Ok(())
        })
    }

    /// Appends one CopyData per row of `rows` (indices into `batch`).
    ///
    /// Errors as [`RowEncoder::encode`](super::encode::RowEncoder::encode); after one, `out` ends
    /// with the last complete row.
    pub fn encode(
        &mut self,
        batch: &RecordBatch,
        rows: Range<usize>,
        out: &mut BytesMut,
    ) -> Result<()> {
        let bound = self.columns.bind(batch, rows)?;
        for row in 0..bound.rows {
            let unsigned = self.unsigned;
            message(b'd', out, |out| match self.options.format {
                CopyFormat::Binary => {
                    if unsigned {
                        out.put_slice(BINARY_HEADER);
                    }
                    put_tuple(&bound, row, out)
                }
                CopyFormat::Text | CopyFormat::Csv => self.put_line(&bound, row, out),
            })?;
            self.unsigned = false;
        }
        Ok(())
    }

    /// Appends what goes after the rows, `sent` of them: the binary trailer, or nothing. CopyDone is
    /// the caller's.
    pub fn trailer(options: &CopyOptions, sent: u64, out: &mut BytesMut) -> Result<()> {
        if options.format != CopyFormat::Binary {
            return Ok(());
        }
        message(b'd', out, |out| {
            if sent == 0 {
                out.put_slice(BINARY_HEADER);
            }
            out.put_i16(-1);
            Ok(())
        })
    }

    fn put_line(&self, bound: &BoundColumns, row: usize, out: &mut BytesMut) -> Result<()> {
        for (i, (cell, force)) in bound.cells.iter().zip(&self.force_quote).enumerate() {
            if i > 0 {
                out.put_u8(self.options.delimiter);
            }
            if cell.is_null(row) {
                out.put_slice(self.options.null.as_bytes());
            } else {
                let at = out.len();
                cell.put(row, out)?;
                self.escape(at, *force, out);
            }
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// Escapes or quotes what was written from `at` on.
    fn escape(&self, at: usize, force: bool, out: &mut BytesMut) {
        if self.options.format == CopyFormat::Csv {
            self.quote_csv(at, force, out);
        } else {
            self.escape_text(at, out);
        }
    }

    fn escape_text(&self, at: usize, out: &mut BytesMut) {
        let escape = |byte: u8| match byte {
            0x08 => Some(b'b'),
            0x0b => Some(b'v'),
            0x0c => Some(b'f'),
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            b'\t' => Some(b't'),
            b'\\' => Some(b'\\'),
            byte if byte == self.options.delimiter => Some(byte),
            _ => None,
        };
        if !out[at..].iter().any(|byte| escape(*byte).is_some()) {
            return;
        }
        let plain = out[at..].to_vec();
        out.truncate(at);
        for byte in plain {
            match escape(byte) {
                Some(letter) => out.put_slice(&[b'\\', letter]),
                None => out.put_u8(byte),
            }
        }
    }

    fn quote_csv(&self, at: usize, force: bool, out: &mut BytesMut) {
        let CopyOptions {
            delimiter,
            quote,
            escape,
            ref null,
            ..
        } = self.options;
        let value = &out[at..];
        let needed = force
            || value == null.as_bytes()
            // Alone on a line it would end the data.
            || (self.names.len() == 1 && value == b"\\.")
            || value.iter().any(|b| *b == delimiter || *b == quote || matches!(b, b'\n' | b'\r'));
        if !needed {
            return;
        }
        let plain = out[at..].to_vec();
        out.truncate(at);
        out.put_u8(quote);
        for byte in plain {
            if byte == quote || byte == escape {
                out.put_u8(escape);
            }
            out.put_u8(byte);
        }
        out.put_u8(quote);
    }
}

fn put_tuple(bound: &BoundColumns, row: usize, out: &mut BytesMut) -> Result<()> {
    out.put_i16(bound.cells.len() as i16);
    bound
        .cells
        .iter()
        .try_for_each(|cell| cell.put_sized(row, out))
}

#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "one long table of expected values")]
mod tests;
