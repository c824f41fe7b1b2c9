//! Attempts whose workers outlive their planners.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tfnas_artifacts::{
    Attempt, AttemptId, Cache, CacheError, KeyManifest, Outcome, Output, Purpose, Retention, Waiting,
};

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

/// Leaves a detached attempt as a planner does that is killed after it has written the record of the result, before it
/// has updated the ledger.
fn kill_before_the_ledger(root: &Path, cache: &Cache, id: &AttemptId) {
    let bytes = b"latencies";
    let digest = cache.store().ingest_bytes(bytes).unwrap();
    let open = cache.ledger().attempt(id).unwrap().unwrap();
    let done = Attempt {
        ended_ms: Some(open.started_ms + 5),
        outcome: Some(Outcome::Done),
        outputs: vec![Output { name: "out".to_owned(), digest, bytes: bytes.len() as u64 }],
        ..open
    };
    let manifests = root.join("manifests").join(done.key.to_string());
    fs::create_dir_all(&manifests).unwrap();
    let record = json!({ "format": "tfnas.attempt.v1", "attempt": done, "run": null });
    fs::write(manifests.join(format!("{id}.json")), record.to_string()).unwrap();
}

#[test]
fn recorded_result_of_a_killed_planner_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, key, id, resume) = abandoned(folder.path());
    kill_before_the_ledger(folder.path(), &cache, &id);
    let _lock = cache.lock(&key.key(), &mut |_| Waiting::GoOn).unwrap().unwrap();
    assert_eq!(cache.detached_attempt(&key.key(), Purpose::Run).unwrap(), None);
    let found = cache.find(&key.key()).unwrap();
    assert!(found.lost.is_empty());
    assert_eq!(found.result.unwrap().id, id);
    assert!(!folder.path().join("detached").join(id.as_str()).exists() && !resume.exists());
}

#[test]
fn gc_keeps_the_recorded_result_of_a_killed_planner() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, key, id, _) = abandoned(folder.path());
    kill_before_the_ledger(folder.path(), &cache, &id);
    assert!(cache.gc(&Retention { keep_last: Some(1), max_bytes: None }).unwrap().attempts.is_empty());
    let found = cache.find(&key.key()).unwrap();
    assert!(found.lost.is_empty(), "{:?}", found.lost);
    assert_eq!(found.result.unwrap().id, id);
}

#[test]
fn record_without_an_end_does_not_end_an_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, key, id, resume) = abandoned(folder.path());
    let open = cache.ledger().attempt(&id).unwrap().unwrap();
    let manifests = folder.path().join("manifests").join(open.key.to_string());
    fs::create_dir_all(&manifests).unwrap();
    let record = json!({ "format": "tfnas.attempt.v1", "attempt": open, "run": null });
    fs::write(manifests.join(format!("{id}.json")), record.to_string()).unwrap();
    drop(take_up(&cache, &key, &id));
    fs::remove_dir_all(folder.path().join("detached").join(id.as_str())).unwrap();
    drop(cache.lock(&key.key(), &mut |_| Waiting::GoOn).unwrap());
    assert_eq!(cache.ledger().attempt(&id).unwrap().unwrap().outcome, Some(Outcome::Interrupted));
    assert!(resume.exists());
}

#[test]
fn outputs_of_a_detached_attempt_stay_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, key, id, _) = abandoned(folder.path());
    let mut open = take_up(&cache, &key, &id);
    let (first, missing) = (open.output_folder().join("out"), open.output_folder().join("later"));
    fs::write(&first, "latencies").unwrap();
    let outputs = [("out".to_owned(), first.clone()), ("later".to_owned(), missing.clone())];
    // Fails between two outputs, where a planner can be killed as well.
    assert!(cache.commit(&mut open, &outputs, json!({}), Default::default()).is_err());
    assert!(first.exists());
    fs::write(&missing, "more").unwrap();
    let made = cache.commit(&mut open, &outputs, json!({}), Default::default()).unwrap();
    drop(open);
    assert!(!first.exists());
    assert_eq!(cache.find(&key.key()).unwrap().result, Some(made));
    assert!(cache.verify(&|_| {}).unwrap().is_sound());
}

#[test]
fn ledger_is_not_rebuilt_while_an_attempt_is_running() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, _, id, _) = abandoned(folder.path());
    drop(cache);
    let Err(error @ CacheError::UnderWay { .. }) = rebuild(folder.path()) else { panic!("the ledger was rebuilt") };
    assert!(error.to_string().contains(id.as_str()), "{error}");
}
