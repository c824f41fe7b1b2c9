//! Checks of test images against training images before a run, and drawn test images.

use std::fs;

use serde_json::{Value, json};

use crate::project::{Completed, Project, actions, step};

/// Returns a project whose configuration sets neither `data.train` nor `data.test`.
fn without_image_folders() -> Project {
    let project = Project::new();
    project.edit("  train: train\n  test: val\n", "");
    project
}

/// Checks that `plan` and `run all` fail with these words and start nothing.
fn assert_fails(project: &Project, sets: &[&str], words: &[&str]) {
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    for verb in [&["plan"][..], &["run", "all"]] {
        let ended = project.run(&[verb, &sets].concat());
        assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
        words.iter().for_each(|word| assert!(ended.err.contains(word), "{word}: {}", ended.err));
    }
    assert!(project.trace().is_empty());
}

fn kinds(plan: &Value, of: &str) -> Vec<String> {
    plan[of].as_array().unwrap().iter().map(|remark| remark["kind"].as_str().unwrap().to_owned()).collect()
}

fn message(plan: &Value, of: &str) -> String {
    plan[of][0]["message"].as_str().unwrap().to_owned()
}

const DRAWN: &str = "test images drawn from the training folder: 15 % of each class, seed 3";

#[test]
fn without_a_test_folder_test_images_are_drawn_with_a_note() {
    let project = without_image_folders();
    fs::remove_dir_all(project.path("images/val")).unwrap();
    let plan = project.json(&["plan"]);
    assert_eq!(plan["notes"], json!([{ "kind": "test_images_drawn", "message": DRAWN }]));
    assert_eq!(plan["warnings"], json!([]));
    assert!(project.run_ok(&["plan"]).out.contains(DRAWN));
    let ended = project.run_ok(&["run", "all"]);
    assert!(ended.out.contains(&format!("data\n  {DRAWN}\n")), "{}", ended.out);
    assert_eq!(project.trace().len(), 6);
    let status = project.json(&["status"]);
    let outputs = step(&status, "split")["outputs"].as_array().unwrap();
    assert!(outputs.iter().any(|output| output["name"] == "test.list"), "{outputs:?}");
    // An unchanged configuration runs nothing; another share is another split.
    project.run_ok(&["run", "all"]);
    assert!(project.trace().is_empty());
    let plan = project.json(&["plan", "--set", "split.test_share=0.3"]);
    assert_eq!(step(&plan, "split")["because"][0]["field"], "split.test_share");
}

#[test]
fn events_include_notes_and_warnings() {
    let project = without_image_folders();
    fs::remove_dir_all(project.path("images/val")).unwrap();
    let events = project.events(&["run", "split"]);
    assert_eq!(events[0], json!({ "event": "note", "kind": "test_images_drawn", "message": DRAWN }));
    let last = events.last().unwrap();
    assert_eq!((kinds(last, "notes"), last.get("warnings")), (vec!["test_images_drawn".to_owned()], None));
}

#[test]
fn an_existing_test_folder_keeps_keys_and_outputs() {
    let (named, without_image_folders) = (Project::new(), without_image_folders());
    let keys = |project: &Project| step(&project.json(&["plan"]), "split")["key"].clone();
    assert_eq!(keys(&named), keys(&without_image_folders));
    let plan = without_image_folders.json(&["plan"]);
    assert_eq!((&plan["notes"], &plan["warnings"]), (&json!([]), &json!([])));
    without_image_folders.run_ok(&["run", "split"]);
    let status = without_image_folders.json(&["status"]);
    assert_eq!(step(&status, "split")["outputs"].as_array().unwrap().len(), 6);
}

#[test]
fn class_folders_can_be_under_the_root_or_in_a_list() {
    let project = without_image_folders();
    for part in ["train", "val"] {
        fs::remove_dir_all(project.path("images").join(part)).unwrap();
    }
    for image in 0..4 {
        project.write(&format!("images/cat/{image}.jpg"), &format!("cat {image}"));
        project.write(&format!("images/dog/{image}.jpg"), &format!("dog {image}"));
    }
    assert_eq!(message(&project.json(&["plan"]), "notes"), DRAWN);
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace().len(), 6);
    let config = project.json(&["config"]);
    assert_eq!((&config["data"]["train"], &config["data"]["test"]), (&json!("."), &Value::Null));
    project.write("images/my.list", "cat/0.jpg 0\ncat/1.jpg 0\ncat/2.jpg 0\ndog/0.jpg 1\ndog/1.jpg 1\n");
    let plan = project.json(&["plan", "--set", "data.train=my.list"]);
    assert_eq!(message(&plan, "notes"), DRAWN.replace("folder", "list"));
}

#[test]
fn a_similar_test_folder_is_suggested_and_nothing_is_drawn() {
    let project = without_image_folders();
    fs::rename(project.path("images/val"), project.path("images/test")).unwrap();
    let ended = project.run(&["run", "all"]);
    assert!(ended.code == Some(2) && ended.err.contains("images/val does not exist"), "{}", ended.err);
    assert!(ended.err.contains("`data.test: test`") && ended.err.contains("`data.test: null`"), "{}", ended.err);
    project.run_ok(&["run", "all", "--set", "data.test=test"]);
    let plan = project.json(&["plan", "--set", "data.test=null"]);
    assert_eq!(kinds(&plan, "notes"), ["test_images_drawn"]);
}

