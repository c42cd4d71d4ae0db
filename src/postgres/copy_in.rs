//! COPY … FROM STDIN: the lines or tuples of a client as rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::scalar::ScalarValue;
use futures::stream::{self, Stream};
use tokio::sync::mpsc;

use super::copy::{BINARY_SIGNATURE, CopyFormat, CopyOptions};
use crate::calendar::Reader;
use crate::catalog::pg_type::pg_type_of_field;
use crate::engine::session::Columns;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::values::types::{self, Format};
use crate::values::{decode, utf8};

/// Rows of one batch.
const BATCH_ROWS: usize = 8 * 1024;
/// Bytes of one batch, as the client sent them.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of one row.
const ROW_BYTES_MAX: usize = 256 << 20;
/// Characters of a value that an error repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// A row as it was sent: where it began, and its values.
struct Line {
    number: u64,
    cells: Vec<Option<Bytes>>,
}

/// The rows of a COPY. `chunks` are the client's messages; an error among them ends the COPY.
pub(crate) fn batches(
    chunks: mpsc::Receiver<Result<Bytes>>,
    options: CopyOptions,
    target: CopyTarget,
    time: Reader,
) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
    let source = CopySource {
        chunks: Some(chunks),
        lines: Lines::new(options, &target.columns.names)?,
        table: target.table,
        columns: target.columns,
        skipped: target.skipped,
        time,
    };
    Ok(stream::try_unfold(source, |mut source| async move {
        let batch = source.next().await?;
        Ok(batch.map(|batch| (batch, source)))
    }))
}

/// What rows are copied into.
pub(crate) struct CopyTarget {
    /// The table, as errors name it.
    pub(crate) table: String,
    /// Its columns that are sent.
    pub(crate) columns: Columns,
    /// Counts the rows that are passed over.
    pub(crate) skipped: Arc<AtomicU64>,
}

/// What is told of rows that were passed over.
pub(crate) fn skipped_notice(rows: u64) -> Option<Error> {
    let message = match rows {
        0 => return None,
        1 => "1 row was skipped due to data type incompatibility".to_owned(),
        rows => format!("{rows} rows were skipped due to data type incompatibility"),
    };
    Some(Error::new(SqlState::SuccessfulCompletion, message))
}

struct CopySource {
    chunks: Option<mpsc::Receiver<Result<Bytes>>>,
    lines: Lines,
    table: String,
    columns: Columns,
    skipped: Arc<AtomicU64>,
    time: Reader,
}

