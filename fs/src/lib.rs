//! Atomic writes, reads with a size limit, and growing files.
//!
//! | function | use |
//! |---|---|
//! | [`write_atomic`] | replaces a file: readers see the old bytes or the new bytes |
//! | [`new_file_in`], [`finish`] | the same in two steps, for content that is streamed or verified before it becomes visible |
//! | [`write_synced`] | writes a file in a folder that becomes visible atomically |
//! | [`make_read_only`] | protects a finished file against changes |
//! | [`sync_parent`] | makes a new name survive a crash |
//! | [`read_limited`], [`read_text_limited`] | reads a file from a user, with a maximum size |
//! | [`Tail`] | reads the new lines of a growing file |
//!
//! Files get mode 0666 and folders mode 0777 minus the umask, as with other programs, so that a group can share a
//! store. (`tempfile` by default creates files that only their owner can read.) Private keys are not written with this
//! crate.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

mod read_limited;
mod tail;

pub use read_limited::{read_limited, read_text_limited};
pub use tail::{Line, Tail};
pub use tempfile::{NamedTempFile, TempDir};

/// Mode of a new file, before the umask.
const FILE: u32 = 0o666;
/// Mode of a new folder, before the umask.
const FOLDER: u32 = 0o777;
/// The bits of a mode that allow writing.
const WRITE: u32 = 0o222;

/// Creates a temporary file in `folder`, which must be on the file system of the final path. The file is removed when
/// dropped, unless it is passed to [`finish`].
///
/// # Errors
/// Returns an error if the file cannot be created.
pub fn new_file_in(folder: &Path) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(FILE)).tempfile_in(folder);
    file.map_err(|error| without_path(&error))
}

/// Creates a temporary folder in `folder`, whose name starts with `prefix`. It is removed when dropped.
///
/// # Errors
/// Returns an error if the folder cannot be created.
pub fn new_folder_in(folder: &Path, prefix: &str) -> io::Result<TempDir> {
    let created =
        tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(FOLDER)).tempdir_in(folder);
    created.map_err(|error| without_path(&error))
}

/// Removes the name of a temporary file, which `tempfile` adds, from an error. Callers name the final path.
fn without_path(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let text = text.rsplit_once(" at path ").map_or(text.as_str(), |(text, _)| text);
    io::Error::new(error.kind(), text)
}

/// Syncs a temporary file and renames it to `path`. After success the file survives a crash.
///
/// # Errors
/// Returns an error if the file cannot be synced or renamed. `path` is unchanged then.
pub fn finish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_parent(path)
}

/// Writes a complete file atomically: `path` always has the old bytes or the new ones. A symbolic link is followed. A
/// pipe or a device (`/dev/stdout`) is written directly.
///
/// # Errors
/// Returns an error if the file cannot be written. `path` is unchanged then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match fs::metadata(path) {
        Ok(found) if !found.is_file() => return OpenOptions::new().write(true).open(path)?.write_all(bytes),
        Ok(_) => fs::canonicalize(path)?,
        Err(_) => path.to_owned(),
    };
    let mut file = new_file_in(&parent(&target))?;
    file.as_file_mut().write_all(bytes)?;
    finish(file, &target)
}

/// Writes a file and syncs it. After a crash it may be truncated.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes the write permissions of a file. Read permissions are unchanged.
///
/// # Errors
/// Returns an error if the mode cannot be changed.
pub fn make_read_only(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(Permissions::from_mode(mode & 0o777 & !WRITE))
}

/// Syncs the folder that holds `path`, so that a name just created there survives a crash.
///
/// # Errors
/// Returns an error if the folder cannot be opened or synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match File::open(parent(path)).and_then(|folder| folder.sync_all()) {
        // Some file systems do not support this operation. On them a rename cannot be made more durable.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_folders_have_the_modes_of_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, below) = (folder.path().join("plain"), folder.path().join("below"));
        fs::write(&plain, "x").unwrap();
        fs::create_dir(&below).unwrap();
        let path = folder.path().join("atomic");
        write_atomic(&path, b"x").unwrap();
        assert_eq!(mode(&path), mode(&plain));
        assert_eq!(mode(new_folder_in(folder.path(), ".aside-").unwrap().path()), mode(&below));
        make_read_only(&File::open(&path).unwrap()).unwrap();
        assert_eq!(mode(&path), mode(&plain) & !WRITE);
    }

    #[test]
    fn file_behind_a_link_is_replaced_without_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        write_atomic(&path, b"old").unwrap();
        symlink("file", &link).unwrap();
        write_atomic(&link, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// A pipe stands in for a device: a broken implementation would replace a device of the machine.
    #[test]
    fn a_pipe_is_written_to_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write_atomic(&pipe, b"x").unwrap();
        assert_eq!(reader.join().unwrap(), b"x");
        assert!(!fs::metadata(&pipe).unwrap().is_file());
    }

    #[test]
    fn missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomic(&folder.path().join("none/file"), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!error.to_string().contains("none"), "a temporary name: {error}");
    }
}
