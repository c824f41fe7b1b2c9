//! Pushes to a folder and pulls from it. Tests with a server are in `remote_server.rs`.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tfnas_artifacts::{
    ActionKey, Attempt, Cache, CacheError, KeyManifest, Outcome, Pulled, Pushed, Pusher, Remote, RemoteError,
    Retention, Wanted,
};

use crate::work::{attempt, begin, damage, finish, make, manifest, new_run, out, rebuild};

/// Two stores that share a remote.
pub struct Sites {
    folder: tempfile::TempDir,
    pub here: Cache,
    pub there: Cache,
}

impl Sites {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("shared")).unwrap();
        let here = Cache::open(&folder.path().join("here")).unwrap();
        let there = Cache::open(&folder.path().join("there")).unwrap();
        Self { folder, here, there }
    }

    pub fn shared(&self) -> PathBuf {
        self.folder.path().join("shared")
    }

    pub fn remote(&self) -> Remote {
        open(&self.shared()).unwrap()
    }

    /// Makes two results here and pushes them.
    fn push(&self) -> Vec<Attempt> {
        let run = self.here.begin_run(&new_run()).unwrap();
        let results: Vec<Attempt> =
            (0..2).map(|number| make(&self.here, &run, "split", &manifest("split", number, &[]))).collect();
        self.push_all(&results);
        results
    }

    fn push_all(&self, results: &[Attempt]) -> Vec<Pushed> {
        let remote = self.remote();
        let pusher = Pusher::new(&remote, &self.here);
        results.iter().map(|result| pusher.push(result, &|_| {}).unwrap()).collect()
    }

    fn pull(&self, key: &ActionKey) -> Pulled {
        pull(&self.remote(), &self.there, key)
    }

    /// Makes a result with these bytes as its only output in the first store.
    pub fn make(&self, key: &KeyManifest, bytes: Vec<u8>) -> Attempt {
        let run = self.here.begin_run(&new_run()).unwrap();
        finish(&self.here, begin(&self.here, &run, attempt(key.stage(), key.clone())), &[("out", bytes)]).unwrap()
    }

    fn object(&self, result: &Attempt) -> PathBuf {
        let name = out(result).to_string();
        self.shared().join("objects").join(&name[..2]).join(&name[2..])
    }

    pub fn record(&self, result: &Attempt) -> PathBuf {
        self.shared().join("results").join(result.key.to_string()).join(format!("{}.json", result.id))
    }

    /// Checks that the second store refuses a result with these words and keeps nothing of it.
    fn assert_refused(&self, result: &Attempt, words: &str) {
        let pulled = self.pull(&result.key);
        assert!(pulled.result.is_none());
        assert!(pulled.refused[0].to_string().contains(words), "{}", pulled.refused[0]);
        assert!(self.there.find(&result.key).unwrap().result.is_none());
        assert!(self.there.ledger().attempts_of(&result.key).unwrap().is_empty());
        for folder in ["tmp", "quarantine", "manifests"] {
            assert_eq!(fs::read_dir(self.there.store().root().join(folder)).unwrap().count(), 0, "{folder}");
        }
        assert!(self.there.verify(&|_| {}).unwrap().is_sound());
    }
}

