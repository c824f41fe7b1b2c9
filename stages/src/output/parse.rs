use serde::{Deserialize, Serialize};

use super::number::{missing, nullable};

/// `architecture.json`: the architecture that was parsed, its costs, and its latency by the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArchitectureReport {
    /// Side of the images, in pixels.
    pub space_resolution: usize,
    /// Outputs of the classifier; 0 in files that do not say.
    #[serde(default)]
    pub classes: usize,
    /// Latency that the architecture has to meet.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub target_lat_ms: f64,
    /// Latency by the table.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub predicted_lat_ms: f64,
    /// The part of it outside the blocks.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub base_lat_ms: f64,
    /// Parameters.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub flops: u64,
    /// What was changed of the architecture that the search prefers, so that it meets the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// The kept blocks.
    pub blocks: Vec<BlockReport>,
}

/// One block of an architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockReport {
    /// Its name, as `stage1.block2`.
    pub name: String,
    /// The operation, as `k5_e6_se`.
    pub operation: String,
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Channels of the squeeze-excite; 0 without.
    pub se_channels: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Channels of the depthwise convolution.
    pub width: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Stride.
    pub stride: usize,
    /// Latency by the table.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub lat_ms: f64,
    /// Parameters.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub flops: u64,
}
