//! What the warehouse says when the disk, the store or a table's log fails.

use std::error::Error as StdError;
use std::io::ErrorKind;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::TransactionError;

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// 53100 if the disk is full, 58030 for any other failure to write.
pub(super) fn write_failed(message: &str, error: impl StdError + Send + Sync + 'static) -> Error {
    let state = match is_disk_full(&error) {
        true => SqlState::DiskFull,
        false => SqlState::IoError,
    };
    let hint = match state {
        SqlState::DiskFull => {
            "Make room in the warehouse folder; nothing of the table has changed."
        }
        _ => "Nothing of the table has changed; the log of the server has more.",
    };
    tracing::error!(%error, "{message}");
    Error::new(state, message)
        .with_detail(format!("{}.", root_words(&error)))
        .with_hint(hint)
        .with_source(error)
}

/// Whether another program committed first.
pub(super) fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::Transaction {
            source: TransactionError::CommitConflict(_)
                | TransactionError::MaxCommitAttempts(_)
                | TransactionError::VersionAlreadyExists(_),
        } | DeltaTableError::VersionAlreadyExists(_)
    )
}

/// The error of a log that could not be read or written.
pub(super) fn log_failed(table: &str, error: DeltaTableError) -> Error {
    match &error {
        conflict if is_conflict(conflict) => Error::new(
            SqlState::SerializationFailure,
            format!("could not serialize access to table \"{table}\" due to concurrent update"),
        )
        .with_detail("Another program changed the table at the same time.")
        .with_hint("Run the transaction again.")
        .with_source(error),
        DeltaTableError::Transaction {
            source:
                TransactionError::UnsupportedTableFeatures(_)
                | TransactionError::TableFeaturesRequired(_)
                | TransactionError::DeltaTableAppendOnly,
        } => Error::feature_not_supported(format!(
            "table \"{table}\" uses a feature of Delta Lake that is not supported"
        ))
        .with_detail(format!("{error}.")),
        _ => write_failed(&format!("the log of table \"{table}\" failed"), error),
    }
}

/// What `work` gives, with the error of a log that failed.
pub(super) fn of_log<T>(table: &str, work: deltalake_core::DeltaResult<T>) -> Result<T> {
    work.map_err(|error| log_failed(table, error))
}

fn is_disk_full(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| {
            matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        }) {
            return true;
        }
        // An I/O error does not count the error within it as its source.
        let inner = io
            .and_then(|io| io.get_ref())
            .map(|inner| inner as &(dyn StdError + 'static));
        next = inner.or_else(|| error.source());
    }
    false
}

fn root_words(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string().trim_end_matches('.').to_owned()
}
