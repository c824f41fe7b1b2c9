//! The widths of a network's blocks, moved until its latency comes up to the target.

use super::TOLERANCE;
use crate::allowed_widths::AllowedWidths;
use crate::architecture::Architecture;
use crate::curve::LatencyCurve;
use crate::space::Space;
use crate::table::{LatencyTable, TableError};

/// Maximum number of latency sums that the last resort keeps at a time. A network with more combinations than this
/// comes near every target with several of them.
const MAX_SUMS: usize = 1024;

/// The widths of one block that no larger width beats: width and latency both increase.
struct Stairs {
    widths: Vec<usize>,
    ms: Vec<f64>,
}

/// One staircase per kept block, and the current stair of each block.
pub struct Staircases {
    base_ms: f64,
    target_ms: f64,
    stairs: Vec<Stairs>,
    at: Vec<usize>,
}

impl Stairs {
    fn new(curve: &LatencyCurve, allowed: AllowedWidths) -> Self {
        let (mut widths, mut ms) = (Vec::new(), Vec::new());
        let mut least = f64::INFINITY;
        for position in (0..allowed.count()).rev() {
            let width = allowed.at(position);
            if let Some(time) = curve.ms(width).filter(|&time| time < least) {
                least = time;
                widths.push(width);
                ms.push(time);
            }
        }
        widths.reverse();
        ms.reverse();
        Self { widths, ms }
    }

    fn len(&self) -> usize {
        self.ms.len()
    }

    /// Returns the last stair with at most this latency.
    fn up_to(&self, ms: f64) -> Option<usize> {
        self.ms.partition_point(|&stair| stair <= ms).checked_sub(1)
    }
}

/// Two blocks and the stairs that they go to.
struct Pair {
    blocks: [usize; 2],
    to: [usize; 2],
    /// The remaining gap.
    left_ms: f64,
    /// The larger of the two moves, as a share of the block's stairs.
    far: f64,
}

impl Staircases {
    pub fn new(
        space: &Space,
        architecture: &Architecture,
        table: &LatencyTable,
        target_ms: f64,
    ) -> Result<Self, TableError> {
        let mut stairs = Vec::with_capacity(architecture.block_count());
        for (block, choice) in architecture.choices(space) {
            let operation = &space.operations()[choice.operation];
            let (key, allowed) = (block.key(operation), block.widths(operation));
            // A curve knows all widths up to its last.
            table.latency_ms(&key, allowed.max())?;
            stairs.push(Stairs::new(table.curve(&key)?, allowed));
        }
        let at = vec![0; stairs.len()];
        Ok(Self { base_ms: table.base_ms(), target_ms, stairs, at })
    }

    /// Returns whether the network meets the target at its fastest widths.
    pub fn can_fit(&self) -> bool {
        self.total_ms(&vec![0; self.stairs.len()]) <= self.target_ms
    }

    /// Uses the largest widths if they meet the target. Returns whether they do.
    pub fn take_largest_if_fit(&mut self) -> bool {
        let largest = self.stairs.iter().map(|stairs| stairs.len() - 1).collect();
        self.go_if_fit(largest)
    }

    /// Uses the widths of an architecture with these blocks and operations, or the largest widths below them that meet
    /// the target. The fastest widths must meet the target.
    pub fn take(&mut self, space: &Space, architecture: &Architecture) {
        let choices = architecture.choices(space).map(|(_, choice)| choice.width);
        // A width between two stairs is not faster than the stair above it.
        let above = |(stairs, width): (&Stairs, usize)| {
            stairs.widths.partition_point(|&stair| stair < width).min(stairs.len() - 1)
        };
        let wanted: Vec<usize> = self.stairs.iter().zip(choices).map(above).collect();
        const SHARES: usize = 256;
        for share in (0..=SHARES).rev() {
            if self.go_if_fit(wanted.iter().map(|stair| stair * share / SHARES).collect()) {
                return;
            }
        }
    }

    /// Moves widths until the latency is near enough to the target, or no move brings it nearer.
    pub fn close_gap(&mut self) {
        while !self.is_near() && (self.move_one() || self.move_pair() || self.move_all()) {}
    }

    pub fn widths(&self) -> Vec<usize> {
        self.stairs.iter().zip(&self.at).map(|(stairs, &at)| stairs.widths[at]).collect()
    }

    /// The latency, added as the table adds it.
    fn total_ms(&self, at: &[usize]) -> f64 {
        self.stairs.iter().zip(at).fold(self.base_ms, |ms, (stairs, &at)| ms + stairs.ms[at])
    }

    fn gap_ms(&self) -> f64 {
        self.target_ms - self.total_ms(&self.at)
    }

    fn tolerance_ms(&self) -> f64 {
        TOLERANCE * self.target_ms
    }

    /// Whether the latency is near enough to the target.
    pub fn is_near(&self) -> bool {
        self.gap_ms() <= self.tolerance_ms()
    }

    fn go_if_fit(&mut self, at: Vec<usize>) -> bool {
        let fits = self.total_ms(&at) <= self.target_ms;
        if fits {
            self.at = at;
        }
        fits
    }

