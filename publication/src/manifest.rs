use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tfnas_artifacts::Digest;
use tfnas_attestations::Sha256Digest;

use crate::json::{canonical, parse_canonical};
use crate::names;

/// Maximum number of files.
const MAX_FILES: usize = 10_000;

/// All files of a publication sorted by name, except the manifest itself, the Statement and the signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: Format,
    /// The files, sorted by name.
    pub files: Vec<FileEntry>,
    /// Names of the signature files; empty if the publication is not signed.
    pub signatures: Vec<String>,
}

/// The version of the format. Incompatible changes require a new tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "tfnas.publication.v1")]
    PublicationV1,
}

/// A file and its digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path relative to the folder, with `/` as separator.
    pub name: String,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file, for other programs.
    pub sha256: Sha256Digest,
    /// BLAKE3 of the file, as used in keys and records.
    pub blake3: Digest,
}

/// The text is not a valid manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The text is not in the canonical format.
    #[error("{0}")]
    Text(String),
    /// A name is not a path inside the folder.
    #[error("{0:?} is not a file name inside the folder")]
    Name(String),
    /// A name occurs twice.
    #[error("{0} is listed twice")]
    Twice(String),
    /// The names are not sorted.
    #[error("{0} is not in name order")]
    Order(String),
    /// A file must not be listed in a manifest.
    #[error("{0} is not a file that a manifest lists")]
    Own(String),
    /// There are too many files.
    #[error("it lists more than {MAX_FILES} files")]
    TooMany,
}

impl Manifest {
    /// Creates a manifest.
    pub fn new(mut files: Vec<FileEntry>, signatures: Vec<String>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Self { format: Format::PublicationV1, files, signatures }
    }

    /// Formats the manifest.
    pub fn to_text(&self) -> String {
        canonical(self)
    }

    /// Parses a manifest, which must be in the format of [`to_text`](Self::to_text).
    ///
    /// # Errors
    /// Returns an error if the text is not a valid manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = parse_canonical(bytes).map_err(ManifestError::Text)?;
        if manifest.files.len() > MAX_FILES {
            return Err(ManifestError::TooMany);
        }
        let known = [names::SIGNATURE, names::ENVELOPE];
        if let Some(other) = manifest.signatures.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(ManifestError::Name(other.clone()));
        }
        let mut seen = BTreeSet::new();
        let mut last = "";
        for FileEntry { name, .. } in &manifest.files {
            if !is_plain_name(name) {
                return Err(ManifestError::Name(name.clone()));
            }
            if !seen.insert(name.as_str()) {
                return Err(ManifestError::Twice(name.clone()));
            }
            if name.as_str() < last {
                return Err(ManifestError::Order(name.clone()));
            }
            if [names::MANIFEST, names::STATEMENT].contains(&name.as_str()) || known.contains(&name.as_str()) {
                return Err(ManifestError::Own(name.clone()));
            }
            last = name;
        }
        Ok(manifest)
    }

    /// Returns the entry of a file.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        let at = self.files.binary_search_by(|file| file.name.as_str().cmp(name)).ok()?;
        self.files.get(at)
    }
}

/// Returns whether a name is a relative path inside the folder on all operating systems.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    name.len() <= 1024
        && name.split('/').all(plain)
        && !name.contains(['\\', ':'])
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn entry(name: &str) -> FileEntry {
        FileEntry {
            name: name.to_owned(),
            bytes: 1,
            sha256: Sha256Digest::of_bytes(b"x"),
            blake3: Digest::of_bytes(b"x"),
        }
    }

    fn error(text: &str) -> String {
        Manifest::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_manifest_is_parsed_and_sorted() {
        let manifest = Manifest::new(vec![entry("b"), entry("a/c"), entry("a")], Vec::new());
        let read = Manifest::parse(manifest.to_text().as_bytes()).unwrap();
        assert_eq!(read, manifest);
        assert_eq!(read.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a", "a/c", "b"]);
        assert_eq!(read.file("a/c"), Some(&entry("a/c")));
    }

    #[test]
    fn names_outside_the_folder_and_duplicates_are_errors() {
        let with = |names: &[&str]| {
            Manifest {
                format: Format::PublicationV1,
                files: names.iter().map(|name| entry(name)).collect(),
                signatures: Vec::new(),
            }
            .to_text()
        };
        for name in ["../a", "/a", "a/../b", "a//b", "", ".", "a\\b", "c:a", "a/", "a\nb"] {
            assert!(error(&with(&[name])).contains("is not a file name"), "{name:?}");
        }
        assert!(error(&with(&["a", "a"])).contains("a is listed twice"));
        assert!(error(&with(&["b", "a"])).contains("order"));
        assert!(error(&with(&["manifest.json"])).contains("is not a file that a manifest lists"));
    }

    #[test]
    fn text_that_is_not_canonical_is_an_error() {
        let text = Manifest::new(vec![entry("a")], Vec::new()).to_text();
        assert!(error(&text.replace("\"bytes\": 1", "\"bytes\": 1,\n      \"bytes\": 1")).contains("duplicate field"));
        assert!(error(&text.replace("\"bytes\": 1", "\"bytes\":  1")).contains("not its format"));
        assert!(error(&text.replace("publication.v1", "publication.v2")).contains("unknown variant"));
        assert!(error(text.trim_end()).contains("not its format"));
    }
}
