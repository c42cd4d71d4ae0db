//! Reading exactly the file that was planned: a deleted, replaced or cut file is an error.
//!
//! The scan of the base would count a deleted file as no rows and a replaced one as rows of NULL.
//! Here every byte comes from the object whose size and tag the listing saw. A local file is held
//! open from the first read to the last, so that a rename over it or its deletion does not disturb
//! a running scan, and is checked again after each read against writing in place.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetMetaData, ParquetFileMetrics, ParquetFileReaderFactory,
};
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt,
};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{fault, footer};
use crate::error::{Error, Result};

/// Ranges of a remote file closer than this are fetched as one.
const COALESCE_BYTES: u64 = 1024 * 1024;
/// One remote request; longer ranges are cut, so that each fits the request timeout.
const REQUEST_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Remote requests of one read that run at the same time.
const REQUESTS_MAX: usize = 8;

/// A store, and how its objects are shown to people.
pub(super) struct Origin {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) local: bool,
    /// What stands before the path of an object: `/` or `s3://bucket/`.
    pub(super) shown_root: String,
    /// Set when a file was found gone or changed: the listing is to be made again.
    pub(super) outdated: AtomicBool,
    /// Kept as long as anything may read from here.
    lease: Option<Lease>,
}

/// Something to keep as long as files are read; what it does when it is dropped is its own affair.
pub type Lease = Arc<dyn Any + Send + Sync>;

impl Origin {
    pub(super) fn new(store: Arc<dyn ObjectStore>, local: bool, shown_root: String) -> Self {
        Self {
            store,
            local,
            shown_root,
            outdated: AtomicBool::new(false),
            lease: None,
        }
    }

    /// The same store, which keeps `lease` as long as anything reads from it.
    pub(super) fn leased(&self, lease: Lease) -> Self {
        Self {
            lease: Some(lease),
            ..Self::new(Arc::clone(&self.store), self.local, self.shown_root.clone())
        }
    }

    /// The full name of an object, as a person would write it.
    pub(super) fn shown(&self, path: &Path) -> String {
        format!("{}{path}", self.shown_root)
    }
}

impl fmt::Debug for Origin {
    // A store's own Debug may print credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lease = if self.lease.is_some() { ", leased" } else { "" };
        write!(f, "Origin({}{lease})", self.shown_root)
    }
}

/// One planned object, read by ranges.
pub(super) struct PinnedFile {
    origin: Arc<Origin>,
    meta: ObjectMeta,
    name: Arc<str>,
    open: Option<Arc<File>>,
}

