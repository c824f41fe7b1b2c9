//! Runs: invocations of the tool.

use rusqlite::{OptionalExtension, params};

use super::rows::{self, text_id};
use super::{Ledger, LedgerError};
use crate::file_stat::now_ms;
use crate::{NewRun, Outcome, Run, RunId, RunNote};

/// A summary of a run, without the details of its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSummary {
    /// Instances that it attempted, with their outcome, or `None` if the attempt has not ended.
    pub made: Vec<(String, Option<Outcome>)>,
    /// Instances whose earlier results it used, and whether they had been pulled from a remote.
    pub used: Vec<(String, bool)>,
}

/// Selects runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter<'a> {
    /// Only runs before this one.
    pub before: Option<RunId>,
    /// Only runs whose name matches: a pattern with `*`, `?` or `[` matches the whole name, another text matches a part
    /// of it.
    pub name: Option<&'a str>,
}

impl Ledger {
    /// Returns a run, or `None` if the ledger does not know it.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn run(&self, id: RunId) -> Result<Option<Run>, LedgerError> {
        self.read(|connection| Ok(rows::runs(connection, "WHERE r.id = ?", [id])?.pop()))
    }

    /// Returns at most `limit` runs, newest first. With `before`, only runs before it.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn runs(&self, before: Option<RunId>, limit: usize) -> Result<Vec<Run>, LedgerError> {
        self.filtered_runs(RunFilter { before, name: None }, limit)
    }

    /// Returns at most `limit` of the selected runs, newest first.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn filtered_runs(&self, filter: RunFilter<'_>, limit: usize) -> Result<Vec<Run>, LedgerError> {
        let before = filter.before.map_or(i64::MAX, |run| run.0);
        let matches = match filter.name {
            None => "?2 IS NULL",
            Some(pattern) if pattern.contains(['*', '?', '[']) => "r.name GLOB ?2",
            Some(_) => "instr(r.name, ?2) > 0",
        };
        let rest = format!("WHERE r.id < ?1 AND {matches} ORDER BY r.id DESC LIMIT ?3");
        self.read(|connection| rows::runs(connection, &rest, params![before, filter.name, limit as i64]))
    }

    /// Returns the newest run of a name, or `None` if no run has it.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn run_named(&self, name: &str) -> Result<Option<RunId>, LedgerError> {
        self.read(|connection| newest_of(connection, name))
    }

    /// Returns at most `limit` names of runs, those of the newest runs first.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn run_names(&self, limit: usize) -> Result<Vec<String>, LedgerError> {
        let query = "SELECT name FROM runs WHERE name IS NOT NULL GROUP BY name ORDER BY max(id) DESC LIMIT ?";
        self.read(|connection| connection.prepare_cached(query)?.query_map([limit as i64], |row| row.get(0))?.collect())
    }

    /// Returns what a run did, in order. This is much faster than [`made_by`](Self::made_by) and
    /// [`used_by`](Self::used_by).
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn summary(&self, run: RunId) -> Result<RunSummary, LedgerError> {
        self.read(|connection| {
            let made = connection
                .prepare_cached("SELECT instance, outcome FROM attempts WHERE run = ? ORDER BY id")?
                .query_map([run], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let used = connection
                .prepare_cached(
                    "SELECT a.instance, a.remote IS NOT NULL FROM uses u JOIN attempts a ON a.id = u.attempt
                     WHERE u.run = ? ORDER BY u.used_ms, a.id",
                )?
                .query_map([run], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(RunSummary { made, used })
        })
    }

    /// Returns the runs without a recorded end, oldest first: they are in progress, or were killed.
    pub(crate) fn runs_without_end(&self) -> Result<Vec<RunId>, LedgerError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT id FROM runs WHERE ended_ms IS NULL ORDER BY id")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    pub(crate) fn begin_run(&self, run: &NewRun, host: &str) -> Result<Run, LedgerError> {
        let run = Run {
            id: RunId(0),
            name: run.name.as_ref().map(ToString::to_string),
            note: run.note.as_ref().and_then(RunNote::as_str).map(str::to_owned),
            arguments: run.arguments.clone(),
            configuration: run.configuration.clone(),
            tool: run.tool.clone(),
            source_revision: run.source_revision.clone(),
            host: host.to_owned(),
            started_ms: now_ms(),
            ended_ms: None,
            outcome: None,
        };
        let id = self.write(|transaction| insert_run(transaction, &run, None))?;
        Ok(Run { id, ..run })
    }

    /// Sets or removes the note of a run. Returns the run, or `None` if the ledger does not know it.
    pub(crate) fn set_note(&self, id: RunId, note: &RunNote) -> Result<Option<Run>, LedgerError> {
        self.write(|transaction| {
            transaction.prepare_cached("UPDATE runs SET note = ? WHERE id = ?")?.execute(params![note.as_str(), id])?;
            Ok(rows::runs(transaction, "WHERE r.id = ?", [id])?.pop())
        })
    }

    pub(crate) fn end_run(&self, id: RunId, outcome: Outcome) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.prepare_cached("UPDATE runs SET ended_ms = ?, outcome = ? WHERE id = ?")?.execute(params![
                now_ms(),
                outcome,
                id
            ])?;
            Ok(())
        })
    }
}

/// Returns the newest run of a name.
pub(super) fn newest_of(connection: &rusqlite::Connection, name: &str) -> rusqlite::Result<Option<RunId>> {
    connection
        .prepare_cached("SELECT id FROM runs WHERE name = ? ORDER BY id DESC LIMIT 1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Adds a run, with a new number or with its own. A run whose number exists is skipped.
pub(super) fn insert_run(connection: &rusqlite::Connection, run: &Run, id: Option<RunId>) -> rusqlite::Result<RunId> {
    let arguments = serde_json::Value::from(run.arguments.as_slice()).to_string();
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO runs
                 (id, arguments, configuration, tool, source_revision, host, started_ms, ended_ms, outcome, name, note)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            arguments,
            text_id(connection, &run.configuration)?,
            run.tool,
            run.source_revision,
            run.host,
            run.started_ms,
            run.ended_ms,
            run.outcome,
            run.name,
            run.note,
        ])?;
    Ok(id.unwrap_or_else(|| RunId(connection.last_insert_rowid())))
}
