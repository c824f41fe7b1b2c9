//! `audit FILE`: describes a weights file of unknown origin.

use std::path::Path;

use tfnas::ModelConfig;
use tfnas::state_shapes::state_shapes;
use tfnas_artifacts::{Attempt, Cache, Digest, Outcome};
use tfnas_attestations::Sha256Digest;
use tfnas_planner::network_file::WeightsBytes;
use tfnas_pytorch_files::checkpoint::{Checkpoint, Wanted, WeightsFormat};

use crate::PublicationError;
use crate::audit::checks::Checks;

/// Maximum number of attempts, and of names in a pickle, that are listed.
const NAMED: usize = 3;

/// Checks a weights file, compares it with a network if one is given, and looks it up in the ledger.
///
/// # Errors
/// Returns an error if the file cannot be read or contains no weights, or if the ledger cannot be read.
pub fn check_weights(
    path: &Path,
    config: Option<&ModelConfig>,
    key: Option<&str>,
    cache: &Cache,
) -> Result<Checks, PublicationError> {
    let bytes = WeightsBytes::read(path)?;
    let network = config.map(state_shapes);
    let mut file = bytes.parse(&Wanted { key, network: network.as_deref() })?;
    let mut checks = Checks::default();
    let tensors = &file.state_dict.tensors;
    let values: usize = tensors.iter().map(|(_, tensor)| tensor.elements()).sum();
    checks.pass(
        None,
        "format",
        format!("{}, {} tensors, {values} values, nothing in it was executed", file.format, tensors.len()),
    );
    if let Some(choice) = file.state_dict.choice() {
        checks.pass(None, "tensors", choice);
    }
    let code = foreign(bytes.bytes());
    if !code.is_empty() {
        checks.pass(
            None,
            "code",
            format!("it refers to {} outside of the tensors, which was not executed", code.join(", ")),
        );
    }
    let odd = tensors.iter().find(|(_, tensor)| tensor.not_finite() > 0);
    match odd {
        None => checks.pass(None, "values", "all are finite"),
        Some((name, tensor)) => {
            checks.fail(None, "values", format!("{} of {name} are NaN or infinite", tensor.not_finite()));
        }
    }
    match network.map(|network| file.state_dict.fit(&network)) {
        None => checks.skip(None, "network", "no model.config was given: --config"),
        Some(Ok(conversions)) => {
            let fits = "every tensor has the name, shape and type that model.config requires";
            match conversions.in_words() {
                None => checks.pass(None, "network", fits),
                Some(converted) => checks.pass(None, "network", format!("{fits}, once {converted}")),
            }
        }
        Some(Err(mismatches)) => {
            let first = mismatches.0.first().map(ToString::to_string).unwrap_or_default();
            checks.fail(None, "network", format!("{} mismatches with model.config, first {first}", mismatches.0.len()));
        }
    }
    let digest = bytes.digest();
    let sha256 = Sha256Digest::of_bytes(bytes.bytes());
    checks.pass(None, "digest", format!("BLAKE3 {digest}, SHA-256 {sha256}"));
    ledger(&digest, cache, &mut checks)?;
    checks.skip(
        None,
        "origin",
        "a file of weights does not record its author and inputs; a folder written by `publish` does",
    );
    Ok(checks)
}

/// Returns the names of code in a pickle, except that of its tensors.
fn foreign(bytes: &[u8]) -> Vec<String> {
    if WeightsFormat::of(bytes) == Some(WeightsFormat::Safetensors) {
        return Vec::new();
    }
    let mut names = Checkpoint::parse(bytes).map(|checkpoint| checkpoint.foreign()).unwrap_or_default();
    let rest = names.len().saturating_sub(NAMED);
    if rest > 0 {
        names.truncate(NAMED);
        names.push(format!("{rest} more"));
    }
    names
}

/// Looks up which attempts have made or read the file.
fn ledger(digest: &Digest, cache: &Cache, checks: &mut Checks) -> Result<(), PublicationError> {
    let makers = cache.ledger().makers(digest)?;
    let users = cache.ledger().users(digest)?;
    let done = |attempt: &&Attempt| attempt.outcome == Some(Outcome::Done);
    let named = |attempt: &Attempt| match (attempt.run, &attempt.remote) {
        (Some(run), _) => format!("{} of run {run}", attempt.instance),
        (None, Some(remote)) => format!("{} pulled from {remote}", attempt.instance),
        (None, None) => attempt.instance.clone(),
    };
    let list = |attempts: &[Attempt]| {
        let names: Vec<String> = attempts.iter().filter(done).take(NAMED).map(named).collect();
        names.join(", ")
    };
    let known = [("made by", list(&makers)), ("read by", list(&users))];
    let known: Vec<String> =
        known.iter().filter(|(_, names)| !names.is_empty()).map(|(how, names)| format!("{how} {names}")).collect();
    if known.is_empty() {
        checks.skip(None, "ledger", format!("no attempt in {} wrote or read it", cache.store().root().display()));
    } else {
        checks.pass(None, "ledger", known.join("; "));
    }
    Ok(())
}
