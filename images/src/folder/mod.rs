//! Folders of classes: finds the classes and images below a folder.

mod classes;
mod error;
mod walk;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use classes::check_classes;
pub use classes::{ClassesError, parse_classes};
pub use error::FolderError;
use walk::{Kind, collect, read};

use crate::{Entry, ImageList, UnreadFormats, has_image_extension, is_ignored};

/// A folder of classes: each folder in it is a class, named by the folder, and holds its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassFolders {
    /// The names of the classes, in the order of their labels.
    pub classes: Vec<String>,
    /// The images. A label is an index into `classes`.
    pub list: ImageList,
}

/// Finds the classes and images of a folder like torchvision's `ImageFolder`.
///
/// Each folder in `root` is a class, and the labels follow the order of the names (by code point). Its images are the
/// files with one of the [`EXTENSIONS`](crate::EXTENSIONS) in it and below, ordered by folder, then by name. Symbolic
/// links are followed. Unlike in torchvision, hidden and system folders and files ([`is_ignored`]) are skipped.
///
/// # Errors
/// Returns [`FolderError`] if a folder cannot be read, there are no classes, or a class has no images.
pub fn scan(root: &Path) -> Result<ClassFolders, FolderError> {
    let classes = class_names(root)?;
    if classes.is_empty() {
        return Err(FolderError::NoClasses(root.to_owned()));
    }
    images_of(root, classes)
}

/// Returns the relative paths of all images in a folder of classes, in order. There may be no images and empty classes.
///
/// # Errors
/// Returns [`FolderError`] if a folder cannot be read.
pub fn image_paths(root: &Path) -> Result<Vec<String>, FolderError> {
    let mut images = Vec::new();
    for class in class_names(root)? {
        collect(root, class, &mut HashSet::new(), &mut images, &mut UnreadFormats::default())?;
    }
    images.sort_unstable();
    Ok(images.into_iter().map(|(folder, name)| format!("{folder}/{name}")).collect())
}

/// Returns the relative paths of all images at any depth below a folder, in order. There may be none.
///
/// # Errors
/// Returns [`FolderError`] if a folder cannot be read.
pub fn all_images(root: &Path) -> Result<Vec<String>, FolderError> {
    let found = read(root, &mut UnreadFormats::default())?.into_iter();
    let mut images: Vec<String> = found.filter(|found| found.kind == Kind::Image).map(|found| found.name).collect();
    images.extend(image_paths(root)?);
    images.sort_unstable();
    Ok(images)
}

/// The folders in `root`, in the order of their names.
fn class_names(root: &Path) -> Result<Vec<String>, FolderError> {
    let found = read(root, &mut UnreadFormats::default())?;
    let folders = found.into_iter().filter(|found| found.kind == Kind::Folder);
    let mut classes: Vec<String> = folders.map(|found| found.name).collect();
    classes.sort_unstable();
    Ok(classes)
}

/// Finds the images of these classes only, labeled in the given order. Other content of `root` is ignored.
///
/// # Errors
/// Returns the errors of [`scan`], and an error for a class without a folder, without a valid name, or given twice.
pub fn scan_classes(root: &Path, classes: &[String]) -> Result<ClassFolders, FolderError> {
    check_classes(classes, "the classes")?;
    if let Some(class) = classes.iter().find(|class| is_ignored(class.as_bytes())) {
        return Err(FolderError::IgnoredClass { root: root.to_owned(), class: class.clone() });
    }
    fs::read_dir(root).map_err(|source| FolderError::Read { path: root.to_owned(), source })?;
    let mut missing = classes.iter().filter(|class| !root.join(class).is_dir());
    if let Some(class) = missing.next() {
        let missing = 1 + missing.count();
        return Err(FolderError::MissingClass { root: root.to_owned(), class: class.clone(), missing });
    }
    images_of(root, classes.to_vec())
}

/// Finds the images of those of these classes that have a folder with images in `root`, labeled in the given order.
/// Other content of `root` is ignored.
///
/// # Errors
/// Returns the errors of [`scan_classes`]. A class without a folder or without images is an error only if all classes
/// are.
pub fn scan_known_classes(root: &Path, classes: &[String]) -> Result<ImageList, FolderError> {
    check_classes(classes, "the classes")?;
    fs::read_dir(root).map_err(|source| FolderError::Read { path: root.to_owned(), source })?;
    let mut entries = Vec::new();
    for (label, class) in (0..).zip(classes).filter(|(_, class)| root.join(class).is_dir()) {
        let mut images = Vec::new();
        collect(root, class.clone(), &mut HashSet::new(), &mut images, &mut UnreadFormats::default())?;
        images.sort_unstable();
        entries.extend(images.into_iter().map(|(folder, name)| Entry { path: format!("{folder}/{name}"), label }));
    }
    if entries.is_empty() {
        let class = classes.first().cloned().unwrap_or_default();
        return Err(FolderError::MissingClass { root: root.to_owned(), class, missing: classes.len() });
    }
    ImageList::new(entries).map_err(|source| FolderError::List { root: root.to_owned(), source })
}

