use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tfnas_artifacts::Run;
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::machine::build;
use tfnas_planner::plan::select;
use tfnas_report::Comparison;

use crate::commands::report::{finished_runs, named_run, no_finished_run};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::page::{Images, gather, write_comparison};
use crate::report::{networks, print, print_json};
use crate::session::{Setup, store_to_read};

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

/// Default number of runs on the page.
const RUNS: usize = 10;

impl Compare {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        if let Some(file) = &self.html {
            return self.write(file, options);
        }
        let setup = Setup::new(options)?;
        let all = select(&setup.graph, &["all".to_owned()])?;
        let mut session = setup.read()?;
        session.identify(&all)?;
        let plan = session.planner().plan(&all, &Default::default())?;
        let results: BTreeMap<_, _> =
            plan.steps.iter().filter_map(|step| Some((step.instance, step.hit.clone()?))).collect();
        let networks = networks(&session.graph, &session.cache, &results);
        if options.json {
            print_json(&json!({ "networks": networks }));
            return Ok(Exit::Done);
        }
        let mut columns = Columns::new(&[
            "network",
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
        for network in &networks {
            columns.row([
                network.id.clone(),
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
        let runs: Vec<String> = reports.iter().map(|report| report.run.id.clone()).collect();
        let output = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        write_comparison(&Comparison { tool: build::TOOL.to_owned(), reports }, &output)?;
        tracing::info!("wrote {} about the runs {}", output.display(), runs.join(", "));
        if options.json {
            print_json(&json!({ "file": output.display().to_string(), "runs": runs }));
        }
        Ok(Exit::Done)
    }
}
