//! The authors' `model.config`: a network layer by layer, independent of a space.
//!
//! The file is JSON with an indent of 4. Properties that are constant in this method (groups, biases, batch norm, the
//! order of operations) are in the file but not in [`ModelConfig`]. Reading rejects other values and writing restores
//! them, so that a file of the authors round-trips byte for byte.

use crate::architecture::{Architecture, ArchitectureError};
use crate::block_key::BlockKey;
use crate::definition::{Activation, Operation};
use crate::space::{Block, Space};

/// Channels of the input image.
pub(crate) const IMAGE_CHANNELS: usize = 3;

/// A convolution with batch norm and activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Activation.
    pub activation: Activation,
}

/// An inverted residual block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MbConvConfig {
    /// Input channels.
    pub in_channels: usize,
    /// Number of channels of the depthwise convolution. Equal to the input channels if there is no expand convolution.
    pub mid_channels: usize,
    /// Number of squeeze-excite channels, 0 without squeeze-excite.
    pub se_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Stride of the depthwise convolution.
    pub stride: usize,
    /// Activation.
    pub activation: Activation,
}

impl MbConvConfig {
    /// The block of a space with an operation of a width.
    pub fn of(block: &Block, operation: &Operation, width: usize) -> Self {
        Self {
            in_channels: block.in_channels,
            mid_channels: width,
            se_channels: block.se_channels(operation),
            out_channels: block.out_channels,
            kernel: operation.kernel,
            stride: block.stride,
            activation: block.activation,
        }
    }

    /// Returns whether there is an expand convolution.
    pub fn has_expansion(&self) -> bool {
        self.mid_channels > self.in_channels
    }

    /// Whether the input is added to the output.
    pub fn has_residual(&self) -> bool {
        self.in_channels == self.out_channels && self.stride == 1
    }

    /// The row of a latency table for this block.
    ///
    /// * `input_size`: side of its input, in pixels.
    pub fn key(&self, input_size: usize) -> BlockKey {
        BlockKey {
            input_size,
            in_channels: self.in_channels,
            se_channels: self.se_channels,
            out_channels: self.out_channels,
            kernel: self.kernel,
            stride: self.stride,
            activation: self.activation,
        }
    }
}

/// The linear layer, with bias, that ends the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearConfig {
    /// Input features.
    pub in_features: usize,
    /// Output features: the classes.
    pub out_features: usize,
}

/// A network, layer by layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// The convolution that reads the image.
    pub first_stem: ConvConfig,
    /// The fixed block after the first convolution.
    pub second_stem: MbConvConfig,
    /// The kept blocks of every group (`stage1`, `stage2`, … in the file).
    pub groups: Vec<Vec<MbConvConfig>>,
    /// The 1x1 convolution before pooling.
    pub feature_mix: ConvConfig,
    /// The classifier, which computes the logits.
    pub classifier: LinearConfig,
}

impl ModelConfig {
    /// Converts a network of a space.
    ///
    /// # Errors
    /// Returns [`ArchitectureError`] if the network does not belong to the space.
    pub fn from_architecture(
        space: &Space,
        architecture: &Architecture,
        classes: usize,
    ) -> Result<Self, ArchitectureError> {
        architecture.check(space)?;
        let definition = space.definition();
        let (first, second) = (&definition.first_stem, &definition.second_stem);
        let mut groups: Vec<Vec<MbConvConfig>> = vec![Vec::new(); space.groups().len()];
        for (block, choice) in architecture.choices(space) {
            let operation = &space.operations()[choice.operation];
            groups[block.group].push(MbConvConfig::of(block, operation, choice.width));
        }
        Ok(Self {
            first_stem: ConvConfig {
                in_channels: IMAGE_CHANNELS,
                out_channels: first.channels,
                kernel: 3,
                stride: first.stride,
                activation: first.activation,
            },
            second_stem: MbConvConfig {
                in_channels: first.channels,
                mid_channels: first.channels,
                se_channels: second.se_channels,
                out_channels: second.channels,
                kernel: 3,
                stride: 1,
                activation: second.activation,
            },
            groups,
            feature_mix: ConvConfig {
                in_channels: space.final_channels(),
                out_channels: definition.feature_mix.channels,
                kernel: 1,
                stride: 1,
                activation: definition.feature_mix.activation,
            },
            classifier: LinearConfig { in_features: definition.feature_mix.channels, out_features: classes },
        })
    }

    /// Returns the number of blocks, including the second stem, for drop-connect.
    pub fn block_count(&self) -> usize {
        1 + self.groups.iter().map(Vec::len).sum::<usize>()
    }
}
