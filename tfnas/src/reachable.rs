//! The range of latencies of the networks of a space.

use crate::allowed_widths::AllowedWidths;
use crate::architecture::{Architecture, Choice};
use crate::curve::LatencyCurve;
use crate::space::{Block, Space};
use crate::table::{LatencyTable, TableError};

/// The fastest and the slowest network of a space, by a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Reachable {
    /// Latency of `fastest`, in milliseconds.
    pub min_ms: f64,
    /// Latency of `slowest`, in milliseconds.
    pub max_ms: f64,
    /// The fastest network of the space.
    pub fastest: Architecture,
    /// The slowest network of the space.
    pub slowest: Architecture,
}

/// The extreme latency of one block.
struct Extreme {
    ms: f64,
    choice: Choice,
}

impl LatencyTable {
    /// Returns the smallest and the largest latency of any network of a space, over all depths, operations and widths.
    ///
    /// The latency is a sum over blocks with independent choices, so the extremes of the blocks determine those of the
    /// space. A table may decrease with the width, so all knots are considered. A block may even have a negative
    /// latency, so all depths are considered.
    ///
    /// # Errors
    /// Returns the errors of [`check_covers`](LatencyTable::check_covers).
    pub fn reachable_ms(&self, space: &Space) -> Result<Reachable, TableError> {
        self.check_covers(space)?;
        let fastest = self.extreme(space, |ms, best| ms < best)?;
        let slowest = self.extreme(space, |ms, best| ms > best)?;
        Ok(Reachable {
            min_ms: self.architecture_ms(space, &fastest)?,
            max_ms: self.architecture_ms(space, &slowest)?,
            fastest,
            slowest,
        })
    }

    /// Returns the best network according to `better(candidate, best so far)`.
    fn extreme(&self, space: &Space, better: fn(f64, f64) -> bool) -> Result<Architecture, TableError> {
        let mut groups = Vec::with_capacity(space.groups().len());
        for group in 0..space.groups().len() {
            let mut sum = 0.0;
            let mut best_sum = None;
            let mut depth = 0;
            let mut choices = Vec::new();
            for block in space.blocks_of(group) {
                let extreme = self.extreme_of(space, block, better)?;
                choices.push(extreme.choice);
                sum += extreme.ms;
                if best_sum.is_none_or(|best| better(sum, best)) {
                    best_sum = Some(sum);
                    depth = choices.len();
                }
            }
            choices.truncate(depth);
            groups.push(choices);
        }
        Ok(Architecture::new(space, groups)?)
    }

    /// Returns the best operation and width of one block.
    fn extreme_of(&self, space: &Space, block: &Block, better: fn(f64, f64) -> bool) -> Result<Extreme, TableError> {
        let mut best: Option<Extreme> = None;
        for (operation, candidate) in space.operations().iter().enumerate() {
            let key = block.key(candidate);
            let allowed = block.widths(candidate);
            let curve = self.curve(&key)?;
            for width in corners(curve, allowed) {
                let ms = curve.ms(width).ok_or(TableError::MissingWidth { key, width, max: curve.last_width() })?;
                if best.as_ref().is_none_or(|best| better(ms, best.ms)) {
                    let choice = Choice { operation, width };
                    best = Some(Extreme { ms, choice });
                }
            }
        }
        Ok(best.expect("a validated space has operations"))
    }
}

/// Returns the widths at which a curve can be extreme over `allowed`: its ends, and the neighbors of every knot.
pub(crate) fn corners(curve: &LatencyCurve, allowed: AllowedWidths) -> impl Iterator<Item = usize> + use<'_> {
    let inside = curve
        .knots()
        .iter()
        .map(|knot| knot.width)
        .filter(move |width| (allowed.min()..=allowed.max()).contains(width));
    let knots = inside.flat_map(move |width| {
        let below = allowed.at_most(width);
        let above = if below < width { allowed.at_most(width + allowed.step()) } else { below };
        [below, above]
    });
    knots.chain([allowed.min(), allowed.max()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Knot, LatencyCurve, TableHeader};
    use tfnas_random::{Stream, StreamId};

    /// A table of a space with random latencies, including negative and non-monotone ones.
    fn wild(space: &Space, index: u32) -> LatencyTable {
        let mut stream = Stream::new(5, StreamId::Synthetic, 0, index);
        let rows = space.needed_rows().into_iter().map(|row| {
            let widths = [row.min_width, row.min_width + 3, row.max_width];
            let knots = widths.map(|width| Knot { width, ms: stream.between(-0.5, 1.0) });
            (row.key, LatencyCurve::new(knots.to_vec()).unwrap())
        });
        let rows = rows.collect();
        let header = TableHeader { name: "wild".to_owned(), ..TableHeader::default() };
        LatencyTable::new(header, 2.0, rows).unwrap()
    }

    /// Computes the extremes by trying every width of every operation, and every depth.
    fn brute_force(space: &Space, table: &LatencyTable) -> (f64, f64) {
        let (mut min_ms, mut max_ms) = (table.base_ms(), table.base_ms());
        for group in 0..space.groups().len() {
            let (mut low, mut high) = (0.0, 0.0);
            let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
            for block in space.blocks_of(group) {
                let all = space.operations().iter().flat_map(|operation| {
                    let key = block.key(operation);
                    block.widths(operation).iter().map(move |width| table.latency_ms(&key, width).unwrap())
                });
                let all: Vec<f64> = all.collect();
                low += all.iter().copied().fold(f64::INFINITY, f64::min);
                high += all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                lowest = f64::min(lowest, low);
                highest = f64::max(highest, high);
            }
            min_ms += lowest;
            max_ms += highest;
        }
        (min_ms, max_ms)
    }

    #[test]
    fn the_extremes_match_brute_force() {
        let small = Space::small();
        let mut cases =
            vec![(Space::imagenet(), LatencyTable::titan_rtx()), (Space::imagenet(), LatencyTable::xeon_gold_6130())];
        cases.extend((0..20).map(|index| (small.clone(), wild(&small, index))));
        for (space, table) in cases {
            let reachable = table.reachable_ms(&space).unwrap();
            let (min_ms, max_ms) = brute_force(&space, &table);
            assert!((reachable.min_ms - min_ms).abs() < 1e-9);
            assert!((reachable.max_ms - max_ms).abs() < 1e-9);
            let ms = |architecture| table.architecture_ms(&space, architecture).unwrap();
            assert_eq!(ms(&reachable.fastest), reachable.min_ms);
            assert_eq!(ms(&reachable.slowest), reachable.max_ms);
        }
    }

    #[test]
    fn a_table_that_does_not_cover_the_space_has_no_extremes() {
        let error = LatencyTable::titan_rtx().reachable_ms(&Space::cifar()).unwrap_err();
        assert!(matches!(error, TableError::Incomplete { .. }));
    }
}
