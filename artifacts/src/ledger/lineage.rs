//! Lineage: everything that an artifact was made from.

use std::collections::HashSet;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Ledger, LedgerError, rows};
use crate::{Attempt, AttemptId, Digest};

/// A graph of the attempts and artifacts upstream of one artifact. The inputs and outputs of the attempts are its
/// edges. An input without an attempt is external.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lineage {
    /// The artifact.
    pub artifact: Digest,
    /// The upstream attempts in topological order; the maker of the artifact is last.
    pub attempts: Vec<Attempt>,
}

impl Lineage {
    /// Returns the attempt of this graph that made an artifact, or `None` if the artifact is external.
    pub fn maker(&self, digest: &Digest) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.outputs.iter().any(|output| output.digest == *digest))
    }
}

impl Ledger {
    /// Returns everything that an artifact was made from. If several attempts made the same bytes, the one that existed
    /// when they were used is chosen.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn lineage(&self, artifact: &Digest) -> Result<Lineage, LedgerError> {
        self.read(|connection| {
            let newest = "WHERE a.id = (SELECT max(attempt) FROM outputs WHERE digest = ?)";
            let last = rows::attempts(connection, newest, [artifact])?.pop();
            Ok(Lineage { artifact: *artifact, attempts: upstream(connection, last)? })
        })
    }

    /// Returns an attempt and its upstream attempts in topological order.
    ///
    /// # Errors
    /// Returns [`LedgerError`] if the ledger cannot be read.
    pub fn upstream(&self, attempt: &AttemptId) -> Result<Vec<Attempt>, LedgerError> {
        match self.attempt(attempt)? {
            None => Ok(Vec::new()),
            attempt => self.read(|connection| upstream(connection, attempt)),
        }
    }
}

/// Walks without recursion, so that no chain is too long.
fn upstream(connection: &Connection, last: Option<Attempt>) -> rusqlite::Result<Vec<Attempt>> {
    enum Step {
        Enter(Attempt),
        Leave(Attempt),
    }
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let mut stack: Vec<Step> = last.into_iter().map(Step::Enter).collect();
    while let Some(step) = stack.pop() {
        match step {
            Step::Leave(attempt) => order.push(attempt),
            Step::Enter(attempt) if !seen.insert(attempt.id.clone()) => {}
            Step::Enter(attempt) => {
                let mut before = Vec::new();
                for input in &attempt.inputs {
                    before.extend(maker_for(connection, &attempt, &input.digest)?);
                }
                stack.push(Step::Leave(attempt));
                // The stack is last in, first out: push in reverse to visit the ports in order.
                stack.extend(before.into_iter().rev().map(Step::Enter));
            }
        }
    }
    Ok(order)
}

/// Returns the attempt that made an input of `user`: the newest that had ended when `user` began, otherwise (the clocks
/// of two machines differ) the newest of all.
fn maker_for(connection: &Connection, user: &Attempt, digest: &Digest) -> rusqlite::Result<Option<Attempt>> {
    let query = "WHERE a.id = (
                     SELECT m.id FROM outputs o JOIN attempts m ON m.id = o.attempt WHERE o.digest = ?1 AND m.name <> ?2
                     ORDER BY m.ended_ms <= ?3 DESC, m.id DESC LIMIT 1
                 )";
    Ok(rows::attempts(connection, query, params![digest, user.id, user.started_ms])?.pop())
}
