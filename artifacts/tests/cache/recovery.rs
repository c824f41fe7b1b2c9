use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use tfnas_artifacts::{Cache, CacheError, LedgerError, Outcome, Retention};

use crate::work::{attempt, begin, damage, failure, make, manifest, named_run, new_run, out, rebuild};

#[test]
fn ledger_is_rebuilt_from_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let split = make(&cache, &run, "split", &manifest("split", 1, &[]));
    let train = make(&cache, &run, "train", &manifest("train", 1, &[("list", out(&split))]));
    let open = begin(&cache, &run, attempt("test", manifest("test", 1, &[("network", out(&train))])));
    cache.fail(open, failure("no memory")).unwrap();
    cache.pin(&train.id, "published").unwrap();
    let recorded = cache.ledger().run(run.id()).unwrap().unwrap();
    assert!(matches!(Cache::rebuild(folder.path()), Err(CacheError::InUse { .. })));
    drop(run);
    drop(cache);

    let path = folder.path().join("ledger.sqlite3");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..100].fill(0x55);
    fs::write(&path, bytes).unwrap();
    let error = Cache::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("cache rebuild"), "{error}");
    fs::write(folder.path().join("manifests").join(train.key.to_string()).join("bad.json"), "{").unwrap();

    let rebuilt = rebuild(folder.path()).unwrap();
    assert_eq!((rebuilt.attempts, rebuilt.results, rebuilt.lost.len()), (3, 2, 0));
    assert_eq!(rebuilt.unreadable.len(), 1);
    assert!(rebuilt.old.unwrap().exists());
    let cache = Cache::open(folder.path()).unwrap();
    assert_eq!(cache.find(&train.key).unwrap().result.unwrap(), train);
    assert_eq!(cache.ledger().run(recorded.id).unwrap().unwrap(), recorded);
    assert_eq!(cache.ledger().pins().unwrap(), [(train.id, "published".to_owned())]);
    assert_eq!(cache.ledger().last_attempt("test").unwrap().unwrap().cause.unwrap(), "no memory");
    let next = cache.begin_run(&new_run()).unwrap();
    assert!(next.id() > recorded.id);
    assert!(cache.verify(&|_| {}).unwrap().is_sound());
}

#[test]
fn a_rebuilt_ledger_has_the_names_and_notes_of_runs_that_made_something() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let first = cache.begin_run(&named_run("base", "as begun")).unwrap();
    make(&cache, &first, "split", &manifest("split", 1, &[]));
    make(&cache, &first, "train", &manifest("train", 1, &[]));
    let first = first.id();
    cache.set_note(first, &"as ended".parse().unwrap()).unwrap();
    let second = cache.begin_run(&named_run("again", "all cached")).unwrap().id();
    drop(cache);
    rebuild(folder.path()).unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let found = cache.ledger().run(first).unwrap().unwrap();
    assert_eq!((found.name.as_deref(), found.note.as_deref()), (Some("base"), Some("as ended")));
    assert_eq!(cache.ledger().run(second).unwrap(), None);
    assert_eq!(cache.ledger().run_named("base").unwrap(), Some(first));
}

#[test]
fn deleted_ledger_is_not_recreated_over_old_results() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let made = make(&cache, &run, "split", &manifest("split", 1, &[]));
    drop(run);
    drop(cache);
    for name in ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"] {
        let _ = fs::remove_file(folder.path().join(name));
    }
    for result in [Cache::open(folder.path()), Cache::open_to_read(folder.path())] {
        assert!(matches!(result, Err(CacheError::Ledger(LedgerError::Damaged { .. }))));
    }
    assert_eq!(rebuild(folder.path()).unwrap().results, 1);
    let cache = Cache::open(folder.path()).unwrap();
    cache.gc(&Retention { keep_last: Some(1), max_bytes: None }).unwrap();
    assert!(cache.find(&made.key).unwrap().result.is_some());
}

#[test]
fn damaged_result_is_remade_after_a_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let made = make(&cache, &run, "split", &manifest("split", 1, &[]));
    cache.end_run(run, Outcome::Done).unwrap();
    damage(&cache.store().path(&out(&made)));
    drop(cache);
    assert_eq!(rebuild(folder.path()).unwrap().lost.len(), 1);
    let cache = Cache::open(folder.path()).unwrap();
    assert!(cache.find(&made.key).unwrap().result.is_none());
}

#[test]
fn verify_finds_damaged_and_missing_objects() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let made: Vec<_> = (0..5).map(|n| make(&cache, &run, "split", &manifest("split", n, &[]))).collect();
    assert!(cache.verify(&|_| {}).unwrap().is_sound());
    damage(&cache.store().path(&out(&made[1])));
    fs::remove_file(cache.store().path(&out(&made[3]))).unwrap();
    let hashed = AtomicU64::new(0);
    let progress = |bytes| {
        hashed.fetch_add(bytes, Ordering::Relaxed);
    };
    let found = cache.verify(&progress).unwrap();
    assert!(!found.is_sound());
    assert_eq!((found.objects, found.bytes, hashed.into_inner()), (4, 4000, 4000));
    assert!(found.damaged[0].to_string().contains("quarantine"));
    let mut missing = [out(&made[3]), out(&made[1])];
    missing.sort();
    assert!(found.missing.iter().all(|digest| missing.contains(digest)));
}

#[test]
fn store_of_a_newer_version_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    drop(Cache::open(&root).unwrap());
    let newer = "tfnas-store 2\n";
    fs::write(root.join("FORMAT"), newer).unwrap();
    fs::remove_dir(root.join("tmp")).unwrap();
    assert!(Cache::open(&root).unwrap_err().to_string().contains("newer"));
    assert!(Cache::open_to_read(&root).is_err());
    assert!(rebuild(&root).is_err());
    assert_eq!(fs::read_to_string(root.join("FORMAT")).unwrap(), newer);
    assert!(!root.join("tmp").exists());
}
