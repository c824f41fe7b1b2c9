use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::path_text;

/// A request to measure the latency of a network with random weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyRequest {
    /// The `model.config` of the network.
    #[serde(with = "path_text")]
    pub config: PathBuf,
    /// Side length of the input images, in pixels.
    pub resolution: NonZeroUsize,
    /// Number of images per batch.
    pub batch: NonZeroUsize,
    /// Number of compute threads.
    pub threads: NonZeroUsize,
    /// Number of timed passes.
    pub passes: NonZeroUsize,
    /// Seed of the weights.
    pub seed: u64,
    /// `cpu` or `cuda:N`.
    pub device: String,
}

/// The time of one batch, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyReply {
    /// Median.
    pub median_ms: f64,
    /// Lower quartile.
    pub low_ms: f64,
    /// Upper quartile.
    pub high_ms: f64,
}