pub fn pull(remote: &Remote, cache: &Cache, key: &ActionKey) -> Pulled {
    remote.pull(cache, Wanted { key, outputs: &["out"] }, &|_| {}).unwrap()
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

fn open(folder: &Path) -> Result<Remote, RemoteError> {
    Remote::open(&url(folder), [], Arc::default())
}

/// Returns enough bytes for an upload in several parts.
pub fn several_parts() -> Vec<u8> {
    (0..20_000_001u32).map(|index| (index / 7 % 251) as u8).collect()
}

#[test]
fn pushed_result_is_pulled_with_the_same_bytes() {
    let sites = Sites::new();
    let results = sites.push();
    let pulled = sites.pull(&results[0].key);
    assert_eq!((pulled.objects, pulled.bytes, pulled.refused.len()), (1, 1000, 0));
    let found = sites.there.find(&results[0].key).unwrap().result.unwrap();
    assert_eq!(found, Attempt { run: None, remote: Some(url(&sites.shared())), ..results[0].clone() });
    sites.there.open_verified(&out(&found)).unwrap();
    assert!(sites.there.find(&results[1].key).unwrap().result.is_none());
    assert!(!sites.there.store().contains(&out(&results[1])));
    let again = sites.pull(&results[0].key);
    assert_eq!((again.objects, again.result.unwrap().id), (0, found.id));
    assert!(sites.push_all(&results).iter().all(Pushed::is_nothing));
    let unknown = ActionKey::from(out(&results[0]));
    assert!(sites.pull(&unknown).result.is_none());
    let mut keys = sites.remote().keys().unwrap();
    keys.sort();
    let mut expected: Vec<_> = results.iter().map(|result| result.key).collect();
    expected.sort();
    assert_eq!(keys, expected);
}

#[test]
fn origin_of_a_pulled_result_survives_a_rebuild_and_is_not_pushed() {
    let sites = Sites::new();
    let result = sites.push().remove(0);
    sites.pull(&result.key);
    let root = sites.there.store().root().to_owned();
    let Sites { folder, there, .. } = sites;
    drop(there);
    rebuild(&root).unwrap();
    let there = Cache::open(&root).unwrap();
    let found = there.find(&result.key).unwrap().result.unwrap();
    assert_eq!(found.remote, Some(url(&folder.path().join("shared"))));
    let second = folder.path().join("second");
    fs::create_dir(&second).unwrap();
    Pusher::new(&open(&second).unwrap(), &there).push(&found, &|_| {}).unwrap();
    let record = |remote: &Path| fs::read(remote.join(format!("results/{}/{}.json", result.key, result.id))).unwrap();
    assert_eq!(record(&second), record(&folder.path().join("shared")));
}

#[test]
fn large_object_is_transferred_in_parts() {
    let sites = Sites::new();
    let bytes = several_parts();
    let result = sites.make(&manifest("train", 1, &[]), bytes.clone());
    let pushed = sites.push_all(std::slice::from_ref(&result))[0];
    assert_eq!(pushed, Pushed { recorded: true, objects: 1, bytes: bytes.len() as u64, signatures: 0 });
    let came = Cell::new(0);
    let wanted = Wanted { key: &result.key, outputs: &["out"] };
    sites.remote().pull(&sites.there, wanted, &|bytes| came.set(came.get() + bytes)).unwrap().result.unwrap();
    assert_eq!(came.get(), bytes.len() as u64);
    assert!(fs::read(sites.there.open_verified(&out(&result)).unwrap()).unwrap() == bytes);
}

#[test]
fn dry_run_reports_transfers_and_transfers_nothing() {
    let sites = Sites::new();
    let result = sites.make(&manifest("train", 1, &[]), vec![5; 300]);
    let remote = sites.remote();
    let expected = Pushed { recorded: true, objects: 1, bytes: 300, signatures: 0 };
    assert_eq!(Pusher::new(&remote, &sites.here).compare(&result).unwrap(), expected);
    assert_eq!(fs::read_dir(sites.shared()).unwrap().count(), 0);
    sites.push_all(std::slice::from_ref(&result));
    assert!(Pusher::new(&remote, &sites.here).compare(&result).unwrap().is_nothing());
    let wanted = Wanted { key: &result.key, outputs: &["out"] };
    let offered = remote.look(&sites.there, wanted).unwrap();
    assert_eq!((offered.objects, offered.bytes, offered.result.unwrap().id), (1, 300, result.id.clone()));
    assert!(sites.there.find(&result.key).unwrap().result.is_none());
    fs::remove_file(sites.object(&result)).unwrap();
    assert!(remote.look(&sites.there, wanted).unwrap().result.is_none());
}

#[test]
fn wrong_missing_and_truncated_objects_are_refused_and_repaired_by_a_push() {
    let sites = Sites::new();
    let result = sites.push().remove(0);
    let object = sites.object(&result);
    let valid = fs::read(&object).unwrap();
    let repair = || assert_eq!(sites.push_all(std::slice::from_ref(&result))[0].objects, 1);
    let modified = fs::metadata(&object).unwrap().modified().unwrap();
    damage(&object);
    fs::File::options().write(true).open(&object).unwrap().set_modified(modified).unwrap();
    sites.assert_refused(&result, "wrong bytes");
    repair();
    fs::write(&object, &valid[..500]).unwrap();
    sites.assert_refused(&result, "500 bytes instead of 1000");
    repair();
    fs::remove_file(&object).unwrap();
    sites.assert_refused(&result, "does not exist");
    repair();
    sites.pull(&result.key).result.unwrap();
}

#[test]
fn altered_records_are_refused_and_repaired_by_a_push() {
    let sites = Sites::new();
    let results = sites.push();
    let record = sites.record(&results[0]);
    let valid = fs::read_to_string(&record).unwrap();
    fs::write(&record, &valid[..valid.len() / 2]).unwrap();
    sites.assert_refused(&results[0], "cannot be used");
    fs::write(&record, valid.replace("\"number\": 0", "\"number\": 9")).unwrap();
    sites.assert_refused(&results[0], "key does not match its fields");
    fs::copy(sites.record(&results[1]), &record).unwrap();
    sites.assert_refused(&results[0], "not a result of its key");
    fs::write(&record, valid.replace("\"done\"", "\"failed\"")).unwrap();
    sites.assert_refused(&results[0], "without a result");
    let pushed = sites.push_all(&results);
    assert_eq!((pushed[0].recorded, pushed[0].objects, pushed[1].is_nothing()), (true, 0, true));
    assert_eq!(fs::read_to_string(&record).unwrap(), valid);
}

#[test]
fn record_of_a_newer_version_is_refused_and_not_changed() {
    let sites = Sites::new();
    let result = sites.push().remove(0);
    let record = sites.record(&result);
    let newer = "{\"format\": \"tfnas.attempt.v2\", \"signed\": []}";
    fs::write(&record, newer).unwrap();
    sites.assert_refused(&result, "tfnas.attempt.v2");
    sites.assert_refused(&result, "use the version that created it");
    assert!(sites.push_all(std::slice::from_ref(&result))[0].is_nothing());
    assert_eq!(fs::read_to_string(&record).unwrap(), newer);
}

#[test]
fn unknown_fields_and_files_of_a_newer_version_are_ignored() {
    let sites = Sites::new();
    let result = sites.push().remove(0);
    let record = sites.record(&result);
    let more = fs::read_to_string(&record).unwrap().replacen('{', "{\n  \"note\": \"more\",", 1);
    fs::write(&record, &more).unwrap();
    fs::write(record.with_extension("sig"), "signature").unwrap();
    assert!(sites.push_all(std::slice::from_ref(&result))[0].is_nothing());
    assert_eq!(fs::read_to_string(&record).unwrap(), more);
    let pulled = sites.pull(&result.key);
    assert!(pulled.result.is_some() && pulled.refused.is_empty());
}

#[test]
fn result_without_a_required_output_is_refused() {
    let sites = Sites::new();
    let result = sites.push().remove(0);
    let wanted = Wanted { key: &result.key, outputs: &["out", "weights"] };
    let pulled = sites.remote().pull(&sites.there, wanted, &|_| {}).unwrap();
    assert!(pulled.result.is_none() && pulled.refused[0].to_string().contains("no weights"), "{:?}", pulled.refused);
}

#[test]
fn older_result_replaces_a_damaged_newer_one() {
    let sites = Sites::new();
    let key = manifest("lookup", 1, &[]);
    let mut results = Vec::new();
    for content in ["first", "second"] {
        results.push(sites.make(&key, content.into()));
        sites.push_all(&results);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    damage(&sites.object(&results[1]));
    let pulled = sites.pull(&key.key());
    assert_eq!(pulled.result.unwrap().id, results[0].id);
    assert_eq!(pulled.refused.len(), 1);
}

#[test]
fn damaged_artifact_is_not_pushed() {
    let sites = Sites::new();
    let result = sites.make(&manifest("split", 7, &[]), vec![1; 1000]);
    damage(&sites.here.store().path(&out(&result)));
    let remote = sites.remote();
    let error = Pusher::new(&remote, &sites.here).push(&result, &|_| {}).unwrap_err();
    assert!(matches!(error, RemoteError::Cache(CacheError::Object(_))), "{error}");
    assert!(error.is_of_one_result());
    assert!(!sites.object(&result).exists() && !sites.record(&result).exists());
}

#[test]
fn pull_restores_lost_bytes() {
    let sites = Sites::new();
    let result = sites.push().remove(0);
    fs::remove_file(sites.here.store().path(&out(&result))).unwrap();
    pull(&sites.remote(), &sites.here, &result.key).result.unwrap();
    assert_eq!(sites.here.find(&result.key).unwrap().result.unwrap(), result);
}

#[test]
fn stopped_push_publishes_nothing_and_resumes() {
    let sites = Sites::new();
    let key = manifest("train", 1, &[]);
    let run = sites.here.begin_run(&new_run()).unwrap();
    let open_attempt = begin(&sites.here, &run, attempt("train", key.clone()));
    let outputs = [("out", vec![1; 2000]), ("weights", several_parts())];
    let result = finish(&sites.here, open_attempt, &outputs).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    let remote = Remote::open(&url(&sites.shared()), [], Arc::clone(&stopped)).unwrap();
    let gone = Cell::new(0);
    let stop_in_the_middle = |bytes| {
        gone.set(gone.get() + bytes);
        stopped.store(gone.get() > 8_000_000, Ordering::Relaxed);
    };
    let outcome = Pusher::new(&remote, &sites.here).push(&result, &stop_in_the_middle);
    assert!(matches!(outcome, Err(RemoteError::Stopped)), "{outcome:?}");
    assert!(!sites.record(&result).exists());
    assert!(sites.pull(&key.key()).result.is_none());
    let pushed = sites.push_all(std::slice::from_ref(&result))[0];
    assert_eq!((pushed.recorded, pushed.objects), (true, 1), "one of the two objects had been pushed");
    sites.pull(&key.key()).result.unwrap();
}

#[test]
fn stopped_pull_is_no_cache_hit_and_resumes() {
    let sites = Sites::new();
    let key = manifest("train", 1, &[]);
    let run = sites.here.begin_run(&new_run()).unwrap();
    let open_attempt = begin(&sites.here, &run, attempt("train", key.clone()));
    let outputs = [("out", vec![1; 2000]), ("weights", several_parts())];
    let result = finish(&sites.here, open_attempt, &outputs).unwrap();
    sites.push_all(std::slice::from_ref(&result));
    let stopped = Arc::new(AtomicBool::new(false));
    let remote = Remote::open(&url(&sites.shared()), [], Arc::clone(&stopped)).unwrap();
    let wanted = Wanted { key: &result.key, outputs: &["out", "weights"] };
    let came = Cell::new(0);
    let stop_in_the_middle = |bytes| {
        came.set(came.get() + bytes);
        stopped.store(came.get() > 8_000_000, Ordering::Relaxed);
    };
    let outcome = remote.pull(&sites.there, wanted, &stop_in_the_middle);
    assert!(matches!(outcome, Err(RemoteError::Stopped)), "{outcome:?}");
    assert!(sites.there.find(&key.key()).unwrap().result.is_none());
    assert_eq!(fs::read_dir(sites.there.store().root().join("tmp")).unwrap().count(), 0);
    let pulled = sites.pull(&key.key());
    assert_eq!(pulled.objects, 1, "one of the two objects had been pulled");
    assert!(sites.there.find(&key.key()).unwrap().result.is_some());
}

#[test]
fn gc_keeps_objects_of_a_running_pull() {
    let sites = Sites::new();
    let key = manifest("train", 1, &[]);
    let run = sites.here.begin_run(&new_run()).unwrap();
    let open_attempt = begin(&sites.here, &run, attempt("train", key.clone()));
    let outputs = [("out", vec![1; 2000]), ("weights", vec![2; 3000])];
    let result = finish(&sites.here, open_attempt, &outputs).unwrap();
    sites.push_all(std::slice::from_ref(&result));
    let other = Cache::open(sites.there.store().root()).unwrap();
    let sweeps = Cell::new(0);
    let sweep = |_| {
        // Not forever: without a recorded run, the object is downloaded again.
        if sweeps.get() < 3 {
            sweeps.set(sweeps.get() + 1);
            other.gc(&Retention { keep_last: Some(0), max_bytes: None }).unwrap();
        }
    };
    let wanted = Wanted { key: &result.key, outputs: &["out", "weights"] };
    sites.remote().pull(&sites.there, wanted, &sweep).unwrap().result.unwrap();
    assert!(sites.there.find(&result.key).unwrap().result.is_some());
    assert!(sites.there.verify(&|_| {}).unwrap().is_sound());
}

#[test]
fn concurrent_pushes_and_pulls_of_the_same_results_work() {
    let sites = Sites::new();
    let run = sites.here.begin_run(&new_run()).unwrap();
    let results: Vec<Attempt> =
        (0..6).map(|number| make(&sites.here, &run, "split", &manifest("split", number, &[]))).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| sites.push_all(&results));
        }
    });
    let remote = sites.remote();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for result in &results {
                    pull(&remote, &sites.there, &result.key).result.unwrap();
                }
            });
        }
    });
    for result in &results {
        assert_eq!(sites.there.ledger().attempts_of(&result.key).unwrap().len(), 1);
    }
    let files = |folder: &str| walk(&sites.shared().join(folder));
    assert_eq!((files("objects"), files("results")), (6, 6), "partial files are left");
    assert!(sites.there.verify(&|_| {}).unwrap().is_sound());
}

