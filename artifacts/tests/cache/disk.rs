//! Full and read-only file systems. The tests mount a tmpfs, which only root may do.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tfnas_artifacts::{Cache, Outcome, Retention};

use crate::work::{attempt, begin, failure, finish, make, manifest, new_run};

/// A small separate file system that is unmounted when dropped.
struct Mount {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Mount {
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mount");
        fs::create_dir(&path).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", options, "tmpfs"], &path);
        if !mounted {
            println!("skipped: a tmpfs cannot be mounted here");
        }
        mounted.then_some(Self { _folder: folder, path })
    }
}

impl Mount {
    /// Waits until 1 MB is free: a child process that another test is starting may still have a removed file open.
    fn wait_for_space(&self) {
        let probe = self.path.join("probe");
        while fs::write(&probe, vec![0; 1 << 20]).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        fs::remove_file(probe).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    Command::new("mount").args(arguments).arg(path).output().is_ok_and(|output| output.status.success())
}

#[test]
fn full_disk_fails_only_the_attempt() {
    let Some(disk) = Mount::new("size=4m") else { return };
    let root = disk.path.join("store");
    let cache = Cache::open(&root).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let earlier = make(&cache, &run, "split", &manifest("split", 1, &[]));
    let key = manifest("train", 1, &[]);
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("weights");
    fs::write(&large, vec![1; 8 << 20]).unwrap();
    let mut open = begin(&cache, &run, attempt("train", key.clone()));
    let error =
        cache.commit(&mut open, &[("weights".into(), large.clone())], serde_json::json!({}), Default::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no space left") && error.contains(root.to_str().unwrap()), "{error}");
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0, "the partial copy is removed");
    disk.wait_for_space();
    cache.fail(open, failure(&error)).unwrap();
    assert!(cache.store().ingest_file(&large).unwrap_err().to_string().contains("no space left"));
    disk.wait_for_space();
    assert_eq!(cache.find_and_use(&run, &earlier.key).unwrap().result.unwrap().id, earlier.id);
    assert!(cache.find(&key.key()).unwrap().result.is_none());
    assert!(cache.verify(&|_| {}).unwrap().is_sound());
}

#[test]
fn a_full_disk_is_named_without_temporary_files() {
    let Some(disk) = Mount::new("size=4m") else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("store")).unwrap();
    let digest = cache.store().ingest_bytes(&vec![1; 8 << 20]).unwrap();
    let target = disk.path.join("weights");
    let error = cache.store().export(&digest, &target).unwrap_err().to_string();
    assert!(error.contains(target.to_str().unwrap()) && error.contains("no space left"), "{error}");
    let full = Cache::open(&disk.path.join("store")).unwrap();
    let large = folder.path().join("large");
    fs::write(&large, vec![1; 8 << 20]).unwrap();
    let errors = [
        error,
        full.store().ingest_file(&large).unwrap_err().to_string(),
        full.store().ingest_bytes(&vec![1; 8 << 20]).unwrap_err().to_string(),
    ];
    let mount = disk.path.to_str().unwrap();
    assert!(errors.iter().all(|error| !error.replace(mount, "").contains(".tmp")), "{errors:?}");
}

#[test]
fn disk_that_fills_up_at_any_point_loses_no_result() {
    let Some(disk) = Mount::new("size=3m") else { return };
    let cache = Cache::open(&disk.path).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let mut kept = Vec::new();
    let mut failures = 0;
    for number in 0..400 {
        let key = manifest("train", number, &[]);
        let Ok(Some(lock)) = cache.lock(&key.key(), &mut |_| tfnas_artifacts::Waiting::GiveUp) else { continue };
        let Ok(mut open) = cache.begin_attempt(&run, lock, attempt("train", key.clone())) else {
            failures += 1;
            continue;
        };
        let file = open.output_folder().join("out");
        let written = fs::write(&file, vec![number as u8; 20_000]);
        let committed = written
            .is_ok()
            .then(|| cache.commit(&mut open, &[("out".into(), file)], serde_json::json!({}), Default::default()));
        match committed {
            Some(Ok(attempt)) => kept.push(attempt),
            _ => {
                failures += 1;
                let _ = cache.fail(open, failure("full"));
            }
        }
    }
    assert!(failures > 0 && !kept.is_empty());
    for attempt in &kept {
        assert_eq!(cache.find(&attempt.key).unwrap().result.as_ref(), Some(attempt));
    }
    assert!(cache.ledger().check().unwrap().is_empty());
}

