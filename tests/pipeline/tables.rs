//! Comparison of a latency table with networks measured on this machine.

use std::fs;

use serde_json::Value;

use crate::project::{Project, Worker};

const MEASURE: [&str; 8] = ["--space", "space.yaml", "--measure", "3", "--budget-s", "0.1", "--device", "cpu"];

#[test]
fn random_networks_are_measured_and_compared_with_the_table() {
    let project = Project::new(Worker::Real);
    let verify = [&["table", "verify", "latency.table", "--classes", "10", "--figure", "check.svg"], &MEASURE[..]];
    let ended = project.run_ok(&verify.concat());
    assert!(ended.out.contains("mean error") && ended.out.contains("3  "), "{}", ended.out);
    let figure = fs::read_to_string(project.folder().join("check.svg")).unwrap();
    assert!(figure.contains("<svg") && figure.contains("check network 3"), "{figure}");

    let json = project.run_ok(&[&verify.concat()[..], &["--json"]].concat());
    let value: Value = serde_json::from_str(&json.out).unwrap();
    let networks = value["check"]["networks"].as_array().unwrap();
    assert_eq!(networks.len(), 3);
    assert!(networks.iter().flat_map(|pair| pair.as_array().unwrap()).all(|ms| ms.as_f64().unwrap() > 0.0));
    assert!(value["check"]["noise_floor"].as_f64().unwrap() >= 0.0);
}

#[test]
fn classes_come_from_the_configuration_and_errors_are_reported() {
    let project = Project::new(Worker::Real);
    let verify = |more: &[&str]| project.run(&[&["table", "verify", "latency.table"], &MEASURE[..], more].concat());
    let found = verify(&["--config", "pipeline.yaml"]);
    assert_eq!(found.code, Some(0), "{}", found.err);
    for (more, words) in [
        (&["--classes", "10", "--device", "cuda:7"][..], "cuda:7"),
        (&["--classes", "10", "--worker", "no-such-worker"], "no-such-worker"),
        (&["--classes", "10", "--budget-s", "0"], "must be above 0"),
        (&["--classes", "10", "--figure", "no/folder.svg"], "no/folder.svg"),
    ] {
        let mut arguments = vec!["table", "verify", "latency.table", "--space", "space.yaml", "--measure", "1"];
        arguments.extend(more);
        let failed = project.run(&arguments);
        assert!(matches!(failed.code, Some(1 | 2)) && failed.err.contains(words), "{words}: {}", failed.err);
    }
    let alone = project.run(&["table", "verify", "latency.table", "--measure", "1"]);
    assert!(alone.code == Some(2) && alone.err.contains("--space"), "{}", alone.err);
}
