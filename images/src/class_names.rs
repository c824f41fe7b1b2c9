//! The names of the classes of an image list.

use std::collections::{BTreeMap, BTreeSet};

use crate::ImageList;

/// Returns for each label the name of the folder that contains all of its images. Labels whose images are in several
/// folders or directly in the root are omitted.
pub fn class_folders(list: &ImageList) -> BTreeMap<u32, &str> {
    let mut folders: BTreeMap<u32, Option<&str>> = BTreeMap::new();
    for entry in list.entries() {
        let folder = entry.path.rsplit_once('/').map(|(folder, _)| folder);
        folders
            .entry(entry.label)
            .and_modify(|known| *known = known.filter(|known| Some(*known) == folder))
            .or_insert(folder);
    }
    let last = |folder: &'_ str| folder.rfind('/').map_or(0, |slash| slash + 1);
    folders.into_iter().filter_map(|(label, folder)| folder.map(|folder| (label, &folder[last(folder)..]))).collect()
}

/// Returns the names of a list's classes, in the order of the labels: the folder that contains all images of the label,
/// or the label itself if there is no such folder. If two labels have folders of the same name, all classes are named
/// by their labels.
pub fn class_names(list: &ImageList) -> Vec<String> {
    let folders = class_folders(list);
    let labels = 0..list.classes() as u32;
    let names: Vec<String> = labels
        .clone()
        .map(|label| folders.get(&label).map_or_else(|| label.to_string(), |name| (*name).to_owned()))
        .collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    if distinct.len() == names.len() { names } else { labels.map(|label| label.to_string()).collect() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(list: &str) -> Vec<String> {
        class_names(&ImageList::parse(list, "list").unwrap())
    }

    #[test]
    fn classes_of_a_list_are_named_after_their_folders() {
        assert_eq!(names("cat/1.jpg 0\ncat/2.jpg 0\ndog/1.jpg 1\n"), ["cat", "dog"]);
        assert_eq!(names("train/cat/1.jpg 0\ntrain/dog/1.jpg 1\n"), ["cat", "dog"]);
    }

    #[test]
    fn classes_without_a_folder_are_named_after_their_labels() {
        assert_eq!(names("a/1.jpg 0\nb/1.jpg 0\nc/1.jpg 1\n"), ["0", "c"]);
        assert_eq!(names("a/cat/1.jpg 0\nb/cat/1.jpg 1\n"), ["0", "1"]);
        assert_eq!(names("1.jpg 0\n"), ["0"]);
    }

    #[test]
    fn only_classes_with_one_folder_are_listed() {
        let list = ImageList::parse("t/a/1.jpg 0\nb/1.jpg 1\nc/1.jpg 1\n2.jpg 2\nd/1.jpg 4\n", "list").unwrap();
        assert_eq!(class_folders(&list), BTreeMap::from([(0, "a"), (4, "d")]));
    }
}
