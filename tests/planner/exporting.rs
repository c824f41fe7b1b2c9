//! Export of networks.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tfnas::{Architecture, ModelConfig, Space};
use tfnas_onnx::message::Model;
use tfnas_pytorch_files::checkpoint::{to_safetensors, write_pth};
use tfnas_random::{Stream, StreamId};

use crate::project::Project;
use tfnas_testutils::golden::formula::Scheme;
use tfnas_testutils::weights::Weights;

const FROM_FILES: [&str; 6] = ["--model", "model.config", "--weights", "w.safetensors", "--resolution", "32"];

/// Returns a project with the files of a network with four classes.
fn project() -> Project {
    let project = Project::new();
    let config = config();
    project.write("model.config", &config.to_text());
    fs::write(project.path("w.safetensors"), to_safetensors(&weights(&config).state_dict().tensors).unwrap()).unwrap();
    project.write("classes.txt", "cat\ndog\nnewt\nyak\n");
    project
}

fn config() -> ModelConfig {
    let space = Space::small();
    let architecture = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
    ModelConfig::from_architecture(&space, &architecture, 4).unwrap()
}

fn weights(config: &ModelConfig) -> Weights {
    Weights::of(config, &Scheme::Hash { salt: String::new() })
}

fn described(project: &Project, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(project.path(&format!("{file}.preprocessing.json"))).unwrap()).unwrap()
}

