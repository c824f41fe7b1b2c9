//! Crashing and misbehaving workers.

use std::fs;

use crate::project::Project;

/// Runs a search that fails in this way. Returns the project and standard error.
fn failed_search(behavior: &str) -> (Project, String) {
    let project = Project::new();
    project.run_ok(&["run", "lookup"]);
    project.behave("search", behavior);
    let ended = project.run(&["run", "all"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    (project, ended.err)
}

#[test]
fn a_killed_worker_fails_its_stage_with_the_signal() {
    let (project, stderr) = failed_search("kill");
    assert!(
        stderr.contains("search: the worker was killed (SIGKILL), perhaps by the kernel for lack of memory"),
        "{stderr}"
    );
    assert!(stderr.contains("| log of search"), "the end of the log is shown: {stderr}");
    let log = stderr.lines().find_map(|line| line.trim().strip_prefix("log: ")).unwrap();
    assert!(fs::read_to_string(project.path(log)).unwrap().contains("log of search"), "the log is kept");
    let status = project.json(&["status"]);
    assert_eq!(status["stages"][2]["outcome"], "failed");
    assert_eq!(status["stages"][0]["outcome"], "done");
}

#[test]
fn other_crashes_are_described() {
    for (behavior, words) in [
        ("segfault", "segmentation fault (SIGSEGV)"),
        ("abort", "aborted (SIGABRT)"),
        ("exit 7", "exit code 7"),
        ("forget", "without reporting success"),
        ("fail", "the data is odd"),
    ] {
        let (_, stderr) = failed_search(behavior);
        assert!(stderr.contains(words), "{behavior}: {stderr}");
    }
}

#[test]
fn the_hint_of_a_stage_is_shown() {
    let (_, stderr) = failed_search("fail");
    assert!(stderr.contains("hint: look at it"), "{stderr}");
}

#[test]
fn a_failed_stage_reruns_and_earlier_results_are_reused() {
    let (project, _) = failed_search("kill");
    project.trace();
    let plan = project.json(&["plan"]);
    assert!(plan["stages"][2]["because"][0]["old"].as_str().unwrap().contains("SIGKILL"), "{plan}");
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), ["search", "parse", "train", "test"]);
}

#[test]
fn a_failure_keeps_the_last_good_outputs() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let before = project.objects();
    project.behave("search", "kill");
    assert_eq!(project.run(&["run", "all", "--force", "search"]).code, Some(1));
    assert_eq!(project.objects(), before);
    let status = project.json(&["status", "search"]);
    assert_eq!(status["stages"][0]["outcome"], "failed");
    assert_eq!(status["stages"][0]["outputs"].as_array().unwrap().len(), 3);
}

#[test]
fn a_worker_of_another_version_is_rejected() {
    let (_, stderr) = failed_search("version");
    assert!(stderr.contains("tfnas-stage 9.9.9") && stderr.contains("from the same source"), "{stderr}");
}

#[test]
fn a_program_that_is_not_a_worker_is_rejected() {
    let (_, stderr) = failed_search("noise");
    assert!(stderr.contains("not tfnas-stage") && stderr.contains("Welcome!"), "{stderr}");
    let project = Project::new();
    let ended = project.run(&["run", "all", "--worker", "nowhere"]);
    assert_eq!(ended.code, Some(2));
}

#[test]
fn outputs_must_be_exactly_those_of_the_stage() {
    let project = Project::new();
    project.behave("lookup", "missing");
    let ended = project.run(&["run", "lookup"]);
    assert!(ended.code == Some(1) && ended.err.contains("did not write latency.table"), "{}", ended.err);
    project.behave("lookup", "more");
    let ended = project.run(&["run", "lookup"]);
    assert!(ended.code == Some(1) && ended.err.contains("core.1234"), "{}", ended.err);
}

#[test]
fn after_a_failure_only_keep_going_continues() {
    let project = Project::new();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: [0.8, 1.0]");
    project.run_ok(&["run", "lookup"]);
    project.trace();
    project.behave("search@0.8", "always fail");
    assert_eq!(project.run(&["run", "all"]).code, Some(1));
    assert_eq!(project.trace(), ["search@0.8"]);
    assert_eq!(project.run(&["run", "all", "--keep-going"]).code, Some(1));
    assert_eq!(project.trace(), ["search@0.8", "search@1", "parse@1", "train@1", "test@1"]);
}
