use std::collections::{BTreeMap, BTreeSet};

use tfnas_artifacts::{ActionKey, Attempt, Pulled, Wanted};
use tfnas_planner::plan::Planner;
use tfnas_stages::SplitParams;

use crate::error::CommandError;
use crate::remote::each;

/// An instance of the plan, and where its result is.
pub struct Needed {
    /// Index of the instance in the graph.
    pub instance: usize,
    /// Its cache key, if known.
    pub key: Option<ActionKey>,
    pub state: State,
}

/// Where the result of an instance is.
pub enum State {
    /// Already in the store.
    Here(Box<Attempt>),
    /// The reply of the remote.
    Asked(Box<Pulled>),
    /// The key is unknown because a result that it depends on was not found.
    Unknown,
}

impl State {
    fn result(&self) -> Option<&Attempt> {
        match self {
            Self::Here(result) => Some(result),
            Self::Asked(pulled) => pulled.result.as_ref(),
            Self::Unknown => None,
        }
    }
}

/// Finds the results of the selected instances and their dependencies, and asks the remote for those that are not in
/// the store. The key of an instance is known as soon as the results of its dependencies are, so results are found
/// level by level, `jobs` in parallel.
pub fn needed(
    planner: &Planner<'_>,
    chosen: &BTreeSet<usize>,
    jobs: usize,
    ask: &(dyn Fn(Wanted<'_>) -> Result<Pulled, CommandError> + Sync),
) -> Result<Vec<Needed>, CommandError> {
    let mut open = planner.graph.closure(chosen.iter().copied());
    let mut results: BTreeMap<usize, Attempt> = BTreeMap::new();
    let mut settled = BTreeMap::new();
    loop {
        let mut ready = Vec::new();
        for instance in &open {
            if let Some(manifest) = planner.manifest(*instance, &results)? {
                ready.push((*instance, manifest.key()));
            }
        }
        if ready.is_empty() {
            break;
        }
        let states = each(&ready, jobs, |(instance, key)| {
            if let Some(here) = planner.cache.find(key)?.result {
                return Ok(State::Here(Box::new(here)));
            }
            let instance = &planner.graph.instances[*instance];
            let outputs = instance.stage.outputs(SplitParams::draw_test(&instance.params));
            Ok(State::Asked(Box::new(ask(Wanted { key, outputs })?)))
        })?;
        for ((instance, key), state) in ready.into_iter().zip(states) {
            open.remove(&instance);
            if let Some(result) = state.result() {
                results.insert(instance, result.clone());
            }
            settled.insert(instance, Needed { instance, key: Some(key), state });
        }
    }
    settled.extend(open.into_iter().map(|instance| (instance, Needed { instance, key: None, state: State::Unknown })));
    Ok(settled.into_values().collect())
}
