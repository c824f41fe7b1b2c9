//! Image lists: paths and labels, one image per line.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use crate::bounded_read::read_bounded;

/// Maximum label of a list. A classifier of a million classes is more likely a mistake.
pub const MAX_LABEL: u32 = 999_999;

/// Maximum size of a list file in bytes. ImageNet's has 45 MB.
const MAX_LIST_BYTES: u64 = 1 << 30;

/// Maximum length of an image path in bytes, the limit of the operating system.
const MAX_PATH_BYTES: usize = 4095;

/// How many missing files are named.
const NAMED_FILES: usize = 3;

/// An image and its class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The path of the image, relative to the root of the data, with `/` between folders.
    pub path: String,
    /// The class, from 0.
    pub label: u32,
}

/// Images and their classes, each image once.
///
/// In a file, each line has the path relative to the root of the data, a space, and the label. The label is the last
/// field, so a path may contain spaces. Empty lines are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageList {
    entries: Vec<Entry>,
}

/// A list that names no images, or not clearly.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// A file that cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The list.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The bytes are not UTF-8.
    #[error("{name}, line {line}: not UTF-8 text")]
    NotText {
        /// The list.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// No image at all.
    #[error("{name}: the list is empty; expected one image per line, `relative/path label`")]
    Empty {
        /// The list.
        name: String,
    },
    /// A line of one field.
    #[error("{place}: no label: expected `relative/path label`, found {found}")]
    NoLabel {
        /// Which line.
        place: String,
        /// The line, shortened.
        found: String,
    },
    /// The last field is not a label.
    #[error("{place}: the label is a whole number from 0 to {MAX_LABEL}, found {found}")]
    Label {
        /// Which line or entry.
        place: String,
        /// The field found, shortened.
        found: String,
    },
    /// A path that is not one of a file under the root.
    #[error("{place}: {path} {problem}")]
    Path {
        /// Which line or entry.
        place: String,
        /// The path, shortened.
        path: String,
        /// The problem and how to fix it.
        problem: &'static str,
    },
    /// An image is listed twice, with the same label or another one.
    #[error("{place}: {path} is already listed at {first}; list each image once")]
    Duplicate {
        /// Which line or entry.
        place: String,
        /// The image, shortened.
        path: String,
        /// The line or entry of the first occurrence.
        first: String,
    },
    /// Images that do not exist.
    #[error(
        "{missing} of {total} images of the list are not under {}: {}{}; check the root of the data",
        root.display(),
        first.join(", "),
        if *missing > first.len() { ", …" } else { "" }
    )]
    MissingFiles {
        /// Where they should be.
        root: PathBuf,
        /// Number of missing images.
        missing: usize,
        /// Number of images in the list.
        total: usize,
        /// The first missing images.
        first: Vec<String>,
    },
    /// A list shipped with this program differs from the published one.
    #[error(
        "{name}: not the list that was published; the program was built from modified files: build it again from a \
         clean copy"
    )]
    Damaged {
        /// The list.
        name: &'static str,
    },
}

impl ImageList {
    /// Validates entries and keeps their order.
    ///
    /// # Errors
    /// Returns [`ListError`] for the first entry whose path is not relative and plain (no `..`, `.`, `//`, line break),
    /// whose label is above [`MAX_LABEL`] or whose path is a duplicate, and if there is no entry.
    pub fn new(entries: Vec<Entry>) -> Result<Self, ListError> {
        Self::checked(entries, "the list", |position| format!("entry {}", position + 1))
    }

