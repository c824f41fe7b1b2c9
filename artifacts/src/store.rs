//! The content-addressed store: immutable files, each named by the digest of its content.
//!
//! An object appears under its name complete and synced, or not at all. Readers hash an object before they use it
//! ([`Store::open_verified`]); look-ups may skip the hashing if the file's metadata has not changed since it was last
//! hashed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tfnas_fs::Output;

use crate::atomic_write::{self, Access};
use crate::digest::{Hasher, read_blocks};
use crate::file_stat::{FileStat, TimestampSource, now_ns};
use crate::format::{self, FormatError};
use crate::{ActionKey, AttemptId, Digest, FileError, Purpose, RunId};

/// The folders of a store. The front page of the crate describes them.
const FOLDERS: [&str; 11] = [
    "attempts",
    "detached",
    "folders",
    "locks",
    "logs",
    "manifests",
    "objects",
    "programs",
    "quarantine",
    "resume",
    "tmp",
];

/// Immutable files named by digest, in a cache's folder.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    clock: TimestampSource,
}

/// What becomes of a file that the store adopts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Original {
    /// It is moved.
    Moved,
    /// It stays, as a second name of the object if possible. The caller removes it soon.
    Kept,
}

/// The reason why an object cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The object is missing.
    #[error("artifact {} is not in the store: {} does not exist", digest.short(), path.display())]
    Missing {
        /// Its digest.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
    },
    /// Its bytes have another digest.
    #[error(
        "artifact {} is damaged: the bytes in {} have the digest {}",
        digest.short(), path.display(), found.short()
    )]
    Damaged {
        /// Its digest.
        digest: Digest,
        /// The digest of the bytes that are there.
        found: Digest,
        /// Where the damaged bytes are now.
        path: PathBuf,
    },
    /// Its file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// An object found unharmed.
#[derive(Debug)]
pub(crate) struct Verified {
    pub path: PathBuf,
    /// To be remembered, if the object was hashed now and no later write could go unnoticed.
    pub stat: Option<FileStat>,
}

impl Store {
    /// Opens the store in `root`, creating it if need be.
    pub(crate) fn open(root: &Path) -> Result<Self, FormatError> {
        if !format::check(root)? {
            format::create(root)?;
        }
        let store = Self { root: root.to_owned(), clock: TimestampSource::of(root) };
        for folder in FOLDERS {
            atomic_write::create_durable_folder(&root.join(folder))?;
        }
        store.check_writable()?;
        Ok(store)
    }

    /// Opens the store in `root` for reading. The folder may be missing.
    pub(crate) fn open_to_read(root: &Path) -> Result<Self, FormatError> {
        format::check(root)?;
        Ok(Self { root: root.to_owned(), clock: TimestampSource::of(root) })
    }

    /// A store that cannot be written is better known now than after the first stage.
    fn check_writable(&self) -> Result<(), FileError> {
        rustix::fs::access(self.temporary(), rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .map_err(|error| FileError::new("write to the store", &self.root, error.into()))
    }

    /// Returns the cache's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of the object with this digest, whether or not it exists.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join("objects").join(&name[..2]).join(&name[2..])
    }

    /// Returns whether an object with this digest exists. Its content is not verified.
    pub fn contains(&self, digest: &Digest) -> bool {
        fs::symlink_metadata(self.path(digest)).is_ok_and(|metadata| metadata.is_file())
    }

    /// Returns the folder for remembered digests of image folders, for [`identify_folder`](crate::identify_folder).
    pub fn folder_memos(&self) -> PathBuf {
        self.root.join("folders")
    }

