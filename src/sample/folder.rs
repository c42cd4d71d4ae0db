//! The sample as a folder of Parquet files that appears whole or not at all.
//!
//! Files are written into a hidden folder next to the target and moved into place at the end, with
//! a marker that says which sample it is. A run that is killed leaves at most the hidden folder,
//! which the next run clears.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Component, Path, PathBuf};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int32Type, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::{SampleOptions, SampleTable, World, chunk_batch};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// The file that marks a complete sample.
const MARKER: &str = ".loyalhouse-sample";

/// The marker's first line.
const MARKER_TITLE: &str = "loyalhouse sample";

/// Raised whenever the same seed and scale give other rows or another layout.
const FORMAT_VERSION: u32 = 1;

/// Ends of the names of the hidden folders next to the target.
const PARTIAL: &str = "loyalhouse-partial";
const RETIRED: &str = "loyalhouse-retired";

/// The lock in the partial folder.
const LOCK: &str = ".lock";

/// The one file of each month.
const PART: &str = "part-0.parquet";

/// Rows per row group. Up to 36 months are open at once, each with one group in memory: about
/// 3 MiB compressed, so 100 MiB at any scale.
const ROWS_PER_GROUP: usize = 131_072;

/// How far the writing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleProgress {
    /// The table that is being written.
    pub table: SampleTable,
    /// Units of work done, of all tables together.
    pub done: u64,
    /// All units of work; the same in every report.
    pub total: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleSummary {
    /// Rows of each table.
    pub rows: Vec<(SampleTable, u64)>,
    /// Parquet files of all tables.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Whether `dir` holds the complete sample of exactly these options, made by this version.
pub fn holds(options: &SampleOptions, dir: &Path) -> Result<bool> {
    let path = dir.join(MARKER);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text == marker(options)),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(failure("read", &path, error)),
    }
}

/// Writes the sample as `dir`, which must be absent, empty, or an earlier complete sample.
///
/// Blocks; `progress` is called after every chunk. The same options give the same bytes. Errors:
/// 22023 for the scale or a folder with other content, 55006 if another process is writing the same
/// folder, 53100 or 58030 if the file system fails. After an error `dir` is as it was before.
pub fn write(
    options: &SampleOptions,
    dir: &Path,
    progress: &mut dyn FnMut(SampleProgress),
) -> Result<SampleSummary> {
    let world = World::new(options)?;
    let place = Place::claim(dir)?;
    let chunks = world.chunks().count() as u64;
    let mut report = SampleProgress {
        table: SampleTable::Customers,
        done: 0,
        total: chunks * SampleTable::ALL.len() as u64,
    };
    let mut summary = SampleSummary {
        rows: Vec::new(),
        files: 0,
        bytes: 0,
    };
    for table in SampleTable::ALL {
        report.table = table;
        let mut writer = TableWriter::new(&place.partial, table);
        for chunk in world.chunks() {
            writer.write(&chunk_batch(&world, table, &writer.schema, chunk)?)?;
            report.done += 1;
            progress(report);
        }
        writer.finish(&mut summary)?;
    }
    let path = place.partial.join(MARKER);
    fs::write(&path, marker(options)).map_err(|error| failure("write", &path, error))?;
    place.publish()?;
    Ok(summary)
}

/// The marker's text, which names all that the bytes of a sample depend on.
fn marker(options: &SampleOptions) -> String {
    let SampleOptions { scale, seed } = options;
    format!("{MARKER_TITLE}\nformat {FORMAT_VERSION}\nscale {scale}\nseed {seed}\n")
}

/// The open files of one table, one row group of each in memory.
struct TableWriter<'a> {
    root: &'a Path,
    table: SampleTable,
    schema: SchemaRef,
    files: BTreeMap<PathBuf, ArrowWriter<File>>,
    rows: u64,
}

impl<'a> TableWriter<'a> {
    fn new(root: &'a Path, table: SampleTable) -> Self {
        Self {
            root,
            table,
            schema: table.schema(),
            files: BTreeMap::new(),
            rows: 0,
        }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        if !self.table.is_monthly() {
            let path = self.root.join(format!("{}.parquet", self.table.name()));
            return self.append(path, batch);
        }
        for (year, month, rows) in months(batch)? {
            let folder = self.root.join(self.table.name());
            let folder = folder
                .join(format!("year={year}"))
                .join(format!("month={month}"));
            self.append(folder.join(PART), &rows)?;
        }
        Ok(())
    }

