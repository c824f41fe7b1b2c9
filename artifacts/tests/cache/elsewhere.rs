//! Ledgers outside of their store.

use std::fs;

use tfnas_artifacts::{Cache, CacheError, LedgerPathError};

use crate::work::{make, manifest, new_run, rebuild};

#[test]
fn ledger_outside_of_the_store_is_found_when_the_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (root, ledger) = (folder.path().join("store"), folder.path().join("disk/ledger.sqlite3"));
    let key = manifest("split", 1, &[]);
    {
        let cache = Cache::open_with_ledger(&root, Some(&ledger)).unwrap();
        let run = cache.begin_run(&new_run()).unwrap();
        make(&cache, &run, "split", &key);
    }
    assert!(ledger.is_file() && !root.join("ledger.sqlite3").exists());
    for cache in [Cache::open(&root), Cache::open_to_read(&root), Cache::open_with_ledger(&root, Some(&ledger))] {
        assert!(cache.unwrap().find(&key.key()).unwrap().result.is_some());
    }
    // A damaged ledger is rebuilt at the same place.
    fs::write(&ledger, "no ledger").unwrap();
    assert_eq!(rebuild(&root).unwrap().results, 1);
    assert!(Cache::open(&root).unwrap().find(&key.key()).unwrap().result.is_some());
    assert!(ledger.is_file() && !root.join("ledger.sqlite3").exists());
}

#[test]
fn second_ledger_is_rejected_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let (root, ledger) = (folder.path().join("store"), folder.path().join("elsewhere"));
    let key = manifest("split", 1, &[]);
    {
        let cache = Cache::open(&root).unwrap();
        let run = cache.begin_run(&new_run()).unwrap();
        make(&cache, &run, "split", &key);
    }
    let refused = Cache::open_with_ledger(&root, Some(&ledger));
    let Err(CacheError::LedgerPath(error @ LedgerPathError::Elsewhere { .. })) = refused else { panic!("two ledgers") };
    assert!(error.to_string().contains("move the file there"), "{error}");
    // Follows the message. The write-ahead log of SQLite is moved too.
    for suffix in ["", "-wal", "-shm"] {
        let name = |path: &std::path::Path| format!("{}{suffix}", path.display());
        let _ = fs::rename(name(&root.join("ledger.sqlite3")), name(&ledger));
    }
    let cache = Cache::open_with_ledger(&root, Some(&ledger)).unwrap();
    assert!(cache.find(&key.key()).unwrap().result.is_some());
}

#[test]
fn unreachable_ledger_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (root, ledger) = (folder.path().join("store"), folder.path().join("disk-of-this-machine"));
    {
        let cache = Cache::open_with_ledger(&root, Some(&ledger)).unwrap();
        let run = cache.begin_run(&new_run()).unwrap();
        make(&cache, &run, "split", &manifest("split", 1, &[]));
    }
    fs::remove_file(&ledger).unwrap();
    let error = Cache::open(&root).unwrap_err().to_string();
    assert!(error.contains("disk-of-this-machine") && error.contains("cache rebuild"), "{error}");
    fs::write(root.join("ledger.path"), "relative\n").unwrap();
    assert!(matches!(Cache::open(&root), Err(CacheError::LedgerPath(LedgerPathError::Unreadable { .. }))));
}
