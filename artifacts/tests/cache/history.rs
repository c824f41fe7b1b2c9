use tfnas_artifacts::{Attempt, Cache, Digest, Found, Outcome, RunFilter, RunId};

use crate::work::{attempt, begin, failure, make, manifest, named_run, new_run, out};

#[test]
fn runs_are_listed_with_created_and_used_results() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let first = cache.begin_run(&new_run()).unwrap();
    let key = manifest("split", 1, &[]);
    let made = make(&cache, &first, "split", &key);
    let first_id = first.id();
    assert!(cache.is_under_way(first_id));
    cache.end_run(first, Outcome::Done).unwrap();
    assert!(!cache.is_under_way(first_id));
    let second = cache.begin_run(&new_run()).unwrap();
    cache.find_and_use(&second, &key.key()).unwrap();
    cache.find_and_use(&second, &key.key()).unwrap();
    let ledger = cache.ledger();
    assert_eq!(ledger.made_by(first_id).unwrap(), std::slice::from_ref(&made));
    assert!(ledger.used_by(first_id).unwrap().is_empty());
    assert_eq!(ledger.used_by(second.id()).unwrap()[0].id, made.id);
    let runs = ledger.runs(None, 10).unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [second.id(), first_id]);
    assert_eq!(runs[1].outcome, Some(Outcome::Done));
    assert_eq!(runs[1].arguments, ["run", "all"]);
    assert_eq!(ledger.runs(Some(second.id()), 10).unwrap().len(), 1);
    assert_eq!(ledger.run(RunId(99)).unwrap(), None);
    assert_eq!(ledger.totals().unwrap().runs, 2);
}

#[test]
fn abbreviated_names_find_runs_attempts_and_artifacts() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let data = Digest::of_bytes(b"images");
    let made = make(&cache, &run, "split", &manifest("split", 1, &[("images", data)]));
    let find = |text: &str| cache.ledger().find(text).unwrap();
    assert!(find("1").contains(&Found::Run(run.id())));
    assert_eq!(find(&made.id.as_str()[..10]), [Found::Attempt(made.id.clone())]);
    assert_eq!(find(&out(&made).to_string()[..7]), [Found::Artifact(out(&made))]);
    assert_eq!(find(&data.short()), [Found::Artifact(data)]);
    for nothing in ["", "xyz", "ABCDEF", &"0".repeat(65), "0000000000"] {
        assert!(find(nothing).is_empty(), "{nothing:?}");
    }
}

#[test]
fn a_name_means_the_newest_run_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let begin = |name: &str| cache.begin_run(&named_run(name, "")).unwrap().id();
    let ids = [begin("base"), begin("wide base"), begin("base"), begin("wide 2")];
    let nameless = cache.begin_run(&new_run()).unwrap().id();
    let ledger = cache.ledger();
    assert_eq!(ledger.run_named("base").unwrap(), Some(ids[2]));
    assert_eq!(ledger.find("base").unwrap(), [Found::Run(ids[2])]);
    assert_eq!((ledger.run_named("bas").unwrap(), ledger.run_named("").unwrap()), (None, None));
    assert_eq!(ledger.run_names(2).unwrap(), ["wide 2", "base"]);
    assert_eq!(ledger.run(nameless).unwrap().unwrap().name, None);
    let matching = |name: &str, before: Option<RunId>, limit: usize| -> Vec<RunId> {
        let runs = ledger.filtered_runs(RunFilter { before, name: Some(name) }, limit).unwrap();
        runs.into_iter().map(|run| run.id).collect()
    };
    assert_eq!(matching("base", None, 9), [ids[2], ids[1], ids[0]]);
    assert_eq!(matching("base", Some(ids[2]), 1), [ids[1]]);
    assert_eq!(matching("wide*", None, 9), [ids[3], ids[1]]);
    assert_eq!(matching("b?se", None, 9), [ids[2], ids[0]]);
    assert_eq!(matching("*[12]", None, 9), [ids[3]]);
    assert!(matching("Base", None, 9).is_empty() && matching("[", None, 9).is_empty());
}

