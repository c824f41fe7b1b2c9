//! A minimal planner whose stages compute their outputs from the cache key.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use tfnas_artifacts::{
    Attempt, Cache, CacheError, Digest, Failure, KeyManifest, NewAttempt, NewRun, OpenAttempt, OpenRun, Purpose,
    Rebuilt, Usage, Waiting,
};

use tfnas_testutils::waiting::wait_until;

/// Rebuilds the ledger of a cache that this test has closed. Retries while the cache is locked: a child process that
/// another test starts inherits the open files of this process until it executes its program.
pub fn rebuild(root: &Path) -> Result<Rebuilt, CacheError> {
    let mut rebuilt = Cache::rebuild(root);
    wait_until("the cache is closed", || {
        let in_use = matches!(rebuilt, Err(CacheError::InUse { .. }));
        if in_use {
            rebuilt = Cache::rebuild(root);
        }
        !in_use
    });
    rebuilt
}

pub fn new_run() -> NewRun {
    NewRun {
        arguments: vec!["run".into(), "all".into()],
        configuration: "seed: 0\n".into(),
        tool: "test 0.1.0".into(),
        source_revision: None,
        name: None,
        note: None,
    }
}

/// Returns what a run with this name and note records at its start.
pub fn named_run(name: &str, note: &str) -> NewRun {
    NewRun { name: Some(name.parse().unwrap()), note: Some(note.parse().unwrap()), ..new_run() }
}

/// Returns the key manifest of a stage with one number as its parameter.
pub fn manifest(stage: &str, number: u64, inputs: &[(&str, Digest)]) -> KeyManifest {
    let mut manifest = KeyManifest::new(stage, 1);
    manifest.parameter("number", &json!(number)).unwrap();
    for (port, digest) in inputs {
        manifest.input(*port, *digest).unwrap();
    }
    manifest
}

pub fn attempt(instance: &str, manifest: KeyManifest) -> NewAttempt {
    NewAttempt {
        instance: instance.to_owned(),
        manifest,
        origins: BTreeMap::new(),
        environment: json!({"cpu": "test", "threads": 1}),
        purpose: Purpose::Run,
    }
}

/// Returns the bytes of an output, which depend only on the key and the name of the output.
pub fn content(manifest: &KeyManifest, name: &str, length: usize) -> Vec<u8> {
    let seed = Digest::of_bytes(format!("{} {name}", manifest.key()).as_bytes());
    seed.as_bytes().iter().copied().cycle().take(length.max(32)).collect()
}

/// Starts an attempt whose key is not locked.
pub fn begin(cache: &Cache, run: &OpenRun, new: NewAttempt) -> OpenAttempt {
    let lock = cache.lock(&new.manifest.key(), &mut |_| Waiting::GoOn).unwrap().unwrap();
    cache.begin_attempt(run, lock, new).unwrap()
}

/// Writes the outputs of an attempt and commits it.
pub fn finish(cache: &Cache, mut open: OpenAttempt, outputs: &[(&str, Vec<u8>)]) -> Result<Attempt, CacheError> {
    let mut files = Vec::new();
    for (name, bytes) in outputs {
        let file = open.output_folder().join(name);
        fs::write(&file, bytes).unwrap();
        files.push(((*name).to_owned(), file));
    }
    cache.commit(&mut open, &files, json!({"top1": 0.5}), Usage { peak_memory_bytes: Some(1 << 20), cpu_ms: Some(7) })
}

/// Makes a result with one output named `out`.
pub fn make(cache: &Cache, run: &OpenRun, instance: &str, manifest: &KeyManifest) -> Attempt {
    let bytes = content(manifest, "out", 1000);
    finish(cache, begin(cache, run, attempt(instance, manifest.clone())), &[("out", bytes)]).unwrap()
}

pub fn failure(cause: &str) -> Failure {
    Failure { interrupted: false, cause: cause.to_owned(), metrics: json!({}), usage: Usage::default() }
}

/// Returns the digest of the output that [`make`] made.
pub fn out(attempt: &Attempt) -> Digest {
    attempt.output("out").unwrap().digest
}

/// Flips a bit of an object in place.
pub fn damage(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::write(path, bytes).unwrap();
}
