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

#[test]
fn the_configuration_of_a_matrix_can_be_read_back() {
    let project = Project::new();
    let set = "matrix={train.lr: [0.1, 0.2], data.exif_orientation: [ignore, apply]}";
    let json = project.run_ok(&["config", "--json", "--set", set]).out;
    project.write("c.json", &json);
    let plan = |arguments: &[&str]| actions(&project.json(arguments));
    assert_eq!(plan(&["plan", "--config", "c.json"]), plan(&["plan", "--set", set]));
    let text = project.run_ok(&["config", "--set", set]).out;
    let line =
        |key: &str| text.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap_or_default().to_owned();
    assert!(line("matrix.train.lr").contains("[0.1,0.2]") && line("matrix.train.lr").contains("--set"), "{text}");
    assert!(line("train.lr").is_empty(), "{text}");
    assert!(line("data.decode").contains("exact") && line("data.decode").ends_with("default"), "{text}");
    assert!(line("data.resize").contains("null") && line("data.resize").ends_with("default"), "{text}");
}
