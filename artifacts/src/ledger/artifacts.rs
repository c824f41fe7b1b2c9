//! Artifacts: their makers, their users, and look-up by a prefix of the digest.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use super::rows::{self, signed, unsigned};
use super::runs::newest_of;
use super::{Ledger, LedgerError};
use crate::file_stat::FileStat;
use crate::{Attempt, AttemptId, Digest, RunId};

/// Maximum number of artifacts listed for a short prefix.
const MAX_FOUND: i64 = 20;

/// A possible meaning of a number, a name or a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A run, by its number or name.
    Run(RunId),
    /// An attempt, by its first digits.
    Attempt(AttemptId),
    /// An input or output of some attempt, by the first digits of its digest.
    Artifact(Digest),
}

/// How much a ledger knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Runs.
    pub runs: u64,
    /// Attempts, however they ended.
    pub attempts: u64,
    /// Outputs of attempts.
    pub outputs: u64,
}

impl Ledger {
    /// Returns what a run's number or name, or a prefix of an attempt id or a digest, may refer to: runs first, then attempts,
    /// then at most 20 artifacts.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn find(&self, text: &str) -> Result<Vec<Found>, LedgerError> {
        self.read(|connection| {
            let mut found = Vec::new();
            if let Ok(number) = text.parse::<i64>()
                && connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?")?.exists([number])?
            {
                found.push(Found::Run(RunId(number)));
            }
            found.extend(newest_of(connection, text)?.map(Found::Run));
            let Some((first, last)) = range_of_prefix(text) else { return Ok(found) };
            // Digits sort before 'g', which is not a hexadecimal digit.
            let mut attempts = connection.prepare_cached(
                "SELECT name FROM attempts WHERE name >= ? AND name < ? || 'g' ORDER BY name LIMIT ?",
            )?;
            for name in attempts.query_map(params![text, text, MAX_FOUND], |row| row.get(0))? {
                found.push(Found::Attempt(name?));
            }
            let mut artifacts = connection.prepare_cached(
                "SELECT digest FROM outputs WHERE digest BETWEEN ?1 AND ?2
                 UNION SELECT digest FROM inputs WHERE digest BETWEEN ?1 AND ?2
                 ORDER BY digest LIMIT ?3",
            )?;
            for digest in artifacts.query_map(params![first, last, MAX_FOUND], |row| row.get(0))? {
                found.push(Found::Artifact(digest?));
            }
            Ok(found)
        })
    }

    /// Returns the attempts that made an artifact, newest first.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn makers(&self, digest: &Digest) -> Result<Vec<Attempt>, LedgerError> {
        let query = "WHERE a.id IN (SELECT attempt FROM outputs WHERE digest = ?) ORDER BY a.id DESC";
        self.read(|connection| rows::attempts(connection, query, [digest]))
    }

    /// Returns the attempts that had an artifact as an input, newest first.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn users(&self, digest: &Digest) -> Result<Vec<Attempt>, LedgerError> {
        let query = "WHERE a.id IN (SELECT attempt FROM inputs WHERE digest = ?) ORDER BY a.id DESC";
        self.read(|connection| rows::attempts(connection, query, [digest]))
    }

    /// Returns the numbers of recorded runs, attempts and artifacts. It counts every row, so it is slow on a large
    /// ledger.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn totals(&self) -> Result<Totals, LedgerError> {
        self.read(|connection| {
            let count = |table: &str| -> rusqlite::Result<u64> {
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).map(unsigned)
            };
            Ok(Totals { runs: count("runs")?, attempts: count("attempts")?, outputs: count("outputs")? })
        })
    }

    /// Returns every digest that is an output of a result, in order.
    pub(crate) fn output_digests(&self) -> Result<Vec<Digest>, LedgerError> {
        let query = "SELECT DISTINCT o.digest FROM outputs o ORDER BY o.digest";
        self.read(|connection| connection.prepare(query)?.query_map([], |row| row.get(0))?.collect())
    }

    /// Returns the metadata of an object's file when it was last verified.
    pub(crate) fn verified_stat(&self, digest: &Digest) -> Result<Option<FileStat>, LedgerError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT bytes, modified_ns, changed_ns, inode FROM sound WHERE digest = ?")?
                .query_row([digest], |row| {
                    Ok(FileStat {
                        bytes: unsigned(row.get(0)?),
                        modified_ns: row.get(1)?,
                        changed_ns: row.get(2)?,
                        // All 64 bits of an inode's number are in use on some file systems.
                        inode: row.get::<_, i64>(3)?.cast_unsigned(),
                    })
                })
                .optional()
        })
    }

    /// Remembers the metadata of objects that were just verified.
    pub(crate) fn remember_verified(&self, stats: &[(Digest, FileStat)]) -> Result<(), LedgerError> {
        if stats.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO sound (digest, bytes, modified_ns, changed_ns, inode) VALUES (?, ?, ?, ?, ?)",
            )?;
            for (digest, stat) in stats {
                insert.execute(params![
                    digest,
                    signed(stat.bytes),
                    stat.modified_ns,
                    stat.changed_ns,
                    stat.inode.cast_signed()
                ])?;
            }
            Ok(())
        })
    }
}

/// Returns the first and the last digest with this prefix of hexadecimal digits, or `None` if the prefix is empty or
/// not hexadecimal.
fn range_of_prefix(text: &str) -> Option<(Digest, Digest)> {
    let padded = |fill: &str| {
        let missing = 64usize.checked_sub(text.len())?;
        format!("{text}{}", fill.repeat(missing)).parse().ok()
    };
    if text.is_empty() { None } else { Some((padded("0")?, padded("f")?)) }
}
