//! Opening a ledger: its version is read before SQLite is let near it.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Journal, Ledger, LedgerError, schema};
use crate::FileError;
use crate::lock::SharedLock;

/// How long a write waits for that of another process.
pub(super) const BUSY_S: u64 = 60;

/// SQLite's page cache, in KiB. The default is too small for a million artifacts.
const CACHE_KIB: i64 = 16 << 10;

impl Ledger {
    /// Opens the ledger at `path`, creating or migrating it if necessary. The file `setup` is locked meanwhile.
    pub(crate) fn open(path: &Path, setup: &Path) -> Result<Self, LedgerError> {
        Self::open_with(path, setup, Journal::of(path))
    }

    /// As [`open`](Self::open), with this journal.
    fn open_with(path: &Path, setup: &Path, wanted: Journal) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::new(path, error);
        let version = read_version(path)?;
        if version.is_none() {
            // SQLite creates a file with mode 0644 regardless of the umask, and the files next to it with the mode of
            // the database.
            let new = OpenOptions::new().append(true).create(true).open(path);
            new.map_err(FileError::of("create", path))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
        // Switching to or from WAL mode requires exclusive access to the file.
        let ready = version == Some(schema::VERSION) && wanted.is(&journal);
        let _alone = if ready { None } else { Some(SharedLock::alone(setup)?) };
        if wanted == Journal::Truncate || !ready {
            wanted.set(&connection).map_err(failed)?;
        }
        if !ready {
            schema::migrate(&mut connection).map_err(failed)?;
            // Write the version to the file's header, where the next process that opens the ledger reads it.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
        }
        let always_durable = wanted == Journal::Truncate;
        set_durable(&connection, always_durable).map_err(failed)?;
        Self::new(path, connection, always_durable)
    }

    /// Opens the ledger at `path` for reading. A missing ledger reads as an empty one; an older version is migrated.
    pub(crate) fn open_to_read(path: &Path, setup: &Path) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::new(path, error);
        let connection = match read_version(path)? {
            None | Some(0) => {
                let mut empty = Connection::open_in_memory().map_err(failed)?;
                schema::migrate(&mut empty).map_err(failed)?;
                empty
            }
            Some(schema::VERSION) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                if is_unchangeable(path) {
                    Connection::open_with_flags(immutable(path), flags | OpenFlags::SQLITE_OPEN_URI).map_err(failed)?
                } else {
                    Connection::open_with_flags(path, flags).map_err(failed)?
                }
            }
            Some(_) => return Self::open(path, setup),
        };
        configure(&connection).map_err(failed)?;
        Self::new(path, connection, false)
    }

    /// Returns whether a ledger of this version or an older one exists at `path`. Nothing is changed.
    pub(crate) fn is_there(path: &Path) -> Result<bool, LedgerError> {
        Ok(read_version(path)?.is_some())
    }

    fn new(path: &Path, connection: Connection, always_durable: bool) -> Result<Self, LedgerError> {
        let found: u32 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| LedgerError::new(path, error))?;
        if found > schema::VERSION {
            return Err(LedgerError::Newer { path: path.to_owned(), found });
        }
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), always_durable })
    }
}

/// Sets whether commits are synced before they return. Otherwise, in WAL mode, only checkpoints are synced.
pub(super) fn set_durable(connection: &Connection, durable: bool) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(BUSY_S))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A checkpoint syncs the file. Leave it to the commit that finds a thousand pages to copy instead of doing one
    // after each short run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Returns the files that SQLite keeps next to an open ledger.
pub(crate) fn companions(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// Returns whether no process can write to the ledger, so that it can be read without the files that SQLite would
/// create next to it.
fn is_unchangeable(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new("."));
    let writable = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    !writable && companions(path).iter().all(|file| fs::symlink_metadata(file).is_err())
}

/// Returns the address of a ledger that does not change, for SQLite.
fn immutable(path: &Path) -> String {
    let escaped: String = path
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*byte).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect();
    format!("file:{escaped}?immutable=1")
}

