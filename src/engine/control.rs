//! Control of one running statement: the token that everything which may stop it fires.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// Why a statement was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StopReason {
    /// A CancelRequest or `pg_cancel_backend`.
    UserRequest = 1,
    /// `statement_timeout`.
    Timeout = 2,
    /// `pg_terminate_backend` or the server's shutdown.
    Termination = 3,
    /// The client closed its connection, or the portal.
    ClientGone = 4,
    /// Planning took longer than the server allows.
    PlanningTimeout = 5,
}

impl StopReason {
    /// The error the stopped statement ends with.
    pub fn error(self) -> Error {
        match self {
            Self::UserRequest => Error::query_canceled("canceling statement due to user request"),
            Self::Timeout => Error::query_canceled("canceling statement due to statement timeout"),
            Self::Termination => {
                Error::admin_shutdown("terminating connection due to administrator command")
            }
            Self::ClientGone => {
                Error::query_canceled("canceling statement because its client went away")
            }
            Self::PlanningTimeout => {
                Error::statement_too_complex("the statement took too long to plan")
                    .with_hint("Split it, or use fewer joins and nested expressions.")
            }
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            2 => Self::Timeout,
            3 => Self::Termination,
            4 => Self::ClientGone,
            5 => Self::PlanningTimeout,
            _ => Self::UserRequest,
        }
    }
}

/// The control of one statement. All that runs for the statement watches it.
#[derive(Debug, Default)]
pub struct StatementControl {
    token: CancellationToken,
    reason: AtomicU8,
}

impl StatementControl {
    /// Stops the statement; the first reason given is the one reported.
    pub fn stop(&self, reason: StopReason) {
        // A failed exchange means that an earlier reason stands.
        let _earlier =
            self.reason
                .compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        self.token.cancel();
    }

    /// Whether the statement was stopped.
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The next item of what runs for the statement; the reason as an error once it is stopped.
    pub async fn next<T, E: Into<Error>>(
        &self,
        items: &mut (impl Stream<Item = std::result::Result<T, E>> + Unpin),
    ) -> Result<Option<T>> {
        tokio::select! {
            biased;
            () = self.stopped() => Err(self.error()),
            item = items.next() => item.transpose().map_err(Into::into),
        }
    }

    /// Completes when the statement is stopped.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// The error of the stopped statement.
    pub fn error(&self) -> Error {
        StopReason::from_code(self.reason.load(Ordering::Acquire)).error()
    }

    /// An error if the statement was stopped.
    pub fn check(&self) -> Result<()> {
        if self.is_stopped() {
            Err(self.error())
        } else {
            Ok(())
        }
    }
}

/// Stops a statement after `limit`, unless dropped before.
#[derive(Debug)]
pub struct Deadline(tokio::task::JoinHandle<()>);

impl Deadline {
    /// Starts the timer on the network threads, which a busy query cannot delay.
    pub fn start(
        workers: &crate::runtime::Workers,
        control: &std::sync::Arc<StatementControl>,
        limit: Duration,
        reason: StopReason,
    ) -> Self {
        let control = std::sync::Arc::clone(control);
        Self(workers.spawn_network(async move {
            tokio::time::sleep(limit).await;
            control.stop(reason);
        }))
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlstate::SqlState;

    #[test]
    fn the_first_reason_is_reported() {
        let control = StatementControl::default();
        assert!(control.check().is_ok());
        control.stop(StopReason::Timeout);
        control.stop(StopReason::UserRequest);
        let error = control.check().unwrap_err();
        assert_eq!(error.state(), SqlState::QueryCanceled);
        assert_eq!(
            error.message(),
            "canceling statement due to statement timeout"
        );
    }
}
