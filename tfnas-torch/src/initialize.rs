//! Weight initialization: PyTorch's defaults, with zero biases.

use tch::Tensor;
use tfnas_random::{Stream, StreamId};

use crate::named_tensors::{Module, Role};

/// Initializes all weights and buffers of a module.
///
/// Weights of convolutions and of the linear layer are uniform in ±1/√fan_in, which equals PyTorch's default
/// (`kaiming_uniform_` with a = √5). Their biases are 0, as in the authors' code. Batch norms are the identity (weight
/// 1, bias 0, running mean 0, running variance 1). The values of the tensor at position i come from the stream (seed,
/// [`StreamId::Initialize`], epoch 0, index i), so they are the same on every device.
///
/// `log_alphas` and `betas` are not changed: a supernet is built with uniform probabilities.
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

/// Draws a weight of this shape, uniform in ±1/√fan_in, on the CPU.
fn uniform_weight(shape: &[i64], mut stream: Stream) -> Tensor {
    let fan_in: i64 = shape[1..].iter().product();
    let bound = 1.0 / (fan_in as f32).sqrt();
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| (2.0 * stream.uniform_f32() - 1.0) * bound).collect();
    Tensor::from_slice(&values).view(shape)
}