    /// Parses the lines of a list. `name` is used in messages.
    ///
    /// # Errors
    /// Returns the errors of [`new`](Self::new), and an error with the line number for a line without a label.
    pub fn parse(text: &str, name: &str) -> Result<Self, ListError> {
        let most = memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1;
        let mut entries = Vec::with_capacity(most);
        let mut lines = Vec::with_capacity(most);
        for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = line.trim_matches(is_blank);
            if line.is_empty() {
                continue;
            }
            let place = || format!("{name}, line {}", index + 1);
            let (path, label) =
                line.rsplit_once(is_blank).ok_or_else(|| ListError::NoLabel { place: place(), found: shown(line) })?;
            // `parse` alone would accept a plus sign.
            let digits = label.bytes().all(|byte| byte.is_ascii_digit());
            let label = label
                .parse()
                .ok()
                .filter(|_| digits)
                .ok_or_else(|| ListError::Label { place: place(), found: shown(label) })?;
            entries.push(Entry { path: path.trim_end_matches(is_blank).to_owned(), label });
            lines.push(index + 1);
        }
        Self::checked(entries, name, |position| format!("{name}, line {}", lines[position]))
    }

    /// Reads a list file and checks that every image exists under `root`.
    ///
    /// # Errors
    /// Returns the errors of [`read_alone`](Self::read_alone) and [`check_files`](Self::check_files).
    pub fn read(list: &Path, root: &Path) -> Result<Self, ListError> {
        let images = Self::read_alone(list)?;
        images.check_files(root)?;
        Ok(images)
    }

    /// Reads a list file without checking that its images exist.
    ///
    /// # Errors
    /// Returns the errors of [`parse`](Self::parse), and an error if the file cannot be read as text.
    pub fn read_alone(list: &Path) -> Result<Self, ListError> {
        let mut bytes = Vec::new();
        read_bounded(list, MAX_LIST_BYTES, &mut bytes)
            .map_err(|source| ListError::Read { path: list.to_owned(), source })?;
        let name = list.display().to_string();
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            ListError::NotText { name: name.clone(), line }
        })?;
        Self::parse(text, &name)
    }

    /// Checks that every image is a file under `root`.
    ///
    /// # Errors
    /// Returns [`ListError::MissingFiles`] with the number of missing files and the first three.
    pub fn check_files(&self, root: &Path) -> Result<(), ListError> {
        let missing = self.missing_files(root);
        if missing.is_empty() {
            return Ok(());
        }
        Err(ListError::MissingFiles {
            root: root.to_owned(),
            missing: missing.len(),
            total: self.entries.len(),
            first: missing.iter().take(NAMED_FILES).map(|entry| shown(&entry.path)).collect(),
        })
    }

    /// Returns the images that are not files under `root`, in the order of the list.
    pub fn missing_files(&self, root: &Path) -> Vec<&Entry> {
        self.entries.par_iter().filter(|entry| !root.join(&entry.path).is_file()).collect()
    }

    /// Returns the entries in the order of the list.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the number of images, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a list is never empty")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of classes: the largest label and 1.
    pub fn classes(&self) -> usize {
        self.entries.iter().map(|entry| entry.label as usize + 1).max().unwrap_or(0)
    }

    /// Returns the labels below the largest that no image has, in order.
    pub fn unused_labels(&self) -> Vec<u32> {
        let mut unused = vec![true; self.classes()];
        for entry in &self.entries {
            unused[entry.label as usize] = false;
        }
        (0..).zip(unused).filter_map(|(label, unused)| unused.then_some(label)).collect()
    }

    /// Returns the text of a list file. [`parse`](Self::parse) reads it back.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Entry { path, label } in &self.entries {
            writeln!(text, "{path} {label}").expect("a String accepts every write");
        }
        text
    }

    fn checked(entries: Vec<Entry>, name: &str, place: impl Fn(usize) -> String) -> Result<Self, ListError> {
        if entries.is_empty() {
            return Err(ListError::Empty { name: name.to_owned() });
        }
        // A list without duplicates, the usual case, needs no map.
        let mut seen = (!has_distinct_paths(&entries)).then(HashMap::new);
        for (position, Entry { path, label }) in entries.iter().enumerate() {
            if let Some(problem) = path_problem(path) {
                return Err(ListError::Path { place: place(position), path: shown(path), problem });
            }
            if *label > MAX_LABEL {
                return Err(ListError::Label { place: place(position), found: label.to_string() });
            }
            if let Some(first) = seen.as_mut().and_then(|seen| seen.insert(path.as_str(), position)) {
                return Err(ListError::Duplicate { place: place(position), path: shown(path), first: place(first) });
            }
        }
        Ok(Self { entries })
    }
}

