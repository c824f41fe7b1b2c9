//! Decides where the training and test images are if the configuration does not say so: in the folders `train` and
//! `val`, or, without a test folder, all in one place.

use std::fs;
use std::path::Path;

use tfnas_images::is_ignored;
use tfnas_stages::{Config, DataSection, SplitSection};

use crate::config::{ConfigError, Node, resolve};

/// Names of folders that separate images by purpose, and so are not classes.
const PARTS: [&str; 9] = ["train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"];

/// Decides whether test images are drawn from the training images, and whether the class folders are directly under the
/// root. Afterwards `split.test_share` is set if and only if `data.test` is not.
///
/// # Errors
/// Returns an error if `split.test_share` is set although there are test images.
pub fn settle(config: &mut Config, tree: &Node, base: &Path) -> Result<(), ConfigError> {
    let is_set = |key: &str| tree.get("data").and_then(|data| data.get(key)).is_some();
    let root = resolve(base, &config.data.root);
    if config.data.test.is_some() {
        let test_exists = root.join(DataSection::TEST).exists();
        if config.split.test_share.is_some() {
            if is_set("test") || test_exists {
                return Err(two_sources(config, tree, is_set("test"), &root));
            }
        } else if is_set("test") || test_exists || config.data.generate.is_some() || !is_one_set(&root) {
            return Ok(());
        }
        config.data.test = None;
    }
    config.split.test_share.get_or_insert(SplitSection::TEST_SHARE);
    let generated = config.data.generate.is_some();
    if !is_set("train") && !generated && !root.join(DataSection::TRAIN).exists() && holds_classes(&root) {
        config.data.train = ".".into();
    }
    Ok(())
}

fn two_sources(config: &Config, tree: &Node, is_set: bool, root: &Path) -> ConfigError {
    const KEY: &str = "split.test_share";
    let origin = tree.get("split").and_then(|split| split.get("test_share")).map_or(&tree.origin, |node| &node.origin);
    let test = config.data.test.as_deref().unwrap_or(Path::new(DataSection::TEST)).display();
    if is_set {
        let message = format!("draws test images from the training images, but `data.test` names test images ({test})");
        return ConfigError::value(KEY, origin, message).with_hint("remove one of the two keys");
    }
    let path = root.join(DataSection::TEST);
    let message = format!(
        "draws test images from the training images, but the test folder {} exists, which is used if `data.test` is not set",
        path.display()
    );
    ConfigError::value(KEY, origin, message)
        .with_hint("remove `split.test_share` to test on that folder, or set `data.test: null` to draw the test images")
}

/// Returns whether a folder contains no folder for other purposes than training.
fn is_one_set(root: &Path) -> bool {
    root.is_dir() && folders(root).iter().all(|name| is_training(name) || !is_part(name))
}

/// Returns whether the subfolders of a folder may be classes.
fn holds_classes(root: &Path) -> bool {
    let folders = folders(root);
    !folders.is_empty() && !folders.iter().any(|name| is_part(name))
}

/// Returns the folders of a data root that probably contain test images although no key names them.
pub fn test_folders(root: &Path) -> Vec<String> {
    folders(root).into_iter().filter(|name| is_part(name) && !is_training(name)).collect()
}

fn is_training(name: &str) -> bool {
    name.to_ascii_lowercase().starts_with("train")
}

fn is_part(name: &str) -> bool {
    PARTS.iter().any(|part| name.eq_ignore_ascii_case(part))
}

