//! Matrix runs over lists of values.

use crate::project::{Project, actions};

#[test]
fn a_list_of_targets_runs_the_shared_stages_once() {
    let project = Project::new();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: [0.8, 1.0]");
    project.run_ok(&["run", "all", "-j", "2"]);
    let mut trace = project.trace();
    trace.sort();
    let expected = [
        "lookup",
        "parse@0.8",
        "parse@1",
        "search@0.8",
        "search@1",
        "split",
        "test@0.8",
        "test@1",
        "train@0.8",
        "train@1",
    ];
    assert_eq!(trace, expected);
    project.run_ok(&["run", "all"]);
    assert!(project.trace().is_empty());
}

#[test]
fn a_target_that_ran_before_is_cached_in_a_matrix() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    project.run_ok(&["run", "all", "--set", "search.target_lat_ms=[0.8, 1.0]"]);
    assert!(project.trace().iter().all(|id| id.ends_with("@0.8")));
}

#[test]
fn one_instance_can_be_selected() {
    let project = Project::new();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: [0.8, 1.0]");
    project.run_ok(&["run", "parse@0.8"]);
    assert_eq!(project.trace(), ["split", "lookup", "search@0.8", "parse@0.8"]);
    let ended = project.run(&["run", "parse@0.9"]);
    assert!(ended.code == Some(2) && ended.err.contains("did you mean `parse@0.8`"), "{}", ended.err);
}

#[test]
fn any_key_can_have_a_list_under_matrix() {
    let project = Project::new();
    let plan = project.json(&["plan", "--set", "matrix.train.lr=[0.1, 0.2]"]);
    let ids: Vec<String> = actions(&plan).into_iter().map(|(id, _)| id).collect();
    assert_eq!(
        ids,
        ["split", "lookup", "search", "parse", "train@lr=0.1", "train@lr=0.2", "test@lr=0.1", "test@lr=0.2"]
    );
}