#[test]
fn invalid_test_shares_are_rejected() {
    let project = without_image_folders();
    assert_fails(&project, &["split.test_share=0.2"], &["split.test_share", "images/val", "`data.test: null`"]);
    assert_fails(&project, &["split.test_share=0.2", "data.test=val"], &["split.test_share", "`data.test`"]);
    fs::remove_dir_all(project.path("images/val")).unwrap();
    for share in ["0", "1", "1.5", "-1"] {
        let set = format!("split.test_share={share}");
        assert_fails(&project, &[&set], &["split.test_share", "must be between 0 and 1"]);
    }
    assert_fails(&project, &["split.published=imagenet100"], &["split.published", "data.test"]);
}

#[test]
fn overlapping_test_images_are_reported_before_a_run() {
    let project = Project::new();
    project.write("images/val/a/copy of 1.jpg", "train/a 1");
    assert_fails(
        &project,
        &[],
        &[
            "1 of 7 test images have the same content as training images",
            "images/val/a/copy of 1.jpg = images/train/a/1.jpg",
            "data.allow_overlap: true",
        ],
    );
    // The search reads no test images.
    project.run_ok(&["plan", "search"]);
    let key = |sets: &[&str]| step(&project.json(&[&["plan", "split"], sets].concat()), "split")["key"].clone();
    assert_eq!(key(&[]), key(&["--set", "data.allow_overlap=true"]));
    let plan = project.json(&["plan", "--set", "data.allow_overlap=true"]);
    assert_eq!(kinds(&plan, "warnings"), ["overlap"]);
    let ended = project.run_ok(&["run", "all", "--set", "data.allow_overlap=true"]);
    let warning = "warning: 1 of 7 test images have the same content as training images";
    assert!(ended.out.contains(warning) && ended.err.contains("1 of 7 test images"), "{}{}", ended.out, ended.err);
    project.trace();
    fs::remove_file(project.path("images/val/a/copy of 1.jpg")).unwrap();
    project.run_ok(&["run", "all"]);
    assert_eq!(project.trace(), ["train", "test"]);
}

#[test]
fn drawn_test_images_with_copies_in_training_are_a_warning() {
    let project = without_image_folders();
    fs::remove_dir_all(project.path("images/val")).unwrap();
    assert_eq!(project.json(&["plan"])["warnings"], json!([]));
    // Whichever of the three is drawn, its copies remain in the training set.
    for image in 0..3 {
        project.write(&format!("images/train/a/{image}.jpg"), "one image");
    }
    let plan = project.json(&["plan"]);
    assert_eq!(kinds(&plan, "warnings"), ["overlap"]);
    assert!(message(&plan, "warnings").starts_with("1 of 2 test images have the same content"), "{plan}");
}

