//! Convolution, batch norm and activation.

use tch::{Device, Tensor};
use tfnas::{Activation, ConvConfig};

use super::batch_norm::{BatchNorm, Normalization};
use super::conv::Conv;
use super::fused::{self, Shortcut, Then};
use crate::named_tensors::{Module, Visitor, join};

/// A convolution, a batch norm, and optionally an activation.
#[derive(Debug)]
pub struct ConvLayer {
    pub(crate) conv: Conv,
    pub(crate) norm: BatchNorm,
    activation: Option<Activation>,
}

impl ConvLayer {
    /// Creates a layer from a convolution.
    pub fn new(conv: Conv, normalization: Normalization, activation: Option<Activation>, device: Device) -> Self {
        let channels = conv.weight.size()[0] as usize;
        Self { norm: BatchNorm::new(channels, normalization, device), conv, activation }
    }

    /// Builds the layer of a configuration with zero weights.
    pub(crate) fn from_config(config: &ConvConfig, normalization: Normalization, device: Device) -> Self {
        let conv = Conv::new(config.in_channels, config.out_channels, config.kernel, config.stride, device);
        Self::new(conv, normalization, Some(config.activation), device)
    }

    /// Applies the layer to `x`, `[N, C, H, W]`.
    pub fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        self.forward_with_shortcut(x, training, None)
    }

    /// [`forward`](ConvLayer::forward) with a residual connection to the output.
    pub(crate) fn forward_with_shortcut(&self, x: &Tensor, training: bool, shortcut: Option<Shortcut<'_>>) -> Tensor {
        if let (BatchNorm::Folded, None) = (&self.norm, shortcut)
            && let Some(convolved) = fused::depthwise_for_evaluation(&self.conv, x, self.activation)
        {
            return convolved;
        }
        self.norm.forward_then(self.conv.forward(x), training, Then { activation: self.activation, shortcut })
    }

    /// Returns the layer with its batch norm folded into the convolution, for evaluation; `None` if the batch norm has
    /// no running statistics.
    pub(crate) fn folded(&self) -> Option<Self> {
        let (scale, shift) = self.norm.scale_and_shift()?;
        Some(Self { conv: self.conv.folded(&scale, &shift), norm: BatchNorm::Folded, activation: self.activation })
    }

    /// Visits the tensors in the order of a `Sequential` of conv and bn. The layer itself visits bn first.
    pub(crate) fn visit_conv_first(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        self.conv.visit(&join(prefix, "conv"), visitor);
        self.norm.visit(&join(prefix, "bn"), visitor);
    }
}

impl Module for ConvLayer {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        self.norm.visit(&join(prefix, "bn"), visitor);
        self.conv.visit(&join(prefix, "conv"), visitor);
    }
}
