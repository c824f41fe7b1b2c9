//! Depthwise convolutions.

use tch::Tensor;

use crate::raw::{self, make_tensor, optional, pointer};
use crate::{Activation, KernelError};

/// Returns whether depthwise convolutions support this kernel size and stride.
pub const fn has_depthwise(kernel: i64, stride: i64) -> bool {
    matches!(kernel, 3 | 5) && matches!(stride, 1 | 2)
}

/// Convolves each channel of `x`, `[N, C, H, W]`, with its weights `weight`, f32 `[C, 1, k, k]`, padded by half of k.
/// Supports the sizes and strides of [`has_depthwise`].
///
/// Autograd is supported, but not second derivatives.
///
/// # Errors
/// Returns a [`KernelError`] if [`is_supported`](crate::is_supported) is false for `x`, or the weight or the stride is
/// not supported.
pub fn depthwise(x: &Tensor, weight: &Tensor, stride: i64) -> Result<Tensor, KernelError> {
    call(x, weight, None, stride, Activation::None)
}

/// [`depthwise`] with a bias `[C]` and an activation, for evaluation.
///
/// # Errors
/// Same as [`depthwise`]; also returns an error if a tensor requires a gradient, which is not supported here.
pub fn depthwise_for_evaluation(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: i64,
    activation: Activation,
) -> Result<Tensor, KernelError> {
    call(x, weight, bias, stride, activation)
}

fn call(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: i64,
    activation: Activation,
) -> Result<Tensor, KernelError> {
    // SAFETY: all tensors outlive the call, and the shim checks their shapes and kinds before it reads their memory. It
    // writes a new tensor to `y`.
    unsafe {
        make_tensor(|y, message| {
            let (x, weight) = (pointer(x), pointer(weight));
            raw::tfnas_kernels_depthwise(x, weight, optional(bias), stride, activation as i32, y, message)
        })
    }
}
