use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use serde::Deserialize;
use tfnas::{LatencyTable, TableHeader};
use tfnas_executor::{query_worker, worker_program};
use tfnas_planner::machine::{Device, build};
use tfnas_stages::{DeviceChoice, ParseSection};

use super::claims::ModelClaims;
use super::finding::{Finding, Verdict};
use crate::error::CommandError;

/// By how much of a claim a measurement on the claimed device may miss it: the sum of a table's blocks misses the whole network
/// by up to so much.
const TOLERANCE: f64 = 0.05;
/// The framework that measures here.
const FRAMEWORK: &str = "libtorch";

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

/// Batch and threads of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Conditions {
    batch: usize,
    threads: usize,
}

/// What the worker answers.
#[derive(Deserialize)]
struct Measured {
    median_ms: f64,
}

impl Measure {
    /// Measures the network of a `model.config` beside each latency that is claimed of it; says so where it does not.
    ///
    /// * `config`: the file.
    /// * `worker`: what measures, where it is not the program beside this one.
    /// * `resolution`: side of its images, in pixels.
    ///
    /// # Errors
    /// A device that is not there; a worker that is not, or cannot measure.
    pub fn check(
        &self,
        name: &str,
        model: &ModelClaims,
        config: Option<&Path>,
        worker: Option<&Path>,
        resolution: usize,
        tables: &[(String, LatencyTable)],
    ) -> Result<Vec<Finding>, CommandError> {
        let with = |table: &LatencyTable| self.conditions(table.header());
        let here = match config {
            None => Err("no model.config was given"),
            Some(_) if !self.measure => Err("--measure measures it"),
            Some(config) => {
                Ok(self.measure(config, worker, resolution, tables.iter().map(|(_, table)| with(table)))?)
            }
        };
        let finding = |(table_name, table): &(String, LatencyTable)| {
            let conditions = with(table);
            let claimed = &model.latency_ms[table_name];
            let (found, verdict) = match &here {
                Err(why) => (None, Verdict::NotChecked { why: (*why).to_owned() }),
                Ok((device, times)) => {
                    let ms = times[&conditions];
                    (Some(ms), judged(table.header(), conditions, device, claimed.value(), ms))
                }
            };
            let Conditions { batch, threads } = conditions;
            Finding {
                model: name.to_owned(),
                claim: format!("ms here, batch {batch}, threads {threads} ({table_name})"),
                claimed: Some(claimed.to_string()),
                recomputed: found.map(|ms| format!("{ms:.4}")),
                difference: found.map(|ms| format!("{:+.4}", ms - claimed.value())),
                verdict,
            }
        };
        Ok(tables.iter().map(finding).collect())
    }

    /// Those of the claim, where nothing else is asked for.
    fn conditions(&self, header: &TableHeader) -> Conditions {
        Conditions {
            batch: self.batch.map(usize::from).or(header.batch).unwrap_or(1),
            threads: self.threads.map(usize::from).or(header.threads).unwrap_or(1),
        }
    }

    /// The device's model, and the median latency of the network in milliseconds by conditions.
    fn measure(
        &self,
        config: &Path,
        worker: Option<&Path>,
        resolution: usize,
        wanted: impl Iterator<Item = Conditions>,
    ) -> Result<(String, BTreeMap<Conditions, f64>), CommandError> {
        let worker = worker_program(worker)?;
        let device = Device::find(self.device)?;
        let mut times = BTreeMap::new();
        for conditions in wanted {
            if times.contains_key(&conditions) {
                continue;
            }
            let Conditions { batch, threads } = conditions;
            tracing::info!("measuring the network on {}: batch {batch}, threads {threads}", device.model());
            let passes = ParseSection::default().passes;
            let numbers = [resolution, batch, threads, passes].map(|number| number.to_string().into());
            let request = [&[config.into()], &numbers[..], &["0".into(), device.to_string().into()]].concat();
            let answer = query_worker(&worker, "latency", &request)?;
            let measured: Measured = serde_json::from_slice(&answer)
                .map_err(|error| CommandError::failed(format!("{}: no latency: {error}", worker.display())))?;
            times.insert(conditions, measured.median_ms);
        }
        Ok((device.model(), times))
    }
}

