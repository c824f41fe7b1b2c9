use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tfnas::SpaceDefinition;

use crate::path_text;

/// What the worker compares with a latency table: the file that `tfnas-stage check-table VERSION FILE` reads, as JSON. The reply
/// is a [`LookupCheck`](crate::LookupCheck).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckTableRequest {
    /// The table.
    #[serde(with = "path_text")]
    pub table: PathBuf,
    /// The space of the random networks.
    pub space: SpaceDefinition,
    /// Classes of the networks.
    pub classes: usize,
    /// Random networks to measure as a whole.
    pub networks: usize,
    /// Seconds to measure; each network is measured at least twice.
    pub budget_s: f64,
    /// Images of a batch.
    pub batch: usize,
    /// Threads to compute with.
    pub threads: usize,
    /// Seed of the networks and their weights.
    pub seed: u64,
    /// `cpu` or `cuda:N`.
    pub device: String,
}
