//! Makes few large files of many small ones. Readers keep the files that they read from; writers wait for
//! the commit alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use object_store::path::Path;

use super::content::Content;
use super::delta::Operation;
use super::names::Relation;
use super::staged::Staged;
use super::{Warehouse, write};
use crate::error::{Error, Result};
use crate::storage::{FileKeys, StoredFile};

/// Bytes below which a file is small: half of what one is filled to.
const SMALL_BYTES: u64 = write::FILE_BYTES_MAX as u64 / 2;
/// Bytes up to which files are put together without anybody's asking; to write larger ones again would
/// take the disk from those who ask something.
const SMALL_BYTES_UNASKED: u64 = 32 << 20;
/// Small files of a table that are put together without anybody's asking.
const SMALL_FILES_MIN: usize = 32;

/// Files that were put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Files before.
    pub before: usize,
    /// Files after.
    pub after: usize,
}

/// New files that hold the rows of some files of a table.
pub(super) struct Rewritten {
    old: HashSet<Path>,
    new: Vec<StoredFile>,
}

impl Warehouse {
    /// Puts the small files of a table together that the caller alone may write. Runs on the query threads.
    pub async fn compact(self: &Arc<Self>, relation: &Arc<Relation>) -> Result<Option<Compacted>> {
        let content = self.content(relation, true).await?;
        let small = small_files(&content);
        match self.rewrite(relation, &content, small).await? {
            None => Ok(None),
            Some(rewritten) => self.commit_rewritten(relation, rewritten).await,
        }
    }

    /// Writes the rows of some files of a table to others, one after the other.
    pub(super) async fn rewrite(
        &self,
        relation: &Relation,
        content: &Content,
        files: Vec<StoredFile>,
    ) -> Result<Option<Rewritten>> {
        if files.len() < 2 {
            return Ok(None);
        }
        let state = self.reading_state();
        let mut writer = self.writer(relation, Arc::clone(content.columns()))?;
        for file in &files {
            let plan = content.rows_of(file)?.scan(&state, None, &[], None).await?;
            let mut rows = execute_stream(plan, state.task_ctx())?;
            while let Some(batch) = rows.next().await {
                writer.write(&batch?).await?;
            }
        }
        let rows: u64 = files.iter().map(StoredFile::rows).sum();
        if rows != writer.rows() {
            return Err(Error::internal("files were not read whole"));
        }
        Ok(Some(Rewritten {
            old: files.iter().map(|file| file.path().clone()).collect(),
            new: writer.finish().await?,
        }))
    }

    /// Puts new files in the place of old ones, if all of those are still part of the table. The caller
    /// alone may write it.
    pub(super) async fn commit_rewritten(
        self: &Arc<Self>,
        relation: &Relation,
        rewritten: Rewritten,
    ) -> Result<Option<Compacted>> {
        let latest = self.content(relation, true).await?;
        let Rewritten { old, new } = rewritten;
        let mut files: Vec<StoredFile> = Vec::with_capacity(latest.files().len());
        let (mut new, mut replaced) = (Some(new), 0);
        for file in latest.files() {
            if !old.contains(file.path()) {
                files.push(file.clone());
                continue;
            }
            replaced += 1;
            files.extend(new.take().into_iter().flatten());
        }
        if replaced < old.len() {
            return Ok(None);
        }
        let counts = Compacted {
            before: latest.files().len(),
            after: files.len(),
        };
        let columns = Arc::clone(latest.columns());
        let now = self.content_of(relation, columns, files, Some(latest.as_ref()))?;
        if now.rows() != latest.rows() {
            return Err(Error::internal(
                "rows were lost when files were put together",
            ));
        }
        let mut staged = Staged::default();
        staged.set_content(&relation.id, Some(latest), now, Operation::Compact);
        self.commit(&staged, None).await?;
        Ok(Some(counts))
    }

    /// A state to read files with that belongs to no session.
    fn reading_state(&self) -> SessionState {
        let config = SessionConfig::new().with_target_partitions(1);
        SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(self.files.runtime()))
            .build()
    }
}

/// The files that are put together when somebody asks for it.
fn small_files(content: &Content) -> Vec<StoredFile> {
    let is_small = |file: &&StoredFile| file.bytes() < SMALL_BYTES;
    let small = partitions(content).into_iter().map(|files| {
        let small: Vec<&StoredFile> = files.into_iter().filter(is_small).collect();
        // Alone in its partition a file stays as it is.
        if small.len() < 2 { Vec::new() } else { small }
    });
    small.flatten().cloned().collect()
}

/// The files that are put together unasked: many, and none that is much larger than all smaller ones, so
/// that a row is not written again with every few that come after it.
pub(super) fn many_small_files(content: &Content) -> Vec<StoredFile> {
    let small = partitions(content).into_iter().flat_map(|files| {
        let limit = unasked_limit(&files);
        let is_small = move |file: &&StoredFile| limit.is_some_and(|limit| file.bytes() <= limit);
        files.into_iter().filter(is_small)
    });
    small.cloned().collect()
}

/// Whether there are so many small files.
pub(super) fn is_fragmented(content: &Content) -> bool {
    let partitions = partitions(content);
    partitions
        .iter()
        .any(|files| unasked_limit(files).is_some())
}

/// The files of each partition: rows of different ones never share a file.
fn partitions(content: &Content) -> Vec<Vec<&StoredFile>> {
    let mut partitions: HashMap<&FileKeys, Vec<&StoredFile>> = HashMap::new();
    for file in content.files() {
        partitions.entry(file.keys()).or_default().push(file);
    }
    partitions.into_values().collect()
}

/// [`size_limit`] of files.
fn unasked_limit(files: &[&StoredFile]) -> Option<u64> {
    let sizes: Vec<u64> = files.iter().map(|file| file.bytes()).collect();
    size_limit(&sizes)
}

/// The size up to which files are put together unasked, if there are enough of them.
fn size_limit(sizes: &[u64]) -> Option<u64> {
    let mut small: Vec<u64> = sizes
        .iter()
        .copied()
        .filter(|size| *size <= SMALL_BYTES_UNASKED)
        .collect();
    small.sort_unstable();
    let (mut total, mut taken) = (0_u64, 0);
    for size in &small {
        if taken >= SMALL_FILES_MIN && *size > total {
            break;
        }
        total = total.saturating_add(*size);
        taken += 1;
    }
    (taken >= SMALL_FILES_MIN)
        .then(|| small.get(taken - 1).copied())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_together_when_there_are_many_that_are_small() {
        let tiny = vec![1_000; SMALL_FILES_MIN];
        assert_eq!(size_limit(&tiny), Some(1_000));
        assert_eq!(size_limit(&tiny[1..]), None);
        let with_large: Vec<u64> = tiny.iter().copied().chain([1 << 20, 1 << 40]).collect();
        assert_eq!(size_limit(&with_large), Some(1_000));
        let growing: Vec<u64> = tiny.iter().copied().chain([20_000, 50_000]).collect();
        assert_eq!(size_limit(&growing), Some(50_000));
    }
}