#[test]
fn gc_frees_space_on_a_full_disk() {
    let Some(disk) = Mount::new("size=4m") else { return };
    let cache = Cache::open(&disk.path).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let result = make(&cache, &run, "split", &manifest("split", 1, &[]));
    cache.store().ingest_bytes(&vec![1; 1 << 20]).unwrap();
    cache.end_run(run, Outcome::Done).unwrap();
    let mut filler = fs::File::create(disk.path.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    let removal = cache.gc(&Retention { keep_last: Some(0), max_bytes: None }).unwrap();
    assert_eq!((removal.attempts.len(), removal.objects), (1, 2));
    assert!(cache.find(&result.key).unwrap().result.is_none());
}

#[test]
fn read_only_store_is_readable_and_writes_fail() {
    let Some(disk) = Mount::new("size=4m") else { return };
    let cache = Cache::open(&disk.path).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("split", 1, &[]);
    make(&cache, &run, "split", &key);
    cache.end_run(run, Outcome::Done).unwrap();
    drop(cache);
    assert!(mount(&["-o", "remount,ro"], &disk.path));
    let error = Cache::open(&disk.path).unwrap_err().to_string();
    assert!(error.contains("read-only") && error.contains(disk.path.to_str().unwrap()), "{error}");
    let reader = Cache::open_to_read(&disk.path).unwrap();
    assert!(reader.find(&key.key()).unwrap().result.is_some());
    assert_eq!(reader.ledger().runs(None, 9).unwrap().len(), 1);
}

#[test]
fn commit_to_a_store_on_another_disk_copies_the_file() {
    let Some(disk) = Mount::new("size=4m") else { return };
    let cache = Cache::open(&disk.path).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let key = manifest("split", 1, &[]);
    let open = begin(&cache, &run, attempt("split", key.clone()));
    assert!(finish(&cache, open, &[("out", vec![7; 100])]).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("file");
    fs::write(&elsewhere, "elsewhere").unwrap();
    let mut open = begin(&cache, &run, attempt("split", manifest("split", 2, &[])));
    cache.commit(&mut open, &[("out".into(), elsewhere)], serde_json::json!({}), Default::default()).unwrap();
    assert!(cache.verify(&|_| {}).unwrap().is_sound());
}

#[test]
fn read_only_remote_allows_pulls_and_rejects_pushes() {
    use tfnas_artifacts::{Pusher, Remote, RemoteError, Wanted};

    let Some(disk) = Mount::new("size=4m") else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("here")).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    let pushed = make(&cache, &run, "split", &manifest("split", 1, &[]));
    let other = make(&cache, &run, "split", &manifest("split", 2, &[]));
    let url = format!("file://{}", disk.path.display());
    let remote = Remote::open(&url, [], Default::default()).unwrap();
    Pusher::new(&remote, &cache).push(&pushed, &|_| {}).unwrap();
    assert!(mount(&["-o", "remount,ro"], &disk.path));
    let remote = Remote::open(&url, [], Default::default()).unwrap();
    let pusher = Pusher::new(&remote, &cache);
    assert!(pusher.push(&pushed, &|_| {}).unwrap().is_nothing());
    let error = pusher.push(&other, &|_| {}).unwrap_err();
    assert!(matches!(error, RemoteError::Request { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains(&format!("cannot write {url}/objects")) && error.contains("can be written"), "{error}");
    let there = Cache::open(&folder.path().join("there")).unwrap();
    let wanted = Wanted { key: &pushed.key, outputs: &["out"] };
    assert!(remote.pull(&there, wanted, &|_| {}).unwrap().result.is_some());
}
