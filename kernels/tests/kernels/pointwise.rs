//! 1x1 convolutions with a frozen weight compared with libtorch.

#![allow(clippy::unwrap_used)]

use tch::{Kind, Tensor, no_grad};
use tfnas_kernels::frozen_pointwise;

use crate::compare::{assert_close, feature_map, gradients, leaf, numbers};

#[test]
fn output_and_gradient_match_conv2d() {
    for (shape, outputs) in [([2, 1, 3, 3], 1), ([3, 5, 1, 1], 7), ([2, 17, 9, 10], 40), ([4, 240, 14, 14], 33)] {
        let case = format!("{shape:?} to {outputs}");
        let (x, weight) = (feature_map(shape, 1), numbers(&[outputs, shape[1], 1, 1], 2));
        let [a, b, c] = [Kind::Float, Kind::Float, Kind::Double].map(|kind| leaf(&x, kind));
        let y = frozen_pointwise(&a, &weight).unwrap();
        let convolved = |x: &Tensor| x.conv2d(&weight.to_kind(x.kind()), None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
        let (theirs, exact) = (convolved(&b), convolved(&c));
        assert!(y.equal(&theirs), "output of {case}");
        let weights = feature_map([shape[0], outputs, shape[2], shape[3]], 3).detach();
        let [ours, theirs, exact] =
            [(&y, &a), (&theirs, &b), (&exact, &c)].map(|(y, x)| gradients(y, &weights, &[x]).remove(0));
        assert_close(&format!("gradient of {case}"), &ours, &theirs, &exact);
    }
}

#[test]
fn a_trainable_weight_and_other_shapes_are_rejected() {
    let x = feature_map([2, 9, 6, 6], 1);
    assert!(frozen_pointwise(&x, &numbers(&[4, 9, 1, 1], 2).set_requires_grad(true)).is_err());
    for shape in [[4, 9, 3, 3], [4, 8, 1, 1]] {
        assert!(frozen_pointwise(&x, &numbers(&shape, 2)).is_err(), "{shape:?}");
    }
    assert!(!no_grad(|| frozen_pointwise(&x, &numbers(&[4, 9, 1, 1], 2))).unwrap().requires_grad());
}
