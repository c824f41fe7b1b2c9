//! Drawn test images, and classes without test images, with the real worker.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::project::{Project, Worker};

/// Returns a project in which the images exist.
fn project() -> Project {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "split"]);
    project
}

fn run(project: &Project, verb: &[&str], sets: &[&str]) -> String {
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    project.run_ok(&[verb, &sets].concat()).out
}

fn lines(path: &Path) -> BTreeSet<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn drawn_test_images_are_disjoint_published_and_replayed() {
    let project = project();
    fs::remove_dir_all(project.folder().join("images/test")).unwrap();
    let sets = ["data.generate=", "data.test=null", "split.test_share=0.25"];
    let out = run(&project, &["run", "all"], &sets);
    assert!(out.contains("test images drawn from the training folder: 25 % of each class, seed 0"), "{out}");
    run(&project, &["publish", "latest", "--out", "published"], &sets);
    let published = project.folder().join("published");
    let list = |name: &str| lines(&published.join("lists").join(name));
    let (test, all) = (list("test.list"), list("all.list"));
    // Ten classes with eight images each.
    assert_eq!((test.len(), all.len()), (20, 60));
    assert!(test.is_disjoint(&all) && all.is_superset(&list("train.list")) && all.is_superset(&list("val.list")));
    let report: Value = serde_json::from_slice(&fs::read(published.join("metrics/test.json")).unwrap()).unwrap();
    assert_eq!((&report["images"], &report["untested"]), (&Value::from(20), &Value::Null));
    let card = fs::read_to_string(published.join("README.md")).unwrap();
    assert!(card.contains("25 % of each class, seed 0"), "{card}");
    let ended = project.run_ok(&["audit", "published", "--replay", "all", "--data", "images"]);
    assert!(ended.out.contains("ok, reached L5"), "{}", ended.out);

    // A network for a subset of the classes is tested on that subset only.
    let mut classes: Vec<String> = lines(&published.join("lists/all_classes.txt")).into_iter().collect();
    classes.truncate(3);
    classes.reverse();
    fs::write(project.folder().join("classes.txt"), classes.join("\n")).unwrap();
    let sets = [&sets[..], &["split.classes=classes.txt", "train.protocol=held_out"]].concat();
    run(&project, &["run", "all"], &sets);
    run(&project, &["publish", "latest", "--out", "chosen"], &sets);
    let chosen = project.folder().join("chosen");
    let report: Value = serde_json::from_slice(&fs::read(chosen.join("metrics/test.json")).unwrap()).unwrap();
    assert_eq!((&report["images"], report["classes"].as_array().unwrap().len()), (&Value::from(6), 3));
    assert_eq!(report["classes"][0]["name"], Value::from(classes[0].clone()));
    let ended = project.run_ok(&["audit", "chosen"]);
    assert!(ended.out.contains("ok, reached L3"), "{}", ended.out);
}

#[test]
fn a_class_without_test_images_is_reported_as_untested() {
    let project = project();
    let images = project.folder().join("images");
    let class = fs::read_dir(images.join("test")).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    fs::rename(images.join("test").join(&class), images.join("test/unknown")).unwrap();
    let out = run(&project, &["run", "all"], &["data.generate="]);
    assert!(out.contains(&format!("are not tested: `{class}`")) && out.contains("skipped: `unknown`"), "{out}");
    assert!(out.contains("of 18 images, 1 class without test images"), "{out}");
    run(&project, &["publish", "latest", "--out", "published"], &["data.generate="]);
    let published = project.folder().join("published");
    let report: Value = serde_json::from_slice(&fs::read(published.join("metrics/test.json")).unwrap()).unwrap();
    assert_eq!(report["untested"], serde_json::json!([class]));
    let classes = report["classes"].as_array().unwrap();
    let untested = classes.iter().find(|found| found["name"] == class.as_str()).unwrap();
    assert_eq!((&untested["images"], &untested["top1"]), (&Value::from(0), &Value::Null));
    let card = fs::read_to_string(published.join("README.md")).unwrap();
    assert!(card.contains("1 of 10 classes have no test images"), "{card}");
    let ended = project.run_ok(&["audit", "published", "--replay", "test", "--data", "images"]);
    assert!(ended.out.contains("ok, reached L4"), "{}", ended.out);
}
