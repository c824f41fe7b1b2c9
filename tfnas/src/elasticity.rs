//! Elasticity-scaling: fits the widths of a parsed architecture to a target latency.
//!
//! Above the target, all widths shrink together until the latency is below it. Then the later groups grow again into
//! the remaining latency: groups 2 to 6, 3 to 6, and so on. Below the target, all grow first. A width changes in
//! proportion to its size, in multiples of the space's step, and stays between half of its operation's maximum and the
//! maximum.

use serde::Serialize;

use crate::allowed_widths::AllowedWidths;
use crate::architecture::Architecture;
use crate::curve::LatencyCurve;
use crate::space::Space;
use crate::table::{LatencyTable, TableError};

/// The initial direction of a refit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Branch {
    /// The architecture was slower than the target, so its widths were reduced.
    Shrink,
    /// The architecture was faster than the target, so its widths were increased.
    Expand,
    /// The architecture met the target exactly, and was not changed.
    None,
}

/// An architecture with refitted widths.
#[derive(Clone, Debug, PartialEq)]
pub struct Refit {
    /// The initial direction.
    pub branch: Branch,
    /// Latency before, in milliseconds.
    pub before_ms: f64,
    /// Latency after scaling, in milliseconds: at most the target, unless the latency at the smallest widths exceeds
    /// it.
    pub after_ms: f64,
    /// The same blocks and operations with the new widths.
    pub architecture: Architecture,
}

/// Why widths cannot be refitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RefitError {
    /// The target is not a positive number.
    #[error("the target latency is {target_ms} ms: it must be positive")]
    Target {
        /// The target.
        target_ms: f64,
    },
    /// The table does not cover the architecture.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Fits the widths of `architecture` to `target_ms` milliseconds.
///
/// Widths, and the order in which latencies are added, equal those of the authors' code bit for bit.
///
/// Source: the main loop and `fit_mc_num_by_latency` in the authors' `train_search.py`.
///
/// # Errors
/// Returns [`RefitError::Target`] for an invalid target, and [`RefitError::Table`] if the architecture does not belong
/// to the space or the table does not cover one of its blocks at every width.
pub fn refit(
    space: &Space,
    architecture: &Architecture,
    table: &LatencyTable,
    target_ms: f64,
) -> Result<Refit, RefitError> {
    if !(target_ms.is_finite() && target_ms > 0.0) {
        return Err(RefitError::Target { target_ms });
    }
    let before_ms = table.architecture_ms(space, architecture)?;
    let branch = if before_ms > target_ms {
        Branch::Shrink
    } else if before_ms < target_ms {
        Branch::Expand
    } else {
        return Ok(Refit { branch: Branch::None, before_ms, after_ms: before_ms, architecture: architecture.clone() });
    };

    let mut fit = Fit::new(space, architecture, table, target_ms)?;
    if branch == Branch::Shrink {
        fit.shrink();
    } else {
        fit.grow_from(0);
    }
    for group in 1..space.groups().len() {
        fit.grow_from(group);
    }
    Ok(Refit {
        branch,
        before_ms,
        after_ms: fit.latency_ms(&fit.widths),
        architecture: architecture.with_widths(&fit.widths),
    })
}

/// The fixed choices of the blocks and the current widths.
struct Fit<'a> {
    base_ms: f64,
    target_ms: f64,
    blocks: Vec<KeptBlock<'a>>,
    widths: Vec<usize>,
}

struct KeptBlock<'a> {
    group: usize,
    allowed: AllowedWidths,
    curve: &'a LatencyCurve,
}

impl<'a> Fit<'a> {
    fn new(
        space: &Space,
        architecture: &Architecture,
        table: &'a LatencyTable,
        target_ms: f64,
    ) -> Result<Self, TableError> {
        let mut blocks = Vec::new();
        let mut widths = Vec::new();
        for (block, choice) in architecture.choices(space) {
            let operation = &space.operations()[choice.operation];
            let key = block.key(operation);
            let allowed = block.widths(operation);
            // A curve covers all widths up to its last, so only this look-up can fail.
            table.latency_ms(&key, allowed.max())?;
            blocks.push(KeptBlock { group: block.group, allowed, curve: table.curve(&key)? });
            widths.push(choice.width);
        }
        Ok(Self { base_ms: table.base_ms(), target_ms, blocks, widths })
    }

    fn latency_ms(&self, widths: &[usize]) -> f64 {
        let blocks = self.blocks.iter().zip(widths);
        blocks.fold(self.base_ms, |ms, (block, &width)| {
            ms + block.curve.ms(width).expect("the curve covers the block's largest width")
        })
    }

    /// Narrows all blocks until the latency is below the target or all widths are at a bound. Keeps the last widths.
    fn shrink(&mut self) {
        let steps = self.steps(0);
        let mut inside = true;
        while inside && self.latency_ms(&self.widths) >= self.target_ms {
            let (moved, any_inside) = self.moved(0, |width, step| width.saturating_sub(step), &steps);
            self.widths = moved;
            inside = any_inside;
        }
    }

    /// Widens the blocks from `group` on until the latency is above the target or all widths are at a bound. Keeps the
    /// widths before the last step in both cases.
    fn grow_from(&mut self, group: usize) {
        let first = self.blocks.partition_point(|block| block.group < group);
        let steps = self.steps(first);
        let mut next = self.widths.clone();
        let mut inside = true;
        while inside && self.latency_ms(&next) <= self.target_ms {
            self.widths = next;
            let (moved, any_inside) = self.moved(first, |width, step| width + step, &steps);
            next = moved;
            inside = any_inside;
        }
    }

