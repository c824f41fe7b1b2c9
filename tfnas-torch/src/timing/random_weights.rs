//! Weights that keep the scale of activations through a network.

use tch::Tensor;

use crate::initialize::initialize;
use crate::layers::MbConv;
use crate::named_tensors::Module;

/// From the variance of default weights, 1 / (3 fan_in), to the 2 / fan_in that keeps the scale through a ReLU: √6.
///
/// Source: He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015. Through a swish activations lose some of it.
const RECTIFIER_GAIN: f64 = 2.449_489_742_783_178;

/// Gives a module weights that keep the scale through layers with an activation; biases are 0, batch norms the identity.
pub(super) fn randomise(module: &impl Module, seed: u64) {
    initialize(module, seed);
    module.visit("", &mut |_, tensor, _| {
        if tensor.dim() > 1 {
            scale(tensor, RECTIFIER_GAIN);
        }
    });
}

/// Makes the last convolution of a block with such weights keep the scale of the block's input.
///
/// No activation follows it; a squeeze-excite before it has about halved its input; and in a residual block it only adds a
/// little, as the scale would double with every other block otherwise.
pub(super) fn level(block: &MbConv) {
    let without_activation = std::f64::consts::FRAC_1_SQRT_2;
    let squeeze_excite = if block.squeeze_excite.is_some() { 2.0 } else { 1.0 };
    let residual = if block.has_residual() { 0.5 } else { 1.0 };
    scale(&block.project.conv.weight, without_activation * squeeze_excite * residual);
}

fn scale(weight: &Tensor, factor: f64) {
    let _ = weight.detach().g_mul_scalar_(factor);
}
