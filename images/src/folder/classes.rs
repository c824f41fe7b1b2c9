//! Names of classes given by a user.

use std::collections::HashSet;
use std::path::{Component, Path};

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

/// Checks that each class is the name of a folder and given once.
pub(super) fn check_classes(classes: &[String], name: &str) -> Result<(), ClassesError> {
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

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

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
