use std::fs;
use std::path::Path;

use tfnas::ModelConfig;
use tfnas::checkpoint::WeightsFile;
use tfnas::state_shapes::state_shapes;
use tfnas_artifacts::{Digest, Outcome};

use crate::error::CommandError;
use crate::options::Options;
use crate::report::json_output;
use crate::session::store_to_read;

/// What is known of a model's accuracy.
pub enum Accuracy {
    /// A test of this store has measured it, as shares of 1.
    Tested {
        /// Top-1.
        top1: f64,
        /// Top-5.
        top5: f64,
    },
    /// Nothing is, and why.
    Unknown(String),
}

/// Checks that the weights are those of the network, all tensors of the right shape and dtype, and looks for a test of them.
///
/// # Errors
/// Weights that cannot be read, or do not fit; a store that cannot be read.
pub fn look_up(
    config: &ModelConfig,
    config_digest: &Digest,
    weights: Option<&Path>,
    options: &Options,
) -> Result<Accuracy, CommandError> {
    let Some(weights) = weights else {
        return Ok(Accuracy::Unknown("no weights were given".to_owned()));
    };
    let wrong = |error: String| CommandError::usage(format!("{}: {error}", weights.display()));
    let bytes = fs::read(weights).map_err(|error| wrong(error.to_string()))?;
    let file = WeightsFile::read(&bytes).map_err(|error| wrong(error.to_string()))?;
    file.state_dict.check(&state_shapes(config)).map_err(|misfits| {
        CommandError::failed(format!("{}: {misfits}", weights.display()))
            .with_hint("they are the weights of another network")
    })?;

    let cache = store_to_read(options)?;
    let mut tests = cache.ledger().users(&Digest::of_bytes(&bytes))?.into_iter().filter(|attempt| {
        attempt.stage == "test"
            && attempt.outcome == Some(Outcome::Done)
            && attempt.inputs.iter().any(|input| input.digest == *config_digest)
    });
    let found = tests.find_map(|test| {
        let tested = json_output(&cache, &test, "test.json")?;
        Some((tested.get("top1")?.as_f64()?, tested.get("top5")?.as_f64()?))
    });
    Ok(match found {
        Some((top1, top5)) => Accuracy::Tested { top1, top5 },
        None => Accuracy::Unknown(
            "no test of these weights in this store: `run test --from … --weights …` makes one".to_owned(),
        ),
    })
}
