//! Checks of published claims by recomputation.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tfnas::{Architecture, LatencyTable, ModelConfig, Space, cost};
use tfnas_random::{Stream, StreamId};

use crate::project::Project;

/// Returns the verdict on a claim.
fn verdict<'a>(audit: &'a Value, claim: &str) -> &'a str {
    let findings = audit["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["claim"] == claim);
    finding.unwrap_or_else(|| panic!("{claim}: {audit}"))["verdict"].as_str().unwrap()
}

/// Returns a project with a network of the published space in `model.config` and claims about it in `claims.yaml`. Only
/// the claimed latency is wrong.
fn project_with_claims() -> Project {
    let project = Project::new();
    let space = Space::imagenet();
    let network = Architecture::random(&space, &mut Stream::new(1, StreamId::RandomArchitecture, 0, 0));
    let config = ModelConfig::from_architecture(&space, &network, 1000).unwrap();
    let ms = LatencyTable::titan_rtx().architecture_ms(&space, &network).unwrap();
    project.write("model.config", &config.to_text());
    let claims = format!(
        "source: here\nspace: imagenet\nclasses: 1000\nmodels:\n  M:\n    parameters_m: \"{:.2}\"\n    \
         multiply_adds_m: \"{:.0}\"\n    latency_ms: {{titan-rtx-b32: \"{:.2}\"}}\n    top1: \"70.1\"\n",
        cost::parameters(&config) as f64 / 1e6,
        cost::flops(&config, 224) as f64 / 1e6,
        ms + 0.1
    );
    project.write("claims.yaml", &claims);
    project
}

#[test]
fn each_claim_gets_a_verdict_and_unchecked_ones_are_listed() {
    let project = project_with_claims();
    let arguments = ["audit", "--claims", "claims.yaml", "--model", "M", "--config", "model.config"];
    let audit = project.json_of(&arguments, 1);
    assert_eq!(verdict(&audit, "parameters (M)"), "agrees");
    assert_eq!(verdict(&audit, "multiply-adds (M)"), "agrees");
    assert_eq!(verdict(&audit, "ms by titan-rtx-b32"), "differs");
    assert_eq!(verdict(&audit, "top-1 (%)"), "not_checked");
    let ended = project.run(&arguments);
    assert!(ended.out.contains("DIFFERS") && ended.out.contains("not checked: "), "{}", ended.out);
}

#[test]
fn a_measured_latency_is_only_compared_with_the_same_device() {
    let project = project_with_claims();
    let script = r#"#!/bin/sh
request=$(cat)
echo "$request" >> asked
case $request in *'"latency"'*'"resolution":224,"batch":32,"threads":1,'*) ;; *) exit 9 ;; esac
echo '{"median_ms": 12.5, "low_ms": 12.4, "high_ms": 12.6}'
"#;
    project.write("worker", script);
    fs::set_permissions(project.path("worker"), fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["audit", "--claims", "claims.yaml", "--model", "M", "--config", "model.config"];
    let claim = "ms here, batch 32, threads 1 (titan-rtx-b32)";
    let audit = project.json_of(&arguments, 1);
    assert_eq!(verdict(&audit, claim), "not_checked");
    assert!(audit.to_string().contains("--measure measures it"), "{audit}");

    let measure = ["--measure", "--device", "cpu", "--worker", "./worker"];
    let audit = project.json_of(&[&arguments[..], &measure].concat(), 1);
    assert_eq!(verdict(&audit, claim), "not_comparable");
    let ended = project.run(&[&arguments[..], &measure].concat());
    assert!(ended.out.contains("12.5000") && ended.out.contains("another device"), "{}", ended.out);
    assert_eq!(fs::read_to_string(project.path("asked")).unwrap().lines().count(), 2);

    let ended = project.run(&[&arguments[..], &measure, &["--batch", "2"]].concat());
    assert!(ended.code == Some(1) && ended.err.contains("exit code 9"), "{}", ended.err);
    let ended = project.run(&["audit", "--claims", "tf-nas", "--measure"]);
    assert!(ended.code == Some(2) && ended.err.contains("--config"), "{}", ended.err);
}

