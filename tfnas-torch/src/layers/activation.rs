use tch::Tensor;
use tfnas::Activation;

/// Applies an activation to a tensor that nothing else reads: in place where autograd allows it.
///
/// The backward pass of `relu` needs its output alone, that of `silu` (swish) its input.
pub(crate) fn activate(mut x: Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::Relu => x.relu_(),
        Activation::Swish if x.requires_grad() => x.silu(),
        Activation::Swish => x.silu_(),
    }
}
