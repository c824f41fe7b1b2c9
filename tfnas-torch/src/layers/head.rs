use tch::{Device, Tensor};
use tfnas::{ConvConfig, LinearConfig};

use super::batch_norm::Normalization;
use super::conv_layer::ConvLayer;
use super::linear::Linear;
use super::pool::global_mean;
use crate::named_tensors::{Module, Visitor, join};

/// What follows the last block: `feature_mix_layer`, global mean, `classifier`.
#[derive(Debug)]
pub struct Head {
    pub(crate) feature_mix: ConvLayer,
    pub(crate) classifier: Linear,
}

impl Head {
    /// A head of weight 0.
    pub fn new(
        feature_mix: &ConvConfig,
        classifier: &LinearConfig,
        normalization: Normalization,
        device: Device,
    ) -> Self {
        Self {
            feature_mix: ConvLayer::from_config(feature_mix, normalization, device),
            classifier: Linear::new(classifier.in_features, classifier.out_features, device),
        }
    }

    /// `[N, in, H, W]` to logits `[N, classes]`.
    pub fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        self.classifier.forward(&self.features(x, training))
    }

    /// What the classifier reads: `[N, mix]`.
    pub(crate) fn features(&self, x: &Tensor, training: bool) -> Tensor {
        global_mean(&self.feature_mix.forward(x, training))
    }

    /// For evaluation; none for a head without running statistics.
    pub(crate) fn folded(&self) -> Option<Self> {
        Some(Self {
            feature_mix: self.feature_mix.folded()?,
            classifier: Linear { weight: self.classifier.weight.detach(), bias: self.classifier.bias.detach() },
        })
    }
}

impl Module for Head {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        self.feature_mix.visit(&join(prefix, "feature_mix_layer"), visitor);
        self.classifier.visit(&join(prefix, "classifier.linear"), visitor);
    }
}
