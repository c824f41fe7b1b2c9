//! Finds results given on the command line.

use tfnas_artifacts::{Attempt, Cache, Found, Outcome, Purpose};

use crate::commands::show::named;
use crate::error::CommandError;

/// Returns the results of a run (given by its number or name, or `latest`) or of an attempt (given by its first digits).
/// Results come after those that they depend on.
pub fn named_results(cache: &Cache, text: &str) -> Result<Vec<Attempt>, CommandError> {
    let ledger = cache.ledger();
    let mut attempts = match named(cache, text)? {
        Found::Run(run) => [ledger.used_by(run)?, ledger.made_by(run)?].concat(),
        Found::Attempt(id) => ledger.attempt(&id)?.into_iter().collect(),
        Found::Artifact(digest) => {
            let message = format!("{} is an artifact, which is a part of a result", digest.short());
            return Err(CommandError::usage(message).with_hint("name a run or an attempt"));
        }
    };
    attempts.retain(|attempt| attempt.outcome == Some(Outcome::Done) && attempt.purpose == Purpose::Run);
    attempts.sort_by_key(|attempt| attempt.started_ms);
    Ok(attempts)
}
