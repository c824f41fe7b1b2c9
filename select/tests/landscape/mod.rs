//! A simulation in which the true quality of every architecture is known and trainings measure it with noise.

#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use tfnas::{Architecture, Knot, LatencyCurve, LatencyTable, Space, TableHeader};
use tfnas_random::{Stream, StreamId};
use tfnas_select::{EpochScore, Outcome, Problem, Selection, Settings, Step};

/// Correlation between a candidate's training and its true quality, by number of epochs.
const CORRELATIONS: [(f64, f64); 6] = [(1.0, 0.45), (3.0, 0.56), (5.0, 0.70), (8.0, 0.81), (15.0, 0.88), (30.0, 0.9)];
/// Fraction of the variance of the noise that persists from epoch to epoch.
const PERSISTENT: f64 = 0.6;
/// Additional noise of the losses of the last epoch.
const LAST_NOISE: f64 = 0.2;

/// A space, a target, and uniform draws of that latency as a reference.
pub struct World {
    pub problem: Problem,
    reference: Vec<Architecture>,
}

impl World {
    /// Creates a world of a space. `share` places the target in the range of latencies that the table reaches.
    pub fn new(space: Space, table: LatencyTable, share: f64, reference: usize) -> Self {
        let range = table.reachable_ms(&space).unwrap();
        let target_ms = range.min_ms + share * (range.max_ms - range.min_ms);
        let problem = Problem { space, table, target_ms, seed: 1 << 40, search: None };
        let settings = Settings { candidates: reference, rules: 0, ..Settings::default() };
        let draws = Selection::new(problem.clone(), settings).unwrap();
        let reference = draws.candidates().iter().map(|candidate| candidate.architecture.clone()).collect();
        Self { problem, reference }
    }

    /// The `cifar` space with a generated table: a constant for each block plus a term per multiply-add.
    pub fn cifar(reference: usize) -> Self {
        Self::new(Space::cifar(), table(&Space::cifar()), 0.4, reference)
    }

    pub fn imagenet(reference: usize) -> Self {
        Self::new(Space::imagenet(), LatencyTable::titan_rtx(), 0.5, reference)
    }
}

/// A table in which the latency of a block is a constant plus a term per multiply-add.
pub fn table(space: &Space) -> LatencyTable {
    let curve = |row: tfnas::NeededRow| {
        let key = row.key;
        let (before, after) = (key.input_size.pow(2), key.input_size.div_ceil(key.stride).pow(2));
        let macs = key.in_channels * before + (key.kernel.pow(2) + key.out_channels) * after + 2 * key.se_channels;
        let ms = |width: usize| 0.004 + 1.5e-8 * (width * macs) as f64;
        let knots = [1, row.max_width].map(|width| Knot { width, ms: ms(width) });
        (key, LatencyCurve::new(knots.to_vec()).unwrap())
    };
    let header = TableHeader { name: "made-up".to_owned(), ..TableHeader::default() };
    LatencyTable::new(header, 0.1, space.needed_rows().into_iter().map(curve).collect()).unwrap()
}

/// True qualities: sums over groups, sums over blocks, and an unpredictable part.
pub struct Landscape<'a> {
    world: &'a World,
    seed: u64,
    /// Fraction of the variance of quality that comes from sums over groups.
    explained: f64,
    /// Per group: weights of depth, large kernels, squeeze-excite and large expansion.
    groups: Vec<[f64; 4]>,
    /// Per block and operation.
    blocks: Vec<Vec<f64>>,
    best_depth: f64,
    scales: [(f64, f64); 3],
    reference: Vec<f64>,
}

impl<'a> Landscape<'a> {
    pub fn new(world: &'a World, seed: u64, explained: f64) -> Self {
        let space = &world.problem.space;
        let stream = &mut Stream::new(seed, StreamId::Synthetic, 0, 0);
        let groups = space.groups().iter().map(|_| std::array::from_fn(|_| stream.normal())).collect();
        let operations = space.operations().len();
        let blocks = space.blocks().iter().map(|_| (0..operations).map(|_| stream.normal()).collect()).collect();
        let best_depth = stream.between(0.3, 0.7) * space.blocks().len() as f64;
        let scales = [(0.0, 1.0); 3];
        let mut landscape = Self { world, seed, explained, groups, blocks, best_depth, scales, reference: Vec::new() };
        let parts: Vec<[f64; 3]> = world.reference.iter().map(|network| landscape.parts(network)).collect();
        for part in 0..3 {
            let n = parts.len() as f64;
            let mean = parts.iter().map(|parts| parts[part]).sum::<f64>() / n;
            let variance = parts.iter().map(|parts| (parts[part] - mean).powi(2)).sum::<f64>() / n;
            landscape.scales[part] = (mean, variance.sqrt());
        }
        let mut reference: Vec<f64> = world.reference.iter().map(|network| landscape.quality(network)).collect();
        reference.sort_by(f64::total_cmp);
        landscape.reference = reference;
        landscape
    }