impl PinnedFile {
    pub(super) fn new(origin: Arc<Origin>, meta: ObjectMeta) -> Self {
        let name = origin.shown(&meta.location).into();
        Self {
            origin,
            meta,
            name,
            open: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn size(&self) -> u64 {
        self.meta.size
    }

    pub(super) fn is_local(&self) -> bool {
        self.origin.local
    }

    /// The bytes of each range, all of the planned object.
    pub(super) async fn read(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        if let Some(range) = ranges.iter().find(|range| range.end > self.meta.size) {
            let why = format!(
                "it points to byte {} of a file of {} bytes: it is cut off or damaged",
                range.end, self.meta.size
            );
            return Err(fault::file_corrupt(&self.name, &why));
        }
        if !self.origin.local {
            return self.read_remote(&ranges).await;
        }
        let file = match &self.open {
            Some(file) => Arc::clone(file),
            None => {
                let file = self.open_local().await?;
                self.open = Some(Arc::clone(&file));
                file
            }
        };
        let (meta, name) = (self.meta.clone(), Arc::clone(&self.name));
        let origin = Arc::clone(&self.origin);
        let read = move || {
            read_local(&file, &meta, &name, &ranges).inspect_err(|_| {
                origin.outdated.store(true, Ordering::Release);
            })
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| Error::internal("a blocking read was lost").with_source(error))?
    }

    async fn open_local(&self) -> Result<Arc<File>> {
        let got = self
            .origin
            .store
            .get_opts(&self.meta.location, GetOptions::default())
            .await
            .map_err(|error| self.failed(&error))?;
        self.check_same(&got.meta)?;
        match got.payload {
            GetResultPayload::File(file, _) => Ok(Arc::new(file)),
            GetResultPayload::Stream(_) => Err(Error::internal("a local store gave no file")),
        }
    }

    async fn read_remote(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fetch = |range: Range<u64>| async move { self.fetch(range).await };
        object_store::coalesce_ranges(ranges, fetch, COALESCE_BYTES).await
    }

    /// One range of a remote object, in as many requests as its length needs.
    async fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut parts: Vec<Bytes> = stream::iter(pieces(range.clone()))
            .map(|piece| self.fetch_piece(piece))
            .buffered(REQUESTS_MAX)
            .try_collect()
            .await?;
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        Ok(parts.concat().into())
    }

    async fn fetch_piece(&self, range: Range<u64>) -> Result<Bytes> {
        let wanted = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let got = match self
            .origin
            .store
            .get_opts(&self.meta.location, options)
            .await
        {
            Ok(got) => got,
            Err(error) => return Err(self.explained(error).await),
        };
        // The answer tells which object it came from: no condition needs to be sent.
        self.check_same(&got.meta)?;
        let bytes = match got.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.explained(error).await),
        };
        if bytes.len() as u64 != wanted {
            let words = format!("The store sent {} of {wanted} bytes.", bytes.len());
            let message = format!("could not read \"{}\"", self.name);
            return Err(Error::io_error(message).with_detail(words));
        }
        Ok(bytes)
    }

    /// Why a read failed: a range past the end of a shorter replacement fails in many ways.
    async fn explained(&self, error: object_store::Error) -> Error {
        if let object_store::Error::NotFound { .. } = error {
            return self.deleted();
        }
        match self.origin.store.head(&self.meta.location).await {
            Ok(now) => match self.check_same(&now) {
                Ok(()) => fault::store_failed(&self.name, &error),
                Err(changed) => changed,
            },
            Err(object_store::Error::NotFound { .. }) => self.deleted(),
            Err(_) => fault::store_failed(&self.name, &error),
        }
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        match error {
            object_store::Error::NotFound { .. } => self.deleted(),
            _ => fault::store_failed(&self.name, error),
        }
    }

    fn check_same(&self, now: &ObjectMeta) -> Result<()> {
        if same_object(&self.meta, now) {
            return Ok(());
        }
        self.origin.outdated.store(true, Ordering::Release);
        Err(fault::file_replaced(&self.name, self.meta.size, now.size))
    }

    fn deleted(&self) -> Error {
        self.origin.outdated.store(true, Ordering::Release);
        fault::file_deleted(&self.name)
    }
}

/// Whether two answers of a store describe the same version of an object.
pub(super) fn same_object(planned: &ObjectMeta, now: &ObjectMeta) -> bool {
    if planned.size != now.size {
        return false;
    }
    // Some services quote the tag in one answer and not in the other.
    let tag = |meta: &ObjectMeta| {
        meta.e_tag
            .as_deref()
            .map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned())
    };
    match (tag(planned), tag(now)) {
        (Some(planned), Some(now)) => planned == now,
        // Listings are finer than headers, which carry whole seconds.
        _ => planned.last_modified.timestamp() == now.last_modified.timestamp(),
    }
}

fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end)
        .step_by(REQUEST_BYTES_MAX as usize)
        .map(move |start| start..end.min(start + REQUEST_BYTES_MAX))
}

fn read_local(
    file: &File,
    planned: &ObjectMeta,
    name: &str,
    ranges: &[Range<u64>],
) -> Result<Vec<Bytes>> {
    let read = |range: &Range<u64>| {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        let mut from = file;
        from.seek(SeekFrom::Start(range.start))?;
        from.read_exact(&mut bytes)?;
        Ok(Bytes::from(bytes))
    };
    let bytes: std::io::Result<Vec<Bytes>> = ranges.iter().map(read).collect();
    // Looked at after reading: what was written in place before this moment shows.
    let now = file
        .metadata()
        .map_err(|error| fault::local_failed(name, &error))?;
    let modified = now
        .modified()
        .map_err(|error| fault::local_failed(name, &error))?;
    let planned_at: std::time::SystemTime = planned.last_modified.into();
    if now.len() != planned.size || modified != planned_at {
        return Err(fault::file_replaced(name, planned.size, now.len()));
    }
    bytes.map_err(|error| fault::local_failed(name, &error))
}

