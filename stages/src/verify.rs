use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which latency of the network found must meet the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// The sum of the table.
    #[default]
    Predicted,
    /// The latency of the complete network, measured on this machine.
    Measured,
}

impl Verify {
    /// Largest difference of a verified latency from the target, as a share of it.
    pub const TOLERANCE: f64 = 0.02;

    /// Returns whether the table's latency suffices.
    pub fn is_predicted(&self) -> bool {
        *self == Self::Predicted
    }
}
