//! The identity of external image folders, lists and files. It depends on their content, not on their location or
//! modification times.
//!
//! A file is read only if its size, modification time, change time or inode differs from the last time it was read. A
//! file that was written so shortly before it was read that another write could go unnoticed is read again next time.

mod manifest;
mod memo;
mod recheck;
#[cfg(test)]
mod tests;
mod walk;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::file_stat::{FileStat, TimestampSource, now_ns};
use crate::{Digest, FileError};
use memo::Memo;
use walk::{FoundFile, FoundFiles};

pub use manifest::{FolderManifest, ManifestEntry, ParseManifestError};
pub use recheck::{FolderCheck, check_folders};

/// So many missing files are named.
const NAMED: usize = 3;

/// The reason why data cannot be identified by its content.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder without files, or a list without names.
    #[error("{} holds no files", path.display())]
    Empty {
        /// The folder or list.
        path: PathBuf,
    },
    /// A name that is not UTF-8.
    #[error("the folder {} holds a name that is not UTF-8: {name:?} (rename it)", path.display())]
    Name {
        /// The folder.
        path: PathBuf,
        /// The name, as far as it can be shown.
        name: String,
    },
    /// A pipe, socket or device.
    #[error("{} is neither a file nor a folder (remove it from the data)", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// A symbolic link to nothing.
    #[error("{} is a broken symbolic link (remove or repair it)", path.display())]
    DeadLink {
        /// The link.
        path: PathBuf,
    },
    /// A symbolic link to a folder that the link is in.
    #[error("{} contains itself through a symbolic link (remove the link)", path.display())]
    Loop {
        /// The folder, through the link.
        path: PathBuf,
    },
    /// Files of a list that do not exist.
    #[error("{} names {count} files that are not below {}, first {}", list.display(), root.display(), first.join(", "))]
    Missing {
        /// The list.
        list: PathBuf,
        /// Where its files should be.
        root: PathBuf,
        /// How many are not.
        count: usize,
        /// The first three.
        first: Vec<String>,
    },
    /// Something writes there.
    #[error("{} changed while it was read: run again when no program writes to it", path.display())]
    Changed {
        /// The file, or the folder.
        path: PathBuf,
    },
}

/// Which files of a folder count, by their names as bytes, which need be no UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct FolderRules {
    /// Returns whether a file or folder of this name is ignored, at any depth.
    pub is_ignored: fn(&[u8]) -> bool,
    /// Whether a file of this name is data today and was passed over by earlier versions: with such a file a folder has
    /// another identity than it had then.
    pub is_new: fn(&[u8]) -> bool,
}

impl Default for FolderRules {
    /// Everything counts.
    fn default() -> Self {
        Self { is_ignored: |_| false, is_new: |_| false }
    }
}

/// Data identified by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputIdentity {
    /// For a folder or list the digest of the manifest's text, for one file that of its bytes.
    pub digest: Digest,
    /// How many files it is.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
    /// Number of files that were read now. The other files were unchanged.
    pub hashed: u64,
    /// Number of files and folders excluded by the rules. The content of an excluded folder is not counted.
    pub ignored: u64,
    /// The files.
    pub manifest: FolderManifest,
}

/// Identifies a folder by the relative paths, sizes and digests of all files below it. Symbolic links are followed.
///
/// * `rules`: which files count.
/// * `memos`: the folder for remembered digests, [`Store::folder_memos`](crate::Store::folder_memos). With `None`,
///   every file is read and nothing is remembered.
///
/// # Errors
/// Returns [`FolderError`] with the first file or folder that cannot be identified.
pub fn identify_folder(root: &Path, rules: &FolderRules, memos: Option<&Path>) -> Result<InputIdentity, FolderError> {
    let root = fs::canonicalize(root).map_err(FileError::of("open the folder", root))?;
    let subject = Subject {
        name: format!("folder {}", root.to_string_lossy()),
        head: manifest::FOLDER.to_owned(),
        is_new: rules.is_new,
        files: &|| walk::walk(&root, rules.is_ignored),
        root: &root,
        memos,
    };
    subject.identify()
}