/// Makes the readers of one scan; footers come from and go to the runtime's cache.
pub(super) struct PinnedReaders {
    origin: Arc<Origin>,
    cache: Arc<FileMetadataCache>,
}

impl PinnedReaders {
    pub(super) fn new(origin: Arc<Origin>, cache: Arc<FileMetadataCache>) -> Self {
        Self { origin, cache }
    }
}

impl fmt::Debug for PinnedReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedReaders({:?})", self.origin)
    }
}

impl ParquetFileReaderFactory for PinnedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::error::Result<Box<dyn AsyncFileReader + Send>> {
        let path = file.object_meta.location.as_ref();
        Ok(Box::new(PinnedReader {
            metrics: ParquetFileMetrics::new(partition_index, path, metrics),
            file: PinnedFile::new(Arc::clone(&self.origin), file.object_meta),
            cache: Arc::clone(&self.cache),
        }))
    }
}

struct PinnedReader {
    file: PinnedFile,
    metrics: ParquetFileMetrics,
    cache: Arc<FileMetadataCache>,
}

impl PinnedReader {
    async fn read(&mut self, ranges: Vec<Range<u64>>) -> parquet::errors::Result<Vec<Bytes>> {
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        self.metrics.bytes_scanned.add(total as usize);
        self.file.read(ranges).await.map_err(external)
    }

    async fn metadata(&mut self, page_index: bool) -> Result<Arc<ParquetMetaData>> {
        let metadata = cached_footer(&mut self.file, &self.cache).await?;
        let complete = metadata.column_index().is_some() && metadata.offset_index().is_some();
        if !page_index || complete {
            return Ok(metadata);
        }
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata.as_ref().clone())
            .with_page_index_policy(PageIndexPolicy::Optional);
        let loading = AssertUnwindSafe(reader.load_page_index(&mut *self)).catch_unwind();
        let loaded = loading
            .await
            .map_err(|panic| self.panicked(panic.as_ref()))?;
        loaded
            .and_then(|()| reader.finish())
            .map(Arc::new)
            .map_err(|error| {
                fault::find_ours(&error)
                    .unwrap_or_else(|| fault::file_corrupt(self.file.name(), &error.to_string()))
            })
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Error {
        fault::decoder_panicked(self.file.name(), panic)
    }
}

/// The footer of a file, from the cache if it is that of the very same object.
pub(super) async fn cached_footer(
    file: &mut PinnedFile,
    cache: &Arc<FileMetadataCache>,
) -> Result<Arc<ParquetMetaData>> {
    if let Some(entry) = cache.get(&file.meta.location)
        && entry.is_valid_for(&file.meta)
        && entry.meta.e_tag == file.meta.e_tag
        && let Some(known) = entry
            .file_metadata
            .as_any()
            .downcast_ref::<CachedParquetMetaData>()
    {
        return Ok(Arc::clone(known.parquet_metadata()));
    }
    let metadata = Arc::new(footer::read(file).await?);
    let value = Arc::new(CachedParquetMetaData::new(Arc::clone(&metadata)));
    cache.put(
        &file.meta.location,
        CachedFileMetadataEntry::new(file.meta.clone(), value),
    );
    Ok(metadata)
}

fn external(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for PinnedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let mut bytes = self.read(vec![range]).await?;
            bytes
                .pop()
                .ok_or_else(|| external(Error::internal("a read gave nothing")))
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.read(ranges).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let page_index =
            options.is_some_and(|options| options.column_index_policy() != PageIndexPolicy::Skip);
        async move { self.metadata(page_index).await.map_err(external) }.boxed()
    }
}

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "reads take lists of ranges"
)]
mod tests {
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    use super::*;

