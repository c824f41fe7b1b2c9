//! The cache: a store and its ledger, opened together. It looks up results and locks keys; `attempt_lifecycle.rs` adds
//! attempts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::atomic_write;
use crate::attempt_file::{self, AttemptFile};
use crate::format::{self, FormatError};
use crate::ledger_path::{self, LedgerPathError};
use crate::lock::{ExclusiveLock, SharedLock};
use crate::trust::Refused;
use crate::{
    ActionKey, Attempt, AttemptFileError, AttemptId, Digest, FileError, Holder, KeyLock, Ledger, LedgerError,
    ObjectError, OpenRun, Outcome, RunId, Store, Trust, Untrusted, Waiting,
};

/// A folder with a store, its ledger and its locks. It can be shared by any number of threads and processes.
#[derive(Debug)]
pub struct Cache {
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    /// The keys whose results are used, or `None` to use all results.
    trust: Option<Trust>,
    /// Held while the cache is open for writing, so that the ledger is not rebuilt meanwhile. `None` if the cache was
    /// opened for reading.
    _in_use: Option<SharedLock>,
}

/// An error of a cache operation.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder is not a store of this version.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Where the ledger is.
    #[error(transparent)]
    LedgerPath(#[from] LedgerPathError),
    /// A file in the cache's folder, or on its way there.
    #[error(transparent)]
    File(#[from] FileError),
    /// An object that should be there.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The record of an attempt.
    #[error(transparent)]
    Attempt(#[from] AttemptFileError),
    /// A lock that is not the work's.
    #[error("the lock is for key {}, but the work has key {}", locked.short(), key.short())]
    WrongLock {
        /// The key that is locked.
        locked: ActionKey,
        /// The key of the work.
        key: ActionKey,
    },
    /// Two outputs of one name.
    #[error("the output {name} is given twice")]
    OutputTwice {
        /// The name.
        name: String,
    },
    /// An attempt or result that is not known.
    #[error("there is no attempt {0}")]
    NoAttempt(AttemptId),
    /// A detached attempt is in progress.
    #[error(
        "an attempt is running on another machine: cancel its job (see {}), then remove that folder",
        path.display()
    )]
    UnderWay {
        /// The attempt's folder.
        path: PathBuf,
    },
    /// Other processes have the cache open.
    #[error("the store {} is in use by another process: try again when it has ended", path.display())]
    InUse {
        /// The cache's folder.
        path: PathBuf,
    },
}

/// The result of a look-up.
#[derive(Debug, Default)]
pub struct Hit {
    /// The newest result whose outputs are all present and undamaged.
    pub result: Option<Attempt>,
    /// Missing or damaged outputs of newer results. The user should be warned about them.
    pub lost: Vec<ObjectError>,
    /// Results from a remote that have no signature by a trusted key. Empty if `result` is present.
    pub untrusted: Vec<Untrusted>,
}

/// Whether a look-up changes the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effects {
    None,
    /// Quarantine damaged objects and remember verified ones.
    Mend,
}

impl Cache {
    /// Opens the cache in a folder for writing, creating it if necessary.
    ///
    /// # Errors
    /// Returns [`FormatError::Newer`] or [`LedgerError::Newer`] if a newer version created the cache (nothing is
    /// changed), [`LedgerError::Damaged`] if the ledger is damaged, and [`CacheError::File`] if the folder cannot be
    /// written.
    pub fn open(root: &Path) -> Result<Self, CacheError> {
        Self::open_with_ledger(root, None)
    }

    /// Opens the cache in a folder for writing, with its ledger at `ledger` instead of in the folder. The store records
    /// the path of the ledger, so later calls of [`open`](Self::open) find it.
    ///
    /// # Errors
    /// Returns the errors of [`open`](Self::open), and [`LedgerPathError`] if the store already has a ledger at another
    /// path.
    pub fn open_with_ledger(root: &Path, ledger: Option<&Path>) -> Result<Self, CacheError> {
        // All that can be refused is refused before anything is written.
        format::check(root)?;
        let path = ledger_path::wanted(root, ledger)?;
        Ledger::is_there(&path)?;
        let store = Store::open(root)?;
        ledger_path::keep(root, &path)?;
        let in_use = SharedLock::shared(&store.lock_file("ledger"))?;
        check_ledger(&store, &path)?;
        let ledger = Ledger::open(&path, &store.lock_file("setup"))?;
        Ok(Self { store, ledger, trust: None, _in_use: Some(in_use) })
    }

