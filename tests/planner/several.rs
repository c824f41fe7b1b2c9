//! Several planners on one store.

use crate::project::Project;

#[test]
fn one_planner_works_and_the_other_waits_and_uses_its_result() {
    let project = Project::new();
    project.good(&["run", "lookup"]);
    project.trace();
    project.behave("search", "sleep 700");
    let first = project.start(&["run", "search"], "search: worked");
    let second = project.good(&["run", "search"]);
    assert!(second.err.contains("search: process") && second.err.contains("waiting for its result"), "{}", second.err);
    assert!(second.err.contains("another process made it"), "{}", second.err);
    assert_eq!(first.end().code, Some(0));
    assert_eq!(project.trace(), ["search"]);
}

#[test]
fn a_planner_that_waits_can_be_interrupted() {
    let project = Project::new();
    project.good(&["run", "lookup"]);
    project.behave("search", "sleep 1500");
    let first = project.start(&["run", "search"], "search: worked");
    let second = project.start(&["run", "search"], "waiting for its result");
    second.signal("INT");
    assert_eq!(second.end().code, Some(130));
    assert_eq!(first.end().code, Some(0));
}

#[test]
fn independent_stages_run_side_by_side() {
    let project = Project::new();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: [0.8, 1.0]");
    project.good(&["run", "lookup"]);
    for id in ["search@0.8", "search@1"] {
        project.behave(id, "sleep 800");
    }
    let ended = project.good(&["run", "search", "-j", "2"]);
    assert!(ended.took.as_millis() < 1500, "{:?}", ended.took);
}

#[test]
fn declared_cores_bound_what_runs_side_by_side() {
    let project = Project::new();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: [0.8, 1.0]");
    project.good(&["run", "lookup"]);
    for id in ["search@0.8", "search@1"] {
        project.behave(id, "sleep 400");
    }
    let ended = project.good(&["run", "search", "-j", "2", "--set", "resources.cores=1"]);
    assert!(ended.took.as_millis() > 800, "{:?}", ended.took);
}
