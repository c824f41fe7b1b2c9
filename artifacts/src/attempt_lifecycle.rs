//! Runs and attempts under way, from their start to their end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::atomic_write;
use crate::attempt_file::AttemptFile;
use crate::file_stat::{now_ms, now_ns};
use crate::lock::{ExclusiveLock, SharedLock, host_name};
use crate::{
    ActionKey, Attempt, AttemptId, Cache, CacheError, Digest, Failure, Input, KeyLock, NewAttempt, NewRun, Outcome,
    Output, Purpose, Run, RunId, Usage, Waiting,
};

/// An invocation under way. What it made or used is safe from `gc` while this value lives.
#[derive(Debug)]
pub struct OpenRun {
    run: Run,
    _lock: Option<ExclusiveLock>,
}

impl OpenRun {
    /// Returns its number.
    pub fn id(&self) -> RunId {
        self.run.id
    }
}

/// An attempt under way, which holds the lock of its key. Dropped before its end, it counts as interrupted, unless it
/// is [detached](Cache::begin_detached).
#[derive(Debug)]
pub struct OpenAttempt {
    record: Attempt,
    run: Run,
    output_folder: PathBuf,
    resume_folder: PathBuf,
    log: PathBuf,
    /// Where the attempt's worker and its planners meet, when it outlives them.
    detached: Option<PathBuf>,
    _lock: KeyLock,
}

impl OpenAttempt {
    /// Returns its name.
    pub fn id(&self) -> &AttemptId {
        &self.record.id
    }

    /// Returns the key being worked on.
    pub fn key(&self) -> &ActionKey {
        &self.record.key
    }

    /// Returns the folder where the worker leaves its outputs; empty at the start.
    pub fn output_folder(&self) -> &Path {
        &self.output_folder
    }

    /// Returns the folder of the key's resume point: it outlives attempts, and is removed by a commit.
    pub fn resume_folder(&self) -> &Path {
        &self.resume_folder
    }

    /// Returns the file that the worker's log goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns the folder where planners and a worker that outlives them meet.
    pub fn detached_folder(&self) -> Option<&Path> {
        self.detached.as_deref()
    }

    pub(crate) fn detach(&mut self, folder: PathBuf) {
        self.detached = Some(folder);
    }
}

impl Cache {
    /// Records the start of an invocation.
    ///
    /// # Errors
    /// [`CacheError::Ledger`], [`CacheError::File`].
    pub fn begin_run(&self, run: &NewRun) -> Result<OpenRun, CacheError> {
        let run = self.ledger.begin_run(run, &host_name())?;
        let lock = ExclusiveLock::wait(&self.run_lock_file(run.id), &mut |_| Waiting::GoOn)?;
        Ok(OpenRun { run, _lock: lock })
    }

    /// Records the end of an invocation.
    ///
    /// # Errors
    /// [`CacheError::Ledger`].
    pub fn end_run(&self, run: OpenRun, outcome: Outcome) -> Result<(), CacheError> {
        Ok(self.ledger.end_run(run.id(), outcome)?)
    }

    /// Starts an attempt: records it, and makes its folders.
    ///
    /// # Errors
    /// [`CacheError::Ledger`], [`CacheError::File`]; [`CacheError::WrongLock`] if the lock is that of another key.
    pub fn begin_attempt(&self, run: &OpenRun, lock: KeyLock, attempt: NewAttempt) -> Result<OpenAttempt, CacheError> {
        let record = new_record(&run.run, attempt);
        if record.key != *lock.key() {
            return Err(CacheError::WrongLock { locked: *lock.key(), key: record.key });
        }
        let open = self.opened(record, run.run.clone(), lock);
        if self.is_resume_stale(&open.record)? {
            atomic_write::remove_folder(&open.resume_folder)?;
        }
        self.ledger.begin_attempt(&open.record)?;
        atomic_write::create_folder(&open.output_folder)?;
        atomic_write::create_folder(&open.resume_folder)?;
        Ok(open)
    }

    pub(crate) fn opened(&self, record: Attempt, run: Run, lock: KeyLock) -> OpenAttempt {
        OpenAttempt {
            output_folder: self.store.output_folder(&record.id),
            resume_folder: self.store.resume_folder(&record.key, record.purpose),
            log: self.store.log_file(&record.id),
            run,
            record,
            detached: None,
            _lock: lock,
        }
    }

    /// Returns whether a resume point that is there has served already: a crash may come between a commit and its
    /// removal. A check never resumes.
    fn is_resume_stale(&self, record: &Attempt) -> Result<bool, CacheError> {
        let last = self.ledger.last_of_key(&record.key)?;
        Ok(record.purpose == Purpose::Check || last == Some(Outcome::Done))
    }

