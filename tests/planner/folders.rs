//! Non-image files in image folders, and which images a worker checks first.

use std::fs;

use serde_json::Value;

use crate::project::Project;

/// Returns the keys of the data sets that the last job of this stage had to check.
fn checked_images(project: &Project, id: &str) -> Vec<String> {
    let jobs = fs::read_dir(project.path(".tfnas/logs")).unwrap().map(|entry| entry.unwrap().path());
    let mut jobs: Vec<_> = jobs.filter(|path| path.to_string_lossy().ends_with(".job.json")).collect();
    jobs.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    let mut jobs = jobs.iter().map(|path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap());
    let last = jobs.rfind(|job| job["id"] == id).unwrap();
    let sets = last["check"]["sets"].as_array().cloned().unwrap_or_default();
    sets.iter().map(|set| set["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn hidden_and_system_files_are_ignored_and_counted() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    for file in
        [".DS_Store", "a/Thumbs.db", "a/._0.jpg", ".ipynb_checkpoints/0.jpg", "@eaDir/b/c/0.jpg", "b/__MACOSX/._0.jpg"]
    {
        project.write(&format!("images/train/{file}"), "x");
    }
    project.write("images/val/$RECYCLE.BIN/0.jpg", "x");
    let ended = project.run_ok(&["run", "all"]);
    assert!(project.trace().is_empty(), "nothing reruns");
    for line in [
        "data.train: ignored 6 hidden or system files and folders",
        "data.test: ignored 1 hidden or system file or folder",
    ] {
        assert_eq!(ended.err.matches(line).count(), 1, "{}", ended.err);
    }
    assert!(project.run_ok(&["plan"]).err.contains("data.train: ignored 6 hidden"));
}

#[test]
fn unsupported_image_formats_are_counted_by_extension() {
    let project = Project::new();
    for file in ["a/1.HEIC", "a/2.heic", "b/3.NEF", "b/4.avif", "b/notes.txt"] {
        project.write(&format!("images/train/{file}"), "x");
    }
    for arguments in [["plan", "all"], ["run", "split"]] {
        let ended = project.run_ok(&arguments);
        let notice = "data.train: 4 files in unsupported formats are skipped: 2 .heic, 1 .avif, 1 .nef; ";
        assert_eq!(ended.err.matches(notice).count(), 1, "{}", ended.err);
        assert!(ended.err.contains("heif-convert") && ended.err.contains("avifdec"), "{}", ended.err);
    }
    fs::create_dir(project.path("images/train/.git")).unwrap();
    assert!(!project.run_ok(&["plan", "--json"]).out.contains("ignored"));
}

#[test]
fn a_new_gif_changes_the_digest_of_its_folder() {
    let project = Project::new();
    project.run_ok(&["run", "split"]);
    project.trace();
    project.write("images/train/a/3.GIF", "x");
    project.run_ok(&["run", "split"]);
    assert_eq!(project.trace(), ["split"]);
}

#[test]
fn exif_orientation_affects_only_stages_that_read_pixels() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    project.run_ok(&["run", "all", "--set", "data.exif_orientation=ignore"]);
    assert!(project.trace().is_empty(), "it is the default");
    let why = project.run_ok(&["explain", "search", "--set", "data.exif_orientation=apply"]).out;
    assert!(why.contains("data.exif_orientation") && why.contains("apply"), "{why}");
    project.run_ok(&["run", "all", "--set", "data.exif_orientation=apply"]);
    assert_eq!(project.trace(), ["search", "parse", "train", "test"]);
    let ended = project.run(&["run", "all", "--set", "data.exif_orientation=aply"]);
    assert!(ended.code == Some(2) && ended.err.contains("did you mean `apply`"), "{}", ended.err);
}

/// Changes how training images are prepared, and checks what reruns.
fn check_preparation(key: &str, default: &str, other: &str, misspelled: &str) {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    project.run_ok(&["run", "all", "--set", &format!("{key}={default}")]);
    assert!(project.trace().is_empty(), "it is the default");
    let changed = ["--set", &format!("{key}={other}")];
    for (stage, reruns) in [("split", false), ("lookup", false), ("search", true), ("train", true)] {
        let why = project.run_ok(&[&["explain", stage], &changed[..]].concat()).out;
        assert_eq!(why.contains(key), reruns, "{stage}: {why}");
    }
    project.run_ok(&[&["run", "all"], &changed[..]].concat());
    let reran = project.trace();
    assert!(reran.contains(&"search".to_owned()) && reran.contains(&"train".to_owned()), "{reran:?}");
    assert!(!reran.contains(&"split".to_owned()) && !reran.contains(&"lookup".to_owned()), "{reran:?}");
    let ended = project.run(&["run", "all", "--set", &format!("{key}={misspelled}")]);
    assert!(ended.code == Some(2) && ended.err.contains(&format!("did you mean `{other}`")), "{}", ended.err);
}

#[test]
fn fast_decoding_affects_only_stages_that_read_training_images() {
    check_preparation("data.decode", "exact", "fast", "fst");
}

#[test]
fn color_jitter_on_the_device_affects_only_stages_that_read_training_images() {
    check_preparation("data.color_jitter", "workers", "device", "devise");
}

#[test]
fn images_are_checked_once_per_run() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    assert_eq!(checked_images(&project, "split"), ["data.train", "data.test"]);
    assert!(checked_images(&project, "search").is_empty() && checked_images(&project, "train").is_empty());
    project.run_ok(&["run", "all", "--set", "seed=9"]);
    assert!(checked_images(&project, "split").is_empty(), "the same images");
    project.write("images/val/a/0.jpg", "another picture");
    project.run_ok(&["run", "all"]);
    assert_eq!(checked_images(&project, "train"), ["data.test"]);
}

#[test]
fn images_are_checked_again_after_a_failure_or_with_skip() {
    let project = Project::new();
    project.behave("split", "fail");
    assert_eq!(project.run(&["run", "all"]).code, Some(1));
    project.run_ok(&["run", "split", "--set", "data.on_bad_image=skip"]);
    assert_eq!(checked_images(&project, "split"), ["data.train"], "the test images are not needed in this run");
    project.run_ok(&["run", "all"]);
    assert_eq!(checked_images(&project, "search"), ["data.train", "data.test"]);
    assert!(checked_images(&project, "train").is_empty());
}
