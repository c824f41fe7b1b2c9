//! Ctrl-C, and killed planners.

use std::process::Command;

use crate::project::{PROGRAM, Project, Running};
use tfnas_testutils::waiting::wait_until;

#[test]
fn ctrl_c_writes_a_checkpoint_and_the_next_run_resumes() {
    let project = Project::new();
    project.behave("search", "wait");
    let running = project.start(&["run", "all"], "search: worked");
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("search: interrupted"), "{}", ended.err);
    assert_eq!(project.json(&["status", "search"])["stages"][0]["outcome"], "interrupted");
    assert!(project.run_ok(&["run", "all"]).err.contains("search: resuming from epoch 1"));
}

#[test]
fn sigterm_is_handled_like_ctrl_c() {
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
    let mut running = project.start(&["run", "all"], "search: worked");
    running.signal("INT");
    running.wait_for("Ctrl-C again ends at once");
    running.signal("INT");
    let ended = running.end();
    assert!(ended.code == Some(130) && ended.err.contains("ending at once"), "{}", ended.err);
}

#[test]
fn no_worker_outlives_its_planner() {
    let project = Project::new();
    project.behave("search", "wait");
    let running = project.start(&["run", "all"], "search: worked");
    running.signal("KILL");
    assert_eq!(running.end().code, None);
    wait_until("the worker has ended too", || project.started().contains(&"search is alone".to_owned()));
    project.trace();
    let ended = project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), ["search", "parse", "train", "test"], "{}", ended.err);
}

#[test]
fn an_ignored_hangup_does_not_end_a_run() {
    let project = Project::new();
    project.behave("search", "hold");
    let plain = project.command(&["run", "search"]);
    let arguments = plain.get_args().skip_while(|argument| *argument != "run");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", PROGRAM]).args(arguments);
    command.current_dir(project.path("")).env("FAKE_STAGE", project.path("fake"));
    let running = Running::start(command, "search: worked");
    running.signal("HUP");
    project.write("fake/go", "");
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}