    fn parts(&self, network: &Architecture) -> [f64; 3] {
        let space = &self.world.problem.space;
        let (mut by_group, mut by_block) = (0.0, 0.0);
        for (group, choices) in network.groups().iter().enumerate() {
            let weights = self.groups[group];
            by_group += weights[0] * choices.len() as f64 / space.blocks_of(group).len() as f64;
            for (index, choice) in choices.iter().enumerate() {
                let operation = &space.operations()[choice.operation];
                let attributes = [operation.kernel > 3, operation.se_expand > 0, operation.expand > 3];
                for (weight, has) in weights[1..].iter().zip(attributes) {
                    by_group += 0.5 * weight * f64::from(u8::from(has)) / choices.len() as f64;
                }
                by_block += self.blocks[space.position(group, index)][choice.operation];
            }
        }
        by_group -= 0.02 * (network.block_count() as f64 - self.best_depth).powi(2);
        [by_group, by_block, self.stream(network, 0).normal()]
    }

    /// Random numbers specific to one architecture of this landscape.
    fn stream(&self, network: &Architecture, index: u32) -> Stream {
        let mut hasher = DefaultHasher::new();
        network.hash(&mut hasher);
        Stream::new(self.seed ^ hasher.finish(), StreamId::Synthetic, 1, index)
    }

    /// Returns the true quality; over uniform draws it has mean 0 and variance near 1.
    pub fn quality(&self, network: &Architecture) -> f64 {
        let rest = (1.0 - self.explained) / 2.0;
        let shares = [self.explained, rest, rest];
        let parts = self.parts(network).into_iter().zip(self.scales).zip(shares);
        parts.map(|((part, (mean, deviation)), share)| share.sqrt() * (part - mean) / deviation).sum()
    }

    /// Returns the percentage of uniform draws that are worse.
    pub fn percentile(&self, network: &Architecture) -> f64 {
        let quality = self.quality(network);
        100.0 * self.reference.partition_point(|&other| other < quality) as f64 / self.reference.len() as f64
    }

    /// Returns the losses of a training.
    pub fn train(&self, network: &Architecture, epochs: usize) -> Vec<EpochScore> {
        let quality = self.quality(network);
        let lasting = self.stream(network, 1).normal();
        let mut before = 0.0;
        (1..=epochs)
            .map(|epoch| {
                let stream = &mut self.stream(network, 1 + epoch as u32);
                let correlation = correlation(epoch as f64);
                let noise = PERSISTENT.sqrt() * lasting + (1.0 - PERSISTENT).sqrt() * stream.normal();
                let shown = correlation * quality + (1.0 - correlation * correlation).sqrt() * noise;
                let last = LAST_NOISE * stream.normal();
                // Up to the third epoch, the sum of the losses reflects the quality.
                let train_loss = if epoch <= 3 { 2.0 - (shown - before) } else { 2.0 - shown - last };
                before = shown;
                EpochScore { epoch, train_loss, val_loss: Some(2.0 - shown + last), val_top1: None }
            })
            .collect()
    }

    /// Runs a complete selection.
    pub fn select(&self, settings: &Settings) -> Outcome {
        let problem = Problem { seed: self.seed, ..self.world.problem.clone() };
        let mut selection = Selection::new(problem, settings.clone()).unwrap();
        while let Step::Train(trainings) = selection.step() {
            let scores: BTreeMap<_, _> = trainings
                .iter()
                .map(|training| {
                    let network = &selection.candidates()[training.id].architecture;
                    (training.id, self.train(network, training.epochs))
                })
                .collect();
            selection.record(scores).unwrap();
        }
        selection.outcome().unwrap()
    }

    /// Runs successive halving of uniform draws by their training only.
    pub fn halve(&self, candidates: usize, rungs: &[usize], keep: &[usize]) -> Architecture {
        let problem = Problem { seed: self.seed, ..self.world.problem.clone() };
        let settings = Settings { candidates, rules: 0, ..Settings::default() };
        let selection = Selection::new(problem, settings).unwrap();
        let mut alive: Vec<Architecture> =
            selection.candidates().iter().map(|candidate| candidate.architecture.clone()).collect();
        for (index, &epochs) in rungs.iter().enumerate() {
            let loss = |network: &Architecture| {
                let scores = self.train(network, epochs);
                let last = scores.last().unwrap();
                if epochs <= 3 {
                    scores.iter().map(|score| score.train_loss).sum()
                } else {
                    last.train_loss + last.val_loss.unwrap()
                }
            };
            alive.sort_by(|a, b| f64::total_cmp(&loss(a), &loss(b)));
            alive.truncate(keep.get(index).copied().unwrap_or(1));
        }
        alive.remove(0)
    }
}

fn correlation(epoch: f64) -> f64 {
    let after = CORRELATIONS.iter().position(|&(at, _)| at >= epoch).unwrap_or(CORRELATIONS.len() - 1);
    let (x1, y1) = CORRELATIONS[after];
    let (x0, y0) = CORRELATIONS[after.saturating_sub(1)];
    if x1 <= x0 { y1 } else { y0 + (y1 - y0) * ((epoch - x0) / (x1 - x0)).min(1.0) }
}
