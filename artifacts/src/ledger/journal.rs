//! The journal mode of the ledger, chosen by the file system.

use std::path::Path;

use rusqlite::Connection;

use crate::file_system;

/// How SQLite makes commits atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    /// Write-ahead log: concurrent readers and one writer, through memory shared by the processes of one machine.
    Wal,
    /// A rollback journal, cut to nothing by each commit, and every commit synced: the one way that works between
    /// machines.
    Truncate,
}

impl Journal {
    /// Returns the journal mode for a file system with this magic number. An unknown file system counts as local.
    pub fn on(magic: Option<u32>) -> Self {
        match magic.and_then(file_system::shared_name) {
            Some(_) => Self::Truncate,
            None => Self::Wal,
        }
    }

    /// Returns the journal for a ledger at `path`.
    pub fn of(path: &Path) -> Self {
        Self::on(file_system::magic(path))
    }

    /// Returns whether this is the journal that a connection has, by SQLite's word for its mode.
    pub fn is(self, mode: &str) -> bool {
        // WAL is a property of the file, the other modes are the connection's.
        (mode == "wal") == (self == Self::Wal)
    }

    /// Makes it the connection's journal.
    pub fn set(self, connection: &Connection) -> rusqlite::Result<()> {
        let mode = match self {
            Self::Wal => "PRAGMA journal_mode = wal",
            Self::Truncate => "PRAGMA journal_mode = truncate",
        };
        connection.query_row(mode, [], |_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_mode_depends_only_on_the_file_system() {
        let (ext4, nfs, gpfs, beegfs) = (0xef53, 0x6969, 0x4750_4653, 0x1983_0326);
        assert_eq!([None, Some(ext4)].map(Journal::on), [Journal::Wal; 2]);
        assert_eq!([nfs, gpfs, beegfs].map(|magic| Journal::on(Some(magic))), [Journal::Truncate; 3]);
    }
}