/// Returns the number of files below a folder.
fn walk(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[test]
fn invalid_remotes_are_rejected_and_not_changed() {
    let sites = Sites::new();
    sites.push();
    fs::write(sites.shared().join("FORMAT"), "tfnas-remote 2\n").unwrap();
    let error = open(&sites.shared()).unwrap_err();
    assert!(matches!(error, RemoteError::Format { .. }) && error.to_string().contains("tfnas-remote 2"), "{error}");
    fs::remove_file(sites.shared().join("FORMAT")).unwrap();
    let error = open(&sites.shared()).unwrap_err();
    assert!(matches!(error, RemoteError::NotARemote { .. }), "{error}");
    let error = open(&sites.shared().join("nowhere")).unwrap_err();
    assert!(matches!(error, RemoteError::Absent { what: "folder", .. }), "{error}");
    assert!(!sites.shared().join("nowhere").exists());
}

#[test]
fn unreachable_remote_is_reported() {
    let environment =
        [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let error = Remote::open("s3://bucket/path", environment, Arc::default()).unwrap_err().to_string();
    for words in ["s3://bucket/path/FORMAT", "refused", "AWS_ENDPOINT_URL"] {
        assert!(error.contains(words), "{words} is missing from {error}");
    }
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn pull_counts_as_use_and_is_protected_from_gc_during_its_run() {
    let sites = Sites::new();
    let results = sites.push();
    let run = sites.there.begin_run(&new_run()).unwrap();
    sites.pull(&results[0].key);
    sites.there.find_and_use(&run, &results[0].key).unwrap().result.unwrap();
    let nothing = Retention { keep_last: Some(0), max_bytes: Some(0) };
    assert!(sites.there.gc(&nothing).unwrap().attempts.is_empty());
    assert_eq!(sites.there.ledger().used_by(run.id()).unwrap()[0].id, results[0].id);
    sites.there.end_run(run, Outcome::Done).unwrap();
    assert_eq!(sites.there.gc(&nothing).unwrap().attempts.len(), 1);
}
