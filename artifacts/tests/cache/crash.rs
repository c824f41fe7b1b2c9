//! Processes that are killed at random times, and processes that share a store. The helper process is this test
//! program, started again with the test `helper` alone.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tfnas_artifacts::{Cache, Outcome, Retention, Waiting};
use tfnas_random::{Stream, StreamId};

use crate::work::{attempt, content, failure, finish, manifest, new_run};

const STORE: &str = "TFNAS_TEST_STORE";
const WORKERS: &str = "TFNAS_TEST_PAUSE_MS";

/// Number of keys that the helpers work through. The sizes of the outputs depend on the key.
const KEYS: u64 = 40;

fn start_helper(store: &Path, pause_ms: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::helper", "--ignored", "--nocapture"])
        .env(STORE, store)
        .env(WORKERS, pause_ms.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "a helper process of other tests"]
fn helper() {
    let store = std::env::var_os(STORE).expect("this test is started only by other tests");
    let pause_ms = std::env::var(WORKERS).unwrap().parse().unwrap();
    work_through(Path::new(&store), Duration::from_millis(pause_ms));
}

/// Makes the results of all keys that have none, as a planner does.
fn work_through(store: &Path, pause: Duration) {
    let cache = Cache::open(store).unwrap();
    let run = cache.begin_run(&new_run()).unwrap();
    for number in 0..KEYS {
        let key = manifest("stage", number, &[]);
        if cache.find_and_use(&run, &key.key()).unwrap().result.is_some() {
            continue;
        }
        let lock = cache.lock(&key.key(), &mut |_| Waiting::GoOn).unwrap().unwrap();
        if cache.find_and_use(&run, &key.key()).unwrap().result.is_some() {
            continue;
        }
        let open = cache.begin_attempt(&run, lock, attempt("stage", key.clone())).unwrap();
        sleep(pause);
        let outputs =
            [("small", content(&key, "small", 100)), ("large", content(&key, "large", number as usize * 4000))];
        finish(&cache, open, &outputs).unwrap();
        if number % 10 == 3 {
            let other = manifest("failing", number, &[]);
            let lock = cache.lock(&other.key(), &mut |_| Waiting::GoOn).unwrap().unwrap();
            cache
                .fail(cache.begin_attempt(&run, lock, attempt("failing", other)).unwrap(), failure("by design"))
                .unwrap();
        }
        if number % 20 == 7 {
            cache.gc(&Retention::default()).unwrap();
        }
    }
    cache.end_run(run, Outcome::Done).unwrap();
}

/// Checks that the ledger and the store agree and that every result has the right bytes. Returns the number of
/// results.
fn check(store: &Path) -> u64 {
    let cache = Cache::open(store).unwrap();
    let found = cache.verify(&|_| {}).unwrap();
    assert!(found.is_sound(), "{found:?}");
    let mut results = 0;
    for number in 0..KEYS {
        let key = manifest("stage", number, &[]);
        let hit = cache.find(&key.key()).unwrap();
        assert!(hit.lost.is_empty(), "{:?}", hit.lost);
        if let Some(result) = hit.result {
            let path = cache.open_verified(&result.output("large").unwrap().digest).unwrap();
            assert_eq!(std::fs::read(path).unwrap(), content(&key, "large", number as usize * 4000));
            results += 1;
        }
    }
    results
}

#[test]
fn kill_at_any_time_loses_only_the_running_attempt() {
    let mut kills_within = 0;
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let mut before = 0;
        for kill in 0..8 {
            let mut helper = start_helper(&store, 0);
            let wait = Stream::new(seed, StreamId::Synthetic, 0, kill).between(1.0, 60.0);
            sleep(Duration::from_secs_f64(wait / 1e3));
            helper.kill().unwrap();
            kills_within += u32::from(!helper.wait().unwrap().success());
            let results = check(&store);
            assert!(results >= before, "{results} results, but {before} before the kill");
            before = results;
        }
        work_through(&store, Duration::ZERO);
        assert_eq!(check(&store), KEYS);
        let cache = Cache::open(&store).unwrap();
        cache.gc(&Retention::default()).unwrap();
        for name in ["attempts", "resume", "tmp"] {
            let left = std::fs::read_dir(store.join(name)).unwrap().filter(|_| name != "tmp").count();
            assert_eq!(left, 0, "{name}");
        }
    }
    assert!(kills_within >= 6, "only {kills_within} kills hit a running helper");
}

#[test]
fn ledger_is_rebuilt_with_the_same_results_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut helper = start_helper(&store, 0);
    sleep(Duration::from_millis(80));
    helper.kill().unwrap();
    helper.wait().unwrap();
    let results = check(&store);
    Cache::rebuild(&store).unwrap();
    assert!(check(&store) >= results);
}

#[test]
fn two_processes_on_one_store_make_each_result_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let helpers: Vec<Child> = (0..3).map(|_| start_helper(&store, 4)).collect();
    for mut helper in helpers {
        assert!(helper.wait().unwrap().success());
    }
    assert_eq!(check(&store), KEYS);
    let cache = Cache::open(&store).unwrap();
    for number in 0..KEYS {
        let attempts = cache.ledger().attempts_of(&manifest("stage", number, &[]).key()).unwrap();
        assert_eq!(attempts.len(), 1, "key {number}");
    }
    assert_eq!(cache.ledger().runs(None, 9).unwrap().len(), 3);
}
