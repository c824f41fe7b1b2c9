//! Fused batch norm in training.

use tch::Tensor;

use crate::raw::{self, make_tensor, optional, pointer};
use crate::{Activation, KernelError};

/// The parameters of a batch norm in training.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchNorm<'a> {
    /// Scale, f32 `[C]`; `None` for 1.
    pub weight: Option<&'a Tensor>,
    /// Shift, f32 `[C]`; `None` for 0.
    pub bias: Option<&'a Tensor>,
    /// Running mean and (unbiased) variance, f32 `[C]` each, updated in place.
    pub running: Option<(&'a Tensor, &'a Tensor)>,
    /// Weight of this batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Applied to the normalized values.
    pub activation: Activation,
    /// Added to the result, if given.
    pub shortcut: Option<Shortcut<'a>>,
}

/// A residual connection, added to the result of a batch norm.
#[derive(Clone, Copy, Debug)]
pub struct Shortcut<'a> {
    /// The tensor to add, of the shape of the result; converted to the dtype of the result if it has another one.
    pub value: &'a Tensor,
    /// Factor for the result of each sample before the addition: f32, one value per sample, no gradient.
    pub keep: Option<&'a Tensor>,
}

/// Normalizes `x`, `[N, C, H, W]`, with batch statistics, like libtorch's `batch_norm` in training followed by the
/// activation and the addition.
///
/// Takes two passes over memory forward and two backward; the backward pass recomputes the normalized values instead of
/// saving them. The result has the dtype of `x`. Autograd is supported, but not second derivatives.
///
/// # Errors
/// Returns a [`KernelError`] if [`is_supported`](crate::is_supported) is false for `x`, or another tensor has an
/// unsupported shape or dtype.
pub fn batch_norm(x: &Tensor, norm: &BatchNorm<'_>) -> Result<Tensor, KernelError> {
    let (running_mean, running_variance) = norm.running.unzip();
    let (shortcut, keep) = norm.shortcut.map(|shortcut| (shortcut.value, shortcut.keep)).unzip();
    // SAFETY: all tensors outlive the call, and the shim checks their shapes and kinds before it reads their memory. It
    // writes a new tensor to `y`, and updates the running statistics in place, as tch's own in-place operations do.
    unsafe {
        make_tensor(|y, message| {
            raw::tfnas_kernels_batch_norm(
                pointer(x),
                optional(norm.weight),
                optional(norm.bias),
                optional(shortcut),
                optional(keep.flatten()),
                optional(running_mean),
                optional(running_variance),
                norm.activation as i32,
                norm.momentum,
                norm.epsilon,
                y,
                message,
            )
        })
    }
}
