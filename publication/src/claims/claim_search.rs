//! Searches a space for a network with the multiply-adds and latencies of a claim.
//!
//! If the `model.config` of a published model is not available, this still answers whether the space contains a network
//! with all the claimed numbers. The answer is such a network. If none is found, this proves nothing.

use tfnas::architecture::{Architecture, Choice};
use tfnas::config::{MbConvConfig, ModelConfig};
use tfnas::cost::{block_flops, flops};
use tfnas::space::Space;
use tfnas::table::{LatencyTable, TableError};
use tfnas_random::{Stream, StreamId};

/// Number of random walks.
const WALKS: u32 = 20;
/// Number of steps of a walk.
const STEPS: u32 = 200_000;
/// The factor by which a step may increase the distance from the claim, at the beginning. It decreases to 1.
const FIRST_THRESHOLD: f64 = 2.0;

/// A claimed number and its tolerance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claimed {
    /// The claimed value.
    pub value: f64,
    /// The largest difference that is accepted, above 0.
    pub within: f64,
}

impl Claimed {
    /// Returns whether a value is within the tolerance.
    pub fn agrees(self, found: f64) -> bool {
        (found - self.value).abs() <= self.within
    }
}

/// Searches for a network with these multiply-adds per image and, for each table, this latency in milliseconds.
///
/// * `classes`: number of outputs of the classifier.
///
/// The search is a random walk that only depends on the seed. A step changes widths, operations or depths. It is
/// accepted if it does not increase the distance from the claim by more than a factor, which decreases.
///
/// # Errors
/// Returns [`TableError`] if a table does not cover the space.
pub fn find_network(
    space: &Space,
    classes: usize,
    multiply_adds: Claimed,
    latencies: &[(&LatencyTable, Claimed)],
    seed: u64,
) -> Result<Option<Architecture>, TableError> {
    let shares = Shares::look_up(space, latencies)?;
    let goals: Vec<Claimed> =
        std::iter::once(multiply_adds).chain(latencies.iter().map(|(_, claimed)| *claimed)).collect();
    for index in 0..WALKS {
        let mut stream = Stream::new(seed, StreamId::ClaimSearch, 0, index);
        let begin = Architecture::random(space, &mut stream);
        let shared = shares.shared(space, &begin, classes, latencies)?;
        let mut walk = Walk::new(space, &shares, &goals, &begin, &shared);
        if walk.arrives(&mut stream) {
            return Ok(Some(Architecture::new(space, walk.groups)?));
        }
    }
    Ok(None)
}

/// The contribution of each choice of each block to each number of the claim.
struct Shares {
    /// `[block][operation][index of the width]`: multiply-adds, followed by milliseconds for each table.
    blocks: Vec<Vec<Vec<Vec<f64>>>>,
}

impl Shares {
    fn look_up(space: &Space, latencies: &[(&LatencyTable, Claimed)]) -> Result<Self, TableError> {
        for (table, _) in latencies {
            table.check_covers(space)?;
        }
        let mut blocks = Vec::with_capacity(space.blocks().len());
        for block in space.blocks() {
            let mut operations = Vec::with_capacity(space.operations().len());
            for operation in space.operations() {
                let key = block.key(operation);
                let mut widths = Vec::new();
                for width in block.widths(operation).iter() {
                    let layer = MbConvConfig::of(block, operation, width);
                    let mut share = vec![block_flops(&layer, block.input_size) as f64];
                    for (table, _) in latencies {
                        share.push(table.latency_ms(&key, width)?);
                    }
                    widths.push(share);
                }
                operations.push(widths);
            }
            blocks.push(operations);
        }
        Ok(Self { blocks })
    }

