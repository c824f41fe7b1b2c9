use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;
use tfnas_planner::config::FILE;

use crate::error::CommandError;
use crate::exit::Exit;

/// What is written: every key that a first user changes, and what it does.
const TEMPLATE: &str = include_str!("../template.yaml");

/// Write a commented pipeline.yaml to start from
#[derive(Args, Debug)]
pub struct Init {
    /// The file to write
    #[arg(default_value = FILE, value_name = "FILE")]
    file: PathBuf,
}

impl Init {
    /// Writes the file; one that is there is left alone.
    ///
    /// # Errors
    /// A file that is there or cannot be written.
    pub fn execute(&self) -> Result<Exit, CommandError> {
        let path = self.file.display();
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.file)
            .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
        match written {
            Ok(()) => {
                tracing::info!("wrote {path}: set data.root and search.target_lat_ms, then `tfnas-pipeline run all`");
                Ok(Exit::Done)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(CommandError::usage(format!("{path} is there already")).with_hint("name another file"))
            }
            Err(error) => Err(CommandError::usage(format!("cannot write {path}: {error}"))),
        }
    }
}
