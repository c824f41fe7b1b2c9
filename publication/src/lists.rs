//! The image lists of a publication, and the images that are in two of them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use tfnas_artifacts::{Digest, FolderManifest};
use tfnas_images::ImageList;

use crate::Overlap;

/// Maximum number of overlapping images that are named.
const NAMED: usize = 3;

/// An image list and its name.
pub struct NamedList {
    /// File name, such as `train.list`.
    pub name: &'static str,
    /// The images in the list.
    pub list: ImageList,
}

/// All image lists of a run, with the digests of their images.
pub struct ImageLists {
    /// The list that trains the weights in the search, the list that trains the architecture, and the list of all
    /// training images.
    pub train: Vec<NamedList>,
    /// The list of test images.
    pub test: NamedList,
    /// Digests of the training images.
    pub train_images: FolderManifest,
    /// Digests of the test images.
    pub test_images: FolderManifest,
    /// The folder of the training images relative to the data root; `None` if paths are relative to the data root.
    pub train_folder: Option<String>,
    /// The folder of the test images, likewise.
    pub test_folder: Option<String>,
}

impl ImageLists {
    /// Returns the images that are in two lists, for each pair of lists except the list of all training images and its
    /// parts.
    ///
    /// # Errors
    /// Returns a message if the digest of an image is unknown.
    pub fn overlaps(&self) -> Result<Vec<Overlap>, String> {
        let (train_digests, test_digests) = (digests(&self.train_images), digests(&self.test_images));
        let (train_folder, test_folder) = (self.train_folder.as_deref(), self.test_folder.as_deref());
        let mut sides = Vec::new();
        for named in &self.train {
            sides.push((named.name, side(named, train_folder, &train_digests)?));
        }
        let test = side(&self.test, test_folder, &test_digests)?;
        let mut overlaps = Vec::new();
        for (index, (name, one)) in sides.iter().enumerate() {
            // The last list contains the images of the other training lists.
            for (other_name, other) in sides[index + 1..].iter().filter(|(name, _)| *name != ALL) {
                overlaps.push(overlap((name, one), (other_name, other)));
            }
            overlaps.push(overlap((name, one), (self.test.name, &test)));
        }
        Ok(overlaps)
    }
}

/// Name of the list of all training images.
pub const ALL: &str = "all.list";

/// A list as paths relative to the data root, with digests.
struct Side<'a> {
    images: Vec<(String, &'a Digest)>,
}

fn digests(manifest: &FolderManifest) -> BTreeMap<&str, &Digest> {
    manifest.entries().iter().map(|entry| (&*entry.path, &entry.digest)).collect()
}

fn side<'a>(named: &NamedList, folder: Option<&str>, digests: &BTreeMap<&str, &'a Digest>) -> Result<Side<'a>, String> {
    let images = named.list.entries().iter().map(|entry| {
        let digest = digests.get(entry.path.as_str());
        let digest =
            digest.ok_or_else(|| format!("{} contains {}, whose digest is not known", named.name, entry.path))?;
        let name = folder.map_or_else(|| entry.path.clone(), |folder| format!("{folder}/{}", entry.path));
        Ok((name, *digest))
    });
    Ok(Side { images: images.collect::<Result<_, String>>()? })
}

fn overlap((a, one): (&str, &Side<'_>), (b, other): (&str, &Side<'_>)) -> Overlap {
    let names: HashSet<&str> = one.images.iter().map(|(name, _)| name.as_str()).collect();
    let contents: HashSet<&Digest> = one.images.iter().map(|(_, digest)| *digest).collect();
    let by_name = other.images.iter().filter(|(name, _)| names.contains(name.as_str()));
    let by_content = other.images.iter().filter(|(_, digest)| contents.contains(digest));
    Overlap {
        a: a.to_owned(),
        b: b.to_owned(),
        by_name: by_name.clone().count() as u64,
        by_content: by_content.clone().count() as u64,
        first: by_content.chain(by_name).map(|(name, _)| name.clone()).take(NAMED).collect(),
    }
}

/// Returns the folder of images relative to the data root, with `/` as separator.
pub fn folder_name(path: &Path) -> String {
    let parts = path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn list(name: &'static str, paths: &[&str]) -> NamedList {
        let text: String = paths.iter().map(|path| format!("{path} 0\n")).collect();
        NamedList { name, list: ImageList::parse(&text, name).unwrap() }
    }

    /// Creates a manifest of files with these contents.
    fn manifest(files: &[(&str, &str)]) -> FolderManifest {
        let mut lines: Vec<String> = files
            .iter()
            .map(|(path, bytes)| format!("{} {} {path}\n", Digest::of_bytes(bytes.as_bytes()), bytes.len()))
            .collect();
        lines.sort_by_key(|line| line.rsplit(' ').next().unwrap().to_owned());
        FolderManifest::parse(&format!("tfnas.folder.v1\n{}", lines.concat())).unwrap()
    }

    fn lists(test_folder: Option<&str>) -> ImageLists {
        ImageLists {
            train: vec![
                list("train.list", &["a/1", "a/2"]),
                list("val.list", &["a/3"]),
                list(ALL, &["a/1", "a/2", "a/3"]),
            ],
            test: list("test.list", &["a/1", "a/4"]),
            train_images: manifest(&[("a/1", "one"), ("a/2", "two"), ("a/3", "two")]),
            test_images: manifest(&[("a/1", "three"), ("a/4", "one")]),
            train_folder: Some("train".to_owned()),
            test_folder: test_folder.map(str::to_owned),
        }
    }

    fn counts(lists: &ImageLists) -> Vec<(String, u64, u64)> {
        let overlaps = lists.overlaps().unwrap();
        overlaps
            .into_iter()
            .map(|found| (format!("{} {}", found.a, found.b), found.by_name, found.by_content))
            .collect()
    }

    #[test]
    fn images_in_two_lists_are_found_by_content() {
        let expected = [
            ("train.list val.list", 0, 1),
            ("train.list test.list", 0, 1),
            ("val.list test.list", 0, 0),
            ("all.list test.list", 0, 1),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(pair, names, contents)| (pair.to_owned(), names, contents)).collect();
        assert_eq!(counts(&lists(Some("val"))), expected);
    }

    #[test]
    fn names_are_compared_relative_to_the_data_root() {
        assert_eq!(counts(&lists(Some("train")))[1], ("train.list test.list".to_owned(), 1, 1));
        assert_eq!(lists(Some("train")).overlaps().unwrap()[1].first, ["train/a/4", "train/a/1"]);
    }

    #[test]
    fn the_error_names_an_image_without_a_digest() {
        let lists = ImageLists { test_images: manifest(&[("a/1", "x")]), ..lists(None) };
        assert!(lists.overlaps().unwrap_err().contains("a/4"));
    }
}
