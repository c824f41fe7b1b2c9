//! Squeeze-and-excitation.

use tch::{Device, Tensor};
use tfnas::Activation;

use super::activation::activate;
use super::conv::Conv;
use super::fused;
use super::pool::global_mean;
use crate::named_tensors::{Module, Visitor, join};

/// Scales each channel by a factor in (0, 1) computed from the means of all channels.
#[derive(Debug)]
pub struct SqueezeExcite {
    pub(crate) reduce: Conv,
    pub(crate) expand: Conv,
    pub(super) activation: Activation,
    /// Whether fused kernels may be used.
    pub(super) has_kernels: bool,
}

impl SqueezeExcite {
    /// Creates a layer that reduces `channels` to `se_channels` and expands them back.
    pub fn new(channels: usize, se_channels: usize, activation: Activation, device: Device) -> Self {
        Self {
            reduce: Conv::pointwise_with_bias(channels, se_channels, device),
            expand: Conv::pointwise_with_bias(se_channels, channels, device),
            activation,
            has_kernels: true,
        }
    }

    /// Rescales the channels of `x`, `[N, C, H, W]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        if let Some(scaled) = fused::squeeze_excite(self, x) {
            return scaled;
        }
        let reduced = activate(self.reduce.forward_pixel(&global_mean(x)), self.activation);
        let factors = self.expand.forward_pixel(&reduced).sigmoid();
        x * factors.unsqueeze(-1).unsqueeze(-1)
    }

    /// Returns the same layer without gradients.
    pub(crate) fn detached(&self) -> Self {
        Self { reduce: self.reduce.detached(), expand: self.expand.detached(), ..*self }
    }
}

impl Module for SqueezeExcite {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        self.reduce.visit(&join(prefix, "conv_reduce"), visitor);
        self.expand.visit(&join(prefix, "conv_expand"), visitor);
    }
}
