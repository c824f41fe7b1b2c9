use serde::Serialize;
use tfnas_artifacts::{ActionKey, Attempt, KeyManifest};

use crate::plan::Cause;

/// What will happen to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It must run.
    Run,
    /// A cached result will be reused.
    Cached,
    /// It depends on an output that will be remade. If the output has the same bytes as before, the result is cached.
    Unknown,
}

impl Action {
    /// Returns the name for display.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Cached => "cached",
            Self::Unknown => "unknown",
        }
    }
}

/// The plan for one instance.
pub struct Step {
    /// Index of the instance in the graph.
    pub instance: usize,
    /// What will happen.
    pub action: Action,
    /// The fields of the cache key, if all inputs are known.
    pub manifest: Option<KeyManifest>,
    /// The cached result that will be reused.
    pub hit: Option<Attempt>,
    /// Why it runs or may run; empty if it is cached.
    pub because: Vec<Cause>,
    /// Expected duration in seconds, if it is not cached, and there is an earlier result or the speed of the machine is known.
    pub expected_s: Option<f64>,
}

impl Step {
    /// Returns the remote that the cached result was pulled from, or `None` if it was made locally.
    pub fn remote(&self) -> Option<&str> {
        self.hit.as_ref()?.remote.as_deref()
    }

    /// Returns the cache key, if known.
    pub fn key(&self) -> Option<ActionKey> {
        self.manifest.as_ref().map(KeyManifest::key)
    }
}

/// The plan for the selected instances, in an order in which they can run.
pub struct Plan {
    /// One step for each selected instance and each of its dependencies.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Returns the step of an instance.
    pub fn step(&self, instance: usize) -> Option<&Step> {
        self.steps.iter().find(|step| step.instance == instance)
    }

    /// Returns the expected duration of all steps that are not cached, in seconds, and whether that of every step is
    /// known.
    pub fn expected_s(&self) -> (f64, bool) {
        let steps = self.steps.iter().filter(|step| step.action != Action::Cached);
        steps.fold((0.0, true), |(sum, known), step| match step.expected_s {
            Some(seconds) => (sum + seconds, known),
            None => (sum, false),
        })
    }
}
