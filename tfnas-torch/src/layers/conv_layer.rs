use tch::{Device, Tensor};
use tfnas::{Activation, ConvConfig};

use super::batch_norm::{BatchNorm, Normalization};
use super::conv::Conv;
use super::fused::{self, Shortcut, Then};
use crate::named_tensors::{Module, Visitor, join};

/// Convolution, batch norm, and an activation where there is one.
#[derive(Debug)]
pub struct ConvLayer {
    pub(crate) conv: Conv,
    pub(crate) norm: BatchNorm,
    activation: Option<Activation>,
}

impl ConvLayer {
    /// The layer around a convolution.
    pub fn new(conv: Conv, normalization: Normalization, activation: Option<Activation>, device: Device) -> Self {
        let channels = conv.weight.size()[0] as usize;
        Self { norm: BatchNorm::new(channels, normalization, device), conv, activation }
    }

    /// The layer that a configuration describes, of weight 0.
    pub(crate) fn from_config(config: &ConvConfig, normalization: Normalization, device: Device) -> Self {
        let conv = Conv::new(config.in_channels, config.out_channels, config.kernel, config.stride, device);
        Self::new(conv, normalization, Some(config.activation), device)
    }

    /// The layer's output for `x`, `[N, C, H, W]`.
    pub fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        self.forward_with_shortcut(x, training, None)
    }

    /// [`forward`](ConvLayer::forward), and a tensor that is added to its output.
    pub(crate) fn forward_with_shortcut(&self, x: &Tensor, training: bool, shortcut: Option<Shortcut<'_>>) -> Tensor {
        if let (BatchNorm::Folded, None) = (&self.norm, shortcut)
            && let Some(convolved) = fused::depthwise_for_evaluation(&self.conv, x, self.activation)
        {
            return convolved;
        }
        self.norm.forward_then(self.conv.forward(x), training, Then { activation: self.activation, shortcut })
    }

    /// For evaluation: the layer with its batch norm taken into the convolution. A layer whose batch norm has no running
    /// statistics cannot be folded: none.
    pub(crate) fn folded(&self) -> Option<Self> {
        let (scale, shift) = self.norm.scale_and_shift()?;
        Some(Self { conv: self.conv.folded(&scale, &shift), norm: BatchNorm::Folded, activation: self.activation })
    }

    /// The tensors in the order of a `Sequential` of conv and bn; the layer alone has bn before conv.
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
