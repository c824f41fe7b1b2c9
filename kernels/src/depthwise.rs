use tch::Tensor;

use crate::raw::{self, make_tensor, optional, pointer};
use crate::{Activation, KernelError};

/// Returns whether there is a depthwise convolution for square weights of this size and this stride.
pub const fn has_depthwise(kernel: i64, stride: i64) -> bool {
    matches!(kernel, 3 | 5) && matches!(stride, 1 | 2)
}

/// Convolves each channel of `x`, `[N, C, H, W]`, with weights of its own, `weight` `[C, 1, k, k]`, padded by half of k; for sizes and
/// strides that [`has_depthwise`] names.
///
/// Gradients are those of autograd, and have no derivative of their own.
///
/// # Errors
/// [`KernelError`] for an `x` that [`take`](crate::take) refuses, and for a weight or stride of another kind than said.
pub fn depthwise(x: &Tensor, weight: &Tensor, stride: i64) -> Result<Tensor, KernelError> {
    call(x, weight, None, stride, Activation::None)
}

/// [`depthwise`] with a bias `[C]` and an activation, for a network in evaluation.
///
/// # Errors
/// Those of [`depthwise`]; and where one of the tensors needs a gradient, which this convolution has not.
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
    // SAFETY: all tensors outlive the call, and the shim checks their shapes and kinds before it reads their memory; it writes a
    // new tensor to `y`.
    unsafe {
        make_tensor(|y, message| {
            let (x, weight) = (pointer(x), pointer(weight));
            raw::tfnas_kernels_depthwise(x, weight, optional(bias), stride, activation as i32, y, message)
        })
    }
}
