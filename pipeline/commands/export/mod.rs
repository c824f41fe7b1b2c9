//! `export`: writes artifacts, and the trained network in formats for other programs.

mod deliver;
pub mod files;
pub mod network;
mod onnx;
mod preprocessing;
mod pytorch;
mod torchscript;

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use tfnas_artifacts::Digest;
use tfnas_executor::worker_program;

use crate::commands::artifact;
use crate::commands::export::deliver::{Delivery, cannot_write};
use crate::commands::export::files::NetworkFiles;
use crate::commands::export::network::Purpose;
use crate::commands::report::{finished_runs, named_run, no_finished_run};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::print_json;
use crate::session::store_to_read;
use crate::{epoch_metrics, page, target_folder, tensorboard};

/// Write an artifact to a file, or with --format the trained network for other programs
///
/// `export model.config FILE` writes an artifact as it is.
///
/// `export FILE --format onnx` writes the network that was found and trained with the current configuration (the weights that
/// `test.weights` names), and FILE.preprocessing.json, which describes the preprocessing and has the names of the
/// classes. With --model and --weights it is a network from files.
///
/// `export FOLDER --format pytorch` writes model.py, the network in plain PyTorch, and weights.safetensors:
/// `import model; net = model.load()`.
///
/// `export FOLDER --format tensorboard` and `export FILE --format csv` write the metrics of the epochs of a run: of the last
/// one that finished, or of the one whose number comes first (`export 3 metrics.csv --format csv`).
#[derive(Args, Debug)]
#[command(allow_missing_positional = true)]
pub struct Export {
    /// An output's name (model.config, parse@12/model.config), or the first four digits of a digest or more; with --format for a
    /// network: the instance (train@12), required if the configuration has several; with --format csv or tensorboard: the number of
    /// the run
    #[arg(value_name = "ARTIFACT")]
    artifact: Option<String>,

    /// The file to write, or an existing folder
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// The format of a network: onnx for ONNX Runtime and others, torchscript or pytorch for PyTorch; or of the metrics of a
    /// run: tensorboard or csv
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,

    /// Fold each batch norm into the convolution before it: faster, and equal logits up to rounding
    #[arg(long, requires = "format")]
    fold: bool,

    #[command(flatten)]
    files: NetworkFiles,

    /// The worker's program, which writes TorchScript [default: tfnas-stage next to this program]
    #[arg(long, value_name = "FILE", requires = "format")]
    worker: Option<PathBuf>,
}

/// A format for other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// ONNX.
    Onnx,
    /// TorchScript.
    Torchscript,
    /// A Python module in plain PyTorch, and its weights as safetensors.
    Pytorch,
    /// The metrics of a run as event files of TensorBoard.
    Tensorboard,
    /// The metrics of the epochs of a run as one CSV file.
    Csv,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "onnx",
            Self::Torchscript => "torchscript",
            Self::Pytorch => "pytorch",
            Self::Tensorboard => "tensorboard",
            Self::Csv => "csv",
        })
    }
}

impl Format {
    /// Returns the file name if only a folder is given.
    fn file_name(self) -> &'static str {
        match self {
            Self::Onnx => "network.onnx",
            Self::Torchscript => "network.pt",
            Self::Pytorch => "model.py",
            Self::Tensorboard | Self::Csv => "metrics.csv",
        }
    }
}

