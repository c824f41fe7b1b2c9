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

/// Number of random networks per round whose blocks are timed.
const TIMED_IN_PARTS: usize = 3;
/// Number of random networks per round that are timed as a whole.
const TIMED_AS_A_WHOLE: usize = 2;
/// Number of check networks per round.
const CHECKS: usize = 2;
/// How often a round that measures nothing else visits this many check networks.
const CHECK_VISITS: usize = 2;
/// Number of random networks to choose from: the one whose rows have the fewest samples is measured.
const DRAWN: usize = 12;
/// Index of the first round's networks among random architectures, after those that a table is checked on and the reference.
const FIRST_ROUND: u32 = 2;

/// Latency of a block inside a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Index into the space's [needed rows](Space::needed_rows).
    pub row: usize,
    /// Width: channels of the depthwise convolution.
    pub width: usize,
    /// Its time in milliseconds.
    pub ms: f64,
}

/// Measured latency of a random network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whole {
    /// Row and width of each block.
    pub blocks: Vec<(usize, usize)>,
    /// Its time in milliseconds.
    pub ms: f64,
}

/// Measurements of one round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Mean latency of the reference networks, in milliseconds.
    pub reference_ms: f64,
    /// Time of the parts that all networks have in common, in milliseconds, for each network.
    pub base_ms: Vec<f64>,
    /// The blocks.
    pub samples: Vec<Sample>,
    /// Random networks that were timed as a whole.
    pub wholes: Vec<Whole>,
    /// Index and time in milliseconds of each check network.
    pub checks: Vec<(usize, f64)>,
}

/// Measures blocks inside random networks of the space.
///
/// A block timed on its own has warmer caches than inside a network, so the sum of such times is too low. Here every
/// call runs a complete network, with a timestamp after each block. Blocks also slow each other down, the more the
/// larger the network; other random networks are timed as a whole, to which [`fit`](super::fit) adapts the sums. The
/// machine itself drifts by more than the effects that matter, so reference networks run between every few others, to
/// which their times are related. They are several, as a busy machine slows some networks down more than others. Check
/// networks run among them.
#[derive(Debug)]
pub struct InPlace<'a> {
    space: &'a Space,
    classes: usize,
    options: TimingOptions,
    rows: HashMap<BlockKey, usize>,
    references: Vec<ModelConfig>,
    checks: Vec<ModelConfig>,
    input: Tensor,
}

