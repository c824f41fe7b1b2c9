//! Changes operations and depth until a network can meet its target at some widths.

use std::cmp::Ordering;

use super::{ExactFitError, Preferences};
use crate::architecture::{Architecture, Choice};
use crate::reachable::corners;
use crate::space::Space;
use crate::table::{LatencyTable, TableError};

/// The smallest latency of every operation of every block, and its log-probability.
pub struct ChoiceFit<'a> {
    space: &'a Space,
    base_ms: f64,
    /// Smallest latency over all allowed widths, `[block][K]`, in milliseconds.
    least_ms: Vec<Vec<f64>>,
    /// Log-probabilities, `[block][K]`.
    operations: Vec<Vec<f64>>,
    /// Log-probabilities of each depth, `[group][block]`.
    depths: Vec<Vec<f64>>,
}

/// The operations of the kept blocks, `[group][kept block]`.
type Operations = Vec<Vec<usize>>;

/// A change that makes a network faster.
struct Move {
    group: usize,
    /// Index of the block that gets another operation, or the new number of kept blocks.
    block: usize,
    /// The operation, or `None` if blocks are dropped.
    operation: Option<usize>,
    /// Loss of log-probability. Negative if the new choice is more probable.
    loss: f64,
    saved_ms: f64,
}

impl<'a> ChoiceFit<'a> {
    pub fn new(
        space: &'a Space,
        table: &LatencyTable,
        preferences: Option<&Preferences<'_>>,
    ) -> Result<Self, TableError> {
        let mut least_ms = Vec::with_capacity(space.blocks().len());
        for block in space.blocks() {
            let mut row = Vec::with_capacity(space.operations().len());
            for operation in space.operations() {
                let (key, allowed) = (block.key(operation), block.widths(operation));
                let curve = table.curve(&key)?;
                table.latency_ms(&key, allowed.max())?;
                let ms = corners(curve, allowed).filter_map(|width| curve.ms(width));
                row.push(ms.fold(f64::INFINITY, f64::min));
            }
            least_ms.push(row);
        }
        let uniform = |count: usize| vec![0.0; count];
        let (operations, depths) = match preferences {
            None => (
                space.blocks().iter().map(|_| uniform(space.operations().len())).collect(),
                space.groups().iter().map(|group| uniform(group.blocks)).collect(),
            ),
            Some(Preferences { log_alphas, betas }) => (
                log_alphas.iter().map(|row| row.iter().copied().map(f64::from).collect()).collect(),
                betas.iter().map(|row| log_softmax(row)).collect(),
            ),
        };
        Ok(Self { space, base_ms: table.base_ms(), least_ms, operations, depths })
    }

    /// Changes a network that exceeds the target at all widths until some widths meet it.
    ///
    /// Changed operations have their initial widths.
    ///
    /// # Errors
    /// Returns [`ExactFitError::Unreachable`] if no network of the space meets the target.
    pub fn make_feasible(&self, architecture: &Architecture, target_ms: f64) -> Result<Architecture, ExactFitError> {
        let fastest = self.fastest();
        let fastest_ms = self.least_ms(&fastest);
        if fastest_ms > target_ms {
            return Err(ExactFitError::Unreachable { target_ms, fastest_ms });
        }
        let groups = architecture.groups().iter();
        let mut kept: Operations = groups.map(|group| group.iter().map(|choice| choice.operation).collect()).collect();
        loop {
            let excess_ms = self.least_ms(&kept) - target_ms;
            if excess_ms <= 0.0 {
                break;
            }
            match self.best_move(&kept, excess_ms) {
                Some(Move { group, block, operation: Some(operation), .. }) => kept[group][block] = operation,
                Some(Move { group, block, operation: None, .. }) => kept[group].truncate(block),
                // More blocks can be faster if a table has negative latencies.
                None => kept = fastest.clone(),
            }
        }
        Ok(self.with_operations(architecture, &kept)?)
    }