impl Export {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        if let Some(format @ (Format::Tensorboard | Format::Csv)) = self.format {
            if self.files.are_named() || self.fold {
                return Err(CommandError::usage("--model and --fold are for a network, and this format is for a run")
                    .with_hint("remove --model and --fold"));
            }
            return self.write_metrics(format, options);
        }
        match (self.format, &self.artifact) {
            (None, _) if self.files.are_named() => {
                Err(CommandError::usage("--model is for a network, and no --format is given")
                    .with_hint("add --format onnx, torchscript or pytorch"))
            }
            (Some(_), Some(stage)) if self.files.are_named() => {
                Err(CommandError::usage(format!("--model names the network, and so does {stage}"))
                    .with_hint("remove one of the two"))
            }
            (Some(format), _) => self.write_network(format, options),
            (None, Some(name)) => self.write_artifact(name, options),
            (None, None) => Err(CommandError::usage("nothing to export is named")
                .with_hint("name an artifact (`export model.config FILE`), or a --format for the trained network")),
        }
    }

    fn write_artifact(&self, name: &str, options: &Options) -> Result<Exit, CommandError> {
        let artifact = artifact::find(options, name)?;
        let path = self.target(&artifact.name.unwrap_or_else(|| artifact.digest.to_string()));
        target_folder::check(&path)?;
        artifact.cache.store().export(&artifact.digest, &path)?;
        tracing::info!("wrote {} ({})", path.display(), artifact.digest.short());
        if options.json {
            print_json(&json!({ "file": path.display().to_string(), "digest": artifact.digest.to_string() }));
        }
        Ok(Exit::Done)
    }

    /// Writes the metrics of a run.
    fn write_metrics(&self, format: Format, options: &Options) -> Result<Exit, CommandError> {
        let cache = store_to_read(options)?;
        let run = match &self.artifact {
            Some(what) => named_run(&cache, what)?,
            None => finished_runs(&cache)?.next().ok_or_else(no_finished_run)?,
        };
        let file = if format == Format::Csv {
            let path = self.target(format.file_name());
            target_folder::check(&path)?;
            let text = epoch_metrics::csv(&page::metrics(&cache, &run)?);
            tfnas_fs::write_atomic(&path, text.as_bytes()).map_err(|error| cannot_write(&path, &error))?;
            path
        } else {
            let results = page::results(&cache, &run)?;
            let written = tensorboard::export(&cache, &self.path, &run, &results);
            written.map_err(|error| cannot_write(&self.path, &error))?
        };
        tracing::info!("wrote the metrics of run {} to {}", run.id, file.display());
        if options.json {
            print_json(&json!({ "run": run.id, "file": file.display().to_string(), "format": format.to_string() }));
        }
        Ok(Exit::Done)
    }

    fn write_network(&self, format: Format, options: &Options) -> Result<Exit, CommandError> {
        let target = self.target(format.file_name());
        if format == Format::Pytorch {
            pytorch::check(&target, self.fold)?;
        }
        let network = self.files.or_configured(options, self.artifact.as_deref(), Purpose::Export)?.read()?;
        let mut delivery = Delivery::to(&target)?;
        match format {
            Format::Onnx => delivery.write(&onnx::bytes(&network, self.fold)?)?,
            Format::Torchscript => {
                let worker = worker_program(self.worker.as_deref())?;
                torchscript::write(&worker, &network, self.fold, &delivery)?;
            }
            Format::Pytorch => pytorch::write(&target, &network, &mut delivery)?,
            Format::Tensorboard | Format::Csv => unreachable!("these are formats of a run"),
        }
        let (digest, bytes) = Digest::of_file(&delivery.aside())?;
        let mut described = preprocessing::describe(&network, format, self.fold, &delivery.file_name(), &digest);
        let weights_file = delivery.weights().map(|weights| {
            described["model"]["weights"] = json!({ "file": weights.name, "blake3": weights.digest.to_string() });
            weights.name.clone()
        });
        let (file, description) = delivery.finish(&described)?;
        tracing::info!("wrote {} ({}) and {}", file.display(), digest.short(), description.display());
        let weights_file = weights_file.map(|name| file.with_file_name(name).display().to_string());
        if let Some(weights_file) = &weights_file {
            tracing::info!("wrote {weights_file}");
        }
        if options.json {
            print_json(&json!({
                "file": file.display().to_string(),
                "weights_file": weights_file,
                "preprocessing": description.display().to_string(),
                "format": format.to_string(),
                "batch_norm": preprocessing::batch_norm(self.fold),
                "bytes": bytes,
                "digest": digest.to_string(),
                "model_config_digest": network.config_digest.to_string(),
                "weights_digest": network.weights_digest.to_string(),
            }));
        }
        Ok(Exit::Done)
    }

    /// Returns the path of the file to write: the path given, or `name` in it if it is a folder.
    fn target(&self, name: &str) -> PathBuf {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        if path.is_dir() { path.join(name) } else { path }
    }
}
