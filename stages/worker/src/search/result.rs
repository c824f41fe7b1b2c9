use serde::{Deserialize, Serialize};

/// `search.json`: what an architecture is parsed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchResult {
    /// Log probabilities of the operations, `[block][K]`.
    pub log_alphas: Vec<Vec<f32>>,
    /// Weights of the depths before the softmax, `[group][block]`.
    pub betas: Vec<Vec<f32>>,
    /// Widths, `[block][K]`.
    pub widths: Vec<Vec<usize>>,
}
