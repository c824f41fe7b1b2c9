//! The manifest of a folder: its files with their sizes and digests.

use std::fmt::Write;

use crate::Digest;
use crate::digest::Hasher;

/// The first line of a folder's manifest. A change of the format needs a new line.
pub(super) const FOLDER: &str = "tfnas.folder.v1";

/// The first line of the manifest of a folder with files that earlier versions passed over.
pub(super) const FOLDER_WITH_NEW: &str = "tfnas.folder.v2";

/// The first word of a list's manifest, followed by the digest of the list.
pub(super) const LIST: &str = "tfnas.list.v1";

/// Text hashed at a time.
const CHUNK: usize = 1 << 20;

/// The files of a folder with their sizes and digests, in byte order of their paths.
///
/// As text: a first line, then a line a file: digest, size in bytes, path, with a space between. In a path, a
/// backslash, line feed or carriage return is written `\\`, `\n`, `\r`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderManifest {
    pub(super) head: String,
    pub(super) entries: Vec<ManifestEntry>,
}

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Relative to the folder, with `/` between names.
    pub path: Box<str>,
    /// Its size.
    pub bytes: u64,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// The text is not a manifest in the form that [`FolderManifest::to_text`] writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseManifestError {
    /// The line, from 1.
    pub line: usize,
    /// The problem.
    pub what: &'static str,
}

impl FolderManifest {
    /// Parses the output of [`to_text`](Self::to_text). Other spellings are rejected, so the text round-trips exactly.
    ///
    /// # Errors
    /// Returns [`ParseManifestError`] with the first invalid line.
    pub fn parse(text: &str) -> Result<Self, ParseManifestError> {
        let wrong = |line, what| ParseManifestError { line, what };
        let Some(body) = text.strip_suffix('\n') else {
            return Err(wrong(text.matches('\n').count() + 1, "the last line has no newline"));
        };
        let mut lines = body.split('\n');
        let head = lines.next().unwrap_or_default();
        let of_list = head.strip_prefix(LIST).and_then(|rest| rest.strip_prefix(' '));
        if head != FOLDER && head != FOLDER_WITH_NEW && of_list.is_none_or(|digest| digest.parse::<Digest>().is_err()) {
            return Err(wrong(1, "it is not the first line of a manifest"));
        }
        let mut entries: Vec<ManifestEntry> = Vec::new();
        for (index, text) in lines.enumerate() {
            let line = index + 2;
            let entry = entry(text).ok_or_else(|| wrong(line, "expected a digest, a size and a path"))?;
            if entries.last().is_some_and(|last| last.path.as_bytes() >= entry.path.as_bytes()) {
                return Err(wrong(line, "its path is not in order"));
            }
            entries.push(entry);
        }
        Ok(Self { head: head.to_owned(), entries })
    }

    /// Returns the digest of the list, or `None` for the manifest of a folder.
    pub fn list(&self) -> Option<Digest> {
        self.head.strip_prefix(LIST)?.trim_start().parse().ok()
    }

    /// Returns the files, in byte order of their paths.
    pub fn entries(&self) -> &[ManifestEntry] {
        &self.entries
    }

    /// Returns the manifest as text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(|part| text.push_str(part));
        text
    }

    /// Returns the digest of the text without building the complete text.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        self.write(|part| hasher.update(part.as_bytes()));
        hasher.finish()
    }

    fn write(&self, mut out: impl FnMut(&str)) {
        let mut chunk = format!("{}\n", self.head);
        for ManifestEntry { path, bytes, digest } in &self.entries {
            // Writing to a string cannot fail.
            let _ = write!(chunk, "{digest} {bytes} ");
            if path.contains(['\\', '\n', '\r']) {
                chunk.push_str(&path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r"));
            } else {
                chunk.push_str(path);
            }
            chunk.push('\n');
            if chunk.len() >= CHUNK {
                out(&chunk);
                chunk.clear();
            }
        }
        out(&chunk);
    }
}

/// Reads a line of a manifest.
fn entry(line: &str) -> Option<ManifestEntry> {
    let (digest, rest) = line.split_once(' ')?;
    let (bytes, path) = rest.split_once(' ')?;
    let size: u64 = bytes.parse().ok()?;
    // `parse` alone would accept other spellings of the number.
    if path.is_empty() || size.to_string() != bytes || path.contains('\r') {
        return None;
    }
    Some(ManifestEntry { path: unescaped(path)?.into(), bytes: size, digest: digest.parse().ok()? })
}

/// A path as it is, from how it is written.
fn unescaped(text: &str) -> Option<String> {
    let mut path = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        path.push(match character {
            '\\' => match characters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn manifest() -> FolderManifest {
        let entry =
            |path: &str| ManifestEntry { path: path.into(), bytes: 12, digest: Digest::of_bytes(path.as_bytes()) };
        FolderManifest { head: FOLDER.to_owned(), entries: vec![entry("a b/1.jpg"), entry("a\\b"), entry("b\n\r")] }
    }

    #[test]
    fn manifest_round_trips_through_text() {
        assert_eq!(FolderManifest::parse(&manifest().to_text()), Ok(manifest()));
        let with_new = FolderManifest { head: FOLDER_WITH_NEW.to_owned(), ..manifest() };
        assert_eq!(FolderManifest::parse(&with_new.to_text()), Ok(with_new));
        let digest = Digest::of_bytes(b"list");
        let list = FolderManifest { head: format!("{LIST} {digest}"), ..manifest() };
        assert_eq!(FolderManifest::parse(&list.to_text()).unwrap().list(), Some(digest));
        assert_eq!(manifest().list(), None);
    }

    #[test]
    fn other_spellings_of_a_manifest_are_rejected() {
        let text = manifest().to_text();
        let swapped: String = {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.swap(1, 2);
            lines.iter().map(|line| format!("{line}\n")).collect()
        };
        let others = [
            swapped,
            text.replace(" 12 ", " 012 "),
            text.replace(" 12 ", " +12 "),
            text.replace("folder.v1", "folder.v3"),
            text.replace("\\n", "\\x"),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            String::new(),
        ];
        for other in others {
            assert!(FolderManifest::parse(&other).is_err(), "{other}");
        }
    }
}
