//! The ledger's tables, as a list of migrations that only ever grows.
//!
//! A ledger's version is the number of migrations it has been through, kept in SQLite's `user_version`. Digests and
//! keys are BLOBs of 32 bytes, times are milliseconds since 1970 (UTC), lists and records are JSON.

use rusqlite::{Connection, TransactionBehavior};

/// Never edit a released migration; append a new one.
const MIGRATIONS: &[&str] = &[
    "
-- Texts that many rows share: configurations and records of the environment.
CREATE TABLE texts (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    text TEXT NOT NULL
) STRICT;

-- One row an invocation; without an end while it runs, or when it was killed.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    arguments TEXT NOT NULL,
    configuration INTEGER NOT NULL REFERENCES texts (id),
    tool TEXT NOT NULL,
    source_revision TEXT,
    host TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    outcome TEXT
) STRICT;

-- One row an attempt to do the work of a key; without an end while it runs, or when its planner was killed.
-- used_ms: when it was made or last used.
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    run INTEGER REFERENCES runs (id),
    instance TEXT NOT NULL,
    stage TEXT NOT NULL,
    key BLOB NOT NULL,
    manifest TEXT NOT NULL,
    purpose TEXT NOT NULL,
    environment INTEGER NOT NULL REFERENCES texts (id),
    tool TEXT NOT NULL,
    source_revision TEXT,
    host TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    outcome TEXT,
    cause TEXT,
    metrics TEXT NOT NULL,
    peak_memory_bytes INTEGER,
    cpu_ms INTEGER
) STRICT;
CREATE INDEX attempts_by_key ON attempts (key, id);
CREATE INDEX attempts_by_run ON attempts (run, id);
CREATE INDEX attempts_by_instance ON attempts (instance, id);
CREATE INDEX results_by_instance ON attempts (instance, used_ms, id) WHERE outcome = 'done' AND purpose = 'run';
CREATE INDEX results_by_stage ON attempts (stage, id) WHERE outcome = 'done';
CREATE INDEX attempts_under_way ON attempts (id) WHERE outcome IS NULL;

CREATE TABLE inputs (
    attempt INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
    port TEXT NOT NULL,
    digest BLOB NOT NULL,
    origin TEXT,
    PRIMARY KEY (attempt, port)
) STRICT, WITHOUT ROWID;
CREATE INDEX inputs_by_digest ON inputs (digest, attempt);

CREATE TABLE outputs (
    attempt INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (attempt, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX outputs_by_digest ON outputs (digest, attempt);

-- What the file system said of an object when it was last hashed and found sound.
CREATE TABLE sound (
    digest BLOB PRIMARY KEY,
    bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which earlier results a run used instead of making them.
CREATE TABLE uses (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
    used_ms INTEGER NOT NULL,
    PRIMARY KEY (run, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX uses_by_attempt ON uses (attempt);

-- Results that are never removed, nor what they were made from.
CREATE TABLE pins (
    attempt INTEGER PRIMARY KEY REFERENCES attempts (id),
    reason TEXT NOT NULL,
    pinned_ms INTEGER NOT NULL
) STRICT;
",
    "
-- The address of the remote that a result was pulled from; none for what was made here.
ALTER TABLE attempts ADD COLUMN remote TEXT;
",
    "
-- What users call a run, and what they say about it.
ALTER TABLE runs ADD COLUMN name TEXT;
ALTER TABLE runs ADD COLUMN note TEXT;
CREATE INDEX runs_by_name ON runs (name, id) WHERE name IS NOT NULL;
",
];

/// The version that this code reads and writes.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Migrates a ledger to [`VERSION`] in one transaction. Does nothing if the ledger already has this version or a newer
/// one.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for migration in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(migration)?;
    }
    if version < VERSION {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Creates a ledger as the first `version` migrations left it.
    pub(crate) fn create_old(connection: &Connection, version: u32) -> rusqlite::Result<()> {
        MIGRATIONS[..version as usize].iter().try_for_each(|migration| connection.execute_batch(migration))?;
        connection.pragma_update(None, "user_version", version)
    }

    #[test]
    fn migration_is_idempotent() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, VERSION);
    }

    #[test]
    fn released_migrations_never_change() {
        let digests: Vec<String> =
            MIGRATIONS.iter().map(|text| crate::Digest::of_bytes(text.as_bytes()).short()).collect();
        assert_eq!(digests, ["d8f7066833c3", "03d3f60ab8fe", "ac25bbb1aadf"]);
    }
}
