//! Measures blocks inside random networks.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use tfnas::{Architecture, BlockKey, ModelConfig, NeededRow, Space};
use tfnas_random::{Stream, StreamId};

use super::clock::Clock;
use super::input::Inputs;
use super::network::{check_memory, random_network};
use super::stopwatch::Threads;
use super::{TimingError, TimingOptions, median};
use crate::derived::FoldedNetwork;

/// Number of random networks per round in which rows are measured.
const NETWORKS: usize = 4;
/// Number of check networks per round.
const CHECKS: usize = 2;
/// Number of random networks to choose from: the one whose rows have the fewest samples is measured.
const DRAWN: usize = 12;
/// Index of the reference network among the random architectures of [`StreamId::Timing`]; index 0 is used for the check
/// networks of a table.
const REFERENCE: u32 = 1;
const FIRST_ROUND: u32 = 2;

/// Latency of a block inside a network, relative to the reference network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Index into the space's [needed rows](Space::needed_rows).
    pub row: usize,
    /// Width: channels of the depthwise convolution.
    pub width: usize,
    /// Its time in milliseconds.
    pub ms: f64,
}

/// Measurements of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Time of the reference network, in milliseconds.
    pub reference_ms: f64,
    /// Time of the parts that all networks have in common, in milliseconds, for each network.
    pub base_ms: Vec<f64>,
    /// The blocks.
    pub samples: Vec<Sample>,
    /// Index and time in milliseconds of each check network.
    pub checks: Vec<(usize, f64)>,
}

/// Measures blocks inside random networks of the space.
///
/// A block timed on its own has warmer caches than inside a network, so the sum of such times is too low. Here every
/// call runs a whole network, with a timestamp after each block. The machine itself drifts by more than the effects of
/// interest, so a reference network runs before and after every few networks, and [`fit`](super::fit) normalizes by it.
/// Check networks are measured among them, as a whole.
#[derive(Debug)]
pub struct InPlace<'a> {
    space: &'a Space,
    classes: usize,
    options: TimingOptions,
    rows: HashMap<BlockKey, usize>,
    reference: FoldedNetwork,
    checks: Vec<ModelConfig>,
    input: Tensor,
}

impl<'a> InPlace<'a> {
    /// Prepares the reference network, and checks that the check networks can be measured.
    ///
    /// * `classes`: outputs of the classifier.
    /// * `checks`: the networks to validate the table with.
    ///
    /// # Errors
    /// Returns a [`TimingError`] for options or networks that cannot be measured.
    pub fn new(
        space: &'a Space,
        classes: usize,
        checks: &[Architecture],
        options: TimingOptions,
    ) -> Result<Self, TimingError> {
        options.check()?;
        if classes == 0 {
            return Err(TimingError::Zero("the number of classes"));
        }
        let size = space.definition().resolution;
        let config = |architecture: &Architecture| {
            let config =
                ModelConfig::from_architecture(space, architecture, classes).expect("the architecture is of the space");
            check_memory(&config, size, &options)?;
            Ok::<_, TimingError>(config)
        };
        let reference =
            Architecture::random(space, &mut Stream::new(options.seed, StreamId::RandomArchitecture, REFERENCE, 0));
        let reference = random_network(&config(&reference)?, &options);
        let inputs = Inputs::new([(3, size)].into_iter(), options.batch, options.seed, options.device);
        Ok(Self {
            space,
            classes,
            options,
            rows: space.needed_rows().iter().enumerate().map(|(index, row)| (row.key, index)).collect(),
            reference,
            checks: checks.iter().map(config).collect::<Result<_, _>>()?,
            input: inputs.of((3, size)).shallow_clone(),
        })
    }

