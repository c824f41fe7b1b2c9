//! Pins: results that are never removed.

use rusqlite::{OptionalExtension, params};

use super::{Ledger, LedgerError};
use crate::AttemptId;
use crate::file_stat::now_ms;

impl Ledger {
    /// Returns the pinned results with the reasons of their pins.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn pins(&self) -> Result<Vec<(AttemptId, String)>, LedgerError> {
        let query = "SELECT a.name, p.reason FROM pins p JOIN attempts a ON a.id = p.attempt ORDER BY p.attempt";
        self.read(|connection| {
            connection.prepare(query)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Pins a result, or changes the reason. Returns whether the attempt exists.
    pub(crate) fn pin(&self, attempt: &AttemptId, reason: &str) -> Result<bool, LedgerError> {
        self.write_durably(|transaction| {
            let id: Option<i64> = transaction
                .prepare_cached("SELECT id FROM attempts WHERE name = ?")?
                .query_row([attempt], |row| row.get(0))
                .optional()?;
            let Some(id) = id else { return Ok(false) };
            transaction
                .prepare_cached("INSERT OR REPLACE INTO pins (attempt, reason, pinned_ms) VALUES (?, ?, ?)")?
                .execute(params![id, reason, now_ms()])?;
            Ok(true)
        })
    }

    pub(crate) fn unpin(&self, attempt: &AttemptId) -> Result<(), LedgerError> {
        self.write_durably(|transaction| {
            transaction
                .prepare_cached("DELETE FROM pins WHERE attempt = (SELECT id FROM attempts WHERE name = ?)")?
                .execute([attempt])?;
            Ok(())
        })
    }
}
