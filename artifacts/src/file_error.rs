//! Errors of file operations, with the path and, if known, a hint.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An operation of the file system that failed.
#[derive(Debug)]
pub struct FileError {
    /// The failed operation, as a verb that follows "cannot".
    pub action: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn new(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self { action, path: path.as_ref().to_owned(), source }
    }

    /// Returns a function that adds an action and a path to an [`io::Error`].
    pub(crate) fn of<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::new(action, path, source)
    }

    /// Returns the kind of the system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Returns a hint on how to fix the error, if known.
    fn way_out(&self) -> Option<&'static str> {
        match self.source.kind() {
            io::ErrorKind::StorageFull => Some("free some space there, or choose another store"),
            io::ErrorKind::QuotaExceeded => Some("free some of your quota there, or choose another store"),
            io::ErrorKind::ReadOnlyFilesystem => Some("choose a store on a file system that can be written"),
            io::ErrorKind::PermissionDenied => Some("check its owner and mode"),
            _ => None,
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: ", self.action, self.path.display())?;
        match self.source.kind() {
            io::ErrorKind::StorageFull => f.write_str("no space left on the file system")?,
            io::ErrorKind::QuotaExceeded => f.write_str("the disk quota is used up")?,
            io::ErrorKind::ReadOnlyFilesystem => f.write_str("the file system is read-only")?,
            io::ErrorKind::PermissionDenied => f.write_str("permission denied")?,
            io::ErrorKind::NotFound => f.write_str("it does not exist")?,
            _ => write!(f, "{}", self.source)?,
        }
        match self.way_out() {
            Some(way_out) => write!(f, " ({way_out})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
