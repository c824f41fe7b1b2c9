use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::report::LogFormat;

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The configuration; without it pipeline.yaml in this folder, or the embedded default
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Overrides one value of the configuration, as search.target_lat_ms=12; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    /// The folder of results and history; without it .tfnas beside the configuration
    #[arg(long, global = true, value_name = "FOLDER")]
    pub store: Option<PathBuf>,

    /// Writes JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// Says more on standard error; twice says all
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// How messages on standard error are written
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}
