//! Activation functions.

use tch::Tensor;
use tfnas::Activation;

/// Applies an activation to a tensor that has no other users: in place if autograd allows it.
///
/// The backward pass of `relu` needs only its output; that of `silu` (swish) needs its input.
pub(crate) fn activate(mut x: Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::Relu => x.relu_(),
        Activation::Swish if x.requires_grad() => x.silu(),
        Activation::Swish => x.silu_(),
    }
}