    /// Goes there if this is nearer to the target from below.
    fn go_if_nearer(&mut self, at: Vec<usize>) -> bool {
        self.total_ms(&at) > self.total_ms(&self.at) && self.go_if_fit(at)
    }

    /// Widens the block that closes most of the gap.
    fn move_one(&mut self) -> bool {
        let gap_ms = self.gap_ms();
        let mut best = (0.0, 0, 0);
        for (block, (stairs, &at)) in self.stairs.iter().zip(&self.at).enumerate() {
            let to = stairs.up_to(stairs.ms[at] + gap_ms).unwrap_or(at);
            let closed = stairs.ms[to] - stairs.ms[at];
            if closed > best.0 {
                best = (closed, block, to);
            }
        }
        let (_, block, to) = best;
        let mut at = self.at.clone();
        at[block] = at[block].max(to);
        self.go_if_nearer(at)
    }

    /// Widens a block while another one changes too: among the pairs that come near enough the smallest change,
    /// otherwise the nearest pair.
    fn move_pair(&mut self) -> bool {
        let mut best: Option<Pair> = None;
        let (gap_ms, near_ms) = (self.gap_ms(), self.tolerance_ms());
        for second in 1..self.stairs.len() {
            for first in 0..second {
                let (one, other) = (&self.stairs[first], &self.stairs[second]);
                let (at_one, at_other) = (self.at[first], self.at[second]);
                let budget_ms = gap_ms + one.ms[at_one] + other.ms[at_other];
                let mut end = other.len();
                for to_one in 0..one.len() {
                    while end > 0 && one.ms[to_one] + other.ms[end - 1] > budget_ms {
                        end -= 1;
                    }
                    let Some(to_other) = end.checked_sub(1) else { break };
                    let share = |stairs: &Stairs, at: usize, to: usize| at.abs_diff(to) as f64 / stairs.len() as f64;
                    let pair = Pair {
                        blocks: [first, second],
                        to: [to_one, to_other],
                        left_ms: budget_ms - one.ms[to_one] - other.ms[to_other],
                        far: share(one, at_one, to_one).max(share(other, at_other, to_other)),
                    };
                    if best.as_ref().is_none_or(|best| pair.beats(best, near_ms)) {
                        best = Some(pair);
                    }
                }
            }
        }
        let Some(pair) = best.filter(|pair| pair.left_ms < gap_ms) else { return false };
        let mut at = self.at.clone();
        for (block, to) in pair.blocks.into_iter().zip(pair.to) {
            at[block] = to;
        }
        self.go_if_nearer(at)
    }

    /// Goes to the combination of widths that comes nearest to the target: of all there are, or where these are too
    /// many of a part that is spread evenly over the latencies.
    fn move_all(&mut self) -> bool {
        let fastest = |stairs: &Stairs| stairs.ms[0];
        let mut rest_ms: f64 = self.stairs.iter().map(fastest).sum();
        // Sums of latencies so far, each with the sum that it continues and the last stair.
        let mut layers: Vec<Vec<(f64, usize, usize)>> = Vec::with_capacity(self.stairs.len());
        let mut sums = vec![(self.base_ms, 0, 0)];
        for stairs in &self.stairs {
            rest_ms -= fastest(stairs);
            let mut next = Vec::new();
            for (from, &(sum, ..)) in sums.iter().enumerate() {
                let possible = stairs.ms.iter().take_while(|&&ms| sum + ms + rest_ms <= self.target_ms);
                next.extend(possible.enumerate().map(|(to, ms)| (sum + ms, from, to)));
            }
            next.sort_by(|one, other| one.0.total_cmp(&other.0));
            next.dedup_by(|later, earlier| later.0 == earlier.0);
            if layers.len() + 1 < self.stairs.len() {
                next = spread(next, MAX_SUMS);
            }
            layers.push(std::mem::replace(&mut sums, next));
        }
        let Some(mut last) = sums.len().checked_sub(1) else { return false };
        let mut at = vec![0; self.stairs.len()];
        for block in (0..at.len()).rev() {
            let (_, from, to) = sums[last];
            at[block] = to;
            last = from;
            sums = std::mem::take(&mut layers[block]);
        }
        self.go_if_nearer(at)
    }
}

impl Pair {
    fn beats(&self, other: &Self, near_ms: f64) -> bool {
        match (self.left_ms <= near_ms, other.left_ms <= near_ms) {
            (true, true) => self.far < other.far,
            (false, false) => self.left_ms < other.left_ms,
            (near, _) => near,
        }
    }
}

/// Returns at most `count` of some increasing sums: the first in each of equal parts of their range, and the last.
fn spread(sums: Vec<(f64, usize, usize)>, count: usize) -> Vec<(f64, usize, usize)> {
    let (Some(first), Some(last)) = (sums.first().copied(), sums.last().copied()) else { return sums };
    if sums.len() <= count {
        return sums;
    }
    let part_ms = (last.0 - first.0) / (count - 1) as f64;
    let mut bound = f64::NEG_INFINITY;
    let mut kept = Vec::with_capacity(count);
    for sum in sums {
        if sum.0 >= bound {
            bound = sum.0 + part_ms;
            kept.push(sum);
        }
    }
    if kept.last() != Some(&last) {
        kept.push(last);
    }
    kept
}
