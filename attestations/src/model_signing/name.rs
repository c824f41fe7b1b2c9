//! Names of files in a manifest.

/// A name that is not that of a file in the model's folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a valid file name in the model: {why}")]
pub struct NameError {
    /// The name.
    pub name: String,
    /// The problem.
    pub why: &'static str,
}

/// Checks that a name leads to a file below the model's folder wherever that is, and has one spelling.
pub(crate) fn check(name: &str) -> Result<(), NameError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.starts_with('/') {
        "it is absolute"
    } else if name.contains('\\') {
        "it has a backslash, which separates folders on some systems"
    } else if name.contains('\0') {
        "it has a null byte"
    } else if name.split('/').any(|part| part == "..") {
        "it leads out of a folder"
    } else if name.split('/').any(|part| part.is_empty() || part == ".") {
        "it has an empty part, or a dot alone"
    } else {
        return Ok(());
    };
    Err(NameError { name: name.to_owned(), why })
}

/// Returns the order in which names are listed: folder by folder, as paths of Python's are sorted.
pub(super) fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.split('/').cmp(b.split('/'))
}

/// Returns whether a name is a path or is below it.
pub(super) fn is_below(name: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_and_ambiguous_names_are_rejected() {
        for invalid in ["", "/a", "../a", "a/..", "a/../b", "a\\b", "a//b", "./a", "a/.", "a/", "a\0"] {
            assert!(check(invalid).is_err(), "{invalid:?}");
        }
        for valid in ["a", "a/b", ".a", "..a", "a..", "a b", "ä\n", "a:1:2", "-", "..."] {
            assert!(check(valid).is_ok(), "{valid:?}");
        }
    }

    #[test]
    fn names_are_ordered_folder_by_folder() {
        let mut names = ["a.b", "a/b", "a-b", "a", "B"];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(names, ["B", "a", "a/b", "a-b", "a.b"]);
    }

    #[test]
    fn path_covers_itself_and_the_paths_below() {
        assert!(is_below("a/b", "a") && is_below("a", "a/") && !is_below("ab", "a") && !is_below("a", "a/b"));
    }
}
