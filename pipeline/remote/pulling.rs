use std::sync::{Mutex, PoisonError};

use indicatif::MultiProgress;
use tfnas_artifacts::{Cache, CacheError, OpenRun, Outcome, Pulled, Remote, Wanted};
use tfnas_humanize as humanize;

use crate::error::{CommandError, CommandErrorKind};
use crate::remote::Moved;

/// Pulls results from a remote into a store. The ledger records them as used by a run, so that `log` shows where they
/// came from, and `gc` does not remove them before the rest has been pulled.
pub struct Pulling<'a> {
    remote: &'a Remote,
    cache: &'a Cache,
    dry_run: bool,
    begin: &'a (dyn Fn() -> Result<OpenRun, CacheError> + Sync),
    /// Created when the remote is asked for the first time.
    run: Mutex<Option<OpenRun>>,
    moved: Moved,
}

impl<'a> Pulling<'a> {
    /// Prepares to pull. `begin` records the run in the ledger.
    pub fn new(
        remote: &'a Remote,
        cache: &'a Cache,
        dry_run: bool,
        begin: &'a (dyn Fn() -> Result<OpenRun, CacheError> + Sync),
        bars: &MultiProgress,
    ) -> Self {
        Self { remote, cache, dry_run, begin, run: Mutex::new(None), moved: Moved::new(bars) }
    }

    /// Pulls the newest result of a key that the remote has. In a dry run, only looks it up.
    pub fn ask(&self, wanted: Wanted<'_>) -> Result<Pulled, CommandError> {
        if self.dry_run {
            return Ok(self.remote.look(self.cache, wanted)?);
        }
        self.with_run(|_| Ok(()))?;
        let pulled = self.remote.pull(self.cache, wanted, &|bytes| self.moved.add(bytes))?;
        if let Some(result) = &pulled.result {
            self.with_run(|run| self.cache.find_and_use(run, wanted.key).map(drop))?;
            let id = result.instance.as_str();
            tracing::info!(id, "pulled with {} artifacts ({})", pulled.objects, humanize::bytes(pulled.bytes));
        }
        Ok(pulled)
    }

    fn with_run(&self, work: impl FnOnce(&OpenRun) -> Result<(), CacheError>) -> Result<(), CacheError> {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        match &*run {
            Some(run) => work(run),
            None => work(run.insert((self.begin)()?)),
        }
    }

    /// Records how the run ended, and returns `ended`.
    pub fn end<T>(self, ended: Result<T, CommandError>) -> Result<T, CommandError> {
        let outcome = match &ended {
            Ok(_) => Outcome::Done,
            Err(CommandError { kind: CommandErrorKind::Interrupted, .. }) => Outcome::Interrupted,
            Err(_) => Outcome::Failed,
        };
        let noted = match self.run.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(run) => self.cache.end_run(run, outcome),
            None => Ok(()),
        };
        let value = ended?;
        noted?;
        Ok(value)
    }
}
