use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tfnas_artifacts::Attempt;

use crate::config::{Configuration, Node, Origin, TypeError};
use crate::machine::key_facts;
use crate::plan::Planner;

/// The file's name, beside the configuration.
const FILE: &str = "pipeline.lock";
/// The version of its form.
const VERSION: u32 = 1;
/// What a person who opens it should know.
const HEAD: &str = "\
# What each stage was made from, and what it made. Written by `tfnas-pipeline run`, to be reviewed and committed;
# `tfnas-pipeline status --locked` fails when it is not what the configuration gives.
";

/// What `pipeline.lock` holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// By instance.
    pub stages: BTreeMap<String, Locked>,
}

/// What it says of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The action key.
    pub key: String,
    /// Digests by port.
    pub inputs: BTreeMap<String, String>,
    /// Those facts of the machine that belong to the key.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Digests by name.
    pub outputs: BTreeMap<String, String>,
}

/// A lock file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Git left the marks of a conflict in it.
    #[error("{}:{line}: it has conflict marks: resolve them, or remove the file and run again", path.display())]
    Conflict {
        /// The file.
        path: PathBuf,
        /// The line of the first mark, from 1.
        line: usize,
    },
    /// It is of another version, or damaged.
    #[error("{}: {what}: remove the file and run again", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Returns where the lock file of a configuration lies; none for the embedded default, which nobody reviews.
pub fn path(configuration: &Configuration) -> Option<PathBuf> {
    configuration.file.as_ref().map(|_| configuration.base.join(FILE))
}

impl Lock {
    /// Reads a lock file; one that is not there is empty.
    ///
    /// # Errors
    /// [`LockError`].
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
        let node = Node::parse(&text, &|line| Origin::Embedded { line }).map_err(|error| {
            form(error.line.map_or_else(|| error.to_string(), |line| format!("line {line}: {error}")))
        })?;
        let lock: Self = node.typed().map_err(|error: TypeError| form(format!("{}: {error}", error.key())))?;
        if lock.version != VERSION {
            return Err(form(format!("it has version {}, this program knows version {VERSION}", lock.version)));
        }
        Ok(lock)
    }

    /// Returns what a run's results say. Instances of the configuration that the run did not reach stay as they were.
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

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`LockError::File`].
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let wrong = |source| LockError::File { action: "write", path: path.to_owned(), source };
        tfnas_fs::write_atomic(path, self.text().as_bytes()).map_err(wrong)
    }

    /// The file's text: digests and names alone, which YAML takes as they are, but for the quotes of names that hold
    /// its punctuation.
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

/// Text that YAML reads back as that text.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.@-".contains(&byte))
        && !["true", "false", "null", "yes", "no"].contains(&text);
    // JSON's strings are YAML's.
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
    fn a_lock_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(Lock::read(&path).unwrap(), Lock::default());
        for lock in [lock(), Lock { version: VERSION, stages: BTreeMap::new() }] {
            lock.write(&path).unwrap();
            assert_eq!(Lock::read(&path).unwrap(), lock, "{}", lock.text());
        }
    }

    #[test]
    fn conflict_marks_and_other_versions_are_named() {
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