impl CopySource {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows: Vec<Vec<ScalarValue>> = vec![Vec::new(); self.columns.names.len()];
        let (mut count, mut bytes) = (0, 0);
        while count < BATCH_ROWS && bytes < BATCH_BYTES {
            if let Some(line) = self.line()? {
                bytes += line.cells.iter().flatten().map(Bytes::len).sum::<usize>();
                let Some(values) = self.read(&line)? else {
                    self.skipped.fetch_add(1, Ordering::AcqRel);
                    continue;
                };
                for (column, value) in rows.iter_mut().zip(values) {
                    column.push(value);
                }
                count += 1;
                continue;
            }
            let Some(chunks) = &mut self.chunks else {
                break;
            };
            match chunks.recv().await {
                Some(chunk) => self.lines.push(&chunk?)?,
                None => {
                    self.chunks = None;
                    self.lines.finish();
                }
            }
        }
        if count == 0 {
            return Ok(None);
        }
        let arrays = rows.into_iter().map(ScalarValue::iter_to_array);
        let arrays: Vec<ArrayRef> = arrays.collect::<datafusion::error::Result<_>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.columns.schema), arrays);
        batch
            .map(Some)
            .map_err(|error| Error::internal("copied rows were not built").with_source(error))
    }

    fn line(&mut self) -> Result<Option<Line>> {
        let number = self.lines.number;
        self.lines
            .next()
            .map_err(|error| self.with_context(error, number, None))
    }

    /// The values of a row; none if it is passed over.
    fn read(&self, line: &Line) -> Result<Option<Vec<ScalarValue>>> {
        let bad = |message: String, shown: Option<(&str, Option<&Bytes>)>| {
            let error = Error::new(SqlState::BadCopyFileFormat, message);
            self.with_context(error, line.number, shown)
        };
        let names = &self.columns.names;
        if let Some(missing) = names.get(line.cells.len()) {
            return Err(bad(format!("missing data for column \"{missing}\""), None));
        }
        if line.cells.len() > names.len() {
            return Err(bad(
                "extra data after last expected column".to_owned(),
                None,
            ));
        }
        let fields = self.columns.schema.fields().iter();
        let mut values = Vec::with_capacity(names.len());
        for ((field, name), cell) in fields.zip(names).zip(&line.cells) {
            let oid = pg_type_of_field(field).0;
            let oid = types::by_oid(oid).map_or(types::TEXT.oid, |known| known.oid);
            let target = Some(field.data_type());
            let format = self.lines.options.wire_format();
            if let (Format::Text, Some(text)) = (format, cell) {
                utf8(text).map_err(|error| self.with_context(error, line.number, None))?;
            }
            let value = decode::parameter(oid, target, format, cell.as_deref(), &self.time);
            match value {
                Ok(value) => values.push(value),
                // Class 22 is data that its type does not take.
                Err(error)
                    if self.lines.options.skips_errors()
                        && error.state().code().starts_with("22") =>
                {
                    return Ok(None);
                }
                Err(error) => {
                    let shown = Some((name.as_str(), cell.as_ref()));
                    return Err(self.with_context(error, line.number, shown));
                }
            }
        }
        Ok(Some(values))
    }

    /// Says where in the data an error is, in PostgreSQL's words.
    fn with_context(&self, error: Error, line: u64, cell: Option<(&str, Option<&Bytes>)>) -> Error {
        let place = format!("COPY {}, line {line}", self.table);
        let place = match cell {
            None => place,
            Some((column, None)) => format!("{place}, column {column}: null input"),
            Some((column, Some(value))) => {
                let text = String::from_utf8_lossy(value);
                let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                format!("{place}, column {column}: \"{shown}\"")
            }
        };
        let detail = match error.detail() {
            Some(detail) => format!("{detail} {place}"),
            None => place,
        };
        error.with_detail(detail)
    }
}

/// Cuts what a client sends into rows.
struct Lines {
    options: CopyOptions,
    names: Vec<String>,
    /// For each column: whether NULL is a text there, and whether it is NULL in quotes too.
    forced: Vec<(bool, bool)>,
    buffer: BytesMut,
    /// The line that the next row begins in, from 1.
    number: u64,
    /// Nothing more comes.
    ended: bool,
    /// The end marker was read.
    done: bool,
    started: bool,
    /// How far the buffer was looked through for the end of a row, and whether within quotes.
    seen: usize,
    in_quotes: bool,
}

impl Lines {
    fn new(options: CopyOptions, names: &[String]) -> Result<Self> {
        Ok(Self {
            forced: options.forced(names)?,
            names: names.to_vec(),
            options,
            buffer: BytesMut::new(),
            number: 1,
            ended: false,
            done: false,
            started: false,
            seen: 0,
            in_quotes: false,
        })
    }

    /// 22P04 unless a line has the names of the columns.
    fn check_header(&self, line: &Bytes) -> Result<()> {
        let bad = |message: String| Err(Error::new(SqlState::BadCopyFileFormat, message));
        let cells = match self.options.format() == CopyFormat::Csv {
            true => self.csv_cells(line)?,
            false => self.text_cells(line),
        };
        if cells.len() != self.names.len() {
            return bad(format!(
                "wrong number of fields in header line: got {}, expected {}",
                cells.len(),
                self.names.len()
            ));
        }
        for (number, (cell, name)) in (1..).zip(cells.iter().zip(&self.names)) {
            let null = Bytes::copy_from_slice(self.options.null().as_bytes());
            let got = String::from_utf8_lossy(cell.as_ref().unwrap_or(&null)).into_owned();
            if got != *name {
                let got = match cell {
                    Some(_) => format!("\"{got}\""),
                    None => format!("null value (\"{got}\")"),
                };
                return bad(format!(
                    "column name mismatch in header line field {number}: got {got}, expected \"{name}\""
                ));
            }
        }
        Ok(())
    }

