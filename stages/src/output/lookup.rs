//! The output of `lookup` in addition to the table.

use serde::{Deserialize, Serialize};

use super::number::{missing, nullable};

/// `lookup.json`: the range and the accuracy of the latency table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookupReport {
    /// Whether the table was measured or imported.
    pub origin: TableOrigin,
    /// Name of the table.
    pub name: String,
    /// Device that the table was measured on, if known.
    #[serde(default)]
    pub device: Option<String>,
    /// Latency of the layers outside the blocks.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub base_ms: f64,
    /// Number of rows, each a curve of latency over width.
    pub rows: usize,
    /// Predicted latency of the fastest network of the space.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub min_reachable_ms: f64,
    /// Predicted latency of the slowest network of the space.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub max_reachable_ms: f64,
    /// Number of entries that are not positive, or smaller than the entry of a smaller width.
    #[serde(default)]
    pub suspicious: usize,
    /// Comparison of predicted with measured latencies; `None` for an imported table.
    #[serde(default)]
    pub check: Option<LookupCheck>,
}

/// Where a latency table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableOrigin {
    /// The stage measured it.
    Measured,
    /// The stage read it from a file.
    Imported,
}

impl TableOrigin {
    /// Returns the name that `lookup.json` contains.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Imported => "imported",
        }
    }
}

/// The error of predicted latencies on random networks that were not used to measure the table. Errors are relative: 0.01 is
/// 1 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookupCheck {
    /// Mean absolute error.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub mean_error: f64,
    /// 95th percentile of the absolute error.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub p95_error: f64,
    /// Largest absolute error.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub worst_error: f64,
    /// Mean of predicted / measured, minus 1.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub bias: f64,
    /// Mean error of the measurement itself, estimated from the difference between odd and even measurements of each network;
    /// `None` if each network was measured only once.
    #[serde(default)]
    pub noise_floor: Option<f64>,
    /// Number of measured rounds.
    #[serde(default)]
    pub rounds: usize,
    /// Number of rounds that were discarded because other load disturbed them.
    #[serde(default)]
    pub rounds_dropped: usize,
    /// By which share the reference networks took longer than when the table was measured, which is taken out of the measured
    /// latencies; `None` if the table was measured together with them, or if it has no reference networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<f64>,
    /// Rank correlation of predicted and measured latencies; `None` if either are all equal.
    #[serde(default)]
    pub rank_correlation: Option<f64>,
    /// Slope of the linear regression between predicted and measured latencies.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub scale: f64,
    /// Offset of that regression.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub offset_ms: f64,
    /// Mean absolute error of predictions corrected by that regression.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub fitted_mean_error: f64,
    /// Largest absolute error of predictions corrected by that regression.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub fitted_worst_error: f64,
    /// Predicted and measured latency of each network, in milliseconds.
    pub networks: Vec<(f64, f64)>,
}
