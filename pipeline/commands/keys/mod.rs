//! `keys`: commands for keys that sign results and publications.

mod generate;
mod show;

use clap::{Args, Subcommand};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;

/// Create and show keys that sign results and publications (ECDSA P-256, readable by openssl and `model_signing`)
#[derive(Args, Debug)]
pub struct Keys {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Generate(generate::Generate),
    Show(show::Show),
}

impl Keys {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        match &self.verb {
            Verb::Generate(generate) => generate.execute(options),
            Verb::Show(show) => show.execute(options),
        }
    }
}