#[test]
fn a_model_without_file_is_checked_against_the_range_of_the_space() {
    let project = Project::new();
    let audit = project.json(&["audit", "--claims", "tf-nas", "--model", "TF-NAS-B"]);
    assert_eq!(verdict(&audit, "multiply-adds (M)"), "reachable");
    assert_eq!(verdict(&audit, "ms by xeon-gold-6130-b1"), "reachable");
    assert_eq!(verdict(&audit, "top-5 (%)"), "not_checked");
    assert!(audit["witnesses"][0]["architecture"].as_array().unwrap().len() >= 6);
}

#[test]
fn missing_claims_and_models_are_named() {
    let project = Project::new();
    let ended = project.run(&["audit", "--claims", "tf-nas", "--model", "TF-NAS-E"]);
    assert!(ended.code == Some(2) && ended.err.contains("TF-NAS-E"), "{}", ended.err);
    let ended = project.run(&["audit", "--claims", "none.yaml"]);
    assert!(ended.code == Some(2) && ended.err.contains("none.yaml"), "{}", ended.err);
    project.write("bad.yaml", "source: x\nspace: imagenet\nclasses: 10\nmodels: {M: {top1: many}}\n");
    let ended = project.run(&["audit", "--claims", "bad.yaml"]);
    assert!(ended.code == Some(2) && ended.err.contains("\"many\" is not a number"), "{}", ended.err);
    project.write("bad.yaml", "source: x\nspace: smal\nclasses: 10\nmodels: {}\n");
    let ended = project.run(&["audit", "--claims", "bad.yaml"]);
    assert!(ended.code == Some(2) && ended.err.contains("unknown space `smal`"), "{}", ended.err);
    assert!(ended.err.contains("bad.yaml:2") && !ended.err.contains("--space"), "{}", ended.err);
    project.write("bad.yaml", "source: x\nspace: small\nclasses: 10\nmodels: {}\n");
    let ended = project.run(&["audit", "--claims", "bad.yaml"]);
    assert!(ended.code == Some(2) && ended.err.contains("models: there are no models"), "{}", ended.err);
}

#[test]
fn a_search_that_finds_no_network_is_no_check() {
    let project = Project::new();
    let claims =
        "source: here\nspace: small\nclasses: 2\nmodels: {M: {parameters_m: \"1.0\", multiply_adds_m: \"999999\"}}\n";
    project.write("claims.yaml", claims);
    let audit = project.json_of(&["audit", "--claims", "claims.yaml"], 2);
    assert_eq!(verdict(&audit, "parameters (M)"), "not_checked");
    assert_eq!(verdict(&audit, "multiply-adds (M)"), "not_found");
}

#[test]
fn the_accuracy_of_weights_comes_from_their_test_in_the_store() {
    let project = Project::new();
    let space = Space::small();
    let network = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
    let config = ModelConfig::from_architecture(&space, &network, 2).unwrap();
    project.write("model.config", &config.to_text());
    std::fs::write(project.path("w.pth.tar"), crate::weights::weights(&config, |_| {})).unwrap();
    let claims = "source: here\nspace: small\nclasses: 2\nmodels: {M: {top1: \"75\", top5: \"12\"}}\n";
    project.write("claims.yaml", claims);
    let arguments =
        ["audit", "--claims", "claims.yaml", "--model", "M", "--config", "model.config", "--weights", "w.pth.tar"];
    assert_eq!(verdict(&project.json_of(&arguments, 2), "top-1 (%)"), "not_checked");
    project.run_ok(&["run", "test", "--from", "model.config", "--weights", "w.pth.tar"]);
    let audit = project.json_of(&arguments, 1);
    assert_eq!((verdict(&audit, "top-1 (%)"), verdict(&audit, "top-5 (%)")), ("agrees", "differs"));
    std::fs::write(project.path("w.pth.tar"), crate::weights::weights(&config, |tensors| tensors.truncate(1))).unwrap();
    let ended = project.run(&arguments);
    assert!(ended.code == Some(1) && ended.err.contains("missing: "), "{}", ended.err);
}