    /// Latency at the fastest widths, added in the order of the table's sum.
    fn least_ms(&self, kept: &Operations) -> f64 {
        let groups = kept.iter().enumerate();
        let blocks = groups.flat_map(|(group, row)| {
            row.iter().enumerate().map(move |(index, &operation)| (self.space.position(group, index), operation))
        });
        blocks.fold(self.base_ms, |ms, (position, operation)| ms + self.least_ms[position][operation])
    }

    fn best_move(&self, kept: &Operations, excess_ms: f64) -> Option<Move> {
        let mut best: Option<Move> = None;
        let mut consider = |candidate: Move| {
            let better = |best: &Move| candidate.compare(best, excess_ms) == Ordering::Less;
            if candidate.saved_ms > 0.0 && best.as_ref().is_none_or(better) {
                best = Some(candidate);
            }
        };
        for (group, row) in kept.iter().enumerate() {
            for (block, &from) in row.iter().enumerate() {
                let position = self.space.position(group, block);
                let (ms, log) = (&self.least_ms[position], &self.operations[position]);
                for to in 0..ms.len() {
                    let (loss, saved_ms) = (log[from] - log[to], ms[from] - ms[to]);
                    consider(Move { group, block, operation: Some(to), loss, saved_ms });
                }
            }
            let mut saved_ms = 0.0;
            for depth in (1..row.len()).rev() {
                saved_ms += self.least_ms[self.space.position(group, depth)][row[depth]];
                let loss = self.depths[group][row.len() - 1] - self.depths[group][depth - 1];
                consider(Move { group, block: depth, operation: None, loss, saved_ms });
            }
        }
        best
    }

    /// The fastest network of the space.
    fn fastest(&self) -> Operations {
        let least = |position: usize| {
            let row = &self.least_ms[position];
            (0..row.len()).fold(0, |best, operation| if row[operation] < row[best] { operation } else { best })
        };
        let group = |group: usize| {
            let blocks = self.space.blocks_of(group).len();
            let all: Vec<usize> = (0..blocks).map(|index| least(self.space.position(group, index))).collect();
            let (mut sum, mut best_sum, mut depth) = (0.0, f64::INFINITY, 1);
            for (index, &operation) in all.iter().enumerate() {
                sum += self.least_ms[self.space.position(group, index)][operation];
                if sum < best_sum {
                    (best_sum, depth) = (sum, index + 1);
                }
            }
            all[..depth].to_vec()
        };
        (0..self.space.groups().len()).map(group).collect()
    }

    fn with_operations(&self, before: &Architecture, kept: &Operations) -> Result<Architecture, TableError> {
        let group = |(group, row): (usize, &Vec<usize>)| {
            let blocks = self.space.blocks_of(group).iter().zip(row).enumerate();
            let choice = |(index, (block, &operation)): (usize, (&crate::Block, &usize))| {
                let same = before.groups()[group].get(index).filter(|choice| choice.operation == operation);
                let initial = || Choice { operation, width: block.initial_width(&self.space.operations()[operation]) };
                same.copied().unwrap_or_else(initial)
            };
            blocks.map(choice).collect()
        };
        Ok(Architecture::new(self.space, kept.iter().enumerate().map(group).collect())?)
    }
}

impl Move {
    /// Compares two changes: the smaller loss per millisecond comes first. Ties prefer a change that suffices and saves
    /// the least, otherwise the one that saves the most.
    fn compare(&self, other: &Self, excess_ms: f64) -> Ordering {
        let missing = |change: &Self| (excess_ms - change.saved_ms).max(0.0);
        let per_ms = |change: &Self| change.loss / change.saved_ms;
        let by_loss = per_ms(self).total_cmp(&per_ms(other));
        let by_missing = missing(self).total_cmp(&missing(other));
        by_loss.then(by_missing).then(self.saved_ms.total_cmp(&other.saved_ms))
    }
}

fn log_softmax(values: &[f32]) -> Vec<f64> {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted: Vec<f64> = values.iter().map(|value| f64::from(*value) - f64::from(largest)).collect();
    let log_sum = shifted.iter().map(|value| value.exp()).sum::<f64>().ln();
    shifted.into_iter().map(|value| value - log_sum).collect()
}
