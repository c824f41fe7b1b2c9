//! Initial weights: PyTorch's defaults, with biases zero.

use tch::Tensor;
use tfnas_random::{Stream, StreamId};

use crate::named_tensors::{Module, Role};

/// Writes the initial value of every tensor of a module whose architecture is untouched.
///
/// Weights of convolutions and of the linear layer are uniform in ±1/√fan_in, which is what PyTorch's default
/// (`kaiming_uniform_` with a = √5) comes to; their biases are 0, as in the original; a batch norm begins as the identity
/// (weight 1, bias 0, running mean 0, running variance 1). The numbers of the tensor at position i come from the stream
/// (seed, [`StreamId::Initialize`], epoch 0, index i), so they are the same on every device.
///
/// `log_alphas` and `betas` are left as they are: a supernet is built with those of the uniform distribution.
pub fn initialize(module: &impl Module, seed: u64) {
    let mut position = 0;
    module.visit("", &mut |name, tensor, role| {
        let mut tensor = tensor.detach();
        let shape = tensor.size();
        if shape.len() > 1 {
            let stream = Stream::new(seed, StreamId::Initialize, 0, position);
            tensor.copy_(&uniform_weight(&shape, stream));
        } else if role != Role::Architecture {
            let is_one = name.ends_with("bn.weight") || name.ends_with("running_var");
            let _ = tensor.fill_(i64::from(is_one));
        }
        position += 1;
    });
}

/// A weight of this shape, uniform in ±1/√fan_in, on the CPU.
fn uniform_weight(shape: &[i64], mut stream: Stream) -> Tensor {
    let fan_in: i64 = shape[1..].iter().product();
    let bound = 1.0 / (fan_in as f32).sqrt();
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| (2.0 * stream.uniform_f32() - 1.0) * bound).collect();
    Tensor::from_slice(&values).view(shape)
}
