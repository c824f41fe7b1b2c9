//! Fully connected layer.

use tch::{Device, Tensor};

use super::conv::zeros;
use crate::named_tensors::{Module, Role, Visitor, join};

/// A linear layer with bias.
#[derive(Debug)]
pub struct Linear {
    /// `[out, in]` f32.
    pub(crate) weight: Tensor,
    /// `[out]` f32.
    pub(crate) bias: Tensor,
}

impl Linear {
    /// Creates a linear layer with zero weight and bias.
    pub fn new(in_features: usize, out_features: usize, device: Device) -> Self {
        Self { weight: zeros(&[out_features, in_features], device), bias: zeros(&[out_features], device) }
    }

    /// Maps `[N, in]` to `[N, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

impl Module for Linear {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        visitor(join(prefix, "weight"), &self.weight, Role::Weight);
        visitor(join(prefix, "bias"), &self.bias, Role::Weight);
    }
}
