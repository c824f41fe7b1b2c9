use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tfnas::SpaceDefinition;

/// `lookup:` in the configuration: the latency table, imported or measured here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LookupSection {
    /// A table file to take instead of measuring, relative to the configuration's own folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<PathBuf>,
    /// Images a forward pass, when measuring.
    pub batch: usize,
    /// Threads that compute, when measuring.
    pub threads: usize,
    /// Widths measured for each key, spread over what the space allows; between them the table is linear.
    pub widths_per_key: usize,
    /// Timed passes over all blocks; a latency is the median over passes.
    pub passes: usize,
    /// Whole random networks on which the table is checked.
    pub check_networks: usize,
}

impl Default for LookupSection {
    fn default() -> Self {
        Self { import: None, batch: 1, threads: 1, widths_per_key: 5, passes: 21, check_networks: 5 }
    }
}

impl LookupSection {
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let at_least = |key, value: usize, least: usize| {
            (value < least).then(|| (key, format!("must be at least {least}, not {value}")))
        };
        at_least("batch", self.batch, 1)
            .or_else(|| at_least("threads", self.threads, 1))
            .or_else(|| at_least("widths_per_key", self.widths_per_key, 2))
            .or_else(|| at_least("passes", self.passes, 1))
    }
}

/// What identifies the work of `lookup`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupParams {
    /// The space whose keys the table must hold; where its classes are left out, the classifier measured has those of
    /// the split.
    pub space: SpaceDefinition,
    /// Seed of the passes' order and of the networks checked; 0 for an imported table.
    pub seed: u64,
    /// How it is measured; `None` for an imported table, whose file is an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup: Option<LookupSection>,
}