/// Returns whether the paths have different hashes, so that no path occurs twice.
fn has_distinct_paths(entries: &[Entry]) -> bool {
    let hasher = RandomState::new();
    let mut hashes: Vec<u64> = entries.iter().map(|entry| hasher.hash_one(&entry.path)).collect();
    hashes.sort_unstable();
    hashes.windows(2).all(|pair| pair[0] != pair[1])
}

/// Returns whether a character separates the fields of a line.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r')
}

/// Why a path does not name one file below the root, or would not survive being written as a line.
fn path_problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is not a path");
    }
    if path.len() > MAX_PATH_BYTES {
        return Some("is longer than any path");
    }
    if path.contains(['\0', '\n', '\r']) || path.starts_with('\u{feff}') {
        return Some("holds a control character; rename the file");
    }
    if path.trim_matches(is_blank) != path {
        return Some("begins or ends with a blank; rename the file");
    }
    let mut length = 0;
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => length += name.len() + 1,
            Component::ParentDir => {
                return Some("is outside of the root of the data; list files below it, without `..`");
            }
            Component::RootDir | Component::Prefix(_) => {
                return Some("is absolute; write it relative to the root of the data");
            }
            Component::CurDir => return Some("begins with `./`; remove that"),
        }
    }
    // Path components omit doubled and trailing slashes and inner `.` segments.
    (length != path.len() + 1).then_some("holds `//`, `/./` or a final `/`; name each file in one way only")
}

