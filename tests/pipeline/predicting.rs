//! Classification of images with the trained network.

use std::fs;

use serde_json::Value;

use crate::project::{Project, Worker};

fn predictions(out: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(out).unwrap()["predictions"].as_array().unwrap().clone()
}

#[test]
fn predictions_match_the_test_and_the_exported_files() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "test"]);
    let found = predictions(&project.run_ok(&["predict", "images/test", "--top", "2", "--json"]).out);
    let hits = found.iter().filter(|answer| {
        let class = answer["classes"][0]["class"].as_str().unwrap();
        answer["image"].as_str().unwrap().contains(&format!("/{class}/"))
    });
    project.run_ok(&["export", "test.json", "test.json"]);
    let test: Value = serde_json::from_str(&fs::read_to_string(project.folder().join("test.json")).unwrap()).unwrap();
    assert_eq!(found.len() as u64, test["images"].as_u64().unwrap());
    let top1 = hits.count() as f64 / found.len() as f64;
    assert!((top1 - test["top1"].as_f64().unwrap()).abs() < 1e-9, "{top1}");
    for answer in &found {
        let classes = answer["classes"].as_array().unwrap();
        let probability = |index: usize| classes[index]["probability"].as_f64().unwrap();
        assert!(classes.len() == 2 && probability(0) >= probability(1) && probability(0) + probability(1) < 1.0 + 1e-9);
    }

    for name in ["model.config", "best.safetensors", "classes.txt"] {
        project.run_ok(&["export", name, name]);
    }
    let files = ["--model", "model.config", "--weights", "best.safetensors", "--classes", "classes.txt"];
    let sizes = ["--resolution", "16", "--resize", "16", "--device", "cpu", "--json"];
    let again = project.run_ok(&[&["predict", "images/test", "--top", "2"][..], &files, &sizes].concat()).out;
    assert_eq!(predictions(&again), found);
}

#[test]
fn unreadable_images_are_reported_and_others_classified() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "train"]);
    let image = fs::read_dir(project.folder().join("images/train")).unwrap().next().unwrap().unwrap().path();
    let image = fs::read_dir(image).unwrap().next().unwrap().unwrap().path();
    fs::copy(&image, project.folder().join("good, \"really\".png")).unwrap();
    let bytes = fs::read(&image).unwrap();
    fs::write(project.folder().join("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    let ended = project.run(&["predict", "cut.png", "good, \"really\".png", "--format", "csv", "--top", "1"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0], "image,rank,class,probability,error");
    assert!(lines[1].starts_with("cut.png,,,,"), "{}", ended.out);
    assert!(lines[2].starts_with("\"good, \"\"really\"\".png\",1,"), "{}", ended.out);
    assert!(ended.err.contains("1 of 2 images cannot be read"), "{}", ended.err);
}

#[test]
fn invalid_inputs_of_predict_are_errors() {
    let project = Project::new(Worker::Real);
    let assert_fails = |arguments: &[&str], words: &[&str]| {
        let ended = project.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.err);
        assert!(words.iter().all(|word| ended.err.contains(word)), "{arguments:?}: {}", ended.err);
    };
    fs::create_dir(project.folder().join("empty")).unwrap();
    assert_fails(&["predict", "empty"], &["empty: there are no images"]);
    assert_fails(&["predict", "none.jpg"], &["none.jpg: there is no such file"]);
    assert_fails(&["predict", "pipeline.yaml"], &["has no result", "`run "]);
    assert_fails(&["predict"], &["<IMAGE>"]);
}