#[test]
fn using_the_training_folder_as_test_lists_five_overlaps() {
    let project = Project::new();
    let ended = project.run(&["plan", "--set", "data.test=train"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("6 of 6 test images"), "{}", ended.err);
    assert_eq!(ended.err.matches("images/train/").count(), 10, "{}", ended.err);
    assert!(ended.err.contains(", …"), "{}", ended.err);
}

#[test]
fn files_that_are_not_images_and_images_of_other_classes_do_not_overlap() {
    let project = Project::new();
    for part in ["train", "val"] {
        project.write(&format!("images/{part}/a/README.txt"), "the same");
        project.write(&format!("images/{part}/labels.jpg"), "the same");
        project.write(&format!("images/{part}/b/empty.jpg"), "");
    }
    project.write("images/val/other/0.jpg", "train/a 0");
    let plan = project.json(&["plan"]);
    assert_eq!(kinds(&plan, "warnings"), ["unknown_test_classes"]);
}

#[test]
fn lists_that_share_images_are_rejected() {
    let project = Project::new();
    project.write("images/train.list", "train/a/0.jpg 0\ntrain/b/0.jpg 1\nval/a/2.jpg 0\n");
    project.write("images/test.list", "val/a/2.jpg 0\nval/b/2.jpg 1\n");
    let lists = ["data.train=train.list", "data.test=test.list"];
    assert_fails(&project, &lists, &["1 of 2 test images", "images/val/a/2.jpg = images/val/a/2.jpg"]);
}

#[test]
fn a_space_with_another_number_of_classes_than_the_images_is_an_error_before_anything_runs() {
    let project = Project::new();
    let mut space = project.json(&["config", "--set", "space={base: small, width_step: 2}"])["space"].clone();
    space["classes"] = json!(3);
    project.write("space.yaml", &space.to_string());
    let words = ["space.classes", "the space has 3 classes, but the training images have 2", "or remove it"];
    assert_fails(&project, &["space=space.yaml"], &words);
    space["classes"] = json!(2);
    project.write("space.yaml", &space.to_string());
    project.run_ok(&["plan", "--set", "space=space.yaml"]);
}

#[test]
fn classes_that_differ_only_in_case_are_an_error() {
    let project = Project::new();
    fs::rename(project.path("images/val/a"), project.path("images/val/A")).unwrap();
    assert_fails(&project, &[], &["data.test", "`A` is `a` in the training images", "differ in case"]);
    fs::rename(project.path("images/val/b"), project.path("images/val/B")).unwrap();
    assert_fails(&project, &[], &["`A` is `a`", "`B` is `b`"]);
    let project = Project::new();
    fs::rename(project.path("images/train/a"), project.path("images/train/red fox")).unwrap();
    fs::rename(project.path("images/val/a"), project.path("images/val/red_fox")).unwrap();
    assert_fails(&project, &[], &["`red_fox` is `red fox`", "spaces, hyphens or underscores"]);
}

#[test]
fn missing_and_unknown_test_classes_are_warnings() {
    let project = Project::new();
    fs::remove_dir_all(project.path("images/val/b")).unwrap();
    project.write("images/val/c/0.jpg", "val/c 0");
    project.write("images/val/d/readme.txt", "no class");
    let plan = project.json(&["plan"]);
    assert_eq!(kinds(&plan, "warnings"), ["untested_classes", "unknown_test_classes"]);
    let text = project.run_ok(&["plan"]).out;
    assert!(text.contains("warning: 1 of 2 training classes have no test images and are not tested: `b`"), "{text}");
    assert!(text.contains("warning: 1 class of the test images") && text.contains("skipped: `c`\n"), "{text}");
    let ended: Completed = project.run_ok(&["run", "all"]);
    assert!(ended.out.contains("are not tested: `b`"), "{}", ended.out);
    project.trace();
    fs::remove_dir_all(project.path("images/val/a")).unwrap();
    assert_fails(&project, &[], &["data.test", "has no images of the 2 training classes", "`c`"]);
}

#[test]
fn a_subset_of_classes_is_tested_without_warnings() {
    let project = Project::new();
    project.write("classes.txt", "a\n");
    let sets = ["--set", "split.classes=classes.txt", "--set", "train.protocol=held_out"];
    let plan = project.json(&[&["plan"], &sets[..]].concat());
    assert_eq!((kinds(&plan, "notes"), kinds(&plan, "warnings")), (vec![], vec![]));
    fs::remove_dir_all(project.path("images/val/b")).unwrap();
    let plan = project.json(&[&["plan"], &sets[..]].concat());
    assert!(kinds(&plan, "warnings").is_empty(), "{plan}");
    // The published protocol trains on all classes.
    let plan = project.json(&["plan", "--set", "split.classes=classes.txt"]);
    assert_eq!(kinds(&plan, "warnings"), ["untested_classes"]);
}

#[test]
fn labels_of_a_test_list_must_match_the_training_classes() {
    let project = Project::new();
    let plan = |list: &str| {
        project.write("images/test.list", list);
        project.run(&["plan", "--json", "--set", "data.test=test.list"])
    };
    let good = |list: &str| -> Value { serde_json::from_str(&plan(list).out).unwrap() };
    assert!(kinds(&good("val/a/0.jpg 0\nval/b/0.jpg 1\n"), "warnings").is_empty());
    assert_eq!(kinds(&good("val/a/0.jpg 0\n"), "warnings"), ["untested_classes"]);
    let beyond = good("val/a/0.jpg 0\nval/b/0.jpg 1\nval/b/1.jpg 7\n");
    assert_eq!(kinds(&beyond, "warnings"), ["unknown_test_classes"]);
    assert!(message(&beyond, "warnings").contains("label 7"), "{beyond}");
    let swapped = plan("val/a/0.jpg 1\nval/b/0.jpg 0\n");
    assert_eq!(swapped.code, Some(2), "{}", swapped.out);
    assert!(swapped.err.contains("label 0 is class `a`"), "{}", swapped.err);
    let none = plan("val/a/0.jpg 5\n");
    assert!(none.code == Some(2) && none.err.contains("no images of the 2 training classes"), "{}", none.err);
}

#[test]
fn a_test_of_given_weights_is_checked_too() {
    use tfnas::{Architecture, ModelConfig, Space};
    use tfnas_random::{Stream, StreamId};
    let project = Project::new();
    let space = Space::small();
    let network = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
    let config = ModelConfig::from_architecture(&space, &network, 2).unwrap();
    project.write("model.config", &config.to_text());
    fs::write(project.path("w.pth.tar"), crate::weights::weights(&config, |_| {})).unwrap();
    let run = ["run", "test", "--from", "model.config", "--weights", "w.pth.tar"];
    project.run_ok(&run);
    fs::rename(project.path("images/val/a"), project.path("images/val/A")).unwrap();
    project.trace();
    let ended = project.run(&run);
    assert!(ended.code == Some(2) && ended.err.contains("differ in case"), "{}", ended.err);
    assert!(project.trace().is_empty());
    let plan = project.json(&["plan", "search"]);
    assert_eq!(actions(&plan).len(), 3);
}