    /// Returns what all networks have in common: the numbers of one of them, without its blocks.
    fn shared(
        &self,
        space: &Space,
        any: &Architecture,
        classes: usize,
        latencies: &[(&LatencyTable, Claimed)],
    ) -> Result<Vec<f64>, TableError> {
        let config = ModelConfig::from_architecture(space, any, classes)?;
        let mut blocks_flops = 0;
        for (block, choice) in any.choices(space) {
            let layer = MbConvConfig::of(block, &space.operations()[choice.operation], choice.width);
            blocks_flops += block_flops(&layer, block.input_size);
        }
        let rest = flops(&config, space.definition().resolution) - blocks_flops;
        Ok(std::iter::once(rest as f64).chain(latencies.iter().map(|(table, _)| table.base_ms())).collect())
    }
}

/// A random walk through the networks of a space.
struct Walk<'a> {
    space: &'a Space,
    shares: &'a Shares,
    goals: &'a [Claimed],
    groups: Vec<Vec<Choice>>,
    sums: Vec<f64>,
    /// The changes of the current step, which are undone if it is not accepted.
    changes: Vec<Change>,
}

/// A change of a network, with what is needed to undo it.
enum Change {
    /// The choice of a block has changed.
    Chosen { group: usize, index: usize, before: Choice },
    /// The last block of a group was removed.
    Dropped { group: usize, before: Choice },
    /// A block was appended to a group.
    Added { group: usize },
}

impl<'a> Walk<'a> {
    fn new(space: &'a Space, shares: &'a Shares, goals: &'a [Claimed], begin: &Architecture, shared: &[f64]) -> Self {
        let (groups, sums) = (begin.groups().to_vec(), shared.to_vec());
        let mut walk = Self { space, shares, goals, groups, sums, changes: Vec::new() };
        for group in 0..walk.groups.len() {
            for index in 0..walk.groups[group].len() {
                walk.add(group, index, walk.groups[group][index], 1.0);
            }
        }
        walk
    }

    /// Walks until the network has all the claimed numbers. Returns false if this does not happen.
    fn arrives(&mut self, stream: &mut Stream) -> bool {
        let mut distance = self.distance();
        let mut sums_before = self.sums.clone();
        for step in 0..STEPS {
            if distance <= 1.0 {
                return true;
            }
            let left = 1.0 - f64::from(step) / f64::from(STEPS);
            let threshold = 1.0 + (FIRST_THRESHOLD - 1.0) * left * left;
            self.changes.clear();
            sums_before.clone_from(&self.sums);
            match stream.below(10) {
                0 => self.change_depth(stream),
                1 | 2 => self.change_operation(stream),
                3..=6 => self.change_width(stream),
                _ => {
                    self.change_width(stream);
                    self.change_width(stream);
                }
            }
            let now = self.distance();
            if now <= distance * threshold {
                distance = now;
            } else {
                self.undo();
                // Adding and subtracting the same floating-point numbers need not give the same sum.
                self.sums.clone_from(&sums_before);
            }
        }
        distance <= 1.0
    }

    /// Returns the largest difference from a claimed number, in units of its tolerance.
    fn distance(&self) -> f64 {
        let off = self.sums.iter().zip(self.goals).map(|(sum, goal)| (sum - goal.value).abs() / goal.within);
        off.fold(0.0, f64::max)
    }

    /// Undoes the changes of the current step in reverse order. Does not update the sums.
    fn undo(&mut self) {
        while let Some(change) = self.changes.pop() {
            match change {
                Change::Chosen { group, index, before } => self.groups[group][index] = before,
                Change::Dropped { group, before } => self.groups[group].push(before),
                Change::Added { group } => drop(self.groups[group].pop()),
            }
        }
    }

    fn change_depth(&mut self, stream: &mut Stream) {
        let group = stream.below(self.groups.len() as u64) as usize;
        let depth = self.groups[group].len();
        if stream.below(2) == 0 {
            if depth > 1 {
                let dropped = self.groups[group].pop().expect("the group has more than one block");
                self.add(group, depth - 1, dropped, -1.0);
                self.changes.push(Change::Dropped { group, before: dropped });
            }
        } else if depth < self.space.blocks_of(group).len() {
            let choice = self.any_choice(group, depth, stream);
            self.groups[group].push(choice);
            self.add(group, depth, choice, 1.0);
            self.changes.push(Change::Added { group });
        }
    }

