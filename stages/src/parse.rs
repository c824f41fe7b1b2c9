use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tfnas::SpaceDefinition;

use crate::{Fit, Target};

/// `parse:` in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParseSection {
    /// exact fits what the search found to the target once more, changing operations and depth where needed: for a search
    /// with `fit: published` that misses it. Default: takes the architecture as it is, and fails if it misses the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// Whether the network found is also measured here, with the batch and threads of `lookup`.
    pub measure: bool,
    /// Timed passes of the whole network; its latency is their median.
    pub passes: usize,
}

impl Default for ParseSection {
    fn default() -> Self {
        Self { fit: None, measure: true, passes: 51 }
    }
}

impl ParseSection {
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        (self.passes == 0).then(|| ("passes", "must be at least 1, not 0".to_owned()))
    }
}

/// What identifies the work of `parse`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParseParams {
    /// The space.
    pub space: SpaceDefinition,
    /// Latency that the network must meet.
    pub target_lat_ms: Target,
    /// The section.
    pub parse: ParseSection,
    /// Images a forward pass, when measuring.
    pub batch: usize,
    /// Threads that compute, when measuring.
    pub threads: usize,
    /// Seed of the weights of the network measured.
    pub seed: u64,
}
