//! The manifest of a folder: what is in it, file by file.

use std::fmt::Write;

use crate::Digest;
use crate::digest::Hasher;

/// The first line of a folder's manifest; changing the format means another one.
pub(super) const FOLDER: &str = "tfnas.folder.v1";

/// The first word of a list's manifest; the digest of the list follows it.
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

impl FolderManifest {
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

    /// Returns the digest of the text, without holding it whole.
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
