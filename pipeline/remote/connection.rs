use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use tfnas_artifacts::Remote;
use tfnas_executor::Interrupts;
use tfnas_planner::config::Configuration;
use tfnas_stages::INTERRUPTED;

use crate::error::CommandError;
use crate::options::Options;

/// The text about exit codes in the help of these commands.
pub const EXIT_CODES: &str = "Exit codes: 0 done, 1 the remote cannot be reached or denies access, or a result cannot be \
                              transferred, 2 wrong usage, configuration, data or store, 130 interrupted.\n\
                              Credentials are taken from the environment (AWS_…, GOOGLE_…, AZURE_…) and never stored.";

/// Options of commands that use a remote.
#[derive(Args, Debug)]
pub struct RemoteOptions {
    /// The address of the remote (s3://bucket/path, gs://…, az://…, file:///path) [default: cache.remote]
    #[arg(long, value_name = "URL")]
    remote: Option<String>,

    /// The number of results to transfer at a time
    #[arg(long, short, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,

    /// Show what would be transferred, and transfer nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// An open remote. While it lives, Ctrl-C stops the transfers instead of the process.
pub struct Connection {
    pub remote: Remote,
    /// Number of results to transfer in parallel.
    pub jobs: usize,
    _interrupts: Option<Interrupts>,
}

impl RemoteOptions {
    /// Opens the remote given by `--remote`, else that of the configuration. Credentials are taken from the
    /// environment.
    pub fn open(&self, options: &Options) -> Result<Connection, CommandError> {
        let url = match &self.remote {
            Some(url) => url.clone(),
            None => configured(options)?,
        };
        Remote::check_url(&url)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        // Without a handler, Ctrl-C ends the process. That is safe, too, but prints no message.
        let interrupts = Interrupts::listen(move |_| {
            if flag.swap(true, Ordering::Relaxed) {
                // Local work, such as hashing images, does not check the flag.
                std::process::exit(INTERRUPTED.into());
            }
            tracing::warn!("ending; Ctrl-C again ends at once");
        })
        .ok();
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            // The names and values that storage providers use are valid UTF-8.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let remote = Remote::open(&url, environment, stopped)?;
        Ok(Connection { remote, jobs: self.jobs.into(), _interrupts: interrupts })
    }
}

fn configured(options: &Options) -> Result<String, CommandError> {
    let configuration = Configuration::load(options.config.as_deref(), &options.sets)?;
    configuration.shared().config.cache.remote.clone().ok_or_else(|| {
        CommandError::usage("no remote is set")
            .with_hint("set it with `--remote URL`, or as `cache: {remote: URL}` in the configuration")
    })
}
