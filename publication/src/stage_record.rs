use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas_artifacts::{
    ActionKey, Attempt, AttemptId, Digest, Input, KeyManifest, Outcome, Output, Purpose, RunId, Usage,
};
use tfnas_stages::Stage;

/// What is published of a stage's attempt: all that its record has, but neither host nor paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecord {
    format: Format,
    /// The attempt's name in the ledger that it comes from.
    pub attempt: AttemptId,
    /// The stage's instance, as `search@12`.
    pub instance: String,
    /// The stage.
    pub stage: Stage,
    /// Its action key.
    pub key: ActionKey,
    /// What the key is the digest of.
    pub manifest: KeyManifest,
    /// Its inputs, in order of their ports.
    pub inputs: Vec<PublishedInput>,
    /// Its outputs, in order of their names.
    pub outputs: Vec<Output>,
    /// What it measured, and what the worker said of itself.
    pub metrics: Value,
    /// Where it ran.
    pub environment: Value,
    /// Name and version of the tool.
    pub tool: String,
    /// The revision of the tool's source, where known.
    pub source_revision: Option<String>,
    /// When it started, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
    /// What it used.
    pub usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "tfnas.stage.v1")]
    StageV1,
}

/// An input of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedInput {
    /// The port.
    pub port: String,
    /// Digest of what stood there.
    pub digest: Digest,
    /// Where it came from.
    pub from: Origin,
}

/// Where an input came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// Another stage.
    Stage {
        /// The stage.
        stage: Stage,
        /// Its output.
        output: String,
    },
    /// Data that no stage made.
    Data {
        /// The key of the configuration that names it.
        key: String,
    },
}

impl StageRecord {
    /// What is published of an attempt; none for one without a result.
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

    /// Returns the digest of what stood at a port.
    pub fn input(&self, port: &str) -> Option<Digest> {
        self.inputs.iter().find(|input| input.port == port).map(|input| input.digest)
    }

    /// Returns the name of an environment's fact, as text.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.environment.get(name).and_then(Value::as_str)
    }

    /// Returns an attempt as a ledger has it, for work that starts from these outputs.
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
