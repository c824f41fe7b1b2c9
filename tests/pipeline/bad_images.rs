//! Unreadable images: all of them are reported before anything is computed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::project::{Project, Worker};

/// Returns the images of a folder of the generated set, in order.
fn images(project: &Project, folder: &str) -> Vec<PathBuf> {
    let mut images = Vec::new();
    for class in fs::read_dir(project.folder().join("images").join(folder)).unwrap() {
        images.extend(fs::read_dir(class.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    images.sort();
    images
}

/// Returns a project in which `split` has run.
fn project() -> Project {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "split"]);
    project
}

fn short(path: &Path) -> String {
    let parts: Vec<_> = path.iter().rev().take(2).map(|part| part.to_str().unwrap()).collect();
    format!("{}/{}", parts[1], parts[0])
}

#[test]
fn all_bad_images_are_reported_before_the_search_and_can_be_skipped() {
    let project = project();
    let (train, test) = (images(&project, "train"), images(&project, "test"));
    fs::write(&train[0], "").unwrap();
    fs::write(&train[9], "<!DOCTYPE html><html>not found</html>").unwrap();
    let bytes = fs::read(&train[20]).unwrap();
    fs::write(&train[20], &bytes[..bytes.len() / 2]).unwrap();
    fs::write(&test[3], "words").unwrap();
    let ended = project.run(&["run", "all"]);
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
    for words in [
        "data.train: 3 of 80 images cannot be read".to_owned(),
        format!("{}: the file is empty", short(&train[0])),
        format!("{}: not a JPEG, PNG, WebP, BMP, GIF, TIFF or PNM file: its content is an HTML page", short(&train[9])),
        format!("{}: ", short(&train[20])),
        "data.test: 1 of 20 images cannot be read".to_owned(),
        format!("{}: not a JPEG", short(&test[3])),
        "data.on_bad_image: skip".to_owned(),
    ] {
        assert!(ended.err.contains(&words), "`{words}` is missing from\n{}", ended.err);
    }
    assert!(!ended.err.contains("search"), "{}", ended.err);

    let ended = project.run_ok(&["run", "all", "--set", "data.on_bad_image=skip"]);
    let expected = format!(
        "3 of 80 images of data.train cannot be read and are skipped: {}, {}, {}",
        short(&train[0]),
        short(&train[9]),
        short(&train[20])
    );
    assert!(ended.err.contains(&expected), "{}", ended.err);
    assert!(ended.err.contains("1 of 20 test images could not be read and were skipped: "), "{}", ended.err);

    project.run_ok(&["export", "predictions.csv", "predictions.csv", "--set", "data.on_bad_image=skip"]);
    let rows = fs::read_to_string(project.folder().join("predictions.csv")).unwrap();
    let named: Vec<&str> = rows.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
    let readable: Vec<String> =
        test.iter().enumerate().filter(|(index, _)| *index != 3).map(|(_, path)| short(path)).collect();
    assert_eq!(named, readable, "each readable image, in the order of the list");
}

#[test]
fn many_bad_images_are_listed_in_a_file() {
    let project = project();
    let train = images(&project, "train");
    train.iter().take(30).for_each(|path| fs::write(path, "").unwrap());
    let ended = project.run(&["run", "all"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("30 of 80 images") && ended.err.contains("and 10 more"), "{}", ended.err);
    assert_eq!(ended.err.matches(": the file is empty").count(), 20, "{}", ended.err);
    let (_, file) = ended.err.split_once("(full list: ").unwrap();
    let report = fs::read_to_string(file.split_once(')').unwrap().0).unwrap();
    assert!(train.iter().take(30).all(|path| report.contains(&short(path))), "{report}");
    let ended = project.run_ok(&["run", "split", "--set", "data.on_bad_image=skip"]);
    assert!(ended.err.contains(" and 25 more (full list: "), "{}", ended.err);
}

#[test]
fn all_empty_classes_are_reported_at_once() {
    let project = project();
    for class in ["empty1", "empty2", "empty3"] {
        fs::create_dir(project.folder().join("images/train").join(class)).unwrap();
    }
    fs::write(project.folder().join("images/train/empty2/a.heic"), "x").unwrap();
    let ended = project.run(&["run", "split", "--force", "split"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("no images in 3 classes: \"empty1\", \"empty2\", \"empty3\""), "{}", ended.err);
}
