//! Who is connected and what they run: the registry behind cancel requests and pg_stat_activity.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::advisory::{AdvisoryLocks, Released};
use super::control::{StatementControl, StopReason};
use super::statement::roles::without_password;
use crate::error::{Error, Result};

/// Statement text kept for pg_stat_activity, in bytes.
const QUERY_TEXT_BYTES_MAX: usize = 1024;

/// Channels that one session listens to.
const CHANNELS_MAX: usize = 1_000;

/// Notifications that wait for one session.
const NOTIFICATIONS_MAX: usize = 10_000;

/// Length of a channel's name, in bytes.
const CHANNEL_BYTES_MAX: usize = 63;

/// Length of a notification's payload, in bytes.
const PAYLOAD_BYTES_MAX: usize = 7_999;

/// The sessions of this server.
#[derive(Debug)]
pub struct Activity {
    /// The locks that sessions agree on.
    pub locks: AdvisoryLocks,
    backends: Mutex<HashMap<i32, Arc<Backend>>>,
    next_pid: AtomicI32,
    connections_max: usize,
    /// When this server started.
    pub started_at: SystemTime,
}

impl Activity {
    /// An empty registry that admits `connections_max` sessions.
    pub fn new(connections_max: usize, started_at: SystemTime) -> Self {
        Self {
            locks: AdvisoryLocks::default(),
            backends: Mutex::default(),
            next_pid: AtomicI32::new(1),
            connections_max,
            started_at,
        }
    }

    /// Registers a session; it leaves the registry when the guard is dropped. `secret` is the
    /// cancel key that its client is told.
    pub fn register(
        self: &Arc<Self>,
        origin: Origin,
        secret: Vec<u8>,
        now: SystemTime,
    ) -> Result<BackendGuard> {
        let mut backends = lock(&self.backends);
        if backends.len() >= self.connections_max {
            return Err(
                Error::too_many_connections("sorry, too many clients already")
                    .with_detail(format!(
                        "The server admits {} connections.",
                        self.connections_max
                    ))
                    .with_hint("Close idle connections, or raise connections_max."),
            );
        }
        let pid = loop {
            let pid = self.next_pid.fetch_add(1, Ordering::Relaxed);
            if pid > 0 && !backends.contains_key(&pid) {
                break pid;
            } else if pid <= 0 {
                self.next_pid.store(1, Ordering::Relaxed);
            }
        };
        let backend = Arc::new(Backend {
            pid,
            secret,
            origin,
            started_at: now,
            terminated: CancellationToken::new(),
            draining: CancellationToken::new(),
            mailbox: Mutex::default(),
            rings: tokio::sync::Notify::new(),
            work: Mutex::new(Work {
                state: State::Idle,
                query: String::new(),
                query_started_at: None,
                transaction_started_at: None,
                state_changed_at: now,
                application_name: String::new(),
                control: None,
            }),
        });
        backends.insert(pid, Arc::clone(&backend));
        Ok(BackendGuard {
            activity: Arc::clone(self),
            backend,
        })
    }

    /// A CancelRequest: stops the running statement of the session with that id and key.
    /// A wrong key does nothing and says nothing.
    pub fn cancel_with_secret(&self, pid: i32, secret: &[u8]) {
        if let Some(backend) = self.find(pid)
            && constant_time_equal(&backend.secret, secret)
        {
            backend.cancel(StopReason::UserRequest);
        }
    }

    /// `pg_cancel_backend`: whether a session of that id exists.
    pub fn cancel(&self, pid: i32) -> bool {
        self.find(pid).is_some_and(|backend| {
            backend.cancel(StopReason::UserRequest);
            true
        })
    }

    /// `pg_terminate_backend`: whether a session of that id exists.
    pub fn terminate(&self, pid: i32) -> bool {
        self.find(pid).is_some_and(|backend| {
            backend.terminate();
            true
        })
    }

    /// Ends every session.
    pub fn terminate_all(&self) {
        for backend in self.backends() {
            backend.terminate();
        }
    }

    /// Hands a notification to every session that listens.
    pub fn notify(&self, notification: &Notification) {
        for backend in self.backends() {
            backend.receive(notification);
        }
    }

    /// The sessions, by id.
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        let mut backends: Vec<_> = lock(&self.backends).values().map(Arc::clone).collect();
        backends.sort_by_key(|backend| backend.pid);
        backends
    }

    fn find(&self, pid: i32) -> Option<Arc<Backend>> {
        lock(&self.backends).get(&pid).map(Arc::clone)
    }
}

/// Where a session comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The user name of the start-up packet.
    pub user: String,
    /// The database of the start-up packet.
    pub database: String,
    /// The client's address, `None` for work inside the process.
    pub client: Option<std::net::SocketAddr>,
}