    /// Returns whether a folder contains a store. Nothing is changed.
    ///
    /// # Errors
    /// Returns an error if it contains something else, or a store of another version, or cannot be read.
    pub fn exists(root: &Path) -> Result<bool, CacheError> {
        Ok(format::check(root)?)
    }

    /// Opens the cache in a folder for reading. Nothing is changed, and a missing folder reads as an empty cache.
    ///
    /// # Errors
    /// Returns the errors of [`open`](Self::open).
    pub fn open_to_read(root: &Path) -> Result<Self, CacheError> {
        let store = Store::open_to_read(root)?;
        let path = ledger_path::of(root)?;
        check_ledger(&store, &path)?;
        let ledger = Ledger::open_to_read(&path, &store.lock_file("setup"))?;
        Ok(Self { store, ledger, trust: None, _in_use: None })
    }

    /// Restricts the use of results from remotes to those signed by one of these keys. Results made locally are always
    /// used.
    pub fn trusting(self, trust: Option<Trust>) -> Self {
        Self { trust, ..self }
    }

    /// Returns the trusted keys, or `None` if all results are used.
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Looks up a result of `key` without side effects: damaged objects are not quarantined and no use is recorded.
    /// This is the look-up for plans.
    ///
    /// An output is accepted without reading it if its size, times and inode have not changed since it was last hashed.
    /// Otherwise it is hashed now.
    ///
    /// # Errors
    /// Returns an error if the ledger cannot be read, or an existing object cannot be read.
    pub fn find(&self, key: &ActionKey) -> Result<Hit, CacheError> {
        self.look_up(key, Effects::None)
    }

    /// Looks up a result of `key` and records that `run` uses it; `gc` keeps it while the run is in progress. Damaged
    /// objects are quarantined.
    ///
    /// # Errors
    /// Returns the errors of [`find`](Self::find).
    pub fn find_and_use(&self, run: &OpenRun, key: &ActionKey) -> Result<Hit, CacheError> {
        loop {
            let hit = self.look_up(key, Effects::Mend)?;
            match &hit.result {
                // Removed since we looked: look again.
                Some(result) if !self.ledger.record_use(run.id(), &result.id)? => {}
                _ => return Ok(hit),
            }
        }
    }

    fn look_up(&self, key: &ActionKey, effects: Effects) -> Result<Hit, CacheError> {
        let mut hit = Hit::default();
        for attempt in self.ledger.results(key)? {
            if attempt.manifest.key() != *key {
                let what = format!("the fields of attempt {} do not match its key", attempt.id);
                return Err(LedgerError::Damaged { path: self.ledger.path().to_owned(), what }.into());
            }
            if let Some(trust) = &self.trust
                && let Some(untrusted) = trust.distrusts(&self.store, &attempt)?
            {
                hit.untrusted.push(untrusted);
                continue;
            }
            let lost = self.lost_outputs(&attempt, effects)?;
            if lost.is_empty() {
                hit.untrusted.clear();
                hit.result = Some(attempt);
                return Ok(hit);
            }
            hit.lost.extend(lost);
        }
        if let Some(trust) = &self.trust {
            hit.untrusted.extend(Refused::recall(&self.store, key, trust));
        }
        Ok(hit)
    }

    /// Removes a pulled result that has the same id as `result` but different content, because it was altered on the
    /// way.
    pub(crate) fn forget_other(&self, result: &Attempt) -> Result<(), CacheError> {
        let Some(known) = self.ledger.attempt(&result.id)? else { return Ok(()) };
        let shared = |attempt: &Attempt| Attempt { run: None, remote: None, ..attempt.clone() };
        if known.remote.is_some() && shared(&known) != shared(result) {
            self.ledger.remove(|candidates| {
                candidates.iter().filter(|candidate| candidate.id == result.id).map(|candidate| candidate.row).collect()
            })?;
            atomic_write::remove_file(&AttemptFile::path(&self.store, &known.key, &known.id))?;
        }
        Ok(())
    }

