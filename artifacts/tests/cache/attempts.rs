use std::fs;

use tfnas_artifacts::{Cache, CacheError, Failure, Outcome, Purpose, Waiting};

use crate::work::{attempt, begin, content, damage, failure, finish, make, manifest, new_run, out};

#[test]
fn committed_result_is_found_only_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("search", 1, &[]);
    assert!(cache.find_and_use(&run, &key.key()).unwrap().result.is_none());
    let open = begin(&cache, &run, attempt("search@1", key.clone()));
    fs::write(open.resume_folder().join("epoch"), "3").unwrap();
    let (outputs, resume) = (open.output_folder().to_owned(), open.resume_folder().to_owned());
    let made = finish(&cache, open, &[("b", content(&key, "b", 10)), ("a", content(&key, "a", 100_000))]).unwrap();
    assert_eq!(made.outcome, Some(Outcome::Done));
    assert!(!outputs.exists() && !resume.exists());

    let other = Cache::open(folder.path()).unwrap();
    let found = other.find(&key.key()).unwrap().result.unwrap();
    assert_eq!(found, made);
    assert_eq!(found.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let path = other.open_verified(&found.output("a").unwrap().digest).unwrap();
    assert_eq!(fs::read(path).unwrap(), content(&key, "a", 100_000));
    assert!(other.find(&manifest("search", 2, &[]).key()).unwrap().result.is_none());
}

#[test]
fn failed_attempt_keeps_earlier_result_log_and_resume_point() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("train", 1, &[]);
    let earlier = make(&cache, &run, "train", &key);
    let open = begin(&cache, &run, attempt("train", key.clone()));
    fs::write(open.log(), "out of memory\n").unwrap();
    fs::write(open.resume_folder().join("epoch"), "3").unwrap();
    fs::write(open.output_folder().join("half"), "half").unwrap();
    let (log, resume) = (open.log().to_owned(), open.resume_folder().to_owned());
    let failed = cache.fail(open, failure("killed by signal 9")).unwrap();
    assert_eq!(failed.outcome, Some(Outcome::Failed));
    assert_eq!(fs::read_to_string(log).unwrap(), "out of memory\n");
    assert!(resume.join("epoch").exists());
    assert_eq!(cache.find_and_use(&run, &key.key()).unwrap().result.unwrap().id, earlier.id);
    assert_eq!(cache.ledger().last_attempt("train").unwrap().unwrap().cause.unwrap(), "killed by signal 9");
    assert_eq!(cache.ledger().last_result("train").unwrap().unwrap().id, earlier.id);
    let open = begin(&cache, &run, attempt("train", key));
    let stopped = Failure { interrupted: true, ..failure("Ctrl-C") };
    assert_eq!(cache.fail(open, stopped).unwrap().outcome, Some(Outcome::Interrupted));
}

#[test]
fn attempt_without_an_output_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("train", 1, &[]);
    let mut open = begin(&cache, &run, attempt("train", key.clone()));
    let absent = open.output_folder().join("weights");
    let error = cache.commit(&mut open, &[("weights".into(), absent)], serde_json::json!({}), Default::default());
    assert!(error.unwrap_err().to_string().contains("weights"));
    cache.fail(open, failure("no weights")).unwrap();
    assert!(cache.find(&key.key()).unwrap().result.is_none());
}

#[test]
fn damaged_output_is_quarantined_reported_and_remade() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("parse", 1, &[]);
    let made = make(&cache, &run, "parse", &key);
    damage(&cache.store().path(&out(&made)));
    let plan = cache.find(&key.key()).unwrap();
    assert!(plan.result.is_none() && plan.lost.len() == 1, "a plan notices the damage and changes nothing");
    assert!(cache.store().path(&out(&made)).exists());
    let hit = cache.find_and_use(&run, &key.key()).unwrap();
    assert!(hit.result.is_none());
    assert!(hit.lost[0].to_string().contains("quarantine"), "{}", hit.lost[0]);
    assert!(cache.find_and_use(&run, &key.key()).unwrap().lost[0].to_string().contains("not in the store"));
    let again = make(&cache, &run, "parse", &key);
    assert_eq!(cache.find_and_use(&run, &key.key()).unwrap().result.unwrap().id, again.id);
}

