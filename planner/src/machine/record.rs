use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tfnas_artifacts::{Digest, identify_file};
use tfnas_stages::KeyFacts;

use crate::machine::{Device, build, cpu};

/// Facts of the record that do not affect the bytes of a result. The program that computes it is identified by
/// `worker_blake3`.
const IGNORED: [&str; 5] = ["worker", "source_revision", "source_clean", "cargo_lock_blake3", "planner_blake3"];

/// The type of the weights, whatever the precision of the computation, which is a parameter.
const DTYPE: &str = "f32";

/// Returns the facts that are part of a stage's cache key because they affect its result, by name.
pub fn key_facts(declared: KeyFacts, device: &Device) -> BTreeMap<&'static str, String> {
    let mut facts = BTreeMap::new();
    if declared.compute {
        facts.insert("libtorch", build::LIBTORCH.to_owned());
        facts.insert("device", device.kind().to_owned());
        facts.insert("dtype", DTYPE.to_owned());
    }
    if declared.latency {
        facts.insert("device_model", device.model());
        facts.insert("governor", device.governor());
    }
    facts
}

/// Returns the complete environment of an attempt. A repetition in an equal environment must give the same bytes.
///
/// Facts that only the worker knows are reported by the worker. On a cluster, this includes all facts about the node,
/// which are recorded with the metrics, as `worker`.
///
/// * `ranks`: number of processes that work together.
/// * `worker`: path of the worker program.
/// * `memos`: folder in which digests of programs are cached, so that each file is read once.
/// * `source_revision`: the commit of the program's source, if known.
pub fn record(
    device: &Device,
    threads: usize,
    ranks: usize,
    worker: &Path,
    memos: &Path,
    source_revision: Option<&str>,
) -> Value {
    let mut record = json!({
        "tool": build::TOOL,
        "source_revision": source_revision,
        "source_clean": source_revision.map(build::is_clean),
        "cargo_lock_blake3": Digest::of_bytes(build::CARGO_LOCK),
        "planner_blake3": std::env::current_exe().ok().and_then(|program| digest(&program, memos)),
        "worker_blake3": digest(worker, memos),
        "rustc": build::RUSTC,
        "libtorch": build::LIBTORCH,
        "device": device.to_string(),
        "device_model": device.model(),
        "threads": threads,
        "ranks": ranks,
    });
    let machine = match device {
        Device::OfNode { .. } => json!({ "executor": "slurm" }),
        _ => json!({
            "cpu_model": cpu::model(),
            "cpu_flags": cpu::vector_flags(),
            "cpu_cores": cpu::cores(),
            "governor": cpu::governor(),
            "kernel": cpu::kernel(),
        }),
    };
    if let (Value::Object(record), Value::Object(machine)) = (&mut record, machine) {
        record.extend(machine);
    }
    record
}

/// Returns the names of the facts in which two records differ. If there are none, a repetition must give the same
/// bytes.
pub fn differing_facts(old: &Value, new: &Value) -> Vec<String> {
    let fields = |record: &Value| record.as_object().cloned().unwrap_or_default();
    let (old, new) = (fields(old), fields(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| !IGNORED.contains(&name.as_str()) && old.get(*name) != new.get(*name))
        .cloned()
        .collect()
}

/// Returns the digest of a program, or `None` if it cannot be read, which does not fail the run.
fn digest(program: &Path, memos: &Path) -> Option<Digest> {
    identify_file(program, Some(memos)).ok().map(|found| found.digest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_stage_that_does_not_compute_has_no_machine_facts() {
        assert!(key_facts(KeyFacts::default(), &Device::Cpu).is_empty());
    }

    #[test]
    fn a_record_identifies_programs_by_digest_not_by_path() {
        let memos = tempfile::tempdir().unwrap();
        let worker = memos.path().join("worker");
        std::fs::write(&worker, "worker").unwrap();
        let record = record(&Device::Cpu, 2, 1, &worker, memos.path(), None);
        assert_eq!(record["worker_blake3"], Digest::of_bytes(b"worker").to_string());
        assert_eq!(record["planner_blake3"].as_str().unwrap().len(), 64);
        assert!(!record.to_string().contains(memos.path().to_str().unwrap()), "{record}");
    }

    #[test]
    fn a_latency_key_contains_the_device_model() {
        let facts = key_facts(KeyFacts { compute: true, latency: true }, &Device::Cpu);
        let names: Vec<_> = facts.keys().copied().collect();
        assert_eq!(names, ["device", "device_model", "dtype", "governor", "libtorch"]);
    }
}
