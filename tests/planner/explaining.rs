//! Explanations of why a stage reruns.

use crate::project::{Project, actions, step};

#[test]
fn before_the_first_run_later_stages_are_unknown() {
    let project = Project::new();
    let plan = project.json(&["plan"]);
    let expected = [
        ("split", "run"),
        ("lookup", "unknown"),
        ("search", "unknown"),
        ("parse", "unknown"),
        ("train", "unknown"),
        ("test", "unknown"),
    ];
    assert_eq!(actions(&plan), expected.map(|(id, action)| (id.to_owned(), action.to_owned())));
    assert_eq!(step(&plan, "split")["because"][0]["field"], "never ran");
    assert!(step(&plan, "search")["key"].is_null() && step(&plan, "search")["expected_s"].is_null());
}

#[test]
fn a_plan_names_the_field_both_values_and_the_location() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.edit("target_lat_ms: 1.0", "target_lat_ms: 0.9");
    let plan = project.json(&["plan"]);
    let because = &step(&plan, "search")["because"];
    assert_eq!(because.as_array().unwrap().len(), 1, "{because}");
    assert_eq!(because[0]["field"], "search.target_lat_ms");
    assert_eq!((because[0]["old"].as_f64(), because[0]["new"].as_f64()), (Some(1.0), Some(0.9)));
    assert_eq!(because[0]["at"], "pipeline.yaml:14");
    assert!(step(&plan, "search")["expected_s"].is_number());
    assert_eq!(step(&plan, "parse")["action"], "unknown", "it depends on results that do not exist yet");
    assert_eq!(step(&plan, "parse")["because"][0]["via"], "search");
    assert_eq!(step(&plan, "split")["action"], "cached");
}

#[test]
fn the_expected_duration_follows_the_amount_of_work() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let expected_s = |set: &str| {
        let plan = project.json(&["plan", "train", "--set", set]);
        step(&plan, "train")["expected_s"].as_f64().unwrap()
    };
    let (one, ten) = (expected_s("train.epochs=100"), expected_s("train.epochs=1000"));
    assert!((ten / one - 10.0).abs() < 0.1, "{one} s and {ten} s");
}

#[test]
fn a_short_search_is_reported_before_it_runs() {
    let project = Project::new();
    let stderr = |arguments: &[&str]| project.run_ok(arguments).err;
    let alone = stderr(&["plan", "--set", "select.candidates=0"]);
    assert!(alone.contains("warning: search: about ") && alone.contains("raise search.epochs"), "{alone}");
    let select = ["select.candidates=4", "select.rungs=[1]", "select.keep=[]", "select.rules=1"];
    let selected = |more: &[&str]| stderr(&[&["plan"], &select.map(|set| ["--set", set]).concat()[..], more].concat());
    assert!(!selected(&[]).contains("search: about "), "{}", selected(&[]));
    assert!(selected(&["-v"]).contains("`select` trains candidates for a few epochs"));
    assert!(stderr(&["run", "search"]).contains("raise search.epochs"));
    assert!(!stderr(&["plan"]).contains("raise search.epochs"), "the search is cached");
}

#[test]
fn a_value_from_the_command_line_is_named() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let plan = project.json(&["plan", "--set", "train.lr=0.1"]);
    assert_eq!(step(&plan, "train")["because"][0]["at"], "--set train.lr=0.1");
}

#[test]
fn an_explanation_follows_the_chain_to_the_cause() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.edit("epochs: 2\nselect", "epochs: 3\nselect");
    let explained = project.json(&["explain", "test"]);
    assert_eq!(explained["action"], "unknown");
    let causes: Vec<(&str, &str)> = explained["because"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| (cause["field"].as_str().unwrap(), cause["via"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(causes.last(), Some(&("search.epochs", "search")), "{causes:?}");
    let text = project.run_ok(&["explain", "test"]).out;
    assert!(text.contains("search.epochs 2 -> 3 (pipeline.yaml:15)"), "{text}");
}

#[test]
fn explain_finds_the_cause_in_earlier_runs() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.run_ok(&["run", "search", "--set", "split.train_share=0.7"]);
    let explained = project.json(&["explain", "parse", "--set", "split.train_share=0.7"]);
    let because = explained["because"].as_array().unwrap();
    assert!(
        because.iter().any(|cause| cause["field"] == "input search.json" && cause["via"] == "search"),
        "{explained}"
    );
    let cause = because.iter().find(|cause| cause["field"] == "split.train_share").unwrap();
    assert_eq!(
        (cause["old"].as_f64(), cause["new"].as_f64(), cause["via"].as_str()),
        (Some(0.8), Some(0.7), Some("split"))
    );
}

#[test]
fn a_cached_stage_is_explained_as_unchanged() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let explained = project.json(&["explain", "search"]);
    assert_eq!(explained["action"], "cached");
    assert_eq!(explained["because"].as_array().unwrap().len(), 0);
}

#[test]
fn every_stage_that_runs_reports_why() {
    let project = Project::new();
    let stderr = project.run_ok(&["run", "all"]).err;
    assert!(stderr.contains("split: runs: never ran"), "{stderr}");
    project.edit("target_lat_ms: 1.0", "target_lat_ms: 0.9");
    let stderr = project.run_ok(&["run", "all"]).err;
    assert!(stderr.contains("search: runs: search.target_lat_ms 1.0 -> 0.9 (pipeline.yaml:14)"), "{stderr}");
    assert!(stderr.contains("split: cached"), "{stderr}");
}

#[test]
fn after_a_forced_stage_later_stages_are_unknown() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let plan = project.json(&["plan", "--force", "lookup"]);
    assert_eq!(step(&plan, "lookup")["because"][0]["field"], "--force");
    assert_eq!(step(&plan, "search")["action"], "unknown");
    assert_eq!(step(&plan, "split")["action"], "cached");
}
