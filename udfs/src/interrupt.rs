//! Stopping work that takes long between two batches.
//!
//! A query ends when its streams are dropped, which needs them to return first. A fit, or the fits of
//! many groups, may take minutes. Whoever runs the query wraps the polling of its operators in
//! [`interruptible`]; fits ask in between whether to go on.

use std::cell::RefCell;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use datafusion_common::Result;

thread_local! {
    static CURRENT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// Says whether work shall go on; its error is the query's if not.
#[derive(Clone)]
pub struct Interrupt(Arc<dyn Fn() -> Result<()> + Send + Sync>);

impl Interrupt {
    /// From a function that is called often, and must be quick.
    pub fn new(check: impl Fn() -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }
}

impl Debug for Interrupt {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Interrupt")
    }
}

/// Runs work of which the fits on this thread stop when `interrupt` says so.
pub fn interruptible<T>(interrupt: &Interrupt, work: impl FnOnce() -> T) -> T {
    // Put back even when the work panics: the thread goes on to others' queries.
    struct Before(Option<Interrupt>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _before = Before(CURRENT.replace(Some(interrupt.clone())));
    work()
}

/// The error of work that shall not go on.
pub(crate) fn check_interrupt() -> Result<()> {
    CURRENT.with_borrow(|current| match current {
        Some(Interrupt(check)) => check(),
        None => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use datafusion_common::exec_err;

    use super::*;

    #[test]
    fn only_work_inside_is_stopped() {
        let stopped = Interrupt::new(|| exec_err!("stop"));
        let going = Interrupt::new(|| Ok(()));
        assert!(check_interrupt().is_ok());
        interruptible(&stopped, || {
            assert!(check_interrupt().is_err());
            interruptible(&going, || assert!(check_interrupt().is_ok()));
            assert!(check_interrupt().is_err());
        });
        assert!(check_interrupt().is_ok());
        let panicking = AssertUnwindSafe(|| interruptible(&stopped, || panic!("of the work")));
        assert!(catch_unwind(panicking).is_err());
        assert!(check_interrupt().is_ok());
    }
}
