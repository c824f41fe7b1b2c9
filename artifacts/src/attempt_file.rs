//! The JSON record of a finished attempt, `manifests/<key>/<attempt>.json`. It is kept next to the ledger so that the
//! ledger can be rebuilt.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_write::{self, Access};
use crate::{ActionKey, Attempt, AttemptId, FileError, Run, Store};

/// Maximum size of a record. A larger file is rejected.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// The format of the file. An incompatible change needs a new tag.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "tfnas.attempt.v1")]
    AttemptV1,
}

/// The content of the file: the attempt and the run that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttemptFile {
    format: Format,
    pub attempt: Attempt,
    /// None for an attempt that was pulled from elsewhere.
    pub run: Option<Run>,
}

/// The reason why a file is not a valid record of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum AttemptFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is damaged, or of another version.
    #[error("{place} is not an attempt record: {source}")]
    Text {
        /// The file, or the source of the text.
        place: String,
        /// The parse error.
        source: serde_json::Error,
    },
    /// The fields of the record contradict each other.
    #[error("{place} contradicts itself: {what}")]
    Contradiction {
        /// The file, or the source of the text.
        place: String,
        /// In which way.
        what: &'static str,
    },
}

impl AttemptFile {
    pub fn new(attempt: Attempt, run: Option<Run>) -> Self {
        Self { format: Format::AttemptV1, attempt, run }
    }

    /// Returns the file of an attempt.
    pub fn path(store: &Store, key: &ActionKey, attempt: &AttemptId) -> PathBuf {
        store.manifest_folder(key).join(format!("{attempt}.json"))
    }

    /// Returns the path of the file that pins an attempt. The file contains the reason.
    pub fn pin_path(store: &Store, key: &ActionKey, attempt: &AttemptId) -> PathBuf {
        store.manifest_folder(key).join(format!("{attempt}.pin"))
    }

    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("maps have text keys");
        text.push('\n');
        text
    }

    /// Writes the file, which is on disk when this returns.
    pub fn write(&self, store: &Store) -> Result<(), FileError> {
        let path = Self::path(store, &self.attempt.key, &self.attempt.id);
        atomic_write::create_durable_folder(&store.manifest_folder(&self.attempt.key))?;
        atomic_write::write_file(&path, self.to_text().as_bytes(), &store.temporary(), Access::Writable)
    }

    pub fn read(path: &Path) -> Result<Self, AttemptFileError> {
        let metadata = fs::metadata(path).map_err(FileError::of("read", path))?;
        if metadata.len() > MAX_BYTES {
            return Err(AttemptFileError::Contradiction {
                place: path.display().to_string(),
                what: "it is far too large",
            });
        }
        let bytes = fs::read(path).map_err(FileError::of("read", path))?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// Parses the output of [`to_text`](Self::to_text) and checks that its fields agree. `place` is used in the error.
    pub fn from_bytes(bytes: &[u8], place: &str) -> Result<Self, AttemptFileError> {
        let file: Self = serde_json::from_slice(bytes)
            .map_err(|source| AttemptFileError::Text { place: place.to_owned(), source })?;
        let Attempt { key, stage, manifest, inputs, outputs, .. } = &file.attempt;
        let inputs_fit = inputs.iter().map(|input| (&input.port, &input.digest)).eq(manifest.inputs());
        let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        let mut names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
        names.sort_unstable();
        let what = if !names.iter().all(|name| is_plain(name)) {
            "an output name is not a valid file name"
        } else if names.windows(2).any(|pair| pair[0] == pair[1]) {
            "two outputs have one name"
        } else if manifest.key() != *key {
            "its key does not match its fields"
        } else if manifest.stage() != stage {
            "it names two stages"
        } else if !inputs_fit {
            "its inputs do not match its key"
        } else {
            return Ok(file);
        };
        Err(AttemptFileError::Contradiction { place: place.to_owned(), what })
    }
}

/// Returns every attempt's file in a store, in order of their names.
pub(crate) fn all(store: &Store) -> Result<Vec<PathBuf>, FileError> {
    let manifests = store.manifests();
    let mut files = Vec::new();
    for key in atomic_write::names_in(&manifests)? {
        let folder = manifests.join(key);
        let names = atomic_write::names_in(&folder)?;
        files.extend(
            names.iter().map(|name| folder.join(name)).filter(|path| path.extension().is_some_and(|e| e == "json")),
        );
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Digest, KeyManifest, Outcome, Output, Purpose, Usage};
    use serde_json::json;

    fn file() -> AttemptFile {
        let mut manifest = KeyManifest::new("parse", 2);
        manifest.parameter("rate", &json!(0.1)).unwrap();
        let attempt = Attempt {
            id: AttemptId::of(&Digest::of_bytes(b"id")),
            run: None,
            remote: None,
            instance: "parse@12".into(),
            stage: "parse".into(),
            key: manifest.key(),
            manifest,
            purpose: Purpose::Run,
            environment: json!({"threads": 2}),
            tool: "tool".into(),
            source_revision: None,
            host: "host".into(),
            started_ms: 1,
            ended_ms: Some(2),
            outcome: Some(Outcome::Done),
            cause: None,
            metrics: json!({"top1": 0.1}),
            usage: Usage::default(),
            inputs: Vec::new(),
            outputs: vec![Output { name: "model.config".into(), digest: Digest::of_bytes(b"x"), bytes: 1 }],
        };
        AttemptFile::new(attempt, None)
    }

    fn error(text: &str) -> String {
        AttemptFile::from_bytes(text.as_bytes(), "here").unwrap_err().to_string()
    }

    #[test]
    fn record_round_trips() {
        let text = file().to_text();
        assert_eq!(AttemptFile::from_bytes(text.as_bytes(), "here").unwrap(), file());
    }

    #[test]
    fn changed_record_is_rejected() {
        let text = file().to_text();
        assert!(error(&text.replace("0.1", "0.2")).contains("key does not match its fields"));
        assert!(error(&text.replace("\"model.config\"", "\"../model.config\"")).contains("not a valid file name"));
        assert!(error(&text.replace("attempt.v1", "attempt.v2")).contains("here is not an attempt record"));
        assert!(error(&text[..text.len() / 2]).contains("here is not an attempt record"));
        let mut twice = file();
        twice.attempt.outputs.extend(file().attempt.outputs);
        assert!(error(&twice.to_text()).contains("two outputs have one name"));
    }
}
