//! Test inputs, and comparison of tensors.

use tch::{Device, Kind, Tensor};

/// Approximately normal numbers that depend only on the shape and the seed.
pub fn numbers(shape: &[i64], seed: i64) -> Tensor {
    let count: i64 = shape.iter().product();
    let uniform = |salt: f64| {
        let turn = Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.754_877_666 + seed as f64 * 0.618_034 + salt;
        (&turn * 12.9898).sin().multiply_scalar(43_758.545_3).frac().abs()
    };
    let sum = uniform(0.1) + uniform(0.2) + uniform(0.3) + uniform(0.4) - 2.0;
    (sum * 1.7).to_kind(Kind::Float).view(shape)
}

/// The same as a leaf `[N, C, H, W]` in channels-last order that requires a gradient.
pub fn feature_map([n, c, h, w]: [i64; 4], seed: i64) -> Tensor {
    numbers(&[n, h, w, c], seed).permute([0, 3, 1, 2]).set_requires_grad(true)
}

/// Returns a leaf with the same values in another dtype.
pub fn leaf(tensor: &Tensor, kind: Kind) -> Tensor {
    tensor.detach().to_kind(kind).set_requires_grad(true)
}

/// Asserts that `ours` (f32) is as close to `exact` (f64) as `theirs`, libtorch's f32 result, up to a few roundings of
/// the largest number.
pub fn assert_close(what: &str, ours: &Tensor, theirs: &Tensor, exact: &Tensor) {
    assert_eq!(ours.size(), exact.size(), "{what}");
    assert_eq!(ours.kind(), Kind::Float, "{what}");
    let error = |tensor: &Tensor| largest(&(tensor.to_kind(Kind::Double) - exact));
    let scale = largest(exact);
    let (found, libtorchs) = (error(ours), error(theirs));
    assert!(
        found <= 1.5 * libtorchs + 3e-7 * scale,
        "{what}: off by {found:e} of {scale:e}, libtorch by {libtorchs:e}"
    );
}

/// Returns the largest absolute value; NaN if one is NaN.
pub fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

/// Returns the gradients of the sum of `output` times `weights`.
pub fn gradients(output: &Tensor, weights: &Tensor, of: &[&Tensor]) -> Vec<Tensor> {
    let loss = (output * weights.to_kind(output.kind())).sum(None);
    Tensor::run_backward(&[loss], of, false, false)
}
