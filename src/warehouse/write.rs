//! Writes rows to Parquet files that no table names yet.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::{CastOptions, cast_with_options, concat_batches};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::util::display::FormatOptions;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::AsyncArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::hold::{FileHold, Holds};
use super::{columns, fault};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::storage::{FileStore, StoredFile};

/// Rows of a row group.
const GROUP_ROWS_MAX: usize = 256 * 1024;
/// Encoded bytes of a row group after which it is written, so that wide rows do not take the memory.
const GROUP_BYTES_MAX: usize = 64 << 20;
/// Bytes after which a file is complete and the next begins.
pub(super) const FILE_BYTES_MAX: usize = 256 << 20;
/// Bytes of rows that are kept in memory before a file is begun: many statements add a few rows only.
const SMALL_BYTES_MAX: usize = 1 << 20;
/// Compression of pages: the level that zstd calls its default.
const ZSTD_LEVEL: i32 = 3;

/// What the names of our files begin and end with; 32 digits of a random number stand between.
const NAME_ENDS: (&str, &str) = ("part-", ".parquet");
/// Those digits.
const NAME_DIGITS: usize = 32;

/// Whether a file has a name that [`RowWriter`] gives.
pub(super) fn is_own_name(name: &str) -> bool {
    let (start, end) = NAME_ENDS;
    let digits = name
        .strip_prefix(start)
        .and_then(|name| name.strip_suffix(end));
    digits.is_some_and(|digits| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        digits.len() == NAME_DIGITS && digits.bytes().all(is_digit)
    })
}

/// Writes the rows of one statement. The files go with the last who holds them, unless they are committed.
pub struct RowWriter {
    files: Arc<FileStore>,
    holds: Arc<Holds>,
    folder: Path,
    table: String,
    columns: SchemaRef,
    /// The columns as they stand in files.
    written: SchemaRef,
    /// Rows before the first file, and their bytes.
    small: Vec<RecordBatch>,
    small_bytes: usize,
    open: Option<(OpenFile, AsyncArrowWriter<BufWriter>)>,
    done: Vec<OpenFile>,
    rows: u64,
}

/// A file that is written, and what keeps it.
type OpenFile = (Path, Arc<FileHold>);

impl RowWriter {
    /// A writer of files in `folder` with the columns of the table that errors call `table`.
    pub(super) fn new(
        files: Arc<FileStore>,
        holds: Arc<Holds>,
        folder: Path,
        table: &str,
        columns: SchemaRef,
    ) -> Self {
        Self {
            files,
            holds,
            folder,
            table: table.to_owned(),
            written: columns::in_files(&columns),
            columns,
            small: Vec::new(),
            small_bytes: 0,
            open: None,
            done: Vec::new(),
            rows: 0,
        }
    }

