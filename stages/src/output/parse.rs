//! The output of `parse` in addition to `model.config`.

use serde::{Deserialize, Serialize};
use tfnas::cost::{flops, layers, parameters};
use tfnas::{Architecture, LatencyTable, ModelConfig, Space, TableError};

use super::number::{missing, nullable};

/// `architecture.json`: the chosen architecture with its costs and its predicted latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArchitectureReport {
    /// Side length of the input images, in pixels.
    pub space_resolution: usize,
    /// Number of classes; 0 in files of releases that did not record it.
    #[serde(default)]
    pub classes: usize,
    /// Target latency.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub target_lat_ms: f64,
    /// Predicted latency.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub predicted_lat_ms: f64,
    /// The part of the predicted latency outside the blocks.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub base_lat_ms: f64,
    /// Number of parameters.
    pub parameters: u64,
    /// Multiply-adds per image.
    pub flops: u64,
    /// The changes that were made to the architecture that the search prefers, so that it meets the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// The blocks that are kept.
    pub blocks: Vec<BlockReport>,
}

/// One block of an architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockReport {
    /// Name such as `stage1.block2`.
    pub name: String,
    /// Operation such as `k5_e6_se`.
    pub operation: String,
    /// Kernel size of the depthwise convolution.
    pub kernel: usize,
    /// Channels of the squeeze-excite module; 0 if there is none.
    pub se_channels: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Channels of the depthwise convolution.
    pub width: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Stride of the depthwise convolution.
    pub stride: usize,
    /// Predicted latency.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub lat_ms: f64,
    /// Number of parameters.
    pub parameters: u64,
    /// Multiply-adds per image.
    pub flops: u64,
}

impl ArchitectureReport {
    /// Describes an architecture of a space. The worker writes the result, and an audit computes it again.
    ///
    /// * `config`: the network of the architecture.
    /// * `changed`: see the field.
    ///
    /// # Errors
    /// Returns [`TableError`] if the table does not cover the architecture.
    pub fn new(
        space: &Space,
        table: &LatencyTable,
        architecture: &Architecture,
        config: &ModelConfig,
        target_lat_ms: f64,
        changed: Vec<String>,
    ) -> Result<Self, TableError> {
        let resolution = space.definition().resolution;
        let costs = layers(config, resolution);
        let mut blocks = Vec::with_capacity(architecture.block_count());
        for (block, choice) in architecture.choices(space) {
            let operation = &space.operations()[choice.operation];
            let name = block.name();
            let cost = costs.iter().find(|cost| cost.name == name);
            blocks.push(BlockReport {
                operation: operation.name(),
                kernel: operation.kernel,
                se_channels: block.se_channels(operation),
                in_channels: block.in_channels,
                width: choice.width,
                out_channels: block.out_channels,
                stride: block.stride,
                lat_ms: table.latency_ms(&block.key(operation), choice.width)?,
                parameters: cost.map_or(0, |cost| cost.parameters),
                flops: cost.map_or(0, |cost| cost.flops),
                name,
            });
        }
        Ok(Self {
            space_resolution: resolution,
            classes: config.classifier.out_features,
            target_lat_ms,
            predicted_lat_ms: table.architecture_ms(space, architecture)?,
            base_lat_ms: table.base_ms(),
            parameters: parameters(config),
            flops: flops(config, resolution),
            changed,
            blocks,
        })
    }
}
