//! The ledger: an SQLite file that knows every run and every attempt.
//!
//! On a local file system it is in WAL mode: readers and one writer at once. What may be lost with the machine's power
//! is bookkeeping, such as that a result was used again; the commit of a result is synced before it returns. Network
//! and parallel file systems have no shared memory between machines, which WAL needs: there the rollback journal is
//! used, and every commit synced.

mod artifacts;
mod attempts;
mod connection;
mod lineage;
mod pins;
mod removal;
mod rows;
mod runs;
#[cfg(test)]
mod scale;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use artifacts::{Found, Totals};
pub(crate) use connection::companions;
pub use lineage::Lineage;
pub(crate) use removal::Candidate;
pub use runs::RunSummary;

/// The record of every run and attempt; shared by any number of threads and processes.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Whether every commit is synced, and not those of results alone.
    always_durable: bool,
}

/// What is wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A newer version of the tool made it.
    #[error(
        "the ledger {} has version {found}, and this version knows ledgers up to {}: nothing was touched; \
         use the version that made it, or a newer one",
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
        "the ledger {} is damaged ({what}): `cache rebuild` remakes it from the store's objects and the manifests \
         beside them",
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
        /// What SQLite said.
        what: String,
    },
    /// Anything else that SQLite reports.
    #[error("the ledger {}: {source}", path.display())]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A file beside it.
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
            Some(Code::DiskFull) => Self::Full { path },
            Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied) => {
                Self::Access { path, what: source.to_string() }
            }
            Some(_) => Self::Sqlite { path, source },
            // A row that cannot be what was written, or a table that is not there.
            None => Self::Damaged { path, what: source.to_string() },
        }
    }
}

impl Ledger {
    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads SQLite's own structures whole; returns what is wrong with them.
    ///
    /// # Errors
    /// [`LedgerError`].
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

    /// Runs changes in one transaction, alone from its start, so that what they read stays true.
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