    fn push(&mut self, chunk: &[u8]) -> Result<()> {
        if self.buffer.len() + chunk.len() > ROW_BYTES_MAX {
            return Err(Error::program_limit_exceeded("a row of a COPY is too long")
                .with_detail(format!("A row may take {ROW_BYTES_MAX} bytes.")));
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    fn finish(&mut self) {
        self.ended = true;
    }

    /// The next row; `None` if more bytes are needed, or none come.
    fn next(&mut self) -> Result<Option<Line>> {
        if self.done {
            self.buffer.clear();
            return Ok(None);
        }
        match self.options.format() {
            CopyFormat::Binary => self.tuple(),
            CopyFormat::Text | CopyFormat::Csv => self.text_row(),
        }
    }

    fn text_row(&mut self) -> Result<Option<Line>> {
        let csv = self.options.format() == CopyFormat::Csv;
        if !self.started {
            let Some((line, lines)) = self.cut(csv, self.options.header())? else {
                return Ok(None);
            };
            if self.options.header_match() {
                self.check_header(&line)?;
            }
            self.started = true;
            self.number += lines;
        }
        let number = self.number;
        let Some((line, lines)) = self.cut(csv, true)? else {
            return Ok(None);
        };
        self.number += lines;
        if line.as_ref() == b"\\." {
            self.done = true;
            return Ok(None);
        }
        let cells = match csv {
            true => self.csv_cells(&line)?,
            false => self.text_cells(&line),
        };
        Ok(Some(Line { number, cells }))
    }

    /// Takes a row off the buffer, without its end; and the number of lines it took. Nothing if not
    /// `wanted`.
    fn cut(&mut self, csv: bool, wanted: bool) -> Result<Option<(Bytes, u64)>> {
        if !wanted {
            return Ok(Some((Bytes::new(), 0)));
        }
        let (quote, escape) = (self.options.quote(), self.options.escape());
        let mut at = self.seen;
        while let Some(byte) = self.buffer.get(at).copied() {
            if csv && self.in_quotes && byte == escape && escape != quote {
                // Whatever follows is part of the value.
                if at + 1 >= self.buffer.len() && !self.ended {
                    break;
                }
                at += 2;
                continue;
            }
            if csv && byte == quote {
                self.in_quotes = !self.in_quotes;
            } else if !csv && byte == b'\\' {
                if at + 1 >= self.buffer.len() && !self.ended {
                    break;
                }
                at += 2;
                continue;
            } else if !self.in_quotes && matches!(byte, b'\n' | b'\r') {
                let is_pair = byte == b'\r' && self.buffer.get(at + 1) == Some(&b'\n');
                // The other half of \r\n may be still to come.
                if byte == b'\r' && at + 1 >= self.buffer.len() && !self.ended {
                    break;
                }
                let line = self.buffer.split_to(at).freeze();
                self.buffer.advance(if is_pair { 2 } else { 1 });
                self.seen = 0;
                let inner = line.split(|byte| *byte == b'\n').count() as u64;
                return Ok(Some((line, inner)));
            }
            at += 1;
        }
        self.seen = at.min(self.buffer.len());
        if !self.ended || self.buffer.is_empty() {
            return Ok(None);
        }
        if self.in_quotes {
            return Err(Error::new(
                SqlState::BadCopyFileFormat,
                "unterminated CSV quoted field",
            ));
        }
        self.seen = 0;
        Ok(Some((self.buffer.split().freeze(), 1)))
    }

    fn text_cells(&self, line: &Bytes) -> Vec<Option<Bytes>> {
        let delimiter = self.options.delimiter();
        let mut cells = Vec::new();
        let mut start = 0;
        let mut at = 0;
        loop {
            match line.get(at).copied() {
                Some(b'\\') => at += 2,
                Some(byte) if byte != delimiter => at += 1,
                end => {
                    let raw = line.slice(start..at.min(line.len()));
                    cells.push(match raw.as_ref() == self.options.null().as_bytes() {
                        true => None,
                        false => Some(unescaped(&raw)),
                    });
                    if end.is_none() {
                        return cells;
                    }
                    at += 1;
                    start = at;
                }
            }
        }
    }

    fn csv_cells(&self, line: &Bytes) -> Result<Vec<Option<Bytes>>> {
        let options = &self.options;
        let (delimiter, quote, escape) = (options.delimiter(), options.quote(), options.escape());
        let mut cells = Vec::new();
        let mut value = BytesMut::new();
        let (mut quoted, mut within) = (false, false);
        let mut rest = line.iter().copied().peekable();
        loop {
            let byte = rest.next();
            match byte {
                Some(byte)
                    if within
                        && byte == escape
                        && (escape != quote || rest.peek() == Some(&quote)) =>
                {
                    match rest.next_if(|next| *next == quote || *next == escape) {
                        Some(next) => value.extend_from_slice(&[next]),
                        None => value.extend_from_slice(&[byte]),
                    }
                }
                Some(byte) if byte == quote => {
                    quoted = true;
                    within = !within;
                }
                Some(byte) if within || byte != delimiter => value.extend_from_slice(&[byte]),
                end => {
                    let cell = value.split().freeze();
                    let (is_text, is_forced) =
                        self.forced.get(cells.len()).copied().unwrap_or_default();
                    let is_null = cell.as_ref() == options.null().as_bytes()
                        && if quoted { is_forced } else { !is_text };
                    cells.push((!is_null).then_some(cell));
                    quoted = false;
                    if end.is_none() {
                        return Ok(cells);
                    }
                }
            }
        }
    }

    fn tuple(&mut self) -> Result<Option<Line>> {
        let bad = |message: &str| Error::new(SqlState::BadCopyFileFormat, message);
        if !self.started {
            let fixed = BINARY_SIGNATURE.len() + 8;
            let Some(header) = self.buffer.get(..fixed) else {
                return self.more("COPY file signature not recognized");
            };
            if !header.starts_with(BINARY_SIGNATURE) {
                return Err(bad("COPY file signature not recognized"));
            }
            let mut lengths = &header[BINARY_SIGNATURE.len()..];
            let (_flags, extension) = (lengths.get_u32(), lengths.get_u32() as usize);
            if self.buffer.len() < fixed + extension {
                return self.more("invalid COPY file header (missing length)");
            }
            self.buffer.advance(fixed + extension);
            self.started = true;
        }
        let Some(mut rest) = self.buffer.get(..) else {
            return Ok(None);
        };
        if rest.len() < 2 {
            return match rest.is_empty() {
                true => Ok(None),
                false => self.more("unexpected EOF in COPY data"),
            };
        }
        let count = rest.get_i16();
        if count == -1 {
            self.done = true;
            return Ok(None);
        }
        let count = usize::try_from(count).map_err(|_| bad("invalid field count"))?;
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            if rest.len() < 4 {
                return self.more("unexpected EOF in COPY data");
            }
            let length = rest.get_i32();
            let bytes = match length {
                -1 => None,
                length => Some(usize::try_from(length).map_err(|_| bad("invalid field size"))?),
            };
            if rest.len() < bytes.unwrap_or(0) {
                return self.more("unexpected EOF in COPY data");
            }
            rest.advance(bytes.unwrap_or(0));
            lengths.push(bytes);
        }
        self.buffer.advance(2);
        let mut cells = Vec::with_capacity(count);
        for length in lengths {
            self.buffer.advance(4);
            cells.push(length.map(|length| self.buffer.split_to(length).freeze()));
        }
        let number = self.number;
        self.number += 1;
        Ok(Some(Line { number, cells }))
    }

    /// More bytes are needed; an error if none come.
    fn more(&self, message: &str) -> Result<Option<Line>> {
        match self.ended {
            false => Ok(None),
            true => Err(Error::new(SqlState::BadCopyFileFormat, message)),
        }
    }
}

/// A value without its backslashes.
fn unescaped(raw: &Bytes) -> Bytes {
    if !raw.contains(&b'\\') {
        return raw.clone();
    }
    let mut value = BytesMut::with_capacity(raw.len());
    let mut rest = raw.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            value.extend_from_slice(&[byte]);
            continue;
        }
        let Some(letter) = rest.next() else { break };
        let plain = match letter {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'0'..=b'7' => {
                let mut code = u32::from(letter - b'0');
                for _ in 0..2 {
                    let digit = rest.next_if(|next| (b'0'..=b'7').contains(next));
                    code = digit.map_or(code, |digit| code * 8 + u32::from(digit - b'0'));
                }
                code as u8
            }
            b'x' if rest.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut code = 0;
                for _ in 0..2 {
                    let digit = rest.next_if(u8::is_ascii_hexdigit);
                    let digit = digit.and_then(|digit| char::from(digit).to_digit(16));
                    code = digit.map_or(code, |digit| code * 16 + digit);
                }
                code as u8
            }
            other => other,
        };
        value.extend_from_slice(&[plain]);
    }
    value.freeze()
}

