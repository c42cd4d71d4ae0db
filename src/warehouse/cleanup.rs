//! Removes files in the folders of tables that no version and nobody needs any more.
//!
//! A file may go if neither the log names it nor anybody here holds it. Which files are there, then which
//! are held, then what the log names is looked at in this order, so that a file that is committed meanwhile
//! is found in one of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::names::Relation;
use super::{Warehouse, fault, write};
use crate::error::{Error, Result};
use crate::storage::is_unfinished;

/// How long a file that no log names is left alone whose writer is another program, or a store that may
/// still take a commit which names it.
const UNCOMMITTED_TIME: Duration = Duration::from_hours(24);

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Which files may go.
#[derive(Debug, Clone, Copy)]
enum Scope {
    /// Those that this server wrote for what was never committed.
    Leftovers,
    /// Those too that left the table before this moment.
    Before(DateTime<Utc>),
}

impl Warehouse {
    /// Removes the files of a table that left it longer ago than `retention` and that nobody reads, and
    /// those that were never part of it.
    pub async fn vacuum(
        self: &Arc<Self>,
        relation: &Relation,
        retention: Duration,
    ) -> Result<Removed> {
        let before = chrono::Duration::from_std(retention)
            .ok()
            .and_then(|retention| Utc::now().checked_sub_signed(retention));
        let Some(before) = before else {
            return Ok(Removed::default());
        };
        let (warehouse, relation) = (Arc::clone(self), relation.clone());
        self.on_network(async move { warehouse.clean(&relation, Scope::Before(before)).await })
            .await
    }

    /// Removes what statements that a crash ended have written to a table.
    pub(super) async fn remove_leftovers(&self, relation: &Relation) -> Result<()> {
        let Removed { files, bytes } = self.clean(relation, Scope::Leftovers).await?;
        if files > 0 {
            tracing::info!(
                table = relation.name,
                files,
                bytes,
                "removed what no table names"
            );
        }
        Ok(())
    }

    async fn clean(&self, relation: &Relation, scope: Scope) -> Result<Removed> {
        let found = self.data_files(relation).await?;
        let is_candidate = |file: &ObjectMeta| match scope {
            Scope::Leftovers => is_own(&file.location),
            Scope::Before(_) => true,
        };
        let mut found: Vec<ObjectMeta> = found.into_iter().filter(is_candidate).collect();
        let held = self.holds.held();
        found.retain(|file| !held.contains(&file.location));
        if found.is_empty() {
            return Ok(Removed::default());
        }
        let log = self.log(relation)?;
        let version = log.load().await?;
        let named = log.files(&version)?.into_iter().map(|(path, _)| path);
        let named: HashSet<Path> = named.collect();
        found.retain(|file| !named.contains(&file.location));
        if found.is_empty() {
            return Ok(Removed::default());
        }
        let left = log.removed_files(&version).await?;
        let uncommitted = Utc::now() - UNCOMMITTED_TIME;
        found.retain(|file| match (left.get(&file.location), scope) {
            (Some(_), Scope::Leftovers) => false,
            (Some(at), Scope::Before(before)) => *at < before.timestamp_millis(),
            // A statement of this server that nobody holds the files of is over.
            (None, _) if is_own(&file.location) && self.files.is_local() => true,
            (None, Scope::Leftovers) => file.last_modified < uncommitted,
            (None, Scope::Before(before)) => file.last_modified < before.min(uncommitted),
        });
        self.remove(found).await
    }

    /// The files of a table's folder, without its log and what else other programs pass over.
    async fn data_files(&self, relation: &Relation) -> Result<Vec<ObjectMeta>> {
        let folder = self.place.path(relation);
        let found: Vec<ObjectMeta> =
            match self.files.store().list(Some(&folder)).try_collect().await {
                Ok(found) => found,
                Err(object_store::Error::NotFound { .. }) => Vec::new(),
                Err(error) => {
                    let message =
                        format!("could not list the files of table \"{}\"", relation.name);
                    return Err(fault::write_failed(&message, error));
                }
            };
        let is_data = |file: &ObjectMeta| {
            let parts = file.location.prefix_match(&folder);
            parts.is_some_and(|mut parts| {
                parts.all(|part| {
                    let name = part.as_ref();
                    let is_level = name.contains('=');
                    !name.starts_with('.') && (!name.starts_with('_') || is_level)
                })
            })
        };
        Ok(found.into_iter().filter(is_data).collect())
    }

    async fn remove(&self, files: Vec<ObjectMeta>) -> Result<Removed> {
        let removed = Removed {
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.size).sum(),
        };
        let paths = stream::iter(files.into_iter().map(|file| Ok(file.location))).boxed();
        let mut gone = self.files.store().delete_stream(paths);
        while let Some(done) = gone.next().await {
            match done {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(fault::write_failed("a file was not removed", error)),
            }
        }
        Ok(removed)
    }

    /// Removes files that were being written when the server stopped. Nothing writes yet.
    pub(super) fn remove_unfinished(folder: &std::path::Path) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::io_error(format!("could not look through {}", folder.display()))
                .with_detail(format!("{error}."))
        };
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                if entry.file_type().map_err(failed)?.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                if entry.file_name().to_str().is_some_and(is_unfinished) {
                    std::fs::remove_file(entry.path()).map_err(failed)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a file was written by a server like this one.
fn is_own(path: &Path) -> bool {
    path.filename().is_some_and(write::is_own_name)
}
