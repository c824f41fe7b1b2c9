//! Export of the trained network.

use std::fs;

use serde_json::Value;
use tfnas_onnx::message::Model;

use crate::project::{Project, Worker};

#[test]
fn exports_from_the_store_and_from_files_are_identical() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "train"]);
    project.run_ok(&["export", "model.config", "model.config"]);
    project.run_ok(&["export", "best.safetensors", "best.safetensors"]);
    let files = ["--model", "model.config", "--weights", "best.safetensors", "--resolution", "16", "--resize", "16"];
    let bytes = |name: &str| fs::read(project.folder().join(name)).unwrap();
    for format in ["onnx", "torchscript"] {
        for options in [&[][..], &["--fold"]] {
            project.run_ok(&[&["export", "found", "--format", format], options].concat());
            project.run_ok(&[&["export", "again", "--format", format], options, &files].concat());
            assert!(bytes("found") == bytes("again"), "{format} {options:?}");
        }
    }
    project.run_ok(&["export", "found.py", "--format", "pytorch"]);
    project.run_ok(&[&["export", "again.py", "--format", "pytorch"], &files[..]].concat());
    let text = |name: &str| String::from_utf8(bytes(name)).unwrap();
    assert_eq!(text("found.py").replace("found", "again"), text("again.py"));
    assert!(bytes("found.safetensors") == bytes("best.safetensors"));

    project.run_ok(&["export", "found", "--format", "onnx"]);
    let last = ["--set", "test.weights=last"];
    project.run_ok(&[&["export", "last", "--format", "onnx"][..], &last].concat());
    let made_from = |name: &str| {
        let properties = Model::parse(&bytes(name)).unwrap().metadata_props;
        properties.into_iter().find(|entry| entry.key == "weights_blake3").unwrap().value
    };
    let digests = project.digests(&[]);
    assert_eq!(made_from("found"), digests["train/best.safetensors"]);
    assert_eq!(made_from("last"), digests["train/last.safetensors"]);

    let description: Value = serde_json::from_slice(&bytes("found.preprocessing.json")).unwrap();
    assert_eq!(description["steps"][1]["short_side"], 16);
    let classes = description["output"]["classes"].as_array().unwrap();
    assert_eq!(classes.len() as u64, description["output"]["shape"][1].as_u64().unwrap());
}