impl<'a> InPlace<'a> {
    /// Checks that the reference networks and the check networks can be measured.
    ///
    /// * `classes`: outputs of the classifier.
    /// * `checks`: the networks to check the table on.
    /// * `references`: the networks that all times are related to, at least one; see
    ///   [`reference_configs`](super::reference_configs).
    ///
    /// # Errors
    /// Returns a [`TimingError`] for options or networks that cannot be measured.
    pub fn new(
        space: &'a Space,
        classes: usize,
        checks: &[Architecture],
        references: &[ModelConfig],
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
        for reference in references {
            check_memory(reference, size, &options)?;
        }
        let inputs = Inputs::new([(3, size)].into_iter(), options.batch, options.seed, options.device);
        Ok(Self {
            space,
            classes,
            options,
            rows: space.needed_rows().iter().enumerate().map(|(index, row)| (row.key, index)).collect(),
            references: references.to_vec(),
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
        let mut round = Round::default();
        // The order changes from round to round, so that what comes before a network does not matter.
        let visits = TIMED_IN_PARTS + TIMED_AS_A_WHOLE + 1;
        let mut references = References::new(self);
        for (done, visit) in (0..visits).map(|visit| (visit, (visit + number as usize) % visits)) {
            references.measure_before(done, visits);
            if visit == 0 {
                round.checks = self.checks_ms(number, CHECKS);
            } else if visit <= TIMED_IN_PARTS {
                let architecture = self.choose(number, visit, &samples);
                self.rows_of(&architecture).for_each(|(row, _)| samples[row] += 1);
                let ms = self.parts_ms(&self.build(&architecture));
                // The stems come first, and the head comes last.
                let blocks = &ms[2..ms.len() - 1];
                round.base_ms.push(ms[0] + ms[1] + ms[ms.len() - 1]);
                let blocks = self.rows_of(&architecture).zip(blocks);
                round.samples.extend(blocks.map(|((row, width), &ms)| Sample { row, width, ms }));
            } else {
                let architecture = self.draw(number, (visit * DRAWN) as u32);
                let ms = self.whole_ms(&self.build(&architecture));
                round.wholes.push(Whole { blocks: self.rows_of(&architecture).collect(), ms });
            }
        }
        round.reference_ms = references.finish();
        round
    }

    /// Measures only check networks, as the round with this number.
    pub fn check_round(&self, number: u32) -> Round {
        let _threads = Threads::set(self.options.threads);
        let mut references = References::new(self);
        let mut round = Round::default();
        for part in 0..CHECK_VISITS {
            references.measure_before(part, CHECK_VISITS);
            let part = number.wrapping_mul(CHECK_VISITS as u32).wrapping_add(part as u32);
            round.checks.extend(self.checks_ms(part, CHECKS));
        }
        round.reference_ms = references.finish();
        round
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
    fn choose(&self, round: u32, visit: usize, samples: &[usize]) -> Architecture {
        let first = (visit * DRAWN) as u32;
        let drawn = (first..first + DRAWN as u32).map(|number| self.draw(round, number));
        // The mean, as a sum would prefer deep networks, whose caches are colder than those of others.
        let gain = |architecture: &Architecture| -> f64 {
            let gains = self.rows_of(architecture).map(|(row, _)| 1.0 / (1.0 + samples[row] as f64));
            gains.sum::<f64>() / architecture.block_count() as f64
        };
        drawn.max_by(|a, b| gain(a).total_cmp(&gain(b))).expect("some were drawn")
    }

    /// A random network of a round.
    fn draw(&self, round: u32, number: u32) -> Architecture {
        let index = FIRST_ROUND.wrapping_add(round);
        Architecture::random(
            self.space,
            &mut Stream::new(self.options.seed, StreamId::RandomArchitecture, index, number),
        )
    }

    /// The network of an architecture, rebuilt: the memory addresses of the weights change times by some percent.
    fn build(&self, architecture: &Architecture) -> FoldedNetwork {
        let config = ModelConfig::from_architecture(self.space, architecture, self.classes);
        random_network(&config.expect("the architecture is of the space"), &self.options)
    }

    /// Row and width of each block of a network, in order.
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

/// Measures the reference networks one after the other, spread evenly over a round.
struct References<'a> {
    in_place: &'a InPlace<'a>,
    ms: Vec<f64>,
}

impl<'a> References<'a> {
    fn new(in_place: &'a InPlace<'a>) -> Self {
        Self { in_place, ms: Vec::new() }
    }

    /// Measures the next reference network if it is due before visit `visit` of `visits`.
    fn measure_before(&mut self, visit: usize, visits: usize) {
        let between = self.in_place.references.len().saturating_sub(1);
        if self.ms.len() < between && visit * between >= self.ms.len() * visits {
            self.measure_next();
        }
    }

    /// Measures those that are left, and returns the mean latency in milliseconds.
    fn finish(mut self) -> f64 {
        while self.ms.len() < self.in_place.references.len() {
            self.measure_next();
        }
        self.ms.iter().sum::<f64>() / self.ms.len() as f64
    }

    fn measure_next(&mut self) {
        // Rebuilt: its memory addresses would otherwise affect its time in the complete measurement.
        let network = random_network(&self.in_place.references[self.ms.len()], &self.in_place.options);
        self.ms.push(self.in_place.whole_ms(&network));
    }
}

/// Returns how many samples each row has.
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
    use super::super::reference_configs;
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
        let in_place = InPlace::new(&space, 5, &checks(&space), &reference_configs(&space, 0, 5), OPTIONS).unwrap();
        let mut rounds = Vec::new();
        while samples_of(&rows, &rounds).contains(&0) {
            assert!(rounds.len() < 20, "networks whose rows have the fewest samples are measured first");
            rounds.push(in_place.round(rounds.len() as u32, &samples_of(&rows, &rounds)));
        }
        for round in &rounds {
            assert_eq!(round.base_ms.len(), TIMED_IN_PARTS);
            assert_eq!(round.wholes.len(), TIMED_AS_A_WHOLE);
            assert_eq!(round.checks.len(), CHECKS);
            let times = round.samples.iter().map(|sample| sample.ms).chain(round.base_ms.iter().copied());
            let times = times.chain(round.wholes.iter().map(|whole| whole.ms));
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
        let in_place = InPlace::new(&space, 5, &checks(&space), &reference_configs(&space, 0, 5), OPTIONS).unwrap();
        let architecture = &checks(&space)[0];
        let parts = in_place.parts_ms(&random_network(&in_place.checks[0], &OPTIONS));
        assert_eq!(parts.len(), architecture.block_count() + 3, "two stems and the layers after the blocks");
    }

    #[test]
    fn invalid_options_and_networks_are_rejected() {
        let space = Space::small();
        let references = reference_configs(&space, 0, 5);
        let made = |classes, options| InPlace::new(&space, classes, &[], &references, options).map(|_| ());
        assert_eq!(made(0, OPTIONS), Err(TimingError::Zero("the number of classes")));
        assert!(matches!(made(5, TimingOptions { passes: 0, ..OPTIONS }), Err(TimingError::Zero(_))));
        assert!(matches!(made(5, TimingOptions { batch: 1 << 40, ..OPTIONS }), Err(TimingError::TooLarge { .. })));
    }
}
