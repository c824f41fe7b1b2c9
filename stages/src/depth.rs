use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the weight steps of the search treat the depths of a block group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Train the sum of all depths, weighted by their probabilities (sink-connecting), as published.
    #[default]
    Sink,
    /// Train single depths: the first path at depths drawn from their probabilities, the second at uniformly drawn ones.
    Path,
}

impl Depth {
    /// Returns whether this is the published way.
    pub fn is_sink(&self) -> bool {
        *self == Self::Sink
    }
}
