use std::path::{Path, PathBuf};

use clap::Args;
use tfnas_planner::network_file::WeightsBytes;
use tfnas_pytorch_files::checkpoint::{Conversions, StateDict, to_safetensors, write_pth};

use crate::commands::weights::{KeyOption, write, wrong};
use crate::error::CommandError;
use crate::exit::Exit;

/// The prefix of all names of a network in a `DataParallel`.
const MODULE: &str = "module.";

/// Convert weights between .pth.tar and safetensors
///
/// A .pth.tar is written as PyTorch writes it since 1.6, with the tensors under `state_dict`; names lose the `module.`
/// that the original's files have, and other common prefixes of wrappers. Other entries of a checkpoint (epoch,
/// optimizer) are not converted.
#[derive(Args, Debug)]
pub struct Convert {
    /// The file to read
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// The file to write; its name ends in .safetensors, .pth.tar, .pth or .pt
    #[arg(value_name = "OUT")]
    output: PathBuf,

    /// Prefix names with `module.`, as the original's scripts load them
    #[arg(long)]
    data_parallel: bool,

    #[command(flatten)]
    key: KeyOption,
}

enum Format {
    Safetensors,
    Pth,
}

impl Convert {
    pub fn execute(&self) -> Result<Exit, CommandError> {
        let format = format_of(&self.output)?;
        let bytes = WeightsBytes::read(&self.input)?;
        let file = bytes.parse(&self.key.wanted())?;
        bytes.tell(&file, &Conversions::default());
        let StateDict { mut tensors, .. } = file.state_dict;
        if self.data_parallel {
            tensors = tensors.into_iter().map(|(name, tensor)| (format!("{MODULE}{name}"), tensor)).collect();
        }
        let written = match format {
            Format::Safetensors => to_safetensors(&tensors).map_err(|error| wrong(&self.output, error))?,
            Format::Pth => write_pth(Vec::new(), &tensors).map_err(|error| wrong(&self.output, error))?,
        };
        write(&self.output, &written)?;
        let (count, output) = (tensors.len(), self.output.display());
        tracing::info!("wrote {output}: {count} tensors of a {} file", file.format);
        Ok(Exit::Done)
    }
}

fn format_of(path: &Path) -> Result<Format, CommandError> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&[".safetensors"]) {
        Ok(Format::Safetensors)
    } else if ends(&[".pth.tar", ".pth", ".pt"]) {
        Ok(Format::Pth)
    } else {
        let message = format!("{}: the file extension is not that of a supported format", path.display());
        Err(CommandError::usage(message).with_hint("use .safetensors or .pth.tar"))
    }
}