    /// The columns that rows are written with.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes rows whose columns are those of the table, by place. 23502 for a NULL in a column that
    /// takes none, 22003 for a number that does not fit.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = conform(batch, &self.columns, &self.written, &self.table)?;
        self.rows += batch.num_rows() as u64;
        let bytes = batch.get_array_memory_size();
        let is_first = self.open.is_none() && self.done.is_empty();
        if is_first && self.small_bytes + bytes <= SMALL_BYTES_MAX {
            self.small_bytes += bytes;
            self.small.push(batch);
            return Ok(());
        }
        self.write_small().await?;
        self.encode(&batch).await
    }

    /// Writes the rows that were kept.
    async fn write_small(&mut self) -> Result<()> {
        if self.small.is_empty() {
            return Ok(());
        }
        let rows = concat_batches(&self.written, &self.small)
            .map_err(|error| Error::internal("rows to write are not alike").with_source(error))?;
        self.small.clear();
        self.encode(&rows).await
    }

    async fn encode(&mut self, batch: &RecordBatch) -> Result<()> {
        let (file, mut writer) = match self.open.take() {
            Some(open) => open,
            None => self.start()?,
        };
        let written = fill(&mut writer, batch).await;
        let is_full = writer.bytes_written() > FILE_BYTES_MAX;
        self.open = Some((file, writer));
        written?;
        if is_full {
            self.close().await?;
        }
        Ok(())
    }

    /// The rows as they stand in the table's files; see [`RowWriter::write`].
    pub fn conformed(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        conform(batch, &self.columns, &self.written, &self.table)
    }

    /// The rows, if they are few and no file was begun for them.
    pub fn take_small(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.small)
    }

    /// Completes the files and reads what they hold.
    pub async fn finish(mut self) -> Result<Vec<StoredFile>> {
        self.write_small().await?;
        self.close().await?;
        let (paths, holds): (Vec<Path>, Vec<Arc<FileHold>>) =
            std::mem::take(&mut self.done).into_iter().unzip();
        let files = self.files.open_all(paths).await?;
        let held = files.into_iter().zip(holds);
        Ok(held.map(|(file, hold)| file.held(hold)).collect())
    }

    /// The files and the number of their rows, if all rows were `written`; otherwise removes them.
    pub async fn conclude(self, written: Result<()>) -> Result<(Vec<StoredFile>, u64)> {
        match written {
            Ok(()) => {
                let count = self.rows();
                Ok((self.finish().await?, count))
            }
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    /// Removes what was written.
    pub async fn discard(mut self) {
        if let Some((_, writer)) = self.open.take() {
            // Parts that a store has taken cost until they are called off.
            if let Err(error) = writer.into_inner().abort().await {
                tracing::debug!(%error, "an upload was not called off");
            }
        }
    }

    fn start(&self) -> Result<(OpenFile, AsyncArrowWriter<BufWriter>)> {
        let (start, end) = NAME_ENDS;
        let name = format!("{start}{:0NAME_DIGITS$x}{end}", rand::random::<u128>());
        let path = self.folder.clone().join(name);
        let hold = self.holds.draft(&path);
        let level = ZstdLevel::try_new(ZSTD_LEVEL)
            .map_err(|error| Error::internal("a compression level is wrong").with_source(error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
            .set_created_by(format!("loyalhouse {}", env!("CARGO_PKG_VERSION")))
            .build();
        let object = BufWriter::new(Arc::clone(self.files.store()), path.clone());
        let columns = Arc::clone(&self.written);
        let writer =
            AsyncArrowWriter::try_new(object, columns, Some(properties)).map_err(unwritten)?;
        Ok(((path, hold), writer))
    }

    async fn close(&mut self) -> Result<()> {
        if let Some((file, writer)) = self.open.take() {
            // Held until it is complete or gone.
            self.done.push(file);
            writer.close().await.map_err(unwritten)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for RowWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowWriter({}, {} rows)", self.folder, self.rows)
    }
}

async fn fill(writer: &mut AsyncArrowWriter<BufWriter>, batch: &RecordBatch) -> Result<()> {
    writer.write(batch).await.map_err(unwritten)?;
    if writer.in_progress_size() > GROUP_BYTES_MAX {
        writer.flush().await.map_err(unwritten)?;
    }
    Ok(())
}

fn unwritten(error: parquet::errors::ParquetError) -> Error {
    fault::write_failed("a data file could not be written", error)
}

/// The batch with the types of files, by way of the table's, and without NULL where none may be.
fn conform(
    batch: &RecordBatch,
    columns: &SchemaRef,
    written: &SchemaRef,
    table: &str,
) -> Result<RecordBatch> {
    if batch.num_columns() != columns.fields().len() {
        return Err(Error::internal(
            "rows to write have another number of columns",
        ));
    }
    let options = CastOptions {
        safe: false,
        format_options: FormatOptions::default(),
    };
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    let fields = columns.fields().iter().zip(written.fields());
    for (array, (field, file)) in batch.columns().iter().zip(fields) {
        let mut array = Arc::clone(array);
        for wanted in [field.data_type(), file.data_type()] {
            if array.data_type() != wanted {
                array = cast_with_options(&array, wanted, &options).map_err(|error| {
                    Error::numeric_value_out_of_range(format!(
                        "a value does not fit column \"{}\" of relation \"{table}\"",
                        field.name()
                    ))
                    .with_source(error)
                })?;
            }
        }
        if !field.is_nullable() && array.logical_null_count() > 0 {
            return Err(Error::new(
                SqlState::NotNullViolation,
                format!(
                    "null value in column \"{}\" of relation \"{table}\" violates not-null constraint",
                    field.name()
                ),
            ));
        }
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(written), arrays, &options)
        .map_err(|error| Error::internal("rows to write do not fit their table").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files_are_known_by_their_names() {
        assert!(is_own_name("part-0123456789abcdef0123456789abcdef.parquet"));
        for other in [
            "part-00001-1d3bde2c-7c9f-4c4b-9d4e-0a0f5e8f5c11-c000.snappy.parquet",
            "part-0123456789ABCDEF0123456789ABCDEF.parquet",
            "part-0123.parquet",
            "0123456789abcdef0123456789abcdef.parquet",
        ] {
            assert!(!is_own_name(other), "{other}");
        }
    }
}
