//! Attempts: their start, their end, and the look-ups of a planner.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, signed, text_id};
use super::runs::insert_run;
use super::{Ledger, LedgerError};
use crate::file_stat::now_ms;
use crate::{ActionKey, Attempt, AttemptId, Outcome, Run, RunId};

impl Ledger {
    /// Returns an attempt, or `None` if the ledger does not know it.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn attempt(&self, id: &AttemptId) -> Result<Option<Attempt>, LedgerError> {
        self.one("WHERE a.name = ?", params![id])
    }

    /// Returns the attempts that a run made, in order of their start.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn made_by(&self, run: RunId) -> Result<Vec<Attempt>, LedgerError> {
        self.read(|connection| rows::attempts(connection, "WHERE a.run = ? ORDER BY a.id", [run]))
    }

    /// Returns the earlier results that a run used, in order of use.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn used_by(&self, run: RunId) -> Result<Vec<Attempt>, LedgerError> {
        let query = "JOIN uses u ON u.attempt = a.id WHERE u.run = ? ORDER BY u.used_ms, a.id";
        self.read(|connection| rows::attempts(connection, query, [run]))
    }

    /// Returns all attempts of a key with any outcome, newest first.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn attempts_of(&self, key: &ActionKey) -> Result<Vec<Attempt>, LedgerError> {
        self.read(|connection| rows::attempts(connection, "WHERE a.key = ? ORDER BY a.id DESC", [key]))
    }

    /// Returns the newest attempt of an instance that is not a check, with any outcome.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn last_attempt(&self, instance: &str) -> Result<Option<Attempt>, LedgerError> {
        self.one("WHERE a.instance = ? AND a.purpose = 'run' ORDER BY a.id DESC LIMIT 1", [instance])
    }

    /// Returns the most recently made or used result of an instance. A new key is compared with its key to explain a
    /// rerun.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn last_result(&self, instance: &str) -> Result<Option<Attempt>, LedgerError> {
        self.one(
            "WHERE a.instance = ? AND a.outcome = 'done' AND a.purpose = 'run'
             ORDER BY a.used_ms DESC, a.id DESC LIMIT 1",
            [instance],
        )
    }

    /// Returns the attempts without a recorded end, oldest first: they are in progress, or their planner was killed.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn without_end(&self) -> Result<Vec<Attempt>, LedgerError> {
        self.read(|connection| rows::attempts(connection, "WHERE a.outcome IS NULL ORDER BY a.id", []))
    }

    /// Returns the ids of all results except those of checks, oldest first.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn all_results(&self) -> Result<Vec<AttemptId>, LedgerError> {
        let query = "SELECT name FROM attempts WHERE outcome = 'done' AND purpose = 'run' ORDER BY id";
        self.read(|connection| connection.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect())
    }

    /// Returns every instance that was ever attempted.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn instances(&self) -> Result<Vec<String>, LedgerError> {
        // Steps from one instance to the next by the index, instead of reading all attempts.
        let query = "WITH RECURSIVE step (instance) AS (
                         SELECT min(instance) FROM attempts
                         UNION ALL
                         SELECT (SELECT min(instance) FROM attempts WHERE instance > step.instance)
                         FROM step WHERE step.instance IS NOT NULL
                     )
                     SELECT instance FROM step WHERE instance IS NOT NULL";
        self.read(|connection| connection.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect())
    }

    /// Returns the last results of an instance, newest first, otherwise the last results of its stage.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn recent_results(&self, instance: &str, stage: &str, count: u32) -> Result<Vec<Attempt>, LedgerError> {
        let last = |connection: &Connection, column: &str, name: &str| {
            let rest = format!("WHERE a.{column} = ? AND a.outcome = 'done' ORDER BY a.id DESC LIMIT {count}");
            rows::attempts(connection, &rest, [name])
        };
        self.read(|connection| {
            let found = last(connection, "instance", instance)?;
            if found.is_empty() { last(connection, "stage", stage) } else { Ok(found) }
        })
    }

    fn one(&self, rest: &str, parameters: impl rusqlite::Params) -> Result<Option<Attempt>, LedgerError> {
        self.read(|connection| Ok(rows::attempts(connection, rest, parameters)?.pop()))
    }

    /// Returns the results of a key except those of checks, newest first.
    pub(crate) fn results(&self, key: &ActionKey) -> Result<Vec<Attempt>, LedgerError> {
        let query = "WHERE a.key = ? AND a.outcome = 'done' AND a.purpose = 'run' ORDER BY a.id DESC";
        self.read(|connection| rows::attempts(connection, query, [key]))
    }

    /// Returns the outcome of the newest attempt of a key that is not a check. Returns `None` if there is no such
    /// attempt or it has no recorded end.
    pub(crate) fn last_of_key(&self, key: &ActionKey) -> Result<Option<Outcome>, LedgerError> {
        let query = "SELECT outcome FROM attempts WHERE key = ? AND purpose = 'run' ORDER BY id DESC LIMIT 1";
        self.read(|connection| {
            Ok(connection.prepare_cached(query)?.query_row([key], |row| row.get(0)).optional()?.flatten())
        })
    }

    /// Records that a run uses a result. Returns whether the result still exists.
    pub(crate) fn record_use(&self, run: RunId, attempt: &AttemptId) -> Result<bool, LedgerError> {
        self.write(|transaction| {
            let now = now_ms();
            let id: Option<i64> = transaction
                .prepare_cached("UPDATE attempts SET used_ms = ? WHERE name = ? RETURNING id")?
                .query_row(params![now, attempt], |row| row.get(0))
                .optional()?;
            let Some(id) = id else { return Ok(false) };
            transaction
                .prepare_cached("INSERT OR IGNORE INTO uses (run, attempt, used_ms) VALUES (?, ?, ?)")?
                .execute(params![run, id, now])?;
            Ok(true)
        })
    }

    /// Records the start of an attempt.
    pub(crate) fn begin_attempt(&self, attempt: &Attempt) -> Result<(), LedgerError> {
        self.write(|transaction| insert_attempt(transaction, attempt))
    }

    /// Records the end of an attempt and its outputs in one transaction. A result is on disk when this returns.
    pub(crate) fn end_attempt(&self, attempt: &Attempt) -> Result<(), LedgerError> {
        let changes = |transaction: &rusqlite::Transaction| {
            let id: i64 = transaction
                .prepare_cached(
                    "UPDATE attempts SET ended_ms = ?1, used_ms = coalesce(?1, used_ms), outcome = ?2, cause = ?3,
                                         metrics = ?4, peak_memory_bytes = ?5, cpu_ms = ?6
                     WHERE name = ?7 RETURNING id",
                )?
                .query_row(
                    params![
                        attempt.ended_ms,
                        attempt.outcome,
                        attempt.cause,
                        attempt.metrics.to_string(),
                        attempt.usage.peak_memory_bytes.map(signed),
                        attempt.usage.cpu_ms.map(signed),
                        attempt.id,
                    ],
                    |row| row.get(0),
                )?;
            insert_outputs(transaction, id, attempt)
        };
        if attempt.outcome == Some(Outcome::Done) { self.write_durably(changes) } else { self.write(changes) }
    }

    /// Adds complete attempts recorded elsewhere, with their runs if given. Known attempts are skipped.
    pub(crate) fn adopt(&self, records: &[(Attempt, Option<Run>)]) -> Result<(), LedgerError> {
        self.write_durably(|transaction| {
            for (attempt, run) in records {
                if let Some(run) = run {
                    insert_run(transaction, run, Some(run.id))?;
                }
                let known =
                    transaction.prepare_cached("SELECT 1 FROM attempts WHERE name = ?")?.exists([&attempt.id])?;
                if !known {
                    insert_attempt(transaction, attempt)?;
                }
            }
            Ok(())
        })
    }
}

