//! Data files that somebody writes or reads. What cleans up leaves them alone, and what was written and
//! never became part of a table goes with the last one who held it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

/// A file that is kept as long as this lives: by statements that write it, transactions that have staged
/// it, contents that hold it, and the scans of running queries.
#[derive(Debug)]
pub(super) struct FileHold {
    path: Path,
    /// No table names the file.
    is_draft: AtomicBool,
    holds: Arc<Holds>,
}

/// The files of a warehouse that are held.
pub(super) struct Holds {
    files: Mutex<HashMap<Path, Weak<FileHold>>>,
    store: Arc<dyn ObjectStore>,
    /// Where files are removed: whoever lets one go must not wait for the disk.
    network: Handle,
}

impl Drop for FileHold {
    fn drop(&mut self) {
        {
            let mut files = self.holds.lock();
            if files
                .get(&self.path)
                .is_some_and(|known| known.strong_count() == 0)
            {
                files.remove(&self.path);
            }
        }
        if !*self.is_draft.get_mut() {
            return;
        }
        let (store, path) = (
            Arc::clone(&self.holds.store),
            std::mem::take(&mut self.path),
        );
        self.holds.network.spawn(async move {
            match store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(%error, %path, "a file that no table names stays until the next start");
                }
            }
        });
    }
}

impl Holds {
    /// None yet, of the files in `store`.
    pub(super) fn new(store: Arc<dyn ObjectStore>, network: Handle) -> Arc<Self> {
        Arc::new(Self {
            files: Mutex::default(),
            store,
            network,
        })
    }

    /// Holds a file that is about to be written, until it is committed or nobody wants it.
    pub(super) fn draft(self: &Arc<Self>, path: &Path) -> Arc<FileHold> {
        self.hold(path, true)
    }

    /// Holds a file of a table.
    pub(super) fn of(self: &Arc<Self>, path: &Path) -> Arc<FileHold> {
        let known = self.lock().get(path).and_then(Weak::upgrade);
        known.unwrap_or_else(|| self.hold(path, false))
    }

    fn hold(self: &Arc<Self>, path: &Path, is_draft: bool) -> Arc<FileHold> {
        let hold = Arc::new(FileHold {
            path: path.clone(),
            is_draft: AtomicBool::new(is_draft),
            holds: Arc::clone(self),
        });
        self.lock().insert(path.clone(), Arc::downgrade(&hold));
        hold
    }

    /// Says of files that are held whether they are drafts: from the moment that a commit may name them
    /// they are not.
    pub(super) fn set_draft<'a>(&self, paths: impl Iterator<Item = &'a Path>, is_draft: bool) {
        for path in paths {
            // Let go behind the lock, which its end needs.
            let hold = self.lock().get(path).and_then(Weak::upgrade);
            if let Some(hold) = hold {
                hold.is_draft.store(is_draft, Ordering::Release);
            }
        }
    }

    /// The files that are held now.
    pub(super) fn held(&self) -> HashSet<Path> {
        let files = self.lock();
        let live = files.iter().filter(|(_, hold)| hold.strong_count() > 0);
        live.map(|(path, _)| path.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Path, Weak<FileHold>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Holds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Holds({} files)", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    async fn is_there(store: &dyn ObjectStore, path: &Path) -> bool {
        // What removes it was spawned on this thread before.
        tokio::task::yield_now().await;
        store.head(path).await.is_ok()
    }

    #[tokio::test]
    async fn a_draft_goes_with_the_last_who_holds_it_unless_it_is_committed() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let holds = Holds::new(Arc::clone(&store), Handle::current());
        let (lost, kept) = (Path::from("lost"), Path::from("kept"));
        for path in [&lost, &kept] {
            store.put(path, "rows".into()).await.unwrap();
        }
        let (writer, committed) = (holds.draft(&lost), holds.draft(&kept));
        let reader = holds.of(&lost);
        drop(writer);
        assert!(is_there(store.as_ref(), &lost).await);
        assert_eq!(holds.held().len(), 2);
        holds.set_draft([&kept].into_iter(), false);
        drop((reader, committed));
        assert!(!is_there(store.as_ref(), &lost).await);
        assert!(is_there(store.as_ref(), &kept).await);
        assert!(holds.held().is_empty());
    }

    #[tokio::test]
    async fn a_file_that_a_table_names_is_held_and_stays() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let holds = Holds::new(Arc::clone(&store), Handle::current());
        let path = Path::from("part");
        store.put(&path, "rows".into()).await.unwrap();
        let hold = holds.of(&path);
        assert!(holds.held().contains(&path));
        drop(hold);
        assert!(is_there(store.as_ref(), &path).await);
    }
}