    /// Returns the folder for remembered digests of programs and libraries, for
    /// [`identify_file`](crate::identify_file).
    pub fn program_memos(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// Returns the file that holds the page of a run, if one was written.
    pub fn report_file(&self, run: RunId) -> PathBuf {
        self.root.join("reports").join(format!("{run}.html"))
    }

    /// Returns the file to which a run appends its events. It may be missing.
    pub fn event_file(&self, run: RunId) -> PathBuf {
        self.root.join("events").join(format!("{run}.jsonl"))
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn lock_file(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    pub(crate) fn key_lock_file(&self, key: &ActionKey) -> PathBuf {
        self.lock_file(&format!("key-{key}"))
    }

    pub(crate) fn output_folder(&self, attempt: &AttemptId) -> PathBuf {
        self.root.join("attempts").join(attempt.as_str())
    }

    pub(crate) fn detached(&self) -> PathBuf {
        self.root.join("detached")
    }

    pub(crate) fn detached_folder(&self, attempt: &AttemptId) -> PathBuf {
        self.detached().join(attempt.as_str())
    }

    /// Returns whether the store is on a network or parallel file system. Other machines may see a change some seconds
    /// after it was made.
    pub fn is_shared(&self) -> bool {
        self.clock == TimestampSource::Remote
    }

    /// Returns the folder of a key's resume point. Checks have a separate folder, because they start from scratch.
    pub(crate) fn resume_folder(&self, key: &ActionKey, purpose: Purpose) -> PathBuf {
        let name = match purpose {
            Purpose::Run => key.to_string(),
            Purpose::Check => format!("{key}.check"),
        };
        self.root.join("resume").join(name)
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    pub(crate) fn manifest_folder(&self, key: &ActionKey) -> PathBuf {
        self.manifests().join(key.to_string())
    }

    /// Returns the file that holds the log of an attempt's worker, if it wrote one.
    pub fn log_file(&self, attempt: &AttemptId) -> PathBuf {
        self.root.join("logs").join(format!("{attempt}.log"))
    }

    pub(crate) fn trace_file(&self, attempt: &AttemptId) -> PathBuf {
        self.root.join("logs").join(format!("{attempt}.trace.json"))
    }

    /// Copies a file into the store. Returns its digest and size.
    ///
    /// # Errors
    /// Returns [`FileError`] if the file cannot be read or the store cannot be written.
    pub fn ingest_file(&self, path: &Path) -> Result<(Digest, u64), FileError> {
        let mut source = open_regular(path)?;
        let mut target = atomic_write::start_file(&self.temporary())?;
        let mut hasher = Hasher::new();
        let mut write_error = None;
        let read = read_blocks(&mut source, &mut Vec::new(), |block| {
            hasher.update(block);
            target.as_file_mut().write_all(block).map_err(|error| {
                write_error = Some(error);
                io::Error::other("the copy failed")
            })
        });
        if let Some(error) = write_error {
            return Err(FileError::new("write into", &self.root, error));
        }
        let bytes = read.map_err(FileError::of("read", path))?;
        let digest = hasher.finish();
        atomic_write::finish_file(target, &self.place_for(&digest)?, Access::ReadOnly)?;
        Ok((digest, bytes))
    }

    /// Writes bytes into the store. Returns their digest.
    ///
    /// # Errors
    /// Returns [`FileError`] if the store cannot be written.
    pub fn ingest_bytes(&self, bytes: &[u8]) -> Result<Digest, FileError> {
        let digest = Digest::of_bytes(bytes);
        atomic_write::write_file(&self.place_for(&digest)?, bytes, &self.temporary(), Access::ReadOnly)?;
        Ok(digest)
    }

    /// Adds a finished file to the store without copying it, if possible.
    pub(crate) fn adopt(&self, path: &Path, original: Original) -> Result<(Digest, u64), FileError> {
        let mut file = open_regular(path)?;
        let before = file.metadata().map_err(FileError::of("read", path))?;
        // A second name would be a way to change the object, another file system's file cannot be renamed.
        let objects = self.root.join("objects");
        let device = fs::metadata(&objects).map_err(FileError::of("open", &objects))?.dev();
        if before.nlink() > 1 || before.dev() != device {
            return self.ingest_file(path);
        }
        let (digest, bytes) = Digest::of_reader(&mut file).map_err(FileError::of("read", path))?;
        tfnas_fs::make_read_only(&file).map_err(FileError::of("set the mode of", path))?;
        file.sync_all().map_err(FileError::of("write", path))?;
        let place = self.place_for(&digest)?;
        let moved = match original {
            Original::Moved => path.to_owned(),
            Original::Kept => {
                let link = self.temporary().join(format!("{digest}-{}-{}", std::process::id(), now_ns()));
                if fs::hard_link(path, &link).is_err() {
                    // The file system has no links.
                    return self.ingest_file(path);
                }
                link
            }
        };
        // Over an object of the same name, should there be one: if that one is damaged, this one is not.
        fs::rename(&moved, &place).map_err(FileError::of("write", &place))?;
        atomic_write::sync_parent(&place)?;
        Ok((digest, bytes))
    }

    /// Returns the path for a new object, in a folder that exists.
    pub(crate) fn place_for(&self, digest: &Digest) -> Result<PathBuf, FileError> {
        let path = self.path(digest);
        if let Some(folder) = path.parent() {
            atomic_write::create_durable_folder(folder)?;
        }
        Ok(path)
    }

    /// Returns the object with this digest if it is undamaged. It is hashed unless its metadata equals `remembered`.
    pub(crate) fn check(&self, digest: &Digest, remembered: Option<&FileStat>) -> Result<Verified, ObjectError> {
        let path = self.path(digest);
        let read_ns = now_ns();
        let mut file = match open_regular(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(ObjectError::Missing { digest: *digest, path });
            }
            Err(error) => return Err(error.into()),
        };
        let stat = FileStat::of(&file.metadata().map_err(FileError::of("read", &path))?);
        if remembered == Some(&stat) {
            return Ok(Verified { path, stat: None });
        }
        let (found, _) = Digest::of_reader(&mut file).map_err(FileError::of("read", &path))?;
        if found != *digest {
            return Err(ObjectError::Damaged { digest: *digest, found, path });
        }
        Ok(Verified { path, stat: stat.is_settled(read_ns, self.clock).then_some(stat) })
    }

    /// Hashes a complete object and returns its path. A damaged object is quarantined. All readers of objects use this
    /// function.
    ///
    /// # Errors
    /// Returns [`ObjectError`] if the object is missing, damaged or unreadable.
    pub fn open_verified(&self, digest: &Digest) -> Result<PathBuf, ObjectError> {
        match self.check(digest, None) {
            Ok(verified) => Ok(verified.path),
            Err(error) => Err(self.quarantine(error)),
        }
    }

    /// Moves a damaged object to quarantine and returns the error with its new path. Other errors are returned
    /// unchanged.
    pub(crate) fn quarantine(&self, error: ObjectError) -> ObjectError {
        let ObjectError::Damaged { digest, found, path } = error else { return error };
        let aside = self.root.join("quarantine").join(format!("{digest}-{}", now_ns()));
        match fs::rename(&path, &aside) {
            Ok(()) => ObjectError::Damaged { digest, found, path: aside },
            // Another process was faster.
            Err(rename) if rename.kind() == io::ErrorKind::NotFound => ObjectError::Missing { digest, path },
            Err(rename) => FileError::new("move the damaged artifact", &path, rename).into(),
        }
    }

    /// Copies an object to a file outside the store and verifies it. The file is written atomically, except for a pipe or a
    /// device.
    ///
    /// # Errors
    /// Returns [`ObjectError`] if the object is missing or damaged, or the file cannot be written.
    pub fn export(&self, digest: &Digest, target: &Path) -> Result<(), ObjectError> {
        let source = self.open_verified(digest)?;
        let mut file = open_regular(&source)?;
        let renamed = match tfnas_fs::output(target).map_err(FileError::of("write", target))? {
            Output::Renamed(path) => path,
            Output::Direct(mut output) => {
                io::copy(&mut file, &mut output).map_err(FileError::of("write", target))?;
                return Ok(());
            }
        };
        let mut copy = atomic_write::start_file(&tfnas_fs::parent(&renamed))?;
        io::copy(&mut file, copy.as_file_mut()).map_err(FileError::of("write", target))?;
        let (found, _) = Digest::of_file(copy.path())?;
        if found != *digest {
            return Err(ObjectError::Damaged { digest: *digest, found, path: source });
        }
        Ok(atomic_write::finish_file(copy, &renamed, Access::Writable)?)
    }

    /// Removes an object if it exists. Returns the number of bytes freed.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<u64, FileError> {
        let path = self.path(digest);
        let bytes = fs::symlink_metadata(&path).map(|metadata| metadata.len()).unwrap_or(0);
        atomic_write::remove_file(&path)?;
        Ok(bytes)
    }

    /// Returns the digest and size of every object, in order of the digests. Files with other names are skipped.
    ///
    /// # Errors
    /// Returns [`FileError`] with the folder that cannot be listed.
    pub fn objects(&self) -> Result<Vec<(Digest, u64)>, FileError> {
        let objects = self.root.join("objects");
        let mut found = Vec::new();
        for prefix in atomic_write::names_in(&objects)? {
            let folder = objects.join(&prefix);
            let entries = fs::read_dir(&folder).map_err(FileError::of("list", &folder))?;
            for entry in entries {
                let entry = entry.map_err(FileError::of("list", &folder))?;
                let name = format!("{}{}", prefix.to_string_lossy(), entry.file_name().to_string_lossy());
                // Skip an object that was removed in the meantime.
                if let (Ok(digest), Ok(metadata)) = (name.parse(), entry.metadata()) {
                    found.push((digest, metadata.len()));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Opens a regular file. Never follows a link, never waits for a pipe.
pub(crate) fn open_regular(path: &Path) -> Result<File, FileError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags).expect("flags of open(2) are an int"))
        .open(path)
        .map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => FileError::new("read", path, io::Error::other("it is a symbolic link")),
            _ => FileError::new("open", path, error),
        })?;
    let metadata = file.metadata().map_err(FileError::of("open", path))?;
    if !metadata.is_file() {
        return Err(FileError::new("read", path, io::Error::other("it is not a regular file")));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        (folder, store)
    }

    /// Overwrites an object in place, as a failing disk does. Keeps the size and the modification time.
    fn damage(path: &Path) {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut bytes = fs::read(path).unwrap();
        bytes[0] ^= 1;
        fs::write(path, bytes).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }

    #[test]
    fn ingested_objects_are_read_by_digest_and_read_only() {
        let (folder, store) = store();
        let source = folder.path().join("weights");
        fs::write(&source, b"weights").unwrap();
        let (digest, bytes) = store.ingest_file(&source).unwrap();
        assert_eq!((digest, bytes), (Digest::of_bytes(b"weights"), 7));
        let path = store.open_verified(&digest).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"weights");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o222, 0);
        assert!(source.exists(), "the source is copied, not moved");
        assert_eq!(store.ingest_bytes(b"weights").unwrap(), digest);
        assert_eq!(store.objects().unwrap(), [(digest, 7)]);
        assert!(atomic_write::names_in(&store.temporary()).unwrap().is_empty());
    }

