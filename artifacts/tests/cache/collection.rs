use std::fs;

use tfnas_artifacts::{Cache, Outcome, Retention};

use crate::work::{attempt, begin, make, manifest, new_run, out};

const NOTHING: Retention = Retention { keep_last: Some(0), max_bytes: None };

#[test]
fn old_results_are_removed_with_their_bytes_records_logs_and_traces() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let mut made = Vec::new();
    for number in 0..3 {
        let result = make(&cache, &run, "search", &manifest("search", number, &[]));
        let log = cache.store().log_file(&result.id);
        fs::write(&log, "log").unwrap();
        fs::write(log.with_extension("trace.json"), "{}").unwrap();
        made.push(result);
    }
    cache.end_run(run, Outcome::Done).unwrap();
    let retention = Retention { keep_last: Some(1), max_bytes: None };
    let plan = cache.plan_gc(&retention).unwrap();
    assert_eq!((plan.attempts.len(), plan.objects, plan.bytes, plan.bytes_kept), (2, 2, 2000, 1000));
    assert_eq!(cache.store().objects().unwrap().len(), 3, "a plan removes nothing");
    assert_eq!(cache.gc(&retention).unwrap(), plan);
    assert_eq!(cache.store().objects().unwrap(), [(out(&made[2]), 1000)]);
    assert!(cache.find(&made[0].key).unwrap().result.is_none());
    assert!(cache.find(&made[0].key).unwrap().lost.is_empty());
    assert!(cache.find(&made[2].key).unwrap().result.is_some());
    for (name, left) in [("manifests", 1), ("logs", 2)] {
        assert_eq!(fs::read_dir(folder.path().join(name)).unwrap().count(), left, "{name}");
    }
    assert!(cache.verify(&|_| {}).unwrap().is_sound());
    assert!(cache.gc(&retention).unwrap().attempts.is_empty());
}

#[test]
fn pinned_result_is_kept_with_its_lineage() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let split = make(&cache, &run, "split", &manifest("split", 1, &[]));
    let train = make(&cache, &run, "train", &manifest("train", 1, &[("list", out(&split))]));
    make(&cache, &run, "train", &manifest("train", 2, &[("list", out(&split))]));
    cache.end_run(run, Outcome::Done).unwrap();
    cache.pin(&train.id, "published").unwrap();
    assert_eq!(cache.gc(&NOTHING).unwrap().attempts.len(), 1);
    assert_eq!(cache.ledger().pins().unwrap(), [(train.id.clone(), "published".to_owned())]);
    cache.unpin(&train.id).unwrap();
    let removal = cache.gc(&Retention { keep_last: None, max_bytes: Some(0) }).unwrap();
    assert_eq!((removal.attempts.len(), removal.bytes_kept), (2, 0));
    assert!(cache.store().objects().unwrap().is_empty());
}

#[test]
fn artifacts_of_a_running_run_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let earlier = cache.begin_run(&new_run()).unwrap();
    let used = make(&cache, &earlier, "split", &manifest("split", 1, &[]));
    let unused = make(&cache, &earlier, "split", &manifest("split", 2, &[]));
    cache.end_run(earlier, Outcome::Done).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    cache.find_and_use(&run, &used.key).unwrap();
    let table = cache.store().ingest_bytes(b"a table that no attempt mentions yet").unwrap();
    let open = begin(&cache, &run, attempt("search", manifest("search", 1, &[("list", out(&used))])));
    fs::write(open.output_folder().join("out"), "half").unwrap();
    let removal = cache.gc(&NOTHING).unwrap();
    assert_eq!(removal.attempts.iter().map(|attempt| &attempt.id).collect::<Vec<_>>(), [&unused.id]);
    assert!(cache.store().contains(&out(&used)) && cache.store().contains(&table));
    assert!(open.output_folder().join("out").exists());
    drop(open);
    drop(run);
    cache.gc(&NOTHING).unwrap();
    assert!(cache.store().objects().unwrap().is_empty());
    assert_eq!(fs::read_dir(folder.path().join("attempts")).unwrap().count(), 0);
    assert_eq!(cache.ledger().totals().unwrap().attempts, 0);
}
