use std::path::Path;

use tfnas_artifacts::Trust;
use tfnas_attestations::keys::{KeyError, PublicKey, SigningKey};
use tfnas_planner::config::Configuration;

use crate::error::CommandError;

const TRUST: &str = "cache.trust";
const SIGN_KEY: &str = "cache.sign_key";

/// Returns the keys whose results the configuration trusts, or `None` if it trusts all results.
pub fn trusted(configuration: &Configuration) -> Result<Option<Trust>, CommandError> {
    let Some(files) = &configuration.shared().config.cache.trust else { return Ok(None) };
    if files.is_empty() {
        return Err(CommandError::usage("cache.trust: it has no keys, so results of others could not be used")
            .with_hint("list the files of public keys, or remove it to use all results")
            .of_key(TRUST)
            .placed(configuration));
    }
    let read =
        |file: &Path| PublicKey::read(&configuration.resolve(file)).map_err(|error| of(configuration, TRUST, &error));
    Ok(Some(Trust::in_keys(files.iter().map(|file| read(file)).collect::<Result<_, _>>()?)))
}

/// Returns the key that signs pushed results, if the configuration specifies one.
pub fn sign_key(configuration: &Configuration) -> Result<Option<SigningKey>, CommandError> {
    let file = configuration.shared().config.cache.sign_key.as_deref();
    let read = |file: &Path| {
        SigningKey::read(&configuration.resolve(file)).map_err(|error| of(configuration, SIGN_KEY, &error))
    };
    file.map(read).transpose()
}

fn of(configuration: &Configuration, key: &'static str, error: &KeyError) -> CommandError {
    CommandError::usage(format!("{key}: {error}")).of_key(key).placed(configuration)
}
