//! Tests of generated data sets.

#![allow(clippy::unwrap_used)]

use super::*;

const SMALL: GeneratedSet = GeneratedSet { size: 32, train_per_class: 3, test_per_class: 2, seed: 0 };
const DEFAULT: GeneratedSet = GeneratedSet { size: 32, train_per_class: 200, test_per_class: 50, seed: 0 };

fn digest(set: &GeneratedSet) -> String {
    let digests: Vec<_> = set.pictures().par_iter().map(|picture| blake3::hash(&set.jpeg(picture).unwrap())).collect();
    digest_of(&digests)
}

fn files(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for side in ["train", "test"] {
        files.extend(crate::folder::scan(&root.join(side)).unwrap().list.entries().iter().map(|e| e.path.clone()));
    }
    files
}

#[test]
fn small_set_is_bit_identical() {
    assert_eq!(digest(&SMALL), "fa31e55f77d5f1c34f2128f5cb54b929665645171444097d5c3bdd0e1992834b");
}

#[test]
fn default_set_is_bit_identical() {
    assert_eq!(digest(&DEFAULT), "fdeb80796bc49f7346023f934f41d836fb890eb3da66579c444bde394774a6c7");
}

#[test]
fn larger_set_starts_with_the_pictures_of_a_smaller_one() {
    let larger = GeneratedSet { train_per_class: 7, ..SMALL };
    let picture = Picture { side: Side::Train, class: 4, number: 2 };
    assert_eq!(larger.jpeg(&picture).unwrap(), SMALL.jpeg(&picture).unwrap());
    let test = Picture { side: Side::Test, ..picture };
    assert_ne!(SMALL.jpeg(&test).unwrap(), SMALL.jpeg(&picture).unwrap());
    assert_ne!(digest(&GeneratedSet { seed: 1, ..SMALL }), digest(&SMALL));
}

#[test]
fn set_has_class_folders_and_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/set");
    write(&root, &SMALL).unwrap();
    assert_eq!(files(&root).len(), 50);
    assert_eq!(files(&root)[0], "checker/0000.jpg");
    let jpeg = fs::read(root.join("test/star/0001.jpg")).unwrap();
    let header = turbojpeg::read_header(&jpeg).unwrap();
    assert_eq!((header.width, header.height), (32, 32));
    let written = fs::metadata(root.join("generated.json")).unwrap().ino();
    write(&root, &SMALL).unwrap();
    assert_eq!(fs::metadata(root.join("generated.json")).unwrap().ino(), written);
    assert_eq!(fs::read_dir(root.parent().unwrap()).unwrap().count(), 1, "temporary files are left");
}

#[test]
fn partial_set_of_an_interrupted_run_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let draft = folder.path().join(".set.generating");
    fs::create_dir_all(draft.join("train/disc")).unwrap();
    fs::write(draft.join("train/disc/9999.jpg"), "half").unwrap();
    fs::write(draft.join("other"), "").unwrap();
    let root = folder.path().join("set");
    fs::create_dir(&root).unwrap();
    write(&root, &SMALL).unwrap();
    assert_eq!(files(&root).len(), 50);
    assert!(!draft.exists() && !root.join("other").exists());
}

#[test]
fn other_files_are_kept_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    write(&root, &SMALL).unwrap();
    let other = write(&root, &GeneratedSet { seed: 5, ..SMALL });
    assert!(matches!(&other, Err(GeneratedError::OtherSet { .. })));
    let text = other.unwrap_err().to_string();
    assert!(text.contains("seed 0, drawing 1; expected") && text.contains("choose another folder"), "{text}");

    let picture = root.join("train/dots/0000.jpg");
    fs::write(&picture, "mine").unwrap();
    assert!(matches!(write(&root, &SMALL), Err(GeneratedError::Changed(_))));
    fs::remove_file(&picture).unwrap();
    assert!(matches!(write(&root, &SMALL), Err(GeneratedError::Changed(_))));
    fs::write(root.join("generated.json"), "{}").unwrap();
    assert!(matches!(write(&root, &SMALL), Err(GeneratedError::Foreign(_))));
    fs::remove_file(root.join("generated.json")).unwrap();
    assert!(matches!(write(&root, &SMALL), Err(GeneratedError::Foreign(_))));
    assert!(matches!(write(&root.join("test/dots/0000.jpg"), &SMALL), Err(GeneratedError::File { .. })));
    assert!(!root.join("test/dots/.0000.jpg.generating").exists());
}

#[test]
fn concurrent_writers_of_a_set_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8).map(|_| scope.spawn(|| write(&root, &SMALL))).collect();
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
    });
    assert_eq!(files(&root).len(), 50);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn parameters_out_of_range_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for set in [
        GeneratedSet { size: 7, ..SMALL },
        GeneratedSet { size: usize::MAX, ..SMALL },
        GeneratedSet { train_per_class: 0, ..SMALL },
        GeneratedSet { test_per_class: 100_001, ..SMALL },
    ] {
        let result = write(&folder.path().join("set"), &set);
        assert!(matches!(result, Err(GeneratedError::Parameter { .. })), "{set:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
