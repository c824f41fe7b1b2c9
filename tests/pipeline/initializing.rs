//! `init FOLDER`: a configuration for a folder of images.

use std::fs;

use crate::project::{Project, Worker};

/// Copies the generated training images to class folders in `folder`.
fn photos(project: &Project, folder: &str) {
    project.run_ok(&["run", "split"]);
    let to = project.folder().join(folder);
    let from = project.folder().join("images/train");
    for class in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let below = to.join(class.file_name().unwrap());
        fs::create_dir_all(&below).unwrap();
        for image in fs::read_dir(class).unwrap().map(|entry| entry.unwrap().path()) {
            fs::copy(&image, below.join(image.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn a_folder_of_classes_gets_a_configuration_that_plans() {
    let project = Project::new(Worker::Real);
    photos(&project, "my photos");
    let ended = project.run_ok(&["init", "my photos", "--output", "new.yaml", "--time", "30m"]);
    assert!(ended.err.contains("80 training images in 10 classes") && ended.err.contains("in all"), "{}", ended.err);
    let text = fs::read_to_string(project.folder().join("new.yaml")).unwrap();
    for words in [
        "root: \"my photos\"",
        "train: .",
        "test: null",
        "space: small",
        "resize: 32",
        "lambda_lat",
        "target_lat_ms: 40%",
        "Expected time",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.contains("crop: padded"), "images of 16 pixels are padded: {text}");
    let plan = project.run_ok(&["plan", "--config", "new.yaml", "--store", "new-store"]);
    assert!(plan.out.contains("search") && plan.out.contains("test"), "{}", plan.out);
    project.run_ok(&["run", "split", "--config", "new.yaml", "--store", "new-store"]);

    let again = project.run(&["init", "my photos", "--output", "new.yaml"]);
    assert!(again.code == Some(2) && again.err.contains("new.yaml already exists"), "{}", again.err);
    assert_eq!(fs::read_to_string(project.folder().join("new.yaml")).unwrap(), text);
}

#[test]
fn train_and_test_folders_are_found_and_unreadable_images_are_named() {
    let project = Project::new(Worker::Real);
    photos(&project, "data/train");
    photos(&project, "data/val");
    let broken = fs::read_dir(project.folder().join("data/train")).unwrap().next().unwrap().unwrap().path();
    fs::write(broken.join("aaa.jpg"), b"no image").unwrap();
    let ended = project.run_ok(&["init", "data", "--output", "data/own.yaml"]);
    let text = fs::read_to_string(project.folder().join("data/own.yaml")).unwrap();
    for words in ["root: .", "train: train", "test: val", "on_bad_image: skip", "1 of"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(ended.err.contains("aaa.jpg"), "{}", ended.err);
    project.run_ok(&["config", "--config", "data/own.yaml"]);
}

#[test]
fn an_invalid_image_folder_is_an_error_and_writes_nothing() {
    let project = Project::new(Worker::Real);
    fs::create_dir_all(project.folder().join("empty")).unwrap();
    fs::create_dir_all(project.folder().join("odd/class")).unwrap();
    fs::write(project.folder().join("odd/class/a.png"), b"text").unwrap();
    for (folder, words) in [("empty", "empty"), ("odd", "none of the sampled images"), ("no-such", "is not a folder")] {
        let failed = project.run(&["init", folder, "--output", "new.yaml"]);
        assert!(failed.code == Some(2) && failed.err.contains(words), "{folder}: {}", failed.err);
        assert!(!project.folder().join("new.yaml").exists());
    }
    let failed = project.run(&["init", "empty", "--time", "1w", "--output", "new.yaml"]);
    assert!(failed.code == Some(2) && failed.err.contains("is not a time"), "{}", failed.err);
}
