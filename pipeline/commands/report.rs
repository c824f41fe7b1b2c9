use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use serde_json::json;
use tfnas_artifacts::{Cache, Found, Outcome, Run, RunId};
use tfnas_executor::ending_signals;

use crate::commands::show::named;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::page::{Images, LivePage, PageError, gather, write_figures, write_page};
use crate::report::{print_json, print_json_line};
use crate::serve::serve;
use crate::session::store_to_read;
use crate::target_folder;

/// Maximum number of runs that are searched for the last one that finished.
const LOOKED_AT: usize = 1000;

/// Write an HTML page about a run: result, search, selection, network, training, test, latency, provenance
///
/// The page is one file that needs no network. It has the figures of what the run's stages wrote, each with its numbers
/// as a table.
#[derive(Args, Debug)]
pub struct Report {
    /// A run's number or name, or `latest`; default: the last run that finished
    #[arg(value_name = "RUN")]
    run: Option<String>,

    /// The file to write
    #[arg(long, short, default_value = "report.html", value_name = "FILE")]
    output: PathBuf,

    /// Also write each figure as SVG and each table as CSV into this folder
    #[arg(long, value_name = "FOLDER")]
    figures: Option<PathBuf>,

    /// Serve the page over HTTP until Ctrl-C instead, and refresh it while the run is under way [default: 127.0.0.1 and a
    /// free port]
    ///
    /// A port alone means 127.0.0.1. Anyone who can reach the address sees the page.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        value_parser = parse_address,
        conflicts_with_all = ["output", "figures"]
    )]
    serve: Option<SocketAddr>,

    /// Leave out the pictures of test images and their paths
    #[arg(long)]
    no_images: bool,
}

impl Report {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let cache = store_to_read(options)?;
        if let Some(address) = self.serve {
            return self.serve(&cache, address, options);
        }
        let run = self.run(&cache)?;
        let output = std::path::absolute(&self.output).unwrap_or_else(|_| self.output.clone());
        target_folder::check(&output)?;
        let images = if self.no_images { Images::LeftOut } else { Images::Shown };
        let report = gather(&cache, &run, images)?;
        write_page(&report, &output)?;
        let figures = match &self.figures {
            Some(folder) => write_figures(&report, folder)?,
            None => Vec::new(),
        };
        tracing::info!("wrote {}", output.display());
        if let Some(folder) = &self.figures {
            tracing::info!("wrote {} figures and tables to {}", figures.len(), folder.display());
        }
        if options.json {
            let figures: Vec<String> = figures.iter().map(|file| file.display().to_string()).collect();
            let (file, name, note) = (output.display().to_string(), &run.name, &run.note);
            print_json(&json!({ "run": run.id, "name": name, "note": note, "file": file, "figures": figures }));
        }
        Ok(Exit::Done)
    }

    /// Serves the page until a signal arrives.
    fn serve(&self, cache: &Cache, address: SocketAddr, options: &Options) -> Result<Exit, CommandError> {
        let run = match &self.run {
            Some(what) => named_run(cache, what)?,
            None => self.newest(cache)?,
        };
        let images = if self.no_images { Images::LeftOut } else { Images::Shown };
        let listener = TcpListener::bind(address)
            .map_err(|error| CommandError::usage(format!("cannot listen on {address}: {error}")))
            .map_err(|error| error.with_hint("choose another port, or --serve without an address"))?;
        let failed = |error: io::Error| CommandError::failed(format!("cannot serve the page: {error}"));
        let url = format!("http://{}/", listener.local_addr().map_err(failed)?);
        let stop = Arc::new(AtomicBool::new(false));
        for signal in ending_signals() {
            signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(failed)?;
        }
        tracing::info!("the page of run {} is at {url} (Ctrl-C ends)", run.id);
        if !address.ip().is_loopback() {
            tracing::warn!("anyone who can reach {address} sees the page");
        }
        if options.json {
            print_json_line(&json!({ "run": run.id, "url": url }));
        }
        let live = LivePage::new(cache, run.id, images);
        serve(&listener, &|| live.get(), &stop).map_err(failed)?;
        Ok(Exit::Done)
    }

    /// Returns the run under way, or else the last one that finished.
    fn newest(&self, cache: &Cache) -> Result<Run, CommandError> {
        let newest = cache.ledger().runs(None, 1)?.pop();
        match newest.filter(|run| run.ended_ms.is_none() && cache.is_under_way(run.id)) {
            Some(run) => Ok(run),
            None => last_finished(cache),
        }
    }

    fn run(&self, cache: &Cache) -> Result<Run, CommandError> {
        let Some(what) = &self.run else {
            return last_finished(cache);
        };
        named_run(cache, what)
    }
}

/// Returns the last run that finished; the error names a run that did not.
fn last_finished(cache: &Cache) -> Result<Run, CommandError> {
    if let Some(run) = finished_runs(cache)?.next() {
        return Ok(run);
    }
    let unfinished = cache.ledger().runs(None, LOOKED_AT)?.into_iter().find(|run| !did_nothing(cache, run));
    Err(match unfinished {
        Some(run) => no_finished_run().with_hint(format!("`report {0}` shows what there is of run {0}", run.id)),
        None => no_finished_run(),
    })
}

/// Parses an address for `--serve`: an address and a port, or a port of 127.0.0.1.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse::<u16>().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse()).map_err(|_| "expected an address with a port, such as 127.0.0.1:8000".to_owned())
}

/// Returns the run with this number or name, or the last run for `latest`.
pub(super) fn named_run(cache: &Cache, what: &str) -> Result<Run, CommandError> {
    // The first digits of an attempt or an artifact have no meaning here.
    if let Ok(number) = what.parse()
        && cache.ledger().run(RunId(number))?.is_none()
    {
        return Err(CommandError::usage(format!("there is no run {number}")).with_hint("`log` lists the runs"));
    }
    match named(cache, what)? {
        Found::Run(id) => {
            let run = cache.ledger().run(id)?;
            run.ok_or_else(|| CommandError::usage(format!("there is no run {id}")))
        }
        Found::Attempt(_) | Found::Artifact(_) => Err(CommandError::usage(format!("`{what}` is not a run"))
            .with_hint("`log` lists the runs; `show` prints attempts and artifacts")),
    }
}

/// Returns the finished runs that have made or reused a result, newest first.
pub(super) fn finished_runs(cache: &Cache) -> Result<impl Iterator<Item = Run> + '_, CommandError> {
    let runs = cache.ledger().runs(None, LOOKED_AT)?.into_iter();
    Ok(runs.filter(|run| run.outcome == Some(Outcome::Done) && !did_nothing(cache, run)))
}

/// Returns the error for a store without finished runs.
pub(super) fn no_finished_run() -> CommandError {
    CommandError::usage("there is no finished run in this store").with_hint("`run all` creates one")
}

/// Returns whether a run neither made nor reused a result.
fn did_nothing(cache: &Cache, run: &Run) -> bool {
    cache.ledger().summary(run.id).is_ok_and(|summary| summary.made.is_empty() && summary.used.is_empty())
}

impl From<PageError> for CommandError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Folder { .. } => Self::usage(error.to_string()).with_hint("name a file: --output report.html"),
            PageError::Write { .. } => Self::failed(error.to_string()),
            PageError::Ledger(error) => error.into(),
            PageError::NoRun(_) => Self::usage(error.to_string()),
        }
    }
}