/// Returns the names of the subfolders that are not ignored, sorted.
fn folders(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    // A root may contain a million images, so only symbolic links are followed.
    let is_folder = |entry: &fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
        kind => kind.is_ok_and(|kind| kind.is_dir()),
    };
    let mut names: Vec<String> = entries
        .filter(is_folder)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !is_ignored(name.as_bytes()))
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tempfile::TempDir;

    use super::*;
    use crate::config::Configuration;

    fn project(folders: &[&str], yaml: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for below in folders {
            fs::create_dir_all(folder.path().join("images").join(below)).unwrap();
        }
        fs::write(folder.path().join("pipeline.yaml"), yaml).unwrap();
        folder
    }

    /// Returns `data.train`, `data.test` and `split.test_share` after `settle`.
    fn settled(folders: &[&str], yaml: &str) -> (String, Option<String>, Option<f64>) {
        let project = project(folders, yaml);
        let configuration = Configuration::load(Some(&project.path().join("pipeline.yaml")), &[]).unwrap();
        let config = &configuration.shared().config;
        let text = |path: &Path| path.display().to_string();
        (text(&config.data.train), config.data.test.as_deref().map(text), config.split.test_share)
    }

    fn error_of(folders: &[&str], yaml: &str) -> String {
        let project = project(folders, yaml);
        let error = Configuration::load(Some(&project.path().join("pipeline.yaml")), &[]).err().unwrap();
        format!("{error} ({})", error.hint().unwrap_or_default())
    }

    const ROOT: &str = "data: {root: images}\n";

    #[test]
    fn an_existing_or_named_test_folder_is_used() {
        let val = ("train".to_owned(), Some("val".to_owned()), None);
        assert_eq!(settled(&["train/a", "val/a"], ROOT), val);
        assert_eq!(settled(&["train/a"], "data: {root: images, test: val}\n"), val);
        assert_eq!(settled(&["train/a", "t/a"], "data: {root: images, test: t}\n").1, Some("t".to_owned()));
    }

    #[test]
    fn without_a_test_folder_the_test_images_are_drawn() {
        assert_eq!(settled(&["train/a"], ROOT), ("train".to_owned(), None, Some(0.15)));
        let share = "data: {root: images}\nsplit: {test_share: 0.3}\n";
        assert_eq!(settled(&["train/a"], share), ("train".to_owned(), None, Some(0.3)));
        let null = "data: {root: images, test: null}\n";
        assert_eq!(settled(&["train/a", "val/a"], null), ("train".to_owned(), None, Some(0.15)));
    }

    #[test]
    fn class_folders_can_be_directly_under_the_root() {
        assert_eq!(settled(&["cat", "dog"], ROOT), (".".to_owned(), None, Some(0.15)));
        let named = "data: {root: images, train: train}\n";
        assert_eq!(settled(&["cat", "dog"], named), ("train".to_owned(), None, Some(0.15)));
    }

    #[test]
    fn test_folders_and_a_missing_root_are_not_classes() {
        let default = ("train".to_owned(), Some("val".to_owned()), None);
        assert_eq!(settled(&[], ROOT), default);
        assert_eq!(settled(&["train/a", "test/a"], ROOT), default);
        assert_eq!(settled(&["Train/a", "Valid/a"], ROOT), default);
        assert_eq!(settled(&["Train/a"], ROOT).0, "train");
        let generated = "data: {root: images, generate: {size: 16}}\n";
        assert_eq!(settled(&["train/a"], generated), default);
    }

    #[test]
    fn a_test_share_next_to_test_images_is_an_error() {
        let text = error_of(&["train/a"], "data: {root: images, test: t}\nsplit: {test_share: 0.1}\n");
        assert!(
            text.contains(":2:21: split.test_share: ") && text.contains("`data.test` names test images (t)"),
            "{text}"
        );
        let text = error_of(&["train/a", "val/a"], "data: {root: images}\nsplit:\n  test_share: 0.1\n");
        assert!(text.contains(":3:15: split.test_share: ") && text.contains("data.test: null"), "{text}");
    }

    #[test]
    fn a_share_that_leaves_one_side_empty_and_a_published_split_without_test_images_are_errors() {
        for share in ["0", "1", "1.5", "-0.1"] {
            let text = error_of(&["train/a"], &format!("data: {{root: images}}\nsplit: {{test_share: {share}}}\n"));
            assert!(text.contains("split.test_share: must be between 0 and 1"), "{text}");
        }
        let text = error_of(&["train/a"], "data: {root: images}\nsplit: {published: imagenet100}\n");
        assert!(text.contains("split.published: has fixed lists"), "{text}");
    }
}