    #[test]
    fn adopted_file_is_moved_or_copied_if_it_has_several_links() {
        let (_folder, store) = store();
        let attempt = store.root().join("attempts/x");
        fs::create_dir(&attempt).unwrap();
        let file = attempt.join("file");
        fs::write(&file, b"one").unwrap();
        let inode = fs::metadata(&file).unwrap().ino();
        let (digest, _) = store.adopt(&file, Original::Moved).unwrap();
        assert_eq!(fs::metadata(store.path(&digest)).unwrap().ino(), inode);
        assert!(!file.exists());

        fs::write(&file, b"two").unwrap();
        fs::hard_link(&file, attempt.join("other")).unwrap();
        let (digest, _) = store.adopt(&file, Original::Moved).unwrap();
        fs::write(attempt.join("other"), b"bad").unwrap();
        assert_eq!(fs::read(store.open_verified(&digest).unwrap()).unwrap(), b"two");
    }

    #[test]
    fn kept_file_can_be_adopted_again() {
        let (_folder, store) = store();
        let file = store.root().join("attempts/file");
        fs::write(&file, b"one").unwrap();
        let (digest, _) = store.adopt(&file, Original::Kept).unwrap();
        assert!(file.exists());
        // As after a planner that was killed during a commit.
        assert_eq!(store.adopt(&file, Original::Kept).unwrap(), (digest, 3));
        assert_eq!(fs::metadata(store.path(&digest)).unwrap().nlink(), 1, "the second adoption copies");
        fs::remove_file(&file).unwrap();
        store.open_verified(&digest).unwrap();
        assert!(atomic_write::names_in(&store.temporary()).unwrap().is_empty());
    }

