//! Memos: the remembered metadata and digests of a folder's files, one compact file per folder.
//!
//! ```text
//! memo    the text `tfnas.memo.v1\n`, the BLAKE3 of all that follows, then:
//!         text subject; text root, which the paths are relative to; text first line of the manifest;
//!         32 bytes digest of the complete manifest; count of the entries as u64 LE; the entries in byte order of their paths
//! text    length in bytes as u32 LE, then UTF-8
//! entry   text path; u64 LE size; i64 LE modified, i64 LE changed (nanoseconds since 1970); u64 LE inode;
//!         32 bytes digest
//! ```
//!
//! A memo only saves reading time. A damaged memo, or one of another version or subject, is ignored.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::FolderManifest;
use crate::digest::Hasher;
use crate::file_stat::FileStat;
use crate::{Digest, FileError, atomic_write};

const MAGIC: &[u8] = b"tfnas.memo.v1\n";
const HEAD: usize = MAGIC.len() + 32;

/// The change time stored for a file that may change without a change of its metadata. It equals no real change time.
const UNSETTLED: i64 = i64::MIN;

/// A memo as read from disk. Its entries are decoded one by one.
pub(super) struct Memo {
    bytes: Vec<u8>,
    entries: usize,
    /// The kind and path of the data.
    pub subject: String,
    /// The folder that paths are relative to.
    pub root: PathBuf,
    head: String,
    /// How many entries there are.
    pub count: u64,
    /// The digest of the complete manifest. `None` if the manifest had another first line.
    pub digest: Option<Digest>,
}

/// An entry of a memo.
pub(super) struct Remembered<'a> {
    pub path: &'a str,
    pub stat: FileStat,
    pub digest: Digest,
}

fn file(memos: &Path, subject: &str) -> PathBuf {
    memos.join(format!("{}.memo", Digest::of_bytes(subject.as_bytes())))
}

impl Memo {
    /// Reads the memo of a subject. Returns `None` if there is no usable memo.
    pub fn load(memos: &Path, subject: &str, head: &str) -> Option<Self> {
        let memo = Self::read(&file(memos, subject))?;
        let digest = memo.digest.filter(|_| memo.head == head);
        (memo.subject == subject).then_some(Self { digest, ..memo })
    }

    /// Reads all memos that can be used.
    pub fn all(memos: &Path) -> Result<Vec<Self>, FileError> {
        let mut names = atomic_write::names_in(memos)?;
        names.sort();
        Ok(names.into_iter().filter_map(|name| Self::read(&memos.join(name))).collect())
    }

    fn read(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let (checksum, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
        let mut hasher = Hasher::new();
        hasher.update(body);
        if hasher.finish().as_bytes() != checksum {
            return None;
        }
        let mut reader = Reader { rest: body };
        let mut text = || reader.text().map(str::to_owned);
        let (subject, root, head) = (text()?, text()?, text()?);
        let digest = Some(reader.digest()?);
        let count = u64::from_le_bytes(reader.array()?);
        let entries = bytes.len() - reader.rest.len();
        Some(Self { subject, root: root.into(), head, entries, count, digest, bytes })
    }

    /// Returns the entries in order, up to the first that cannot be decoded.
    pub fn entries(&self) -> impl Iterator<Item = Remembered<'_>> {
        let mut reader = Reader { rest: &self.bytes[self.entries..] };
        std::iter::from_fn(move || reader.entry())
    }

    /// Writes the memo of a subject. The file is not synced, because a lost memo costs only reading time; write errors
    /// are ignored for the same reason.
    ///
    /// * `stats`: the metadata of the manifest's files, in order, each with whether any later write changes it.
    pub fn save<'a>(
        memos: &Path,
        subject: &str,
        root: &Path,
        manifest: &FolderManifest,
        digest: &Digest,
        stats: impl Iterator<Item = (&'a FileStat, bool)>,
    ) {
        let files = manifest.entries();
        let mut bytes = Vec::with_capacity(HEAD + files.len() * 112);
        bytes.extend(MAGIC);
        bytes.extend([0; 32]);
        push_text(&mut bytes, subject);
        push_text(&mut bytes, &root.to_string_lossy());
        push_text(&mut bytes, &manifest.head);
        bytes.extend(digest.as_bytes());
        bytes.extend((files.len() as u64).to_le_bytes());
        for (file, (stat, settled)) in files.iter().zip(stats) {
            push_text(&mut bytes, &file.path);
            bytes.extend(stat.bytes.to_le_bytes());
            bytes.extend(stat.modified_ns.to_le_bytes());
            bytes.extend(if settled { stat.changed_ns } else { UNSETTLED }.to_le_bytes());
            bytes.extend(stat.inode.to_le_bytes());
            bytes.extend(file.digest.as_bytes());
        }
        let mut hasher = Hasher::new();
        hasher.update(&bytes[HEAD..]);
        bytes[MAGIC.len()..HEAD].copy_from_slice(hasher.finish().as_bytes());
        if let Ok(mut new) = atomic_write::start_file(memos)
            && new.write_all(&bytes).is_ok()
        {
            let _ = new.persist(file(memos, subject));
        }
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Reads values from the front of a byte slice. Returns `None` if too few bytes are left.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u32::from_le_bytes(self.array()?);
        std::str::from_utf8(self.take(length as usize)?).ok()
    }

    fn digest(&mut self) -> Option<Digest> {
        self.array().map(Digest::from_bytes)
    }

    fn entry(&mut self) -> Option<Remembered<'a>> {
        let path = self.text()?;
        let stat = FileStat {
            bytes: u64::from_le_bytes(self.array()?),
            modified_ns: i64::from_le_bytes(self.array()?),
            changed_ns: i64::from_le_bytes(self.array()?),
            inode: u64::from_le_bytes(self.array()?),
        };
        Some(Remembered { path, stat, digest: self.digest()? })
    }
}
