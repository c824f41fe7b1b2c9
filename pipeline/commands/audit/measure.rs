//! `audit --measure`: measures the latency of the whole network on this machine.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use serde::Deserialize;
use tfnas::{LatencyTable, TableHeader};
use tfnas_executor::{query_worker, worker_program};
use tfnas_planner::machine::Device;
use tfnas_publication::claims::{Conditions, Finding, MeasuredLatency, ModelClaims, check_latency};
use tfnas_stages::{DeviceChoice, ParseSection};

use crate::error::CommandError;

/// Options for measuring the network.
#[derive(Args, Debug)]
pub struct Measure {
    /// Measure the latency of the whole network on this machine, with the batch size and threads of each claimed latency
    #[arg(long, requires = "config")]
    measure: bool,

    /// The batch size for --measure [default: that of each claim]
    #[arg(long, value_name = "N", requires = "measure", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,

    /// The number of threads for --measure [default: that of each claim]
    #[arg(long, value_name = "N", requires = "measure", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// The device to measure: cpu, cuda, cuda:N or auto
    #[arg(long, value_name = "DEVICE", requires = "measure", value_parser = device, default_value = "auto")]
    device: DeviceChoice,
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    text.to_owned().try_into()
}

#[derive(Deserialize)]
struct Reply {
    median_ms: f64,
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
            let numbers = [resolution, batch, threads, passes].map(|number| number.to_string().into());
            let request = [&[config.into()], &numbers[..], &["0".into(), device.to_string().into()]].concat();
            let reply = query_worker(&worker, "latency", &request)?;
            let reply: Reply = serde_json::from_slice(&reply)
                .map_err(|error| CommandError::failed(format!("{}: no latency: {error}", worker.display())))?;
            median_ms.insert(conditions, reply.median_ms);
        }
        Ok(MeasuredLatency { device: device.model(), median_ms })
    }
}
