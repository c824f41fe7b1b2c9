//! Kernels on bf16 feature maps compute in f32, so their results are those of f32, rounded.

#![allow(clippy::unwrap_used)]

use tch::{Kind, Tensor};
use tfnas_kernels::{
    Activation, BatchNorm, Shortcut, SqueezeExcite, batch_norm, depthwise, depthwise_for_evaluation, frozen_pointwise,
    is_supported, squeeze_excite,
};

use crate::compare::{feature_map, gradients, leaf, numbers};

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Silu];

/// `[N, C, H, W]`: one channel, one pixel, odd sizes, several chunks, partial vectors of both instruction sets.
const SHAPES: [[i64; 4]; 6] =
    [[2, 1, 3, 3], [4, 3, 1, 1], [2, 24, 9, 10], [5, 113, 7, 7], [2, 19, 112, 112], [3, 1450, 2, 2]];

/// Returns a bf16 leaf and an f32 leaf with the same values.
fn pair(shape: [i64; 4], seed: i64) -> [Tensor; 2] {
    let rounded = feature_map(shape, seed).to_kind(Kind::BFloat16);
    [leaf(&rounded, Kind::BFloat16), leaf(&rounded, Kind::Float)]
}

/// Asserts that the output and the gradients of a function of bf16 feature maps are those of the same function of f32
/// maps, rounded to the dtype of the map; `parameters` are f32.
fn assert_rounded(case: &str, maps: &[[Tensor; 2]], parameters: &[&Tensor], function: impl Fn(&[&Tensor]) -> Tensor) {
    let [ours, exact] = [0, 1].map(|index| {
        let maps: Vec<&Tensor> = maps.iter().map(|map| &map[index]).collect();
        let y = function(&maps);
        let size = y.size();
        let weights = feature_map([size[0], size[1], size[2], size[3]], 9).detach().to_kind(Kind::BFloat16);
        let of: Vec<&Tensor> = maps.iter().chain(parameters).copied().collect();
        let mut results = gradients(&y, &weights, &of);
        results.push(y.detach());
        results
    });
    assert_eq!(ours.last().unwrap().kind(), Kind::BFloat16, "{case}");
    for (index, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
        let is_parameter = (maps.len()..maps.len() + parameters.len()).contains(&index);
        assert_eq!(ours.kind(), if is_parameter { Kind::Float } else { Kind::BFloat16 }, "{case}: result {index}");
        assert!(ours.equal(&exact.to_kind(ours.kind())), "{case}: result {index} of {:?}", ours.size());
        assert!(is_parameter || ours.stride() == exact.stride(), "{case}: result {index}");
    }
}

#[test]
fn batch_norm_gives_the_rounded_results_of_f32() {
    for shape in SHAPES {
        let channels = [shape[1]];
        let weight = leaf(&(numbers(&channels, 2) * 0.3 + 1.0), Kind::Float);
        let bias = leaf(&numbers(&channels, 3), Kind::Float);
        let keep = numbers(&[shape[0], 1, 1, 1], 4);
        for activation in ACTIVATIONS {
            for (has_shortcut, keep) in [(false, None), (true, None), (true, Some(&keep))] {
                let case = format!("{shape:?}, {activation:?}, shortcut {has_shortcut}, keep {}", keep.is_some());
                let maps = if has_shortcut { vec![pair(shape, 1), pair(shape, 5)] } else { vec![pair(shape, 1)] };
                assert_rounded(&case, &maps, &[&weight, &bias], |maps| {
                    let norm = BatchNorm {
                        weight: Some(&weight),
                        bias: Some(&bias),
                        momentum: 0.1,
                        epsilon: 1e-5,
                        activation,
                        shortcut: maps.get(1).map(|value| Shortcut { value, keep }),
                        ..BatchNorm::default()
                    };
                    batch_norm(maps[0], &norm).unwrap()
                });
            }
        }
    }
}

#[test]
fn running_statistics_are_those_of_f32() {
    let shape = [3, 17, 9, 9];
    let [ours, exact] = pair(shape, 1).map(|x| {
        let (mean, variance) = (numbers(&[17], 2), numbers(&[17], 3).square());
        let running = Some((&mean, &variance));
        let norm = BatchNorm { running, momentum: 0.1, epsilon: 1e-5, ..BatchNorm::default() };
        let _ = batch_norm(&x, &norm).unwrap();
        [mean, variance]
    });
    assert!(ours[0].equal(&exact[0]) && ours[1].equal(&exact[1]));
}

#[test]
fn a_shortcut_of_another_dtype_is_converted() {
    let shape = [2, 24, 9, 10];
    let shortcut = feature_map(shape, 2);
    let [x, wide] = pair(shape, 1);
    let add = |x: &Tensor, value: &Tensor| {
        let shortcut = Some(Shortcut { value, keep: None });
        batch_norm(x, &BatchNorm { epsilon: 1e-5, shortcut, ..BatchNorm::default() }).unwrap()
    };
    let rounded = shortcut.to_kind(Kind::BFloat16);
    let y = add(&x, &shortcut);
    assert!(y.kind() == Kind::BFloat16 && y.equal(&add(&x, &rounded)));
    assert_eq!(gradients(&y, &feature_map(shape, 3).detach(), &[&shortcut])[0].kind(), Kind::Float);
    assert!(add(&wide, &rounded).equal(&add(&wide, &rounded.to_kind(Kind::Float))));
}