/// Formats text from a file for a message: quoted, escaped, at most 80 characters.
fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tfnas_random::{Stream, StreamId};

    use super::*;

    fn entry(path: &str, label: u32) -> Entry {
        Entry { path: path.to_owned(), label }
    }

    fn message(text: &str) -> String {
        ImageList::parse(text, "train.txt").unwrap_err().to_string()
    }

    #[test]
    fn a_line_is_a_path_and_a_label() {
        let list = ImageList::parse("n01/a.JPEG 0\nn02/b.JPEG 7\n", "train.txt").unwrap();
        assert_eq!(list.entries(), [entry("n01/a.JPEG", 0), entry("n02/b.JPEG", 7)]);
        assert_eq!((list.len(), list.classes()), (2, 8));
    }

    #[test]
    fn labels_without_images_are_known() {
        let list = ImageList::new(vec![entry("a.jpg", 4), entry("b.jpg", 1), entry("c.jpg", 4)]).unwrap();
        assert_eq!(list.unused_labels(), [0, 2, 3]);
        assert!(ImageList::new(vec![entry("a.jpg", 0)]).unwrap().unused_labels().is_empty());
    }

    #[test]
    fn paths_can_contain_spaces() {
        let list = ImageList::parse("my photos/a 1 b.jpg 3", "train.txt").unwrap();
        assert_eq!(list.entries(), [entry("my photos/a 1 b.jpg", 3)]);
    }

    #[test]
    fn crlf_byte_order_mark_and_empty_lines_are_accepted() {
        let list = ImageList::parse("\u{feff}a.jpg 0\r\n\r\n  b.jpg\t1  \r\n", "train.txt").unwrap();
        assert_eq!(list.entries(), [entry("a.jpg", 0), entry("b.jpg", 1)]);
    }

    #[test]
    fn list_round_trips() {
        let list = ImageList::new(vec![entry("b c/d.png", 4), entry("ä/ö.png", 0)]).unwrap();
        assert_eq!(ImageList::parse(&list.to_text(), "again").unwrap(), list);
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(message("\n\n"), "train.txt: the list is empty; expected one image per line, `relative/path label`");
        assert!(message("a 0\n\nb").starts_with("train.txt, line 3: no label"));
        for label in ["-1", "+1", "1.5", "x", "1000000", "4294967296", "99999999999999999999"] {
            assert!(message(&format!("a 0\nb {label}")).starts_with("train.txt, line 2: the label is"), "{label}");
        }
        assert_eq!(
            message("a 0\nb 0\na 1"),
            "train.txt, line 3: \"a\" is already listed at train.txt, line 1; list each image once"
        );
    }

    #[test]
    fn unsafe_and_ambiguous_paths_are_rejected() {
        for path in ["/etc/passwd", "../a", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", ".", "..", "a\0b"] {
            assert!(matches!(ImageList::parse(&format!("{path} 0"), "l"), Err(ListError::Path { .. })), "{path}");
        }
        for path in ["", " a", "a ", "a\nb", "\u{feff}a", &"a".repeat(5000)] {
            assert!(matches!(ImageList::new(vec![entry(path, 0)]), Err(ListError::Path { .. })), "{path}");
        }
        ImageList::parse("a..b/...c 0", "l").unwrap();
    }

    #[test]
    fn messages_stay_short_and_printable() {
        let text = message(&"\u{1b}[31m".repeat(100_000));
        assert!(text.len() < 1000 && !text.contains('\u{1b}'));
    }

    #[test]
    fn missing_files_are_counted_and_the_first_three_listed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("here.jpg"), "").unwrap();
        std::fs::create_dir(root.path().join("folder.jpg")).unwrap();
        let list = root.path().join("list.txt");
        std::fs::write(&list, "a 0\nhere.jpg 0\nfolder.jpg 0\nb 0\nc 0\n").unwrap();
        let text = ImageList::read(&list, root.path()).unwrap_err().to_string();
        assert!(text.starts_with("4 of 5 images"), "{text}");
        assert!(text.contains(r#""a", "folder.jpg", "b", …"#), "{text}");
        std::fs::write(&list, "here.jpg 0").unwrap();
        assert_eq!(ImageList::read(&list, root.path()).unwrap().len(), 1);
    }

    #[test]
    fn errors_name_files_that_are_no_lists() {
        let root = tempfile::tempdir().unwrap();
        let list = root.path().join("list.txt");
        assert!(matches!(ImageList::read(&list, root.path()), Err(ListError::Read { .. })));
        assert!(matches!(ImageList::read(root.path(), root.path()), Err(ListError::Read { .. })));
        std::fs::write(&list, b"a 0\nb\xff 0\n").unwrap();
        assert!(matches!(ImageList::read(&list, root.path()), Err(ListError::NotText { line: 2, .. })));
    }

    #[test]
    fn mutated_lists_do_not_panic() {
        const PIECES: [&str; 12] = ["../", "/", "\0", " ", "\n", "\r", "\t", "4294967295", "-", "é", "\u{feff}", "."];
        let original = "n01/a 1.JPEG 0\nn01/b.JPEG 0\nn02/c.JPEG 1\n";
        let mut read = 0;
        for index in 0..10_000 {
            let mut stream = Stream::new(1, StreamId::Synthetic, 0, index);
            let mut characters: Vec<char> = original.chars().collect();
            for _ in 0..=stream.below(4) {
                let start = stream.below(characters.len() as u64) as usize;
                let end = (start + stream.below(3) as usize).min(characters.len());
                let piece = PIECES[stream.below(PIECES.len() as u64) as usize];
                characters.splice(start..end, piece.chars());
            }
            let text: String = characters.into_iter().collect();
            if let Ok(list) = ImageList::parse(&text, "mutated") {
                assert_eq!(ImageList::parse(&list.to_text(), "again").unwrap(), list);
                read += 1;
            }
        }
        assert!((100..9_900).contains(&read), "{read} of 10,000 were read");
    }
}
