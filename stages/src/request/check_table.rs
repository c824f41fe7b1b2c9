use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tfnas::SpaceDefinition;

use crate::path_text;

/// A request to check a latency table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckTableRequest {
    /// The table file.
    #[serde(with = "path_text")]
    pub table: PathBuf,
    /// The search space that the random networks are drawn from.
    pub space: SpaceDefinition,
    /// Number of classes of each network.
    pub classes: usize,
    /// Number of random networks to measure.
    pub networks: usize,
    /// Time to spend on the measurement, in seconds. Each network is measured at least twice, even if that takes longer.
    pub budget_s: f64,
    /// Batch size of the measured forward passes.
    pub batch: usize,
    /// Number of compute threads.
    pub threads: usize,
    /// Seed for the architectures and their weights.
    pub seed: u64,
    /// `cpu` or `cuda:N`.
    pub device: String,
}
