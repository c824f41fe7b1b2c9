//! The head: last convolution, pooling and classifier.

use tch::{Device, Tensor};
use tfnas::{ConvConfig, LinearConfig};

use super::batch_norm::Normalization;
use super::conv_layer::ConvLayer;
use super::linear::Linear;
use super::pool::global_mean;
use crate::named_tensors::{Module, Visitor, join};

/// `feature_mix_layer`, global mean pooling and `classifier`.
#[derive(Debug)]
pub struct Head {
    pub(crate) feature_mix: ConvLayer,
    pub(crate) classifier: Linear,
}

impl Head {
    /// Creates a head with zero weights.
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

    /// Maps `[N, in, H, W]` to logits `[N, classes]`.
    pub fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        self.classifier.forward(&self.features(x, training))
    }

    /// Returns the input of the classifier, `[N, mix]`.
    pub(crate) fn features(&self, x: &Tensor, training: bool) -> Tensor {
        global_mean(&self.feature_mix.forward(x, training))
    }

    /// Returns the folded head for evaluation; `None` without running statistics.
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
