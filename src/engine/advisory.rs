//! Advisory locks: numbers that sessions agree on, held by a session or by its transaction.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::catalog::LockRow;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Advisory locks of all sessions together.
const LOCKS_MAX: usize = 100_000;

/// What a lock is on: one number of 64 bits, or two of 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// `pg_advisory_lock(bigint)`
    One(i64),
    /// `pg_advisory_lock(int, int)`
    Two(i32, i32),
}

/// How long a lock is held, and with whom it is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Together with others who share it.
    pub shared: bool,
    /// Until the transaction ends, not the session.
    pub transaction: bool,
}

/// What [`AdvisoryLocks::release_all`] gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// Everything: the session ends.
    Everything,
    /// What was taken for the session.
    Session,
    /// What was taken for the transaction.
    Transaction,
}

/// The locks of one server.
#[derive(Debug, Default)]
pub struct AdvisoryLocks {
    table: Mutex<Table>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<Key, Vec<Hold>>,
    count: usize,
    /// Who waits for what, and whether it would be shared.
    waiting: HashMap<i32, (Key, bool)>,
}

#[derive(Debug)]
struct Hold {
    pid: i32,
    mode: Mode,
    times: u32,
}

impl AdvisoryLocks {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lock if it is free; whether it was.
    pub fn try_lock(&self, pid: i32, key: Key, mode: Mode) -> Result<bool> {
        self.table().take(pid, key, mode)
    }

    /// Takes a lock, waiting until it is free.
    ///
    /// # Errors
    /// 40P01 if the sessions would wait for each other for ever.
    pub async fn lock(&self, pid: i32, key: Key, mode: Mode) -> Result<()> {
        loop {
            let mut released = std::pin::pin!(self.released.notified());
            // Registered before looking, so that no release is missed.
            released.as_mut().enable();
            if self.table().take_or_wait(pid, key, mode)? {
                return Ok(());
            }
            let waiting = Waiting { locks: self, pid };
            released.await;
            drop(waiting);
        }
    }

    /// Gives a lock of the session back once; whether it was held.
    pub fn unlock(&self, pid: i32, key: Key, shared: bool) -> bool {
        let mode = Mode {
            shared,
            transaction: false,
        };
        let found = self.table().release(pid, key, mode);
        if found {
            self.released.notify_waiters();
        }
        found
    }

    /// Gives back what the session holds: all of it, or what its transaction took.
    pub fn release_all(&self, pid: i32, of: Released) {
        let mut table = self.table();
        let before = table.count;
        if before == 0 {
            return;
        }
        table.held.retain(|_, holds| {
            holds.retain(|hold| hold.pid != pid || !of.covers(hold.mode));
            !holds.is_empty()
        });
        table.count = table.held.values().map(Vec::len).sum();
        if table.count != before {
            self.released.notify_waiters();
        }
    }
}

impl AdvisoryLocks {
    /// Every lock that is held or waited for.
    pub(super) fn rows(&self) -> Vec<LockRow> {
        let table = self.table();
        let row = |pid: i32, key: Key, shared: bool, granted: bool| {
            let (class, object) = match key {
                Key::One(number) => ((number >> 32) as u32, number as u32),
                Key::Two(first, second) => (first.cast_unsigned(), second.cast_unsigned()),
            };
            LockRow {
                pid,
                class,
                object,
                is_pair: matches!(key, Key::Two(..)),
                shared,
                granted,
            }
        };
        let held = table.held.iter().flat_map(|(key, holds)| {
            holds
                .iter()
                .map(move |hold| row(hold.pid, *key, hold.mode.shared, true))
        });
        let waiting = table.waiting.iter();
        let waiting = waiting.map(|(pid, (key, shared))| row(*pid, *key, *shared, false));
        let mut rows: Vec<LockRow> = held.chain(waiting).collect();
        rows.sort_by_key(|row| (row.pid, row.is_pair, row.class, row.object, row.shared));
        // A lock that is held for the session and for its transaction is one.
        rows.dedup_by_key(|row| (row.pid, row.is_pair, row.class, row.object, row.shared));
        rows
    }
}

impl Released {
    fn covers(self, mode: Mode) -> bool {
        match self {
            Self::Everything => true,
            Self::Session => !mode.transaction,
            Self::Transaction => mode.transaction,
        }
    }
}

impl Table {
    fn take(&mut self, pid: i32, key: Key, mode: Mode) -> Result<bool> {
        if self.count >= LOCKS_MAX {
            return Err(Error::out_of_memory("out of shared memory")
                .with_detail(format!("The server holds {LOCKS_MAX} advisory locks."))
                .with_hint("Release advisory locks that are no longer needed."));
        }
        let holds = self.held.entry(key).or_default();
        let blocked = holds
            .iter()
            .any(|hold| hold.pid != pid && !(hold.mode.shared && mode.shared));
        if blocked {
            return Ok(false);
        }
        let known = holds
            .iter_mut()
            .find(|hold| hold.pid == pid && hold.mode == mode);
        if let Some(hold) = known {
            hold.times += 1;
        } else {
            holds.push(Hold {
                pid,
                mode,
                times: 1,
            });
            self.count += 1;
        }
        Ok(true)
    }

