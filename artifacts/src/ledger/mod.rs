//! The ledger: an SQLite database of all runs and attempts.
//!
//! On a local file system it uses WAL mode, which allows concurrent readers and one writer. A power failure may lose
//! bookkeeping, such as the reuse of a result; the commit of a result is synced before it returns. WAL needs memory
//! shared between the processes, which network and parallel file systems do not provide between machines: there the
//! ledger uses the rollback journal and syncs every commit.

mod artifacts;
mod attempts;
mod connection;
mod journal;
mod lineage;
mod pins;
mod removal;
mod rows;
mod runs;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use artifacts::{Found, Totals};
pub(crate) use connection::companions;
use journal::Journal;
pub use lineage::Lineage;
pub(crate) use removal::Candidate;
pub use runs::{RunFilter, RunSummary};

/// The database of runs and attempts. It can be shared by any number of threads and processes.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Whether every commit is synced, not only those of results.
    always_durable: bool,
}

/// The reason why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A newer version of the tool created the ledger.
    #[error(
        "the ledger {} has version {found}, but this version supports ledgers up to {}; use the version \
         that created it, or a newer one",
        path.display(),
        schema::VERSION
    )]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is damaged.
    #[error(
        "the ledger {} is damaged ({what}): `cache rebuild` recreates it from the objects and records of the \
         store",
        path.display()
    )]
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// How it shows.
        what: String,
    },
    /// Another process writes to it for too long.
    #[error(
        "the ledger {} has been locked by another process for {} s: try again when it has ended",
        path.display(),
        connection::BUSY_S
    )]
    Busy {
        /// The ledger.
        path: PathBuf,
    },
    /// Its file system does not lock files as SQLite needs it.
    #[error(
        "the ledger {} cannot be locked: {what}. Its file system ({file_system}) does not lock files between processes, \
         or its lock server does not answer: have it mounted with locks (Lustre: -o flock; NFS: without nolock), or put \
         the ledger on another file system that all planners share, with `ledger: FILE` in the configuration",
        path.display()
    )]
    Locking {
        /// The ledger.
        path: PathBuf,
        /// The kind of file system.
        file_system: String,
        /// The message of SQLite.
        what: String,
    },
    /// Its file system is full.
    #[error(
        "cannot write the ledger {}: no space left on the file system (free some, or remove old results with `gc`)",
        path.display()
    )]
    Full {
        /// The ledger.
        path: PathBuf,
    },
    /// It cannot be written or opened.
    #[error(
        "cannot write the ledger {}: {what} (check its owner and mode, and that the file system is not read-only)",
        path.display()
    )]
    Access {
        /// The ledger.
        path: PathBuf,
        /// The message of SQLite.
        what: String,
    },
    /// Any other SQLite error.
    #[error("the ledger {}: {source}", path.display())]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// An error of a file next to the ledger.
    #[error(transparent)]
    File(#[from] crate::FileError),
}

impl LedgerError {
    fn new(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Damaged { path, what: source.to_string() },
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy { path },
            Some(Code::FileLockingProtocolFailed) => Self::locking(path, &source),
            Some(Code::SystemIoFailure) if is_of_locks(&source) => Self::locking(path, &source),
            Some(Code::DiskFull) => Self::Full { path },
            Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied) => {
                Self::Access { path, what: source.to_string() }
            }
            Some(_) => Self::Sqlite { path, source },
            // The row was not written by this program, or a table is missing.
            None => Self::Damaged { path, what: source.to_string() },
        }
    }

    fn locking(path: PathBuf, source: &rusqlite::Error) -> Self {
        let magic = crate::file_system::magic(&path);
        let known = magic.and_then(crate::file_system::shared_name).map(str::to_owned);
        let file_system = known.or(magic.map(|magic| format!("of type {magic:#x}"))).unwrap_or("unknown".to_owned());
        Self::Locking { path, file_system, what: source.to_string() }
    }
}

/// Returns whether an input or output error is one of locks.
fn is_of_locks(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi;
    let codes = [
        ffi::SQLITE_IOERR_LOCK,
        ffi::SQLITE_IOERR_UNLOCK,
        ffi::SQLITE_IOERR_RDLOCK,
        ffi::SQLITE_IOERR_BLOCKED,
        ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        ffi::SQLITE_IOERR_SHMLOCK,
        ffi::SQLITE_IOERR_SHMMAP,
        ffi::SQLITE_IOERR_SHMOPEN,
    ];
    error.sqlite_error().is_some_and(|error| codes.contains(&error.extended_code))
}

impl Ledger {
    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs SQLite's integrity check and returns the problems that it finds.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn check(&self) -> Result<Vec<String>, LedgerError> {
        self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
            let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
    }

    /// Closes the ledger, with everything in its one file.
    pub(crate) fn close(self) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::new(&self.path, error);
        let connection = self.connection.into_inner().unwrap_or_else(PoisonError::into_inner);
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked within a transaction has rolled it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs queries that see one state of the ledger.
    fn read<T>(&self, queries: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(|error| LedgerError::new(&self.path, error))?;
        queries(&transaction).map_err(|error| LedgerError::new(&self.path, error))
    }

    /// Runs changes in one transaction that excludes other writers from its start, so that the data it reads stays
    /// current.
    fn write<T>(&self, changes: impl FnOnce(&Transaction) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        self.write_on(&mut self.connection(), changes).map_err(|error| LedgerError::new(&self.path, error))
    }

    /// Like [`write`](Self::write), and on disk when it returns.
    fn write_durably<T>(&self, changes: impl FnOnce(&Transaction) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let failed = |error| LedgerError::new(&self.path, error);
        let mut connection = self.connection();
        connection::set_durable(&connection, true).map_err(failed)?;
        let result = self.write_on(&mut connection, changes).map_err(failed);
        connection::set_durable(&connection, self.always_durable).map_err(failed)?;
        result
    }

    fn write_on<T>(
        &self,
        connection: &mut Connection,
        changes: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = changes(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locking_error_has_a_hint() {
        for code in [rusqlite::ffi::SQLITE_PROTOCOL, rusqlite::ffi::SQLITE_IOERR_LOCK] {
            let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let error = LedgerError::new(&std::env::temp_dir().join("ledger.sqlite3"), source);
            assert!(matches!(error, LedgerError::Locking { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("-o flock") && text.contains("`ledger: FILE`"), "{text}");
        }
        let other = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_READ);
        let error = LedgerError::new(Path::new("ledger"), rusqlite::Error::SqliteFailure(other, None));
        assert!(matches!(error, LedgerError::Sqlite { .. }));
    }
}