    fn change_operation(&mut self, stream: &mut Stream) {
        let (group, index) = self.any_block(stream);
        let choice = self.any_choice(group, index, stream);
        self.choose(group, index, choice);
    }

    /// Changes a width, in most cases by a small amount: large changes seldom help a network that is close.
    fn change_width(&mut self, stream: &mut Stream) {
        let (group, index) = self.any_block(stream);
        let Choice { operation, width } = self.groups[group][index];
        let allowed = self.space.blocks_of(group)[index].widths(&self.space.operations()[operation]);
        let reach = 1u64 << stream.below(7);
        let by = (1 + stream.below(reach) as usize) * allowed.step();
        let moved = if stream.below(2) == 0 { width.saturating_sub(by) } else { width + by };
        self.choose(group, index, Choice { operation, width: moved.clamp(allowed.min(), allowed.max()) });
    }

    fn any_block(&self, stream: &mut Stream) -> (usize, usize) {
        let group = stream.below(self.groups.len() as u64) as usize;
        (group, stream.below(self.groups[group].len() as u64) as usize)
    }

    fn any_choice(&self, group: usize, index: usize, stream: &mut Stream) -> Choice {
        let operation = stream.below(self.space.operations().len() as u64) as usize;
        let allowed = self.space.blocks_of(group)[index].widths(&self.space.operations()[operation]);
        let width = allowed.at(stream.below(allowed.count() as u64) as usize);
        Choice { operation, width }
    }

    fn choose(&mut self, group: usize, index: usize, choice: Choice) {
        let before = std::mem::replace(&mut self.groups[group][index], choice);
        self.add(group, index, before, -1.0);
        self.add(group, index, choice, 1.0);
        self.changes.push(Change::Chosen { group, index, before });
    }

    /// Adds the contribution of a block to the sums, or subtracts it.
    fn add(&mut self, group: usize, index: usize, choice: Choice, sign: f64) {
        let position = self.space.position(group, index);
        let allowed = self.space.blocks()[position].widths(&self.space.operations()[choice.operation]);
        let share = &self.shares.blocks[position][choice.operation][allowed.position(choice.width)];
        for (sum, share) in self.sums.iter_mut().zip(share) {
            *sum += sign * share;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The published numbers of TF-NAS-A: multiply-adds, and milliseconds for each table.
    const PUBLISHED: (f64, f64, f64) = (457e6, 18.03, 80.14);

    #[test]
    fn a_network_with_the_published_numbers_is_found() {
        let (space, gpu, cpu) = (Space::imagenet(), LatencyTable::titan_rtx(), LatencyTable::xeon_gold_6130());
        let (multiply_adds, gpu_ms, cpu_ms) = PUBLISHED;
        let wanted = Claimed { value: multiply_adds, within: 0.5e6 };
        let by_gpu = Claimed { value: gpu_ms, within: 0.005 };
        let by_cpu = Claimed { value: cpu_ms, within: 0.005 };
        let find = || find_network(&space, 1000, wanted, &[(&gpu, by_gpu), (&cpu, by_cpu)], 0).unwrap();
        let network = find().unwrap();
        let config = ModelConfig::from_architecture(&space, &network, 1000).unwrap();
        assert!(wanted.agrees(flops(&config, 224) as f64));
        assert!(by_gpu.agrees(gpu.architecture_ms(&space, &network).unwrap()));
        assert!(by_cpu.agrees(cpu.architecture_ms(&space, &network).unwrap()));
        assert_eq!(find(), Some(network), "the search depends only on the seed");
    }

    #[test]
    fn numbers_that_no_network_has_are_not_found() {
        let wanted = Claimed { value: 1e12, within: 1.0 };
        assert_eq!(find_network(&Space::small(), 10, wanted, &[], 0), Ok(None));
    }
}
