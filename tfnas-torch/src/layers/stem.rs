use tch::{Device, Tensor};
use tfnas::{ConvConfig, MbConvConfig};

use super::batch_norm::Normalization;
use super::conv_layer::ConvLayer;
use super::mb_conv::MbConv;
use crate::named_tensors::{Module, Visitor, join};

/// What reads the image: `first_stem`, a convolution, and `second_stem`, an inverted residual block.
#[derive(Debug)]
pub struct Stem {
    pub(crate) first: ConvLayer,
    pub(crate) second: MbConv,
}

impl Stem {
    /// A stem of weight 0.
    pub fn new(first: &ConvConfig, second: &MbConvConfig, normalization: Normalization, device: Device) -> Self {
        Self {
            first: ConvLayer::from_config(first, normalization, device),
            second: MbConv::new(second, normalization, device),
        }
    }

    /// `[N, 3, H, W]` images to the feature map that the first block reads.
    pub fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        self.second.forward(&self.first.forward(x, training), training)
    }

    /// For evaluation; none for a stem without running statistics.
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
