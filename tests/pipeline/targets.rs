//! Networks passed on to training meet their target.

use std::fs;

use serde_json::Value;

use crate::project::{Project, Worker};

/// A target that only a few networks of the space can meet.
const TIGHT: &str = "search.target_lat_ms=1%";
/// Disables the selection, because all candidates meet the target: these tests check the result of the search.
const UNSELECTED: &str = "select.candidates=0";

/// Runs until `parse`; returns `architecture.json` and standard error.
fn parsed(project: &Project, sets: &[&str]) -> (Value, String) {
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let stderr = project.run_ok(&[&["run", "parse", "--set", "parse.measure=false"], &sets[..]].concat()).err;
    let path = project.folder().join("architecture.json");
    let _ = fs::remove_file(&path);
    let export = ["export", "architecture.json", "architecture.json", "--set", "parse.measure=false"];
    project.run_ok(&[&export, &sets[..]].concat());
    (serde_json::from_slice(&fs::read(path).unwrap()).unwrap(), stderr)
}

/// Checks that the network meets its target.
fn assert_met(architecture: &Value) {
    let ms = |name: &str| architecture[name].as_f64().unwrap();
    assert!(ms("predicted_lat_ms") <= ms("target_lat_ms"), "{architecture}");
}

#[test]
fn an_exact_search_meets_every_target_and_reports_changes() {
    let project = Project::new(Worker::Real);
    for target in ["1%", "30%", "70%", "100%"] {
        let (architecture, stderr) = parsed(&project, &[UNSELECTED, &format!("search.target_lat_ms={target}")]);
        assert_met(&architecture);
        if let Some(change) = architecture["changed"].as_array().and_then(|changes| changes.last()) {
            assert!(stderr.contains("it was changed to meet the target: "), "{stderr}");
            assert!(stderr.contains(change.as_str().unwrap()), "{stderr}");
        }
    }
    // A search of only warm-up epochs gives a network that meets the target too.
    assert_met(&parsed(&project, &[UNSELECTED, TIGHT, "search.warmup_epochs=3"]).0);
}

#[test]
fn a_published_search_that_misses_its_target_fails_in_parse() {
    let project = Project::new(Worker::Real);
    // A search of only warm-up epochs keeps its initial widths.
    let published = [UNSELECTED, TIGHT, "search.fit=published", "search.warmup_epochs=3"];
    let sets: Vec<&str> = published.iter().flat_map(|set| ["--set", set]).collect();
    let failed = project.run(&[&["run", "all"], &sets[..]].concat());
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    for words in ["parse", "above the target of", "`search.fit: exact`", "`parse.fit: exact`"] {
        assert!(failed.err.contains(words), "`{words}` is missing from: {}", failed.err);
    }
    let outcome = |id: &str| {
        let stages = project.status(&sets);
        stages.iter().find(|stage| stage["id"] == id).map(|stage| stage["outputs"].as_array().unwrap().len())
    };
    assert_eq!((outcome("search"), outcome("parse"), outcome("train")), (Some(3), Some(0), Some(0)));

    assert_met(&parsed(&project, &[&published[..], &["parse.fit=exact"]].concat()).0);
    assert_eq!(project.status(&sets).iter().filter(|stage| stage["id"] == "search").count(), 1);
}

#[test]
fn widths_in_steps_are_searched_fitted_and_trained() {
    let project = Project::new(Worker::Real);
    let sets = ["space.width_step=4", "search.target_lat_ms=40%"];
    let (architecture, _) = parsed(&project, &sets);
    assert_met(&architecture);
    for block in architecture["blocks"].as_array().unwrap() {
        assert_eq!(block["width"].as_u64().unwrap() % 4, 0, "{block}");
    }
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    project.run_ok(&[&["run", "all"], &sets[..]].concat());
}

#[test]
fn a_measured_latency_meets_the_target_or_the_parse_fails() {
    let project = Project::new(Worker::Real);
    let sets =
        ["--set", "lookup={budget_s: 2, check_networks: 2}", "--set", UNSELECTED, "--set", "search.verify=measured"];
    let run = project.run(&[&["run", "parse"], &sets[..]].concat());
    if run.code == Some(1) {
        // On a noisy machine the latency of such a small network may not settle.
        assert!(run.err.contains("corrections of the target"), "{}", run.err);
        return;
    }
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains(" ms at the speed at which the table was measured"), "{}", run.out);
}

#[test]
fn a_measured_latency_is_needed_to_verify_it() {
    let project = Project::new(Worker::Real);
    let run = project.run(&["plan", "--set", "search.verify=measured", "--set", "parse.measure=false"]);
    assert!(run.code == Some(2) && run.err.contains("parse.measure: must be true for search.verify"), "{}", run.err);
}
