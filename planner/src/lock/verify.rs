use std::collections::BTreeMap;

use serde::Serialize;
use tfnas_artifacts::Digest;

use crate::lock::{Lock, Locked};
use crate::machine::key_facts;
use crate::plan::{PlanError, Planner};

/// An instance for which the lock file does not match the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The instance.
    pub id: String,
    /// What differs.
    pub what: String,
}

/// Compares a lock file with the configuration and the data. The keys are computed from the parameters, the data, and
/// the outputs listed in the file; no store is needed. Facts about the machine are taken from the file, because the
/// configuration does not determine them.
///
/// # Errors
/// Returns [`PlanError`] if the key of an instance cannot be computed.
pub fn differences(planner: &Planner<'_>, lock: &Lock) -> Result<Vec<Difference>, PlanError> {
    let instances = &planner.graph.instances;
    let mut found = Vec::new();
    let output = |position: usize, name: &str| -> Option<Digest> {
        lock.stages.get(&instances[position].id)?.outputs.get(name)?.parse().ok()
    };
    for (position, instance) in instances.iter().enumerate() {
        let mut differs = |what: String| found.push(Difference { id: instance.id.clone(), what });
        let Some(locked) = lock.stages.get(&instance.id) else {
            differs("is not in the file".to_owned());
            continue;
        };
        let Some(inputs) = planner.inputs(position, &output) else {
            differs("reads an output that is not in the file, or data that does not exist".to_owned());
            continue;
        };
        let facts = facts(planner, position, locked);
        if planner.manifest_of(position, &inputs, &facts)?.key().to_string() == locked.key {
            continue;
        }
        let changed = inputs.iter().find(|(port, digest)| locked.inputs.get(**port) != Some(&digest.to_string()));
        differs(match changed {
            Some((port, _)) => format!("its input {port} differs"),
            None => "its parameters differ".to_owned(),
        });
    }
    let unknown = lock.stages.keys().filter(|id| planner.graph.by_id(id).is_none());
    found.extend(unknown.map(|id| Difference { id: id.clone(), what: "is not in the configuration".to_owned() }));
    Ok(found)
}

fn facts(planner: &Planner<'_>, position: usize, locked: &Locked) -> BTreeMap<&'static str, String> {
    let here = key_facts(planner.key_facts(position), planner.device(position));
    here.into_iter().map(|(name, value)| (name, locked.environment.get(name).cloned().unwrap_or(value))).collect()
}
