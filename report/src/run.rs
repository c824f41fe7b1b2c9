//! The run that a report describes, as plain values.

use crate::network::Network;
use crate::text::shortened;

/// A run with its networks.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Facts about the run.
    pub run: RunFacts,
    /// The networks, one for each target of a matrix. If empty, the page describes only the run.
    pub networks: Vec<Network>,
}

/// One invocation of the pipeline.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// Number of the run in its store.
    pub id: String,
    /// The user's name of the run; empty if it has none.
    pub name: String,
    /// The user's note about the run, which can have several lines; empty if there is none.
    pub note: String,
    /// The command line, without the program's name.
    pub command: Vec<String>,
    /// How `run` was called, if this command made the run.
    pub invocation: Option<Invocation>,
    /// Name of the configuration.
    pub configuration_name: String,
    /// The effective configuration, as JSON.
    pub configuration: String,
    /// Outcome of the run.
    pub outcome: String,
    /// Start time, with the time zone.
    pub started: String,
    /// Duration; empty if unknown.
    pub took: String,
    /// Host name.
    pub host: String,
    /// Name and version of the program.
    pub tool: String,
    /// Source revision of the program; empty if unknown.
    pub source_revision: String,
    /// The stages, in order.
    pub stages: Vec<StageRun>,
    /// The stages at work; empty after the end of the run.
    pub under_way: Vec<UnderWay>,
}

/// The arguments of `run` that are needed to repeat it; the configuration has the rest.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The stages, as on the command line.
    pub stages: Vec<String>,
    /// The configuration file, if it was named.
    pub config: Option<String>,
    /// The store, if it was named.
    pub store: Option<String>,
}

/// A stage at work.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    /// Name of the instance.
    pub instance: String,
    /// What it is doing, such as `epoch 3 of 8`.
    pub doing: String,
    /// Completed share, between 0 and 1.
    pub share: Option<f64>,
    /// Time since its start, with its unit; empty if unknown.
    pub elapsed: String,
    /// Estimated remaining time, with its unit; empty if unknown.
    pub left: String,
    /// Warnings of the worker.
    pub warnings: Vec<String>,
    /// The candidates of a selection whose scores are known, best first.
    pub candidates: Vec<CandidateSoFar>,
}

/// A candidate of a selection that is under way.
#[derive(Clone, Debug, Default)]
pub struct CandidateSoFar {
    /// Number and display name.
    pub name: String,
    /// Number of epochs that it was trained.
    pub epochs: usize,
    /// Training loss of its last epoch.
    pub train_loss: Option<f64>,
    /// Its last validation loss.
    pub val_loss: Option<f64>,
    /// Its last top-1 accuracy on validation images.
    pub val_top1: Option<f64>,
    /// Predicted latency, in milliseconds.
    pub predicted_ms: Option<f64>,
}

impl RunFacts {
    /// Number of characters of a name in headings and legends.
    const NAME: usize = 40;

    /// Returns the number with the name, if it has one: `run 3`, `run 3: baseline`.
    pub fn label(&self) -> String {
        match self.name.as_str() {
            "" => format!("run {}", self.id),
            name => format!("run {}: {}", self.id, shortened(name, Self::NAME)),
        }
    }
}

/// A stage of a run.
#[derive(Clone, Debug, Default)]
pub struct StageRun {
    /// Name of the instance, such as `search` or `search@12`.
    pub instance: String,
    /// State: `ran`, `cached`, `failed`.
    pub state: String,
    /// Run time of the attempt that produced the result, in seconds.
    pub seconds: Option<f64>,
    /// The run time with its unit.
    pub took: String,
    /// Peak memory, with its unit; empty if unknown.
    pub memory: String,
    /// The cache key.
    pub key: String,
    /// The attempt that produced the result.
    pub attempt: String,
    /// Why there is no result; empty if there is one.
    pub cause: String,
    /// Inputs that are not stage outputs.
    pub inputs: Vec<Artifact>,
    /// Outputs of the stage.
    pub outputs: Vec<Artifact>,
    /// Environment facts, as name and value.
    pub environment: Vec<(String, String)>,
    /// Seed of the random numbers.
    pub seed: Option<String>,
}

impl StageRun {
    /// Returns whether the stage has a result.
    pub fn is_done(&self) -> bool {
        matches!(self.state.as_str(), "ran" | "cached" | "pulled")
    }
}

/// A file or data set with its digest.
#[derive(Clone, Debug, Default)]
pub struct Artifact {
    /// Name of the output, or source of the input.
    pub name: String,
    /// The BLAKE3 digest.
    pub digest: String,
    /// Size with its unit; empty if unknown.
    pub size: String,
}