    fn lost_outputs(&self, attempt: &Attempt, effects: Effects) -> Result<Vec<ObjectError>, CacheError> {
        let mut lost = Vec::new();
        let mut verified = Vec::new();
        for output in &attempt.outputs {
            let remembered = self.ledger.verified_stat(&output.digest)?;
            match self.store.check(&output.digest, remembered.as_ref()) {
                Ok(found) => verified.extend(found.stat.map(|stat| (output.digest, stat))),
                Err(ObjectError::File(error)) => return Err(error.into()),
                Err(error) if effects == Effects::Mend => lost.push(self.store.quarantine(error)),
                Err(error) => lost.push(error),
            }
        }
        if effects == Effects::Mend {
            self.ledger.remember_verified(&verified)?;
        }
        Ok(lost)
    }

    /// Hashes a complete object and returns its path. A damaged object is quarantined. Workers and exports read objects
    /// only through this function.
    ///
    /// # Errors
    /// Returns [`CacheError::Object`] if the object is missing, damaged or unreadable.
    pub fn open_verified(&self, digest: &Digest) -> Result<PathBuf, CacheError> {
        Ok(self.store.open_verified(digest)?)
    }

    /// Locks a key, so that no other process works on it.
    ///
    /// While another process holds the lock, `waiting` is called with its holder, first immediately and then a few
    /// times a second. It decides whether to keep waiting; if not, `None` is returned. Once the lock is held, call
    /// [`find_and_use`](Self::find_and_use) again: the previous holder has probably committed a result.
    ///
    /// # Errors
    /// Returns an error if the lock file cannot be used or the ledger cannot be written.
    pub fn lock(
        &self,
        key: &ActionKey,
        waiting: &mut dyn FnMut(&Holder) -> Waiting,
    ) -> Result<Option<KeyLock>, CacheError> {
        let Some(lock) = ExclusiveLock::wait(&self.store.key_lock_file(key), waiting)? else { return Ok(None) };
        self.recover_abandoned(key)?;
        Ok(Some(KeyLock::new(*key, lock)))
    }

    /// Returns whether a process is at work on a key.
    pub fn is_locked(&self, key: &ActionKey) -> bool {
        ExclusiveLock::is_held(&self.store.key_lock_file(key))
    }

    /// Returns whether a run without a recorded end is still in progress. If not, it was killed.
    pub fn is_under_way(&self, run: RunId) -> bool {
        ExclusiveLock::is_held(&self.run_lock_file(run))
    }

    pub(crate) fn run_lock_file(&self, run: RunId) -> PathBuf {
        self.store.lock_file(&format!("run-{run}"))
    }

    /// Records an end for the attempts of a killed planner. The caller holds the key's lock, so only detached workers
    /// can still be working on the key.
    pub(crate) fn recover_abandoned(&self, key: &ActionKey) -> Result<(), CacheError> {
        let open = self.ledger.attempts_of(key)?.into_iter().filter(|attempt| attempt.outcome.is_none());
        for attempt in open {
            let attempt = match self.recorded_end(&attempt) {
                // Killed between the record and the ledger: if it is of a result, all its bytes are in the store.
                Some(recorded) => recorded,
                None if self.is_detached(&attempt) => continue,
                None => Attempt {
                    outcome: Some(Outcome::Interrupted),
                    cause: Some("its planner was killed, or the machine stopped".to_owned()),
                    ..attempt
                },
            };
            self.ledger.end_attempt(&attempt)?;
            atomic_write::remove_folder(&self.store.output_folder(&attempt.id))?;
            atomic_write::remove_folder(&self.store.detached_folder(&attempt.id))?;
            let resume = self.store.resume_folder(key, attempt.purpose);
            if attempt.outcome == Some(Outcome::Done) {
                atomic_write::remove_folder(&resume)?;
            } else {
                // Only if it holds no resume point.
                let _ = fs::remove_dir(&resume);
            }
        }
        Ok(())
    }

    /// Returns an attempt as its record has it, if that has its end.
    pub(crate) fn recorded_end(&self, attempt: &Attempt) -> Option<Attempt> {
        let file = AttemptFile::read(&AttemptFile::path(&self.store, &attempt.key, &attempt.id)).ok()?;
        (file.attempt.id == attempt.id && file.attempt.outcome.is_some()).then_some(file.attempt)
    }
}

/// A new ledger over old results would make `gc` remove them all.
fn check_ledger(store: &Store, path: &Path) -> Result<(), CacheError> {
    if Ledger::is_there(path)? || attempt_file::all(store)?.is_empty() {
        return Ok(());
    }
    let what = "the file is missing, but the store has results".to_owned();
    Err(LedgerError::Damaged { path: path.to_owned(), what }.into())
}
