//! Finds the files below a folder and their metadata.
//!
//! Symbolic links are followed: a data set made of links has the content of the files that they point to. A folder that
//! contains itself through a link and a dangling link are errors.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

use super::FolderError;
use crate::FileError;
use crate::file_stat::{FileStat, join};

/// Minimum number of files per thread when reading metadata.
const LEAST_SHARE: usize = 256;

/// A file and its metadata when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Relative to the folder, with `/` between names.
    pub path: Box<str>,
    pub stat: FileStat,
}

impl FoundFile {
    /// The last name of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The result of a walk.
#[derive(Debug)]
pub(super) struct FoundFiles {
    /// In byte order of their paths.
    pub files: Vec<FoundFile>,
    /// Number of ignored files and folders.
    pub ignored: u64,
}

impl From<Vec<FoundFile>> for FoundFiles {
    fn from(files: Vec<FoundFile>) -> Self {
        Self { files, ignored: 0 }
    }
}

/// A folder that still has to be read.
struct Folder {
    path: PathBuf,
    /// Prefix of the names in the folder: empty, or a path that ends in `/`.
    prefix: String,
    above: Option<Arc<Above>>,
}

/// A parent folder, also through links.
struct Above {
    device: u64,
    inode: u64,
    above: Option<Arc<Above>>,
}

/// An entry of a folder.
enum Entry {
    File(FoundFile),
    Folder(Folder),
}

/// Returns every file below `root`. Names that are `ignored` are skipped, together with everything below them.
pub(super) fn walk(root: &Path, is_ignored: fn(&[u8]) -> bool) -> Result<FoundFiles, FolderError> {
    let mut files = Vec::new();
    let mut ignored = 0;
    let mut level = vec![Folder { path: root.to_owned(), prefix: String::new(), above: None }];
    // Level by level, so that neither depth nor width costs stack or open files.
    while !level.is_empty() {
        let read: Vec<(Vec<Entry>, u64)> =
            level.par_iter().map(|folder| read_folder(folder, is_ignored)).collect::<Result<_, _>>()?;
        level = Vec::new();
        ignored += read.iter().map(|(_, ignored)| ignored).sum::<u64>();
        for entry in read.into_iter().flat_map(|(entries, _)| entries) {
            match entry {
                Entry::File(file) => files.push(file),
                Entry::Folder(folder) => level.push(folder),
            }
        }
    }
    // The list consists of long sorted runs, which the stable sort exploits.
    files.par_sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    Ok(FoundFiles { files, ignored })
}

/// Returns the entries of a folder and the number of ignored names.
fn read_folder(folder: &Folder, is_ignored: fn(&[u8]) -> bool) -> Result<(Vec<Entry>, u64), FolderError> {
    let failed = |error: rustix::io::Errno| FileError::new("read the folder", &folder.path, error.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(&folder.path, flags, Mode::empty()).map_err(failed)?;
    let facts = rustix::fs::fstat(&handle).map_err(failed)?;
    let mut above = folder.above.as_ref();
    while let Some(outer) = above {
        if (outer.device, outer.inode) == (facts.st_dev, facts.st_ino) {
            return Err(FolderError::Loop { path: folder.path.clone() });
        }
        above = outer.above.as_ref();
    }
    let here = Arc::new(Above { device: facts.st_dev, inode: facts.st_ino, above: folder.above.clone() });

    let (mut names, ignored) = names(&handle, folder, is_ignored)?;
    names.par_sort_unstable();
    let entries = names.par_iter().with_min_len(LEAST_SHARE);
    let entries = entries.map(|(name, kind)| entry(&handle, folder, &here, name, *kind)).collect::<Result<_, _>>()?;
    Ok((entries, ignored))
}

/// Names in a folder, each with its kind.
type Names = Vec<(Box<str>, FileKind)>;

fn names(handle: &OwnedFd, folder: &Folder, is_ignored: fn(&[u8]) -> bool) -> Result<(Names, u64), FolderError> {
    let mut ignored = 0;
    let mut buffer = [const { MaybeUninit::uninit() }; 32 << 10];
    let mut directory = RawDir::new(handle, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = directory.next() {
        let entry = entry.map_err(|error| FileError::new("read the folder", &folder.path, error.into()))?;
        let name: &CStr = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if is_ignored(name.to_bytes()) {
            ignored += 1;
            continue;
        }
        let kind = if entry.file_type() == FileType::Directory { FileKind::Folder } else { FileKind::Other };
        match name.to_str() {
            Ok(name) => names.push((name.into(), kind)),
            Err(_) => {
                let name = name.to_string_lossy();
                return Err(FolderError::Name { path: folder.path.clone(), name: name.into_owned() });
            }
        }
    }
    Ok((names, ignored))
}

/// The file type reported by the directory entry. It avoids a stat call for folders.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FileKind {
    Folder,
    Other,
}

fn entry(
    handle: &OwnedFd,
    folder: &Folder,
    here: &Arc<Above>,
    name: &str,
    kind: FileKind,
) -> Result<Entry, FolderError> {
    let inner = |suffix: &str| Folder {
        path: folder.path.join(name),
        prefix: format!("{}{name}{suffix}", folder.prefix),
        above: Some(Arc::clone(here)),
    };
    if kind == FileKind::Folder {
        return Ok(Entry::Folder(inner("/")));
    }
    let facts = rustix::fs::statat(handle, name, AtFlags::empty())
        .map_err(|error| unreadable(&folder.path.join(name), error))?;
    match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => {
            let path = format!("{}{name}", folder.prefix).into_boxed_str();
            Ok(Entry::File(FoundFile { path, stat: file_stat(&facts) }))
        }
        FileType::Directory => Ok(Entry::Folder(inner("/"))),
        _ => Err(FolderError::NotAFile { path: folder.path.join(name) }),
    }
}

fn unreadable(path: &Path, error: rustix::io::Errno) -> FolderError {
    if error == rustix::io::Errno::NOENT && path.is_symlink() {
        return FolderError::DeadLink { path: path.to_owned() };
    }
    FileError::new("read", path, error.into()).into()
}

/// Returns the metadata of a regular file, following links.
pub(super) fn stat(path: &Path) -> Result<FileStat, FolderError> {
    let facts = rustix::fs::stat(path).map_err(|error| unreadable(path, error))?;
    match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => Ok(file_stat(&facts)),
        _ => Err(FolderError::NotAFile { path: path.to_owned() }),
    }
}

fn file_stat(facts: &rustix::fs::Stat) -> FileStat {
    // The widths of these fields differ between platforms.
    #[allow(clippy::unnecessary_cast)]
    FileStat {
        bytes: u64::try_from(facts.st_size).unwrap_or(0),
        modified_ns: join(facts.st_mtime as i64, facts.st_mtime_nsec as i64),
        changed_ns: join(facts.st_ctime as i64, facts.st_ctime_nsec as i64),
        inode: facts.st_ino as u64,
    }
}
