//! Squeeze-excite compared with libtorch.

#![allow(clippy::unwrap_used)]

use tch::{Kind, Tensor, no_grad};
use tfnas_kernels::{Activation, SqueezeExcite, squeeze_excite};

use crate::compare::{assert_close, feature_map, gradients, leaf, numbers};

/// `[N, C, H, W]`, and the channels between the layers: one pixel, one sample, odd channels, several chunks.
const SHAPES: [([i64; 4], i64); 8] = [
    ([2, 1, 3, 3], 1),
    ([3, 5, 1, 1], 2),
    ([1, 17, 4, 6], 4),
    ([2, 24, 9, 9], 8),
    ([16, 113, 7, 7], 28),
    ([2, 70, 40, 41], 16),
    ([3, 1450, 2, 2], 320),
    ([1, 3, 200, 201], 2),
];

struct Inputs {
    x: Tensor,
    weights: [Tensor; 4],
}

impl Inputs {
    fn new([n, c, h, w]: [i64; 4], between: i64) -> Self {
        let shrink = |fan_in: i64| 1.0 / (fan_in as f64).sqrt();
        Self {
            x: feature_map([n, c, h, w], 1),
            weights: [
                leaf(&(numbers(&[between, c, 1, 1], 2) * shrink(c)), Kind::Float),
                leaf(&numbers(&[between], 3), Kind::Float),
                leaf(&(numbers(&[c, between, 1, 1], 4) * shrink(between)), Kind::Float),
                leaf(&numbers(&[c], 5), Kind::Float),
            ],
        }
    }

    fn as_kind(&self, kind: Kind) -> Self {
        Self { x: leaf(&self.x, kind), weights: self.weights.each_ref().map(|weight| leaf(weight, kind)) }
    }

    fn fused(&self, activation: Activation) -> Tensor {
        let [reduce_weight, reduce_bias, expand_weight, expand_bias] = &self.weights;
        let layers = SqueezeExcite { reduce_weight, reduce_bias, activation, expand_weight, expand_bias };
        squeeze_excite(&self.x, &layers).unwrap()
    }

    fn composed(&self, activation: Activation) -> Tensor {
        let [reduce_weight, reduce_bias, expand_weight, expand_bias] = &self.weights;
        let means = self.x.mean_dim([2i64, 3].as_slice(), false, None);
        let reduced = means.linear(&reduce_weight.flatten(1, -1), Some(reduce_bias));
        let reduced = match activation {
            Activation::None => reduced,
            Activation::Relu => reduced.relu(),
            Activation::Silu => reduced.silu(),
        };
        let factors = reduced.linear(&expand_weight.flatten(1, -1), Some(expand_bias)).sigmoid();
        &self.x * factors.unsqueeze(-1).unsqueeze(-1)
    }

    fn leaves(&self) -> Vec<&Tensor> {
        std::iter::once(&self.x).chain(&self.weights).collect()
    }
}

#[test]
fn outputs_and_gradients_match_libtorch() {
    for (shape, between) in SHAPES {
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            let case = format!("{shape:?}, {activation:?}");
            let ours = Inputs::new(shape, between);
            let (theirs, exact) = (ours.as_kind(Kind::Float), ours.as_kind(Kind::Double));
            let outputs = [ours.fused(activation), theirs.composed(activation), exact.composed(activation)];
            assert_close(&format!("output of {case}"), &outputs[0], &outputs[1], &outputs[2]);
            assert_eq!(outputs[0].stride(), ours.x.stride());
            let weights = feature_map(shape, 7).detach();
            let a = gradients(&outputs[0], &weights, &ours.leaves());
            let b = gradients(&outputs[1], &weights, &theirs.leaves());
            let c = gradients(&outputs[2], &weights, &exact.leaves());
            for (a, (b, c)) in a.iter().zip(b.iter().zip(&c)) {
                assert_close(&format!("gradient {:?} of {case}", a.size()), a, b, c);
            }
        }
    }
}

#[test]
fn only_required_gradients_are_computed() {
    for needed in 0..32 {
        let ours = Inputs::new([2, 24, 9, 9], 8);
        let theirs = ours.as_kind(Kind::Float);
        for inputs in [&ours, &theirs] {
            for (index, leaf) in inputs.leaves().into_iter().enumerate() {
                let _ = leaf.set_requires_grad(needed >> index & 1 == 1);
            }
        }
        let find = |inputs: &Inputs, output: Tensor| {
            let leaves: Vec<&Tensor> = inputs.leaves().into_iter().filter(|leaf| leaf.requires_grad()).collect();
            if leaves.is_empty() { Vec::new() } else { gradients(&output, &output.detach(), &leaves) }
        };
        let a = find(&ours, ours.fused(Activation::Relu));
        let b = find(&theirs, theirs.composed(Activation::Relu));
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert!(a.allclose(b, 1e-4, 1e-4, false), "{needed}");
        }
    }
}

#[test]
fn the_output_without_gradients_is_identical() {
    let inputs = Inputs::new([2, 24, 9, 9], 8);
    let (with, without) = (inputs.fused(Activation::Silu), no_grad(|| inputs.fused(Activation::Silu)));
    assert!(with.requires_grad() && !without.requires_grad());
    assert!(with.detach().equal(&without));
}

#[test]
fn unsupported_weights_are_rejected() {
    let Inputs { x, weights: [reduce_weight, reduce_bias, expand_weight, expand_bias] } = Inputs::new([2, 24, 9, 9], 8);
    let valid = SqueezeExcite {
        reduce_weight: &reduce_weight,
        reduce_bias: &reduce_bias,
        activation: Activation::Relu,
        expand_weight: &expand_weight,
        expand_bias: &expand_bias,
    };
    let double = reduce_weight.to_kind(Kind::Double);
    for wrong in [
        SqueezeExcite { reduce_weight: &expand_weight, ..valid },
        SqueezeExcite { expand_weight: &reduce_weight, ..valid },
        SqueezeExcite { reduce_bias: &expand_bias, ..valid },
        SqueezeExcite { expand_bias: &reduce_bias, ..valid },
        SqueezeExcite { reduce_weight: &double, ..valid },
    ] {
        assert!(squeeze_excite(&x, &wrong).is_err());
    }
    assert!(squeeze_excite(&x.contiguous(), &valid).is_err());
}
