use std::fs;
use std::path::{Path, PathBuf};

use tfnas_artifacts::{ActionKey, Attempt, Cache, CacheError, Remote, RemoteError};

use crate::work::{attempt, begin, damage, finish, make, manifest, new_run, out};

/// Two stores and a remote between them.
struct Sites {
    folder: tempfile::TempDir,
    here: Cache,
    there: Cache,
}

impl Sites {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = Cache::open(&folder.path().join("here")).unwrap();
        let there = Cache::open(&folder.path().join("there")).unwrap();
        Self { folder, here, there }
    }

    fn shared(&self) -> PathBuf {
        let path = self.folder.path().join("shared");
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn remote(&self) -> Remote {
        open(&self.shared()).unwrap()
    }

    /// Makes two results here and pushes them.
    fn push(&self) -> Vec<Attempt> {
        let run = self.here.begin_run(&new_run()).unwrap();
        let results: Vec<Attempt> =
            (0..2).map(|number| make(&self.here, &run, "split", &manifest("split", number, &[]))).collect();
        self.remote().push(&self.here, &results, &|_| {}).unwrap();
        results
    }

    fn object(&self, result: &Attempt) -> PathBuf {
        let name = out(result).to_string();
        self.shared().join("objects").join(&name[..2]).join(&name[2..])
    }

    fn record(&self, result: &Attempt) -> PathBuf {
        self.shared().join("results").join(result.key.to_string()).join(format!("{}.json", result.id))
    }

    /// Checks that a result is refused there, with these words, and that nothing of it is left.
    fn assert_refused(&self, result: &Attempt, words: &str) {
        let pulled = self.remote().pull(&self.there, &result.key, &|_| {}).unwrap();
        assert!(pulled.result.is_none());
        assert!(pulled.refused[0].to_string().contains(words), "{}", pulled.refused[0]);
        assert!(self.there.find(&result.key).unwrap().result.is_none());
        assert!(self.there.ledger().attempts_of(&result.key).unwrap().is_empty());
        assert_eq!(fs::read_dir(self.there.store().root().join("tmp")).unwrap().count(), 0);
        assert!(self.there.verify(&|_| {}).unwrap().is_sound());
    }
}

fn open(folder: &Path) -> Result<Remote, RemoteError> {
    Remote::open(&format!("file://{}", folder.display()), [])
}

#[test]
fn a_pushed_result_is_pulled_with_the_same_bytes_and_no_other_is() {
    let sites = Sites::new();
    let results = sites.push();
    let pulled = sites.remote().pull(&sites.there, &results[0].key, &|_| {}).unwrap();
    assert_eq!((pulled.objects, pulled.bytes), (1, 1000));
    assert!(pulled.refused.is_empty());
    let found = sites.there.find(&results[0].key).unwrap().result.unwrap();
    assert_eq!(found, Attempt { run: None, ..results[0].clone() });
    sites.there.open_verified(&out(&found)).unwrap();
    assert!(sites.there.find(&results[1].key).unwrap().result.is_none());
    assert!(!sites.there.store().contains(&out(&results[1])));
    let again = sites.remote().pull(&sites.there, &results[0].key, &|_| {}).unwrap();
    assert_eq!((again.objects, again.result.unwrap().id), (0, found.id));
    assert_eq!(sites.remote().push(&sites.here, &results, &|_| {}).unwrap(), Default::default());
    let unknown = ActionKey::from(out(&results[0]));
    assert!(sites.remote().pull(&sites.there, &unknown, &|_| {}).unwrap().result.is_none());
}

#[test]
fn a_large_object_goes_and_comes_in_parts() {
    let sites = Sites::new();
    let run = sites.here.begin_run(&new_run()).unwrap();
    let bytes: Vec<u8> = (0..20_000_001u32).map(|index| (index / 7 % 251) as u8).collect();
    let open = begin(&sites.here, &run, attempt("train", manifest("train", 1, &[])));
    let result = finish(&sites.here, open, &[("out", bytes.clone())]).unwrap();
    let pushed = sites.remote().push(&sites.here, std::slice::from_ref(&result), &|_| {}).unwrap();
    assert_eq!((pushed.results, pushed.objects, pushed.bytes), (1, 1, bytes.len() as u64));
    let came = std::cell::Cell::new(0);
    sites.remote().pull(&sites.there, &result.key, &|bytes| came.set(came.get() + bytes)).unwrap().result.unwrap();
    assert_eq!(came.get(), bytes.len() as u64);
    assert!(fs::read(sites.there.open_verified(&out(&result)).unwrap()).unwrap() == bytes);
}

#[test]
fn wrong_missing_and_cut_off_objects_are_refused() {
    let sites = Sites::new();
    let result = sites.push().remove(0);
    let object = sites.object(&result);
    let good = fs::read(&object).unwrap();
    damage(&object);
    sites.assert_refused(&result, "wrong bytes");
    fs::write(&object, &good[..500]).unwrap();
    sites.assert_refused(&result, "500 bytes instead of 1000");
    fs::remove_file(&object).unwrap();
    sites.assert_refused(&result, "does not exist");
    fs::write(&object, &good).unwrap();
    sites.remote().pull(&sites.there, &result.key, &|_| {}).unwrap().result.unwrap();
}