/// Returns the files in the project's folder.
fn files(project: &Project) -> Vec<String> {
    let entries = fs::read_dir(project.path("")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_network_from_files_is_exported_to_onnx() {
    let project = project();
    let arguments =
        [&["export", "net.onnx", "--format", "onnx", "--fold", "--classes", "classes.txt"], &FROM_FILES[..]];
    let reply = project.json(&arguments.concat());
    let bytes = fs::read(project.path("net.onnx")).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let metadata = |key: &str| model.metadata_props.iter().find(|entry| entry.key == key).unwrap().value.clone();
    assert!(metadata("tool").starts_with("tfnas-pipeline "));
    let digest = |file: &str| blake3::hash(&fs::read(project.path(file)).unwrap()).to_string();
    assert_eq!(metadata("weights_blake3"), digest("w.safetensors"));
    assert_eq!(metadata("model_config_blake3"), digest("model.config"));
    assert_eq!(reply["digest"], digest("net.onnx"));
    assert_eq!((reply["bytes"].as_u64(), &reply["batch_norm"]), (Some(bytes.len() as u64), &Value::from("folded")));

    let description = described(&project, "net.onnx");
    assert_eq!(description["model"]["blake3"], reply["digest"]);
    assert_eq!(description["input"]["shape"], serde_json::json!(["N", 3, 32, 32]));
    assert_eq!(description["output"]["classes"], serde_json::json!(["cat", "dog", "newt", "yak"]));
    let steps: Vec<&str> =
        description["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["decode", "resize", "centre_crop", "divide", "normalise", "transpose"]);
    assert_eq!(description["steps"][1]["short_side"], 37);
}

#[test]
fn a_pth_tar_exports_the_same_network() {
    let project = project();
    let pth = write_pth(Vec::new(), &weights(&config()).state_dict().tensors).unwrap();
    fs::write(project.path("w.pth.tar"), pth).unwrap();
    let graph = |file: &str, weights: &str| {
        let arguments = ["export", file, "--format", "onnx", "--model", "model.config", "--weights", weights];
        project.run_ok(&arguments);
        Model::parse(&fs::read(project.path(file)).unwrap()).unwrap().graph
    };
    assert_eq!(graph("a.onnx", "w.safetensors"), graph("b.onnx", "w.pth.tar"));
}

#[test]
fn all_weight_mismatches_are_reported_and_nothing_is_written() {
    let project = project();
    let mut weights = weights(&config());
    weights.remove("first_stem.conv.weight");
    weights.set("classifier.linear.bias", &[9], &[0.0; 9]);
    weights.set("head.bias", &[1], &[0.0]);
    fs::write(project.path("w.safetensors"), to_safetensors(&weights.state_dict().tensors).unwrap()).unwrap();
    fs::write(project.path("net.onnx"), "the last one").unwrap();
    for (file, format) in [("net.onnx", "onnx"), ("net.pt", "torchscript"), ("net.py", "pytorch")] {
        let ended = project.run(&[&["export", file, "--format", format], &FROM_FILES[..]].concat());
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        for part in ["w.safetensors", "missing: first_stem.conv.weight", "bias: shape [9], expected [4]", "head.bias"] {
            assert!(ended.err.contains(part), "{}", ended.err);
        }
    }
    assert_eq!(fs::read_to_string(project.path("net.onnx")).unwrap(), "the last one");
    assert!(files(&project).iter().all(|name| !name.contains("export-") && !name.contains("preprocessing")));
}

#[test]
fn invalid_exports_report_the_reason() {
    let project = project();
    project.write("five.txt", "a\nb\nc\nd\ne\n");
    project.write("empty.safetensors", "");
    let onnx = |words: &[&str]| project.run(&[&["export", "net.onnx", "--format", "onnx"], words].concat());
    for (ended, parts) in [
        (project.run(&["export", "net.onnx"]), ["--format", "name an artifact"]),
        (project.run(&["export", "net.onnx", "--fold"]), ["required", "--format"]),
        (onnx(&["--model", "model.config"]), ["required", "--weights"]),
        (onnx(&["--model", "no.config", "--weights", "w.safetensors"]), ["no.config", "No such file"]),
        (onnx(&["--model", "w.safetensors", "--weights", "w.safetensors"]), ["w.safetensors", "is not UTF-8 text"]),
        (onnx(&["--model", "model.config", "--weights", "empty.safetensors"]), ["empty.safetensors", "empty"]),
        (onnx(&[&FROM_FILES[..], &["--classes", "five.txt"]].concat()), ["five.txt", "5 classes"]),
        (onnx(&[]), ["train has no result", "run train"]),
        (
            project.run(&[&["export", "none/net.onnx", "--format", "onnx"], &FROM_FILES[..]].concat()),
            ["there is no folder", "create the folder first"],
        ),
    ] {
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(parts.iter().all(|part| ended.err.contains(part)), "{}", ended.err);
    }
}

#[test]
fn a_network_is_exported_as_a_python_module_with_weights() {
    let project = project();
    let reply = project.json(&[&["export", ".", "--format", "pytorch"], &FROM_FILES[..]].concat());
    let path = |name: &str| project.path(name).canonicalize().unwrap().display().to_string();
    assert_eq!(reply["file"], path("model.py"));
    assert_eq!(reply["weights_file"], path("weights.safetensors"));
    let module = fs::read_to_string(project.path("model.py")).unwrap();
    let config = config();
    assert!(module.contains(&format!("\nCLASSIFIER = ({}, 4)\n", config.classifier.in_features)), "{module}");
    assert!(
        module.contains("with_name(\"weights.safetensors\")") && module.contains("\nRESOLUTION = 32\n"),
        "{module}"
    );
    let bytes = |name: &str| fs::read(project.path(name)).unwrap();
    assert!(bytes("weights.safetensors") == bytes("w.safetensors"));

    let description = described(&project, "model.py");
    let digest = |name: &str| blake3::hash(&bytes(name)).to_string();
    assert_eq!(description["model"]["blake3"], digest("model.py"));
    let weights = serde_json::json!({ "file": "weights.safetensors", "blake3": digest("weights.safetensors") });
    assert_eq!(description["model"]["weights"], weights);
    assert_eq!(description["model"]["format"], "pytorch");

    // Another file name, and weights that are converted.
    let pth = write_pth(Vec::new(), &self::weights(&config).state_dict().tensors).unwrap();
    fs::write(project.path("w.pth.tar"), pth).unwrap();
    project.run_ok(&["export", "net.py", "--format", "pytorch", "--model", "model.config", "--weights", "w.pth.tar"]);
    assert!(fs::read_to_string(project.path("net.py")).unwrap().contains("with_name(\"net.safetensors\")"));
    assert!(bytes("net.safetensors") == bytes("w.safetensors"));
}

#[test]
fn an_invalid_python_module_path_is_an_error() {
    let project = project();
    let export = |path: &str, words: &[&str]| {
        project.run(&[&["export", path, "--format", "pytorch"], &FROM_FILES[..], words].concat())
    };
    fs::create_dir(project.path("taken")).unwrap();
    project.write("taken/weights.safetensors", "other weights");
    for (ended, parts) in [
        (export("net-1.py", &[]), ["net-1.py: Python cannot import", "model.py"]),
        (export("network", &[]), ["network: Python cannot import", "model.py"]),
        (export("torch.py", &[]), ["torch.py: the name would hide", "model.py"]),
        (export("model.py", &["--fold"]), ["--fold is for onnx and torchscript", "remove --fold"]),
        (export("none/model.py", &[]), ["there is no folder", "create the folder first"]),
        (export("taken", &[]), ["taken/weights.safetensors: the file exists", "another folder"]),
        (project.run(&["export", "model.py", "--format", "pytorch"]), ["train has no result", "run train"]),
    ] {
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(parts.iter().all(|part| ended.err.contains(part)), "{}", ended.err);
    }
    assert_eq!(fs::read_to_string(project.path("taken/weights.safetensors")).unwrap(), "other weights");
    assert!(files(&project).iter().all(|name| !name.ends_with(".py") && !name.contains("export-")));

    // An existing module is replaced together with its weights, as in other formats.
    project.write("taken/model.py", "the last one");
    assert_eq!(export("taken", &[]).code, Some(0));
    assert!(
        fs::read(project.path("taken/weights.safetensors")).unwrap()
            == fs::read(project.path("w.safetensors")).unwrap()
    );
    assert_ne!(fs::read_to_string(project.path("taken/model.py")).unwrap(), "the last one");
}

#[test]
fn an_unwritable_folder_is_an_error_in_every_format() {
    let project = project();
    // Not even root can create a file in /proc.
    for format in ["onnx", "pytorch"] {
        let ended = project.run(&[&["export", "/proc/model.py", "--format", format], &FROM_FILES[..]].concat());
        assert!(ended.code == Some(1) && ended.err.contains("cannot write /proc/model.py"), "{}", ended.err);
    }
}

#[test]
fn export_of_a_matrix_requires_one_network() {
    let project = project();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: [12, 15]");
    let ended = project.run(&["export", "net.onnx", "--format", "onnx"]);
    assert!(ended.code == Some(2) && ended.err.contains("name one before the file: test@12, test@15"), "{}", ended.err);
    let ended = project.run(&["predict", "images"]);
    assert!(ended.code == Some(2) && ended.err.contains("--stage: test@12, test@15"), "{}", ended.err);
    for name in ["train@15", "test@15", "parse@15"] {
        let ended = project.run(&["export", name, "net.onnx", "--format", "onnx"]);
        assert!(ended.err.contains("train@15 has no result"), "{}", ended.err);
    }
}

#[test]
fn torchscript_is_written_by_the_worker_and_crashes_are_reported() {
    let project = project();
    let worker = |name: &str, script: &str| {
        project.write(name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(project.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        let worker = format!("./{name}");
        project.run(&[&["export", "net.pt", "--format", "torchscript", "--worker", &worker], &FROM_FILES[..]].concat())
    };
    let concatenate = r#"
request=$(cat)
case $request in *'"torch_script"'*'"resolution":32,"fold":false'*) ;; *) exit 9 ;; esac
field() { printf %s "$request" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
cat "$(field config)" "$(field weights)" > "$(field output)""#;
    let ended = worker("writes", concatenate);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let both = [fs::read(project.path("model.config")).unwrap(), fs::read(project.path("w.safetensors")).unwrap()];
    assert!(fs::read(project.path("net.pt")).unwrap() == both.concat());
    assert_eq!(described(&project, "net.pt")["model"]["format"], "torchscript");

    let ended = worker("refuses", "echo out of luck >&2; exit 1");
    assert!(ended.code == Some(1) && ended.err.contains("out of luck"), "{}", ended.err);
    let ended = worker("dies", "kill -9 $$");
    assert!(ended.code == Some(1) && ended.err.contains("SIGKILL"), "{}", ended.err);
    let ended = worker("forgets", "exit 0");
    assert!(ended.code != Some(0), "{}", ended.err);
}
