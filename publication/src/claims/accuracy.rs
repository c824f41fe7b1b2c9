use std::path::Path;

use tfnas_artifacts::{Cache, Outcome};
use tfnas_planner::network_file::{ConfigFile, NetworkFileError, WeightsBytes};
use tfnas_planner::output::read_output;
use tfnas_stages::{TestReport, finite};

use crate::PublicationError;

/// The accuracy of a model, if known.
pub enum Accuracy {
    /// Measured by a test in this store, as fractions of 1.
    Tested {
        /// Top-1 accuracy.
        top1: f64,
        /// Top-5 accuracy.
        top5: f64,
    },
    /// Unknown, for this reason.
    Unknown(String),
}

/// Checks that the weights match the network, and looks up a test of them in the ledger.
///
/// # Errors
/// Returns an error if the weights cannot be read or do not match, or if the ledger cannot be read.
pub fn look_up_accuracy(
    network: &ConfigFile,
    network_path: &Path,
    weights: Option<&Path>,
    key: Option<&str>,
    cache: &Cache,
) -> Result<Accuracy, PublicationError> {
    let Some(path) = weights else {
        return Ok(Accuracy::Unknown("no weights were given: --weights FILE".to_owned()));
    };
    let weights = WeightsBytes::read(path)?;
    let (file, conversions) = weights.parse_for(&network.config, key).map_err(|error| match error {
        NetworkFileError::StateDictMismatch { .. } => PublicationError::failed(error.to_string())
            .with_hint("name the model.config of these weights with --config"),
        error => error.into(),
    })?;
    weights.tell(&file, &conversions);

    let mut tests = cache.ledger().users(&weights.digest())?.into_iter().filter(|attempt| {
        attempt.stage == "test"
            && attempt.outcome == Some(Outcome::Done)
            && attempt.inputs.iter().any(|input| input.digest == network.digest)
    });
    let found = tests.find_map(|test| {
        let tested: TestReport = read_output(cache, &test)?;
        finite(tested.top1).zip(finite(tested.top5))
    });
    Ok(match found {
        Some((top1, top5)) => Accuracy::Tested { top1, top5 },
        None => Accuracy::Unknown(format!(
            "no test of these weights in this store: `run test --from {} --weights {}` creates one, on the images of \
             `data`",
            network_path.display(),
            path.display()
        )),
    })
}