    fn take_or_wait(&mut self, pid: i32, key: Key, mode: Mode) -> Result<bool> {
        if self.take(pid, key, mode)? {
            return Ok(true);
        }
        if self.would_deadlock(pid, key) {
            return Err(Error::new(SqlState::DeadlockDetected, "deadlock detected")
                .with_detail("The sessions wait for each other's advisory locks."));
        }
        self.waiting.insert(pid, (key, mode.shared));
        Ok(false)
    }

    fn release(&mut self, pid: i32, key: Key, mode: Mode) -> bool {
        let Some(holds) = self.held.get_mut(&key) else {
            return false;
        };
        let Some(at) = holds
            .iter()
            .position(|hold| hold.pid == pid && hold.mode == mode)
        else {
            return false;
        };
        holds[at].times -= 1;
        if holds[at].times == 0 {
            holds.swap_remove(at);
            self.count -= 1;
        }
        if holds.is_empty() {
            self.held.remove(&key);
        }
        true
    }

    /// Whether someone who holds `key` waits, over any number of others, for `pid`.
    fn would_deadlock(&self, pid: i32, key: Key) -> bool {
        let mut keys = vec![key];
        let mut at = 0;
        while let Some(key) = keys.get(at).copied() {
            for holder in self.held.get(&key).into_iter().flatten() {
                match self.waiting.get(&holder.pid) {
                    // Its own hold on the key it waits for is no circle.
                    _ if holder.pid == pid && at == 0 => {}
                    _ if holder.pid == pid => return true,
                    Some((next, _)) if !keys.contains(next) => keys.push(*next),
                    _ => {}
                }
            }
            at += 1;
        }
        false
    }
}

/// Takes a waiting session off the list, also when its statement is stopped.
struct Waiting<'a> {
    locks: &'a AdvisoryLocks,
    pid: i32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.locks.table().waiting.remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const EXCLUSIVE: Mode = Mode {
        shared: false,
        transaction: false,
    };
    const SHARED: Mode = Mode {
        shared: true,
        transaction: false,
    };

    #[test]
    fn locks_exclude_others_and_count() {
        let locks = AdvisoryLocks::default();
        let key = Key::One(7);
        assert!(locks.try_lock(1, key, EXCLUSIVE).unwrap());
        assert!(locks.try_lock(1, key, EXCLUSIVE).unwrap());
        assert!(!locks.try_lock(2, key, SHARED).unwrap());
        assert!(locks.try_lock(2, Key::Two(0, 7), EXCLUSIVE).unwrap());
        assert!(locks.unlock(1, key, false));
        assert!(!locks.try_lock(2, key, EXCLUSIVE).unwrap());
        assert!(locks.unlock(1, key, false));
        assert!(!locks.unlock(1, key, false));
        assert!(locks.try_lock(2, key, EXCLUSIVE).unwrap());
    }

    #[test]
    fn shared_locks_go_together_and_end_with_their_transaction() {
        let locks = AdvisoryLocks::default();
        let key = Key::One(7);
        let transaction = Mode {
            shared: true,
            transaction: true,
        };
        assert!(locks.try_lock(1, key, SHARED).unwrap());
        assert!(locks.try_lock(2, key, transaction).unwrap());
        locks.release_all(1, Released::Everything);
        assert!(!locks.try_lock(1, key, EXCLUSIVE).unwrap());
        locks.release_all(2, Released::Session);
        assert!(!locks.try_lock(1, key, EXCLUSIVE).unwrap());
        locks.release_all(2, Released::Transaction);
        assert!(locks.try_lock(1, key, EXCLUSIVE).unwrap());
    }

    #[tokio::test]
    async fn a_release_wakes_who_waits_and_a_circle_is_an_error() {
        let locks = Arc::new(AdvisoryLocks::default());
        let (a, b) = (Key::One(1), Key::One(2));
        locks.lock(1, a, EXCLUSIVE).await.unwrap();
        locks.lock(2, b, EXCLUSIVE).await.unwrap();
        let other = Arc::clone(&locks);
        let waits = tokio::spawn(async move { other.lock(1, b, EXCLUSIVE).await });
        while locks.table().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        let error = locks.lock(2, a, EXCLUSIVE).await.unwrap_err();
        assert_eq!(error.state().code(), "40P01");
        assert!(locks.unlock(2, b, false));
        waits.await.unwrap().unwrap();
    }
}
