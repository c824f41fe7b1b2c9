//! `audit --measure`: the latency of the whole network on this machine.

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

/// Whether and how the whole network is measured on this machine.
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

/// The worker's reply.
#[derive(Deserialize)]
struct Reply {
    median_ms: f64,
}

impl Measure {
    /// Compares each claimed latency with a measurement of the network in a `model.config`; without --measure the findings
    /// say that nothing was measured.
    ///
    /// * `config`: the file.
    /// * `worker`: the program that measures, if it is not the one beside this program.
    /// * `resolution`: side of its images, in pixels.
    ///
    /// # Errors
    /// Returns an error if the device or the worker is not there, or cannot measure.
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

    /// The load of the claim, unless options say otherwise.
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