/// One session as others see it.
#[derive(Debug)]
pub struct Backend {
    /// The id that clients see as the server process's.
    pub pid: i32,
    secret: Vec<u8>,
    /// Where it comes from.
    pub origin: Origin,
    /// When it connected.
    pub started_at: SystemTime,
    terminated: CancellationToken,
    draining: CancellationToken,
    mailbox: Mutex<Mailbox>,
    /// Rings when a notification comes.
    rings: tokio::sync::Notify,
    work: Mutex<Work>,
}

/// What NOTIFY sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The session that sent it.
    pub pid: i32,
    /// The name that sessions listen to.
    pub channel: String,
    /// Its text.
    pub payload: String,
}

impl Notification {
    /// 22023 for a name or text that is too long or empty.
    pub fn try_new(pid: i32, channel: &str, payload: &str) -> Result<Self> {
        let refused = |message: &str| Err(Error::invalid_parameter_value(message));
        if channel.is_empty() {
            return refused("channel name cannot be empty");
        }
        if channel.len() > CHANNEL_BYTES_MAX {
            return refused("channel name too long");
        }
        if payload.len() > PAYLOAD_BYTES_MAX {
            return refused("payload string too long");
        }
        Ok(Self {
            pid,
            channel: channel.to_owned(),
            payload: payload.to_owned(),
        })
    }
}

/// What a session listens to, and what came.
#[derive(Debug, Default)]
struct Mailbox {
    channels: HashSet<String>,
    waiting: VecDeque<Notification>,
}

/// What a session does.
#[derive(Debug, Clone)]
pub struct Work {
    /// As in pg_stat_activity.
    pub state: State,
    /// The running statement, or the last one; cut off at a limit.
    pub query: String,
    /// When it began.
    pub query_started_at: Option<SystemTime>,
    /// When the transaction began that it belongs to.
    pub transaction_started_at: Option<SystemTime>,
    /// When `state` last changed.
    pub state_changed_at: SystemTime,
    /// The session's `application_name`.
    pub application_name: String,
    control: Option<Arc<StatementControl>>,
}

/// The `state` column of pg_stat_activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for the next command.
    Idle,
    /// Runs a statement.
    Active,
    /// Waits for the next command in an open transaction.
    IdleInTransaction,
    /// Waits in a transaction that failed.
    IdleInFailedTransaction,
}

impl State {
    /// PostgreSQL's text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::IdleInTransaction => "idle in transaction",
            Self::IdleInFailedTransaction => "idle in transaction (aborted)",
        }
    }
}

impl Backend {
    /// The key its client cancels with.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// LISTEN
    pub fn listen(&self, channel: &str) -> Result<()> {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.channels.len() >= CHANNELS_MAX {
            return Err(
                Error::program_limit_exceeded("the session listens to too many channels")
                    .with_detail(format!("A session may listen to {CHANNELS_MAX}.")),
            );
        }
        mailbox.channels.insert(channel.to_owned());
        Ok(())
    }

    /// UNLISTEN; all channels if none is named.
    pub fn unlisten(&self, channel: Option<&str>) {
        let mut mailbox = lock(&self.mailbox);
        match channel {
            Some(channel) => {
                mailbox.channels.remove(channel);
            }
            None => mailbox.channels.clear(),
        }
    }

    /// The channels that the session listens to.
    pub fn channels(&self) -> Vec<String> {
        let mut channels: Vec<_> = lock(&self.mailbox).channels.iter().cloned().collect();
        channels.sort();
        channels
    }

    fn receive(&self, notification: &Notification) {
        let mut mailbox = lock(&self.mailbox);
        // Who does not read loses the oldest.
        if mailbox.channels.contains(&notification.channel) {
            if mailbox.waiting.len() >= NOTIFICATIONS_MAX {
                mailbox.waiting.pop_front();
            }
            mailbox.waiting.push_back(notification.clone());
            self.rings.notify_one();
        }
    }

    /// Takes what came.
    pub fn notifications(&self) -> Vec<Notification> {
        lock(&self.mailbox).waiting.drain(..).collect()
    }

    /// Completes when a notification has come.
    pub async fn rings(&self) {
        self.rings.notified().await;
    }

    /// What the session does now.
    pub fn work(&self) -> Work {
        lock(&self.work).clone()
    }

    /// Marks the start of a statement whose control can be stopped from elsewhere.
    pub fn begin(&self, query: &str, control: &Arc<StatementControl>, now: SystemTime) {
        let mut work = lock(&self.work);
        work.query = truncated(without_password(query));
        work.query_started_at = Some(now);
        work.transaction_started_at.get_or_insert(now);
        work.state = State::Active;
        work.state_changed_at = now;
        work.control = Some(Arc::clone(control));
        if self.terminated.is_cancelled() {
            control.stop(StopReason::Termination);
        }
    }

