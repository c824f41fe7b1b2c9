//! Chooses between fused kernels and libtorch's own operations.
//!
//! The kernels of [`tfnas_kernels`] support f32 and bf16 feature maps in channels-last order on a CPU with AVX2; under
//! autocast, only those of its dtype. Everything else, including synchronized batch norm, uses libtorch's operations. The choice does not depend
//! on values or threads; results differ only by rounding.

use tch::Tensor;
use tfnas::Activation;
use tfnas_kernels::{self as kernels, KernelError};

use super::activation::activate;
use super::batch_norm::{BatchNorm, EPSILON, MOMENTUM};
use super::conv::Conv;
use super::squeeze_excite::SqueezeExcite;

/// Operations that follow a batch norm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Then<'a> {
    /// Applied first.
    pub activation: Option<Activation>,
    /// Added last.
    pub shortcut: Option<Shortcut<'a>>,
}

/// The residual connection of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shortcut<'a> {
    /// The block's input, of the shape of the output.
    pub value: &'a Tensor,
    /// Factor for the output of each sample, `[N, 1, 1, 1]`, applied before the input is added.
    pub keep: Option<&'a Tensor>,
}

/// Normalizes `x` with a fused kernel; returns `None` if no kernel supports this batch norm and tensor.
pub(super) fn batch_norm(norm: &BatchNorm, x: &Tensor, then: Then<'_>) -> Option<Tensor> {
    if !kernels::is_supported(x) {
        return None;
    }
    let fused = kernels::BatchNorm {
        momentum: MOMENTUM,
        epsilon: EPSILON,
        activation: kernel_activation(then.activation),
        shortcut: then.shortcut.map(|Shortcut { value, keep }| kernels::Shortcut { value, keep }),
        ..kernels::BatchNorm::default()
    };
    let fused = match norm {
        BatchNorm::BatchStatistics => fused,
        BatchNorm::Affine { weight, bias, mean, variance, shared: None, .. } => {
            kernels::BatchNorm { weight: Some(weight), bias: Some(bias), running: Some((mean, variance)), ..fused }
        }
        BatchNorm::Affine { .. } | BatchNorm::Folded => return None,
    };
    Some(unwrap(kernels::batch_norm(x, &fused)))
}

/// Applies the operations that follow a batch norm, with libtorch, to a tensor that has no other users.
pub(super) fn compose(mut x: Tensor, then: Then<'_>) -> Tensor {
    if let Some(activation) = then.activation {
        x = activate(x, activation);
    }
    match then.shortcut {
        Some(Shortcut { value, keep: Some(keep) }) => value.addcmul(&x, keep),
        Some(Shortcut { value, keep: None }) => x.g_add_(value),
        None => x,
    }
}

/// Applies a depthwise convolution without bias; returns `None` if no kernel supports this tensor.
pub(super) fn depthwise(conv: &Conv, x: &Tensor) -> Option<Tensor> {
    let is_supported = is_supported_depthwise(conv, x) && conv.bias.is_none();
    is_supported.then(|| unwrap(kernels::depthwise(x, &conv.weight, conv.stride())))
}

/// Applies a 1x1 convolution whose weight is frozen, without keeping its input; returns `None` if this is not one, or no
/// kernel supports this tensor.
pub(super) fn frozen_pointwise(conv: &Conv, x: &Tensor) -> Option<Tensor> {
    let is_frozen = conv.has_kernels
        && conv.is_pointwise()
        && conv.bias.is_none()
        && x.requires_grad()
        && !conv.weight.requires_grad()
        && kernels::is_supported(x);
    is_frozen.then(|| unwrap(kernels::frozen_pointwise(x, &conv.weight)))
}

/// Applies a depthwise convolution and an activation in evaluation; returns `None` if no kernel supports them.
pub(super) fn depthwise_for_evaluation(conv: &Conv, x: &Tensor, activation: Option<Activation>) -> Option<Tensor> {
    is_supported_depthwise(conv, x).then(|| {
        let activation = kernel_activation(activation);
        unwrap(kernels::depthwise_for_evaluation(x, &conv.weight, conv.bias.as_ref(), conv.stride(), activation))
    })
}

/// Applies squeeze-excite with a fused kernel; returns `None` if no kernel supports this tensor.
pub(super) fn squeeze_excite(layer: &SqueezeExcite, x: &Tensor) -> Option<Tensor> {
    let (Some(reduce_bias), Some(expand_bias)) = (&layer.reduce.bias, &layer.expand.bias) else {
        return None;
    };
    if !layer.has_kernels {
        return None;
    }
    let layers = kernels::SqueezeExcite {
        reduce_weight: &layer.reduce.weight,
        reduce_bias,
        activation: kernel_activation(Some(layer.activation)),
        expand_weight: &layer.expand.weight,
        expand_bias,
    };
    kernels::is_supported(x).then(|| unwrap(kernels::squeeze_excite(x, &layers)))
}

fn is_supported_depthwise(conv: &Conv, x: &Tensor) -> bool {
    conv.has_kernels
        && conv.is_depthwise()
        && kernels::has_depthwise(conv.weight.size()[2], conv.stride())
        && kernels::is_supported(x)
}

fn kernel_activation(activation: Option<Activation>) -> kernels::Activation {
    match activation {
        None => kernels::Activation::None,
        Some(Activation::Relu) => kernels::Activation::Relu,
        Some(Activation::Swish) => kernels::Activation::Silu,
    }
}

/// Shapes match by construction. Remaining errors, such as out of memory, panic like libtorch's own operations.
fn unwrap(result: Result<Tensor, KernelError>) -> Tensor {
    result.unwrap_or_else(|error| panic!("{error}"))
}
