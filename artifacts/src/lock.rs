//! Kernel locks on files. The kernel releases them when the process ends, even if it is killed.
//!
//! Temporary locks (one per key and one per run) have one file each, which is removed by the holder. A file left by a
//! killed process does not count as a lock and is reused.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{io, thread};

use crate::{ActionKey, FileError};

/// Pause between two attempts to lock. It starts short, for work that ends quickly.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The lock of an action key: no other process works on it. Released when dropped, and when the process dies.
#[derive(Debug)]
pub struct KeyLock {
    key: ActionKey,
    _lock: ExclusiveLock,
}

impl KeyLock {
    pub(crate) fn new(key: ActionKey, lock: ExclusiveLock) -> Self {
        Self { key, _lock: lock }
    }

    /// Returns the locked key.
    pub fn key(&self) -> &ActionKey {
        &self.key
    }
}

/// The holder of a lock, as far as its file identifies it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process, on its host.
    pub pid: Option<u32>,
    /// Its host.
    pub host: Option<String>,
}

/// Whether to go on waiting for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Wait on.
    GoOn,
    /// Give up, for example because the user pressed Ctrl-C.
    GiveUp,
}

/// An exclusive lock on a file that exists only for it.
#[derive(Debug)]
pub(crate) struct ExclusiveLock {
    path: PathBuf,
    _file: File,
}

/// The result of trying to lock.
#[derive(Debug)]
pub(crate) enum Tried {
    Locked(ExclusiveLock),
    Held(Holder),
}

impl ExclusiveLock {
    /// Takes the lock if it is free.
    pub fn try_new(path: &Path) -> Result<Tried, FileError> {
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(FileError::of("open", path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Tried::Held(Holder::read(&mut file))),
                Err(TryLockError::Error(source)) => return Err(FileError::new("lock", path, source)),
            }
            // The previous holder removes the file when it releases the lock. In that case this lock is on a deleted
            // file that no other process will open.
            if is_same_file(&file, path) {
                // Only for display, and `gc` must be able to lock on a full disk.
                let _ = Holder::write(&mut file);
                return Ok(Tried::Locked(Self { path: path.to_owned(), _file: file }));
            }
        }
    }

    /// Waits for the lock as long as `waiting` agrees. Returns `None` if it gave up.
    pub fn wait(path: &Path, waiting: &mut dyn FnMut(&Holder) -> Waiting) -> Result<Option<Self>, FileError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match Self::try_new(path)? {
                Tried::Locked(lock) => return Ok(Some(lock)),
                Tried::Held(holder) if waiting(&holder) == Waiting::GiveUp => return Ok(None),
                Tried::Held(_) => {}
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns whether a process holds the lock, without making its file.
    pub fn is_held(path: &Path) -> bool {
        match File::open(path) {
            Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }
}

impl Drop for ExclusiveLock {
    fn drop(&mut self) {
        // The lock is still held here. If the removal fails, the file stays and is reused.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

impl Holder {
    fn read(file: &mut File) -> Self {
        let mut text = String::new();
        // The holder may not have written its identity yet, which is not an error.
        let _ = file.take(4096).read_to_string(&mut text);
        let mut words = text.split_whitespace();
        Self { pid: words.next().and_then(|word| word.parse().ok()), host: words.next().map(str::to_owned) }
    }

    fn write(file: &mut File) -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{} {}", std::process::id(), host_name())
    }
}

/// Returns the name of this machine.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A lock on a permanent file that is either shared by many or held exclusively by one.
#[derive(Debug)]
pub(crate) struct SharedLock {
    _file: File,
}

impl SharedLock {
    fn open(path: &Path) -> Result<File, FileError> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(FileError::of("open", path))
    }

    /// Waits until no process holds the lock exclusively.
    pub fn shared(path: &Path) -> Result<Self, FileError> {
        let file = Self::open(path)?;
        retry(|| file.lock_shared()).map_err(FileError::of("lock", path))?;
        Ok(Self { _file: file })
    }

    /// Waits until no process holds the lock.
    pub fn alone(path: &Path) -> Result<Self, FileError> {
        let file = Self::open(path)?;
        retry(|| file.lock()).map_err(FileError::of("lock", path))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock exclusively if it is free.
    pub fn try_alone(path: &Path) -> Result<Option<Self>, FileError> {
        let file = Self::open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(FileError::new("lock", path, source)),
        }
    }
}

/// Retries a wait that was interrupted by a signal.
fn retry(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn held_lock_reports_its_holder_and_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let Tried::Locked(lock) = ExclusiveLock::try_new(&path).unwrap() else { panic!("the lock is held") };
        let Tried::Held(holder) = ExclusiveLock::try_new(&path).unwrap() else { panic!("the lock is free") };
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(ExclusiveLock::is_held(&path));
        drop(lock);
        assert!(!path.exists(), "the file was not removed");
        assert!(!ExclusiveLock::is_held(&path));
        assert!(matches!(ExclusiveLock::try_new(&path).unwrap(), Tried::Locked(_)));
    }

    #[test]
    fn stale_lock_file_is_not_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "1 elsewhere\n").unwrap();
        assert!(!ExclusiveLock::is_held(&path));
        assert!(matches!(ExclusiveLock::try_new(&path).unwrap(), Tried::Locked(_)));
    }

    #[test]
    fn waiting_ends_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let _held = ExclusiveLock::try_new(&path).unwrap();
        let mut looks = 0;
        let lock = ExclusiveLock::wait(&path, &mut |_| {
            looks += 1;
            if looks < 3 { Waiting::GoOn } else { Waiting::GiveUp }
        });
        assert!(lock.unwrap().is_none());
        assert_eq!(looks, 3);
    }

    #[test]
    fn lock_is_exclusive_although_its_file_is_removed_and_recreated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (inside, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lock = ExclusiveLock::wait(&path, &mut |_| Waiting::GoOn).unwrap().unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        turns.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(turns.into_inner(), 300);
    }
}
