//! The records of the ledger: runs, attempts, inputs and outputs.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ActionKey, Digest, KeyManifest, RunName, RunNote};

/// How a run or an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All outputs are there.
    Done,
    /// It failed by itself.
    Failed,
    /// It was stopped from outside, or its planner died.
    Interrupted,
}

impl Outcome {
    /// Returns the word that is stored and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Done, Self::Failed, Self::Interrupted].into_iter().find(|outcome| outcome.name() == name)
    }
}

/// Numbers the runs of one store from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of an attempt: 16 lower-case hexadecimal digits, unique across stores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttemptId(String);

/// A text that names no attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an attempt ID: expected 16 lower-case hexadecimal digits")]
pub struct ParseAttemptError(String);

impl AttemptId {
    /// Takes the first digits of a digest of facts that no other attempt shares.
    pub(crate) fn of(facts: &Digest) -> Self {
        Self(facts.to_string()[..16].to_owned())
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AttemptId {
    type Err = ParseAttemptError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits && text.len() == 16 { Ok(Self(text.to_owned())) } else { Err(ParseAttemptError(text.to_owned())) }
    }
}

impl TryFrom<String> for AttemptId {
    type Error = ParseAttemptError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AttemptId> for String {
    fn from(id: AttemptId) -> Self {
        id.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The facts about a run that are known when it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRun {
    /// The command line, without the program's name.
    pub arguments: Vec<String>,
    /// The effective configuration, defaults filled in.
    pub configuration: String,
    /// Name and version of the tool.
    pub tool: String,
    /// The revision of the tool's source and whether it was clean, if known.
    pub source_revision: Option<String>,
    /// The name that the user gives to the run.
    pub name: Option<RunName>,
    /// The user's note about the run.
    pub note: Option<RunNote>,
}

/// One invocation, as recorded. Times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// The name that the user gave to the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user's note about the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The command line, without the program's name.
    pub arguments: Vec<String>,
    /// The effective configuration, defaults filled in.
    pub configuration: String,
    /// Name and version of the tool.
    pub tool: String,
    /// The revision of the tool's source, where known.
    pub source_revision: Option<String>,
    /// The machine it ran on.
    pub host: String,
    /// When it started.
    pub started_ms: i64,
    /// When it ended, or `None` while it runs or if it was killed.
    pub ended_ms: Option<i64>,
    /// The outcome, or `None` while it runs or if it was killed.
    pub outcome: Option<Outcome>,
}

/// The purpose of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// For its outputs: later look-ups of its key find them.
    #[default]
    Run,
    /// Compare the outputs with those of an earlier attempt. Look-ups do not find the result.
    Check,
}

impl Purpose {
    /// Returns the word that is stored and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Check => "check",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Run, Self::Check].into_iter().find(|purpose| purpose.name() == name)
    }
}

/// The facts about an attempt that are known when it starts. Stage, key and inputs come from the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAttempt {
    /// The stage's instance in the pipeline, such as `search@12`.
    pub instance: String,
    /// The fields that identify the work.
    pub manifest: KeyManifest,
    /// The origins of external inputs: the port and a path or name for display.
    pub origins: BTreeMap<String, String>,
    /// The full record of the environment.
    pub environment: Value,
    /// Why the attempt is made.
    pub purpose: Purpose,
}

/// The resources that an attempt used, if known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The largest resident set, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// User and system time of all its threads, in milliseconds.
    pub cpu_ms: Option<u64>,
}

/// How an attempt ended without a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// [`Outcome::Interrupted`] rather than [`Outcome::Failed`].
    pub interrupted: bool,
    /// The cause of the failure, for display.
    pub cause: String,
    /// The metrics measured until then.
    pub metrics: Value,
    /// The resources used until then.
    pub usage: Usage,
}

/// One input of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The stage's port.
    pub port: String,
    /// The digest of the artifact.
    pub digest: Digest,
    /// The origin of an external input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// One output of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The output's name, unique within the attempt.
    pub name: String,
    /// Its digest, which is its name in the store.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// One attempt to do the work of a key, as recorded. Times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its name.
    pub id: AttemptId,
    /// The run that made it, or `None` if it was pulled from a remote.
    pub run: Option<RunId>,
    /// The address of the remote that it was pulled from, or `None` if it was made locally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The stage's instance in the pipeline, such as `search@12`.
    pub instance: String,
    /// The stage.
    pub stage: String,
    /// The key of its manifest.
    pub key: ActionKey,
    /// The fields that identify the work.
    pub manifest: KeyManifest,
    /// Why it was made.
    pub purpose: Purpose,
    /// The full record of the environment.
    pub environment: Value,
    /// Name and version of the tool.
    pub tool: String,
    /// The revision of the tool's source, where known.
    pub source_revision: Option<String>,
    /// The machine it ran on.
    pub host: String,
    /// When it started.
    pub started_ms: i64,
    /// When it ended, or `None` while it runs or if its planner was killed.
    pub ended_ms: Option<i64>,
    /// The outcome, or `None` while it runs or if its planner was killed.
    pub outcome: Option<Outcome>,
    /// The cause of the failure, unless the outcome is `Done`.
    pub cause: Option<String>,
    /// The measured metrics.
    pub metrics: Value,
    /// The resources it used.
    pub usage: Usage,
    /// Its inputs, in order of their ports.
    pub inputs: Vec<Input>,
    /// The outputs in order of their names. Empty unless the outcome is `Done`.
    pub outputs: Vec<Output>,
}

impl Attempt {
    /// Returns the output of a name.
    pub fn output(&self, name: &str) -> Option<&Output> {
        self.outputs.iter().find(|output| output.name == name)
    }

    /// Returns how long it took, in milliseconds.
    pub fn duration_ms(&self) -> Option<u64> {
        self.ended_ms.map(|ended| u64::try_from(ended.saturating_sub(self.started_ms)).unwrap_or(0))
    }
}
