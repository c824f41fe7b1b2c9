//! Attempts whose workers outlive their planner: on another machine, say, in the queue of a cluster.
//!
//! Such an attempt has a folder `detached/<attempt>/`, which whoever started the worker fills. While the folder is
//! there, an attempt without an end is under way, planner or not: whoever locks its key takes it up again instead of
//! giving it an end, and `gc` leaves it and what it reads alone. Its end removes the folder.

use crate::{
    ActionKey, Attempt, AttemptId, Cache, CacheError, KeyLock, LedgerError, NewAttempt, OpenAttempt, OpenRun, Purpose,
    atomic_write,
};

impl Cache {
    /// Starts an attempt whose worker will outlive this process; as [`begin_attempt`](Self::begin_attempt).
    ///
    /// # Errors
    /// As [`begin_attempt`](Self::begin_attempt).
    pub fn begin_detached(&self, run: &OpenRun, lock: KeyLock, attempt: NewAttempt) -> Result<OpenAttempt, CacheError> {
        let mut open = self.begin_attempt(run, lock, attempt)?;
        let folder = self.store.detached_folder(open.id());
        atomic_write::create_durable_folder(&folder)?;
        open.detach(folder);
        Ok(open)
    }

    /// Returns the attempt of a key that is under way without a planner, for the holder of the key's lock.
    ///
    /// # Errors
    /// [`CacheError::Ledger`].
    pub fn detached_attempt(&self, key: &ActionKey, purpose: Purpose) -> Result<Option<AttemptId>, CacheError> {
        let found = self.ledger.attempts_of(key)?.into_iter();
        Ok(found.filter(|attempt| attempt.purpose == purpose && self.is_detached(attempt)).map(|found| found.id).next())
    }

    /// Takes up an attempt that is under way without a planner.
    ///
    /// # Errors
    /// [`CacheError::NoAttempt`] for one that the ledger does not know or whose run it does not know;
    /// [`CacheError::WrongLock`], [`CacheError::Ledger`], [`CacheError::File`].
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

    /// Returns whether an attempt is under way, planner or not.
    pub fn is_detached(&self, attempt: &Attempt) -> bool {
        attempt.outcome.is_none() && self.store.detached_folder(&attempt.id).is_dir()
    }

    /// Returns the attempts that are under way without needing a planner.
    pub(crate) fn all_detached(&self) -> Result<Vec<Attempt>, LedgerError> {
        Ok(self.ledger.without_end()?.into_iter().filter(|open| self.is_detached(open)).collect())
    }
}
