//! The file `FORMAT` at the top of a cache's folder: it marks the folder as a store and contains the version of its
//! layout.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::FileError;
use crate::atomic_write;

/// The version of the layout that this code reads and writes.
const VERSION: u32 = 1;

const WORD: &str = "tfnas-store";

/// The reason why a folder cannot be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A newer version of the tool created the store.
    #[error(
        "the store {} has format {found}, but this version supports formats up to {VERSION}; use the version \
         that created it, or a newer one",
        path.display()
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its version of the layout.
        found: u32,
    },
    /// The folder holds other files.
    #[error("{} is not a store and not empty; choose a new or empty folder", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// The content of the file is invalid.
    #[error(
        "{} does not say which format the store has: if the folder is a store of this version, write the line \
         `{WORD} {VERSION}` there",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder cannot be read or created.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Checks the version of the store in `root`. Returns whether a store exists.
///
/// # Errors
/// Returns [`FormatError`] if the folder is not a store of this version, or cannot be read.
pub(crate) fn check(root: &Path) -> Result<bool, FormatError> {
    let path = root.join("FORMAT");
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return check_empty(root).map(|()| false),
        Err(error) => return Err(FileError::new("read", &path, error).into()),
    };
    let mut words = text.split_whitespace();
    match (words.next(), words.next().and_then(|word| word.parse().ok()), words.next()) {
        (Some(WORD), Some(VERSION), None) => Ok(true),
        (Some(WORD), Some(found), _) if found > VERSION => Err(FormatError::Newer { path: root.to_owned(), found }),
        _ => Err(FormatError::Unreadable { path }),
    }
}

/// Makes `root` a store of this version.
///
/// # Errors
/// Returns [`FormatError::File`] if `FORMAT` cannot be written.
pub(crate) fn create(root: &Path) -> Result<(), FormatError> {
    atomic_write::create_folder(root)?;
    Ok(atomic_write::write_file(
        &root.join("FORMAT"),
        format!("{WORD} {VERSION}\n").as_bytes(),
        root,
        atomic_write::Access::Writable,
    )?)
}

/// Refuses a folder with unrelated files, because `gc` removes files.
fn check_empty(root: &Path) -> Result<(), FormatError> {
    match fs::metadata(root) {
        Ok(metadata) if !metadata.is_dir() => {
            return Err(FileError::new("use as a store", root, io::ErrorKind::NotADirectory.into()).into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FileError::new("open", root, error).into()),
    }
    // Names that begin with a dot and `tmp` are another process's FORMAT on its way.
    let expected = |name: &OsStr| name == "lost+found" || name.to_string_lossy().starts_with(".tmp");
    if atomic_write::names_in(root)?.iter().all(|name| expected(name)) {
        Ok(())
    } else if root.join("FORMAT").exists() {
        // Another process created it in the meantime.
        Ok(())
    } else {
        Err(FormatError::NotAStore { path: root.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn empty_or_missing_folder_becomes_a_store() {
        let folder = tempfile::tempdir().unwrap();
        for root in [folder.path().to_owned(), folder.path().join("a/b")] {
            if root == folder.path() {
                fs::create_dir(root.join("lost+found")).unwrap();
            }
            assert!(!check(&root).unwrap());
            create(&root).unwrap();
            assert!(check(&root).unwrap());
        }
    }

    #[test]
    fn newer_store_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("FORMAT"), "tfnas-store 7 more\n").unwrap();
        let error = check(folder.path()).unwrap_err();
        assert!(matches!(error, FormatError::Newer { found: 7, .. }), "{error}");
    }

    #[test]
    fn folder_with_other_files_is_not_a_store() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(matches!(check(folder.path()), Err(FormatError::NotAStore { .. })));
        assert!(matches!(check(&folder.path().join("thesis.tex")), Err(FormatError::File(_))));
    }

    #[test]
    fn error_names_the_damaged_format_file() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "tfnas-store", "tfnas-store x", "tfnas-store 0", "\u{0}\u{0}"] {
            fs::write(folder.path().join("FORMAT"), text).unwrap();
            assert!(check(folder.path()).unwrap_err().to_string().contains("FORMAT"), "{text:?}");
        }
    }
}
