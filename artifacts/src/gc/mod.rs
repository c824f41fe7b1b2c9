//! Garbage collection: removes old results and their bytes.
//!
//! First leftovers are removed that the ledger does not mention: on a full disk, it cannot be written before. Then the
//! ledger forgets the results, in one transaction. Then their records are removed, then the objects that are no longer
//! referenced. After a crash at any point, look-ups find no result without bytes, and the next collection removes the
//! rest. Commits wait meanwhile, so that the objects they add are not removed.

mod choose;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::atomic_write::{self, names_in};
use crate::attempt_file;
use crate::file_stat::{FileStat, now_ns};
use crate::ledger::Candidate;
use crate::lock::{ExclusiveLock, SharedLock, Tried};
use crate::trust::{self, Refused};
use crate::{ActionKey, AttemptId, Cache, CacheError, Digest, Outcome, RunId};
use choose::{bytes_of, choose};

/// Age in nanoseconds after which a temporary file counts as abandoned: one day.
const ABANDONED_NS: i64 = 24 * 3600 * 1_000_000_000;

/// Which results to keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Keep this many results of each instance, the most recently used ones, and everything that they were made from.
    /// `None` keeps all.
    pub keep_last: Option<usize>,
    /// Keep at most this many bytes of artifacts, even if `keep_last` would keep more. The least recently used results
    /// are removed first. `None` sets no limit.
    pub max_bytes: Option<u64>,
}

/// What was removed, or would be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The attempts, oldest first.
    pub attempts: Vec<RemovedAttempt>,
    /// Objects that no attempt mentions any more: how many.
    pub objects: u64,
    /// Their size together.
    pub bytes: u64,
    /// Total size of the remaining artifacts. It exceeds the limit if pinned results or results in use need more.
    pub bytes_kept: u64,
}

/// An attempt that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedAttempt {
    /// Its name.
    pub id: AttemptId,
    /// Its stage's instance.
    pub instance: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it was created or last used, in milliseconds since 1970.
    pub used_ms: i64,
}

impl Cache {
    /// Returns what [`gc`](Self::gc) would remove.
    ///
    /// # Errors
    /// Returns an error if the ledger or the store cannot be read.
    pub fn plan_gc(&self, retention: &Retention) -> Result<Removal, CacheError> {
        let candidates = self.ledger.candidates()?;
        let chosen = choose(&candidates, retention, |candidate| self.is_in_use(candidate));
        self.remove_objects(&candidates, &chosen, |_| Ok(()))
    }

    /// Removes old results and their bytes, and the leftovers of killed processes. Pinned results, results used by a
    /// run in progress, and everything that these were made from are kept.
    ///
    /// # Errors
    /// Returns an error if the ledger or the store cannot be changed. The next collection removes the rest.
    pub fn gc(&self, retention: &Retention) -> Result<Removal, CacheError> {
        let _no_commits = SharedLock::alone(&self.store.lock_file("objects"))?;
        let remove = |digest: &Digest| self.store.remove(digest).map(drop).map_err(CacheError::from);
        self.remove_abandoned_files()?;
        let orphans = self.remove_objects(&self.ledger.candidates()?, &HashSet::new(), remove)?;
        self.end_abandoned()?;
        let (candidates, chosen) =
            self.ledger.remove(|candidates| choose(candidates, retention, |candidate| self.is_in_use(candidate)))?;
        self.remove_records()?;
        let removal = self.remove_objects(&candidates, &chosen, remove)?;
        self.remove_leftovers()?;
        Ok(Removal { objects: orphans.objects + removal.objects, bytes: orphans.bytes + removal.bytes, ..removal })
    }

    fn is_in_use(&self, candidate: &Candidate) -> bool {
        let is_detached = || self.store.detached_folder(&candidate.id).is_dir();
        let is_running = candidate.outcome.is_none() && (self.is_locked(&candidate.key) || is_detached());
        is_running || candidate.open_runs.iter().any(|run| self.is_under_way(*run))
    }

