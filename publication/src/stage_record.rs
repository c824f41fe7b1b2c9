use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas_artifacts::{
    ActionKey, Attempt, AttemptId, Digest, Input, KeyManifest, Outcome, Output, Purpose, RunId, Usage,
};
use tfnas_stages::Stage;

/// The published record of a stage's attempt. It omits host and paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecord {
    format: Format,
    /// ID of the attempt in the ledger.
    pub attempt: AttemptId,
    /// Name of the instance, such as `search@12`.
    pub instance: String,
    /// The stage of the instance.
    pub stage: Stage,
    /// The cache key.
    pub key: ActionKey,
    /// The fields of the cache key.
    pub manifest: KeyManifest,
    /// The inputs, sorted by port.
    pub inputs: Vec<PublishedInput>,
    /// The outputs, sorted by name.
    pub outputs: Vec<Output>,
    /// The metrics, and the environment that the worker reported.
    pub metrics: Value,
    /// The environment of the attempt.
    pub environment: Value,
    /// Name and version of this program.
    pub tool: String,
    /// Source revision of this program, if known.
    pub source_revision: Option<String>,
    /// Start time in milliseconds since 1970.
    pub started_ms: i64,
    /// End time in milliseconds since 1970.
    pub ended_ms: i64,
    /// Resources that were used.
    pub usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "tfnas.stage.v1")]
    StageV1,
}

/// An input of a published attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedInput {
    /// Name of the port.
    pub port: String,
    /// Digest of the input.
    pub digest: Digest,
    /// Where the input came from.
    pub from: Origin,
}

/// The source of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// An output of another stage.
    Stage {
        /// The stage that made it.
        stage: Stage,
        /// Name of the output.
        output: String,
    },
    /// Data that is not made by a stage.
    Data {
        /// The configuration key that specifies the data.
        key: String,
    },
}

impl StageRecord {
    /// Creates the record of an attempt. Returns `None` if the attempt has not ended.
    pub fn new(stage: Stage, attempt: &Attempt, inputs: Vec<PublishedInput>) -> Option<Self> {
        Some(Self {
            format: Format::StageV1,
            attempt: attempt.id.clone(),
            instance: attempt.instance.clone(),
            stage,
            key: attempt.key,
            manifest: attempt.manifest.clone(),
            inputs,
            outputs: attempt.outputs.clone(),
            metrics: attempt.metrics.clone(),
            environment: attempt.environment.clone(),
            tool: attempt.tool.clone(),
            source_revision: attempt.source_revision.clone(),
            started_ms: attempt.started_ms,
            ended_ms: attempt.ended_ms?,
            usage: attempt.usage,
        })
    }

    /// Returns the digest of an output.
    pub fn output(&self, name: &str) -> Option<Digest> {
        self.outputs.iter().find(|output| output.name == name).map(|output| output.digest)
    }

    /// Returns the digest of the input of a port.
    pub fn input(&self, port: &str) -> Option<Digest> {
        self.inputs.iter().find(|input| input.port == port).map(|input| input.digest)
    }

    /// Returns the value of a fact about the environment if it is a string.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.environment.get(name).and_then(Value::as_str)
    }

    /// Converts the record to an attempt, so that other stages can use its outputs.
    pub fn attempt(&self) -> Attempt {
        let input = |input: &PublishedInput| Input { port: input.port.clone(), digest: input.digest, origin: None };
        Attempt {
            id: self.attempt.clone(),
            run: None::<RunId>,
            remote: None,
            instance: self.instance.clone(),
            stage: self.stage.name().to_owned(),
            key: self.key,
            manifest: self.manifest.clone(),
            purpose: Purpose::Run,
            environment: self.environment.clone(),
            tool: self.tool.clone(),
            source_revision: self.source_revision.clone(),
            host: String::new(),
            started_ms: self.started_ms,
            ended_ms: Some(self.ended_ms),
            outcome: Some(Outcome::Done),
            cause: None,
            metrics: self.metrics.clone(),
            usage: self.usage,
            inputs: self.inputs.iter().map(input).collect(),
            outputs: self.outputs.clone(),
        }
    }
}
