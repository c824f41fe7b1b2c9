//! Batch norm compared with libtorch.

#![allow(clippy::unwrap_used)]

use tch::{Device, Kind, Tensor, no_grad};
use tfnas_kernels::{Activation, BatchNorm, Shortcut, batch_norm, is_supported};

use crate::compare::{assert_close, feature_map, gradients, leaf, numbers};

const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;
const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Silu];

/// `[N, C, H, W]`: one channel, odd numbers of channels, one pixel, one sample, and more rows than a chunk has.
const SHAPES: [[i64; 4]; 11] = [
    [2, 1, 3, 3],
    [4, 3, 1, 1],
    [2, 16, 1, 1],
    [1, 8, 5, 7],
    [3, 17, 4, 6],
    [2, 24, 9, 9],
    [5, 113, 3, 2],
    [16, 1450, 1, 1],
    [2, 33, 40, 41],
    [2, 186, 31, 30],
    [1, 5, 150, 151],
];

/// Inputs of one dtype; weight and bias are `None` without an affine part.
struct Inputs {
    x: Tensor,
    affine: Option<(Tensor, Tensor)>,
    running: Option<(Tensor, Tensor)>,
    shortcut: Option<Tensor>,
    keep: Option<Tensor>,
}

impl Inputs {
    fn new(shape: [i64; 4], is_affine: bool, has_shortcut: bool, has_keep: bool) -> Self {
        let channels = [shape[1]];
        let x = leaf(&(feature_map(shape, 1) * 2.0 + 0.5), Kind::Float);
        let ramp = Tensor::arange(shape[0], (Kind::Float, Device::Cpu));
        Self {
            affine: is_affine.then(|| {
                let weight = leaf(&(numbers(&channels, 2) * 0.3 + 1.0), Kind::Float);
                (weight, leaf(&numbers(&channels, 3), Kind::Float))
            }),
            running: is_affine.then(|| (numbers(&channels, 4), numbers(&channels, 5).square())),
            shortcut: has_shortcut.then(|| feature_map(shape, 6)),
            keep: has_keep.then(|| (ramp.remainder(3.0) * 0.7).view([-1, 1, 1, 1])),
            x,
        }
    }

    fn as_kind(&self, kind: Kind) -> Self {
        let pair = |(a, b): &(Tensor, Tensor)| (leaf(a, kind), leaf(b, kind));
        Self {
            x: leaf(&self.x, kind),
            affine: self.affine.as_ref().map(pair),
            running: self.running.as_ref().map(|(a, b)| (a.to_kind(kind).copy(), b.to_kind(kind).copy())),
            shortcut: self.shortcut.as_ref().map(|shortcut| leaf(shortcut, kind)),
            keep: self.keep.as_ref().map(|keep| keep.to_kind(kind)),
        }
    }

    fn fused(&self, activation: Activation) -> Tensor {
        let (weight, bias) = self.affine.as_ref().map(|(weight, bias)| (weight, bias)).unzip();
        let norm = BatchNorm {
            weight,
            bias,
            running: self.running.as_ref().map(|(mean, variance)| (mean, variance)),
            momentum: MOMENTUM,
            epsilon: EPSILON,
            activation,
            shortcut: self.shortcut.as_ref().map(|value| Shortcut { value, keep: self.keep.as_ref() }),
        };
        batch_norm(&self.x, &norm).unwrap()
    }

    fn composed(&self, activation: Activation) -> Tensor {
        let (weight, bias) = self.affine.as_ref().map(|(weight, bias)| (weight, bias)).unzip();
        let (mean, variance) = self.running.as_ref().map(|(mean, variance)| (mean, variance)).unzip();
        let y = self.x.batch_norm(weight, bias, mean, variance, true, MOMENTUM, EPSILON, true);
        let y = match activation {
            Activation::None => y,
            Activation::Relu => y.relu(),
            Activation::Silu => y.silu(),
        };
        match (&self.shortcut, &self.keep) {
            (Some(shortcut), Some(keep)) => shortcut.addcmul(&y, keep),
            (Some(shortcut), None) => y + shortcut,
            _ => y,
        }
    }

    fn leaves(&self) -> Vec<&Tensor> {
        let affine = self.affine.iter().flat_map(|(weight, bias)| [weight, bias]);
        std::iter::once(&self.x).chain(affine).chain(&self.shortcut).collect()
    }
}