    /// Takes the files that an attempt left (the output's name, the file) into the store, and records it with them:
    /// from then on its key has a result. The folder of outputs and the resume point are removed. Then drop the
    /// attempt, which frees its key.
    ///
    /// # Errors
    /// [`CacheError::File`] (a missing output, a full disk), [`CacheError::Ledger`], [`CacheError::OutputTwice`]: the
    /// attempt has no result, and can still be [failed](Self::fail).
    pub fn commit(
        &self,
        attempt: &mut OpenAttempt,
        outputs: &[(String, PathBuf)],
        metrics: Value,
        usage: Usage,
    ) -> Result<Attempt, CacheError> {
        let mut names = BTreeSet::new();
        if let Some((name, _)) = outputs.iter().find(|(name, _)| !names.insert(name)) {
            return Err(CacheError::OutputTwice { name: name.clone() });
        }
        // Objects that no result mentions yet must not be swept before the commit.
        let _unswept = SharedLock::shared(&self.store.lock_file("objects"))?;
        let mut record = attempt.record.clone();
        for (name, file) in outputs {
            let (digest, bytes) = self.store.adopt(file)?;
            record.outputs.push(Output { name: name.clone(), digest, bytes });
        }
        record.outputs.sort_by(|a, b| a.name.cmp(&b.name));
        record.ended_ms = Some(now_ms());
        record.outcome = Some(Outcome::Done);
        record.metrics = metrics;
        record.usage = usage;
        AttemptFile::new(record.clone(), Some(attempt.run.clone())).write(&self.store)?;
        self.ledger.end_attempt(&record)?;
        attempt.record = record.clone();
        // The result stands: what is left behind here is in nobody's way, and `gc` removes it.
        let _ = fs::remove_dir_all(&attempt.output_folder);
        let _ = fs::remove_dir_all(&attempt.resume_folder);
        if let Some(folder) = &attempt.detached {
            let _ = fs::remove_dir_all(folder);
        }
        Ok(record)
    }

    /// Records that an attempt ended without a result. Its log and the resume point stay; its folder of outputs is
    /// removed.
    ///
    /// # Errors
    /// [`CacheError::Ledger`], [`CacheError::File`].
    pub fn fail(&self, attempt: OpenAttempt, failure: Failure) -> Result<Attempt, CacheError> {
        let outcome = if failure.interrupted { Outcome::Interrupted } else { Outcome::Failed };
        let record = Attempt {
            ended_ms: Some(now_ms()),
            outcome: Some(outcome),
            cause: Some(failure.cause),
            metrics: failure.metrics,
            usage: failure.usage,
            ..attempt.record
        };
        // First what frees space: it may be a full disk that the attempt failed of.
        atomic_write::remove_folder(&attempt.output_folder)?;
        // An empty resume folder holds no resume point.
        let _ = fs::remove_dir(&attempt.resume_folder);
        let written = AttemptFile::new(record.clone(), Some(attempt.run)).write(&self.store);
        self.ledger.end_attempt(&record)?;
        // After the end is recorded: with the folder gone and no end it would count as killed.
        attempt.detached.as_deref().map(atomic_write::remove_folder).transpose()?;
        written?;
        Ok(record)
    }

    /// Pins a result: `gc` never removes it, nor what it was made from. `reason` is for people.
    ///
    /// # Errors
    /// [`CacheError::NoAttempt`], [`CacheError::Ledger`], [`CacheError::File`].
    pub fn pin(&self, attempt: &AttemptId, reason: &str) -> Result<(), CacheError> {
        let key = self.key_of(attempt)?;
        let path = AttemptFile::pin_path(&self.store, &key, attempt);
        atomic_write::create_durable_folder(&self.store.manifest_folder(&key))?;
        atomic_write::write_file(&path, reason.as_bytes(), &self.store.temporary(), atomic_write::Access::Writable)?;
        if self.ledger.pin(attempt, reason)? { Ok(()) } else { Err(CacheError::NoAttempt(attempt.clone())) }
    }

    /// Removes the pin of a result.
    ///
    /// # Errors
    /// [`CacheError::NoAttempt`], [`CacheError::Ledger`], [`CacheError::File`].
    pub fn unpin(&self, attempt: &AttemptId) -> Result<(), CacheError> {
        let key = self.key_of(attempt)?;
        self.ledger.unpin(attempt)?;
        Ok(atomic_write::remove_file(&AttemptFile::pin_path(&self.store, &key, attempt))?)
    }

    fn key_of(&self, attempt: &AttemptId) -> Result<ActionKey, CacheError> {
        match self.ledger.attempt(attempt)? {
            Some(found) => Ok(found.key),
            None => Err(CacheError::NoAttempt(attempt.clone())),
        }
    }
}

fn new_record(run: &Run, attempt: NewAttempt) -> Attempt {
    let NewAttempt { instance, manifest, mut origins, environment, purpose } = attempt;
    let key = manifest.key();
    // One process at a time works on a key, so these facts are no other attempt's.
    let facts = format!("{key} {} {} {}", now_ns(), std::process::id(), run.host);
    let input = |(port, digest): (&String, &Digest)| Input {
        port: port.clone(),
        digest: *digest,
        origin: origins.remove(port),
    };
    Attempt {
        id: AttemptId::of(&Digest::of_bytes(facts.as_bytes())),
        run: Some(run.id),
        remote: None,
        instance,
        stage: manifest.stage().to_owned(),
        key,
        inputs: manifest.inputs().iter().map(input).collect(),
        manifest,
        purpose,
        environment,
        tool: run.tool.clone(),
        source_revision: run.source_revision.clone(),
        host: run.host.clone(),
        started_ms: now_ms(),
        ended_ms: None,
        outcome: None,
        cause: None,
        metrics: Value::Object(serde_json::Map::new()),
        usage: Usage::default(),
        outputs: Vec::new(),
    }
}