    /// Calls `remove` for every object that no remaining attempt references.
    fn remove_objects(
        &self,
        candidates: &[Candidate],
        chosen: &HashSet<i64>,
        remove: impl Fn(&Digest) -> Result<(), CacheError>,
    ) -> Result<Removal, CacheError> {
        let left = || candidates.iter().filter(|candidate| !chosen.contains(&candidate.row));
        let mut mentioned: HashSet<Digest> = left()
            .flat_map(|candidate| candidate.outputs.iter().map(|(digest, _)| digest).chain(&candidate.inputs))
            .copied()
            .collect();
        // Results whose planner was killed between their record and the ledger.
        let recorded = self.ledger.without_end()?.into_iter().filter_map(|attempt| self.recorded_end(&attempt));
        mentioned.extend(recorded.flat_map(|attempt| attempt.outputs).map(|output| output.digest));
        // A run in progress may have added an object that none of its attempts references yet.
        let since_ns = self.oldest_open_run_ns()?;
        let (mut objects, mut bytes) = (0, 0);
        for (digest, size) in self.store.objects()? {
            let is_new = || since_ns.is_some_and(|since| changed_ns(&self.store.path(&digest)) >= since);
            if !mentioned.contains(&digest) && !is_new() {
                remove(&digest)?;
                objects += 1;
                bytes += size;
            }
        }
        let removed = candidates.iter().filter(|candidate| chosen.contains(&candidate.row));
        let attempts = removed.map(|candidate| RemovedAttempt {
            id: candidate.id.clone(),
            instance: candidate.instance.clone(),
            outcome: candidate.outcome,
            used_ms: candidate.used_ms,
        });
        Ok(Removal { attempts: attempts.collect(), objects, bytes, bytes_kept: bytes_of(left()) })
    }

    fn oldest_open_run_ns(&self) -> Result<Option<i64>, CacheError> {
        for run in self.ledger.runs_without_end()? {
            if self.is_under_way(run)
                && let Some(run) = self.ledger.run(run)?
            {
                return Ok(Some(run.started_ms.saturating_mul(1_000_000)));
            }
        }
        Ok(None)
    }

    /// Removes the records, pins, logs and traces of attempts that the ledger does not know.
    fn remove_records(&self) -> Result<(), CacheError> {
        for path in attempt_file::all(&self.store)? {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(id) = stem.parse::<AttemptId>() else { continue };
            if self.ledger.attempt(&id)?.is_none() {
                atomic_write::remove_file(&path.with_extension("pin"))?;
                atomic_write::remove_file(&path)?;
                if let Some(folder) = path.parent() {
                    for name in names_in(folder)? {
                        if name.to_str().is_some_and(|name| trust::is_of(name, &id)) {
                            atomic_write::remove_file(&folder.join(name))?;
                        }
                    }
                    // Only if it was the key's last.
                    let _ = fs::remove_dir(folder);
                }
            }
        }
        let logs = self.store.root().join("logs");
        for name in names_in(&logs)? {
            let name = name.to_string_lossy().into_owned();
            let id = name.split('.').next().unwrap_or_default().parse::<AttemptId>();
            if let Ok(id) = id
                && self.ledger.attempt(&id)?.is_none()
            {
                atomic_write::remove_file(&logs.join(name))?;
            }
        }
        Ok(())
    }

    /// Records an end for attempts of killed planners. Each key's lock shows whether its attempt is alive.
    fn end_abandoned(&self) -> Result<(), CacheError> {
        let unfinished: BTreeSet<ActionKey> = self.ledger.without_end()?.iter().map(|attempt| attempt.key).collect();
        for key in unfinished {
            if let Tried::Locked(lock) = ExclusiveLock::try_new(&self.store.key_lock_file(&key))? {
                self.recover_abandoned(&key)?;
                drop(lock);
            }
        }
        Ok(())
    }