#[test]
fn altered_records_are_refused() {
    let sites = Sites::new();
    let results = sites.push();
    let record = sites.record(&results[0]);
    let good = fs::read_to_string(&record).unwrap();
    fs::write(&record, &good[..good.len() / 2]).unwrap();
    sites.assert_refused(&results[0], "cannot be used");
    fs::write(&record, good.replace("\"number\": 0", "\"number\": 9")).unwrap();
    sites.assert_refused(&results[0], "key is not that of its fields");
    fs::copy(sites.record(&results[1]), &record).unwrap();
    sites.assert_refused(&results[0], "no result of the key");
    fs::write(&record, good.replace("\"done\"", "\"failed\"")).unwrap();
    sites.assert_refused(&results[0], "no result of the key");
}

#[test]
fn an_older_result_steps_in_for_a_damaged_newer_one() {
    let sites = Sites::new();
    let run = sites.here.begin_run(&new_run()).unwrap();
    let key = manifest("lookup", 1, &[]);
    let mut results = Vec::new();
    for content in ["first", "second"] {
        let open = begin(&sites.here, &run, attempt("lookup", key.clone()));
        results.push(finish(&sites.here, open, &[("out", content.into())]).unwrap());
        sites.remote().push(&sites.here, &results, &|_| {}).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    damage(&sites.object(&results[1]));
    let pulled = sites.remote().pull(&sites.there, &key.key(), &|_| {}).unwrap();
    assert_eq!(pulled.result.unwrap().id, results[0].id);
    assert_eq!(pulled.refused.len(), 1);
}

#[test]
fn a_damaged_artifact_is_not_pushed() {
    let sites = Sites::new();
    let run = sites.here.begin_run(&new_run()).unwrap();
    let result = make(&sites.here, &run, "split", &manifest("split", 7, &[]));
    damage(&sites.here.store().path(&out(&result)));
    let error = sites.remote().push(&sites.here, std::slice::from_ref(&result), &|_| {}).unwrap_err();
    assert!(matches!(error, RemoteError::Cache(CacheError::Object(_))), "{error}");
    assert!(!sites.object(&result).exists() && !sites.record(&result).exists());
}

#[test]
fn bytes_lost_here_come_back_by_a_pull() {
    let sites = Sites::new();
    let result = sites.push().remove(0);
    fs::remove_file(sites.here.store().path(&out(&result))).unwrap();
    sites.remote().pull(&sites.here, &result.key, &|_| {}).unwrap().result.unwrap();
    assert_eq!(sites.here.find(&result.key).unwrap().result.unwrap(), result);
}

#[test]
fn a_remote_of_another_format_and_addresses_that_are_none_are_refused() {
    let sites = Sites::new();
    sites.push();
    fs::write(sites.shared().join("FORMAT"), "tfnas-remote 2\n").unwrap();
    assert!(matches!(open(&sites.shared()), Err(RemoteError::Format { .. })));
    for url in ["", "nonsense", "ftp://host/path", "s3:///", "/a/path"] {
        assert!(matches!(Remote::open(url, []), Err(RemoteError::Url { .. })), "{url}");
    }
}

#[test]
fn a_remote_that_cannot_be_reached_is_said_to_be_so() {
    let options = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let error = Remote::open("s3://bucket/path", options).unwrap_err().to_string();
    assert!(error.contains("s3://bucket/path/FORMAT") && error.contains("check the address"), "{error}");
}

#[test]
#[ignore = "needs a server: TFNAS_TEST_REMOTE=s3://bucket/path, and its variables (AWS_ENDPOINT_URL and others)"]
fn a_server_is_pushed_to_and_pulled_from() {
    let url = std::env::var("TFNAS_TEST_REMOTE").expect("TFNAS_TEST_REMOTE names an address");
    let sites = Sites::new();
    let run = sites.here.begin_run(&new_run()).unwrap();
    let small = make(&sites.here, &run, "split", &manifest("split", 1, &[]));
    let open = begin(&sites.here, &run, attempt("train", manifest("train", 1, &[])));
    let large = finish(&sites.here, open, &[("out", vec![7; 30_000_001])]).unwrap();
    let remote = Remote::open(&url, std::env::vars()).unwrap();
    let pushed = remote.push(&sites.here, &[small.clone(), large.clone()], &|_| {}).unwrap();
    println!("{pushed:?}");
    assert_eq!(remote.push(&sites.here, &[small.clone(), large.clone()], &|_| {}).unwrap(), Default::default());
    let remote = Remote::open(&url, std::env::vars()).unwrap();
    for result in [&small, &large] {
        let pulled = remote.pull(&sites.there, &result.key, &|_| {}).unwrap();
        assert!(pulled.refused.is_empty());
        let found = pulled.result.unwrap();
        assert_eq!(found.outputs, result.outputs);
        sites.there.open_verified(&out(&found)).unwrap();
    }
}
