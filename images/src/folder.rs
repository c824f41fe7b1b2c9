//! Folders of classes: finds the classes and images below a folder.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::{EXTENSIONS, Entry, ImageList, ListError, UnreadFormats, has_image_extension, is_ignored};

/// How many names of classes one message holds.
const NAMED_CLASSES: usize = 50;

/// A folder of classes: each folder in it is a class, named by the folder, and holds its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassFolders {
    /// The names of the classes, in the order of their labels.
    pub classes: Vec<String>,
    /// The images. A label is an index into `classes`.
    pub list: ImageList,
}

/// Class names that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClassesError {
    /// No name.
    #[error("{0}: the list is empty; expected one class per line")]
    Empty(String),
    /// Something that is not the name of a folder.
    #[error("{name}, class {number}: {class:?} is not the name of a folder")]
    Name {
        /// Where the classes come from.
        name: String,
        /// The class, counted from 1: a line of a file.
        number: usize,
        /// The text found.
        class: String,
    },
    /// The name is given twice.
    #[error("{name}, class {number}: {class:?} is listed twice; list each class once")]
    Duplicate {
        /// Where the classes come from.
        name: String,
        /// The class, counted from 1: a line of a file.
        number: usize,
        /// The name.
        class: String,
    },
}

/// The reason why a folder is not a folder of classes.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A folder or file that is missing or cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The path that cannot be read.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A name that is not Unicode.
    #[error("{}: the name is not Unicode text; rename it", .0.display())]
    NotUnicode(PathBuf),
    /// A folder without folders.
    #[error("{}: no classes: expected a folder of images for each class", .0.display())]
    NoClasses(PathBuf),
    /// A requested class that does not exist.
    #[error("{}: no folder for class {class:?}{}", root.display(), others(*missing))]
    MissingClass {
        /// Where it should be.
        root: PathBuf,
        /// The first such class.
        class: String,
        /// How many there are.
        missing: usize,
    },
    /// Classes without images.
    #[error("{}: no images in {} (they end in {}); add images or remove {}{}", root.display(), named(classes),
        EXTENSIONS.join(", "), if classes.len() == 1 { "the folder" } else { "the folders" }, in_them(unread))]
    EmptyClasses {
        /// The folder of classes.
        root: PathBuf,
        /// All such classes.
        classes: Vec<String>,
        /// The files in unsupported formats in these folders.
        unread: UnreadFormats,
    },
    /// A requested class has a name that is ignored in every folder.
    #[error("{}: class {class:?} has the name of a hidden or system folder, which is never read; rename it", root.display())]
    IgnoredClass {
        /// Where it is.
        root: PathBuf,
        /// The class.
        class: String,
    },
    /// A folder that symbolic links lead to a second time within a class.
    #[error("{}: symbolic links lead to this folder twice; remove one", .0.display())]
    ReachedTwice(PathBuf),
    /// Named like an image, but a pipe, socket or device.
    #[error("{}: named like an image, but not a file", .0.display())]
    NotAFile(PathBuf),
    /// Class names that cannot be used.
    #[error(transparent)]
    Classes(#[from] ClassesError),
    /// Images that a list cannot hold.
    #[error("{}: {source}", root.display())]
    List {
        /// The folder of classes.
        root: PathBuf,
        /// The problem.
        source: ListError,
    },
}

/// Finds the classes and images of a folder like torchvision's `ImageFolder`.
///
/// Each folder in `root` is a class, and the labels follow the order of the names (by code point). Its images are the
/// files with one of the [`EXTENSIONS`] in it and below, ordered by folder, then by name. Symbolic links are followed.
/// Unlike in torchvision, hidden and system folders and files ([`is_ignored`]) are skipped.
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

/// Parses class names, one per line, in the order of their labels. `name` is used in messages.
///
/// # Errors
/// Returns [`ClassesError`] for a line that is not the name of a folder (including an empty line, except at the end),
/// for a duplicate name, and if there is no name.
pub fn parse_classes(text: &str, name: &str) -> Result<Vec<String>, ClassesError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
    let classes: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    check_classes(&classes, name)?;
    Ok(classes)
}

