use serde::Serialize;
use tfnas_artifacts::{ActionKey, Attempt, KeyManifest};

use crate::plan::Cause;

/// What will happen to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A worker will do it.
    Run,
    /// A result of the same key is there and will be used.
    Cached,
    /// It depends on an output that will be remade: with the same bytes it is cached, with others it runs.
    Unknown,
}

impl Action {
    /// Returns the word that is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Cached => "cached",
            Self::Unknown => "unknown",
        }
    }
}

/// What will happen to one instance, and why.
pub struct Step {
    /// The instance's position in the graph.
    pub instance: usize,
    /// What will happen.
    pub action: Action,
    /// What identifies the work, where its inputs are known.
    pub manifest: Option<KeyManifest>,
    /// The result that will be used.
    pub hit: Option<Attempt>,
    /// Why it runs, or may run; empty for what is cached.
    pub because: Vec<Cause>,
    /// How long it will probably take, in seconds, where it ran before.
    pub expected_s: Option<f64>,
}

impl Step {
    /// Returns the remote that the result to be used was pulled from; none for one that was made here.
    pub fn remote(&self) -> Option<&str> {
        self.hit.as_ref()?.remote.as_deref()
    }

    /// Returns the action key, where it is known.
    pub fn key(&self) -> Option<ActionKey> {
        self.manifest.as_ref().map(KeyManifest::key)
    }
}

/// What will happen to the instances chosen, in the order in which they can run.
pub struct Plan {
    /// One for each instance chosen and each that it needs.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Returns the step of an instance.
    pub fn step(&self, instance: usize) -> Option<&Step> {
        self.steps.iter().find(|step| step.instance == instance)
    }

    /// Returns the expected time of all that runs or may run, in seconds, and whether every part of it is known.
    pub fn expected_s(&self) -> (f64, bool) {
        let steps = self.steps.iter().filter(|step| step.action != Action::Cached);
        steps.fold((0.0, true), |(sum, known), step| match step.expected_s {
            Some(seconds) => (sum + seconds, known),
            None => (sum, false),
        })
    }
}
