//! Folds a batch norm into the preceding convolution.

use crate::state::State;

/// The epsilon of the batch norms, added to the variance.
pub(crate) const EPSILON: f64 = 1e-5;

/// A convolution with the folded batch norm.
pub(crate) struct Folded {
    /// The weight, with the shape of the convolution's.
    pub weight: Vec<f32>,
    /// The bias, `[out]`.
    pub bias: Vec<f32>,
}

impl Folded {
    /// Returns whether all numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.weight.iter().chain(&self.bias).all(|value| value.is_finite())
    }
}

/// Folds the batch norm `NAME.bn`, with its running statistics, into the preceding convolution `NAME.conv`. Computed in
/// f64 and rounded once.
pub(crate) fn fold(state: &State, name: &str) -> Folded {
    let norm = |tensor: &str| state.values(&format!("{name}.bn.{tensor}"));
    let (scale, shift) = (norm("weight"), norm("bias"));
    let (mean, variance) = (norm("running_mean"), norm("running_var"));
    let weight = state.values(&format!("{name}.conv.weight"));
    let taps = weight.len() / scale.len().max(1);
    let mut folded = Folded { weight: Vec::with_capacity(weight.len()), bias: Vec::with_capacity(scale.len()) };
    for channel in 0..scale.len() {
        let deviation = (f64::from(variance[channel]) + EPSILON).sqrt();
        let factor = f64::from(scale[channel]) / deviation;
        let taps = &weight[channel * taps..][..taps];
        folded.weight.extend(taps.iter().map(|&tap| (f64::from(tap) * factor) as f32));
        folded.bias.push((f64::from(shift[channel]) - f64::from(mean[channel]) * factor) as f32);
    }
    folded
}
