//! Several planners on one store, and several workers of one planner.

use crate::project::{Project, Running};
use tfnas_testutils::waiting::wait_until;

/// Returns a project in which two searches can start at the same time and wait until the file `fake/go` exists.
fn two_searches_that_hold() -> Project {
    let project = Project::new();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: [0.8, 1.0]");
    project.run_ok(&["run", "lookup"]);
    project.trace();
    for id in ["search@0.8", "search@1"] {
        project.behave(id, "hold");
    }
    project
}

#[test]
fn a_second_planner_waits_for_the_result_of_the_first() {
    let project = Project::new();
    project.run_ok(&["run", "lookup"]);
    project.trace();
    project.behave("search", "hold");
    let first = project.start(&["run", "search"], "search: worked");
    let second = project.start(&["run", "search"], "which computes the same result");
    project.write("fake/go", "");
    assert_eq!(first.end().code, Some(0));
    let second = second.end();
    assert!(second.err.contains("search: waiting for process"), "{}", second.err);
    assert!(second.code == Some(0) && second.err.contains("another process computed it"), "{}", second.err);
    assert_eq!(project.trace(), ["search", "search goes on"]);
}

#[test]
fn a_waiting_planner_can_be_interrupted() {
    let project = Project::new();
    project.run_ok(&["run", "lookup"]);
    project.behave("search", "hold");
    let first = project.start(&["run", "search"], "search: worked");
    let second = project.start(&["run", "search"], "which computes the same result");
    second.signal("INT");
    assert_eq!(second.end().code, Some(130));
    project.write("fake/go", "");
    assert_eq!(first.end().code, Some(0));
}

/// Starts two runs that force a stage with a result. The stage of the first one holds, and the second one waits for it.
fn two_forced_searches() -> (Project, Running, Running) {
    let project = Project::new();
    project.run_ok(&["run", "search"]);
    project.trace();
    project.behave("search", "hold");
    let first = project.start(&["run", "search", "--force", "search"], "search: worked");
    let second = project.start(&["run", "search", "--force", "search"], "which computes the same result");
    (project, first, second)
}

#[test]
fn a_forced_stage_does_not_take_the_result_from_before_its_wait() {
    let (project, first, second) = two_forced_searches();
    first.signal("INT");
    assert_eq!(first.end().code, Some(130));
    let second = second.end();
    assert_eq!(second.code, Some(0), "{}", second.err);
    assert_eq!(project.trace(), ["search", "search"], "{}", second.err);
}

#[test]
fn a_forced_stage_takes_the_result_for_which_it_has_waited() {
    let (project, first, second) = two_forced_searches();
    project.write("fake/go", "");
    assert_eq!(first.end().code, Some(0));
    let second = second.end();
    assert!(second.code == Some(0) && second.err.contains("another process computed it"), "{}", second.err);
    assert_eq!(project.trace(), ["search", "search goes on"]);
}

#[test]
fn independent_stages_run_in_parallel() {
    let project = two_searches_that_hold();
    let running = project.start(&["run", "search", "-j", "2"], "worked");
    wait_until("both searches have started", || project.started().len() == 2);
    project.write("fake/go", "");
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn declared_cores_limit_parallel_stages() {
    let project = two_searches_that_hold();
    let running = project.start(&["run", "search", "-j", "2", "--set", "resources.cores=1"], "worked");
    project.write("fake/go", "");
    assert_eq!(running.end().code, Some(0));
    assert_eq!(project.trace(), ["search@0.8", "search@0.8 goes on", "search@1", "search@1 goes on"]);
}
