use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use tfnas_artifacts::Digest;
use tfnas_images::{Entry, ImageList, class_names, is_class_image};

use crate::plan::{External, IdentifiedImages};

/// The training or test images.
pub struct Side<'a> {
    /// Path of the folder or list file.
    pub path: PathBuf,
    /// The input as specified in the configuration.
    pub external: External,
    /// The images and their digests.
    pub images: &'a IdentifiedImages,
}

impl Side<'_> {
    /// Returns the names of the classes in the order of their labels.
    pub fn classes(&self) -> Vec<String> {
        match &self.images.list {
            Some(list) => class_names(list),
            None => self.folders().into_iter().map(str::to_owned).collect(),
        }
    }

    /// Returns the class folders that contain images.
    pub fn folders(&self) -> BTreeSet<&str> {
        let mut folders = BTreeSet::new();
        let mut last = "";
        for entry in self.images.manifest.entries().iter().filter(|entry| is_class_image(&entry.path)) {
            let folder = class_of(&entry.path);
            // Entries are sorted by folder.
            if folder != last {
                folders.insert(folder);
                last = folder;
            }
        }
        folders
    }

    /// Returns the images with their digests. Images of classes that are not in `known` are skipped.
    pub fn images<'a>(&'a self, known: Option<&'a [String]>) -> impl Iterator<Item = (&'a str, &'a Digest)> {
        let names: Option<HashSet<&str>> = known.map(|known| known.iter().map(String::as_str).collect());
        let labels = known.map_or(usize::MAX, <[String]>::len);
        let left_out: HashSet<&str> = match &self.images.list {
            Some(list) => {
                let left_out = list.entries().iter().filter(|entry| entry.label as usize >= labels);
                left_out.map(|entry| entry.path.as_str()).collect()
            }
            None => HashSet::new(),
        };
        let is_list = self.images.list.is_some();
        let entries = self.images.manifest.entries().iter().filter(move |entry| {
            let path = &*entry.path;
            let counts = if is_list {
                !left_out.contains(path)
            } else {
                is_class_image(path) && names.as_ref().is_none_or(|names| names.contains(class_of(path)))
            };
            // Empty files are not images, and all have the same digest.
            counts && entry.bytes > 0
        });
        entries.map(|entry| (&*entry.path, &entry.digest))
    }

    /// Returns the images with their labels, or `None` if they do not form a valid list.
    pub fn list(&self) -> Option<ImageList> {
        if let Some(list) = &self.images.list {
            return Some(list.clone());
        }
        let classes = self.classes();
        let labels: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
        let paths = self.images.manifest.entries().iter().map(|entry| &*entry.path).filter(|path| is_class_image(path));
        let entries =
            paths.filter_map(|path| Some(Entry { path: path.to_owned(), label: *labels.get(class_of(path))? }));
        ImageList::new(entries.collect()).ok()
    }

    /// Returns the path of an image.
    pub fn path_of(&self, image: &str) -> PathBuf {
        match &self.external {
            External::List { root, .. } => root.join(image),
            _ => self.path.join(image),
        }
    }
}

fn class_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}