    /// Removes output folders of attempts that have ended, and temporary files of killed processes.
    fn remove_abandoned_files(&self) -> Result<(), CacheError> {
        let attempts = self.store.root().join("attempts");
        for name in names_in(&attempts)? {
            let id = name.to_string_lossy().parse::<AttemptId>();
            if let Ok(id) = id
                && self.ledger.attempt(&id)?.is_none_or(|attempt| attempt.outcome.is_some())
            {
                atomic_write::remove_folder(&attempts.join(name))?;
            }
        }
        let temporary = self.store.temporary();
        for name in names_in(&temporary)? {
            let path = temporary.join(name);
            if changed_ns(&path) < now_ns() - ABANDONED_NS {
                atomic_write::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Removes the leftovers of killed processes that only the ledger identifies: folders of detached attempts, lock
    /// files, and resume points of keys that have a result or are no longer known.
    fn remove_leftovers(&self) -> Result<(), CacheError> {
        // Listed first: an attempt is in the ledger before it has its folder.
        let detached = names_in(&self.store.detached())?;
        let under_way = self.all_detached()?;
        for name in detached {
            if !under_way.iter().any(|attempt| attempt.id.as_str() == name) {
                atomic_write::remove_folder(&self.store.detached().join(name))?;
            }
        }
        let resume = self.store.root().join("resume");
        for name in names_in(&resume)? {
            let text = name.to_string_lossy();
            if let Ok(key) = text.strip_suffix(".check").unwrap_or(&text).parse::<ActionKey>()
                && let Tried::Locked(_lock) = ExclusiveLock::try_new(&self.store.key_lock_file(&key))?
                && !self.may_resume(&key)?
            {
                atomic_write::remove_folder(&resume.join(&name))?;
            }
        }
        Refused::forget_settled(&self.store, |key| {
            Ok(self.ledger.last_of_key(key)?.is_some_and(|outcome| outcome == Outcome::Done))
        })?;
        self.remove_lock_files()
    }

    /// Returns whether an attempt may start from the resume point of a key. The caller holds the key's lock.
    fn may_resume(&self, key: &ActionKey) -> Result<bool, CacheError> {
        // The key's planner may have been killed since the attempts without an end were listed.
        self.recover_abandoned(key)?;
        let is_detached = self.ledger.attempts_of(key)?.iter().any(|attempt| attempt.outcome.is_none());
        Ok(is_detached || self.ledger.last_of_key(key)?.is_some_and(|outcome| outcome != Outcome::Done))
    }

    fn remove_lock_files(&self) -> Result<(), CacheError> {
        let locks = self.store.root().join("locks");
        for name in names_in(&locks)? {
            let text = name.to_string_lossy().into_owned();
            let is_run = text.strip_prefix("run-").is_some_and(|number| number.parse().map(RunId).is_ok());
            let is_key = text.strip_prefix("key-").is_some_and(|key| key.parse::<ActionKey>().is_ok());
            if is_run || is_key {
                // Taken and given back: that removes the file.
                drop(ExclusiveLock::try_new(&locks.join(name))?);
            }
        }
        Ok(())
    }
}

/// Returns the time of a file's last status change, or the minimum if it is gone.
fn changed_ns(path: &Path) -> i64 {
    fs::symlink_metadata(path).map_or(i64::MIN, |metadata| FileStat::of(&metadata).changed_ns)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{KeyManifest, NewAttempt, NewRun, Purpose, Waiting};

    #[test]
    fn resume_point_of_a_planner_killed_meanwhile_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let run = cache.begin_run(&NewRun::default()).unwrap();
        let manifest = KeyManifest::new("train", 1);
        let lock = cache.lock(&manifest.key(), &mut |_| Waiting::GoOn).unwrap().unwrap();
        let attempt = NewAttempt {
            instance: "train".to_owned(),
            manifest,
            origins: Default::default(),
            environment: serde_json::json!({}),
            purpose: Purpose::Run,
        };
        let open = cache.begin_attempt(&run, lock, attempt).unwrap();
        let point = open.resume_folder().join("epoch");
        fs::write(&point, "3").unwrap();
        // Its lock is free and it has no end, as after a kill behind `end_abandoned`.
        drop(open);
        cache.remove_leftovers().unwrap();
        assert!(point.exists());
    }
}