fn insert_attempt(connection: &Connection, attempt: &Attempt) -> rusqlite::Result<()> {
    let id = connection
        .prepare_cached(
            "INSERT INTO attempts (name, run, remote, instance, stage, key, manifest, purpose, environment, tool,
                                   source_revision, host, started_ms, used_ms, ended_ms, outcome,
                                   cause, metrics, peak_memory_bytes, cpu_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .insert(params![
            attempt.id,
            attempt.run,
            attempt.remote,
            attempt.instance,
            attempt.stage,
            attempt.key,
            attempt.manifest.to_text(),
            attempt.purpose,
            text_id(connection, &attempt.environment.to_string())?,
            attempt.tool,
            attempt.source_revision,
            attempt.host,
            attempt.started_ms,
            attempt.ended_ms.unwrap_or(attempt.started_ms),
            attempt.ended_ms,
            attempt.outcome,
            attempt.cause,
            attempt.metrics.to_string(),
            attempt.usage.peak_memory_bytes.map(signed),
            attempt.usage.cpu_ms.map(signed),
        ])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO inputs (attempt, port, digest, origin) VALUES (?, ?, ?, ?)")?;
    for input in &attempt.inputs {
        insert.execute(params![id, input.port, input.digest, input.origin])?;
    }
    insert_outputs(connection, id, attempt)
}

fn insert_outputs(connection: &Connection, id: i64, attempt: &Attempt) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT INTO outputs (attempt, name, digest, bytes) VALUES (?, ?, ?, ?)")?;
    for output in &attempt.outputs {
        insert.execute(params![id, output.name, output.digest, signed(output.bytes)])?;
    }
    Ok(())
}
