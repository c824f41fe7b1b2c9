use tch::Tensor;

use crate::raw::{self, make_tensor, optional, pointer};
use crate::{Activation, KernelError};

/// Everything of a batch norm in training but its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchNorm<'a> {
    /// Scale, f32 `[C]`; 1 without.
    pub weight: Option<&'a Tensor>,
    /// Shift, f32 `[C]`; 0 without.
    pub bias: Option<&'a Tensor>,
    /// Running mean and (unbiased) variance, f32 `[C]` each, which move.
    pub running: Option<(&'a Tensor, &'a Tensor)>,
    /// Weight of this batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance before its root is taken.
    pub epsilon: f64,
    /// Applied to what is normalized.
    pub activation: Activation,
    /// Added to the result.
    pub shortcut: Option<Shortcut<'a>>,
}

/// What is added to the result of a batch norm.
#[derive(Clone, Copy, Debug)]
pub struct Shortcut<'a> {
    /// Of the shape of the result.
    pub value: &'a Tensor,
    /// A factor of the result of each sample, before this is added: f32, one number each, no gradient.
    pub keep: Option<&'a Tensor>,
}

/// Normalizes `x`, `[N, C, H, W]`, with the statistics of the batch, as libtorch's `batch_norm` in training followed by the
/// activation and the addition.
///
/// Two passes over memory forward, two backward, in which the normalized values are computed again rather than saved.
/// The backward pass is that of autograd; it has no derivative of its own.
///
/// # Errors
/// [`KernelError`] for an `x` that [`take`](crate::take) refuses, and for tensors of other shapes or kinds than said.
pub fn batch_norm(x: &Tensor, norm: &BatchNorm<'_>) -> Result<Tensor, KernelError> {
    let (running_mean, running_variance) = norm.running.unzip();
    let (shortcut, keep) = norm.shortcut.map(|shortcut| (shortcut.value, shortcut.keep)).unzip();
    // SAFETY: all tensors outlive the call, and the shim checks their shapes and kinds before it reads their memory; it writes a
    // new tensor to `y`, and to the running statistics, which other tensors may share as tch's own in-place operations let them.
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
