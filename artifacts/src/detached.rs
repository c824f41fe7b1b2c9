//! Detached attempts: their workers outlive the planner, for example in the queue of a cluster.
//!
//! Such an attempt has a folder `detached/<attempt>/`, which is filled by the process that started the worker. While
//! the folder exists and no end is recorded, the attempt is in progress, with or without a planner. A process that
//! locks its key takes the attempt over instead of recording an end, and `gc` keeps the attempt and its inputs. The
//! folder is removed when the attempt ends.

use crate::{
    ActionKey, Attempt, AttemptId, Cache, CacheError, KeyLock, LedgerError, NewAttempt, OpenAttempt, OpenRun, Purpose,
    atomic_write,
};

impl Cache {
    /// Starts an attempt whose worker will outlive this process.
    ///
    /// # Errors
    /// Returns the errors of [`begin_attempt`](Self::begin_attempt).
    pub fn begin_detached(&self, run: &OpenRun, lock: KeyLock, attempt: NewAttempt) -> Result<OpenAttempt, CacheError> {
        let mut open = self.begin_attempt(run, lock, attempt)?;
        let folder = self.store.detached_folder(open.id());
        atomic_write::create_durable_folder(&folder)?;
        open.detach(folder);
        Ok(open)
    }

    /// Returns the attempt of a key that is in progress without a planner. The caller holds the key's lock.
    ///
    /// # Errors
    /// Returns an error if the ledger cannot be read.
    pub fn detached_attempt(&self, key: &ActionKey, purpose: Purpose) -> Result<Option<AttemptId>, CacheError> {
        let found = self.ledger.attempts_of(key)?.into_iter();
        Ok(found.filter(|attempt| attempt.purpose == purpose && self.is_detached(attempt)).map(|found| found.id).next())
    }

    /// Takes over an attempt that is in progress without a planner.
    ///
    /// # Errors
    /// Returns [`CacheError::NoAttempt`] if the ledger does not know the attempt or its run, [`CacheError::WrongLock`]
    /// if `lock` belongs to another key, and an error if the ledger or a folder cannot be used.
    pub fn take_up(&self, lock: KeyLock, id: &AttemptId) -> Result<OpenAttempt, CacheError> {
        let unknown = || CacheError::NoAttempt(id.clone());
        let record = self.ledger.attempt(id)?.ok_or_else(unknown)?;
        if record.key != *lock.key() {
            return Err(CacheError::WrongLock { locked: *lock.key(), key: record.key });
        }
        let run = record.run.map(|run| self.ledger.run(run)).transpose()?.flatten().ok_or_else(unknown)?;
        let folder = self.store.detached_folder(id);
        let mut open = self.opened(record, run, lock);
        atomic_write::create_folder(open.output_folder())?;
        atomic_write::create_folder(open.resume_folder())?;
        open.detach(folder);
        Ok(open)
    }

    /// Returns whether an attempt is in progress with a detached worker.
    pub fn is_detached(&self, attempt: &Attempt) -> bool {
        attempt.outcome.is_none() && self.store.detached_folder(&attempt.id).is_dir()
    }

    /// Returns the detached attempts in progress.
    pub(crate) fn all_detached(&self) -> Result<Vec<Attempt>, LedgerError> {
        Ok(self.ledger.without_end()?.into_iter().filter(|open| self.is_detached(open)).collect())
    }
}