    /// Measures some networks, as the round with this number.
    ///
    /// * `samples`: the number of samples of each row so far. Networks whose rows have the fewest samples are
    ///   preferred.
    pub fn round(&self, number: u32, samples: &[usize]) -> Round {
        let _threads = Threads::set(self.options.threads);
        let mut samples = samples.to_vec();
        let before = self.whole_ms(&self.reference);
        let mut parts = Vec::new();
        for index in 0..NETWORKS {
            let architecture = self.choose(number, index, &samples);
            self.rows_of(&architecture).for_each(|(row, _)| samples[row] += 1);
            let config = ModelConfig::from_architecture(self.space, &architecture, self.classes).expect("of the space");
            let network = random_network(&config, &self.options);
            parts.push((self.rows_of(&architecture).collect::<Vec<_>>(), self.parts_ms(&network)));
        }
        let checks = self.checks_ms(number, CHECKS);
        let after = self.whole_ms(&self.reference);
        let mut round =
            Round { reference_ms: (before + after) / 2.0, base_ms: Vec::new(), samples: Vec::new(), checks };
        for (rows, ms) in parts {
            // The stems come first, and the head comes last.
            let blocks = &ms[2..ms.len() - 1];
            round.base_ms.push(ms[0] + ms[1] + ms[ms.len() - 1]);
            let samples = rows.into_iter().zip(blocks);
            round.samples.extend(samples.map(|((row, width), &ms)| Sample { row, width, ms }));
        }
        round
    }

    /// Measures only check networks, as the round with this number.
    pub fn check_round(&self, number: u32) -> Round {
        let _threads = Threads::set(self.options.threads);
        let before = self.whole_ms(&self.reference);
        let checks = self.checks_ms(number, NETWORKS);
        let after = self.whole_ms(&self.reference);
        Round { reference_ms: (before + after) / 2.0, base_ms: Vec::new(), samples: Vec::new(), checks }
    }

    /// Measures `count` check networks; the networks rotate from round to round.
    fn checks_ms(&self, round: u32, count: usize) -> Vec<(usize, f64)> {
        (0..count.min(self.checks.len()))
            .map(|index| (round as usize * count + index) % self.checks.len())
            // Rebuilt for each measurement, like the other networks: the addresses of the weights change times by
            // several percent.
            .map(|check| (check, self.whole_ms(&random_network(&self.checks[check], &self.options))))
            .collect()
    }

    /// Chooses the random network whose rows have the fewest samples.
    fn choose(&self, round: u32, index: usize, samples: &[usize]) -> Architecture {
        let first = (index * DRAWN) as u32;
        let drawn = (first..first + DRAWN as u32).map(|number| {
            let mut stream =
                Stream::new(self.options.seed, StreamId::RandomArchitecture, FIRST_ROUND.wrapping_add(round), number);
            Architecture::random(self.space, &mut stream)
        });
        // The mean: a sum would prefer deep networks, whose caches are colder.
        let gain = |architecture: &Architecture| -> f64 {
            let gains = self.rows_of(architecture).map(|(row, _)| 1.0 / (1.0 + samples[row] as f64));
            gains.sum::<f64>() / architecture.block_count() as f64
        };
        drawn.max_by(|a, b| gain(a).total_cmp(&gain(b))).expect("some were drawn")
    }

    /// The row and the width of each block of a network, in order.
    fn rows_of<'b>(&'b self, architecture: &'b Architecture) -> impl Iterator<Item = (usize, usize)> + 'b {
        architecture.choices(self.space).map(|(block, choice)| {
            let key = block.key(&self.space.operations()[choice.operation]);
            (self.rows[&key], choice.width)
        })
    }

    /// Returns the median time of each part of a network, in milliseconds.
    fn parts_ms(&self, network: &FoldedNetwork) -> Vec<f64> {
        let passes = self.passes(|clock| drop(network.forward_in_parts(&self.input, || clock.mark())));
        let parts = passes.first().map_or(0, Vec::len);
        let medians: Vec<f64> = (0..parts).map(|part| median(passes.iter().map(|pass| pass[part]).collect())).collect();
        // A disturbance affects one part of a pass and hardly changes the median of that part, but it affects the total
        // of every pass.
        let whole = median(passes.iter().map(|pass| pass.iter().sum()).collect());
        let factor = whole / medians.iter().sum::<f64>();
        medians.into_iter().map(|ms| ms * factor).collect()
    }

