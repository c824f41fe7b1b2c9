//! Why a folder is not a folder of classes.

use std::path::PathBuf;

use super::ClassesError;
use crate::{EXTENSIONS, ListError, UnreadFormats};

/// How many names of classes one message holds.
const NAMED_CLASSES: usize = 50;

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
