//! A local store whose writes are on the disk when they are acknowledged.
//!
//! The store of the base renames and links files without asking the disk to keep them: after a power
//! cut an acknowledged commit could be empty or gone. Here a file is synced before it gets its name,
//! and the folders that name it are synced after.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

/// Name that errors of this store carry.
const STORE: &str = "durable local store";

/// What the names of files begin with that are being written; the number of the writer follows.
const STAGED_PREFIX: &str = ".staged-";

/// What stands before the number behind the name of a file that is written in parts.
const PART_MARK: char = '#';

/// Whether a file has the name of one that is being written, by a put or in parts.
pub fn is_unfinished(name: &str) -> bool {
    let of_parts = name.rsplit_once(PART_MARK).is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    of_parts || name.starts_with(STAGED_PREFIX)
}

/// The local file system, synced.
#[derive(Debug)]
pub(crate) struct DurableStore {
    inner: Arc<LocalFileSystem>,
    /// Folders below this one may be new with a file; it and those above are there.
    root: PathBuf,
}

impl DurableStore {
    /// A store whose paths start at the root of the file system, for files below `root`.
    pub(crate) fn new(root: &FsPath) -> Self {
        Self {
            inner: Arc::new(LocalFileSystem::new()),
            root: root.to_owned(),
        }
    }

    async fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        tokio::task::spawn_blocking(work).await?
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableStore({})", self.root.display())
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::Generic {
        store: STORE,
        source: Box::new(error),
    }
}

/// Syncs the folder of `path` and those above it, up to `root`.
fn sync_folders(path: &FsPath, root: &FsPath) -> Result<()> {
    for folder in path.ancestors().skip(1) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        if folder == root {
            break;
        }
    }
    Ok(())
}

/// Writes a file under another name, syncs it, and gives it its own.
fn put(path: &FsPath, root: &FsPath, payload: &PutPayload, mode: &PutMode) -> Result<()> {
    let folder = path.parent().unwrap_or(root);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let staged = folder.join(format!("{STAGED_PREFIX}{:032x}", rand::random::<u128>()));
    let written = (|| {
        let mut file = File::options().write(true).create_new(true).open(&staged)?;
        for part in payload {
            file.write_all(part)?;
        }
        file.sync_all()?;
        match mode {
            // A link fails if the name is taken: of two writers of a version, one wins.
            PutMode::Create => std::fs::hard_link(&staged, path),
            _ => std::fs::rename(&staged, path),
        }
    })();
    if !matches!((mode, &written), (PutMode::Overwrite, Ok(()))) {
        // What is left of it is removed at the next start.
        let _gone = std::fs::remove_file(&staged);
    }
    match written {
        Ok(()) => sync_folders(path, root),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Error::AlreadyExists {
            path: path.display().to_string(),
            source: Box::new(error),
        }),
        Err(error) => Err(failed(error)),
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) || !opts.attributes.is_empty() {
            return Err(Error::NotImplemented {
                operation: "conditional overwrite".into(),
                implementer: STORE.into(),
            });
        }
        let path = self.inner.path_to_filesystem(location)?;
        let root = self.root.clone();
        Self::blocking(move || put(&path, &root, &payload, &opts.mode)).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(DurableUpload {
            upload: self.inner.put_multipart_opts(location, opts).await?,
            path: self.inner.path_to_filesystem(location)?,
            root: self.root.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        let (path, root) = (self.inner.path_to_filesystem(to)?, self.root.clone());
        Self::blocking(move || sync_file(&path, &root)).await
    }
}

fn sync_file(path: &FsPath, root: &FsPath) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    sync_folders(path, root)
}

/// A file that is written in parts; nothing names it in a table before it is complete and synced.
#[derive(Debug)]
struct DurableUpload {
    upload: Box<dyn MultipartUpload>,
    path: PathBuf,
    root: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.upload.complete().await?;
        let (path, root) = (self.path.clone(), self.root.clone());
        DurableStore::blocking(move || sync_file(&path, &root)).await?;
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn store(folder: &tempfile::TempDir) -> DurableStore {
        DurableStore::new(folder.path())
    }

    fn path(folder: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(folder.path()).unwrap().join(name)
    }

    fn names(folder: &FsPath) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn of_two_writers_of_a_name_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = (store(&folder), path(&folder, "log"));
        let create = || PutOptions::from(PutMode::Create);
        store.put_opts(&path, "one".into(), create()).await.unwrap();
        let lost = store.put_opts(&path, "two".into(), create()).await;
        assert!(matches!(lost, Err(Error::AlreadyExists { .. })));
        let kept = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(kept, "one");
        assert_eq!(names(folder.path()), ["log"]);
    }

    #[tokio::test]
    async fn files_in_new_folders_and_of_several_parts_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let plain = path(&folder, "a").join("b").join("plain");
        store.put(&plain, "x".into()).await.unwrap();
        store.put(&plain, "y".into()).await.unwrap();
        assert_eq!(store.get(&plain).await.unwrap().bytes().await.unwrap(), "y");
        let parts = path(&folder, "a").join("parts");
        let mut upload = store.put_multipart(&parts).await.unwrap();
        upload.put_part("1".into()).await.unwrap();
        upload.put_part("2".into()).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(
            store.get(&parts).await.unwrap().bytes().await.unwrap(),
            "12"
        );
        assert_eq!(names(&folder.path().join("a")), ["b", "parts"]);
    }
}
