use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::cli::Cli;
use crate::error::CommandError;
use crate::exit::Exit;

/// Write the manual pages, one for each command
#[derive(Args, Debug)]
pub struct Man {
    /// The folder to write to
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Man {
    pub fn execute(&self) -> Result<Exit, CommandError> {
        std::fs::create_dir_all(&self.out)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &self.out))
            .map_err(|error| CommandError::usage(format!("cannot write to {}: {error}", self.out.display())))?;
        Ok(Exit::Done)
    }
}
