//! Removal of attempts: lists the candidates and removes the chosen ones in one transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::rows::unsigned;
use super::{Ledger, LedgerError};
use crate::{ActionKey, AttemptId, Digest, Outcome, Purpose, RunId};

/// An attempt, as far as it matters for its removal.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub row: i64,
    pub id: AttemptId,
    pub key: ActionKey,
    pub instance: String,
    pub purpose: Purpose,
    pub outcome: Option<Outcome>,
    /// When it was created or last used, in milliseconds since 1970.
    pub used_ms: i64,
    pub pinned: bool,
    /// The runs without a recorded end that made or used it.
    pub open_runs: Vec<RunId>,
    pub inputs: Vec<Digest>,
    /// Digest and size of each.
    pub outputs: Vec<(Digest, u64)>,
}

impl Ledger {
    /// Returns all attempts, oldest first.
    pub(crate) fn candidates(&self) -> Result<Vec<Candidate>, LedgerError> {
        self.read(candidates)
    }

    /// Removes the attempts whose rows `choose` returns. No attempt is started or used meanwhile. Returns all
    /// candidates.
    pub(crate) fn remove(
        &self,
        choose: impl FnOnce(&[Candidate]) -> HashSet<i64>,
    ) -> Result<(Vec<Candidate>, HashSet<i64>), LedgerError> {
        self.write_durably(|transaction| {
            let candidates = candidates(transaction)?;
            let chosen = choose(&candidates);
            let mut unpin = transaction.prepare("DELETE FROM pins WHERE attempt = ?")?;
            let mut delete = transaction.prepare("DELETE FROM attempts WHERE id = ?")?;
            for row in &chosen {
                unpin.execute([row])?;
                delete.execute([row])?;
            }
            if !chosen.is_empty() {
                transaction.execute_batch(
                    "DELETE FROM sound
                     WHERE digest NOT IN (SELECT digest FROM outputs) AND digest NOT IN (SELECT digest FROM inputs);
                     DELETE FROM texts
                     WHERE id NOT IN (SELECT environment FROM attempts)
                     AND id NOT IN (SELECT configuration FROM runs);",
                )?;
            }
            Ok((candidates, chosen))
        })
    }
}

fn candidates(connection: &Connection) -> rusqlite::Result<Vec<Candidate>> {
    let mut statement = connection.prepare(
        "SELECT a.id, a.name, a.key, a.instance, a.outcome, a.used_ms, p.attempt IS NOT NULL, a.purpose
         FROM attempts a LEFT JOIN pins p ON p.attempt = a.id ORDER BY a.id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Candidate {
            row: row.get(0)?,
            id: row.get(1)?,
            key: row.get(2)?,
            instance: row.get(3)?,
            outcome: row.get(4)?,
            used_ms: row.get(5)?,
            pinned: row.get(6)?,
            purpose: row.get(7)?,
            open_runs: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        })
    })?;
    let mut candidates: Vec<Candidate> = rows.collect::<Result<_, _>>()?;
    let position: HashMap<i64, usize> =
        candidates.iter().enumerate().map(|(index, candidate)| (candidate.row, index)).collect();

    let mut statement = connection.prepare("SELECT attempt, digest FROM inputs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(&index) = position.get(&row.get(0)?) {
            candidates[index].inputs.push(row.get(1)?);
        }
    }
    let mut statement = connection.prepare("SELECT attempt, digest, bytes FROM outputs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(&index) = position.get(&row.get(0)?) {
            candidates[index].outputs.push((row.get(1)?, unsigned(row.get(2)?)));
        }
    }
    let mut statement = connection.prepare(
        "SELECT u.attempt, u.run FROM uses u JOIN runs r ON r.id = u.run WHERE r.ended_ms IS NULL
         UNION ALL SELECT a.id, a.run FROM attempts a JOIN runs r ON r.id = a.run WHERE r.ended_ms IS NULL",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(&index) = position.get(&row.get(0)?) {
            candidates[index].open_runs.push(row.get(1)?);
        }
    }
    Ok(candidates)
}
