use tch::{Device, Tensor};
use tfnas::Activation;

use super::activation::activate;
use super::conv::Conv;
use super::fused;
use super::pool::global_mean;
use crate::named_tensors::{Module, Visitor, join};

/// Multiplies each channel by a number in (0, 1) that it finds from the means of all channels.
#[derive(Debug)]
pub struct SqueezeExcite {
    pub(crate) reduce: Conv,
    pub(crate) expand: Conv,
    pub(super) activation: Activation,
    /// Whether the fused kernels may compute it.
    pub(super) has_kernels: bool,
}

impl SqueezeExcite {
    /// From `channels` down to `se_channels` and back.
    pub fn new(channels: usize, se_channels: usize, activation: Activation, device: Device) -> Self {
        Self {
            reduce: Conv::pointwise_with_bias(channels, se_channels, device),
            expand: Conv::pointwise_with_bias(se_channels, channels, device),
            activation,
            has_kernels: true,
        }
    }

    /// `x`, `[N, C, H, W]`, with its channels rescaled.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        if let Some(scaled) = fused::squeeze_excite(self, x) {
            return scaled;
        }
        let reduced = activate(self.reduce.forward_pixel(&global_mean(x)), self.activation);
        let factors = self.expand.forward_pixel(&reduced).sigmoid();
        x * factors.unsqueeze(-1).unsqueeze(-1)
    }

    /// The same layer without gradients.
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