#[test]
fn a_note_can_be_changed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&named_run("base", "first")).unwrap();
    let (id, note) = (run.id(), |text: &str| text.parse().unwrap());
    make(&cache, &run, "split", &manifest("split", 1, &[]));
    assert_eq!(cache.ledger().run(id).unwrap().unwrap().note.as_deref(), Some("first"));
    assert_eq!(cache.set_note(id, &note("second")).unwrap().unwrap().note.as_deref(), Some("second"));
    assert_eq!(cache.set_note(id, &note(" ")).unwrap().unwrap().note, None);
    assert_eq!(cache.set_note(RunId(9), &note("x")).unwrap(), None);
    assert_eq!(cache.ledger().run(id).unwrap().unwrap().name.as_deref(), Some("base"));
}

#[test]
fn a_note_does_not_change_the_record_of_a_running_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let open = begin(&cache, &run, attempt("split", manifest("split", 1, &[])));
    let record = folder.path().join(format!("manifests/{}/{}.json", open.key(), open.id()));
    std::fs::create_dir_all(record.parent().unwrap()).unwrap();
    std::fs::write(&record, "the end, on its way to the ledger").unwrap();
    cache.set_note(run.id(), &"second".parse().unwrap()).unwrap();
    assert_eq!(std::fs::read_to_string(&record).unwrap(), "the end, on its way to the ledger");
}

#[test]
fn lineage_lists_all_dependencies_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let images = Digest::of_bytes(b"images");
    let split = make(&cache, &run, "split", &manifest("split", 1, &[("images", images)]));
    let lookup = make(&cache, &run, "lookup", &manifest("lookup", 1, &[]));
    let inputs = [("list", out(&split)), ("table", out(&lookup))];
    let search = make(&cache, &run, "search", &manifest("search", 1, &inputs));
    let train =
        make(&cache, &run, "train", &manifest("train", 1, &[("architecture", out(&search)), ("list", out(&split))]));
    make(&cache, &run, "search", &manifest("search", 2, &inputs));
    let lineage = cache.ledger().lineage(&out(&train)).unwrap();
    let stages: Vec<&str> = lineage.attempts.iter().map(|attempt| attempt.stage.as_str()).collect();
    assert_eq!(stages, ["split", "lookup", "search", "train"]);
    assert_eq!(lineage.maker(&out(&split)).unwrap().id, split.id);
    assert!(lineage.maker(&images).is_none());
    assert_eq!(cache.ledger().users(&out(&split)).unwrap().len(), 3);
    assert_eq!(cache.ledger().makers(&out(&split)).unwrap(), [split]);
    assert!(cache.ledger().lineage(&images).unwrap().attempts.is_empty());
    assert_eq!(cache.ledger().upstream(&search.id).unwrap().len(), 3);
}

#[test]
fn recent_results_are_of_the_instance_or_of_its_stage() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let recent = |instance: &str, stage: &str| cache.ledger().recent_results(instance, stage, 5).unwrap();
    assert_eq!(recent("search@12", "search"), []);
    let made = make(&cache, &run, "search@12", &manifest("search", 1, &[]));
    let open = begin(&cache, &run, attempt("search@15", manifest("search", 2, &[])));
    cache.fail(open, failure("died at once")).unwrap();
    let ids = |attempts: Vec<Attempt>| attempts.into_iter().map(|attempt| attempt.id).collect::<Vec<_>>();
    for instance in ["search@12", "search@15"] {
        assert_eq!(ids(recent(instance, "search")), std::slice::from_ref(&made.id));
    }
    assert_eq!(recent("train", "train"), []);
    assert_eq!(cache.ledger().instances().unwrap(), ["search@12", "search@15"]);
}

#[test]
fn reader_sees_everything_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let nothing = Cache::open_to_read(&root).unwrap();
    assert!(nothing.find(&manifest("split", 1, &[]).key()).unwrap().result.is_none());
    assert!(!root.exists());
    let cache = Cache::open(&root).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("split", 1, &[]);
    make(&cache, &run, "split", &key);
    let reader = Cache::open_to_read(&root).unwrap();
    assert!(reader.find(&key.key()).unwrap().result.is_some());
    assert_eq!(reader.ledger().runs(None, 5).unwrap().len(), 1);
    assert!(reader.begin_run(&new_run()).is_err());
}