#[test]
fn older_result_of_a_key_replaces_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("lookup", 1, &[]);
    let first = finish(&cache, begin(&cache, &run, attempt("lookup", key.clone())), &[("out", b"1".into())]).unwrap();
    let second = finish(&cache, begin(&cache, &run, attempt("lookup", key.clone())), &[("out", b"2".into())]).unwrap();
    assert_eq!(cache.find_and_use(&run, &key.key()).unwrap().result.unwrap().id, second.id);
    fs::remove_file(cache.store().path(&out(&second))).unwrap();
    let hit = cache.find_and_use(&run, &key.key()).unwrap();
    assert_eq!(hit.result.unwrap().id, first.id);
    assert_eq!(hit.lost.len(), 1);
    assert_eq!(cache.ledger().attempts_of(&key.key()).unwrap().len(), 2);
}

#[test]
fn result_of_a_check_is_recorded_and_never_reused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("search", 1, &[]);
    let mut check = attempt("search", key.clone());
    check.purpose = Purpose::Check;
    finish(&cache, begin(&cache, &run, check), &[("out", b"x".into())]).unwrap();
    assert!(cache.find_and_use(&run, &key.key()).unwrap().result.is_none());
    assert_eq!(cache.ledger().attempts_of(&key.key()).unwrap()[0].purpose, Purpose::Check);
}

#[test]
fn dropped_attempt_is_interrupted_when_its_key_is_locked_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("search", 1, &[]);
    let open = begin(&cache, &run, attempt("search", key.clone()));
    let (id, outputs) = (open.id().clone(), open.output_folder().to_owned());
    assert!(cache.is_locked(&key.key()));
    drop(open);
    assert!(!cache.is_locked(&key.key()));
    assert_eq!(cache.ledger().attempt(&id).unwrap().unwrap().outcome, None);
    drop(cache.lock(&key.key(), &mut |_| Waiting::GoOn).unwrap());
    assert_eq!(cache.ledger().attempt(&id).unwrap().unwrap().outcome, Some(Outcome::Interrupted));
    assert!(!outputs.exists());
}

#[test]
fn lock_of_another_key_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let lock = cache.lock(&manifest("search", 1, &[]).key(), &mut |_| Waiting::GoOn).unwrap().unwrap();
    let error = cache.begin_attempt(&run, lock, attempt("search", manifest("search", 2, &[]))).unwrap_err();
    assert!(matches!(error, CacheError::WrongLock { .. }));
}

#[test]
fn waiting_process_learns_the_holder_and_can_give_up() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let key = manifest("search", 1, &[]).key();
    let _held = cache.lock(&key, &mut |_| Waiting::GoOn).unwrap().unwrap();
    let other = Cache::open(folder.path()).unwrap();
    let mut reported = None;
    let given_up = other.lock(&key, &mut |holder| {
        reported = holder.pid;
        Waiting::GiveUp
    });
    assert!(given_up.unwrap().is_none());
    assert_eq!(reported, Some(std::process::id()));
}

#[test]
fn stale_resume_point_of_a_committed_attempt_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("train", 1, &[]);
    let open = begin(&cache, &run, attempt("train", key.clone()));
    let resume = open.resume_folder().to_owned();
    finish(&cache, open, &[("out", b"1".into())]).unwrap();
    fs::create_dir(&resume).unwrap();
    fs::write(resume.join("epoch"), "last").unwrap();
    let again = begin(&cache, &run, attempt("train", key.clone()));
    assert_eq!(fs::read_dir(again.resume_folder()).unwrap().count(), 0);
    fs::write(resume.join("epoch"), "1").unwrap();
    cache.fail(again, failure("stopped")).unwrap();
    let mut check = attempt("train", key.clone());
    check.purpose = Purpose::Check;
    let check = begin(&cache, &run, check);
    assert_eq!(fs::read_dir(check.resume_folder()).unwrap().count(), 0, "a check does not resume");
    finish(&cache, check, &[("out", b"1".into())]).unwrap();
    let resumed = begin(&cache, &run, attempt("train", key));
    assert_eq!(fs::read_to_string(resumed.resume_folder().join("epoch")).unwrap(), "1");
}