    fn append(&mut self, path: PathBuf, rows: &RecordBatch) -> Result<()> {
        if let Some(file) = self.files.get_mut(&path) {
            return file
                .write(rows)
                .map_err(|error| parquet_failure(&path, error));
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failure("create", folder, error))?;
        }
        let file = File::create_new(&path).map_err(|error| failure("create", &path, error))?;
        let properties = Some(properties(rows));
        let mut file = ArrowWriter::try_new(file, rows.schema(), properties)
            .map_err(|error| parquet_failure(&path, error))?;
        file.write(rows)
            .map_err(|error| parquet_failure(&path, error))?;
        self.files.insert(path, file);
        Ok(())
    }

    /// Completes the files; on disk before they are moved, so that a crash of the machine leaves no
    /// empty file under a final name.
    fn finish(self, summary: &mut SampleSummary) -> Result<()> {
        for (path, mut file) in self.files {
            let failed = |error| failure("write", &path, error);
            file.finish()
                .map_err(|error| parquet_failure(&path, error))?;
            // Not through into_inner, which loses the kind of an I/O error.
            file.sync().map_err(failed)?;
            let file = file.inner();
            file.sync_all().map_err(failed)?;
            summary.files += 1;
            summary.bytes += file.metadata().map_err(failed)?.len();
        }
        summary.rows.push((self.table, self.rows));
        Ok(())
    }
}

/// Snappy, which every reader knows; delta encoding for ids and times, which a dictionary only
/// makes larger; nothing that depends on the clock.
fn properties(rows: &RecordBatch) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP));
    for field in rows.schema_ref().fields() {
        let name = field.name();
        if name.ends_with("_id") || name.ends_with("_at") {
            let column = ColumnPath::from(name.as_str());
            builder = builder
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    builder.build()
}

/// The rows of each month in a batch that is sorted by month, without the key columns.
fn months(batch: &RecordBatch) -> Result<Vec<(i32, i32, RecordBatch)>> {
    let keys = batch.num_columns().saturating_sub(2);
    let key = |index: usize| batch.column(index).as_primitive_opt::<Int32Type>();
    let (Some(years), Some(months)) = (key(keys), key(keys + 1)) else {
        return Err(Error::internal("a monthly sample table has no month"));
    };
    let own: Vec<usize> = (0..keys).collect();
    let rows = batch.project(&own).map_err(|error| {
        Error::internal("a monthly sample table cannot be projected").with_source(error)
    })?;
    let pairs: Vec<(i32, i32)> = years
        .values()
        .iter()
        .copied()
        .zip(months.values().iter().copied())
        .collect();
    let mut start = 0;
    Ok(pairs
        .chunk_by(PartialEq::eq)
        .map(|run| {
            let slice = rows.slice(start, run.len());
            start += run.len();
            (run[0].0, run[0].1, slice)
        })
        .collect())
}

/// The target folder, and the hidden one that becomes it.
struct Place {
    target: PathBuf,
    partial: PathBuf,
    retired: PathBuf,
    published: bool,
    /// Held until the folder is published or removed.
    _lock: File,
}

impl Place {
    /// Checks the target and takes the partial folder, cleared of what a killed run left.
    fn claim(dir: &Path) -> Result<Self> {
        let target = resolved(dir)?;
        check_content(&target)?;
        let partial = sibling(&target, PARTIAL);
        fs::create_dir_all(&partial).map_err(|error| failure("create", &partial, error))?;
        let lock = lock(&partial, dir)?;
        let retired = sibling(&target, RETIRED);
        let place = Self {
            target,
            partial,
            retired,
            published: false,
            _lock: lock,
        };
        place.clear()?;
        Ok(place)
    }

    fn clear(&self) -> Result<()> {
        let failed = |error| failure("clear", &self.partial, error);
        for entry in fs::read_dir(&self.partial).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() == LOCK {
                continue;
            }
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            let remove = if is_folder {
                fs::remove_dir_all
            } else {
                fs::remove_file
            };
            remove(entry.path()).map_err(failed)?;
        }
        remove_folder(&self.retired)
    }

    /// Moves the partial folder into place. Whoever looks sees the old content or the new.
    fn publish(mut self) -> Result<()> {
        // The target may have changed while the files were written.
        let replaces = check_content(&self.target)?;
        if replaces {
            fs::rename(&self.target, &self.retired)
                .map_err(|error| unmovable(&self.target, error))?;
        }
        if let Err(error) = fs::rename(&self.partial, &self.target) {
            if replaces {
                fs::rename(&self.retired, &self.target)
                    .map_err(|error| failure("restore", &self.target, error))?;
            }
            return Err(unmovable(&self.target, error));
        }
        self.published = true;
        // Only now: without it another run could take the partial folder before it was moved.
        let lock = self.target.join(LOCK);
        fs::remove_file(&lock).map_err(|error| failure("remove", &lock, error))?;
        remove_folder(&self.retired)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.published {
            // What remains is hidden and is cleared by the next run.
            drop(fs::remove_dir_all(&self.partial));
        }
    }
}

