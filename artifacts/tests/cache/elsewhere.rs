//! Ledgers that do not lie in their store.

use std::fs;

use tfnas_artifacts::{Cache, CacheError, LedgerPathError};

use crate::work::{make, manifest, new_run, rebuild};

#[test]
fn a_ledger_put_elsewhere_is_found_by_whoever_opens_the_store() {
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
    // Damaged, it is remade where it was.
    fs::write(&ledger, "no ledger").unwrap();
    assert_eq!(rebuild(&root).unwrap().results, 1);
    assert!(Cache::open(&root).unwrap().find(&key.key()).unwrap().result.is_some());
    assert!(ledger.is_file() && !root.join("ledger.sqlite3").exists());
}

#[test]
fn a_store_has_one_ledger_and_says_how_it_is_moved() {
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
    // As the message says; what SQLite has not copied yet moves with it.
    for suffix in ["", "-wal", "-shm"] {
        let name = |path: &std::path::Path| format!("{}{suffix}", path.display());
        let _ = fs::rename(name(&root.join("ledger.sqlite3")), name(&ledger));
    }
    let cache = Cache::open_with_ledger(&root, Some(&ledger)).unwrap();
    assert!(cache.find(&key.key()).unwrap().result.is_some());
}

#[test]
fn a_ledger_that_cannot_be_seen_from_here_is_no_empty_one() {
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
