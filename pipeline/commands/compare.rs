use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use tfnas_artifacts::{Attempt, AttemptId, Cache, Run, RunId};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::machine::build;
use tfnas_report::Comparison;
use tfnas_stages::Stage;

use crate::commands::report::{finished_runs, named_run, no_finished_run};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::page::{Images, gather, results, write_comparison};
use crate::report::{Network, NetworkResults, print, print_json};
use crate::session::store_to_read;
use crate::target_folder;

/// Compare the networks found so far: latency, parameters, multiply-adds, accuracy
#[derive(Args, Debug)]
pub struct Compare {
    /// Runs on the page of --html, by number or name, or `latest`; default: the last ten that found networks
    #[arg(value_name = "RUN", requires = "html")]
    runs: Vec<String>,

    /// Write an HTML page about several runs instead: networks, curves, different configuration keys
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// A network and the first run that had its results.
#[derive(Serialize)]
struct Listed {
    /// `None` if the results were pulled from a remote, and no run has used them.
    run: Option<RunId>,
    #[serde(skip)]
    name: Option<String>,
    #[serde(flatten)]
    network: Network,
}

/// Maximum number of runs that are searched for networks.
const SEARCHED: usize = 1000;
/// Maximum number of results of each instance that are searched for pulled ones.
const PULLED: u32 = 100;
/// Default number of runs on the page.
const RUNS: usize = 10;

impl Compare {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        if let Some(file) = &self.html {
            return self.write(file, options);
        }
        let networks = listed(&store_to_read(options)?)?;
        if options.json {
            print_json(&json!({ "networks": networks }));
            return Ok(Exit::Done);
        }
        let mut columns = Columns::new(&[
            "network",
            "run",
            ">target ms",
            ">predicted ms",
            ">measured ms",
            ">parameters",
            ">multiply-adds",
            ">top-1 %",
            ">top-5 %",
        ]);
        let ms = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.3}"));
        let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.2}", share * 100.0));
        let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| humanize::count(count as f64));
        for Listed { run, name, network } in &networks {
            let number = run.map_or("-".to_owned(), |run| run.to_string());
            columns.row([
                network.id.clone(),
                name.as_ref().map_or_else(|| number.clone(), |name| format!("{number}: {name}")),
                ms(network.target_lat_ms),
                ms(network.predicted_lat_ms),
                ms(network.measured_lat_ms),
                count(network.parameters),
                count(network.flops),
                percent(network.top1),
                percent(network.top5),
            ]);
        }
        print(&columns.to_string());
        if networks.is_empty() {
            tracing::info!("no network was found yet: `run all` searches one");
        }
        Ok(Exit::Done)
    }

    /// Writes the page about several runs: the given ones in this order, or the last ones, oldest first.
    fn write(&self, file: &Path, options: &Options) -> Result<Exit, CommandError> {
        let cache = store_to_read(options)?;
        let output = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let gathered = |run: &Run| gather(&cache, run, Images::LeftOut);
        let mut reports = Vec::new();
        if self.runs.is_empty() {
            for run in finished_runs(&cache)? {
                let report = gathered(&run)?;
                if !report.networks.is_empty() {
                    reports.insert(0, report);
                }
                if reports.len() == RUNS {
                    break;
                }
            }
        }
        for run in &self.runs {
            reports.push(gathered(&named_run(&cache, run)?)?);
        }
        if reports.is_empty() {
            return Err(no_finished_run());
        }
        target_folder::check(&output)?;
        let runs: Vec<String> = reports.iter().map(|report| report.run.id.clone()).collect();
        write_comparison(&Comparison { tool: build::TOOL.to_owned(), reports }, &output)?;
        tracing::info!("wrote {} about the runs {}", output.display(), runs.join(", "));
        if options.json {
            print_json(&json!({ "file": output.display().to_string(), "runs": runs }));
        }
        Ok(Exit::Done)
    }
}

/// Returns the networks of all runs, oldest first. A network of several runs is listed once, with its test if there is one.
fn listed(cache: &Cache) -> Result<Vec<Listed>, CommandError> {
    let mut sources: Vec<(Option<Run>, Vec<Attempt>)> = Vec::new();
    for run in cache.ledger().runs(None, SEARCHED)?.into_iter().rev() {
        let summary = cache.ledger().summary(run.id)?;
        let mut instances = summary.made.iter().map(|(id, _)| id).chain(summary.used.iter().map(|(id, _)| id));
        if instances.any(|id| stage_of(id) == Stage::Parse.name()) {
            let results = results(cache, &run)?;
            sources.push((Some(run), results));
        }
    }
    sources.push((None, pulled(cache)?));
    let mut found: Vec<(Option<&Run>, NetworkResults<'_>)> = Vec::new();
    for (run, results) in &sources {
        let results: Vec<&Attempt> = results.iter().collect();
        for network in NetworkResults::among(&results) {
            let test = |network: &NetworkResults<'_>| network.test.map(|test| test.id.clone());
            let is_same =
                |other: &NetworkResults<'_>| other.parse.id == network.parse.id && test(other) == test(&network);
            if !found.iter().any(|(_, other)| is_same(other)) {
                found.push((run.as_ref(), network));
            }
        }
    }
    let tested: Vec<AttemptId> = found
        .iter()
        .filter(|(_, network)| network.test.is_some())
        .map(|(_, network)| network.parse.id.clone())
        .collect();
    found.retain(|(_, network)| network.test.is_some() || !tested.contains(&network.parse.id));
    let listed = found.iter().filter_map(|(run, network)| {
        let name = run.and_then(|run| run.name.as_ref()).map(ToString::to_string);
        Some(Listed { run: run.map(|run| run.id), name, network: network.read(cache)? })
    });
    Ok(listed.collect())
}

/// Returns the results that were pulled from a remote, in the order of the stages.
fn pulled(cache: &Cache) -> Result<Vec<Attempt>, CommandError> {
    let mut pulled = Vec::new();
    for instance in cache.ledger().instances()? {
        let results = cache.ledger().recent_results(&instance, stage_of(&instance), PULLED)?;
        pulled.extend(results.into_iter().filter(|attempt| attempt.run.is_none()));
    }
    pulled.sort_by_key(|attempt| Stage::ALL.iter().position(|stage| stage.name() == attempt.stage));
    Ok(pulled)
}

/// Returns the stage of an instance such as `parse@12`.
fn stage_of(instance: &str) -> &str {
    instance.split('@').next().unwrap_or(instance)
}