/// The absolute path of the target; its parent exists afterwards.
fn resolved(dir: &Path) -> Result<PathBuf> {
    let failed = |error| failure("resolve", dir, error);
    let target = match fs::canonicalize(dir) {
        Ok(target) => target,
        Err(error) if is_absent(&error) => {
            let absolute = std::path::absolute(dir).map_err(failed)?;
            if absolute
                .components()
                .any(|part| part == Component::ParentDir)
            {
                return Err(failed(error));
            }
            absolute
        }
        Err(error) => return Err(failed(error)),
    };
    let (Some(parent), Some(_)) = (target.parent(), target.file_name()) else {
        return Err(not_a_place(&target, "It is the root of the file system."));
    };
    if std::env::current_dir().is_ok_and(|current| current == target) {
        return Err(not_a_place(
            &target,
            "It is the current folder, which cannot be replaced.",
        ));
    }
    fs::create_dir_all(parent).map_err(|error| failure("create", parent, error))?;
    Ok(target)
}

/// The hidden folder next to the target.
fn sibling(target: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".");
    name.push(end);
    target.with_file_name(name)
}

fn lock(partial: &Path, dir: &Path) -> Result<File> {
    let path = partial.join(LOCK);
    let file = File::create(&path).map_err(|error| failure("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::object_in_use(format!(
            "a sample is already being written to \"{}\"",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failure("lock", &path, error)),
    }
}

/// Whether the target exists, and an error if it holds anything but a complete sample.
fn check_content(target: &Path) -> Result<bool> {
    let failed = |error| failure("read", target, error);
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(not_a_place(target, "It is a file, not a folder."));
        }
        Ok(_) => {}
    }
    if fs::read_dir(target).map_err(failed)?.next().is_none() {
        return Ok(true);
    }
    let marked =
        fs::read_to_string(target.join(MARKER)).is_ok_and(|text| text.starts_with(MARKER_TITLE));
    let foreign = if marked {
        foreign_entry(target)?
    } else {
        first_entry(target)?
    };
    match foreign {
        None => Ok(true),
        Some(entry) => Err(not_a_place(
            target,
            &format!(
                "It holds \"{}\", which is not part of a sample.",
                entry.display()
            ),
        )),
    }
}

/// Something in the folder, to be named in an error.
fn first_entry(target: &Path) -> Result<Option<PathBuf>> {
    let failed = |error| failure("read", target, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(target).map_err(failed)? {
        names.push(PathBuf::from(entry.map_err(failed)?.file_name()));
    }
    Ok(names.into_iter().min())
}

/// A file below the target that [`write()`] would not have put there.
fn foreign_entry(target: &Path) -> Result<Option<PathBuf>> {
    let mut folders = vec![target.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| failure("read", &folder, error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            let name = path.strip_prefix(target).unwrap_or(&path);
            if !is_sample_path(name, kind.is_dir()) || kind.is_symlink() {
                return Ok(Some(name.to_owned()));
            }
            if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(None)
}

/// Whether [`write()`] makes a file or folder of this relative path.
fn is_sample_path(path: &Path, is_folder: bool) -> bool {
    let parts: Option<Vec<&str>> = path.iter().map(OsStr::to_str).collect();
    match parts.as_deref() {
        Some([MARKER | LOCK]) => !is_folder,
        Some([name]) if is_folder => table_of(name).is_some_and(SampleTable::is_monthly),
        Some([name]) => {
            let table = name.strip_suffix(".parquet").and_then(table_of);
            table.is_some_and(|table| !table.is_monthly())
        }
        Some([name, levels @ ..]) => {
            let known = table_of(name).is_some_and(SampleTable::is_monthly);
            known && is_month_path(levels, is_folder)
        }
        _ => false,
    }
}

fn is_month_path(levels: &[&str], is_folder: bool) -> bool {
    match levels {
        [year] => is_folder && year.starts_with("year="),
        [year, month] => is_folder && year.starts_with("year=") && month.starts_with("month="),
        [_, _, file] => !is_folder && *file == PART,
        _ => false,
    }
}

fn table_of(name: &str) -> Option<SampleTable> {
    SampleTable::ALL
        .into_iter()
        .find(|table| table.name() == name)
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failure("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Not there, or below something that is not a folder.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn not_a_place(target: &Path, detail: &str) -> Error {
    Error::invalid_parameter_value(format!(
        "cannot write a sample to folder \"{}\"",
        target.display()
    ))
    .with_detail(detail)
    .with_hint("Name a folder that is new, empty, or holds an earlier sample.")
}

fn unmovable(target: &Path, error: io::Error) -> Error {
    failure("replace", target, error)
        .with_hint("If it is a mount point or in use, name a new folder inside it.")
}

fn failure(verb: &str, path: &Path, error: io::Error) -> Error {
    let state = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SqlState::DiskFull,
        _ => SqlState::IoError,
    };
    Error::new(
        state,
        format!("could not {verb} \"{}\": {error}", path.display()),
    )
    .with_source(error)
}

fn parquet_failure(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => failure("write", path, *error),
            Err(source) => Error::io_error(format!("could not write \"{}\"", path.display()))
                .with_source(source),
        },
        error => {
            Error::io_error(format!("could not write \"{}\"", path.display())).with_source(error)
        }
    }
}