fn check_classes(classes: &[String], name: &str) -> Result<(), ClassesError> {
    if classes.is_empty() {
        return Err(ClassesError::Empty(name.to_owned()));
    }
    let mut seen = HashSet::new();
    for (index, class) in classes.iter().enumerate() {
        let mut components = Path::new(class).components();
        let one_folder = matches!(components.next(), Some(Component::Normal(folder)) if folder == class.as_str());
        if !one_folder || class.contains(['\0', '\n', '\r']) {
            return Err(ClassesError::Name { name: name.to_owned(), number: index + 1, class: class.clone() });
        }
        if !seen.insert(class) {
            return Err(ClassesError::Duplicate { name: name.to_owned(), number: index + 1, class: class.clone() });
        }
    }
    Ok(())
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

/// Collects the images in a folder and below as (folder relative to the root, name).
fn collect(
    root: &Path,
    class: String,
    visited: &mut HashSet<PathBuf>,
    images: &mut Vec<(String, String)>,
    unread: &mut UnreadFormats,
) -> Result<(), FolderError> {
    let mut folders = vec![class];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let real = path.canonicalize().map_err(|source| FolderError::Read { path: path.clone(), source })?;
        // Cyclic links would never end.
        if !visited.insert(real) {
            return Err(FolderError::ReachedTwice(path));
        }
        for found in read(&path, unread)? {
            match found.kind {
                Kind::Folder => folders.push(format!("{folder}/{}", found.name)),
                Kind::Image => images.push((folder.clone(), found.name)),
            }
        }
    }
    Ok(())
}

struct Found {
    name: String,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Folder,
    Image,
}

/// Returns the folders and images in a folder, unordered, and counts the files in unsupported formats.
fn read(folder: &Path, unread: &mut UnreadFormats) -> Result<Vec<Found>, FolderError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Read { path, source }
    };
    let mut found = Vec::new();
    for item in fs::read_dir(folder).map_err(failed(folder))? {
        let item = item.map_err(failed(folder))?;
        let name = item.file_name();
        if is_ignored(name.as_encoded_bytes()) {
            continue;
        }
        let path = item.path();
        let is_image = has_image_extension(name.as_encoded_bytes());
        let mut file_type = item.file_type().map_err(failed(&path))?;
        if file_type.is_symlink() {
            match fs::metadata(&path) {
                Ok(target) => file_type = target.file_type(),
                Err(source) if is_image => return Err(FolderError::Read { path, source }),
                Err(_) => continue,
            }
        }
        let kind = match (file_type.is_dir(), is_image) {
            (true, _) => Kind::Folder,
            (false, true) if file_type.is_file() => Kind::Image,
            (false, true) => return Err(FolderError::NotAFile(path)),
            (false, false) => {
                unread.count(name.as_encoded_bytes());
                continue;
            }
        };
        let name = name.into_string().map_err(|_| FolderError::NotUnicode(path))?;
        found.push(Found { name, kind });
    }
    Ok(found)
}

/// Lists classes by name. A long list is shortened.
fn named(classes: &[String]) -> String {
    if let [class] = classes {
        return format!("class {class:?}");
    }
    let names: Vec<String> = classes.iter().take(NAMED_CLASSES).map(|class| format!("{class:?}")).collect();
    let more = classes.len() - names.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} classes: {}{rest}", classes.len(), names.join(", "))
}

/// Describes the files in unsupported formats in empty classes.
fn in_them(unread: &UnreadFormats) -> String {
    if unread.is_empty() { String::new() } else { format!(". {unread}") }
}

fn others(classes: usize) -> String {
    if classes > 1 { format!(" and {} more", classes - 1) } else { String::new() }
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

    #[test]
    fn class_files_have_one_name_per_line() {
        assert_eq!(parse_classes("n02\r\nred fox\n\n", "c.txt").unwrap(), ["n02", "red fox"]);
        for text in ["", "\n \n"] {
            assert!(matches!(parse_classes(text, "c.txt"), Err(ClassesError::Empty(_))));
        }
        for text in ["a\n\nb", "a\n..", "a\nb/c", "a\n/", "a\nb/", "a\nb\0"] {
            assert!(matches!(parse_classes(text, "c.txt"), Err(ClassesError::Name { number: 2, .. })), "{text:?}");
        }
        let twice = parse_classes("a\nb\na", "c.txt").unwrap_err().to_string();
        assert_eq!(twice, "c.txt, class 3: \"a\" is listed twice; list each class once");
    }
}
