//! What is done for tables without anybody's asking: files that a crash left are removed, small files put
//! together, and files removed that left their table long ago. One table at a time, after those who ask.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::compact::many_small_files;
use super::names::Relation;
use super::{Warehouse, lock_map};
use crate::error::Result;

/// The holder of locks that is no session.
const NO_SESSION: i32 = i32::MIN;
/// Time to wait for a table that is being written before what was put together for it is given up.
const LOCK_TIME_MAX: Duration = Duration::from_secs(10);
/// Time from one look through all tables for files to remove to the next.
const CLEAN_TIME: Duration = Duration::from_hours(24);
/// How long a file stays that left its table; Delta's default, which a session's setting may shorten for
/// its own VACUUM.
const RETENTION: Duration = Duration::from_hours(7 * 24);

impl Warehouse {
    /// Starts what is done in the background; it ends with the warehouse.
    pub(super) fn start_background(self: &Arc<Self>) {
        let warehouse = Arc::downgrade(self);
        let closing = self.closing.clone();
        let work = async move {
            each_table(&warehouse, |warehouse, relation| async move {
                warehouse.remove_leftovers(&relation).await
            })
            .await;
            let mut clean = interval_at(Instant::now() + CLEAN_TIME, CLEAN_TIME);
            clean.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let Some(fragmented) = warehouse.upgrade().map(|held| Arc::clone(&held.fragmented))
                else {
                    return;
                };
                let is_due = tokio::select! {
                    () = closing.cancelled() => return,
                    () = fragmented.notified() => false,
                    _ = clean.tick() => true,
                };
                each_table(&warehouse, |warehouse, relation| async move {
                    if is_due {
                        warehouse.vacuum(&relation, RETENTION).await?;
                    }
                    warehouse.compact_unasked(&relation).await
                })
                .await;
            }
        };
        self.workers.spawn_network(self.tasks.track_future(work));
    }

    /// Puts the small files of a table together if there are many. Gives way to those who write it.
    async fn compact_unasked(self: Arc<Self>, relation: &Arc<Relation>) -> Result<()> {
        // Tables that nobody has asked for are as they were.
        let known = lock_map(&self.contents).get(&relation.id).cloned();
        let Some(content) = known.map(|known| known.content) else {
            return Ok(());
        };
        let small = many_small_files(&content);
        if small.is_empty() {
            return Ok(());
        }
        let (warehouse, kept) = (Arc::clone(&self), Arc::clone(relation));
        let rewritten = self
            .workers
            .query(async move { warehouse.rewrite(&kept, &content, small).await })
            .await?;
        let Some(rewritten) = rewritten else {
            return Ok(());
        };
        let lock = self.lock_table(&relation.id, NO_SESSION);
        let Ok(lock) = tokio::time::timeout(LOCK_TIME_MAX, lock).await else {
            return Ok(());
        };
        let _lock = lock?;
        if !self.names().folders.contains_key(&relation.id) {
            return Ok(());
        }
        if let Some(done) = self.commit_rewritten(relation, rewritten).await? {
            tracing::info!(table = relation.name, ?done, "put small files together");
        }
        Ok(())
    }
}

/// Does something for each table; what fails is logged.
async fn each_table<F>(
    warehouse: &Weak<Warehouse>,
    work: impl Fn(Arc<Warehouse>, Arc<Relation>) -> F,
) where
    F: Future<Output = Result<()>>,
{
    let Some(names) = warehouse.upgrade().map(|held| held.names()) else {
        return;
    };
    for relation in names
        .relations
        .values()
        .filter(|known| known.kind.is_stored())
    {
        let Some(held) = warehouse
            .upgrade()
            .filter(|held| !held.closing.is_cancelled())
        else {
            return;
        };
        if let Err(error) = work(held, Arc::clone(relation)).await {
            tracing::warn!(%error, table = relation.name, "a table was not maintained");
        }
    }
}
