use std::collections::BTreeMap;

use serde_json::{Value, json};
use tfnas_stages::Environment;

use crate::machine::{Device, build, cpu};

/// What the supernet and the derived network compute in.
const DTYPE: &str = "f32";

/// Returns those facts that make a stage's result another one, by name: a part of its action key.
pub fn key_facts(declared: Environment, device: &Device) -> BTreeMap<&'static str, String> {
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

/// Returns the whole environment of an attempt, for its record: with an equal one a repeat gives the same bytes.
///
/// What computes on a node of a cluster tells of its machine itself: its words are kept with the metrics, as `worker`.
pub fn record(device: &Device, threads: usize, worker: &BTreeMap<String, String>) -> Value {
    if let Device::OfNode { .. } = device {
        return json!({
            "tool": build::TOOL,
            "source_revision": build::source_revision(),
            "rustc": build::RUSTC,
            "libtorch": build::LIBTORCH,
            "device": device.to_string(),
            "device_model": device.model(),
            "executor": "slurm",
            "threads": threads,
            "worker": worker,
        });
    }
    json!({
        "tool": build::TOOL,
        "source_revision": build::source_revision(),
        "rustc": build::RUSTC,
        "libtorch": build::LIBTORCH,
        "device": device.to_string(),
        "device_model": device.model(),
        "cpu_model": cpu::model(),
        "cpu_flags": cpu::vector_flags(),
        "cpu_cores": cpu::cores(),
        "governor": cpu::governor(),
        "kernel": cpu::kernel(),
        "threads": threads,
        "worker": worker,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_computes_nothing_depends_on_no_machine() {
        assert!(key_facts(Environment::default(), &Device::Cpu).is_empty());
    }

    #[test]
    fn a_measured_latency_belongs_to_the_model_of_its_device() {
        let facts = key_facts(Environment { compute: true, latency: true }, &Device::Cpu);
        let names: Vec<_> = facts.keys().copied().collect();
        assert_eq!(names, ["device", "device_model", "dtype", "governor", "libtorch"]);
    }
}
