use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tfnas::checkpoint::{Misfits, WeightsFile, WeightsFileError};
use tfnas::config_space::OtherSpace;
use tfnas::state_shapes::state_shapes;
use tfnas::{Architecture, ConfigError, ModelConfig};
use tfnas_stages::{Source, Stage};

use crate::plan::{Action, External, From, PlanError, Planner};

/// What is wrong with a network or weights of the user's, found before anything starts.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A file that cannot be read.
    #[error("{key}: cannot read {}: {source}", path.display())]
    Read {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is no `model.config`.
    #[error("train.from: {}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// A network of another space than the configuration's.
    #[error("train.from: {}: {source}", path.display())]
    OtherSpace {
        /// The file.
        path: PathBuf,
        /// In what.
        source: OtherSpace,
    },
    /// A file without weights.
    #[error("test.weights: {}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsFileError,
    },
    /// Weights of another network.
    #[error("test.weights: {}: {source}", path.display())]
    Misfits {
        /// The file.
        path: PathBuf,
        /// In what.
        source: Misfits,
    },
    /// The ledger.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Checks what `train.from` and `test.weights` name for the trainings and tests among `instances` that may run: that the
/// network is one of the space, and that the weights are those of the network.
///
/// # Errors
/// [`NetworkError`].
pub fn check_networks(planner: &Planner<'_>, instances: &BTreeSet<usize>) -> Result<(), NetworkError> {
    let stage_of = |at: &usize| planner.graph.instances[*at].stage;
    let all = instances.iter().copied().filter(|at| matches!(stage_of(at), Stage::Train | Stage::Test)).collect();
    let plan = planner.plan(&all, &BTreeSet::new())?;
    let may_run = |at: &usize| plan.step(*at).is_some_and(|step| step.action != Action::Cached);
    for instance in all.iter().copied().filter(may_run) {
        let Some(path) = file_of(planner, instance, Source::ArchitectureFile) else { continue };
        let config = network(planner, instance, path)?;
        if let Some(path) = file_of(planner, instance, Source::WeightsFile) {
            check_weights(&config, path)?;
        }
    }
    Ok(())
}

fn network(planner: &Planner<'_>, instance: usize, path: &Path) -> Result<ModelConfig, NetworkError> {
    let at = || path.to_owned();
    let read = fs::read_to_string(path);
    let text = read.map_err(|source| NetworkError::Read { key: "train.from", path: at(), source })?;
    let config = ModelConfig::parse(&text).map_err(|source| NetworkError::Config { path: at(), source })?;
    Architecture::of_config(&planner.variant(instance).space, &config)
        .map_err(|source| NetworkError::OtherSpace { path: at(), source })?;
    Ok(config)
}

fn check_weights(config: &ModelConfig, path: &Path) -> Result<(), NetworkError> {
    let at = || path.to_owned();
    let bytes = fs::read(path).map_err(|source| NetworkError::Read { key: "test.weights", path: at(), source })?;
    let weights = WeightsFile::read(&bytes).map_err(|source| NetworkError::Weights { path: at(), source })?;
    let checked = weights.state_dict.check(&state_shapes(config));
    checked.map_err(|source| NetworkError::Misfits { path: at(), source })
}

/// The file that an instance reads from this source.
fn file_of<'a>(planner: &Planner<'a>, instance: usize, source: Source) -> Option<&'a Path> {
    let config = &planner.variant(instance).config;
    let stage = planner.graph.instances[instance].stage;
    let port = stage.inputs(config).into_iter().find(|port| port.source == source)?.name;
    planner.graph.instances[instance].feeds.iter().find(|feed| feed.port == port).and_then(|feed| match &feed.from {
        From::External(External::File { path, .. }) => Some(path.as_path()),
        _ => None,
    })
}
