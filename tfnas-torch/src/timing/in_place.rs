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

/// Random networks of a round that the rows are measured in.
const NETWORKS: usize = 4;
/// Check networks of a round.
const CHECKS: usize = 2;
/// Random networks of which the one is measured whose rows have the fewest samples.
const DRAWN: usize = 12;
/// Where the networks of this measurement stand among random architectures; 0 is for those that a table is checked on.
const REFERENCE: u32 = 1;
const FIRST_ROUND: u32 = 2;

/// What a block took inside a network, relative to the reference network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which of the space's [needed rows](Space::needed_rows).
    pub row: usize,
    /// Channels of its depthwise convolution.
    pub width: usize,
    /// Its time in milliseconds.
    pub ms: f64,
}

/// What one round has measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// What the reference network took, in milliseconds.
    pub reference_ms: f64,
    /// What the parts that all networks have in common took, in milliseconds: one for each network.
    pub base_ms: Vec<f64>,
    /// The blocks.
    pub samples: Vec<Sample>,
    /// Whole networks that no row is measured in: which one, and its time in milliseconds.
    pub checks: Vec<(usize, f64)>,
}

/// Measures blocks where they are used: inside random networks of the space.
///
/// Blocks timed on their own have warmer caches than inside a network, so their sums are too low. Here every call is a call of a
/// whole network, with a clock between its blocks. The machine itself drifts by more than the effects that matter, so a reference
/// network runs before and after every few others, to which [`fit`](super::fit) relates them. Check networks run among them, as a
/// whole.
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
    /// * `checks`: the networks to check the table on.
    ///
    /// # Errors
    /// [`TimingError`] for options or networks that cannot be measured.
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
            let config = ModelConfig::from_architecture(space, architecture, classes).expect("it is of the space");
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

    /// Measures some networks, as the round of this number; none if the machine drifted meanwhile.
    ///
    /// * `samples`: how many samples each row has so far. The networks are chosen for those with the fewest.
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

    /// Measures some check networks alone, as the round of this number.
    pub fn check_round(&self, number: u32) -> Round {
        let _threads = Threads::set(self.options.threads);
        let before = self.whole_ms(&self.reference);
        let checks = self.checks_ms(number, NETWORKS);
        let after = self.whole_ms(&self.reference);
        Round { reference_ms: (before + after) / 2.0, base_ms: Vec::new(), samples: Vec::new(), checks }
    }

    /// Times of `count` check networks, of which each is visited once in a number of rounds.
    fn checks_ms(&self, round: u32, count: usize) -> Vec<(usize, f64)> {
        (0..count.min(self.checks.len()))
            .map(|index| (round as usize * count + index) % self.checks.len())
            // Built anew, as the others are: where weights lie in memory changes times by some percent.
            .map(|check| (check, self.whole_ms(&random_network(&self.checks[check], &self.options))))
            .collect()
    }

    /// Of some random networks, the one whose rows have the fewest samples.
    fn choose(&self, round: u32, index: usize, samples: &[usize]) -> Architecture {
        let first = (index * DRAWN) as u32;
        let drawn = (first..first + DRAWN as u32).map(|number| {
            let mut stream =
                Stream::new(self.options.seed, StreamId::RandomArchitecture, FIRST_ROUND.wrapping_add(round), number);
            Architecture::random(self.space, &mut stream)
        });
        // The mean, as a sum would prefer deep networks, whose caches are colder than those of others.
        let gain = |architecture: &Architecture| -> f64 {
            let gains = self.rows_of(architecture).map(|(row, _)| 1.0 / (1.0 + samples[row] as f64));
            gains.sum::<f64>() / architecture.block_count() as f64
        };
        drawn.max_by(|a, b| gain(a).total_cmp(&gain(b))).expect("some were drawn")
    }

    /// Row and width of each block of a network, in order.
    fn rows_of<'b>(&'b self, architecture: &'b Architecture) -> impl Iterator<Item = (usize, usize)> + 'b {
        architecture.choices(self.space).map(|(block, choice)| {
            let key = block.key(&self.space.operations()[choice.operation]);
            (self.rows[&key], choice.width)
        })
    }

    /// Median time of each part of a network, in milliseconds.
    fn parts_ms(&self, network: &FoldedNetwork) -> Vec<f64> {
        let passes = self.passes(|clock| drop(network.forward_in_parts(&self.input, || clock.mark())));
        let parts = passes.first().map_or(0, Vec::len);
        let medians: Vec<f64> = (0..parts).map(|part| median(passes.iter().map(|pass| pass[part]).collect())).collect();
        // A disturbance meets one part of a pass and spares the median of that part, but each pass has its share of them.
        let whole = median(passes.iter().map(|pass| pass.iter().sum()).collect());
        let factor = whole / medians.iter().sum::<f64>();
        medians.into_iter().map(|ms| ms * factor).collect()
    }

    /// Median time of a network, in milliseconds.
    fn whole_ms(&self, network: &FoldedNetwork) -> f64 {
        let passes = self.passes(|clock| {
            drop(network.forward(&self.input));
            clock.mark();
        });
        median(passes.into_iter().flatten().collect())
    }

    /// Milliseconds between the marks of each timed pass.
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
    use super::*;

    const OPTIONS: TimingOptions =
        TimingOptions { batch: 2, threads: 1, passes: 2, warm_up_passes: 1, seed: 3, device: Device::Cpu };

    fn checks(space: &Space) -> Vec<Architecture> {
        let random = |index| Architecture::random(space, &mut Stream::new(3, StreamId::RandomArchitecture, 0, index));
        (0..3).map(random).collect()
    }

    #[test]
    fn rounds_reach_every_row_and_give_a_table_that_covers_the_space() {
        let space = Space::small();
        let rows = space.needed_rows();
        let in_place = InPlace::new(&space, 5, &checks(&space), OPTIONS).unwrap();
        let mut rounds = Vec::new();
        while samples_of(&rows, &rounds).contains(&0) {
            assert!(rounds.len() < 20, "the networks with the rarest rows are measured first");
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
    fn what_cannot_be_measured_is_refused() {
        let space = Space::small();
        let made = |classes, options| InPlace::new(&space, classes, &[], options).map(|_| ());
        assert_eq!(made(0, OPTIONS), Err(TimingError::Zero("the number of classes")));
        assert!(matches!(made(5, TimingOptions { passes: 0, ..OPTIONS }), Err(TimingError::Zero(_))));
        assert!(matches!(made(5, TimingOptions { batch: 1 << 40, ..OPTIONS }), Err(TimingError::TooLarge { .. })));
    }
}
