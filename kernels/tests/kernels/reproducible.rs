//! Bit-for-bit reproducibility over threads and instruction sets.

#![allow(clippy::unwrap_used)]

use tch::{Kind, Tensor};
use tfnas_kernels::{
    Activation, BatchNorm, InstructionSet, Shortcut, batch_norm, choose_instruction_set, depthwise, instruction_set,
    is_supported,
};

use crate::compare::{feature_map, gradients, leaf, numbers};

/// Computes all kernels for some shapes: several chunks, strips and groups, odd numbers of channels.
fn results() -> Vec<Tensor> {
    [Kind::Float, Kind::BFloat16].into_iter().flat_map(results_of).collect()
}

/// Computes all kernels for feature maps of one dtype.
fn results_of(kind: Kind) -> Vec<Tensor> {
    let mut results = Vec::new();
    for shape in [[4, 113, 28, 28], [8, 1450, 7, 7], [2, 19, 112, 112], [16, 70, 2, 2], [3, 5, 9, 9]] {
        let channels = [shape[1]];
        let (x, shortcut) = (leaf(&feature_map(shape, 1), kind), leaf(&feature_map(shape, 2), kind));
        let weight = numbers(&channels, 3).set_requires_grad(true);
        let bias = numbers(&channels, 4).set_requires_grad(true);
        let (mean, variance) = (numbers(&channels, 5), numbers(&channels, 6).square());
        let keep = numbers(&[shape[0]], 7);
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            let norm = BatchNorm {
                weight: Some(&weight),
                bias: Some(&bias),
                running: Some((&mean, &variance)),
                momentum: 0.1,
                epsilon: 1e-5,
                activation,
                shortcut: Some(Shortcut { value: &shortcut, keep: Some(&keep) }),
            };
            let y = batch_norm(&x, &norm).unwrap();
            results.extend(gradients(&y, &feature_map(shape, 8).detach(), &[&x, &weight, &bias]));
            results.push(y.detach());
        }
        results.extend([mean, variance]);
        for (kernel, stride) in [(3, 1), (5, 1), (3, 2), (5, 2)] {
            let weight = numbers(&[shape[1], 1, kernel, kernel], 9).set_requires_grad(true);
            let y = depthwise(&x, &weight, stride).unwrap();
            let size = y.size();
            let weights = feature_map([size[0], size[1], size[2], size[3]], 10).detach();
            results.extend(gradients(&y, &weights, &[&x, &weight]));
            results.push(y.detach());
        }
    }
    results
}

fn assert_same_bytes(a: &[Tensor], b: &[Tensor], what: &str) {
    assert_eq!(a.len(), b.len());
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(a.equal(b), "result {index} of {:?} differs {what}", a.size());
    }
}

#[test]
fn results_do_not_depend_on_threads_or_instruction_set() {
    let before = tch::get_num_threads();
    tch::set_num_threads(1);
    let alone = results();
    for threads in [2, 3, 7] {
        tch::set_num_threads(threads);
        assert_same_bytes(&alone, &results(), &format!("with {threads} threads"));
        assert_same_bytes(&alone, &results(), "when computed again");
    }
    tch::set_num_threads(before);

    let best = instruction_set();
    for set in [InstructionSet::Avx2, InstructionSet::Avx512] {
        if choose_instruction_set(Some(set)) {
            assert_same_bytes(&alone, &results(), &format!("with {set:?}"));
        }
    }
    assert!(choose_instruction_set(best));
}

#[test]
fn disabled_kernels_support_no_tensor() {
    // In a separate process, because other tests of this one need the kernels.
    if std::env::var_os("TFNAS_KERNELS_TEST_OFF").is_none() {
        let name = "reproducible::disabled_kernels_support_no_tensor";
        let outcome = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("TFNAS_KERNELS_TEST_OFF", "1")
            .status();
        assert!(outcome.unwrap().success());
        return;
    }
    let x = feature_map([2, 3, 4, 4], 1);
    let best = instruction_set();
    assert_eq!(is_supported(&x), best.is_some());
    assert!(choose_instruction_set(None));
    assert!(!is_supported(&x) && instruction_set().is_none());
    assert!(batch_norm(&x, &BatchNorm::default()).is_err_and(|error| error.to_string().contains("instruction set")));
    assert!(best.is_none() || choose_instruction_set(best));
}
