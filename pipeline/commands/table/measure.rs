//! `table verify --measure`: compares a table with random networks that are measured on this machine.

use std::path::{Path, PathBuf};

use clap::Args;
use tfnas::{LatencyTable, Space};
use tfnas_executor::{query_worker, worker_program};
use tfnas_humanize::Columns;
use tfnas_planner::machine::Device;
use tfnas_report::latency_scatter;
use tfnas_stages::{CheckTableRequest, DeviceChoice, LookupCheck, Request};

use crate::configured::of_configuration;
use crate::error::CommandError;
use crate::options::{Options, parse_device};

/// Options for measuring networks.
#[derive(Args, Debug)]
pub struct Measure {
    /// Measure N random networks of the space on this machine, and compare them with the table
    #[arg(long, value_name = "N", requires = "space", value_parser = clap::value_parser!(u16).range(1..))]
    measure: Option<u16>,

    /// Seconds to measure; each network is measured at least twice
    #[arg(long, value_name = "SECONDS", requires = "measure", default_value_t = 60.0)]
    budget_s: f64,

    /// Write the comparison as an SVG figure
    #[arg(long, value_name = "FILE", requires = "measure")]
    figure: Option<PathBuf>,

    /// The number of classes of the networks [default: that of the space, else of the configuration]
    #[arg(long, value_name = "N", requires = "measure", value_parser = clap::value_parser!(u32).range(1..))]
    classes: Option<u32>,

    /// The batch size [default: that of the table, else 1]
    #[arg(long, value_name = "N", requires = "measure", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,

    /// The number of threads [default: that of the table, else 1]
    #[arg(long, value_name = "N", requires = "measure", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// The device: cpu, cuda, cuda:N or auto
    #[arg(long, value_name = "DEVICE", requires = "measure", value_parser = parse_device, default_value = "auto")]
    device: DeviceChoice,

    /// The seed of the random networks; choose another than that of the configuration that made the table
    #[arg(long, value_name = "SEED", requires = "measure", default_value_t = 1)]
    seed: u64,

    /// The worker's program [default: tfnas-stage next to this program]
    #[arg(long, value_name = "FILE", requires = "measure")]
    worker: Option<PathBuf>,
}

impl Measure {
    /// Measures networks and writes the figure, if `--measure` is given.
    pub fn run(
        &self,
        file: &Path,
        table: &LatencyTable,
        space: Option<&Space>,
        options: &Options,
    ) -> Result<Option<LookupCheck>, CommandError> {
        let (Some(networks), Some(space)) = (self.measure, space) else { return Ok(None) };
        if !(self.budget_s.is_finite() && self.budget_s > 0.0) {
            return Err(CommandError::usage(format!("--budget-s must be above 0, not {}", self.budget_s)));
        }
        if let Some(path) = &self.figure
            && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
            && !folder.is_dir()
        {
            return Err(CommandError::usage(format!("--figure {}: there is no such folder", path.display())));
        }
        let worker = worker_program(self.worker.as_deref())?;
        let device = Device::find(self.device)?;
        let header = table.header();
        if let Some(measured) = header.device.as_ref().filter(|measured| **measured != device.model()) {
            tracing::warn!("the table was measured on {measured}, but this is {}", device.model());
        }
        let request = CheckTableRequest {
            table: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
            space: space.definition().clone(),
            classes: self.class_count(space, options)?,
            networks: networks.into(),
            budget_s: self.budget_s,
            batch: self.batch.map(usize::from).or(header.batch).unwrap_or(1),
            threads: self.threads.map(usize::from).or(header.threads).unwrap_or(1),
            seed: self.seed,
            device: device.to_string(),
        };
        tracing::info!("measuring {networks} networks on {} for about {} s", device.model(), self.budget_s);
        let check = ask(&worker, request)?;
        if let Some(path) = &self.figure {
            let [svg, _] = latency_scatter(&check.networks);
            tfnas_fs::write_atomic(path, svg.text.as_bytes())
                .map_err(|error| CommandError::failed(format!("cannot write {}: {error}", path.display())))?;
        }
        Ok(Some(check))
    }

    fn class_count(&self, space: &Space, options: &Options) -> Result<usize, CommandError> {
        if let Some(classes) = self.classes.map(|classes| classes as usize).or(space.definition().classes) {
            return Ok(classes);
        }
        of_configuration(options)?.ok_or_else(|| {
            CommandError::usage("the space does not set the number of classes")
                .with_hint("set it with --classes, or a configuration with --config")
        })
    }
}

fn ask(worker: &Path, request: CheckTableRequest) -> Result<LookupCheck, CommandError> {
    let reply = query_worker(worker, &Request::CheckTable(request))?;
    serde_json::from_slice(&reply)
        .map_err(|error| CommandError::failed(format!("the worker's reply cannot be read: {error}")))
}

/// Formats the comparison as a table.
pub fn check_text(check: &LookupCheck) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let mut columns = Columns::new(&["networks", ">mean error", ">95 % within", ">worst", ">bias", ">rank", ">noise"]);
    columns.row([
        check.networks.len().to_string(),
        percent(check.mean_error),
        percent(check.p95_error),
        percent(check.worst_error),
        format!("{:+.1} %", 100.0 * check.bias),
        check.rank_correlation.map(|rank| format!("{rank:.3}")).unwrap_or_default(),
        check.noise_floor.map(percent).unwrap_or_default(),
    ]);
    let mut text = columns.to_string();
    if let Some(drift) = check.drift {
        text.push_str(&format!(
            "this machine is {:.1} % {} than when the table was measured, by the reference networks of the table; the measured \
             latencies are corrected for that\n",
            100.0 * drift.abs(),
            if drift < 0.0 { "faster" } else { "slower" }
        ));
    }
    if check.rounds_dropped > 0 {
        text.push_str(&format!(
            "{} of {} rounds were discarded, because the machine was disturbed\n",
            check.rounds_dropped, check.rounds
        ));
    }
    text
}