#[test]
fn depthwise_gives_the_rounded_results_of_f32() {
    for shape in SHAPES {
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            let weight = leaf(&numbers(&[shape[1], 1, kernel, kernel], 2), Kind::Float);
            let case = format!("{shape:?}, kernel {kernel}, stride {stride}");
            assert_rounded(&case, &[pair(shape, 1)], &[&weight], |maps| depthwise(maps[0], &weight, stride).unwrap());
        }
    }
}

#[test]
fn depthwise_for_evaluation_gives_the_rounded_results_of_f32() {
    for shape in SHAPES {
        let (weight, bias) = (numbers(&[shape[1], 1, 5, 5], 2), numbers(&[shape[1]], 3));
        for activation in ACTIVATIONS {
            let [ours, exact] = pair(shape, 1)
                .map(|x| depthwise_for_evaluation(&x.detach(), &weight, Some(&bias), 1, activation).unwrap());
            assert!(ours.equal(&exact.to_kind(Kind::BFloat16)), "{shape:?}, {activation:?}");
        }
    }
}

#[test]
fn squeeze_excite_gives_the_rounded_results_of_f32() {
    for shape in SHAPES {
        let (channels, between) = (shape[1], (shape[1] / 4).max(1));
        let parameters =
            [(vec![between, channels], 2), (vec![between], 3), (vec![channels, between], 4), (vec![channels], 5)]
                .map(|(shape, seed)| leaf(&(numbers(&shape, seed) * 0.2), Kind::Float));
        let [reduce_weight, reduce_bias, expand_weight, expand_bias] = &parameters;
        for activation in ACTIVATIONS {
            let layers = SqueezeExcite { reduce_weight, reduce_bias, activation, expand_weight, expand_bias };
            let case = format!("{shape:?}, {activation:?}");
            assert_rounded(&case, &[pair(shape, 1)], &parameters.each_ref(), |maps| {
                squeeze_excite(maps[0], &layers).unwrap()
            });
        }
    }
}

#[test]
fn a_frozen_pointwise_convolution_is_that_of_libtorch() {
    let [x, _] = pair([2, 17, 9, 10], 1);
    let weight = numbers(&[40, 17, 1, 1], 2);
    let y = frozen_pointwise(&x, &weight).unwrap();
    let theirs = x.conv2d(&weight.to_kind(Kind::BFloat16), None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
    assert!(y.equal(&theirs));
    let weights = feature_map([2, 40, 9, 10], 3).detach();
    let [ours, theirs] = [y, theirs].map(|y| gradients(&y, &weights, &[&x]).remove(0).to_kind(Kind::Float));
    assert_eq!(gradients(&frozen_pointwise(&x, &weight).unwrap(), &weights, &[&x])[0].kind(), Kind::BFloat16);
    assert!(ours.allclose(&theirs, 1e-2, 1e-2, false));
}

#[test]
fn numbers_are_rounded_like_those_of_libtorch() {
    // Ties to both sides, signed zeros, subnormal numbers, overflow to infinity, and NaN with a payload in its lower half.
    let mut bits: Vec<u32> = vec![0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0xbf81_8000, 0, 0x8000_0000];
    bits.extend([1, 0x8000, 0x0001_8000, 0x007f_ffff, 0x7f7f_ffff, 0xff7f_8000, 0x7f80_0000, 0xff80_0000, 0x7f80_0001]);
    bits.extend((0..200u32).map(|index| index.wrapping_mul(0x9e37_79b9)));
    let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
    let channels = values.len() as i64;
    // The bias alone: the convolution adds products of zeros.
    let x = feature_map([1, channels, 3, 3], 1).detach().to_kind(Kind::BFloat16).zero_();
    let bias = Tensor::from_slice(&values);
    let y = depthwise_for_evaluation(
        &x,
        &Tensor::zeros([channels, 1, 3, 3], (Kind::Float, x.device())),
        Some(&bias),
        1,
        Activation::None,
    );
    let (y, expected) = (y.unwrap().select(3, 0).select(2, 0).select(0, 0), bias.to_kind(Kind::BFloat16));
    let is_nan = expected.isnan();
    assert!(y.isnan().equal(&is_nan));
    assert!(y.masked_fill(&is_nan, 0.0).equal(&expected.masked_fill(&is_nan, 0.0)));
}

#[test]
fn bf16_feature_maps_are_supported_in_channels_last_order_only() {
    let x = feature_map([2, 4, 3, 3], 1).detach().to_kind(Kind::BFloat16);
    assert!(is_supported(&x));
    for other in [&x.contiguous(), &x.narrow(1, 0, 3), &x.select(0, 0)] {
        assert!(!is_supported(other) && batch_norm(other, &BatchNorm::default()).is_err());
    }
    let weight = numbers(&[4, 1, 3, 3], 2).to_kind(Kind::BFloat16);
    assert!(depthwise(&x, &weight, 1).is_err(), "weights stay f32");
}