/// A measurement can only be held to a claim of the same device, framework, batch and threads.
fn judged(header: &TableHeader, conditions: Conditions, device: &str, claimed: f64, found: f64) -> Verdict {
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut others = Vec::new();
    if !header.device.as_deref().is_some_and(|claimed| same_device(claimed, device)) {
        others.push(format!("another device (of the claim: {}; here: {device})", or_unknown(&header.device)));
    }
    if !header.framework.as_deref().is_some_and(|framework| framework.starts_with(FRAMEWORK)) {
        let here = format!("{FRAMEWORK} {}", build::LIBTORCH);
        others.push(format!("another framework ({}; {here})", or_unknown(&header.framework)));
    }
    if header.batch != Some(conditions.batch) || header.threads != Some(conditions.threads) {
        let number = |number: Option<usize>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        others.push(format!("another load (batch {}, threads {})", number(header.batch), number(header.threads)));
    }
    if !others.is_empty() {
        Verdict::NotComparable { why: others.join(", ") }
    } else if (found - claimed).abs() <= TOLERANCE * claimed {
        Verdict::Agrees
    } else {
        Verdict::Differs
    }
}

/// Whether two names are of one model of device: the same words, but for marks, the maker's name, memory and clock; and the same
/// clock where both tell it.
fn same_device(one: &str, other: &str) -> bool {
    let clocks_differ = matches!((clock_ghz(one), clock_ghz(other)), (Some(one), Some(other)) if one != other);
    !clocks_differ && model_words(one) == model_words(other)
}

fn model_words(name: &str) -> Vec<String> {
    const SAY_NOTHING: [&str; 3] = ["cpu", "nvidia", "geforce"];
    let model = name.split([',', '@']).next().unwrap_or_default().to_lowercase().replace("(r)", "").replace("(tm)", "");
    let words = model.split_whitespace().filter(|word| !SAY_NOTHING.contains(word));
    words.map(str::to_owned).collect()
}

fn clock_ghz(name: &str) -> Option<f64> {
    let name = name.to_lowercase();
    let before = name.split_once("ghz")?.0.trim_end();
    let start = before.rfind(|c: char| !c.is_ascii_digit() && c != '.').map_or(0, |last| last + 1);
    before.get(start..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Conditions = Conditions { batch: 1, threads: 1 };

    #[test]
    fn names_of_one_device_are_told_from_those_of_another() {
        let claimed = "Intel Xeon Gold 6130, 2.10 GHz";
        assert!(same_device(claimed, "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz"));
        assert!(!same_device(claimed, "Intel(R) Xeon(R) Gold 6130 CPU @ 2.60GHz"));
        assert!(!same_device(claimed, "Intel(R) Xeon(R) Gold 6148 CPU @ 2.10GHz"));
        assert!(same_device("NVIDIA Titan RTX, 24 GB", "TITAN RTX"));
        assert!(!same_device("NVIDIA Titan RTX, 24 GB", "Intel(R) Xeon(R) Processor"));
    }

    #[test]
    fn a_measurement_is_held_to_a_claim_of_the_same_device_framework_and_load_alone() {
        let text = |text: &str| Some(text.to_owned());
        let here = TableHeader {
            device: text("A"),
            batch: Some(1),
            threads: Some(1),
            framework: text("libtorch"),
            ..TableHeader::default()
        };
        assert_eq!(judged(&here, ONE, "A", 10.0, 10.4), Verdict::Agrees);
        assert_eq!(judged(&here, ONE, "A", 10.0, 10.6), Verdict::Differs);
        let not_comparable = |header: TableHeader, why: &str| {
            let verdict = judged(&header, ONE, "A", 10.0, 10.0);
            assert!(matches!(&verdict, Verdict::NotComparable { why: found } if found.contains(why)), "{verdict:?}");
        };
        not_comparable(TableHeader { device: text("B"), ..here.clone() }, "another device (of the claim: B; here: A)");
        not_comparable(TableHeader { framework: text("PyTorch 1.1"), ..here.clone() }, "PyTorch 1.1");
        not_comparable(TableHeader { batch: Some(32), ..here.clone() }, "batch 32");
        not_comparable(TableHeader::default(), "unknown");
    }
}
