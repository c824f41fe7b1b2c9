//! `cache`: commands for the complete store.

mod pin;
mod pull;
mod push;
mod rebuild;
mod verify;

use clap::{Args, Subcommand};
use indicatif::MultiProgress;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;

/// Verify the store, share and pin its results, rebuild its ledger
#[derive(Args, Debug)]
pub struct Cache {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Verify(verify::Verify),
    Push(push::Push),
    Pull(pull::Pull),
    Pin(pin::Pin),
    Unpin(pin::Unpin),
    Rebuild(rebuild::Rebuild),
}

impl Cache {
    pub fn execute(&self, options: &Options, bars: &MultiProgress) -> Result<Exit, CommandError> {
        match &self.verb {
            Verb::Verify(verify) => verify.execute(options),
            Verb::Push(push) => push.execute(options, bars),
            Verb::Pull(pull) => pull.execute(options, bars),
            Verb::Pin(pin) => pin.execute(options),
            Verb::Unpin(unpin) => unpin.execute(options),
            Verb::Rebuild(rebuild) => rebuild.execute(options),
        }
    }
}
