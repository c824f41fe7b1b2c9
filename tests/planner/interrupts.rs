//! Ctrl-C, and planners that are killed.

use std::time::{Duration, Instant};

use crate::project::Project;

#[test]
fn ctrl_c_asks_for_a_resume_point_and_the_next_run_goes_on_from_it() {
    let project = Project::new();
    project.behave("search", "wait");
    let running = project.start(&["run", "all"], "search: worked");
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("search: interrupted"), "{}", ended.err);
    assert_eq!(project.json(&["status", "search"])["stages"][0]["outcome"], "interrupted");
    assert!(project.good(&["run", "all"]).err.contains("search: goes on from epoch 1"));
}

#[test]
fn a_request_to_end_is_heard_like_ctrl_c() {
    let project = Project::new();
    project.behave("search", "wait");
    let running = project.start(&["run", "all"], "search: worked");
    running.signal("TERM");
    assert_eq!(running.end().code, Some(130));
}

#[test]
fn a_second_ctrl_c_kills() {
    let project = Project::new();
    project.behave("search", "hang");
    let running = project.start(&["run", "all"], "search: worked");
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(200));
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(130));
    assert!(ended.took < Duration::from_secs(10));
}

#[test]
fn no_worker_outlives_its_planner() {
    let project = Project::new();
    project.behave("search", "wait");
    let running = project.start(&["run", "all"], "search: worked");
    running.signal("KILL");
    assert_eq!(running.end().code, None);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut trace = Vec::new();
    while !trace.contains(&"search is alone".to_owned()) {
        assert!(Instant::now() < deadline, "the worker still runs");
        std::thread::sleep(Duration::from_millis(20));
        trace.extend(project.trace());
    }
    let ended = project.good(&["run", "all"]);
    assert_eq!(project.trace(), ["search", "parse", "train", "test"], "{}", ended.err);
}
