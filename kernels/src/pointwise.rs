//! 1x1 convolutions with a frozen weight.

use tch::Tensor;

use crate::KernelError;
use crate::raw::{self, make_tensor, pointer};

/// Convolves `x`, `[N, C, H, W]`, with `weight`, f32 `[out, C, 1, 1]`, which requires no gradient. For a bf16 `x` the weight
/// is converted to bf16.
///
/// libtorch's own convolution keeps `x` for the gradient of the weight even if there is none. Autograd of `x` is
/// supported, but not second derivatives.
///
/// # Errors
/// Returns a [`KernelError`] if [`is_supported`](crate::is_supported) is false for `x`, the weight has another shape or
/// dtype, or requires a gradient.
pub fn frozen_pointwise(x: &Tensor, weight: &Tensor) -> Result<Tensor, KernelError> {
    // SAFETY: both tensors outlive the call, and the shim checks their shapes and kinds. It writes a new tensor to `y`.
    unsafe { make_tensor(|y, message| raw::tfnas_kernels_frozen_pointwise(pointer(x), pointer(weight), y, message)) }
}