/// Compares output, gradients and running statistics with libtorch.
fn check(shape: [i64; 4], activation: Activation, is_affine: bool, has_shortcut: bool, has_keep: bool) {
    let case = format!("{shape:?}, {activation:?}, affine {is_affine}, shortcut {has_shortcut}, keep {has_keep}");
    let ours = Inputs::new(shape, is_affine, has_shortcut, has_keep);
    let theirs = ours.as_kind(Kind::Float);
    let exact = ours.as_kind(Kind::Double);
    assert!(is_supported(&ours.x), "{case}");
    let outputs = [ours.fused(activation), theirs.composed(activation), exact.composed(activation)];
    assert_close(&format!("output of {case}"), &outputs[0], &outputs[1], &outputs[2]);
    assert_eq!(outputs[0].stride(), ours.x.stride());

    let weights = feature_map(shape, 7).detach();
    let [mut a, mut b, mut c]: [Vec<Tensor>; 3] = [(&ours, 0), (&theirs, 1), (&exact, 2)]
        .map(|(inputs, index)| gradients(&outputs[index], &weights, &inputs.leaves()));
    for (a, (b, c)) in a.drain(..).zip(b.drain(..).zip(c.drain(..))) {
        assert_close(&format!("gradient {:?} of {case}", a.size()), &a, &b, &c);
    }
    if let (Some(ours), Some(theirs), Some(exact)) = (&ours.running, &theirs.running, &exact.running) {
        assert_close(&format!("running mean of {case}"), &ours.0, &theirs.0, &exact.0);
        assert_close(&format!("running variance of {case}"), &ours.1, &theirs.1, &exact.1);
    }
}

#[test]
fn outputs_gradients_and_statistics_match_libtorch() {
    for shape in SHAPES {
        for activation in ACTIVATIONS {
            check(shape, activation, true, false, false);
        }
    }
}

#[test]
fn batch_norm_without_affine_part_matches_libtorch() {
    for shape in SHAPES {
        for activation in ACTIVATIONS {
            check(shape, activation, false, false, false);
        }
    }
}

#[test]
fn a_shortcut_is_added_after_the_activation() {
    for shape in SHAPES {
        for activation in [Activation::None, Activation::Silu] {
            check(shape, activation, true, true, false);
            check(shape, activation, true, true, true);
            check(shape, activation, false, true, false);
        }
    }
}

#[test]
fn only_required_gradients_are_computed() {
    let shape = [3, 17, 4, 6];
    for needed in 0..16 {
        let ours = Inputs::new(shape, true, true, true);
        let theirs = ours.as_kind(Kind::Float);
        for inputs in [&ours, &theirs] {
            for (index, leaf) in inputs.leaves().into_iter().enumerate() {
                let _ = leaf.set_requires_grad(needed >> index & 1 == 1);
            }
        }
        let (a, b) = (ours.fused(Activation::Silu), theirs.composed(Activation::Silu));
        assert_eq!(a.requires_grad(), needed != 0);
        if needed == 0 {
            continue;
        }
        let weights = feature_map(shape, 7).detach();
        let leaves = |inputs: &'_ Inputs| {
            let leaves = inputs.leaves().into_iter().filter(|leaf| leaf.requires_grad());
            leaves.map(Tensor::shallow_clone).collect::<Vec<_>>()
        };
        let find =
            |output: &Tensor, leaves: Vec<Tensor>| gradients(output, &weights, &leaves.iter().collect::<Vec<_>>());
        for (a, b) in find(&a, leaves(&ours)).iter().zip(find(&b, leaves(&theirs))) {
            assert!(a.allclose(&b, 1e-4, 1e-5, false), "{needed}");
        }
    }
}

#[test]
fn the_output_without_gradients_is_identical() {
    let inputs = Inputs::new([2, 24, 9, 9], true, true, true);
    let with = inputs.fused(Activation::Relu);
    let without = no_grad(|| inputs.fused(Activation::Relu));
    assert!(with.requires_grad() && !without.requires_grad());
    assert!(with.detach().equal(&without));
}

#[test]
fn a_gradient_in_another_memory_order_is_supported() {
    let shape = [2, 24, 9, 9];
    let (ours, theirs) = (Inputs::new(shape, true, false, false), Inputs::new(shape, true, false, false));
    // Contiguous like the weights here, and expanded like the gradient of a sum.
    let weights = feature_map(shape, 7).detach().contiguous();
    let outputs = [ours.fused(Activation::Silu), theirs.composed(Activation::Silu)];
    for output in [(&outputs[0] * &weights, &outputs[1] * &weights), (outputs[0].square(), outputs[1].square())] {
        let sum = |output: Tensor, x: &Tensor| Tensor::run_backward(&[output.sum(None)], &[x], true, false).remove(0);
        let (a, b) = (sum(output.0, &ours.x), sum(output.1, &theirs.x));
        assert!(a.allclose(&b, 1e-4, 1e-5, false));
    }
}

