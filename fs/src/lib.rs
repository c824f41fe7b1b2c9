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

/// How a path that the user names for output is written.
#[derive(Debug)]
pub enum Output {
    /// To a new file that is renamed to this path. Links are resolved.
    Renamed(PathBuf),
    /// To an open file: a pipe, a device, or what a process has open (`/dev/stdout`). It cannot be replaced.
    Direct(File),
}

/// Determines how a path is written.
///
/// # Errors
/// Returns an error if the path is a folder, a link to nothing, or a device that cannot be opened.
pub fn output(path: &Path) -> io::Result<Output> {
    match fs::metadata(path) {
        // Appending, because a shell may have opened the file with `>>`.
        Ok(found) if !found.is_file() || is_open_file(path) => {
            OpenOptions::new().append(true).open(path).map(Output::Direct)
        }
        Ok(_) => fs::canonicalize(path).map(Output::Renamed),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            Err(io::Error::other("it is a symbolic link to a file that does not exist"))
        }
        Err(_) => Ok(Output::Renamed(path.to_owned())),
    }
}

/// Whether a path, or the link that it is, names a file that a process has open, such as `/dev/stdout` and `/proc/self/fd/1`.
fn is_open_file(path: &Path) -> bool {
    let is_in_proc = |path: &Path| fs::canonicalize(parent(path)).is_ok_and(|folder| folder.starts_with("/proc"));
    is_in_proc(path) || fs::read_link(path).is_ok_and(|link| is_in_proc(&link))
}

/// Writes a complete file atomically: `path` always has the old bytes or the new ones. A symbolic link is followed. A
/// pipe or a device, and `/dev/stdout`, are written directly.
///
/// # Errors
/// Returns an error if the file cannot be written. `path` is unchanged then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match output(path)? {
        Output::Direct(mut file) => file.write_all(bytes),
        Output::Renamed(target) => {
            let mut file = new_file_in(&parent(&target))?;
            file.as_file_mut().write_all(bytes)?;
            finish(file, &target)
        }
    }
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
    let is_tolerated = |kind| {
        matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
    };
    match File::open(parent(path)).and_then(|folder| folder.sync_all()) {
        // Some file systems do not support this operation, and a folder that may be written may not be readable. A rename
        // cannot be made more durable then.
        Err(error) if is_tolerated(error.kind()) => Ok(()),
        result => result,
    }
}

/// Returns the folder that holds `path`; `.` for a plain name.
pub fn parent(path: &Path) -> PathBuf {
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
    fn an_open_file_is_appended_to_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "old ").unwrap();
        let open = File::open(&path).unwrap();
        let descriptor = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open)));
        let link = folder.path().join("stdout");
        symlink(&descriptor, &link).unwrap();
        for path in [&descriptor, &link] {
            write_atomic(path, b"new ").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "old new new ");
        fs::remove_file(&path).unwrap();
        write_atomic(&descriptor, b"newer").unwrap();
        assert!(!path.exists(), "a removed file stays removed");
    }

    #[test]
    fn a_link_to_nothing_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("nowhere", &link).unwrap();
        assert!(write_atomic(&link, b"x").unwrap_err().to_string().contains("does not exist"));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
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
