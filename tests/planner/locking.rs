//! The file `pipeline.lock`.

use std::fs;
use std::process::Stdio;

use crate::project::{Completed, Project};
use tfnas_testutils::waiting::wait_until;

#[test]
fn status_locked_matches_after_a_run_without_a_store() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let text = fs::read_to_string(project.path("pipeline.lock")).unwrap();
    for words in ["  search:\n", "    key: ", "      latency.table: ", "      test.json: "] {
        assert!(text.contains(words), "`{words}` is missing from\n{text}");
    }
    fs::remove_dir_all(project.path(".tfnas")).unwrap();
    project.run_ok(&["status", "--locked"]);
    project.edit("target_lat_ms: 1.0", "target_lat_ms: 0.9");
    let ended = project.run(&["status", "--locked"]);
    assert!(ended.code == Some(1) && ended.out.contains("search: its parameters differ"), "{}{}", ended.out, ended.err);
    project.edit("target_lat_ms: 0.9", "target_lat_ms: 1.0");
    project.write("images/val/a/0.jpg", "another picture");
    let ended = project.run(&["status", "--locked"]);
    assert!(ended.code == Some(1) && ended.out.contains("test: its input test_images differs"), "{}", ended.out);
}

#[test]
fn a_run_of_one_stage_keeps_other_lock_entries() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let before = fs::read_to_string(project.path("pipeline.lock")).unwrap();
    project.run_ok(&["run", "split"]);
    assert_eq!(fs::read_to_string(project.path("pipeline.lock")).unwrap(), before);
}

#[test]
fn merge_conflict_markers_are_reported_before_a_run() {
    let project = Project::new();
    project.write("pipeline.lock", "version: 1\n<<<<<<< HEAD\n");
    for arguments in [&["run", "all"][..], &["status", "--locked"]] {
        let ended = project.run(arguments);
        assert!(ended.code == Some(2) && ended.err.contains("pipeline.lock:2"), "{}", ended.err);
    }
    assert!(project.trace().is_empty());
}

#[test]
fn a_lock_file_that_cannot_be_written_does_not_hide_the_results() {
    for json in [true, false] {
        let project = Project::new();
        project.behave("split", "hold");
        let mut command = project.command(if json { &["run", "all", "--json"] } else { &["run", "all"] });
        let running = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the first stage has started", || !project.started().is_empty());
        // A folder of this name can neither be read nor replaced, not even by root.
        project.write("pipeline.lock/file", "");
        project.write("fake/go", "");
        let ended = Completed::new(&running.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains("pipeline.lock") && ended.err.contains("hint: "), "{}", ended.err);
        if json {
            assert!(ended.out.lines().last().unwrap().contains("\"event\":\"finished\""), "{}", ended.out);
        } else {
            assert!(ended.out.contains("test"), "{}", ended.out);
        }
        assert!(project.path(".tfnas/reports/1.html").exists(), "{}", ended.err);
    }
}
