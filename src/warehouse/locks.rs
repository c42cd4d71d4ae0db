//! Writers of one table queue: a transaction that changes a table holds it until it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Who writes which table, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    /// By table: the session that writes it.
    owners: HashMap<String, i32>,
    /// By session: the table it waits for.
    waiting: HashMap<i32, String>,
}

/// A table that nobody else writes while this lives.
#[derive(Debug)]
pub struct TableLock {
    locks: Arc<Locks>,
    table: String,
}

impl Drop for TableLock {
    fn drop(&mut self) {
        self.locks.lock().owners.remove(&self.table);
        self.locks.freed.notify_waiters();
    }
}

impl Locks {
    /// Waits until `session` may write `table`, which it does not hold yet. 40P01 if that would never be.
    pub(super) async fn acquire(self: &Arc<Self>, table: &str, session: i32) -> Result<TableLock> {
        let _waiting = Waiting {
            locks: self,
            session,
        };
        loop {
            // Made before looking, so that a lock that is freed in between is seen.
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            {
                let mut held = self.lock();
                let Some(owner) = held.owners.get(table).copied() else {
                    held.owners.insert(table.to_owned(), session);
                    return Ok(TableLock {
                        locks: Arc::clone(self),
                        table: table.to_owned(),
                    });
                };
                held.waiting.insert(session, table.to_owned());
                if held.leads_back(owner, session) {
                    return Err(Error::new(SqlState::DeadlockDetected, "deadlock detected")
                        .with_detail("Two transactions wait for tables that the other one changes.")
                        .with_hint("Run the transaction again; change tables in one order."));
                }
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Whether `owner` waits, over others, for a table of `session`.
    fn leads_back(&self, mut owner: i32, session: i32) -> bool {
        // Nobody waits for more than one table, so a chain is no longer than there are waiters.
        for _ in 0..=self.waiting.len() {
            if owner == session {
                return true;
            }
            let next = self
                .waiting
                .get(&owner)
                .and_then(|table| self.owners.get(table));
            match next {
                Some(next) => owner = *next,
                None => return false,
            }
        }
        false
    }
}

/// A session that waits, or has just stopped to.
struct Waiting<'a> {
    locks: &'a Locks,
    session: i32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.locks.lock().waiting.remove(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn writers_queue() {
        let locks = Arc::new(Locks::default());
        let first = locks.acquire("a", 1).await.unwrap();
        let mut second = Box::pin(locks.acquire("a", 2));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second.await.unwrap());
        assert!(locks.acquire("a", 3).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_circle_of_waiters_is_broken() {
        let locks = Arc::new(Locks::default());
        let _a = locks.acquire("a", 1).await.unwrap();
        let b = locks.acquire("b", 2).await.unwrap();
        let c = locks.acquire("c", 3).await.unwrap();
        let mut one = Box::pin(locks.acquire("b", 1));
        let mut two = Box::pin(locks.acquire("c", 2));
        assert!(one.as_mut().now_or_never().is_none());
        assert!(two.as_mut().now_or_never().is_none());
        let error = locks.acquire("a", 3).await.unwrap_err();
        assert_eq!(error.state(), SqlState::DeadlockDetected);
        drop((b, c));
        assert!(one.now_or_never().unwrap().is_ok());
        assert!(two.now_or_never().unwrap().is_ok());
    }
}