/// Returns whether a path relative to a folder of classes is that of an image in a class.
pub fn is_class_image(path: &str) -> bool {
    path.contains('/') && has_image_extension(path.as_bytes())
}

fn images_of(root: &Path, classes: Vec<String>) -> Result<ClassFolders, FolderError> {
    let mut entries = Vec::new();
    let mut empty = Vec::new();
    let mut unread = UnreadFormats::default();
    for (label, class) in classes.iter().enumerate() {
        let mut images = Vec::new();
        let mut unread_here = UnreadFormats::default();
        collect(root, class.clone(), &mut HashSet::new(), &mut images, &mut unread_here)?;
        if images.is_empty() {
            empty.push(class.clone());
            unread.add(unread_here);
        }
        images.sort_unstable();
        let label = u32::try_from(label).unwrap_or(u32::MAX);
        entries.extend(images.into_iter().map(|(folder, name)| Entry { path: format!("{folder}/{name}"), label }));
    }
    if !empty.is_empty() {
        return Err(FolderError::EmptyClasses { root: root.to_owned(), classes: empty, unread });
    }
    let list = ImageList::new(entries).map_err(|source| FolderError::List { root: root.to_owned(), source })?;
    Ok(ClassFolders { classes, list })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn names(classes: &[&str]) -> Vec<String> {
        classes.iter().map(|&class| class.to_owned()).collect()
    }

    fn message(root: &Path) -> String {
        scan(root).unwrap_err().to_string()
    }

    #[test]
    fn classes_are_labeled_in_name_order() {
        let root = folder(&["b/1.jpg", "a/2.png", "Z/3.webp", "readme.jpg"]);
        let scanned = scan(root.path()).unwrap();
        assert_eq!(scanned.classes, ["Z", "a", "b"]);
        assert_eq!(scanned.list.to_text(), "Z/3.webp 0\na/2.png 1\nb/1.jpg 2\n");
    }

    #[test]
    fn images_are_sorted_by_folder_and_name() {
        let root = folder(&["a/z.JPG", "a/m/b.TIFF", "a/b.Jpeg", "a/notes.txt", "a/jpg", "a/f.GIF", "a/m/deep/c.bmp"]);
        let scanned = scan(root.path()).unwrap();
        assert_eq!(scanned.list.to_text(), "a/b.Jpeg 0\na/f.GIF 0\na/z.JPG 0\na/m/b.TIFF 0\na/m/deep/c.bmp 0\n");
        let paths = ["a/b.Jpeg", "a/f.GIF", "a/z.JPG", "a/m/b.TIFF", "a/m/deep/c.bmp"];
        assert_eq!(image_paths(root.path()).unwrap(), paths);
    }

    #[test]
    fn hidden_and_system_files_are_ignored_at_any_depth() {
        use std::os::unix::ffi::OsStrExt;
        let root = folder(&["a/1.jpg", "a/deep/2.jpg"]);
        let clean = scan(root.path()).unwrap();
        let system = [
            ".ipynb_checkpoints",
            "__MACOSX",
            "@eaDir",
            ".Trash-1000",
            ".git",
            "$RECYCLE.BIN",
            "System Volume Information",
            "lost+found",
            "#recycle",
            "@Recycle",
            ".AppleDouble",
        ];
        for below in ["", "a/", "a/deep/"] {
            for folder in system {
                let folder = root.path().join(format!("{below}{folder}"));
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join("1.jpg"), "").unwrap();
            }
            for file in ["._1.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png"] {
                fs::write(root.path().join(format!("{below}{file}")), "").unwrap();
            }
            symlink("/nowhere/at/all", root.path().join(format!("{below}.dead.jpg"))).unwrap();
            fs::write(root.path().join(below).join(std::ffi::OsStr::from_bytes(b".\xff.jpg")), "").unwrap();
        }
        assert_eq!(scan(root.path()).unwrap(), clean);
        assert_eq!(scan_classes(root.path(), &names(&["a"])).unwrap(), clean);
        let asked = scan_classes(root.path(), &names(&["a", ".git"])).unwrap_err();
        assert!(matches!(&asked, FolderError::IgnoredClass { class, .. } if class == ".git"), "{asked}");
    }

    #[test]
    fn empty_classes_are_listed_up_to_a_limit() {
        let root = folder(&["a/1.jpg", "b/readme.txt", "c/x.heic", "d/y.HEIC", "e/.hidden.jpg"]);
        let text = message(root.path());
        assert!(text.contains("no images in 4 classes: \"b\", \"c\", \"d\", \"e\" (they end in jpg, "), "{text}");
        assert!(text.contains("remove the folders. 2 files in unsupported formats are skipped: 2 .heic"), "{text}");
        let root = folder(&["a/1.jpg"]);
        for class in 0..200 {
            fs::create_dir(root.path().join(format!("empty{class:03}"))).unwrap();
        }
        let text = message(root.path());
        assert!(text.contains("200 classes: \"empty000\"") && text.contains("\"empty049\" and 150 more"), "{text}");
        assert!(image_paths(root.path()).unwrap() == ["a/1.jpg"]);
    }

    #[test]
    fn selected_classes_are_labeled_in_the_given_order() {
        let root = folder(&["a/1.jpg", "b/1.jpg", "c/readme.txt"]);
        let scanned = scan_classes(root.path(), &names(&["b", "a"])).unwrap();
        assert_eq!(scanned.list.to_text(), "b/1.jpg 0\na/1.jpg 1\n");
        let text = scan_classes(root.path(), &names(&["b", "y", "z"])).unwrap_err().to_string();
        assert!(text.ends_with("no folder for class \"y\" and 1 more"), "{text}");
        let twice = scan_classes(root.path(), &names(&["b", "b"]));
        assert!(matches!(twice, Err(FolderError::Classes(ClassesError::Duplicate { number: 2, .. }))));
        let escaping = scan_classes(root.path(), &names(&[".."]));
        assert!(matches!(escaping, Err(FolderError::Classes(ClassesError::Name { .. }))));
    }

    #[test]
    fn known_classes_without_images_keep_their_labels() {
        let root = folder(&["a/1.jpg", "c/readme.txt", "d/1.jpg", "other/1.jpg"]);
        let list = scan_known_classes(root.path(), &names(&["d", "b", "c", "a"])).unwrap();
        assert_eq!(list.to_text(), "d/1.jpg 0\na/1.jpg 3\n");
        let none = scan_known_classes(root.path(), &names(&["b", "c"]));
        assert!(matches!(none, Err(FolderError::MissingClass { missing: 2, .. })));
    }

    #[test]
    fn errors_name_the_invalid_folder() {
        let root = folder(&["a/1.jpg", "b/readme.txt"]);
        let text = message(root.path());
        assert!(text.contains("no images in class \"b\" (they end in jpg, "), "{text}");
        assert!(message(&root.path().join("missing")).contains("missing: cannot be read"));
        assert!(message(&root.path().join("a/1.jpg")).contains("1.jpg: cannot be read"));
        assert!(message(&root.path().join("a")).contains("no classes"));
        let missing = scan_classes(&root.path().join("missing"), &names(&["a"]));
        assert!(matches!(missing, Err(FolderError::Read { .. })));
    }

    #[test]
    fn symbolic_links_are_followed_except_cycles() {
        let elsewhere = folder(&["x.jpg"]);
        let root = folder(&["a/1.jpg"]);
        symlink(elsewhere.path(), root.path().join("b")).unwrap();
        symlink(elsewhere.path().join("x.jpg"), root.path().join("a/linked.jpg")).unwrap();
        assert_eq!(scan(root.path()).unwrap().list.to_text(), "a/1.jpg 0\na/linked.jpg 0\nb/x.jpg 1\n");
        symlink(root.path(), root.path().join("a/up")).unwrap();
        assert!(matches!(scan(root.path()), Err(FolderError::ReachedTwice(_))));
    }

    #[test]
    fn broken_links_and_pipes_are_rejected() {
        let root = folder(&["a/1.jpg"]);
        let link = root.path().join("a/2.jpg");
        symlink("/nowhere/at/all", &link).unwrap();
        assert!(message(root.path()).contains("2.jpg: cannot be read"));
        fs::remove_file(&link).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&link).unwrap();
        assert!(message(root.path()).contains("2.jpg: named like an image, but not a file"));
    }

    #[test]
    fn names_that_are_not_utf_8_are_rejected() {
        use std::os::unix::ffi::OsStrExt;
        let root = folder(&["a/1.jpg"]);
        fs::write(root.path().join("a").join(std::ffi::OsStr::from_bytes(b"\xff.jpg")), "").unwrap();
        assert!(message(root.path()).contains("not Unicode"));
        let root = folder(&["a/1\n.jpg"]);
        assert!(matches!(scan(root.path()), Err(FolderError::List { .. })));
    }
}
