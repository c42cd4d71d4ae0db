//! The folder of a table, which goes when the table is dropped and nothing reads from it any more.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use tokio::runtime::Handle;

use super::place::remove_all;

/// A folder that is kept as long as this lives. Contents and the scans of running queries hold it.
#[derive(Debug)]
pub(super) struct TableFolder {
    place: Option<FolderPlace>,
    unwanted: AtomicBool,
}

/// Where a folder is to be removed from.
#[derive(Debug)]
pub(super) enum FolderPlace {
    /// This machine's disk.
    Local(PathBuf),
    /// An object store; its requests run on the network threads.
    Remote {
        store: Arc<dyn ObjectStore>,
        path: ObjectPath,
        network: Handle,
    },
}

impl FolderPlace {
    /// Removes it, not here: whoever drops it last may be a thread that must not wait.
    fn remove(self) {
        const MESSAGE: &str = "the folder of a dropped table stays until the next start";
        match self {
            Self::Local(path) => {
                std::thread::spawn(move || {
                    if let Err(error) = std::fs::remove_dir_all(&path)
                        && error.kind() != std::io::ErrorKind::NotFound
                    {
                        tracing::warn!(%error, path = %path.display(), "{MESSAGE}");
                    }
                });
            }
            Self::Remote {
                store,
                path,
                network,
            } => {
                network.spawn(async move {
                    if let Err(error) = remove_all(store.as_ref(), &path).await {
                        tracing::warn!(%error, %path, "{MESSAGE}");
                    }
                });
            }
        }
    }
}

impl TableFolder {
    /// The folder is to be removed when the last one lets it go.
    fn abandon(&self) {
        self.unwanted.store(true, Ordering::Release);
    }
}

impl Drop for TableFolder {
    fn drop(&mut self) {
        if !self.unwanted.load(Ordering::Acquire) {
            return;
        }
        if let Some(place) = self.place.take() {
            place.remove();
        }
    }
}

/// The folders that are in use, by table.
#[derive(Debug, Default)]
pub(super) struct Folders(Mutex<HashMap<String, Weak<TableFolder>>>);

impl Folders {
    /// The folder of a table.
    pub(super) fn of(&self, id: &str, place: impl FnOnce() -> FolderPlace) -> Arc<TableFolder> {
        let mut known = self.lock();
        if let Some(folder) = known.get(id).and_then(Weak::upgrade) {
            return folder;
        }
        // Entries of folders that nobody holds are of no use.
        known.retain(|_, folder| folder.strong_count() > 0);
        let folder = Arc::new(TableFolder {
            place: Some(place()),
            unwanted: AtomicBool::new(false),
        });
        known.insert(id.to_owned(), Arc::downgrade(&folder));
        folder
    }

    /// The table is gone: its folder goes once nobody reads from it.
    pub(super) fn abandon(&self, id: &str, place: impl FnOnce() -> FolderPlace) {
        self.of(id, place).abandon();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<TableFolder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn gone(path: &Path) -> bool {
        // A thread of its own removes it.
        for _ in 0..10_000 {
            if !path.exists() {
                return true;
            }
            std::thread::yield_now();
        }
        !path.exists()
    }

    #[test]
    fn a_dropped_folder_goes_with_its_last_reader() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("t");
        std::fs::create_dir(&path).unwrap();
        let folders = Folders::default();
        let place = || FolderPlace::Local(path.clone());
        let reader = folders.of("t", place);
        let other = folders.of("t", place);
        folders.abandon("t", place);
        drop(reader);
        assert!(path.exists());
        drop(other);
        assert!(gone(&path));
    }

    #[test]
    fn a_folder_that_nobody_dropped_stays() {
        let parent = tempfile::tempdir().unwrap();
        let folders = Folders::default();
        drop(folders.of("t", || FolderPlace::Local(parent.path().to_owned())));
        assert!(parent.path().exists());
    }
}