/// Reads the version from the file's header of 100 bytes: the first 16 are a constant text, and 60 to 63 are
/// `user_version`, big-endian. Returns `None` if there is no ledger.
fn read_version(path: &Path) -> Result<Option<u32>, LedgerError> {
    let damaged = |what: &str| LedgerError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::new("open", path, error).into()),
    };
    let mut header = Vec::with_capacity(100);
    file.take(100).read_to_end(&mut header).map_err(FileError::of("read", path))?;
    if header.is_empty() {
        // The process that created the file was killed before it wrote the header.
        return Ok(None);
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(damaged("it is not a SQLite file"));
    }
    let version: [u8; 4] =
        header.get(60..64).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| damaged("it is truncated"))?;
    match u32::from_be_bytes(version) {
        found if found > schema::VERSION => Err(LedgerError::Newer { path: path.to_owned(), found }),
        found => Ok(Some(found)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ledger() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (path, setup) = (folder.path().join("ledger.sqlite3"), folder.path().join("setup"));
        (folder, path, setup)
    }

    #[test]
    fn new_ledger_is_empty_and_can_be_reopened() {
        let (_folder, path, setup) = ledger();
        // Switch the journal mode and back, as when a store is moved to another file system.
        for journal in [Journal::Wal, Journal::Wal, Journal::Truncate, Journal::Truncate, Journal::Wal] {
            let ledger = Ledger::open_with(&path, &setup, journal).unwrap();
            assert!(ledger.runs(None, 10).unwrap().is_empty());
            assert!(ledger.check().unwrap().is_empty());
        }
        assert_eq!(read_version(&path).unwrap(), Some(schema::VERSION));
    }

    #[test]
    fn newer_ledger_is_rejected_and_not_changed() {
        let (folder, path, setup) = ledger();
        drop(Ledger::open(&path, &setup).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 999).unwrap();
        connection.close().unwrap();
        let before = fs::read(&path).unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let count = names();
        for result in [Ledger::open(&path, &setup), Ledger::open_to_read(&path, &setup)] {
            assert!(matches!(result, Err(LedgerError::Newer { found: 999, .. })));
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(names(), count);
    }

    #[test]
    fn an_older_ledger_is_migrated_with_its_runs_also_by_a_reader() {
        for version in 1..schema::VERSION {
            for read in [false, true] {
                let (_folder, path, setup) = ledger();
                let connection = Connection::open(&path).unwrap();
                schema::tests::create_old(&connection, version).unwrap();
                connection
                    .execute_batch(
                        "INSERT INTO texts VALUES (1, x'00', 'seed: 1');
                         INSERT INTO runs VALUES (1, '[\"run\",\"all\"]', 1, 'tool', NULL, 'host', 5, 6, 'done');",
                    )
                    .unwrap();
                connection.close().unwrap();
                let open = if read { Ledger::open_to_read } else { Ledger::open };
                let ledger = open(&path, &setup).unwrap();
                let [old] = &ledger.runs(None, 9).unwrap()[..] else { panic!("one run") };
                assert_eq!((old.configuration.as_str(), old.arguments.len()), ("seed: 1", 2));
                assert_eq!((&old.name, &old.note), (&None, &None));
                let name = Some("base".parse().unwrap());
                let new = ledger.begin_run(&crate::NewRun { name, ..Default::default() }, "host").unwrap();
                assert_eq!(ledger.run_named("base").unwrap(), Some(new.id));
                assert_eq!(read_version(&path).unwrap(), Some(schema::VERSION));
            }
        }
    }

    #[test]
    fn damage_error_has_a_hint() {
        let (_folder, path, setup) = ledger();
        drop(Ledger::open(&path, &setup).unwrap());
        let valid = fs::read(&path).unwrap();
        for damaged in [b"not a ledger at all".to_vec(), valid[..50].to_vec(), valid[..valid.len() / 2].to_vec()] {
            for companion in companions(&path) {
                let _ = fs::remove_file(companion);
            }
            fs::write(&path, damaged).unwrap();
            let result = Ledger::open(&path, &setup).and_then(|ledger| ledger.runs(None, 1).map(drop));
            let error = result.unwrap_err();
            assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("cache rebuild"));
        }
    }

    #[test]
    fn missing_ledger_reads_as_empty_and_is_not_created() {
        let (folder, path, setup) = ledger();
        let ledger = Ledger::open_to_read(&path, &setup).unwrap();
        assert!(ledger.runs(None, 10).unwrap().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn concurrent_creation_makes_one_ledger() {
        for journal in [Journal::Wal, Journal::Truncate] {
            let (_folder, path, setup) = ledger();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| Ledger::open_with(&path, &setup, journal).unwrap().check().unwrap());
                }
            });
        }
    }

    #[test]
    fn concurrent_runs_are_recorded_with_either_journal_mode() {
        for journal in [Journal::Wal, Journal::Truncate] {
            let (_folder, path, setup) = ledger();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let ledger = Ledger::open_with(&path, &setup, journal).unwrap();
                        for _ in 0..10 {
                            let run = ledger.begin_run(&crate::NewRun::default(), "host").unwrap();
                            ledger.end_run(run.id, crate::Outcome::Done).unwrap();
                        }
                    });
                }
            });
            let ledger = Ledger::open_to_read(&path, &setup).unwrap();
            let runs = ledger.runs(None, 100).unwrap();
            assert_eq!(runs.len(), 40, "{journal:?}");
            assert!(runs.iter().all(|run| run.outcome == Some(crate::Outcome::Done)));
            // The leftover file is an empty journal.
            if journal == Journal::Truncate {
                assert!(companions(&path).iter().all(|file| fs::metadata(file).map_or(0, |facts| facts.len()) == 0));
            }
        }
    }
}
