//! Rebuilds the ledger from the records kept next to it.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::attempt_file::{self, AttemptFile};
use crate::file_stat::now_ns;
use crate::ledger_path;
use crate::lock::SharedLock;
use crate::{
    AttemptFileError, Cache, CacheError, FileError, FormatError, Ledger, LedgerError, ObjectError, Outcome, Store,
    format,
};

/// The result of rebuilding a ledger.
#[derive(Debug)]
pub struct Rebuilt {
    /// The attempts that are in the new ledger.
    pub attempts: u64,
    /// Number of them that are results.
    pub results: u64,
    /// Records that could not be read, and were passed over.
    pub unreadable: Vec<AttemptFileError>,
    /// Missing and damaged outputs of results (damaged ones are in quarantine now). Look-ups do not find those results.
    pub lost: Vec<ObjectError>,
    /// The new path of the old ledger, or `None` if there was none.
    pub old: Option<PathBuf>,
}

impl Cache {
    /// Rebuilds the ledger of the cache in a folder from the records of its attempts, and verifies every output that
    /// they reference. The old ledger is moved aside. Facts that are not in the records are lost: runs without
    /// attempts (with their names and notes), the outcomes of runs, and when results were used.
    ///
    /// # Errors
    /// Returns [`CacheError::InUse`] while another process has the cache open, [`CacheError::UnderWay`] while a
    /// detached attempt is in progress, [`CacheError::Format`] if the folder is not a cache, [`LedgerError::Newer`] if
    /// a newer version created the ledger, and [`CacheError::File`] if a file cannot be read or written.
    pub fn rebuild(root: &Path) -> Result<Rebuilt, CacheError> {
        if !format::check(root)? {
            return Err(FormatError::NotAStore { path: root.to_owned() }.into());
        }
        let path = ledger_path::of(root)?;
        if let Err(error @ LedgerError::Newer { .. }) = Ledger::is_there(&path) {
            return Err(error.into());
        }
        let store = Store::open(root)?;
        let Some(_alone) = SharedLock::try_alone(&store.lock_file("ledger"))? else {
            return Err(CacheError::InUse { path: root.to_owned() });
        };
        // The new ledger would not know the detached attempts, and their outputs would be orphaned.
        if let Some(under_way) = crate::atomic_write::names_in(&store.detached())?.into_iter().next() {
            return Err(CacheError::UnderWay { path: store.detached().join(under_way) });
        }

        let files: Vec<Result<AttemptFile, AttemptFileError>> =
            attempt_file::all(&store)?.par_iter().map(|path| AttemptFile::read(path)).collect();
        let mut records = Vec::new();
        let mut unreadable = Vec::new();
        for file in files {
            match file {
                Ok(file) => records.push((file.attempt, file.run)),
                Err(error) => unreadable.push(error),
            }
        }
        records.sort_by(|(a, _), (b, _)| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
        let lost = lost_outputs(&store, &records);

        // Build the new ledger next to the old one and rename it: after a crash there is the old ledger or none, which
        // is detected.
        let new = path.with_extension("new");
        for file in files_of(&new) {
            crate::atomic_write::remove_file(&file)?;
        }
        let ledger = Ledger::open(&new, &store.lock_file("setup"))?;
        ledger.adopt(&records)?;
        for (attempt, _) in &records {
            let pin = AttemptFile::pin_path(&store, &attempt.key, &attempt.id);
            if let Ok(reason) = fs::read_to_string(&pin) {
                ledger.pin(&attempt.id, &reason)?;
            }
        }
        ledger.close()?;
        let old = move_aside(&path)?;
        fs::rename(&new, &path).map_err(FileError::of("write", &path))?;
        crate::atomic_write::sync_parent(&path)?;
        let results = records.iter().filter(|(attempt, _)| attempt.outcome == Some(Outcome::Done)).count();
        Ok(Rebuilt { attempts: records.len() as u64, results: results as u64, unreadable, lost, old })
    }
}

fn lost_outputs(store: &Store, records: &[(crate::Attempt, Option<crate::Run>)]) -> Vec<ObjectError> {
    let mut digests: Vec<_> =
        records.iter().flat_map(|(attempt, _)| attempt.outputs.iter().map(|output| output.digest)).collect();
    digests.sort_unstable();
    digests.dedup();
    digests.par_iter().with_max_len(1).filter_map(|digest| store.open_verified(digest).err()).collect()
}

/// Moves a ledger and the files that SQLite keeps next to it out of the way. The ledger goes first: without the other
/// files it could pass for a valid older ledger, while a missing ledger is detected.
fn move_aside(path: &Path) -> Result<Option<PathBuf>, FileError> {
    let suffix = format!("-damaged-{}", now_ns());
    let mut old = None;
    for file in files_of(path) {
        let mut aside = file.as_os_str().to_owned();
        aside.push(&suffix);
        match fs::rename(&file, &aside) {
            Ok(()) => old = old.or_else(|| Some(PathBuf::from(aside))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::new("move", &file, error)),
        }
    }
    Ok(old)
}

/// Returns the paths of a ledger and of the files that SQLite keeps next to it.
fn files_of(path: &Path) -> Vec<PathBuf> {
    let companions = crate::ledger::companions(path);
    std::iter::once(path.to_owned()).chain(companions).collect()
}
