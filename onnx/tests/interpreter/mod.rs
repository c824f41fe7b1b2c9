//! A simple interpreter for the graph of an ONNX file, written from the operator specifications.
//!
//! It supports only the operators that this project writes.

use std::collections::HashMap;

use tfnas_onnx::message::{Graph, Model, Node};

/// f32 values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The sizes.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Vec<f32>,
}

/// Returns the file's only output for its only input.
pub fn run(model: &Model, input: Tensor) -> Tensor {
    let graph: &Graph = model.graph.as_ref().unwrap();
    let mut values: HashMap<&str, Tensor> = HashMap::new();
    for tensor in &graph.initializer {
        let shape = tensor.dims.iter().map(|&size| size as usize).collect();
        let elements = tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        values.insert(&tensor.name, Tensor { shape, values: elements });
    }
    values.insert(&graph.input[0].name, input);
    for node in &graph.node {
        let inputs: Vec<&Tensor> = node.input.iter().map(|name| &values[name.as_str()]).collect();
        let output = evaluate(node, &inputs);
        values.insert(&node.output[0], output);
    }
    values.remove(graph.output[0].name.as_str()).unwrap()
}

fn evaluate(node: &Node, inputs: &[&Tensor]) -> Tensor {
    match (node.op_type.as_str(), inputs) {
        ("Conv", [x, weight]) => conv(node, x, weight, None),
        ("Conv", [x, weight, bias]) => conv(node, x, weight, Some(bias)),
        ("BatchNormalization", [x, scale, bias, mean, variance]) => {
            let epsilon = node.attribute.iter().find(|attribute| attribute.name == "epsilon").unwrap().f;
            by_channel(x, |channel, value| {
                let deviation = (variance.values[channel] + epsilon).sqrt();
                (value - mean.values[channel]) / deviation * scale.values[channel] + bias.values[channel]
            })
        }
        ("Relu", [x]) => by_channel(x, |_, value| value.max(0.0)),
        ("Sigmoid", [x]) => by_channel(x, |_, value| 1.0 / (1.0 + (-value).exp())),
        ("Add", [a, b]) => broadcast(a, b, |a, b| a + b),
        ("Mul", [a, b]) => broadcast(a, b, |a, b| a * b),
        ("GlobalAveragePool", [x]) => {
            let pixels = x.shape[2] * x.shape[3];
            let mean = |map: &[f32]| (map.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels as f64) as f32;
            let values = x.values.chunks_exact(pixels).map(mean).collect();
            Tensor { shape: vec![x.shape[0], x.shape[1], 1, 1], values }
        }
        ("Flatten", [x]) => {
            assert_eq!(integer(node, "axis"), 1);
            Tensor { shape: vec![x.shape[0], x.shape[1..].iter().product()], values: x.values.clone() }
        }
        ("Gemm", [x, weight, bias]) => {
            assert_eq!(integer(node, "transB"), 1);
            let features = x.shape[1];
            let rows = x.values.chunks_exact(features);
            let values = rows.flat_map(|row| {
                weight
                    .values
                    .chunks_exact(features)
                    .zip(&bias.values)
                    .map(move |(weight, bias)| dot(row, weight) + bias)
            });
            Tensor { shape: vec![x.shape[0], weight.shape[0]], values: values.collect() }
        }
        (operator, inputs) => panic!("{operator} of {} inputs", inputs.len()),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}

fn integer(node: &Node, name: &str) -> usize {
    node.attribute.iter().find(|attribute| attribute.name == name).unwrap().i as usize
}

fn integers(node: &Node, name: &str) -> Vec<usize> {
    let attribute = node.attribute.iter().find(|attribute| attribute.name == name).unwrap();
    attribute.ints.iter().map(|&value| value as usize).collect()
}

fn by_channel(x: &Tensor, change: impl Fn(usize, f32) -> f32) -> Tensor {
    let (channels, pixels) = (x.shape[1], x.shape[2..].iter().product::<usize>());
    let values = x.values.iter().enumerate();
    let values = values.map(|(index, &value)| change(index / pixels % channels, value)).collect();
    Tensor { shape: x.shape.clone(), values }
}

/// Combines two tensors of equal shape, or a tensor with one value per channel.
fn broadcast(a: &Tensor, b: &Tensor, combine: impl Fn(f32, f32) -> f32) -> Tensor {
    let times = a.values.len() / b.values.len();
    assert!(a.shape == b.shape || (a.shape[..2] == b.shape[..2] && b.shape[2..] == [1, 1]));
    let values = a.values.iter().enumerate().map(|(index, &value)| combine(value, b.values[index / times]));
    Tensor { shape: a.shape.clone(), values: values.collect() }
}

fn conv(node: &Node, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (stride, pad, groups) = (integers(node, "strides")[0], integers(node, "pads")[0], integer(node, "group"));
    let [samples, channels, height, width] = x.shape[..] else { panic!("{:?}", x.shape) };
    let [out, within, kernel, _] = weight.shape[..] else { panic!("{:?}", weight.shape) };
    assert_eq!((within * groups, integers(node, "kernel_shape")), (channels, vec![kernel, kernel]));
    let size = |size: usize| (size + 2 * pad - kernel) / stride + 1;
    let (rows, columns) = (size(height), size(width));
    let mut values = Vec::with_capacity(samples * out * rows * columns);
    for sample in 0..samples {
        for channel in 0..out {
            let first = channel / (out / groups) * within;
            let mut sums = vec![bias.map_or(0.0, |bias| f64::from(bias.values[channel])); rows * columns];
            for source in 0..within {
                let map = &x.values[(sample * channels + first + source) * height * width..][..height * width];
                let taps = &weight.values[(channel * within + source) * kernel * kernel..][..kernel * kernel];
                for (tap, &factor) in taps.iter().enumerate() {
                    add_tap(&mut sums, columns, map, width, [tap / kernel, tap % kernel], stride, pad, factor);
                }
            }
            values.extend(sums.into_iter().map(|sum| sum as f32));
        }
    }
    Tensor { shape: vec![samples, out, rows, columns], values }
}

/// Adds the contribution of one weight to all pixels.
#[expect(clippy::too_many_arguments)]
fn add_tap(
    sums: &mut [f64],
    columns: usize,
    map: &[f32],
    width: usize,
    [down, right]: [usize; 2],
    stride: usize,
    pad: usize,
    factor: f32,
) {
    let height = map.len() / width;
    for (row, sums) in sums.chunks_exact_mut(columns).enumerate() {
        let Some(y) = (row * stride + down).checked_sub(pad).filter(|&y| y < height) else { continue };
        for (column, sum) in sums.iter_mut().enumerate() {
            if let Some(x) = (column * stride + right).checked_sub(pad).filter(|&x| x < width) {
                *sum += f64::from(factor) * f64::from(map[y * width + x]);
            }
        }
    }
}
