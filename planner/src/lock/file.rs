use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tfnas_artifacts::Attempt;

use crate::config::{Configuration, Node, Source, TypeError};
use crate::machine::key_facts;
use crate::plan::Planner;

/// File name, in the folder of the configuration.
const FILE: &str = "pipeline.lock";
/// Version of the format.
const VERSION: u32 = 1;
/// The comment at the top of the file.
const HEAD: &str = "\
# Inputs and outputs of each stage. Written by `tfnas-pipeline run`; review and commit it.
# `tfnas-pipeline status --locked` fails if it does not match the configuration.
";

/// Contents of `pipeline.lock`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// The entries by instance.
    pub stages: BTreeMap<String, Locked>,
}

/// The entry of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The cache key.
    pub key: String,
    /// Digests of the inputs by port.
    pub inputs: BTreeMap<String, String>,
    /// Facts about the machine that are part of the key.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Digests of the outputs by name.
    pub outputs: BTreeMap<String, String>,
}

/// A lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// The operation, `read` or `write`.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file contains Git conflict markers.
    #[error("{}:{line}: it has conflict marks: resolve them, or remove the file and run again", path.display())]
    Conflict {
        /// Path of the file.
        path: PathBuf,
        /// Line of the first marker, counted from 1.
        line: usize,
    },
    /// The file has another version, or is damaged.
    #[error("{}: {what}: remove the file and run again", path.display())]
    Form {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Returns the path of the lock file of a configuration, or `None` for the embedded default.
pub fn path(configuration: &Configuration) -> Option<PathBuf> {
    configuration.file.as_ref().map(|_| configuration.base.join(FILE))
}

impl Lock {
    /// Reads a lock file. A missing file is treated as empty.
    ///
    /// # Errors
    /// Returns [`LockError`] if the file cannot be read or is invalid.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(LockError::File { action: "read", path: path.to_owned(), source }),
        };
        let mark =
            |line: &str| ["<<<<<<< ", "=======", ">>>>>>> ", "||||||| "].iter().any(|mark| line.starts_with(mark));
        if let Some(line) = text.lines().position(mark) {
            return Err(LockError::Conflict { path: path.to_owned(), line: line + 1 });
        }
        let form = |what: String| LockError::Form { path: path.to_owned(), what };
        let source = Arc::new(Source::new(path.display().to_string(), &text));
        let node = Node::parse(&source).map_err(|error| {
            form(error.span.map_or_else(|| error.to_string(), |span| format!("line {}: {error}", span.line)))
        })?;
        let lock: Self = node.typed().map_err(|error: TypeError| form(format!("{}: {error}", error.key())))?;
        if lock.version != VERSION {
            return Err(form(format!("it has version {}, but this program supports version {VERSION}", lock.version)));
        }
        Ok(lock)
    }

    /// Returns the lock with the results of a run. Instances that the run did not reach keep their entries.
    pub fn updated(&self, planner: &Planner<'_>, results: &BTreeMap<usize, Attempt>) -> Self {
        let mut stages = BTreeMap::new();
        for (position, instance) in planner.graph.instances.iter().enumerate() {
            let locked = match results.get(&position) {
                Some(attempt) => Some(Locked {
                    key: attempt.key.to_string(),
                    inputs: named(attempt.inputs.iter().map(|input| (&input.port, &input.digest))),
                    environment: key_facts(planner.key_facts(position), planner.device(position))
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                    outputs: named(attempt.outputs.iter().map(|output| (&output.name, &output.digest))),
                }),
                None => self.stages.get(&instance.id).cloned(),
            };
            if let Some(locked) = locked {
                stages.insert(instance.id.clone(), locked);
            }
        }
        Self { version: VERSION, stages }
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// Returns [`LockError::File`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let wrong = |source| LockError::File { action: "write", path: path.to_owned(), source };
        tfnas_fs::write_atomic(path, self.text().as_bytes()).map_err(wrong)
    }

    /// Formats the file as YAML. Digests and most names need no quotes; names with punctuation of YAML are quoted.
    fn text(&self) -> String {
        let mut text = format!("{HEAD}version: {}\nstages:\n", self.version);
        for (id, locked) in &self.stages {
            text.push_str(&format!("  {}:\n    key: {}\n", quoted(id), quoted(&locked.key)));
            for (heading, entries) in
                [("inputs", &locked.inputs), ("environment", &locked.environment), ("outputs", &locked.outputs)]
            {
                if entries.is_empty() {
                    text.push_str(&format!("    {heading}: {{}}\n"));
                    continue;
                }
                text.push_str(&format!("    {heading}:\n"));
                for (name, value) in entries {
                    text.push_str(&format!("      {}: {}\n", quoted(name), quoted(value)));
                }
            }
        }
        if self.stages.is_empty() {
            text.push_str("  {}\n");
        }
        text
    }
}

fn named<'a>(entries: impl Iterator<Item = (&'a String, &'a tfnas_artifacts::Digest)>) -> BTreeMap<String, String> {
    entries.map(|(name, digest)| (name.clone(), digest.to_string())).collect()
}

/// Quotes text for YAML if necessary.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.@-".contains(&byte))
        && !["true", "false", "null", "yes", "no"].contains(&text);
    // A JSON string is a valid YAML string.
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn lock() -> Lock {
        let entries = |entries: &[(&str, &str)]| {
            entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let locked = Locked {
            key: "1".repeat(64),
            inputs: BTreeMap::new(),
            environment: entries(&[("device_model", "Intel(R) \"Xeon\": 4 # @"), ("governor", "none")]),
            outputs: entries(&[("train.list", "1e10"), ("split.json", &"a".repeat(64))]),
        };
        Lock {
            version: VERSION,
            stages: [("search@12,lr=0.1".to_owned(), locked.clone()), ("split".to_owned(), locked)].into(),
        }
    }

    #[test]
    fn reading_a_written_lock_gives_the_same_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(Lock::read(&path).unwrap(), Lock::default());
        for lock in [lock(), Lock { version: VERSION, stages: BTreeMap::new() }] {
            lock.write(&path).unwrap();
            assert_eq!(Lock::read(&path).unwrap(), lock, "{}", lock.text());
        }
    }

    #[test]
    fn conflict_markers_and_unknown_versions_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, "version: 1\n<<<<<<< HEAD\nstages: {}\n").unwrap();
        assert!(matches!(Lock::read(&path), Err(LockError::Conflict { line: 2, .. })));
        std::fs::write(&path, "version: 9\nstages: {}\n").unwrap();
        assert!(Lock::read(&path).unwrap_err().to_string().contains("version 9"));
        std::fs::write(&path, "version: 1\nstages: {split: {key: a}}\n").unwrap();
        assert!(Lock::read(&path).unwrap_err().to_string().contains("stages.split"));
    }
}
