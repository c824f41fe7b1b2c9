use serde::{Deserialize, Serialize};

use super::number::{missing, nullable};

/// `lookup.json`: what the latency table covers, and how exact it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookupReport {
    /// Where the table comes from.
    pub origin: TableOrigin,
    /// The name of the table.
    pub name: String,
    /// The device that it was measured on, if that is known.
    #[serde(default)]
    pub device: Option<String>,
    /// Latency outside the blocks.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub base_ms: f64,
    /// Rows: curves of latency over width.
    pub rows: usize,
    /// Latency of the fastest network of the space.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub min_reachable_ms: f64,
    /// Latency of the slowest network of the space.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub max_reachable_ms: f64,
    /// Entries that are not positive, or fall with the width.
    #[serde(default)]
    pub suspicious: usize,
    /// The table's sums beside whole random networks; `None` for an imported table.
    #[serde(default)]
    pub check: Option<LookupCheck>,
}

/// Where a latency table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableOrigin {
    /// It was measured by the stage.
    Measured,
    /// It was read from a file.
    Imported,
}

impl TableOrigin {
    /// Returns the word that the file has.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Imported => "imported",
        }
    }
}

/// How far sums of rows are from whole networks that no row was measured in; errors are shares of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookupCheck {
    /// Mean error.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub mean_error: f64,
    /// The error that 95 % of the networks are within.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub p95_error: f64,
    /// Largest error.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub worst_error: f64,
    /// Mean of predicted over measured, less 1.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub bias: f64,
    /// Mean error of the measurement itself, from the odd and even visits of each network; `None` after one visit each.
    #[serde(default)]
    pub noise_floor: Option<f64>,
    /// Rounds that were measured.
    #[serde(default)]
    pub rounds: usize,
    /// Rounds that do not count, because the machine was disturbed.
    #[serde(default)]
    pub rounds_dropped: usize,
    /// By which share the reference networks took longer than when the table was measured, which is taken out of the measured
    /// latencies; `None` if the table was measured together with them, or if it has no reference networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<f64>,
    /// Rank correlation of predicted and measured; `None` if predictions or measurements are all equal.
    #[serde(default)]
    pub rank_correlation: Option<f64>,
    /// Slope of the line through predicted and measured that fits best.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub scale: f64,
    /// Offset of that line.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub offset_ms: f64,
    /// Mean error of predictions corrected by that line.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub fitted_mean_error: f64,
    /// Largest error of predictions corrected by that line.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub fitted_worst_error: f64,
    /// Predicted and measured latency of each network.
    pub networks: Vec<(f64, f64)>,
}