    /// Returns the median time of a network, in milliseconds.
    fn whole_ms(&self, network: &FoldedNetwork) -> f64 {
        let passes = self.passes(|clock| {
            drop(network.forward(&self.input));
            clock.mark();
        });
        median(passes.into_iter().flatten().collect())
    }

    /// Returns the milliseconds between the marks of each timed pass.
    fn passes(&self, mut pass: impl FnMut(&mut Clock)) -> Vec<Vec<f64>> {
        let clocks: Vec<Clock> = (0..self.options.warm_up_passes + self.options.passes)
            .map(|_| {
                let mut clock = Clock::start(self.options.device);
                pass(&mut clock);
                clock
            })
            .collect();
        clocks.iter().skip(self.options.warm_up_passes).map(Clock::read_ms).collect()
    }
}

/// Returns the number of samples of each row.
pub fn samples_of<'a>(rows: &[NeededRow], rounds: impl IntoIterator<Item = &'a Round>) -> Vec<usize> {
    let mut counts = vec![0; rows.len()];
    for sample in rounds.into_iter().flat_map(|round| &round.samples) {
        counts[sample.row] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tch::Device;

    use super::super::fit;
    use super::*;

    const OPTIONS: TimingOptions =
        TimingOptions { batch: 2, threads: 1, passes: 2, warm_up_passes: 1, seed: 3, device: Device::Cpu };

    fn checks(space: &Space) -> Vec<Architecture> {
        let random = |index| Architecture::random(space, &mut Stream::new(3, StreamId::RandomArchitecture, 0, index));
        (0..3).map(random).collect()
    }

    #[test]
    fn rounds_measure_every_row_of_the_space() {
        let space = Space::small();
        let rows = space.needed_rows();
        let in_place = InPlace::new(&space, 5, &checks(&space), OPTIONS).unwrap();
        let mut rounds = Vec::new();
        while samples_of(&rows, &rounds).contains(&0) {
            assert!(rounds.len() < 20, "networks whose rows have the fewest samples are measured first");
            rounds.push(in_place.round(rounds.len() as u32, &samples_of(&rows, &rounds)));
        }
        for round in &rounds {
            assert_eq!(round.base_ms.len(), NETWORKS);
            assert_eq!(round.checks.len(), CHECKS);
            let times = round.samples.iter().map(|sample| sample.ms).chain(round.base_ms.iter().copied());
            assert!(times.chain([round.reference_ms]).all(|ms| ms > 0.0 && ms.is_finite()));
            let fits = |sample: &Sample| {
                let row = &rows[sample.row];
                (row.min_width..=row.max_width).contains(&sample.width)
            };
            assert!(round.samples.iter().all(fits));
        }
        let fitted = fit(&rows, &rounds).unwrap();
        assert_eq!(fitted.curves.len(), rows.len());
        assert!(fitted.base_ms > 0.0);
    }

    #[test]
    fn every_part_of_a_network_has_a_time() {
        let space = Space::small();
        let in_place = InPlace::new(&space, 5, &checks(&space), OPTIONS).unwrap();
        let architecture = &checks(&space)[0];
        let parts = in_place.parts_ms(&random_network(&in_place.checks[0], &OPTIONS));
        assert_eq!(parts.len(), architecture.block_count() + 3, "two stems and the rest beside the blocks");
    }

    #[test]
    fn invalid_options_and_networks_are_rejected() {
        let space = Space::small();
        let made = |classes, options| InPlace::new(&space, classes, &[], options).map(|_| ());
        assert_eq!(made(0, OPTIONS), Err(TimingError::Zero("the number of classes")));
        assert!(matches!(made(5, TimingOptions { passes: 0, ..OPTIONS }), Err(TimingError::Zero(_))));
        assert!(matches!(made(5, TimingOptions { batch: 1 << 40, ..OPTIONS }), Err(TimingError::TooLarge { .. })));
    }
}
