//! Runs and attempts in progress, from start to end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::atomic_write;
use crate::attempt_file::AttemptFile;
use crate::file_stat::{now_ms, now_ns};
use crate::lock::{ExclusiveLock, SharedLock, host_name};
use crate::store::Original;
use crate::{
    ActionKey, Attempt, AttemptId, Cache, CacheError, Digest, Failure, Input, KeyLock, NewAttempt, NewRun, Outcome,
    Output, Purpose, Run, RunId, RunNote, Usage, Waiting,
};

/// A run in progress. `gc` keeps everything that the run made or used while this value lives.
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

    /// Returns the command line, without the program's name.
    pub fn arguments(&self) -> &[String] {
        &self.run.arguments
    }
}

/// An attempt in progress; it holds the lock of its key. If it is dropped before it ends, it counts as interrupted,
/// unless it is [detached](Cache::begin_detached).
#[derive(Debug)]
pub struct OpenAttempt {
    record: Attempt,
    run: Run,
    output_folder: PathBuf,
    resume_folder: PathBuf,
    log: PathBuf,
    trace: PathBuf,
    /// The folder through which a detached worker and its planners communicate.
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

    /// Returns the folder where the worker writes its outputs. It is empty at the start.
    pub fn output_folder(&self) -> &Path {
        &self.output_folder
    }

    /// Returns the folder of the key's resume point: it outlives attempts, and is removed by a commit.
    pub fn resume_folder(&self) -> &Path {
        &self.resume_folder
    }

    /// Returns the path of the worker's log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns the path of the trace of the worker's operations, which exists if the attempt was profiled.
    pub fn trace(&self) -> &Path {
        &self.trace
    }

    /// Returns the folder through which a detached worker and its planners communicate, or `None` if the worker is not
    /// detached.
    pub fn detached_folder(&self) -> Option<&Path> {
        self.detached.as_deref()
    }

    pub(crate) fn detach(&mut self, folder: PathBuf) {
        self.detached = Some(folder);
    }
}

impl Cache {
    /// Records the start of a run.
    ///
    /// # Errors
    /// Returns an error if the ledger cannot be written or the lock file cannot be created.
    pub fn begin_run(&self, run: &NewRun) -> Result<OpenRun, CacheError> {
        let run = self.ledger.begin_run(run, &host_name())?;
        let lock = ExclusiveLock::wait(&self.run_lock_file(run.id), &mut |_| Waiting::GoOn)?;
        Ok(OpenRun { run, _lock: lock })
    }

    /// Records the end of a run.
    ///
    /// # Errors
    /// Returns an error if the ledger cannot be written.
    pub fn end_run(&self, run: OpenRun, outcome: Outcome) -> Result<(), CacheError> {
        Ok(self.ledger.end_run(run.id(), outcome)?)
    }

    /// Sets the note of a run; an empty one removes it. The records beside the ledger get it too, so that
    /// [`rebuild`](Self::rebuild) keeps it; those of stages that are still running have the note from when they started.
    ///
    /// # Errors
    /// Returns an error if the ledger or a record cannot be written.
    pub fn set_note(&self, run: RunId, note: &RunNote) -> Result<Option<Run>, CacheError> {
        let Some(run) = self.ledger.set_note(run, note)? else { return Ok(None) };
        // The record of a stage that is still running may be written at any time, and is not to be replaced.
        for attempt in self.ledger.made_by(run.id)?.into_iter().filter(|attempt| attempt.outcome.is_some()) {
            if AttemptFile::path(&self.store, &attempt.key, &attempt.id).exists() {
                AttemptFile::new(attempt, Some(run.clone())).write(&self.store)?;
            }
        }
        Ok(Some(run))
    }

    /// Starts an attempt: records it and creates its folders.
    ///
    /// # Errors
    /// Returns [`CacheError::WrongLock`] if `lock` belongs to another key, and an error if the ledger or a folder
    /// cannot be written.
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
            trace: self.store.trace_file(&record.id),
            run,
            record,
            detached: None,
            _lock: lock,
        }
    }

    /// Returns whether an existing resume point must be discarded: a crash can happen between a commit and the removal
    /// of its resume point, and a check never resumes.
    fn is_resume_stale(&self, record: &Attempt) -> Result<bool, CacheError> {
        let last = self.ledger.last_of_key(&record.key)?;
        Ok(record.purpose == Purpose::Check || last == Some(Outcome::Done))
    }

    /// Moves the output files of an attempt (pairs of output name and path) into the store and records the result.
    /// Afterwards look-ups of the key find it. The output folder and the resume point are removed. Drop the attempt
    /// afterwards to release the lock of its key.
    ///
    /// # Errors
    /// Returns [`CacheError::OutputTwice`] if two outputs have the same name, and an error if an output is missing, the
    /// disk is full or the ledger cannot be written. The attempt then has no result and can still be
    /// [failed](Self::fail).
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
        // If this planner is killed before the record is written, the next one commits a detached attempt again.
        let original = if attempt.detached.is_some() { Original::Kept } else { Original::Moved };
        for (name, file) in outputs {
            let (digest, bytes) = self.store.adopt(file, original)?;
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
        // The result is recorded. Leftovers do no harm, and `gc` removes them.
        let _ = fs::remove_dir_all(&attempt.output_folder);
        let _ = fs::remove_dir_all(&attempt.resume_folder);
        if let Some(folder) = &attempt.detached {
            let _ = fs::remove_dir_all(folder);
        }
        Ok(record)
    }

    /// Records that an attempt ended without a result. Its log and its resume point are kept, its output folder is
    /// removed.
    ///
    /// # Errors
    /// Returns an error if the output folder cannot be removed, or the record or the ledger cannot be written.
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
        // Free disk space first: the attempt may have failed because the disk is full.
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

    /// Pins a result: `gc` keeps it and everything that it was made from. `reason` is shown to users.
    ///
    /// # Errors
    /// Returns [`CacheError::NoAttempt`] if the ledger does not know the attempt, and an error if the pin or the ledger
    /// cannot be written.
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
    /// Returns [`CacheError::NoAttempt`] if the ledger does not know the attempt, and an error if the pin cannot be
    /// removed or the ledger cannot be written.
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
    // One process at a time works on a key, so these facts are unique to this attempt.
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
