//! `weights`: commands for weights files.

mod convert;
mod parse;
mod show;

use std::error::Error;
use std::path::Path;

use clap::{Args, Subcommand};
use tfnas_pytorch_files::checkpoint::Wanted;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;

/// Show and convert weights: PyTorch's .pth.tar (read, never executed) and safetensors
#[derive(Args, Debug)]
pub struct Weights {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Show(show::Show),
    Convert(convert::Convert),
    Parse(parse::Parse),
}

impl Weights {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        match &self.verb {
            Verb::Show(show) => show.execute(options),
            Verb::Convert(convert) => convert.execute(),
            Verb::Parse(parse) => parse.execute(options),
        }
    }
}

/// An option that selects tensors of a file.
#[derive(Args, Debug)]
struct KeyOption {
    /// Where the tensors are in the file: keys from the outermost on, joined by dots, as model_ema.module; by default
    /// the largest group of tensors; among equally large groups, the one under state_dict or model
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl KeyOption {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { key: self.key.as_deref(), network: None }
    }
}

/// Creates an error about the content of a file.
fn wrong(path: &Path, error: impl Into<Box<dyn Error + Send + Sync>>) -> CommandError {
    let error = error.into();
    let message = format!("{}: {error}", path.display());
    CommandError { source: Some(error), ..CommandError::usage(message) }
}

/// Writes a file atomically.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    tfnas_fs::write_atomic(path, bytes)
        .map_err(|error| CommandError::usage(format!("cannot write {}: {error}", path.display())))
}
