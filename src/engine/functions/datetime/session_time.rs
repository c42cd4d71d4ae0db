//! What functions know of a session's time: its zone and styles, and when its work began.

use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;

use crate::calendar::{EPOCH_MICROS, Reader, TimeSettings};
use crate::engine::state::SessionVariables;
use crate::error::Error;

/// Zone, styles and times of one statement. Times are microseconds from 2000-01-01.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SessionTime {
    /// TimeZone, DateStyle, IntervalStyle.
    pub settings: TimeSettings,
    /// When the transaction began: `now()`.
    pub transaction: i64,
    /// When the statement began.
    pub statement: i64,
}

impl SessionTime {
    /// From wall-clock times.
    pub(crate) fn new(
        settings: TimeSettings,
        transaction: SystemTime,
        statement: SystemTime,
    ) -> Self {
        Self {
            settings,
            transaction: micros(transaction),
            statement: micros(statement),
        }
    }

    /// Those of the session that a call belongs to.
    pub(crate) fn of(options: &ConfigOptions) -> Result<Self> {
        let variables = options.extensions.get::<SessionVariables>();
        variables.map(|variables| variables.time).ok_or_else(|| {
            Error::internal("a function of time was called outside a session").into()
        })
    }

    /// Reads texts as this session does.
    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.settings, self.transaction)
    }
}

/// A wall-clock time in microseconds from 2000-01-01.
pub(super) fn micros(time: SystemTime) -> i64 {
    let since = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()),
        Err(before) => i64::try_from(before.duration().as_micros()).map(|micros| -micros),
    };
    since.unwrap_or_default() - EPOCH_MICROS
}
