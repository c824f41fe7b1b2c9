//! Commands about earlier runs: compare, lineage, export, check.

use std::fs;

use crate::project::Project;

#[test]
fn compare_lists_the_results_of_all_targets() {
    let project = Project::new();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: [0.8, 1.0]");
    project.run_ok(&["run", "all"]);
    let compared = project.json(&["compare"]);
    let networks = compared["networks"].as_array().unwrap();
    assert_eq!(
        (networks.len(), &networks[0]["id"], networks[1]["target_lat_ms"].as_f64()),
        (2, &"parse@0.8".into(), Some(1.0))
    );
    assert_eq!(networks[0]["top1"].as_f64(), Some(0.75));
    let text = project.run_ok(&["compare"]).out;
    assert!(text.contains("parse@1") && text.contains("75.00"), "{text}");
}

#[test]
fn compare_lists_the_networks_of_all_runs_once() {
    let project = Project::new();
    assert_eq!(project.json(&["compare"])["networks"].as_array().unwrap().len(), 0);
    project.run_ok(&["run", "parse"]);
    project.run_ok(&["run", "all"]);
    project.run_ok(&["run", "all", "--set", "search.target_lat_ms=0.8", "--name", "fast"]);
    project.run_ok(&["run", "all"]);
    // The configuration does not matter.
    project.edit("target_lat_ms: 1.0", "target_lat_ms: 0.7");
    let compared = project.json(&["compare"]);
    let networks: Vec<_> = compared["networks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|network| (network["run"].as_i64(), network["target_lat_ms"].as_f64(), network["top1"].as_f64()))
        .collect();
    assert_eq!(networks, [(Some(2), Some(1.0), Some(0.75)), (Some(3), Some(0.8), Some(0.75))]);
    let text = project.run_ok(&["compare"]).out;
    assert!(text.contains("3: fast") && text.lines().count() == 3, "{text}");
}

#[test]
fn compare_lists_each_training_of_a_network() {
    let project = Project::new();
    project.run_ok(&["run", "all", "--set", "matrix={train.lr: [0.1, 0.2]}"]);
    let compared = project.json(&["compare"]);
    let ids: Vec<_> = compared["networks"].as_array().unwrap().iter().map(|network| &network["id"]).collect();
    assert_eq!(ids, ["test@lr=0.1", "test@lr=0.2"]);
}

#[test]
fn an_artifact_is_exported_by_its_name_or_digest() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.run_ok(&["export", "model.config", "out.config"]);
    let status = project.json(&["status", "parse"]);
    let output = &status["stages"][0]["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|output| output["name"] == "model.config")
        .unwrap()
        .clone();
    let stored = fs::read(output["path"].as_str().unwrap()).unwrap();
    assert_eq!(fs::read(project.path("out.config")).unwrap(), stored);
    fs::create_dir(project.path("out")).unwrap();
    project.run_ok(&["export", &output["digest"].as_str().unwrap()[..10], "out"]);
    for (name, hint) in [
        ("modl.config", "did you mean `model.config`?"),
        ("parse/modl.config", "did you mean `parse/model.config`?"),
        ("cd6", "give the first 4 digits of a digest or more"),
    ] {
        let ended = project.run(&["export", name, "x"]);
        assert!(ended.code == Some(2) && ended.err.contains(hint), "{}", ended.err);
    }
}

#[test]
fn a_lineage_goes_down_to_the_data() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let text = project.run_ok(&["lineage", "test.json"]).out;
    for words in ["test.json", "by test", "by split", "by lookup", "images/train"] {
        assert!(text.contains(words), "`{words}` is missing from\n{text}");
    }
    let dot = project.run_ok(&["lineage", "test.json", "--format", "dot"]).out;
    assert!(dot.starts_with("digraph") && dot.contains("label=\"search\"") && dot.matches("->").count() > 12, "{dot}");
    let mermaid = project.run_ok(&["lineage", "test.json", "--format", "mermaid"]).out;
    assert!(mermaid.starts_with("flowchart LR") && mermaid.contains("[\"search\"]"), "{mermaid}");
    assert_eq!(project.json(&["lineage", "test.json"])["attempts"].as_array().unwrap().len(), 6);
}

#[test]
fn check_reports_whether_a_repetition_gives_the_same_bytes() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    let checked = project.json_of(&["check", "search", "--repeat", "2"], 0);
    assert_eq!((project.trace().len(), &checked["same"]), (2, &true.into()));
    project.behave("search", "same");
    let checked = project.json_of(&["check", "search"], 1);
    assert_eq!(checked["repeats"][0]["outputs"][0]["same"], false);
    project.trace();
    project.run_ok(&["run", "all"]);
    assert!(project.trace().is_empty(), "the compared result is not used");
    assert_eq!(project.run(&["check", "search", "--set", "search.epochs=9"]).code, Some(2));
}

#[test]
fn an_interrupted_check_does_not_change_the_status() {
    let project = Project::new();
    project.run_ok(&["run", "search"]);
    project.behave("search", "wait");
    let running = project.start(&["check", "search"], "search: worked");
    running.signal("INT");
    assert_eq!(running.end().code, Some(130));
    assert_eq!(project.json(&["status", "search"])["stages"][0]["outcome"], "done");
}
