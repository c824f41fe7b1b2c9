use std::path::PathBuf;

use clap::{ArgAction, Args};
use tfnas_stages::DeviceChoice;

use crate::report::LogFormat;

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The configuration file [default: pipeline.yaml in this folder, else the embedded default]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Override a configuration value, for example search.target_lat_ms=12; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    /// The folder of results and history [default: .tfnas next to the configuration file]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub store: Option<PathBuf>,

    /// Print JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// Increase log verbosity (-v: info, -vv: debug)
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// The format of messages on standard error
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// Largest number of classes that a model.config can have.
const MAX_CLASSES: usize = 1 << 20;

/// Parses a number of classes for an option.
pub fn parse_classes(text: &str) -> Result<usize, String> {
    let classes = text.parse().ok().filter(|classes| (1..=MAX_CLASSES).contains(classes));
    classes.ok_or_else(|| format!("expected a whole number between 1 and {MAX_CLASSES}"))
}

/// Parses a device for an option: cpu, cuda, cuda:N or auto.
pub fn parse_device(text: &str) -> Result<DeviceChoice, String> {
    text.to_owned().try_into()
}
