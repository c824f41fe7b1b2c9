use std::path::Path;

use tfnas_artifacts::Trust;
use tfnas_attestations::keys::{KeyError, PublicKey, SigningKey};
use tfnas_planner::config::Configuration;

use crate::error::CommandError;

/// Returns the keys whose results the configuration trusts, or `None` if it trusts all results.
pub fn trusted(configuration: &Configuration) -> Result<Option<Trust>, CommandError> {
    let Some(files) = &configuration.shared().config.cache.trust else { return Ok(None) };
    if files.is_empty() {
        return Err(CommandError::usage("cache.trust: it has no keys, so results of others could not be used")
            .with_hint("list the files of public keys, or remove it to use all results"));
    }
    let read = |file: &Path| PublicKey::read(&configuration.resolve(file)).map_err(|error| of("cache.trust", &error));
    Ok(Some(Trust::in_keys(files.iter().map(|file| read(file)).collect::<Result<_, _>>()?)))
}

/// Returns the key that signs pushed results, if the configuration specifies one.
pub fn sign_key(configuration: &Configuration) -> Result<Option<SigningKey>, CommandError> {
    let file = configuration.shared().config.cache.sign_key.as_deref();
    let read =
        |file: &Path| SigningKey::read(&configuration.resolve(file)).map_err(|error| of("cache.sign_key", &error));
    file.map(read).transpose()
}

fn of(key: &str, error: &KeyError) -> CommandError {
    CommandError::usage(format!("{key}: {error}"))
}
