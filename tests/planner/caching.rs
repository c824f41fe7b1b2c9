//! Which stages rerun after a change.

use std::fs;

use crate::project::{Project, STAGES, actions};

#[test]
fn a_second_run_starts_no_worker() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), STAGES);
    project.run_ok(&["run", "all"]);
    assert!(project.trace().is_empty());
}

#[test]
fn a_new_target_reruns_the_search_and_later_stages() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    project.edit("target_lat_ms: 1.0", "target_lat_ms: 0.9");
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), ["search", "parse", "train", "test"]);
}

#[test]
fn restoring_an_old_value_runs_nothing() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.run_ok(&["run", "all", "--set", "search.epochs=3"]);
    project.trace();
    project.run_ok(&["run", "all"]);
    assert!(project.trace().is_empty());
}

#[test]
fn worker_counts_and_the_data_path_do_not_affect_keys() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    fs::rename(project.path("images"), project.path("moved")).unwrap();
    project.run_ok(&["run", "all", "--set", "data.workers=3", "--set", "threads=2", "--set", "data.root=moved"]);
    assert!(project.trace().is_empty());
}

#[test]
fn parameters_of_a_stage_do_not_rerun_earlier_stages() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    project.run_ok(&["run", "all", "--set", "train.lr=0.1"]);
    assert_eq!(project.trace(), ["train", "test"]);
    project.run_ok(&["run", "all", "--set", "test.batch=7"]);
    assert_eq!(project.trace(), ["test"]);
}

#[test]
fn equal_outputs_stop_the_propagation() {
    let project = Project::new();
    project.behave("split", "same");
    project.run_ok(&["run", "all"]);
    project.trace();
    project.behave("split", "same");
    project.run_ok(&["run", "all", "--set", "split.train_share=0.7"]);
    assert_eq!(project.trace(), ["split"], "the lists are the same, so nothing else reruns");
}

#[test]
fn a_changed_image_reruns_the_stages_that_read_it() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    project.write("images/val/a/0.jpg", "another picture");
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), ["train", "test"]);
    project.write("images/train/b/2.jpg", "another picture too");
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace()[0], "split");
}

#[test]
fn one_stage_runs_with_its_dependencies() {
    let project = Project::new();
    project.run_ok(&["run", "parse"]);
    assert_eq!(project.trace(), ["split", "lookup", "search", "parse"]);
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), ["train", "test"]);
}

#[test]
fn force_reruns_only_the_given_stage() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    project.run_ok(&["run", "all", "--force", "search"]);
    assert_eq!(project.trace(), ["search"], "its outputs have the same bytes");
}

#[test]
fn an_imported_table_makes_the_lookup_depend_on_its_content() {
    let project = Project::new();
    project.run_ok(&["run", "lookup"]);
    let table = project.json(&["status", "lookup"])["stages"][0]["outputs"][0]["path"].as_str().unwrap().to_owned();
    fs::copy(table, project.path("a.table")).unwrap();
    fs::copy(project.path("a.table"), project.path("b.table")).unwrap();
    project.run_ok(&["run", "all", "--set", "lookup.import=a.table"]);
    project.trace();
    project.run_ok(&["run", "all", "--set", "lookup.import=b.table"]);
    assert!(project.trace().is_empty(), "the same table under another name");
}

#[test]
fn a_damaged_artifact_is_reported_and_recreated() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    let status = project.json(&["status", "search"]);
    let path = status["stages"][0]["outputs"][0]["path"].as_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let mut permissions = fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(path, permissions).unwrap();
    fs::write(path, text.replace("search", "hcraes")).unwrap();
    let ended = project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), ["search"], "{}", ended.err);
    assert_eq!(fs::read_to_string(path).unwrap(), text);
}

#[test]
fn a_missing_artifact_is_recreated() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    let status = project.json(&["status", "train"]);
    fs::remove_file(status["stages"][0]["outputs"][0]["path"].as_str().unwrap()).unwrap();
    let plan = project.json(&["plan"]);
    assert_eq!(actions(&plan)[4], ("train".to_owned(), "run".to_owned()));
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), ["train"]);
}

#[test]
fn dry_run_and_plan_start_and_write_nothing() {
    let project = Project::new();
    project.run_ok(&["run", "all", "--dry-run"]);
    project.run_ok(&["plan"]);
    project.run_ok(&["status"]);
    project.run_ok(&["explain", "search"]);
    project.run_ok(&["log"]);
    assert!(project.trace().is_empty());
    assert!(!project.path(".tfnas").exists());
}

#[test]
fn the_store_path_can_be_changed() {
    let project = Project::new();
    project.run_ok(&["run", "split", "--store", "elsewhere/store"]);
    assert!(project.path("elsewhere/store").exists() && !project.path(".tfnas").exists());
}

#[test]
fn the_digest_of_a_list_covers_its_text_and_images() {
    let project = Project::new();
    project.write("images/train.list", "train/a/0.jpg 0\ntrain/b/0.jpg 1\n");
    let run = ["run", "split", "--set", "data.train=train.list"];
    project.run_ok(&run);
    project.trace();
    project.write("images/train/a/2.jpg", "not in the list");
    project.run_ok(&run);
    assert!(project.trace().is_empty());
    project.write("images/train/a/0.jpg", "in the list");
    project.run_ok(&run);
    assert_eq!(project.trace(), ["split"]);
}

#[test]
fn generated_images_are_created_by_the_first_run() {
    let project = Project::new();
    let generate = ["--set", "data.root=made", "--set", "data.test=test", "--set"];
    let set = "data.generate={size: 16, train_per_class: 2, test_per_class: 1}";
    let arguments = |verb: &[&'static str]| [verb, &generate, &[set]].concat();
    let plan = project.json(&arguments(&["plan"]));
    assert_eq!(actions(&plan)[0], ("split".to_owned(), "unknown".to_owned()));
    assert!(!project.path("made").exists());
    project.run_ok(&arguments(&["run", "all"]));
    assert!(project.path("made/train/disc").exists());
    project.trace();
    project.run_ok(&arguments(&["run", "all"]));
    assert!(project.trace().is_empty());
    let other = set.replace("16", "24");
    let ended = project.run(&[&["run", "all"][..], &generate, &[&other]].concat());
    assert!(ended.code == Some(2) && ended.err.contains("other parameters"), "{}", ended.err);
}
