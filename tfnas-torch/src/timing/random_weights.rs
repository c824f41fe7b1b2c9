//! Random weights that preserve the scale of activations through a network.

use tch::Tensor;

use crate::initialize::initialize;
use crate::layers::MbConv;
use crate::named_tensors::Module;

/// Factor from the variance of default weights, 1 / (3 fan_in), to the 2 / fan_in that preserves the scale through a
/// ReLU: √6.
///
/// Source: He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015. A swish reduces the scale somewhat.
const RECTIFIER_GAIN: f64 = 2.449_489_742_783_178;

/// Draws weights that preserve the scale through layers with an activation; biases are 0, batch norms the identity.
pub(super) fn randomize(module: &impl Module, seed: u64) {
    initialize(module, seed);
    module.visit("", &mut |_, tensor, _| {
        if tensor.dim() > 1 {
            scale(tensor, RECTIFIER_GAIN);
        }
    });
}

/// Rescales the last convolution of a block so that its output has the scale of the block's input.
///
/// The last convolution has no activation, and squeeze-excite about halves its input. In a residual block the branch
/// adds only a small term, because otherwise the scale would double with every other block.
pub(super) fn rescale_branch(block: &MbConv) {
    let without_activation = std::f64::consts::FRAC_1_SQRT_2;
    let squeeze_excite = if block.squeeze_excite.is_some() { 2.0 } else { 1.0 };
    let residual = if block.has_residual() { 0.5 } else { 1.0 };
    scale(&block.project.conv.weight, without_activation * squeeze_excite * residual);
}

fn scale(weight: &Tensor, factor: f64) {
    let _ = weight.detach().g_mul_scalar_(factor);
}
