use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::commands::table::read;
use crate::configured;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Show the range of predicted latencies of a space's networks
#[derive(Args, Debug)]
pub struct Range {
    /// The table
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The space: a name, or a file that ends in .yaml [default: that of the configuration, else imagenet]
    #[arg(long)]
    space: Option<String>,
}

impl Range {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let space = configured::space(options, self.space.as_deref())?;
        let table = read(&self.file)?;
        let reachable = table
            .reachable_ms(&space)
            .map_err(|error| CommandError::failed(format!("{}: {error}", self.file.display())))?;
        if options.json {
            print_json(&json!({ "min_ms": reachable.min_ms, "max_ms": reachable.max_ms }));
        } else {
            print(&format!("{:.3} to {:.3} ms\n", reachable.min_ms, reachable.max_ms));
        }
        Ok(Exit::Done)
    }
}
