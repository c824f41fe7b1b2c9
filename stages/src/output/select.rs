use serde::{Deserialize, Serialize};
use tfnas::Choice;
use tfnas_select::Outcome;

/// `selected.json`: the architecture that `select` chose. It holds nothing else, so that stages after it rerun only when
/// the choice changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selected {
    /// The choices, `[group][kept block]`.
    pub architecture: Vec<Vec<Choice>>,
}

/// `candidates.json`: every candidate with its scores, and what was learned from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectReport {
    /// Latency that every candidate meets, in milliseconds of the table.
    pub target_lat_ms: f64,
    /// Images that candidates are trained on.
    pub images: usize,
    /// Images that they are validated on.
    pub val_images: usize,
    /// The ranking, the regression, and where the winner stands.
    pub selection: Outcome,
}
