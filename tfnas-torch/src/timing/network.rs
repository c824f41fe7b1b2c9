//! Latency of complete networks.

use std::ops::ControlFlow;

use tfnas::{Architecture, MbConvConfig, ModelConfig, Space};
use tfnas_random::{Stream, StreamId};

use super::input::Inputs;
use super::random_weights::{randomize, rescale_branch};
use super::stopwatch::Stopwatch;
use super::{Progress, TimingError, TimingOptions, median, quantile};
use crate::derived::{DerivedNetwork, FoldedNetwork};

/// Index of the order streams of networks in [`StreamId::Timing`]; lower indices are used for blocks.
const NETWORK_ORDERS: u32 = u32::MAX - 1;

/// Measured latency of a complete network, in milliseconds per batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkTime {
    /// Median over the passes.
    pub median_ms: f64,
    /// First quartile.
    pub low_ms: f64,
    /// Third quartile.
    pub high_ms: f64,
}

/// Measures one network.
///
/// # Errors
/// Same as [`time_networks`].
pub fn time_network(
    config: &ModelConfig,
    resolution: usize,
    options: &TimingOptions,
) -> Result<NetworkTime, TimingError> {
    let one = std::slice::from_ref(config);
    let times = time_networks(one, resolution, options, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(times[0])
}

/// Measures several networks in turn, in an order that is shuffled for each visit, so that drift affects all of them
/// equally. Each visit starts with untimed passes, because a network in use would have run just before.
///
/// * `resolution`: side of the images, in pixels.
///
/// All networks are held in memory at the same time.
///
/// # Errors
/// Returns a [`TimingError`]; [`TimingError::Stopped`] as soon as `progress` breaks.
pub fn time_networks(
    configs: &[ModelConfig],
    resolution: usize,
    options: &TimingOptions,
    progress: &mut Progress<'_>,
) -> Result<Vec<NetworkTime>, TimingError> {
    options.check()?;
    if resolution == 0 {
        return Err(TimingError::Zero("the resolution"));
    }
    for config in configs {
        check_memory(config, resolution, options)?;
    }
    let networks: Vec<FoldedNetwork> = configs.iter().map(|config| random_network(config, options)).collect();
    let shapes: Vec<_> = configs.iter().map(|config| (config.first_stem.in_channels, resolution)).collect();
    let inputs = Inputs::new(shapes.iter().copied(), options.batch, options.seed, options.device);
    let mut stopwatch = Stopwatch::new(options, options.calls() * networks.len(), progress);
    let mut times = vec![Vec::with_capacity(options.passes); networks.len()];
    let mut order: Vec<usize> = (0..networks.len()).collect();
    for (visit, passes) in options.visits().enumerate() {
        Stream::new(options.seed, StreamId::Timing, NETWORK_ORDERS, visit as u32).shuffle(&mut order);
        for &position in &order {
            let input = inputs.of(shapes[position]);
            let calls = options.warm_up_passes + passes;
            let visit_ms = stopwatch.time_each_ms(calls, |_| networks[position].forward(input))?;
            times[position].extend(&visit_ms[options.warm_up_passes..]);
        }
    }
    Ok(times.into_iter().map(NetworkTime::of).collect())
}

impl NetworkTime {
    /// Returns the medians of several measurements; NaN for none.
    pub fn median_of(times: impl Iterator<Item = Self> + Clone) -> Self {
        let of = |value: fn(Self) -> f64| median(times.clone().map(value).collect());
        Self { median_ms: of(|time| time.median_ms), low_ms: of(|time| time.low_ms), high_ms: of(|time| time.high_ms) }
    }

    fn of(mut ms: Vec<f64>) -> Self {
        ms.sort_by(f64::total_cmp);
        Self { median_ms: quantile(&ms, 0.5), low_ms: quantile(&ms, 0.25), high_ms: quantile(&ms, 0.75) }
    }
}

/// Index of the reference networks among random architectures; 0 is for those that a table is checked on.
const REFERENCE: u32 = 1;
/// Number of reference networks.
const REFERENCES: u32 = 3;

/// Returns the random networks of a space that measurements are related to, so that a drift of the machine cancels.
///
/// * `classes`: outputs of the classifier, at least 1.
pub fn reference_configs(space: &Space, seed: u64, classes: usize) -> Vec<ModelConfig> {
    let config = |number| {
        let mut stream = Stream::new(seed, StreamId::RandomArchitecture, REFERENCE, number);
        let architecture = Architecture::random(space, &mut stream);
        ModelConfig::from_architecture(space, &architecture, classes).expect("the architecture is of the space")
    };
    (0..REFERENCES).map(config).collect()
}

/// The network for evaluation, in libtorch's own operations, with weights that keep the scale of activations.
pub(super) fn random_network(config: &ModelConfig, options: &TimingOptions) -> FoldedNetwork {
    let network = DerivedNetwork::new(config, options.device);
    randomize(&network, options.seed);
    network.blocks().for_each(rescale_branch);
    network.folded().in_libtorch_operations()
}

/// Returns an error if a block of the network is too large to be measured.
pub(super) fn check_memory(
    config: &ModelConfig,
    resolution: usize,
    options: &TimingOptions,
) -> Result<(), TimingError> {
    let mut size = resolution.div_ceil(config.first_stem.stride.max(1));
    for block in std::iter::once(&config.second_stem).chain(config.groups.iter().flatten()) {
        options.check_memory(|| "a network".to_owned(), floats_of(block, size))?;
        size = size.div_ceil(block.stride.max(1));
    }
    Ok(())
}

/// Approximate number of values in input, weights and feature maps of a block, for one image.
fn floats_of(config: &MbConvConfig, input_size: usize) -> f64 {
    let area = (input_size as f64).powi(2);
    let width = config.mid_channels as f64;
    let channels = (config.in_channels + config.out_channels) as f64;
    area * (channels + 2.0 * width) + weights_of(config)
}

/// Number of weights of a block, without batch norms.
fn weights_of(config: &MbConvConfig) -> f64 {
    let reads = (config.in_channels + config.out_channels + 2 * config.se_channels) as f64;
    config.mid_channels as f64 * (reads + (config.kernel as f64).powi(2))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use tch::Device;

    const OPTIONS: TimingOptions =
        TimingOptions { batch: 2, threads: 1, passes: 3, warm_up_passes: 1, seed: 3, device: Device::Cpu };

    fn configs(space: &Space) -> Vec<ModelConfig> {
        let config = |index| {
            let mut stream = Stream::new(5, StreamId::RandomArchitecture, 0, index);
            let architecture = Architecture::random(space, &mut stream);
            ModelConfig::from_architecture(space, &architecture, 10).unwrap()
        };
        (0..3).map(config).collect()
    }

    #[test]
    fn quartiles_are_returned_in_network_order() {
        let configs = configs(&Space::small());
        let keep_going = &mut |_: usize, _: usize| ControlFlow::Continue(());
        let times = time_networks(&configs, 32, &OPTIONS, keep_going).unwrap();
        assert_eq!(times.len(), 3);
        for time in times.into_iter().chain([time_network(&configs[0], 32, &OPTIONS).unwrap()]) {
            assert!(0.0 < time.low_ms && time.low_ms <= time.median_ms && time.median_ms <= time.high_ms);
            assert!(time.high_ms.is_finite());
        }
        assert_eq!(time_networks(&[], 32, &OPTIONS, keep_going), Ok(Vec::new()));
    }

    #[test]
    fn measurement_stops_on_request_and_rejects_invalid_options() {
        let configs = configs(&Space::small());
        let stopped = time_networks(&configs, 32, &OPTIONS, &mut |_, _| ControlFlow::Break(()));
        assert_eq!(stopped, Err(TimingError::Stopped));
        assert!(matches!(time_network(&configs[0], 1 << 20, &OPTIONS), Err(TimingError::TooLarge { .. })));
        assert!(matches!(time_network(&configs[0], 0, &OPTIONS), Err(TimingError::Zero(_))));
    }

    #[test]
    fn activations_keep_their_scale_through_deep_networks() {
        for space in [Space::cifar(), Space::small()] {
            let size = space.definition().resolution;
            let inputs = Inputs::new([(3, size)].into_iter(), 2, 1, Device::Cpu);
            for config in configs(&space) {
                let logits = random_network(&config, &OPTIONS).forward(inputs.of((3, size)));
                let scale = logits.std(false).double_value(&[]);
                assert!((1e-4..1e4).contains(&scale), "{scale}");
            }
        }
    }
}
