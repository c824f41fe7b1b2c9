//! The stem: the first layers of a network.

use tch::{Device, Tensor};
use tfnas::{ConvConfig, MbConvConfig};

use super::batch_norm::Normalization;
use super::conv_layer::ConvLayer;
use super::mb_conv::MbConv;
use crate::named_tensors::{Module, Visitor, join};

/// `first_stem`, a convolution that reads the image, and `second_stem`, an inverted residual block.
#[derive(Debug)]
pub struct Stem {
    pub(crate) first: ConvLayer,
    pub(crate) second: MbConv,
}

impl Stem {
    /// Creates a stem with zero weights.
    pub fn new(first: &ConvConfig, second: &MbConvConfig, normalization: Normalization, device: Device) -> Self {
        Self {
            first: ConvLayer::from_config(first, normalization, device),
            second: MbConv::new(second, normalization, device),
        }
    }

    /// Maps images `[N, 3, H, W]` to the input of the first block.
    pub fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        self.second.forward(&self.first.forward(x, training), training)
    }

    /// Returns the folded stem for evaluation; `None` without running statistics.
    pub(crate) fn folded(&self) -> Option<Self> {
        Some(Self { first: self.first.folded()?, second: self.second.folded()? })
    }
}

impl Module for Stem {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        self.first.visit(&join(prefix, "first_stem"), visitor);
        self.second.visit(&join(prefix, "second_stem"), visitor);
    }
}
