//! `audit --measure`: measures the latency of the complete network on this machine.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use tfnas::{LatencyTable, TableHeader};
use tfnas_executor::worker_program;
use tfnas_planner::machine::Device;
use tfnas_publication::claims::{Conditions, Finding, MeasuredLatency, ModelClaims, check_latency};
use tfnas_stages::{DeviceChoice, ParseSection};

use crate::error::CommandError;
use crate::network_latency::{Load, measure_network};
use crate::options::parse_device;

/// Options for measuring the network.
#[derive(Args, Debug)]
pub struct Measure {
    /// Measure the latency of the complete network on this machine, with the batch size and threads of each claimed
    /// latency
    #[arg(long, requires = "config")]
    pub(super) measure: bool,

    /// The batch size for --measure [default: that of each claim]
    #[arg(long, value_name = "N", requires = "measure", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,

    /// The number of threads for --measure [default: that of each claim]
    #[arg(long, value_name = "N", requires = "measure", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// The device to measure: cpu, cuda, cuda:N or auto
    #[arg(long, value_name = "DEVICE", requires = "measure", value_parser = parse_device, default_value = "auto")]
    device: DeviceChoice,
}

impl Measure {
    /// Compares each claimed latency with a measurement of the network. Without `--measure`, the findings say that
    /// nothing was measured.
    ///
    /// * `config`: path of the `model.config`.
    /// * `worker`: path of the worker, if it is not next to this program.
    /// * `resolution`: side of the input images in pixels.
    pub fn check(
        &self,
        name: &str,
        model: &ModelClaims,
        config: Option<&Path>,
        worker: Option<&Path>,
        resolution: usize,
        tables: &[(String, LatencyTable)],
    ) -> Result<Vec<Finding>, CommandError> {
        let conditions = |header: &TableHeader| self.conditions(header);
        let measured = match config {
            None => Err("no model.config was given"),
            Some(_) if !self.measure => Err("--measure measures it"),
            Some(config) => {
                let wanted = tables.iter().map(|(_, table)| conditions(table.header()));
                Ok(self.measure(config, worker, resolution, wanted)?)
            }
        };
        Ok(check_latency(name, model, tables, &conditions, measured.as_ref().map_err(|why| *why)))
    }

    /// Returns the conditions of the claim, unless options override them.
    fn conditions(&self, header: &TableHeader) -> Conditions {
        Conditions {
            batch: self.batch.map(usize::from).or(header.batch).unwrap_or(1),
            threads: self.threads.map(usize::from).or(header.threads).unwrap_or(1),
        }
    }

    fn measure(
        &self,
        config: &Path,
        worker: Option<&Path>,
        resolution: usize,
        wanted: impl Iterator<Item = Conditions>,
    ) -> Result<MeasuredLatency, CommandError> {
        let worker = worker_program(worker)?;
        let device = Device::find(self.device)?;
        let mut median_ms = BTreeMap::new();
        for conditions in wanted {
            if median_ms.contains_key(&conditions) {
                continue;
            }
            let Conditions { batch, threads } = conditions;
            tracing::info!("measuring the network on {}: batch {batch}, threads {threads}", device.model());
            let passes = ParseSection::default().passes;
            let load = Load { resolution, batch, threads, passes };
            let median = measure_network(&worker, config, load, &device)?;
            median_ms.insert(conditions, median);
        }
        Ok(MeasuredLatency { device: device.model(), median_ms })
    }
}