    /// Returns the step of each block from `first` on: its width as a multiple of the smallest one, rounded to the
    /// nearest integer (ties to even), in steps of the space.
    fn steps(&self, first: usize) -> Vec<usize> {
        let widths = &self.widths[first..];
        let smallest = widths.iter().copied().min().unwrap_or(1) as f64;
        let step = |(block, &width): (&KeptBlock<'_>, &usize)| {
            (width as f64 / smallest).round_ties_even() as usize * block.allowed.step()
        };
        self.blocks[first..].iter().zip(widths).map(step).collect()
    }

    /// Returns the widths after one step of the blocks from `first` on, and whether one of these is strictly within its
    /// bounds.
    fn moved(&self, first: usize, step_of: impl Fn(usize, usize) -> usize, steps: &[usize]) -> (Vec<usize>, bool) {
        let mut widths = self.widths.clone();
        let mut any_inside = false;
        let blocks = self.blocks[first..].iter().zip(steps);
        for (width, (block, &step)) in widths[first..].iter_mut().zip(blocks) {
            let (min, max) = (block.allowed.min(), block.allowed.max());
            *width = step_of(*width, step).clamp(min, max);
            any_inside |= min < *width && *width < max;
        }
        (widths, any_inside)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Choice, Widths};
    use tfnas_random::{Stream, StreamId};

    fn random(space: &Space, index: u32) -> Architecture {
        let mut stream = Stream::new(1, StreamId::RandomArchitecture, 0, index);
        Architecture::random(space, &mut stream)
    }

    #[test]
    fn reachable_targets_are_met_from_above_and_below() {
        let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
        for index in 0..50 {
            let architecture = random(&space, index);
            let at = |share: f64| {
                let widths: Vec<usize> = architecture
                    .choices(&space)
                    .map(|(block, choice)| {
                        let max = block.max_width(&space.operations()[choice.operation]);
                        (max as f64 * share) as usize
                    })
                    .collect();
                architecture.with_widths(&widths)
            };
            let target_ms = table.architecture_ms(&space, &at(0.75)).unwrap();
            for (start, branch) in [(at(0.95), Branch::Shrink), (at(0.55), Branch::Expand)] {
                let fitted = refit(&space, &start, &table, target_ms).unwrap();
                assert_eq!(fitted.branch, branch);
                assert!(fitted.after_ms <= target_ms && fitted.after_ms > 0.99 * target_ms);
                let sum = table.architecture_ms(&space, &fitted.architecture).unwrap();
                assert_eq!(fitted.after_ms, sum);
            }
        }
    }

    #[test]
    fn an_architecture_on_target_is_unchanged() {
        let (space, table) = (Space::imagenet(), LatencyTable::xeon_gold_6130());
        let architecture = random(&space, 0);
        let target_ms = table.architecture_ms(&space, &architecture).unwrap();
        let fitted = refit(&space, &architecture, &table, target_ms).unwrap();
        assert_eq!(fitted.branch, Branch::None);
        assert_eq!(fitted.architecture, architecture);
        assert_eq!(fitted.after_ms, target_ms);
    }

    #[test]
    fn an_unreachable_target_ends_at_the_smallest_widths() {
        let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
        let architecture = random(&space, 5);
        let fitted = refit(&space, &architecture, &table, 0.001).unwrap();
        for (block, choice) in fitted.architecture.choices(&space) {
            assert_eq!(choice.width, block.min_width(&space.operations()[choice.operation]));
        }
        assert!(fitted.after_ms > 0.001);
    }

    #[test]
    fn an_unreachably_slow_target_ends_within_a_step_of_the_largest_widths() {
        let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
        for index in 0..20 {
            let architecture = random(&space, index);
            let widest: Vec<usize> = architecture
                .choices(&space)
                .map(|(block, choice)| block.max_width(&space.operations()[choice.operation]))
                .collect();
            let widest = architecture.with_widths(&widest);
            let largest_ms = table.architecture_ms(&space, &widest).unwrap();
            let fitted = refit(&space, &architecture, &table, 1e6).unwrap();
            assert!(fitted.after_ms <= largest_ms && fitted.after_ms > 0.95 * largest_ms);
        }
    }

    #[test]
    fn invalid_targets_are_rejected() {
        let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
        for target_ms in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = refit(&space, &random(&space, 0), &table, target_ms).unwrap_err();
            assert!(matches!(error, RefitError::Target { .. }));
        }
    }

    #[test]
    fn a_table_of_another_space_is_rejected() {
        let space = Space::small();
        let groups = (0..3).map(|group| {
            let width = Widths::initial(&space).get(space.position(group, 0), 0);
            vec![Choice { operation: 0, width }]
        });
        let architecture = Architecture::new(&space, groups.collect()).unwrap();
        let error = refit(&space, &architecture, &LatencyTable::titan_rtx(), 5.0).unwrap_err();
        assert!(matches!(error, RefitError::Table(TableError::MissingKey { .. })));
        let error = refit(&Space::cifar(), &architecture, &LatencyTable::titan_rtx(), 5.0);
        assert!(matches!(error, Err(RefitError::Table(TableError::Architecture(_)))));
    }
}
