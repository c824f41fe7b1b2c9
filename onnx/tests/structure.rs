//! The structure of an ONNX file, and rejection of mismatching weights.
#![allow(clippy::unwrap_used)]

mod interpreter;

use std::collections::{BTreeMap, BTreeSet};

use interpreter::{Tensor, run};
use tfnas::state_shapes::state_shapes;
use tfnas::{Architecture, ModelConfig, Space};
use tfnas_onnx::message::{DataType, Graph, Model, Size, ValueInfo};
use tfnas_onnx::{IR_VERSION, Normalization, OPSET, Origin, State, to_onnx};
use tfnas_random::{Stream, StreamId};
use tfnas_testutils::golden::formula::Scheme;
use tfnas_testutils::weights::Weights;

const CLASSES: usize = 7;

fn config() -> ModelConfig {
    let space = Space::small();
    let architecture = Architecture::random(&space, &mut Stream::new(1, StreamId::RandomArchitecture, 0, 0));
    ModelConfig::from_architecture(&space, &architecture, CLASSES).unwrap()
}

fn weights(config: &ModelConfig) -> Weights {
    Weights::of(config, &Scheme::Hash { salt: String::new() })
}

fn bytes(normalization: Normalization) -> Vec<u8> {
    let config = config();
    let state = State::of(&config, &weights(&config).state_dict()).unwrap();
    let origin = Origin { producer: "us", version: "1.2.3", properties: &[("weights", "abc".to_owned())] };
    to_onnx(&config, &state, 32, normalization, origin).unwrap()
}

fn model(normalization: Normalization) -> Model {
    Model::parse(&bytes(normalization)).unwrap()
}

fn sizes(value: &ValueInfo) -> Vec<String> {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(tensor.elem_type, DataType::Float as i32);
    let sizes = tensor.shape.as_ref().unwrap().dim.iter().map(|dimension| match dimension.value.as_ref().unwrap() {
        Size::Fixed(size) => size.to_string(),
        Size::Named(name) => name.clone(),
    });
    sizes.collect()
}

fn operators(graph: &Graph, operator: &str) -> usize {
    graph.node.iter().filter(|node| node.op_type == operator).count()
}

#[test]
fn a_file_has_metadata_and_a_dynamic_batch_size() {
    let model = model(Normalization::Kept);
    assert_eq!((model.ir_version, model.opset_import[0].version), (IR_VERSION, OPSET));
    assert_eq!((model.producer_name.as_str(), model.producer_version.as_str()), ("us", "1.2.3"));
    assert_eq!((model.metadata_props[0].key.as_str(), model.metadata_props[0].value.as_str()), ("weights", "abc"));
    let graph = model.graph.unwrap();
    assert_eq!((graph.input[0].name.as_str(), sizes(&graph.input[0]).join(" ")), ("images", "N 3 32 32".to_owned()));
    assert_eq!((graph.output[0].name.as_str(), sizes(&graph.output[0]).join(" ")), ("logits", "N 7".to_owned()));
}

#[test]
fn weights_have_the_names_and_shapes_of_the_state_dict() {
    let expected = state_shapes(&config()).into_iter().filter(|tensor| !tensor.name.ends_with("num_batches_tracked"));
    let expected: BTreeMap<String, Vec<usize>> = expected.map(|tensor| (tensor.name, tensor.shape)).collect();
    let graph = model(Normalization::Kept).graph.unwrap();
    assert_eq!(graph.initializer.len(), expected.len());
    for tensor in &graph.initializer {
        let shape: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
        assert_eq!(shape, expected[&tensor.name], "{}", tensor.name);
        assert_eq!(tensor.raw_data.len(), 4 * shape.iter().product::<usize>(), "{}", tensor.name);
    }
}

#[test]
fn nodes_are_sorted_and_names_are_unique() {
    for normalization in [Normalization::Kept, Normalization::Folded] {
        let graph = model(normalization).graph.unwrap();
        let mut known: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(known.len(), graph.initializer.len());
        known.insert(&graph.input[0].name);
        let mut names = BTreeSet::new();
        for node in &graph.node {
            assert!(node.input.iter().all(|input| known.contains(input.as_str())), "{}", node.name);
            assert!(node.output.iter().all(|output| known.insert(output)) && names.insert(&node.name), "{}", node.name);
        }
        assert!(known.contains(graph.output[0].name.as_str()));
    }
}

#[test]
fn folding_removes_batch_norms_and_keeps_the_logits() {
    let (kept, folded) = (model(Normalization::Kept), model(Normalization::Folded));
    let count = |model: &Model, operator| operators(model.graph.as_ref().unwrap(), operator);
    assert!(count(&kept, "BatchNormalization") > 0);
    assert_eq!(count(&folded, "BatchNormalization"), 0);
    assert_eq!(count(&folded, "Conv"), count(&kept, "Conv"));
    let shape = vec![3, 3, 32, 32];
    let values = Scheme::Hash { salt: "images".to_owned() }.input(shape.iter().product());
    let images = Tensor { shape, values };
    let (kept, folded) = (run(&kept, images.clone()), run(&folded, images));
    assert_eq!(kept.shape, [3, CLASSES]);
    let scale = kept.values.iter().fold(0f32, |scale, value| scale.max(value.abs()));
    for (kept, folded) in kept.values.iter().zip(&folded.values) {
        assert!((kept - folded).abs() <= 1e-6 * scale, "{kept} {folded} of {scale}");
    }
}

#[test]
fn a_batch_norm_that_cannot_be_folded_is_named() {
    let config = config();
    let mut weights = weights(&config);
    let channels = config.first_stem.out_channels;
    weights.set("first_stem.bn.running_var", &[channels], &vec![-1.0; channels]);
    let state = State::of(&config, &weights.state_dict()).unwrap();
    let origin = Origin { producer: "test", version: "0", properties: &[] };
    assert!(to_onnx(&config, &state, 32, Normalization::Kept, origin).is_ok());
    let error = to_onnx(&config, &state, 32, Normalization::Folded, origin).unwrap_err().to_string();
    assert!(error.contains("first_stem.bn.running_var"), "{error}");
}

#[test]
fn the_same_network_gives_the_same_bytes() {
    assert_eq!(bytes(Normalization::Folded), bytes(Normalization::Folded));
}

#[test]
fn all_mismatches_are_reported_at_once() {
    let config = config();
    let mut weights = weights(&config);
    weights.remove("first_stem.conv.weight");
    weights.set("first_stem.bn.bias", &[2], &[0.0; 2]);
    weights.set("first_stem.bn.num_batches_tracked", &[], &[0.0]);
    weights.set("classifier.linear.bias", &[CLASSES], &[f32::NAN; CLASSES]);
    weights.set("head.weight", &[1], &[0.0]);
    let mismatches = State::of(&config, &weights.state_dict()).unwrap_err();
    let text = mismatches.to_string();
    for part in [
        "missing: first_stem.conv.weight",
        "first_stem.bn.bias: shape [2], expected [",
        "num_batches_tracked: dtype float32, expected int64",
        "classifier.linear.bias: 7 values are NaN",
        "unexpected: head.weight",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(mismatches.0.len(), 5);
}
