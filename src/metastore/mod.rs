//! The catalog file: durable rows of a warehouse in one embedded SQLite database.
//!
//! The file lies in the warehouse folder and belongs to its owner alone. Whoever keeps rows in it adds
//! a step to `migrations.rs` and writes through [`Metastore::write`]: one transaction, on disk
//! when the call returns. There is one writer at a time, in this process and among processes.

mod migrations;

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// The file's name in the warehouse folder.
pub const FILE_NAME: &str = "catalog.db";

/// Who may read and write the file: its owner.
const FILE_MODE: u32 = 0o600;

/// Time to wait for another process that writes.
const BUSY_TIME_MAX: Duration = Duration::from_secs(5);

/// The open catalog file.
#[derive(Debug)]
pub struct Metastore {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Metastore {
    /// Opens the catalog of a warehouse folder, makes it if it is not there, and brings it up to date.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let failed = |error: std::io::Error| {
            Error::io_error(format!("could not open {}: {error}", path.display()))
                .with_source(error)
        };
        // SQLite gives its journal files the mode of the database, so the mode comes first.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(failed)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))
            .map_err(failed)?;
        drop(file);
        let mut connection =
            Connection::open(&path).map_err(|error| catalog_error(&path, error))?;
        prepare(&mut connection).map_err(|error| catalog_error(&path, error))?;
        migrations::run(&mut connection, &path)?;
        Ok(Self {
            path,
            connection: Mutex::new(connection),
        })
    }

    /// Reads a consistent state.
    pub fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.transact(TransactionBehavior::Deferred, work)
    }

    /// Changes the catalog: all of `work` or, if it fails, nothing.
    pub fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.transact(TransactionBehavior::Immediate, work)
    }

    /// Runs `work` as a change and takes it back, to learn whether it could be made.
    pub fn rehearse<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut connection = self.lock();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.failed(error))?;
        work(&transaction)
    }

    /// A number that changes when another process changed the catalog.
    pub fn foreign_version(&self) -> Result<i64> {
        self.lock()
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(|error| self.failed(error))
    }

    /// The error of a failed query.
    pub fn failed(&self, error: rusqlite::Error) -> Error {
        catalog_error(&self.path, error)
    }

    fn transact<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut connection = self.lock();
        let transaction = connection
            .transaction_with_behavior(behavior)
            .map_err(|error| self.failed(error))?;
        // An early return drops the transaction, which rolls it back.
        let done = work(&transaction)?;
        transaction.commit().map_err(|error| self.failed(error))?;
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A holder that panicked has rolled back while it unwound.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An acknowledged change survives a power cut, readers do not wait for the writer.
fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIME_MAX)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")
}

fn catalog_error(path: &Path, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    let state = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => SqlState::DiskFull,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => SqlState::DataCorrupted,
        _ => SqlState::IoError,
    };
    Error::new(
        state,
        format!("the catalog {} failed: {error}", path.display()),
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_its_owners_and_changes_last() {
        let folder = tempfile::tempdir().unwrap();
        let store = Metastore::open(folder.path()).unwrap();
        let add = |name: &str| {
            let name = name.to_owned();
            move |transaction: &Transaction<'_>| {
                transaction
                    .execute("INSERT INTO roles (name) VALUES (?1)", [name])
                    .map_err(|error| Error::internal(error.to_string()))
            }
        };
        store.write(add("kept")).unwrap();
        store.rehearse(add("rehearsed")).unwrap();
        let failed: Result<()> = store.write(|transaction| {
            add("undone")(transaction)?;
            Err(Error::internal("stop"))
        });
        assert!(failed.is_err());
        drop(store);
        let store = Metastore::open(folder.path()).unwrap();
        let names: Vec<String> = store
            .read(|transaction| {
                let mut query = transaction
                    .prepare("SELECT name FROM roles ORDER BY id")
                    .unwrap();
                let names = query.query_map([], |row| row.get(0)).unwrap();
                Ok(names.map(|name| name.unwrap()).collect())
            })
            .unwrap();
        assert_eq!(names, ["loyalhouse", "kept"]);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, FILE_MODE, "{:?}", entry.path());
        }
    }

    #[test]
    fn another_process_changes_the_version() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (
            Metastore::open(folder.path()).unwrap(),
            Metastore::open(folder.path()).unwrap(),
        );
        let before = own.foreign_version().unwrap();
        let add = |transaction: &Transaction<'_>| {
            transaction
                .execute("INSERT INTO roles (name) VALUES ('x')", [])
                .map_err(|error| Error::internal(error.to_string()))
        };
        other.write(add).unwrap();
        assert_ne!(own.foreign_version().unwrap(), before);
    }

    #[test]
    fn what_is_no_catalog_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(FILE_NAME),
            "not a database, but long enough to be one".repeat(20),
        )
        .unwrap();
        let error = Metastore::open(folder.path()).unwrap_err();
        assert_eq!(error.state(), SqlState::DataCorrupted);
    }

    #[test]
    fn a_catalog_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Metastore::open(folder.path()).unwrap());
        let connection = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        connection
            .pragma_update(None, "user_version", 1_000)
            .unwrap();
        drop(connection);
        let error = Metastore::open(folder.path()).unwrap_err();
        assert_eq!(error.state(), SqlState::ObjectNotInPrerequisiteState);
    }
}