#[cfg(test)]
mod tests {
    use super::super::copy::CopyClauses;
    use super::*;

    fn rows(format: &str, chunks: &[&[u8]]) -> Result<Vec<Vec<Option<String>>>> {
        let clauses = CopyClauses {
            format: Some(format.to_owned()),
            ..CopyClauses::default()
        };
        let mut lines = Lines::new(CopyOptions::try_from(clauses)?, &[])?;
        let mut found = Vec::new();
        let text = |cell: Option<Bytes>| cell.map(|cell| String::from_utf8(cell.to_vec()).unwrap());
        let mut take = |lines: &mut Lines| -> Result<()> {
            while let Some(line) = lines.next()? {
                found.push(line.cells.into_iter().map(text).collect());
            }
            Ok(())
        };
        for chunk in chunks {
            lines.push(chunk)?;
            take(&mut lines)?;
        }
        lines.finish();
        take(&mut lines)?;
        Ok(found)
    }

    fn cells(row: &[Option<&str>]) -> Vec<Option<String>> {
        row.iter().map(|cell| cell.map(str::to_owned)).collect()
    }

    /// However the bytes are cut into messages, the rows are the same.
    fn in_every_cut(format: &str, bytes: &[u8]) -> Vec<Vec<Option<String>>> {
        let whole = rows(format, &[bytes]).unwrap();
        for at in 0..bytes.len() {
            let cut = rows(format, &[&bytes[..at], &bytes[at..]]).unwrap();
            assert_eq!(cut, whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(rows(format, &single).unwrap(), whole);
        whole
    }

    #[test]
    fn text_is_unescaped() {
        let found = in_every_cut(
            "text",
            b"1\ta\\tb\\\\\t\\N\r\n\\x41\\101\t\t\\\\N\n2\tline\\\nbreak\t.\n\\.\nafter",
        );
        assert_eq!(
            found,
            [
                cells(&[Some("1"), Some("a\tb\\"), None]),
                cells(&[Some("AA"), Some(""), Some("\\N")]),
                cells(&[Some("2"), Some("line\nbreak"), Some(".")]),
            ]
        );
    }

    #[test]
    fn quotes_tell_the_empty_text_from_null() {
        let found = in_every_cut("csv", b"1,,\"\"\n\"a\"\"b\",\"x,\ny\",z\r\n3,\"q\"r,\n");
        assert_eq!(
            found,
            [
                cells(&[Some("1"), None, Some("")]),
                cells(&[Some("a\"b"), Some("x,\ny"), Some("z")]),
                cells(&[Some("3"), Some("qr"), None]),
            ]
        );
        let error = rows("csv", &[b"1,\"open\n"]).unwrap_err();
        assert_eq!(error.message(), "unterminated CSV quoted field");
    }

    #[test]
    fn binary_tuples_are_cut_by_their_lengths() {
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff");
        bytes.extend_from_slice(b"\0\x02\0\0\0\0\0\0\0\x02bc\xff\xff");
        let found = in_every_cut("binary", &bytes);
        assert_eq!(
            found,
            [cells(&[Some("a"), None]), cells(&[Some(""), Some("bc")])]
        );
        let error = rows("binary", &[&bytes[..25]]).unwrap_err();
        assert_eq!(error.state(), SqlState::BadCopyFileFormat);
    }
}
