//! Finds the files below a folder, with what the file system says of each.
//!
//! Symbolic links are followed: a data set of links has the content that they lead to. A folder that contains itself by
//! a link is an error, and so are links to nothing.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

use super::FolderError;
use crate::FileError;
use crate::stamp::{Stamp, join};

/// Files asked for by one thread at a time; fewer are not worth another thread.
const LEAST_SHARE: usize = 256;

/// A file, and what it looked like when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Relative to the folder, with `/` between names.
    pub path: Box<str>,
    pub stamp: Stamp,
}

/// A folder still to be read.
struct Folder {
    path: PathBuf,
    /// What stands before the names in it: empty, or a path that ends in `/`.
    prefix: String,
    above: Option<Arc<Above>>,
}

/// A folder that the one being read lies in, by way of links too.
struct Above {
    device: u64,
    inode: u64,
    above: Option<Arc<Above>>,
}

/// What a name in a folder stands for.
enum Entry {
    File(FoundFile),
    Folder(Folder),
}

/// Returns every file below `root`, in byte order of the relative paths.
pub(super) fn walk(root: &Path) -> Result<Vec<FoundFile>, FolderError> {
    let mut files = Vec::new();
    let mut level = vec![Folder { path: root.to_owned(), prefix: String::new(), above: None }];
    // Level by level, so that neither depth nor width costs stack or open files.
    while !level.is_empty() {
        let read: Vec<Vec<Entry>> = level.par_iter().map(read_folder).collect::<Result<_, _>>()?;
        level = Vec::new();
        for entry in read.into_iter().flatten() {
            match entry {
                Entry::File(file) => files.push(file),
                Entry::Folder(folder) => level.push(folder),
            }
        }
    }
    // What was read is made of long sorted stretches, which a stable sort makes use of.
    files.par_sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    Ok(files)
}

fn read_folder(folder: &Folder) -> Result<Vec<Entry>, FolderError> {
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

    let mut names = names(&handle, folder)?;
    names.par_sort_unstable();
    names.par_iter().with_min_len(LEAST_SHARE).map(|(name, kind)| entry(&handle, folder, &here, name, *kind)).collect()
}

fn names(handle: &OwnedFd, folder: &Folder) -> Result<Vec<(Box<str>, FileKind)>, FolderError> {
    let mut buffer = [const { MaybeUninit::uninit() }; 32 << 10];
    let mut directory = RawDir::new(handle, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = directory.next() {
        let entry = entry.map_err(|error| FileError::new("read the folder", &folder.path, error.into()))?;
        let name: &CStr = entry.file_name();
        if name == c"." || name == c".." {
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
    Ok(names)
}

/// What a folder says about a name in it, which spares asking for what is a folder itself.
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
            Ok(Entry::File(FoundFile { path, stamp: stamp(&facts) }))
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

/// Returns what the file system says of a regular file, links followed.
pub(super) fn stat(path: &Path) -> Result<Stamp, FolderError> {
    let facts = rustix::fs::stat(path).map_err(|error| unreadable(path, error))?;
    match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => Ok(stamp(&facts)),
        _ => Err(FolderError::NotAFile { path: path.to_owned() }),
    }
}

fn stamp(facts: &rustix::fs::Stat) -> Stamp {
    // The widths of these fields differ between platforms.
    #[allow(clippy::unnecessary_cast)]
    Stamp {
        bytes: u64::try_from(facts.st_size).unwrap_or(0),
        modified_ns: join(facts.st_mtime as i64, facts.st_mtime_nsec as i64),
        changed_ns: join(facts.st_ctime as i64, facts.st_ctime_nsec as i64),
        inode: facts.st_ino as u64,
    }
}
