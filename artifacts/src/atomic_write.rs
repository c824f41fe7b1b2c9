//! Writing files so that a crash leaves the old one, the new one, or none: never half of one.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use tfnas_fs::NamedTempFile;

use crate::FileError;

/// Who may write to a finished file; who may read it follows from the umask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nobody: objects.
    ReadOnly,
    /// Who the umask allows: records, which a program replaces whole.
    Writable,
}

/// Makes a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::of("create the folder", path))
}

/// Makes a folder whose parent exists, so that it survives a crash from here on.
pub(crate) fn create_durable_folder(path: &Path) -> Result<(), FileError> {
    match fs::create_dir(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(FileError::new("create the folder", path, error)),
    }
}

/// Starts a file in `temporary`, a folder of the same file system as its later place.
pub(crate) fn start_file(temporary: &Path) -> Result<NamedTempFile, FileError> {
    tfnas_fs::new_file_in(temporary).map_err(FileError::of("create a file in", temporary))
}

/// Syncs a finished temporary file and renames it to `path`, which is durable from then on.
pub(crate) fn finish_file(file: NamedTempFile, path: &Path, access: Access) -> Result<(), FileError> {
    if access == Access::ReadOnly {
        tfnas_fs::make_read_only(file.as_file()).map_err(FileError::of("set the mode of", path))?;
    }
    tfnas_fs::finish(file, path).map_err(FileError::of("write", path))
}

/// Writes a whole file durably, by way of `temporary`.
pub(crate) fn write_file(path: &Path, bytes: &[u8], temporary: &Path, access: Access) -> Result<(), FileError> {
    let mut file = start_file(temporary)?;
    file.write_all(bytes).map_err(FileError::of("write", path))?;
    finish_file(file, path, access)
}

/// Syncs the folder that holds `path`, so that a name just made there survives a crash.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    tfnas_fs::sync_parent(path).map_err(FileError::of("sync the folder of", path))
}

/// Removes a file that may not be there.
pub(crate) fn remove_file(path: &Path) -> Result<(), FileError> {
    absent_is_fine(fs::remove_file(path)).map_err(FileError::of("remove", path))
}

/// Removes a folder with all that is in it, which may not be there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), FileError> {
    absent_is_fine(fs::remove_dir_all(path)).map_err(FileError::of("remove the folder", path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Returns the names in a folder; none if it is not there.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<std::ffi::OsString>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::new("list", folder, error)),
    };
    entries.map(|entry| Ok(entry.map_err(FileError::of("list", folder))?.file_name())).collect()
}
