//! The latency of a network here, related to the reference networks of a latency table.

use std::ops::ControlFlow;

use tfnas::{LatencyTable, ModelConfig, Space, TableReference};
use tfnas_torch::timing::{NetworkTime, TimingError, TimingOptions, reference_configs, time_networks};

use crate::environment::device_model;

/// Timed passes for each time that the network is built: the memory addresses of the weights change times by some
/// percent.
const PASSES_PER_BUILD: usize = 10;

/// Returns the reference networks of a table that was measured on this device in the same way, or `None` if times cannot be
/// related to the table.
pub fn reference_of(table: &LatencyTable, options: &TimingOptions) -> Option<TableReference> {
    let header = table.header();
    let is_alike = header.device.as_deref() == Some(device_model(options.device).as_str())
        && header.batch == Some(options.batch)
        && header.threads == Some(options.threads);
    header.reference.filter(|_| is_alike)
}

/// The measured latency of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The time of a batch.
    pub time: NetworkTime,
    /// By which share the reference networks took longer than when the table was measured; `None` without one.
    pub drift: Option<f64>,
}

impl Measured {
    /// Returns the latency at the speed that the machine had when the table was measured, in milliseconds.
    pub fn at_table_speed_ms(&self) -> f64 {
        self.time.median_ms / (1.0 + self.drift.unwrap_or(0.0))
    }
}

/// Measures a network, and the reference networks of the table in turn with it.
///
/// # Errors
/// [`TimingError`]; [`TimingError::Stopped`] as soon as `progress` breaks.
pub fn measure(
    config: &ModelConfig,
    space: &Space,
    table: &LatencyTable,
    options: &TimingOptions,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Measured, TimingError> {
    let reference = reference_of(table, options);
    let references =
        reference.map(|reference| reference_configs(space, reference.seed, reference.classes)).unwrap_or_default();
    let configs: Vec<ModelConfig> = std::iter::once(config.clone()).chain(references).collect();
    let builds = options.passes.div_ceil(PASSES_PER_BUILD).max(1);
    let options = TimingOptions { passes: options.passes.div_ceil(builds), ..*options };
    let mut times: Vec<Vec<NetworkTime>> = Vec::with_capacity(builds);
    for build in 0..builds {
        times.push(time_networks(&configs, space.definition().resolution, &options, &mut |done, total| {
            progress(build * total + done, builds * total)
        })?);
    }
    let of = |position: usize| NetworkTime::median_of(times.iter().map(|build| build[position]));
    let references_ms: f64 = (1..configs.len()).map(|position| of(position).median_ms).sum();
    let drift = reference.map(|reference| references_ms / (configs.len() - 1) as f64 / reference.ms - 1.0);
    Ok(Measured { time: of(0), drift })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tch::Device;
    use tfnas::{Architecture, TableHeader};
    use tfnas_random::{Stream, StreamId};

    use super::*;

    const OPTIONS: TimingOptions =
        TimingOptions { batch: 1, threads: 1, passes: 3, warm_up_passes: 1, seed: 0, device: Device::Cpu };

    fn table(header: TableHeader) -> LatencyTable {
        LatencyTable::new(TableHeader { name: "here".to_owned(), ..header }, 1.0, Vec::new()).unwrap()
    }

    fn measured_here() -> TableHeader {
        TableHeader {
            device: Some(device_model(Device::Cpu)),
            batch: Some(1),
            threads: Some(1),
            reference: Some(TableReference { seed: 0, classes: 5, ms: 1e-6 }),
            ..TableHeader::default()
        }
    }

    #[test]
    fn only_a_table_of_the_same_device_batch_and_threads_has_a_reference_here() {
        assert!(reference_of(&table(measured_here()), &OPTIONS).is_some());
        for header in [
            TableHeader { device: Some("another".to_owned()), ..measured_here() },
            TableHeader { batch: Some(2), ..measured_here() },
            TableHeader { threads: None, ..measured_here() },
            TableHeader { reference: None, ..measured_here() },
        ] {
            assert_eq!(reference_of(&table(header), &OPTIONS), None);
        }
    }

    #[test]
    fn a_measurement_is_related_to_the_speed_of_the_table() {
        let space = Space::small();
        let architecture = Architecture::random(&space, &mut Stream::new(4, StreamId::RandomArchitecture, 0, 0));
        let config = ModelConfig::from_architecture(&space, &architecture, 5).unwrap();
        let go_on = &mut |_: usize, _: usize| ControlFlow::Continue(());
        let related = measure(&config, &space, &table(measured_here()), &OPTIONS, go_on).unwrap();
        assert!(related.drift.unwrap() > 1.0 && related.at_table_speed_ms() < related.time.median_ms / 2.0);
        let plain = measure(&config, &space, &table(TableHeader::default()), &OPTIONS, go_on).unwrap();
        assert_eq!((plain.drift, plain.at_table_speed_ms()), (None, plain.time.median_ms));
        let stopped = measure(&config, &space, &table(measured_here()), &OPTIONS, &mut |_, _| ControlFlow::Break(()));
        assert_eq!(stopped, Err(TimingError::Stopped));
    }
}