#[test]
fn a_large_mean_does_not_reduce_accuracy() {
    let spread = feature_map([4, 19, 8, 8], 1).detach();
    for mean in [1e3, 1e5] {
        let x = leaf(&(&spread + mean), Kind::Float);
        let norm = BatchNorm { momentum: MOMENTUM, epsilon: EPSILON, ..BatchNorm::default() };
        let ours = batch_norm(&x, &norm).unwrap();
        let none = None::<&Tensor>;
        let exact = x.to_kind(Kind::Double).batch_norm(none, none, none, none, true, MOMENTUM, EPSILON, true);
        let off = (ours.to_kind(Kind::Double) - exact).abs().max().double_value(&[]);
        // The mean itself is rounded to f32.
        assert!(off < mean * 1e-7, "{mean}: off by {off:e}");
    }
}

#[test]
fn a_constant_channel_has_variance_zero() {
    for value in [0.0, 3.25, 1e6, -7e20] {
        let x = (feature_map([2, 3, 4, 4], 1) * 0.0 + value).detach();
        let bias = Tensor::from_slice(&[0.5f32, -1.0, 2.0]);
        let (mean, variance) =
            (Tensor::zeros([3], (Kind::Float, Device::Cpu)), Tensor::ones([3], (Kind::Float, Device::Cpu)));
        let running = Some((&mean, &variance));
        let norm = BatchNorm { bias: Some(&bias), running, momentum: 1.0, epsilon: EPSILON, ..BatchNorm::default() };
        let y = batch_norm(&x, &norm).unwrap();
        assert!(y.equal(&bias.view([1, 3, 1, 1]).expand_as(&y)), "{value}");
        assert_eq!(variance.abs().max().double_value(&[]), 0.0, "{value}");
        assert_eq!(mean.double_value(&[0]), f64::from(value as f32));
    }
}

#[test]
fn nan_inputs_give_nan_outputs() {
    for activation in ACTIVATIONS {
        let x = feature_map([2, 3, 4, 4], 1).detach();
        let _ = x.select(1, 1).get(0).get(0).get(0).fill_(f64::NAN);
        let norm = BatchNorm { momentum: MOMENTUM, epsilon: EPSILON, activation, ..BatchNorm::default() };
        let y = batch_norm(&x, &norm).unwrap();
        let has = |channel| y.select(1, channel).isnan().all().int64_value(&[]) == 1;
        assert!(!has(0) && has(1) && !has(2), "{activation:?}");
    }
}

#[test]
fn activations_of_large_numbers_do_not_overflow() {
    let bias = Tensor::from_slice(&[-200f32, 200.0, 1e30, -1e30]);
    for activation in [Activation::Relu, Activation::Silu] {
        let x = feature_map([2, 4, 3, 3], 1);
        let norm =
            BatchNorm { bias: Some(&bias), momentum: MOMENTUM, epsilon: EPSILON, activation, ..BatchNorm::default() };
        let y = batch_norm(&x, &norm).unwrap();
        let most = |channel: i64| y.select(1, channel).abs().max().double_value(&[]);
        assert!(most(0) < 1e-30 && most(3) < 1e-5, "{activation:?}: {} {}", most(0), most(3));
        assert!((most(1) - 200.0).abs() < 5.0 && (most(2) / 1e30 - 1.0).abs() < 1e-6, "{activation:?}");
        let gradient = Tensor::run_backward(&[y.sum(None)], &[&x], false, false).remove(0);
        assert!(gradient.isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn unsupported_tensors_are_rejected() {
    let x = feature_map([2, 4, 3, 3], 1).detach();
    let contiguous = x.contiguous();
    let part = x.narrow(1, 0, 3);
    let empty = x.narrow(0, 0, 0);
    for other in [&contiguous, &part, &empty, &x.to_kind(Kind::Double), &x.to_kind(Kind::Half), &x.select(0, 0)] {
        assert!(!is_supported(other), "{other:?}");
        assert!(batch_norm(other, &BatchNorm::default()).is_err());
    }
    assert!(is_supported(&x) && is_supported(&x.narrow(0, 1, 1)));
    let wrong = Tensor::ones([5], (Kind::Float, Device::Cpu));
    let error = batch_norm(&x, &BatchNorm { weight: Some(&wrong), ..BatchNorm::default() });
    assert!(error.is_err_and(|error| error.to_string().contains("weight must be f32 [4]")));
    let keep = Tensor::ones([3], (Kind::Float, Device::Cpu));
    let shortcut = Some(Shortcut { value: &x, keep: Some(&keep) });
    assert!(batch_norm(&x, &BatchNorm { shortcut, ..BatchNorm::default() }).is_err());
}

#[test]
fn second_derivatives_are_rejected() {
    let x = feature_map([2, 4, 3, 3], 1);
    let norm = BatchNorm { momentum: MOMENTUM, epsilon: EPSILON, ..BatchNorm::default() };
    let loss = batch_norm(&x, &norm).unwrap().square().sum(None);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Tensor::run_backward(&[loss], &[&x], true, true);
    }));
    assert!(result.is_err());
}