/// Identifies a list and the files below `root` that it names. Other files below `root` are ignored. Symbolic links are
/// followed.
///
/// * `list`: the file with the list, identified by its bytes.
/// * `paths`: the paths in the list, relative to `root`.
/// * `memos`: as for [`identify_folder`].
///
/// # Errors
/// Returns [`FolderError`] with the first file that cannot be identified; [`FolderError::Missing`] counts the files
/// that do not exist.
pub fn identify_list<'a>(
    list: &Path,
    root: &Path,
    paths: impl IntoIterator<Item = &'a str>,
    memos: Option<&Path>,
) -> Result<InputIdentity, FolderError> {
    let (of_list, _) = Digest::of_file(list)?;
    let root = fs::canonicalize(root).map_err(FileError::of("open the folder", root))?;
    let mut paths: Vec<&str> = paths.into_iter().collect();
    paths.par_sort_unstable();
    paths.dedup();
    if paths.is_empty() {
        return Err(FolderError::Empty { path: list.to_owned() });
    }
    let subject = Subject {
        name: format!("list {} {}", list.to_string_lossy(), root.to_string_lossy()),
        head: format!("{} {of_list}", manifest::LIST),
        is_new: |_| false,
        files: &|| named_files(list, &root, &paths).map(FoundFiles::from),
        root: &root,
        memos,
    };
    subject.identify()
}

/// Identifies one file by its bytes.
///
/// * `memos`: as for [`identify_folder`].
///
/// # Errors
/// Returns [`FolderError`] if the file cannot be read.
pub fn identify_file(path: &Path, memos: Option<&Path>) -> Result<InputIdentity, FolderError> {
    let path = fs::canonicalize(path).map_err(FileError::of("open", path))?;
    let name = path.file_name().unwrap_or_default();
    let found = |stat| FoundFile { path: name.to_string_lossy().into(), stat };
    let subject = Subject {
        name: format!("file {}", path.to_string_lossy()),
        head: manifest::FOLDER.to_owned(),
        is_new: |_| false,
        files: &|| Ok(vec![found(walk::stat(&path)?)].into()),
        root: path.parent().unwrap_or(Path::new("/")),
        memos,
    };
    let identity = subject.identify()?;
    let digest = identity.manifest.entries.first().map(|entry| entry.digest);
    Ok(InputIdentity { digest: digest.unwrap_or(identity.digest), ..identity })
}

fn named_files(list: &Path, root: &Path, paths: &[&str]) -> Result<Vec<FoundFile>, FolderError> {
    let found: Vec<Result<FoundFile, FolderError>> = paths
        .par_iter()
        .with_min_len(256)
        .map(|path| Ok(FoundFile { path: (*path).into(), stat: walk::stat(&root.join(path))? }))
        .collect();
    let absent = |result: &Result<_, FolderError>| match result {
        Err(FolderError::File(error)) => {
            matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        }
        _ => false,
    };
    let missing: Vec<&str> =
        paths.iter().zip(&found).filter(|(_, result)| absent(result)).map(|(path, _)| *path).collect();
    if !missing.is_empty() {
        return Err(FolderError::Missing {
            list: list.to_owned(),
            root: root.to_owned(),
            count: missing.len(),
            first: missing.iter().take(NAMED).map(|path| (*path).to_owned()).collect(),
        });
    }
    found.into_iter().collect()
}

/// The data to identify.
struct Subject<'a> {
    /// Under which it is remembered.
    name: String,
    /// The first line of its manifest.
    head: String,
    /// Returns whether a file of this name requires the newer first line of the manifest.
    is_new: fn(&[u8]) -> bool,
    /// Finds its files.
    files: &'a (dyn Fn() -> Result<FoundFiles, FolderError> + Sync),
    /// The folder that paths are relative to.
    root: &'a Path,
    memos: Option<&'a Path>,
}

