//! Rereads remembered files to find those whose bytes changed although their metadata did not.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::memo::{Memo, Remembered};
use super::walk;
use crate::{Digest, FileError};

/// The result of rechecking one remembered folder, list or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderCheck {
    /// The kind (`folder`, `list` or `file`) and path of the data.
    pub subject: String,
    /// Files that were read.
    pub read: u64,
    /// Number of files that are gone or whose metadata changed since they were remembered. The next run reads them
    /// again.
    pub changed: u64,
    /// Files whose bytes changed although their metadata did not.
    pub damaged: Vec<PathBuf>,
}

enum Found {
    Verified,
    Changed,
    Damaged(PathBuf),
}

/// Reads every file remembered in `memos`, [`Store::folder_memos`](crate::Store::folder_memos), and compares its digest
/// with the remembered one.
///
/// # Errors
/// Returns [`FileError`] if the memos cannot be listed, or an existing file cannot be read.
pub fn check_folders(memos: &Path) -> Result<Vec<FolderCheck>, FileError> {
    Memo::all(memos)?.iter().map(check).collect()
}

fn check(memo: &Memo) -> Result<FolderCheck, FileError> {
    let entries: Vec<Remembered> = memo.entries().collect();
    let found: Vec<Found> =
        entries.par_iter().with_max_len(64).map(|entry| check_file(memo, entry)).collect::<Result<_, _>>()?;
    let mut check = FolderCheck { subject: memo.subject.clone(), read: 0, changed: 0, damaged: Vec::new() };
    for found in found {
        match found {
            Found::Verified => check.read += 1,
            Found::Changed => check.changed += 1,
            Found::Damaged(path) => {
                check.read += 1;
                check.damaged.push(path);
            }
        }
    }
    Ok(check)
}

fn check_file(memo: &Memo, entry: &Remembered) -> Result<Found, FileError> {
    let path = memo.root.join(entry.path);
    let as_remembered = || walk::stat(&path).is_ok_and(|stat| stat == entry.stat);
    if !as_remembered() {
        return Ok(Found::Changed);
    }
    let (digest, _) = Digest::of_file(&path)?;
    Ok(if digest == entry.digest {
        Found::Verified
    } else if as_remembered() {
        Found::Damaged(path)
    } else {
        Found::Changed
    })
}
