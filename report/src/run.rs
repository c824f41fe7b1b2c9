//! What the page is about: plain values, which the caller reads from wherever results are kept.

use crate::network::Network;

/// A run with the networks that it found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The run itself.
    pub run: RunFacts,
    /// Its networks; one of each target of a matrix. Without any, the page has the run alone.
    pub networks: Vec<Network>,
}

/// One invocation of the pipeline.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// Its number in its store.
    pub id: String,
    /// The command line, without the program's name.
    pub command: Vec<String>,
    /// The configuration's name, for people.
    pub configuration_name: String,
    /// The effective configuration, as JSON.
    pub configuration: String,
    /// How it ended.
    pub outcome: String,
    /// When it started, with the time zone.
    pub started: String,
    /// How long it took; empty if that is not known.
    pub took: String,
    /// The machine.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// The revision of the program's source; empty if that is not known.
    pub source_revision: String,
    /// Its stages, in order.
    pub stages: Vec<StageRun>,
}

/// What a run did with a stage.
#[derive(Clone, Debug, Default)]
pub struct StageRun {
    /// The instance, as `search` or `search@12`.
    pub instance: String,
    /// What became of it: `ran`, `cached`, `failed`.
    pub state: String,
    /// How long the result took to make, in seconds.
    pub seconds: Option<f64>,
    /// The same with its unit.
    pub took: String,
    /// The most memory that it used, with its unit; empty if that is not known.
    pub memory: String,
    /// The cache key.
    pub key: String,
    /// The attempt that made the result.
    pub attempt: String,
    /// Why there is no result; empty if there is one.
    pub cause: String,
    /// What it read that no stage made.
    pub inputs: Vec<Artifact>,
    /// What it made.
    pub outputs: Vec<Artifact>,
    /// Facts of the environment, with their values.
    pub environment: Vec<(String, String)>,
    /// The seed of its random numbers.
    pub seed: Option<String>,
}

/// Bytes that are identified by their digest.
#[derive(Clone, Debug, Default)]
pub struct Artifact {
    /// The output's name, or where it came from.
    pub name: String,
    /// The BLAKE3 digest.
    pub digest: String,
    /// The size with its unit; empty if that is not known.
    pub size: String,
}
