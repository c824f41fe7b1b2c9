//! The outputs of `select`.

use serde::{Deserialize, Serialize};
use tfnas::Choice;
use tfnas_select::Outcome;

/// `selected.json`: the architecture that `select` chose. The file has no other fields, so that later stages rerun only if the
/// choice changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selected {
    /// The choice for each kept block, `[group][kept block]`.
    pub architecture: Vec<Vec<Choice>>,
}

/// `candidates.json`: all candidates with their scores, and the analysis of the scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectReport {
    /// Target latency of all candidates.
    pub target_lat_ms: f64,
    /// Number of training images.
    pub images: usize,
    /// Number of validation images.
    pub val_images: usize,
    /// The ranking, the regression, and the percentile of the chosen architecture.
    pub selection: Outcome,
}