    async fn in_memory(bytes: &'static [u8]) -> PinnedFile {
        let store = Arc::new(InMemory::new());
        let path = Path::from("a.parquet");
        store.put(&path, bytes.into()).await.unwrap();
        let meta = store.head(&path).await.unwrap();
        let origin = Origin::new(store, false, "s3://shop/".into());
        PinnedFile::new(Arc::new(origin), meta)
    }

    async fn on_disk(folder: &tempfile::TempDir, bytes: &[u8]) -> PinnedFile {
        let file = folder.path().join("a.parquet");
        std::fs::write(&file, bytes).unwrap();
        let store = Arc::new(LocalFileSystem::new());
        let meta = store
            .head(&Path::from_absolute_path(&file).unwrap())
            .await
            .unwrap();
        let origin = Origin::new(store, true, "/".into());
        PinnedFile::new(Arc::new(origin), meta)
    }

    fn code(result: Result<Vec<Bytes>>) -> &'static str {
        result.unwrap_err().state().code()
    }

    #[tokio::test]
    async fn a_remote_object_is_read_and_its_replacement_is_not() {
        let mut file = in_memory(b"hello").await;
        assert_eq!(file.read(vec![1..3, 3..5]).await.unwrap(), ["el", "lo"]);
        let store = Arc::clone(&file.origin.store);
        store
            .put(&file.meta.location, b"HELLO".as_slice().into())
            .await
            .unwrap();
        let error = file.read(vec![1..3]).await.unwrap_err();
        assert_eq!(error.state().code(), "XX001");
        assert!(error.message().contains("s3://shop/a.parquet"), "{error}");
        store
            .put(&file.meta.location, b"HE".as_slice().into())
            .await
            .unwrap();
        assert_eq!(code(file.read(vec![3..5]).await), "XX001");
        store.delete(&file.meta.location).await.unwrap();
        assert_eq!(code(file.read(vec![1..3]).await), "XX001");
    }

    #[tokio::test]
    async fn a_local_file_renamed_over_is_read_on_but_not_begun() {
        let folder = tempfile::tempdir().unwrap();
        let mut begun = on_disk(&folder, b"hello").await;
        let mut late = PinnedFile::new(Arc::clone(&begun.origin), begun.meta.clone());
        assert_eq!(begun.read(vec![0..5]).await.unwrap(), ["hello"]);
        let other = folder.path().join("b");
        std::fs::write(&other, b"HELLO").unwrap();
        std::fs::rename(&other, folder.path().join("a.parquet")).unwrap();
        assert_eq!(begun.read(vec![0..5]).await.unwrap(), ["hello"]);
        assert_eq!(code(late.read(vec![0..5]).await), "XX001");
    }

    #[tokio::test]
    async fn a_local_file_written_in_place_is_an_error_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = on_disk(&folder, b"hello").await;
        assert_eq!(file.read(vec![0..5]).await.unwrap(), ["hello"]);
        std::fs::write(folder.path().join("a.parquet"), b"hel").unwrap();
        assert_eq!(code(file.read(vec![0..3]).await), "XX001");
        assert_eq!(code(file.read(vec![0..5]).await), "XX001");
    }

    #[tokio::test]
    async fn a_range_past_the_end_is_a_damaged_file() {
        let mut file = in_memory(b"hello").await;
        assert_eq!(code(file.read(vec![3..9]).await), "XX001");
    }

    #[test]
    fn long_ranges_are_cut_without_a_gap() {
        let all: Vec<_> = pieces(5..5 + 2 * REQUEST_BYTES_MAX + 1).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].start, 5);
        assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(all[2].end, 5 + 2 * REQUEST_BYTES_MAX + 1);
    }

    #[test]
    fn tags_are_compared_without_their_quotes() {
        let mut planned = ObjectMeta {
            location: Path::from("a"),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: Some("0x1".into()),
            version: None,
        };
        let mut now = ObjectMeta {
            e_tag: Some("\"0x1\"".into()),
            ..planned.clone()
        };
        assert!(same_object(&planned, &now));
        now.e_tag = Some("\"0x2\"".into());
        assert!(!same_object(&planned, &now));
        planned.e_tag = None;
        assert!(same_object(&planned, &now));
        now.last_modified += chrono::TimeDelta::seconds(1);
        assert!(!same_object(&planned, &now));
    }
}
