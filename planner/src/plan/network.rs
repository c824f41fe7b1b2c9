use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tfnas::space_match::SpaceMismatch;
use tfnas::{Architecture, ModelConfig};
use tfnas_stages::{Source, Stage};

use crate::network_file::{ConfigFile, NetworkFileError, WeightsBytes};
use crate::plan::{Action, External, InputSource, PlanError, Planner};

/// A network or weights given by the user are invalid.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A file cannot be read or is invalid.
    #[error("{key}: {source}")]
    File {
        /// The configuration key that specifies the file.
        key: &'static str,
        /// What is wrong.
        source: Box<NetworkFileError>,
    },
    /// The network is not in the search space of the configuration.
    #[error("train.from: {}: {source}", path.display())]
    SpaceMismatch {
        /// Path of the file.
        path: PathBuf,
        /// The differences.
        source: SpaceMismatch,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl NetworkError {
    /// Returns the configuration key that specifies the file, if a file is wrong.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::File { key, .. } => Some(key),
            Self::SpaceMismatch { .. } => Some("train.from"),
            Self::Plan(_) => None,
        }
    }
}

/// Checks the files given by `train.from` and `test.weights` for the trainings and tests among `instances` that may
/// run: the network must be in the search space, and the weights must match the network.
///
/// # Errors
/// Returns [`NetworkError`] for the first file that is invalid.
pub fn check_networks(planner: &Planner<'_>, instances: &BTreeSet<usize>) -> Result<(), NetworkError> {
    let stage_of = |at: &usize| planner.graph.instances[*at].stage;
    let all = instances.iter().copied().filter(|at| matches!(stage_of(at), Stage::Train | Stage::Test)).collect();
    let plan = planner.plan(&all, &BTreeSet::new())?;
    let may_run = |at: &usize| plan.step(*at).is_some_and(|step| step.action != Action::Cached);
    for instance in all.iter().copied().filter(may_run) {
        let Some(path) = file_of(planner, instance, Source::ArchitectureFile) else { continue };
        let config = network(planner, instance, path)?;
        if let Some(path) = file_of(planner, instance, Source::WeightsFile) {
            let key = planner.variant(instance).config.test.weights_key.as_deref();
            check_weights(&config, path, key)?;
        }
    }
    Ok(())
}

fn network(planner: &Planner<'_>, instance: usize, path: &Path) -> Result<ModelConfig, NetworkError> {
    let read = ConfigFile::read(path).map_err(in_file("train.from"))?;
    Architecture::of_config(&planner.variant(instance).space, &read.config)
        .map_err(|source| NetworkError::SpaceMismatch { path: path.to_owned(), source })?;
    Ok(read.config)
}

fn check_weights(config: &ModelConfig, path: &Path, key: Option<&str>) -> Result<(), NetworkError> {
    let checked = WeightsBytes::read(path).and_then(|weights| weights.parse_for(config, key).map(drop));
    checked.map_err(in_file("test.weights"))
}

/// Adds the configuration key to an error about a file.
fn in_file(key: &'static str) -> impl Fn(NetworkFileError) -> NetworkError {
    move |source| NetworkError::File { key, source: Box::new(source) }
}

/// Returns the path of the file that an instance reads from a given source.
fn file_of<'a>(planner: &Planner<'a>, instance: usize, source: Source) -> Option<&'a Path> {
    let config = &planner.variant(instance).config;
    let stage = planner.graph.instances[instance].stage;
    let port = stage.inputs(config).into_iter().find(|port| port.source == source)?.name;
    planner.graph.instances[instance].inputs.iter().find(|input| input.port == port).and_then(|input| {
        match &input.source {
            InputSource::External(External::File { path, .. }) => Some(path.as_path()),
            _ => None,
        }
    })
}
