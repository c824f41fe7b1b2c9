//! Depthwise convolutions compared with libtorch.

#![allow(clippy::unwrap_used)]

use tch::{Kind, Tensor, no_grad};
use tfnas_kernels::{Activation, depthwise, depthwise_for_evaluation};

use crate::compare::{assert_close, feature_map, gradients, leaf, numbers};

/// `[N, C, H, W]`: maps smaller than the kernel, odd and even sizes, several strips, several tiles.
const SHAPES: [[i64; 4]; 14] = [
    [2, 1, 3, 3],
    [3, 5, 1, 1],
    [2, 17, 2, 2],
    [2, 16, 1, 6],
    [2, 16, 6, 1],
    [1, 8, 5, 7],
    [3, 33, 4, 4],
    [2, 24, 9, 10],
    [2, 24, 10, 9],
    [16, 113, 7, 7],
    [5, 40, 14, 14],
    [1, 3, 130, 131],
    [2, 19, 112, 112],
    [4, 1450, 1, 1],
];

fn convolved(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: i64) -> Tensor {
    let padding = weight.size()[2] / 2;
    x.conv2d(weight, bias, [stride; 2], [padding; 2], [1, 1], weight.size()[0])
}

#[test]
fn outputs_and_gradients_match_conv2d() {
    for shape in SHAPES {
        for kernel in [3, 5] {
            for stride in [1, 2] {
                let case = format!("{shape:?}, kernel {kernel}, stride {stride}");
                let (x, weight) = (feature_map(shape, 1), numbers(&[shape[1], 1, kernel, kernel], 2));
                let [a, b, c] =
                    [Kind::Float, Kind::Float, Kind::Double].map(|kind| (leaf(&x, kind), leaf(&weight, kind)));
                let y = depthwise(&a.0, &a.1, stride).unwrap();
                let (theirs, exact) = (convolved(&b.0, &b.1, None, stride), convolved(&c.0, &c.1, None, stride));
                assert_close(&format!("output of {case}"), &y, &theirs, &exact);
                let size = y.size();
                let weights = feature_map([size[0], size[1], size[2], size[3]], 3).detach();
                let ours = gradients(&y, &weights, &[&a.0, &a.1]);
                let theirs = gradients(&theirs, &weights, &[&b.0, &b.1]);
                let exact = gradients(&exact, &weights, &[&c.0, &c.1]);
                assert_close(&format!("gradient of x of {case}"), &ours[0], &theirs[0], &exact[0]);
                assert_close(&format!("gradient of the weight of {case}"), &ours[1], &theirs[1], &exact[1]);
            }
        }
    }
}

#[test]
fn only_required_gradients_are_computed() {
    let (x, weight) = (feature_map([2, 9, 6, 6], 1), numbers(&[9, 1, 5, 5], 2));
    for (needs_x, needs_weight) in [(true, false), (false, true), (false, false)] {
        let (x, weight) = (leaf(&x, Kind::Float), leaf(&weight, Kind::Float));
        let (x, weight) = (x.set_requires_grad(needs_x), weight.set_requires_grad(needs_weight));
        let y = depthwise(&x, &weight, 1).unwrap();
        assert_eq!(y.requires_grad(), needs_x || needs_weight);
        let needed = if needs_x { &x } else { &weight };
        if needs_x || needs_weight {
            let (ours, theirs) = (y.square().sum(None), convolved(&x, &weight, None, 1).square().sum(None));
            let of = |loss| Tensor::run_backward(&[loss], &[needed], false, false).remove(0);
            assert!(of(ours).allclose(&of(theirs), 1e-4, 1e-4, false));
        }
    }
}

#[test]
fn evaluation_adds_a_bias_and_applies_the_activation() {
    for shape in SHAPES {
        let x = feature_map(shape, 1).detach();
        let (weight, bias) = (numbers(&[shape[1], 1, 3, 3], 2), numbers(&[shape[1]], 3));
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            let y = depthwise_for_evaluation(&x, &weight, Some(&bias), 2, activation).unwrap();
            let compose = |kind| {
                let y = convolved(&x.to_kind(kind), &weight.to_kind(kind), Some(&bias.to_kind(kind)), 2);
                match activation {
                    Activation::None => y,
                    Activation::Relu => y.relu(),
                    Activation::Silu => y.silu(),
                }
            };
            let case = format!("{shape:?}, {activation:?}");
            assert_close(&case, &y, &compose(Kind::Float), &compose(Kind::Double));
        }
    }
}

#[test]
fn bias_and_activation_are_rejected_with_gradients() {
    let (x, weight) = (feature_map([2, 9, 6, 6], 1), numbers(&[9, 1, 5, 5], 2));
    let call = || depthwise_for_evaluation(&x, &weight, None, 1, Activation::Silu);
    assert!(call().is_err());
    assert!(no_grad(call).is_ok());
}

#[test]
fn unsupported_weights_and_strides_are_rejected() {
    let x = feature_map([2, 9, 6, 6], 1).detach();
    let weight = numbers(&[9, 1, 3, 3], 2);
    for other in [
        numbers(&[9, 1, 4, 4], 2),
        numbers(&[9, 1, 7, 7], 2),
        numbers(&[9, 1, 3, 5], 2),
        numbers(&[8, 1, 3, 3], 2),
        numbers(&[9, 9, 3, 3], 2),
        numbers(&[9], 2),
    ] {
        assert!(depthwise(&x, &other, 1).is_err(), "{:?}", other.size());
    }
    assert!(depthwise(&x, &weight.to_kind(Kind::Double), 1).is_err());
    assert!(depthwise(&x, &weight, 3).is_err() && depthwise(&x, &weight, 0).is_err());
    assert!(depthwise(&x.contiguous(), &weight, 1).is_err());
}
