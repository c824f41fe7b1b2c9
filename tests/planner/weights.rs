//! User-provided weights and networks, inspected without a pipeline and used as inputs of one.

use std::fs;

use serde_json::{Value, json};
use tfnas::state_shapes::{TensorShape, state_shapes};
use tfnas::{Architecture, ModelConfig, Space};
use tfnas_pytorch_files::checkpoint::{Dtype, PlainTensor, WeightsFile, to_safetensors, write_pth};
use tfnas_random::{Stream, StreamId};

use crate::project::{Project, step};

/// Returns a network of a space.
fn config(space: &Space) -> ModelConfig {
    let architecture = Architecture::random(space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
    ModelConfig::from_architecture(space, &architecture, 2).unwrap()
}

/// Returns a `.pth.tar` with the tensors of a network, all 0, modified by `change`.
pub fn weights(config: &ModelConfig, change: impl Fn(&mut Vec<(String, PlainTensor<'_>)>)) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let tensor = |dtype: Dtype, shape: Vec<usize>| {
        let length = shape.iter().product::<usize>() * dtype.size();
        PlainTensor::contiguous(dtype, shape, &zeros[..length]).unwrap()
    };
    let shapes = state_shapes(config).into_iter();
    let mut tensors =
        shapes.map(|shape| (format!("module.{}", shape.name), tensor(shape.dtype, shape.shape))).collect();
    change(&mut tensors);
    write_pth(Vec::new(), &tensors).unwrap()
}

fn project() -> Project {
    let project = Project::new();
    let config = config(&Space::small());
    project.write("model.config", &config.to_text());
    fs::write(project.path("w.pth.tar"), weights(&config, |_| {})).unwrap();
    project
}

const TEST: [&str; 6] = ["run", "test", "--from", "model.config", "--weights", "w.pth.tar"];

#[test]
fn weights_are_shown_and_converted_in_both_directions() {
    let project = project();
    let shown = project.json(&["weights", "show", "w.pth.tar"]);
    assert_eq!((&shown["format"], &shown["module_prefix"]), (&json!("pth.tar (zip archive)"), &json!(true)));
    assert_eq!(shown["tensors"][0]["name"], "first_stem.bn.weight");
    project.run_ok(&["weights", "convert", "w.pth.tar", "w.safetensors"]);
    project.run_ok(&["weights", "convert", "w.safetensors", "back.pth.tar", "--data-parallel"]);
    let sorted = |shown: &Value| {
        let mut tensors = shown["tensors"].as_array().unwrap().clone();
        tensors.sort_by_key(|tensor| tensor["name"].as_str().map(str::to_owned));
        tensors
    };
    for file in ["w.safetensors", "back.pth.tar"] {
        assert_eq!(sorted(&project.json(&["weights", "show", file])), sorted(&shown), "{file}");
    }
    let text = project.run_ok(&["weights", "show", "back.pth.tar"]).out;
    assert!(text.contains("classifier.linear.bias") && text.contains("float32"), "{text}");
    for (input, output, expected) in [
        ("w.pth.tar", "w.bin", "not that of a supported format"),
        ("model.config", "w.pth", "neither a safetensors file nor a checkpoint"),
        ("none", "w.pth", "none"),
    ] {
        let ended = project.run(&["weights", "convert", input, output]);
        assert!(ended.code == Some(2) && ended.err.contains(expected), "{}", ended.err);
    }
}

#[test]
fn a_weights_file_is_an_input_without_training() {
    let project = project();
    project.run_ok(&TEST);
    assert_eq!(project.trace(), ["split", "test"]);
    let digest = project.json(&["weights", "show", "w.pth.tar"])["digest"].clone();
    project.run_ok(&TEST);
    assert_eq!(project.trace(), Vec::<String>::new());

    let config = config(&Space::small());
    let other = weights(&config, |tensors| tensors.reverse());
    fs::write(project.path("w.pth.tar"), other).unwrap();
    let sets = ["--set", "train.from=model.config", "--set", "test.weights=w.pth.tar"];
    let plan = project.json(&[&["plan", "test"], &sets[..]].concat());
    let because = &step(&plan, "test")["because"][0];
    assert_eq!((&because["field"], &because["old"]), (&json!("input weights"), &digest));
    assert!(because["at"].as_str().unwrap().starts_with("test.weights"), "{because}");
    project.run_ok(&TEST);
    assert_eq!(project.trace(), ["test"]);
}

#[test]
fn all_weight_mismatches_are_reported_before_a_run() {
    let project = project();
    let wrong = weights(&config(&Space::small()), |tensors| {
        tensors.retain(|(name, _)| name != "module.classifier.linear.weight");
        for (name, tensor) in tensors.iter_mut() {
            match name.as_str() {
                "module.classifier.linear.bias" => {
                    *tensor = PlainTensor::contiguous(Dtype::F32, vec![2], &[0, 0, 0xc0, 0x7f, 0, 0, 0, 0]).unwrap();
                }
                "module.first_stem.bn.weight" => {
                    *tensor = PlainTensor::contiguous(Dtype::F32, vec![1], &[0; 4]).unwrap();
                }
                "module.first_stem.bn.num_batches_tracked" => {
                    *tensor = PlainTensor::contiguous(Dtype::F32, vec![], &[0, 0, 0, 0x3f]).unwrap();
                }
                _ => {}
            }
        }
        tensors.push(("module.extra".to_owned(), PlainTensor::contiguous(Dtype::U8, vec![1], &[0]).unwrap()));
    });
    fs::write(project.path("w.pth.tar"), wrong).unwrap();
    let ended = project.run(&TEST);
    assert_eq!(ended.code, Some(2));
    for expected in [
        "missing: classifier.linear.weight",
        "unexpected: extra",
        "first_stem.bn.weight: shape [1], expected [12]",
        "first_stem.bn.num_batches_tracked: dtype float32, expected int64",
        "classifier.linear.bias: 1 values are NaN or infinite",
    ] {
        assert!(ended.err.contains(expected), "{expected}: {}", ended.err);
    }
    assert_eq!(project.trace(), Vec::<String>::new());
}

/// Returns the tensors of a network as safetensors, with all-zero floats of another dtype.
fn floats_as(config: &ModelConfig, dtype: Dtype) -> Vec<u8> {
    let zeros = vec![0; 2 << 20];
    let tensor = |shape: TensorShape| {
        let dtype = if shape.dtype == Dtype::F32 { dtype } else { Dtype::I32 };
        let length = shape.shape.iter().product::<usize>() * dtype.size();
        (shape.name, PlainTensor::contiguous(dtype, shape.shape, &zeros[..length]).unwrap())
    };
    to_safetensors(&state_shapes(config).into_iter().map(tensor).collect::<Vec<_>>()).unwrap()
}

#[test]
fn weights_of_another_float_dtype_are_converted() {
    let project = project();
    let config = config(&Space::small());
    for (dtype, name) in [(Dtype::F16, "float16"), (Dtype::Bf16, "bfloat16"), (Dtype::F64, "float64")] {
        fs::write(project.path("w.safetensors"), floats_as(&config, dtype)).unwrap();
        let audit = ["audit", "w.safetensors", "--config", "model.config"];
        let audited = project.run_ok(&audit).out;
        assert!(audited.contains(&format!("from {name} to float32")), "{audited}");
        assert!(audited.contains("from int32 to int64"), "{audited}");
        project.run_ok(&["run", "test", "--from", "model.config", "--weights", "w.safetensors"]);
        assert_eq!(project.trace().last().unwrap(), "test");
        project.run_ok(&["weights", "convert", "w.safetensors", "same.pth.tar"]);
        let shown = project.json(&["weights", "show", "same.pth.tar"]);
        assert_eq!(shown["tensors"][0]["dtype"], name);
    }
}

#[test]
fn weights_key_selects_weights_and_is_in_the_cache_key_if_set() {
    let project = project();
    let config = config(&Space::small());
    let bytes = fs::read(project.path("w.pth.tar")).unwrap();
    let state = WeightsFile::read(&bytes).unwrap().state_dict;
    let under =
        |key: &str| state.tensors.iter().map(|(name, tensor)| (format!("{key}.{name}"), tensor.clone())).collect();
    let both: Vec<_> = [under("net_a"), under("net_b")].into_iter().flat_map(|tensors: Vec<_>| tensors).collect();
    fs::write(project.path("both.safetensors"), to_safetensors(&both).unwrap()).unwrap();
    let test = ["run", "test", "--from", "model.config", "--weights", "both.safetensors"];
    let ended = project.run(&test);
    assert!(ended.code == Some(2) && ended.err.contains("unexpected: net_a."), "{}", ended.err);
    project.run_ok(&[&test[..], &["--weights-key", "net_b"]].concat());
    let shown = project.json(&["weights", "show", "both.safetensors", "--key", "net_a"]);
    assert_eq!(shown["tensors"].as_array().unwrap().len(), state_shapes(&config).len());
    let ended = project.run(&["weights", "show", "both.safetensors", "--key", "net_c"]);
    assert!(ended.code == Some(2) && ended.err.contains("net_c"), "{}", ended.err);
    let ended = project.run(&["plan", "test", "--set", "test.weights_key=model"]);
    assert!(ended.code == Some(2) && ended.err.contains("test.weights_key"), "{}", ended.err);
    let ended = project.run(&["plan", "test", "--set", "search.from_key=model"]);
    assert!(ended.code == Some(2) && ended.err.contains("search.from_key"), "{}", ended.err);
    project.run_ok(&TEST);
    let plan = project.json(&["plan", "test", "--set", "train.from=model.config", "--set", "test.weights=w.pth.tar"]);
    assert!(step(&plan, "test")["because"].as_array().is_none_or(Vec::is_empty), "{plan}");
    let sets =
        ["--set", "train.from=model.config", "--set", "test.weights=w.pth.tar", "--set", "test.weights_key=state_dict"];
    let plan = project.json(&[&["plan", "test"], &sets[..]].concat());
    assert!(step(&plan, "test")["because"][0]["field"].as_str().unwrap().contains("weights_key"), "{plan}");
}

#[test]
fn a_network_of_another_space_is_rejected_before_a_run() {
    let project = project();
    project.write("model.config", &config(&Space::cifar()).to_text());
    let ended = project.run(&["run", "train", "--from", "model.config"]);
    assert!(ended.code == Some(2) && ended.err.contains("of another space"), "{}", ended.err);
    project.write("model.config", "{}");
    let ended = project.run(&["run", "train", "--from", "model.config"]);
    assert!(ended.code == Some(2) && ended.err.contains("train.from"), "{}", ended.err);
    assert_eq!(project.trace(), Vec::<String>::new());
}

#[test]
fn search_from_is_an_input_of_the_search() {
    let project = Project::new();
    project.write("search.safetensors", "a search");
    let sets = ["--set", "search.from=search.safetensors"];
    project.run_ok(&[&["run", "search"], &sets[..]].concat());
    project.write("search.safetensors", "another");
    let plan = project.json(&[&["plan", "search"], &sets[..]].concat());
    assert_eq!(step(&plan, "search")["because"][0]["field"], "input start");
    let ended = project.run(&["run", "search", "--set", "search.from=nothing"]);
    assert!(ended.code == Some(2) && ended.err.contains("search.from"), "{}", ended.err);
}
