//! The three things tests must control: where work runs, when the server stops, and what time it is.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Stack of the threads that parse, plan and run statements, in bytes.
///
/// Parsers, planners and the drop of what they build recurse once per level of a statement. The
/// statement limits (`engine::statement::limits`) are set so that the deepest admitted statement
/// stays well below this. The pages are reserved, not used, until a deep statement comes.
const STATEMENT_STACK_BYTES: usize = 256 << 20;

/// Stack of the threads that serve sockets, in bytes; they may drop the plans of prepared statements.
const NETWORK_STACK_BYTES: usize = 64 << 20;

/// Statements that may be parsed or planned at the same time; more wait in order.
const PLANNING_CONCURRENCY_MAX: usize = 32;

/// Threads for blocking calls of a runtime: planning plus the local file reads planning waits for.
const BLOCKING_THREADS_MAX: usize = 512;

/// The runtimes of one process: sockets, planning and query work never wait for each other's threads.
///
/// Dropping it stops the runtimes without waiting for what still runs on them.
#[derive(Debug)]
pub struct Runtimes {
    network: Option<Runtime>,
    statement: Option<Runtime>,
    planning_slots: Arc<Semaphore>,
}

impl Runtimes {
    /// Starts the runtimes; `query_threads` is the number of threads that run query operators.
    pub fn start(query_threads: usize) -> Result<Self> {
        let network = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("network")
            .thread_stack_size(NETWORK_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| {
                Error::io_error("could not start the network threads").with_source(error)
            })?;
        let statement = Builder::new_multi_thread()
            .worker_threads(query_threads.max(1))
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("query")
            .thread_stack_size(STATEMENT_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| {
                Error::io_error("could not start the query threads").with_source(error)
            })?;
        Ok(Self {
            network: Some(network),
            statement: Some(statement),
            planning_slots: Arc::new(Semaphore::new(PLANNING_CONCURRENCY_MAX)),
        })
    }

    /// Runs the program's main future on the network runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.network {
            Some(runtime) => runtime.block_on(future),
            None => futures::executor::block_on(future),
        }
    }

    /// Handles for those who start work.
    pub fn workers(&self) -> Result<Workers> {
        match (&self.network, &self.statement) {
            (Some(network), Some(statement)) => Ok(Workers {
                network: network.handle().clone(),
                statement: statement.handle().clone(),
                planning_slots: Arc::clone(&self.planning_slots),
            }),
            _ => Err(Error::internal("the runtimes are stopped")),
        }
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        for runtime in [self.statement.take(), self.network.take()]
            .into_iter()
            .flatten()
        {
            runtime.shutdown_background();
        }
    }
}

/// Where to start work: sockets and timers on the network threads, planning and queries on theirs.
#[derive(Debug, Clone)]
pub struct Workers {
    network: Handle,
    statement: Handle,
    planning_slots: Arc<Semaphore>,
}

impl Workers {
    /// The handle of the network runtime, for object stores' connections.
    pub fn network(&self) -> &Handle {
        &self.network
    }

    /// Starts socket or timer work.
    pub fn spawn_network<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.network.spawn(future)
    }

    /// Starts query operators.
    pub fn spawn_query<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.statement.spawn(future)
    }

    /// Runs query operators to their end. A panic among them is this call's error (XX000).
    pub async fn query<T>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
    {
        let task = self.spawn_query(work);
        task.await.unwrap_or_else(|error| Err(panic_error(error)))
    }

    /// Runs parsing or planning on a thread of its own with a big stack.
    ///
    /// A panic there is this call's error (XX000). If the caller stops waiting, the thread finishes
    /// what it does and its result is dropped.
    pub async fn plan<T, F, Fut>(&self, work: F) -> Result<T>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>>,
        T: Send + 'static,
    {
        let slot = Arc::clone(&self.planning_slots)
            .acquire_owned()
            .await
            .map_err(|error| Error::internal("planning is closed").with_source(error))?;
        let handle = self.statement.clone();
        let task = self.statement.spawn_blocking(move || {
            let result = handle.block_on(work());
            drop(slot);
            result
        });
        task.await.unwrap_or_else(|error| Err(panic_error(error)))
    }
}

/// The error of a task that panicked or was stopped.
pub fn panic_error(error: tokio::task::JoinError) -> Error {
    if error.is_cancelled() {
        return Error::admin_shutdown("terminating connection due to administrator command");
    }
    let payload = error.into_panic();
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    panic_text_error(&text)
}

/// The error of a panic whose message is `text`.
pub fn panic_text_error(text: &str) -> Error {
    if is_allocation_panic(text) {
        return Error::program_limit_exceeded("a value of the query is too large")
            .with_detail(format!("The engine stopped with: {text}."));
    }
    Error::internal("the query stopped with an internal error")
        .with_detail(format!("The engine panicked: {text}."))
        .with_hint("This is a defect of the server; the session goes on.")
}

/// Arrow and the standard library panic when a buffer would be larger than they can address.
fn is_allocation_panic(text: &str) -> bool {
    [
        "capacity overflow",
        "offset overflow",
        "byte array offset overflow",
    ]
    .iter()
    .any(|known| text.to_ascii_lowercase().contains(known))
}

/// Wall-clock time; tests hand in their own.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> SystemTime;
}

/// A time in microseconds since 1970-01-01 UTC, as PostgreSQL counts; 0 for times before.
pub fn microseconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or_default()
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that stands still until it is moved, for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<SystemTime>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: SystemTime) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlstate::SqlState;

    #[test]
    fn a_panic_while_planning_is_that_statements_error() {
        let runtimes = Runtimes::start(1).unwrap();
        let workers = runtimes.workers().unwrap();
        let result: Result<()> =
            runtimes.block_on(workers.plan(|| async { panic!("planner fell over") }));
        let error = result.unwrap_err();
        assert_eq!(error.state(), SqlState::InternalError);
        assert!(error.detail().unwrap().contains("planner fell over"));
        assert_eq!(
            runtimes.block_on(workers.plan(|| async { Ok(7) })).unwrap(),
            7
        );
    }

    #[test]
    fn planning_has_a_deep_stack() {
        fn descend(depth: usize) -> usize {
            let frame = [depth as u8; 1024];
            if depth == 0 {
                std::hint::black_box(frame)[0] as usize
            } else {
                1 + descend(depth - 1)
            }
        }
        let runtimes = Runtimes::start(1).unwrap();
        let workers = runtimes.workers().unwrap();
        let depth = runtimes
            .block_on(workers.plan(|| async { Ok(descend(50_000)) }))
            .unwrap();
        assert_eq!(depth, 50_000);
    }
}
