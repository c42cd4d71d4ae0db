//! Writes rows to Parquet files that no table names yet.

use std::collections::HashMap;
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
use super::parting::Parting;
use super::{columns, fault};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::storage::{FileKeys, FileStore, StoredFile};

/// Rows of a row group.
const GROUP_ROWS_MAX: usize = 256 * 1024;
/// Encoded bytes of row groups, of all files that are open, after which the largest is written, so that wide
/// rows do not take the memory.
const GROUP_BYTES_MAX: usize = 64 << 20;
/// Bytes after which a file is complete and the next begins.
pub(super) const FILE_BYTES_MAX: usize = 256 << 20;
/// Bytes of rows that are kept in memory before a file is begun: many statements add a few rows only.
const SMALL_BYTES_MAX: usize = 1 << 20;
/// Files that one statement writes to at the same time.
const OPEN_FILES_MAX: usize = 64;
/// Files that one statement writes.
const FILES_MAX: usize = 10_000;
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
    parting: Parting,
    /// A file for each partition that is written to now.
    open: HashMap<FileKeys, Open>,
    /// Turns of writing, by which the file is found that was written to longest ago.
    turn: u64,
    done: Vec<(Draft, FileKeys)>,
    rows: u64,
}

/// A file that is written, and what keeps it.
type Draft = (Path, Arc<FileHold>);

/// A file that takes more rows.
struct Open {
    draft: Draft,
    writer: AsyncArrowWriter<BufWriter>,
    turn: u64,
}

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
            parting: Parting::of(&columns),
            written: columns::in_files(&columns),
            columns,
            small: Vec::new(),
            small_bytes: 0,
            open: HashMap::new(),
            turn: 0,
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
        let is_first = self.open.is_empty() && self.done.is_empty();
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
        for (keys, rows) in self.parting.part(batch)? {
            self.encode_part(keys, &rows).await?;
        }
        Ok(())
    }

    /// Writes rows of one partition.
    async fn encode_part(&mut self, keys: FileKeys, rows: &RecordBatch) -> Result<()> {
        self.turn += 1;
        if !self.open.contains_key(&keys) {
            self.make_room().await?;
            let folder = self.parting.folder(&self.folder, &keys, &self.table)?;
            let open = self.start(&folder, &rows.schema())?;
            self.open.insert(Arc::clone(&keys), open);
        }
        let Some(open) = self.open.get_mut(&keys) else {
            return Err(Error::internal("a data file was not begun"));
        };
        open.turn = self.turn;
        open.writer.write(rows).await.map_err(unwritten)?;
        if open.writer.bytes_written() > FILE_BYTES_MAX {
            return self.close(&keys).await;
        }
        let size = |open: &Open| open.writer.in_progress_size();
        if self.open.values().map(size).sum::<usize>() > GROUP_BYTES_MAX
            && let Some(largest) = self.open.values_mut().max_by_key(|open| size(open))
        {
            largest.writer.flush().await.map_err(unwritten)?;
        }
        Ok(())
    }

    /// Closes the file that was written to longest ago if as many are open as may be.
    async fn make_room(&mut self) -> Result<()> {
        if self.done.len() + self.open.len() >= FILES_MAX {
            return Err(Error::new(
                SqlState::ProgramLimitExceeded,
                format!(
                    "the rows for relation \"{}\" make more than {FILES_MAX} files",
                    self.table
                ),
            )
            .with_hint("Partition the table by a column with fewer values, such as a month, or write in several statements."));
        }
        if self.open.len() < OPEN_FILES_MAX {
            return Ok(());
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.turn);
        match oldest.map(|(keys, _)| Arc::clone(keys)) {
            Some(keys) => self.close(&keys).await,
            None => Ok(()),
        }
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
        let mut open: Vec<(u64, FileKeys)> = self
            .open
            .iter()
            .map(|(keys, open)| (open.turn, Arc::clone(keys)))
            .collect();
        open.sort_unstable_by_key(|(turn, _)| *turn);
        for (_, keys) in open {
            self.close(&keys).await?;
        }
        let done = std::mem::take(&mut self.done);
        let paths = done.iter().map(|((path, _), _)| path.clone()).collect();
        let files = self.files.open_all(paths).await?;
        let held = files.into_iter().zip(done);
        Ok(held
            .map(|(file, ((_, hold), keys))| file.held(hold).with_keys(keys))
            .collect())
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
        for (_, open) in self.open.drain() {
            // Parts that a store has taken cost until they are called off.
            if let Err(error) = open.writer.into_inner().abort().await {
                tracing::debug!(%error, "an upload was not called off");
            }
        }
    }

    fn start(&self, folder: &Path, columns: &SchemaRef) -> Result<Open> {
        let (start, end) = NAME_ENDS;
        let name = format!("{start}{:0NAME_DIGITS$x}{end}", rand::random::<u128>());
        let path = folder.clone().join(name);
        let hold = self.holds.draft(&path);
        let level = ZstdLevel::try_new(ZSTD_LEVEL)
            .map_err(|error| Error::internal("a compression level is wrong").with_source(error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
            .set_created_by(format!("loyalhouse {}", env!("CARGO_PKG_VERSION")))
            .build();
        let object = BufWriter::new(Arc::clone(self.files.store()), path.clone());
        let columns = Arc::clone(columns);
        let writer =
            AsyncArrowWriter::try_new(object, columns, Some(properties)).map_err(unwritten)?;
        Ok(Open {
            draft: (path, hold),
            writer,
            turn: self.turn,
        })
    }

    async fn close(&mut self, keys: &FileKeys) -> Result<()> {
        if let Some(open) = self.open.remove(keys) {
            // Held until it is complete or gone.
            self.done.push((open.draft, Arc::clone(keys)));
            open.writer.close().await.map_err(unwritten)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for RowWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowWriter({}, {} rows)", self.folder, self.rows)
    }
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
