//! Fused squeeze-excite.

use tch::Tensor;

use crate::raw::{self, make_tensor, pointer};
use crate::{Activation, KernelError};

/// The two linear layers of a squeeze-excite. Weights may have the shape of 1x1 convolutions.
#[derive(Clone, Copy, Debug)]
pub struct SqueezeExcite<'a> {
    /// f32 `[S, C]` or `[S, C, 1, 1]`.
    pub reduce_weight: &'a Tensor,
    /// f32 `[S]`.
    pub reduce_bias: &'a Tensor,
    /// Applied to the reduced values.
    pub activation: Activation,
    /// f32 `[C, S]` or `[C, S, 1, 1]`.
    pub expand_weight: &'a Tensor,
    /// f32 `[C]`.
    pub expand_bias: &'a Tensor,
}

/// Multiplies each channel of each sample of `x`, `[N, C, H, W]`, by the sigmoid of the layers' output for the means of
/// the sample's channels.
///
/// Takes two passes over memory forward and two backward. Autograd is supported, but not second derivatives.
///
/// # Errors
/// Returns a [`KernelError`] if [`is_supported`](crate::is_supported) is false for `x`, or a weight has an unsupported
/// shape or dtype.
pub fn squeeze_excite(x: &Tensor, layers: &SqueezeExcite<'_>) -> Result<Tensor, KernelError> {
    // SAFETY: all tensors outlive the call, and the shim checks their shapes and kinds before it reads their memory. It
    // writes a new tensor to `y`.
    unsafe {
        make_tensor(|y, message| {
            raw::tfnas_kernels_squeeze_excite(
                pointer(x),
                pointer(layers.reduce_weight),
                pointer(layers.reduce_bias),
                pointer(layers.expand_weight),
                pointer(layers.expand_bias),
                layers.activation as i32,
                y,
                message,
            )
        })
    }
}