    /// Marks the end of a statement.
    pub fn end(&self, state: State, now: SystemTime) {
        let mut work = lock(&self.work);
        if state == State::Idle {
            work.transaction_started_at = None;
        }
        work.state = state;
        work.state_changed_at = now;
        work.control = None;
        if self.draining.is_cancelled() {
            self.terminated.cancel();
        }
    }

    /// When the transaction and the statement began; `now` outside of any.
    pub fn times(&self, now: SystemTime) -> (SystemTime, SystemTime) {
        let work = lock(&self.work);
        (
            work.transaction_started_at.unwrap_or(now),
            work.query_started_at.unwrap_or(now),
        )
    }

    /// Shows the session's `application_name`.
    pub fn set_application_name(&self, name: &str) {
        lock(&self.work).application_name = truncated(name);
    }

    /// Stops the running statement, if any.
    pub fn cancel(&self, reason: StopReason) {
        if let Some(control) = &lock(&self.work).control {
            control.stop(reason);
        }
    }

    /// Stops the running statement and ends the session.
    pub fn terminate(&self) {
        self.terminated.cancel();
        self.cancel(StopReason::Termination);
    }

    /// Ends the session as soon as it runs nothing: at once, or behind its running statement.
    pub fn drain(&self) {
        let work = lock(&self.work);
        if work.control.is_none() {
            self.terminated.cancel();
        }
        drop(work);
        self.draining.cancel();
    }

    /// Completes when the session is to end.
    pub async fn terminated(&self) {
        self.terminated.cancelled().await;
    }

    /// Whether the session is to end.
    pub fn is_terminated(&self) -> bool {
        self.terminated.is_cancelled()
    }
}

/// Keeps a session in the registry.
#[derive(Debug)]
pub struct BackendGuard {
    activity: Arc<Activity>,
    backend: Arc<Backend>,
}

impl BackendGuard {
    /// The registry that it is in.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl std::ops::Deref for BackendGuard {
    type Target = Arc<Backend>;

    fn deref(&self) -> &Self::Target {
        &self.backend
    }
}

impl Drop for BackendGuard {
    fn drop(&mut self) {
        self.backend.cancel(StopReason::ClientGone);
        self.activity
            .locks
            .release_all(self.backend.pid, Released::Everything);
        lock(&self.activity.backends).remove(&self.backend.pid);
    }
}

/// A poisoned lock only means that a holder panicked; the maps behind it stay whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn truncated(text: &str) -> String {
    let mut end = text.len().min(QUERY_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Compares without a shortcut at the first difference, so that time tells nothing about the key.
fn constant_time_equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(max: usize) -> Arc<Activity> {
        Arc::new(Activity::new(max, SystemTime::UNIX_EPOCH))
    }

    fn join(activity: &Arc<Activity>) -> Result<BackendGuard> {
        activity.register(Origin::default(), vec![1, 2, 3, 4], SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn only_the_right_key_cancels() {
        let activity = registry(10);
        let backend = join(&activity).unwrap();
        let control = Arc::new(StatementControl::default());
        backend.begin("SELECT 1", &control, SystemTime::UNIX_EPOCH);
        activity.cancel_with_secret(backend.pid, &[1, 2, 3, 5]);
        activity.cancel_with_secret(backend.pid, &[1, 2, 3]);
        activity.cancel_with_secret(backend.pid + 1, &[1, 2, 3, 4]);
        assert!(!control.is_stopped());
        activity.cancel_with_secret(backend.pid, &[1, 2, 3, 4]);
        assert!(control.is_stopped());
    }

    #[test]
    fn a_cancel_between_statements_hits_nothing() {
        let activity = registry(10);
        let backend = join(&activity).unwrap();
        let control = Arc::new(StatementControl::default());
        backend.begin("SELECT 1", &control, SystemTime::UNIX_EPOCH);
        backend.end(State::Idle, SystemTime::UNIX_EPOCH);
        assert!(activity.cancel(backend.pid));
        assert!(!control.is_stopped());
    }

    #[test]
    fn the_registry_is_bounded_and_forgets_who_left() {
        let activity = registry(1);
        let backend = join(&activity).unwrap();
        assert_eq!(
            join(&activity).unwrap_err().state(),
            crate::sqlstate::SqlState::TooManyConnections
        );
        drop(backend);
        assert!(join(&activity).is_ok());
    }

    #[test]
    fn a_terminated_session_starts_nothing_more() {
        let activity = registry(1);
        let backend = join(&activity).unwrap();
        backend.terminate();
        let control = Arc::new(StatementControl::default());
        backend.begin("SELECT 1", &control, SystemTime::UNIX_EPOCH);
        assert!(control.is_stopped());
    }
}