    #[test]
    fn links_folders_and_pipes_are_rejected() {
        let (folder, store) = store();
        let link = folder.path().join("link");
        symlink("/etc/passwd", &link).unwrap();
        assert!(store.adopt(&link, Original::Moved).unwrap_err().to_string().contains("symbolic link"));
        assert!(store.ingest_file(folder.path()).unwrap_err().to_string().contains("regular file"));
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(store.ingest_file(&pipe).unwrap_err().to_string().contains("regular file"));
    }

    #[test]
    fn damage_with_the_same_size_and_time_is_found_and_quarantined() {
        let (_folder, store) = store();
        let digest = store.ingest_bytes(b"precious").unwrap();
        let path = store.path(&digest);
        let remembered = FileStat::of(&fs::metadata(&path).unwrap());
        assert!(store.check(&digest, Some(&remembered)).unwrap().stat.is_none(), "the stamp of the ledger is trusted");
        damage(&path);
        assert!(matches!(store.check(&digest, Some(&remembered)), Err(ObjectError::Damaged { .. })));
        let error = store.open_verified(&digest).unwrap_err();
        let ObjectError::Damaged { path: quarantined, found, .. } = &error else { panic!("{error}") };
        assert_eq!(Digest::of_file(quarantined).unwrap().0, *found);
        assert!(!path.exists());
        assert!(matches!(store.open_verified(&digest), Err(ObjectError::Missing { .. })));
        store.ingest_bytes(b"precious").unwrap();
        store.open_verified(&digest).unwrap();
    }

    #[test]
    fn ingesting_the_same_bytes_repairs_a_damaged_object() {
        let (_folder, store) = store();
        let digest = store.ingest_bytes(b"precious").unwrap();
        damage(&store.path(&digest));
        store.ingest_bytes(b"precious").unwrap();
        store.open_verified(&digest).unwrap();
    }

    #[test]
    fn export_is_complete_and_verified() {
        let (folder, store) = store();
        let digest = store.ingest_bytes(b"model").unwrap();
        let target = folder.path().join("model.bin");
        store.export(&digest, &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"model");
        damage(&store.path(&digest));
        fs::write(&target, b"older").unwrap();
        assert!(store.export(&digest, &target).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"older");
    }

    #[test]
    fn missing_store_reads_as_empty_and_is_not_created() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_to_read(&folder.path().join("none")).unwrap();
        assert!(store.objects().unwrap().is_empty());
        assert!(matches!(store.open_verified(&Digest::of_bytes(b"")), Err(ObjectError::Missing { .. })));
        assert!(!folder.path().join("none").exists());
    }
}
