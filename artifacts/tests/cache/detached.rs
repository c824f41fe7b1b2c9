//! Attempts whose workers outlive their planners.

use std::fs;
use std::path::{Path, PathBuf};

use tfnas_artifacts::{AttemptId, Cache, CacheError, KeyManifest, Outcome, Purpose, Retention, Waiting};

use crate::work::{attempt, content, failure, finish, make, manifest, new_run, out, rebuild};

const NOTHING: Retention = Retention { keep_last: Some(0), max_bytes: None };

/// Returns a cache with a running detached attempt whose planner was killed: the cache, the key, the attempt and the
/// file in its resume folder.
fn abandoned(root: &Path) -> (Cache, KeyManifest, AttemptId, PathBuf) {
    let cache = Cache::open(root).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let split = make(&cache, &run, "split", &manifest("split", 1, &[]));
    let key = manifest("train", 1, &[("list", out(&split))]);
    let lock = cache.lock(&key.key(), &mut |_| Waiting::GoOn).unwrap().unwrap();
    let open = cache.begin_detached(&run, lock, attempt("train", key.clone())).unwrap();
    fs::write(open.detached_folder().unwrap().join("job"), "12").unwrap();
    let resume = open.resume_folder().join("epoch");
    fs::write(&resume, "3").unwrap();
    let id = open.id().clone();
    drop(open);
    drop(run);
    (cache, key, id, resume)
}

fn take_up(cache: &Cache, key: &KeyManifest, id: &AttemptId) -> tfnas_artifacts::OpenAttempt {
    let lock = cache.lock(&key.key(), &mut |_| Waiting::GoOn).unwrap().unwrap();
    assert_eq!(cache.detached_attempt(&key.key(), Purpose::Run).unwrap().as_ref(), Some(id));
    assert_eq!(cache.detached_attempt(&key.key(), Purpose::Check).unwrap(), None);
    cache.take_up(lock, id).unwrap()
}

#[test]
fn detached_attempt_is_taken_up_by_the_next_holder_of_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, key, id, resume) = abandoned(folder.path());
    let open = take_up(&cache, &key, &id);
    let meeting = open.detached_folder().unwrap().to_owned();
    assert_eq!(fs::read_to_string(meeting.join("job")).unwrap(), "12");
    assert!(resume.exists() && open.output_folder().is_dir());
    let made = finish(&cache, open, &[("out", content(&key, "out", 10))]).unwrap();
    assert_eq!((made.id, made.outcome), (id, Some(Outcome::Done)));
    assert!(!meeting.exists() && !resume.exists());
    assert_eq!(cache.detached_attempt(&key.key(), Purpose::Run).unwrap(), None);
}

#[test]
fn failed_detached_attempt_keeps_its_resume_point() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, key, id, resume) = abandoned(folder.path());
    let open = take_up(&cache, &key, &id);
    let meeting = open.detached_folder().unwrap().to_owned();
    cache.fail(open, failure("out of memory")).unwrap();
    assert!(!meeting.exists() && resume.exists());
    assert_eq!(cache.ledger().attempt(&id).unwrap().unwrap().outcome, Some(Outcome::Failed));
}

#[test]
fn gc_keeps_a_detached_attempt_and_its_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, key, id, resume) = abandoned(folder.path());
    assert!(cache.gc(&NOTHING).unwrap().attempts.is_empty());
    assert!(resume.exists());
    let open = take_up(&cache, &key, &id);
    assert!(cache.open_verified(&key.inputs()["list"]).is_ok());
    cache.fail(open, failure("cancelled")).unwrap();
    let stray = folder.path().join("detached/0123456789abcdef");
    fs::create_dir(&stray).unwrap();
    assert_eq!(cache.gc(&NOTHING).unwrap().attempts.len(), 2);
    assert!(!stray.exists(), "folders without an attempt are removed");
}

#[test]
fn ledger_is_not_rebuilt_while_an_attempt_is_running() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, _, id, _) = abandoned(folder.path());
    drop(cache);
    let Err(error @ CacheError::UnderWay { .. }) = rebuild(folder.path()) else { panic!("the ledger was rebuilt") };
    assert!(error.to_string().contains(id.as_str()), "{error}");
}
