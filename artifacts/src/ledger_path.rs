//! The path of a store's ledger: in the store's folder, or on another file system that suits SQLite better.
//!
//! If the ledger is elsewhere, the file `ledger.path` in the store's folder contains its absolute path on one line, so
//! that commands that read no configuration find it too.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::{FileError, atomic_write};

/// The ledger's file in a store's folder.
const LEDGER: &str = "ledger.sqlite3";
/// The file that contains the path of a ledger outside the folder.
const POINTER: &str = "ledger.path";

/// The reason why the path of a ledger is not valid.
#[derive(Debug, thiserror::Error)]
pub enum LedgerPathError {
    /// It has one at another place.
    #[error(
        "the ledger of the store {} is {}, not {}: to move it, end all planners, move the file there with the files \
         that SQLite keeps next to it (-wal, -shm, -journal), and remove {}",
        root.display(), found.display(), wanted.display(), root.join(POINTER).display()
    )]
    Elsewhere {
        /// The store.
        root: PathBuf,
        /// Where its ledger is.
        found: PathBuf,
        /// Where it should be.
        wanted: PathBuf,
    },
    /// The file with the path is invalid.
    #[error("{} does not contain exactly one absolute path: write the path of the ledger there", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Returns the path of the ledger of the store in `root`.
pub(crate) fn of(root: &Path) -> Result<PathBuf, LedgerPathError> {
    let pointer = root.join(POINTER);
    match fs::read(&pointer) {
        Ok(line) => match line.strip_suffix(b"\n").map(|path| Path::new(OsStr::from_bytes(path))) {
            Some(path) if path.is_absolute() && !path.as_os_str().as_bytes().contains(&b'\n') => Ok(path.to_owned()),
            _ => Err(LedgerPathError::Unreadable { path: pointer }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(root.join(LEDGER)),
        Err(error) => Err(FileError::new("read", &pointer, error).into()),
    }
}

/// Returns the path to use for the ledger, given the requested one.
pub(crate) fn wanted(root: &Path, asked: Option<&Path>) -> Result<PathBuf, LedgerPathError> {
    let found = of(root)?;
    let Some(asked) = asked else { return Ok(found) };
    let asked = std::path::absolute(asked).map_err(FileError::of("find", asked))?;
    // A ledger that does not exist yet may be created anywhere.
    if found == asked || !found.exists() && !root.join(POINTER).exists() {
        return Ok(asked);
    }
    Err(LedgerPathError::Elsewhere { root: root.to_owned(), found, wanted: asked })
}

/// Notes in the store where its ledger is, if that is not in its folder.
pub(crate) fn keep(root: &Path, path: &Path) -> Result<(), LedgerPathError> {
    if of(root)? == path {
        return Ok(());
    }
    // Write the raw bytes of the path: it may not be UTF-8.
    let line = [path.as_os_str().as_bytes(), b"\n"].concat();
    if let Some(folder) = path.parent() {
        atomic_write::create_folder(folder)?;
    }
    Ok(atomic_write::write_file(&root.join(POINTER), &line, root, atomic_write::Access::Writable)?)
}
