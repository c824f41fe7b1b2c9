//! `cache …`: the store as a whole.

mod rebuild;
mod verify;

use clap::{Args, Subcommand};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;

/// The store as a whole: check it, remake its ledger
#[derive(Args, Debug)]
pub struct Cache {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Verify(verify::Verify),
    Rebuild(rebuild::Rebuild),
}

impl Cache {
    /// Does the verb.
    ///
    /// # Errors
    /// What is wrong with the store.
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        match &self.verb {
            Verb::Verify(verify) => verify.execute(options),
            Verb::Rebuild(rebuild) => rebuild.execute(options),
        }
    }
}