impl Subject<'_> {
    fn identify(&self) -> Result<InputIdentity, FolderError> {
        let clock = TimestampSource::of(self.root);
        let started_ns = now_ns();
        let FoundFiles { files: found, ignored } = (self.files)()?;
        if found.is_empty() {
            return Err(FolderError::Empty { path: self.root.to_owned() });
        }
        let has_new = found.iter().any(|file| (self.is_new)(file.name().as_bytes()));
        let head = if has_new { manifest::FOLDER_WITH_NEW } else { self.head.as_str() };
        let memo = self.memos.and_then(|memos| Memo::load(memos, &self.name, head));
        let mut digests = remembered(&found, memo.as_ref());
        let new: Vec<usize> = (0..found.len()).filter(|&index| digests[index].is_none()).collect();
        let hashed: Vec<Digest> = new
            .par_iter()
            .with_max_len(64)
            .map_init(Vec::new, |buffer, &index| self.hash(&found[index], buffer))
            .collect::<Result<_, _>>()?;
        for (&index, digest) in new.iter().zip(&hashed) {
            digests[index] = Some(*digest);
        }
        let digests: Vec<Digest> = digests.into_iter().flatten().collect();
        // Hashing takes long: files may have been added, removed or changed meanwhile.
        if !new.is_empty() && (self.files)()?.files != found {
            return Err(FolderError::Changed { path: self.root.to_owned() });
        }

        let unchanged = memo.as_ref().filter(|memo| new.is_empty() && memo.count == found.len() as u64);
        let known = unchanged.and_then(|memo| memo.digest);
        drop(memo);
        let manifest = |found: Vec<FoundFile>| FolderManifest {
            head: head.to_owned(),
            entries: found
                .into_iter()
                .zip(&digests)
                .map(|(file, digest)| ManifestEntry { path: file.path, bytes: file.stat.bytes, digest: *digest })
                .collect(),
        };
        let (digest, manifest) = match known {
            Some(digest) => (digest, manifest(found)),
            None => {
                let stats: Vec<FileStat> = found.iter().map(|file| file.stat).collect();
                let manifest = manifest(found);
                let digest = manifest.digest();
                if let Some(memos) = self.memos {
                    let settled = stats.iter().map(|stat| stat.is_settled(started_ns, clock));
                    Memo::save(memos, &self.name, self.root, &manifest, &digest, stats.iter().zip(settled));
                }
                (digest, manifest)
            }
        };
        Ok(InputIdentity {
            digest,
            files: manifest.entries.len() as u64,
            bytes: manifest.entries.iter().map(|entry| entry.bytes).sum(),
            hashed: hashed.len() as u64,
            ignored,
            manifest,
        })
    }

    /// Hashes a file that is still as it was found, and stays so while it is read.
    fn hash(&self, found: &FoundFile, buffer: &mut Vec<u8>) -> Result<Digest, FolderError> {
        let path = self.root.join(&*found.path);
        let mut file = File::open(&path).map_err(FileError::of("open", &path))?;
        let is_as_found = |file: &File| -> Result<bool, FileError> {
            Ok(FileStat::of(&file.metadata().map_err(FileError::of("read", &path))?) == found.stat)
        };
        if !is_as_found(&file)? {
            return Err(FolderError::Changed { path });
        }
        let (digest, _) = Digest::of_reader_with(&mut file, buffer).map_err(FileError::of("read", &path))?;
        if !is_as_found(&file)? {
            return Err(FolderError::Changed { path });
        }
        Ok(digest)
    }
}

/// Returns the remembered digest of each unchanged file. Both lists are sorted by path.
fn remembered(found: &[FoundFile], memo: Option<&Memo>) -> Vec<Option<Digest>> {
    let mut known = memo.into_iter().flat_map(Memo::entries).peekable();
    found
        .iter()
        .map(|file| {
            while known.next_if(|entry| entry.path.as_bytes() < file.path.as_bytes()).is_some() {}
            let entry = known.next_if(|entry| entry.path == &*file.path)?;
            (entry.stat == file.stat).then_some(entry.digest)
        })
        .collect()
}
