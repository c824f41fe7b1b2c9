//! Atomic file writes: after a crash a file has its old content, its new content, or does not exist.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use tfnas_fs::NamedTempFile;

use crate::FileError;

/// The write permission of a finished file. Read permission follows the umask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nobody may write. Used for objects.
    ReadOnly,
    /// The umask decides. Used for records, which are replaced atomically.
    Writable,
}

/// Creates a folder and its missing parents.
pub(crate) fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::of("create the folder", path))
}

/// Creates a folder whose parent exists and syncs the parent, so that the new folder survives a crash.
pub(crate) fn create_durable_folder(path: &Path) -> Result<(), FileError> {
    match fs::create_dir(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(FileError::new("create the folder", path, error)),
    }
}

/// Starts a file in `temporary`, a folder of the same file system as its later place. Write through
/// [`NamedTempFile::as_file_mut`]: other errors contain the temporary path.
pub(crate) fn start_file(temporary: &Path) -> Result<NamedTempFile, FileError> {
    tfnas_fs::new_file_in(temporary).map_err(FileError::of("create a file in", temporary))
}

/// Syncs a finished temporary file and renames it to `path`. The file survives a crash after this returns.
pub(crate) fn finish_file(file: NamedTempFile, path: &Path, access: Access) -> Result<(), FileError> {
    if access == Access::ReadOnly {
        tfnas_fs::make_read_only(file.as_file()).map_err(FileError::of("set the mode of", path))?;
    }
    tfnas_fs::finish(file, path).map_err(FileError::of("write", path))
}

/// Writes a complete file atomically, through a temporary file in `temporary`.
pub(crate) fn write_file(path: &Path, bytes: &[u8], temporary: &Path, access: Access) -> Result<(), FileError> {
    let mut file = start_file(temporary)?;
    file.as_file_mut().write_all(bytes).map_err(FileError::of("write", path))?;
    finish_file(file, path, access)
}

/// Syncs the folder that holds `path`, so that a name just created there survives a crash.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    tfnas_fs::sync_parent(path).map_err(FileError::of("sync the folder of", path))
}

/// Removes a file; succeeds if it does not exist.
pub(crate) fn remove_file(path: &Path) -> Result<(), FileError> {
    absent_is_fine(fs::remove_file(path)).map_err(FileError::of("remove", path))
}

/// Removes a folder and its content; succeeds if it does not exist.
pub(crate) fn remove_folder(path: &Path) -> Result<(), FileError> {
    absent_is_fine(fs::remove_dir_all(path)).map_err(FileError::of("remove the folder", path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Returns the names in a folder, or an empty list if the folder does not exist.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<std::ffi::OsString>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::new("list", folder, error)),
    };
    entries.map(|entry| Ok(entry.map_err(FileError::of("list", folder))?.file_name())).collect()
}
