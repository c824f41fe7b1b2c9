//! `run --profile` measures stages and changes nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::processes::{send, workers};
use crate::project::{ARTIFACTS, Project, Worker};
use tfnas_testutils::waiting::wait_until;

/// The stages that can be profiled.
const PROFILED: [&str; 4] = ["search", "select", "train", "test"];

/// Returns the profiles in the output of `run --json`, by stage.
fn profiles(out: &str) -> BTreeMap<String, Value> {
    let events = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let profiles = events.filter(|event| event["event"] == "profile");
    profiles.map(|event| (event["id"].as_str().unwrap().to_owned(), event)).collect()
}

/// Returns the names of the events in the trace of a profile.
fn names(profile: &Value) -> Vec<String> {
    let path = Path::new(profile["recorded"]["trace"].as_str().unwrap());
    let trace: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    events.iter().filter_map(|event| event["name"].as_str()).map(str::to_owned).collect()
}

fn seconds(profile: &Value, name: &str) -> f64 {
    profile[name].as_f64().unwrap()
}

#[test]
fn profiled_stages_write_traces_and_the_same_artifacts() {
    let project = Project::new(Worker::Real);
    let plain = project.run_ok(&["run", "all"]);
    assert!(plain.err.contains("% of the time was spent waiting for images"), "{}", plain.err);
    let digests = project.digests(&[]);
    assert_eq!(digests.len(), ARTIFACTS);
    let forced = PROFILED.map(|stage| ["--force", stage]).concat();
    let out = project.run_ok(&[&["run", "all", "--profile", "--json"][..], &forced].concat()).out;
    assert_eq!(project.digests(&[]), digests);

    let profiles = profiles(&out);
    assert_eq!(profiles.keys().map(String::as_str).collect::<Vec<_>>(), ["search", "select", "test", "train"]);
    for (stage, profile) in &profiles {
        let names = names(profile);
        let has = |name: &str| names.iter().any(|found| found == name);
        let trains = stage != "test";
        if std::is_x86_feature_detected!("avx2") {
            assert!(has("tfnas::depthwise"), "the fused kernels are operations too: {stage}: {names:?}");
        }
        assert!(has("forward") && has("step") && has("aten::conv2d"), "{stage}: {names:?}");
        assert_eq!((has("backward"), has("optimizer")), (trains, trains), "{stage}");
        let parts = ["data_s", "forward_s", "backward_s", "optimizer_s", "validation_s", "checkpoint_s", "other_s"];
        let sum: f64 = parts.map(|part| seconds(profile, part)).iter().sum();
        assert!((sum - seconds(profile, "total_s")).abs() < 1e-6, "{profile}");
        assert!(seconds(profile, "forward_s") > 0.0, "{profile}");
        assert_eq!(seconds(profile, "backward_s") > 0.0, trains, "{profile}");
        let operations = profile["recorded"]["operations"].as_array().unwrap();
        assert!(!operations.is_empty() && operations[0]["self_s"].as_f64().unwrap() > 0.0, "{profile}");
    }
    // The steps of the architecture follow the warm-up of one epoch.
    assert!(names(&profiles["search"]).iter().any(|name| name == "architecture step"));
    assert!(seconds(&profiles["search"]["steps"]["architecture"], "backward_s") > 0.0);

    let again = project.run_ok(&["run", "all", "--profile"]).err;
    assert!(again.contains("nothing to profile: search, select, train, test"), "{again}");
    assert!(again.contains("--force search"), "{again}");
}

#[test]
fn the_first_of_several_ranks_is_profiled() {
    let project = Project::new(Worker::Real);
    let out = project.run_ok(&["run", "train", "--profile", "--json", "--nproc", "2"]).out;
    let profiles = profiles(&out);
    assert!(names(&profiles["train"]).iter().any(|name| name == "backward"));
    let logs = fs::read_dir(project.folder().join(".tfnas/logs")).unwrap().flatten();
    let traces = logs.filter(|entry| entry.file_name().to_string_lossy().ends_with(".trace.json"));
    assert_eq!(traces.count(), profiles.len(), "one trace a stage");
}

#[test]
fn a_stage_killed_while_it_is_profiled_resumes_to_the_same_artifacts() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "all"]);
    let digests = project.digests(&[]);
    let arguments = ["run", "train", "--force", "train", "--profile", "--json"];
    let mut planner = project.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The first steps are recorded, and there is a resume point after each.
    let resume = project.folder().join(".tfnas/resume");
    let has_point = || {
        let keys = fs::read_dir(&resume).into_iter().flatten().flatten();
        keys.flat_map(|key| fs::read_dir(key.path())).flatten().next().is_some()
    };
    wait_until("there is a resume point", has_point);
    workers(project.folder()).into_iter().for_each(|worker| send(Signal::KILL, worker));
    wait_until("the planner has ended", || planner.try_wait().unwrap().is_some());
    project.run_ok(&["run", "all", "--profile"]);
    assert_eq!(project.digests(&[]), digests);
    project.run_ok(&["cache", "verify"]);
}
