//! Helpers for golden tests: filling a network by formula, and comparing results with those of the authors' code.
#![allow(dead_code, clippy::unwrap_used)]

use serde_json::Value;
use tch::{Device, Kind, Tensor, no_grad};
use tfnas_torch::Module;

use tfnas_testutils::golden::cases::{f32s, f64s};
use tfnas_testutils::golden::formula::Scheme;

pub use crate::device::device;

/// Sets every tensor of a network whose name passes `wanted` to the formula's values for its name and shape.
pub fn fill(module: &impl Module, scheme: &Scheme, wanted: impl Fn(&str) -> bool) {
    no_grad(|| {
        for (name, tensor) in module.state().iter().filter(|(name, _)| wanted(name)) {
            let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
            let values = Tensor::from_slice(&scheme.tensor(name, &shape));
            tensor.shallow_clone().copy_(&values.view(tensor.size().as_slice()));
        }
    });
}

/// Returns the input of a case, channels-last, from its shape `[N, C, H, W]`.
pub fn input(scheme: &Scheme, shape: &Value) -> Tensor {
    let shape: Vec<i64> = shape.as_array().unwrap().iter().map(|size| size.as_i64().unwrap()).collect();
    let values = scheme.input(shape.iter().product::<i64>() as usize);
    let rows = Tensor::from_slice(&values).view(shape.as_slice());
    rows.to_device(device()).permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Returns the labels of a case.
pub fn labels(value: &Value) -> Tensor {
    let labels: Vec<i64> = value.as_array().unwrap().iter().map(|label| label.as_i64().unwrap()).collect();
    Tensor::from_slice(&labels).to_device(device())
}

/// Flattens a JSON array of numbers, possibly nested, to f64.
pub fn flat(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(rows) if rows.first().is_some_and(Value::is_array) => rows.iter().flat_map(f64s).collect(),
        Some(_) => f64s(value),
        None => vec![value.as_f64().unwrap()],
    }
}

/// The values of a tensor, f64.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_kind(Kind::Double).to_device(Device::Cpu).reshape([-1]);
    let mut values = vec![0f64; flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    values
}

/// Environment variable that multiplies all tolerances, to see how large the actual differences are.
const TOLERANCE_FACTOR: &str = "TFNAS_TEST_TOLERANCE_FACTOR";

/// Panics if `found` deviates from `expected` by more than `tolerance`; returns the largest difference.
#[track_caller]
pub fn check(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> f64 {
    assert_eq!(found.len(), expected.len(), "{what}: different number of values");
    let differences = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    let largest = differences.fold(0.0, |largest: f64, difference| {
        assert!(!difference.is_nan(), "{what}: not a number");
        largest.max(difference)
    });
    let factor = std::env::var(TOLERANCE_FACTOR).map_or(1.0, |factor| factor.parse::<f64>().unwrap());
    let tolerance = factor * tolerance;
    assert!(largest <= tolerance, "{what}: off by {largest:e}, allowed {tolerance:e}");
    largest
}

/// [`check`] for one number, relative to the expected one.
#[track_caller]
pub fn check_relative(what: &str, found: f64, expected: f64, tolerance: f64) -> f64 {
    check(what, &[found / expected], &[1.0], tolerance)
}

/// Sum and L2 norm of a tensor, in f64.
pub fn sum_and_l2(tensor: &Tensor) -> [f64; 2] {
    let values = values(tensor);
    [values.iter().sum(), values.iter().map(|value| value * value).sum::<f64>().sqrt()]
}

/// Converts a JSON vector to an f32 tensor.
pub fn tensor(value: &Value) -> Tensor {
    Tensor::from_slice(&f32s(value))
}
