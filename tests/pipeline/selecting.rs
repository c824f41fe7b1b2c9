//! Parallel, interrupted and resumed candidate trainings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::processes::{other_ranks, send, workers};
use crate::project::{Completed, Project, Worker};
use tfnas_testutils::waiting::wait_until;

fn selected(project: &Project) -> BTreeMap<String, String> {
    let mut digests = project.digests(&[]);
    digests.retain(|name, _| name.starts_with("select/"));
    assert_eq!(digests.len(), 2);
    digests
}

/// Returns the project's `candidates.json`.
fn report(project: &Project) -> Value {
    let stages = project.status(&[]);
    let select = stages.iter().find(|stage| stage["id"] == "select").unwrap();
    let outputs = select["outputs"].as_array().unwrap();
    let output = outputs.iter().find(|output| output["name"] == "candidates.json").unwrap();
    serde_json::from_slice(&fs::read(project.folder().join(output["path"].as_str().unwrap())).unwrap()).unwrap()
}

/// Returns the results of an undisturbed selection.
fn undisturbed() -> BTreeMap<String, String> {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "select"]);
    selected(&project)
}

/// Returns whether any candidate of the project has a checkpoint.
fn has_candidate_checkpoint(project: &Path) -> bool {
    let keys = fs::read_dir(project.join(".tfnas/resume")).into_iter().flatten().flatten();
    let candidates = keys.flat_map(|key| fs::read_dir(key.path().join("candidates"))).flatten().flatten();
    let mut checkpoints = candidates.flat_map(|candidate| fs::read_dir(candidate.path())).flatten().flatten();
    checkpoints.any(|file| file.path().extension().is_some_and(|ending| ending == "resume"))
}

/// Starts a selection with two processes, and calls `disturbance` when a candidate has a checkpoint.
fn disturb(project: &Project, disturbance: impl FnOnce(&Path, u32)) -> Completed {
    // The leader waits this long for the heartbeat of a killed rank.
    let timeout = "ranks.timeout_s=20";
    let mut command = project.command(&["run", "select", "--set", "select.parallel=2", "--set", timeout]);
    let planner = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let folder = fs::canonicalize(project.folder()).unwrap();
    wait_until("a candidate has a checkpoint", || has_candidate_checkpoint(&folder));
    disturbance(&folder, planner.id());
    let ended = Completed::new(&planner.wait_with_output().unwrap());
    wait_until("no rank outlives its planner", || workers(&folder).is_empty() && other_ranks(&folder).is_empty());
    ended
}

#[test]
fn a_selection_does_not_depend_on_parallelism() {
    let expected = undisturbed();
    for processes in [2, 3] {
        let project = Project::new(Worker::Real);
        project.run_ok(&["run", "select", "--set", &format!("select.parallel={processes}")]);
        assert_eq!(selected(&project), expected, "{processes} processes");
    }
}

#[test]
fn a_killed_selection_resumes_to_the_undisturbed_digests() {
    let expected = undisturbed();
    let project = Project::new(Worker::Real);
    disturb(&project, |_, planner| send(Signal::KILL, planner));
    disturb(&project, |folder, _| workers(folder).into_iter().for_each(|worker| send(Signal::KILL, worker)));
    project.run_ok(&["run", "select", "--set", "select.parallel=2"]);
    assert_eq!(selected(&project), expected);
}

#[test]
fn a_killed_rank_fails_the_selection_and_the_next_run_resumes() {
    let expected = undisturbed();
    let project = Project::new(Worker::Real);
    let failed = disturb(&project, |folder, _| {
        other_ranks(folder).into_iter().for_each(|rank| send(Signal::KILL, rank));
    });
    // The selection may end before the signal arrives.
    if failed.code != Some(0) {
        assert_eq!(failed.code, Some(1), "{}", failed.err);
        assert!(failed.err.contains("rank 1 of 2"), "{}", failed.err);
    }
    project.run_ok(&["run", "select"]);
    assert_eq!(selected(&project), expected);
}

#[test]
fn every_candidate_meets_the_target_and_the_selected_one_is_trained() {
    let project = Project::new(Worker::Real);
    let ended = project.run_ok(&["run", "all"]);
    let report = report(&project);
    let target = report["target_lat_ms"].as_f64().unwrap();
    let ranking = report["selection"]["ranking"].as_array().unwrap();
    assert!(ranking.len() >= 3, "{report}");
    for candidate in ranking {
        assert!(candidate["predicted_ms"].as_f64().unwrap() <= target, "{candidate}");
    }
    assert!(ranking.iter().any(|candidate| candidate["origin"]["kind"] == "search_parse"), "{report}");
    for words in ["selected", "search's choice", "percentile", "candidates"] {
        assert!(ended.out.contains(words), "`{words}` is missing from: {}", ended.out);
    }
    let select = project.status(&["select"])[0]["key"].as_str().unwrap().to_owned();
    let log = project.run_ok(&["show", "latest"]).out;
    let attempt = log.lines().find(|line| line.contains("select") && line.contains(&select[..8])).unwrap();
    let attempt = attempt.split_whitespace().nth(2).unwrap();
    let shown = project.run_ok(&["show", attempt]).out;
    assert!(shown.contains("candidates, best first"), "{shown}");
}
