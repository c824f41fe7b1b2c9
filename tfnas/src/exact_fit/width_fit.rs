//! Fits the widths of a network's blocks until its latency is close to the target.

use super::TOLERANCE;
use crate::allowed_widths::AllowedWidths;
use crate::architecture::Architecture;
use crate::curve::LatencyCurve;
use crate::space::Space;
use crate::table::{LatencyTable, TableError};

/// Maximum number of latency sums that the exhaustive search keeps at a time. A network with more combinations has
/// several that are close to any target.
const MAX_SUMS: usize = 1024;

/// The Pareto-optimal widths of one block: width and latency both increase.
struct ParetoWidths {
    widths: Vec<usize>,
    ms: Vec<f64>,
}

/// The Pareto-optimal widths of every kept block, and the index of the current width of each.
pub struct WidthFit {
    base_ms: f64,
    target_ms: f64,
    pareto: Vec<ParetoWidths>,
    at: Vec<usize>,
}

impl ParetoWidths {
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

    /// Returns the index of the largest width with at most this latency.
    fn up_to(&self, ms: f64) -> Option<usize> {
        self.ms.partition_point(|&value| value <= ms).checked_sub(1)
    }
}

/// Two blocks and the indices of their new widths.
struct Pair {
    blocks: [usize; 2],
    to: [usize; 2],
    /// Remaining gap.
    left_ms: f64,
    /// The larger of the two index changes, as a fraction of the block's number of widths.
    distance: f64,
}

impl WidthFit {
    pub fn new(
        space: &Space,
        architecture: &Architecture,
        table: &LatencyTable,
        target_ms: f64,
    ) -> Result<Self, TableError> {
        let mut pareto = Vec::with_capacity(architecture.block_count());
        for (block, choice) in architecture.choices(space) {
            let operation = &space.operations()[choice.operation];
            let (key, allowed) = (block.key(operation), block.widths(operation));
            // A curve covers all widths up to its last.
            table.latency_ms(&key, allowed.max())?;
            pareto.push(ParetoWidths::new(table.curve(&key)?, allowed));
        }
        let at = vec![0; pareto.len()];
        Ok(Self { base_ms: table.base_ms(), target_ms, pareto, at })
    }

    /// Returns whether the network meets the target at its fastest widths.
    pub fn is_feasible(&self) -> bool {
        self.total_ms(&vec![0; self.pareto.len()]) <= self.target_ms
    }

    /// Uses the largest widths if they meet the target. Returns whether they do.
    pub fn use_largest_if_feasible(&mut self) -> bool {
        let largest = self.pareto.iter().map(|pareto| pareto.len() - 1).collect();
        self.move_if_feasible(largest)
    }

    /// Uses the widths of an architecture with these blocks and operations, or the largest widths below them that meet
    /// the target. The smallest widths must meet the target.
    pub fn use_architecture(&mut self, space: &Space, architecture: &Architecture) {
        let choices = architecture.choices(space).map(|(_, choice)| choice.width);
        // A width that is not Pareto-optimal is not faster than the next one that is.
        let above = |(pareto, width): (&ParetoWidths, usize)| {
            pareto.widths.partition_point(|&value| value < width).min(pareto.len() - 1)
        };
        let wanted: Vec<usize> = self.pareto.iter().zip(choices).map(above).collect();
        const FRACTIONS: usize = 256;
        for fraction in (0..=FRACTIONS).rev() {
            if self.move_if_feasible(wanted.iter().map(|index| index * fraction / FRACTIONS).collect()) {
                return;
            }
        }
    }

    /// Changes widths until the latency is close enough to the target, or no change brings it closer.
    pub fn close_gap(&mut self) {
        while !self.is_close() && (self.move_one() || self.move_pair() || self.move_all()) {}
    }

    pub fn widths(&self) -> Vec<usize> {
        self.pareto.iter().zip(&self.at).map(|(pareto, &at)| pareto.widths[at]).collect()
    }

    /// Latency, added in the order of the table's sum.
    fn total_ms(&self, at: &[usize]) -> f64 {
        self.pareto.iter().zip(at).fold(self.base_ms, |ms, (pareto, &at)| ms + pareto.ms[at])
    }

    fn gap_ms(&self) -> f64 {
        self.target_ms - self.total_ms(&self.at)
    }

    fn tolerance_ms(&self) -> f64 {
        TOLERANCE * self.target_ms
    }

    /// Whether the latency is close enough to the target.
    pub fn is_close(&self) -> bool {
        self.gap_ms() <= self.tolerance_ms()
    }

    fn move_if_feasible(&mut self, at: Vec<usize>) -> bool {
        let fits = self.total_ms(&at) <= self.target_ms;
        if fits {
            self.at = at;
        }
        fits
    }

    /// Uses these widths if they meet the target and are closer to it.
    fn move_if_closer(&mut self, at: Vec<usize>) -> bool {
        self.total_ms(&at) > self.total_ms(&self.at) && self.move_if_feasible(at)
    }

    /// Widens the block that closes most of the gap.
    fn move_one(&mut self) -> bool {
        let gap_ms = self.gap_ms();
        let mut best = (0.0, 0, 0);
        for (block, (pareto, &at)) in self.pareto.iter().zip(&self.at).enumerate() {
            let to = pareto.up_to(pareto.ms[at] + gap_ms).unwrap_or(at);
            let closed = pareto.ms[to] - pareto.ms[at];
            if closed > best.0 {
                best = (closed, block, to);
            }
        }
        let (_, block, to) = best;
        let mut at = self.at.clone();
        at[block] = at[block].max(to);
        self.move_if_closer(at)
    }

    /// Widens a block while another one changes too: the smallest change among the pairs that come close enough,
    /// otherwise the closest pair.
    fn move_pair(&mut self) -> bool {
        let mut best: Option<Pair> = None;
        let (gap_ms, close_ms) = (self.gap_ms(), self.tolerance_ms());
        for second in 1..self.pareto.len() {
            for first in 0..second {
                let (one, other) = (&self.pareto[first], &self.pareto[second]);
                let (at_one, at_other) = (self.at[first], self.at[second]);
                let budget_ms = gap_ms + one.ms[at_one] + other.ms[at_other];
                let mut end = other.len();
                for to_one in 0..one.len() {
                    while end > 0 && one.ms[to_one] + other.ms[end - 1] > budget_ms {
                        end -= 1;
                    }
                    let Some(to_other) = end.checked_sub(1) else { break };
                    let fraction =
                        |pareto: &ParetoWidths, at: usize, to: usize| at.abs_diff(to) as f64 / pareto.len() as f64;
                    let pair = Pair {
                        blocks: [first, second],
                        to: [to_one, to_other],
                        left_ms: budget_ms - one.ms[to_one] - other.ms[to_other],
                        distance: fraction(one, at_one, to_one).max(fraction(other, at_other, to_other)),
                    };
                    if best.as_ref().is_none_or(|best| pair.beats(best, close_ms)) {
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
        self.move_if_closer(at)
    }

    /// Uses the combination of widths that is closest to the target among all combinations, or, if these are too many,
    /// among a subset spread evenly over the latencies.
    fn move_all(&mut self) -> bool {
        let fastest = |pareto: &ParetoWidths| pareto.ms[0];
        let mut rest_ms: f64 = self.pareto.iter().map(fastest).sum();
        // Sums of latencies so distance, each with the index of the sum that it extends and of the last block's width.
        let mut layers: Vec<Vec<(f64, usize, usize)>> = Vec::with_capacity(self.pareto.len());
        let mut sums = vec![(self.base_ms, 0, 0)];
        for pareto in &self.pareto {
            rest_ms -= fastest(pareto);
            let mut next = Vec::new();
            for (from, &(sum, ..)) in sums.iter().enumerate() {
                let possible = pareto.ms.iter().take_while(|&&ms| sum + ms + rest_ms <= self.target_ms);
                next.extend(possible.enumerate().map(|(to, ms)| (sum + ms, from, to)));
            }
            next.sort_by(|one, other| one.0.total_cmp(&other.0));
            next.dedup_by(|later, earlier| later.0 == earlier.0);
            if layers.len() + 1 < self.pareto.len() {
                next = spread(next, MAX_SUMS);
            }
            layers.push(std::mem::replace(&mut sums, next));
        }
        let Some(mut last) = sums.len().checked_sub(1) else { return false };
        let mut at = vec![0; self.pareto.len()];
        for block in (0..at.len()).rev() {
            let (_, from, to) = sums[last];
            at[block] = to;
            last = from;
            sums = std::mem::take(&mut layers[block]);
        }
        self.move_if_closer(at)
    }
}

impl Pair {
    fn beats(&self, other: &Self, close_ms: f64) -> bool {
        match (self.left_ms <= close_ms, other.left_ms <= close_ms) {
            (true, true) => self.distance < other.distance,
            (false, false) => self.left_ms < other.left_ms,
            (near, _) => near,
        }
    }
}

/// Returns at most `count` of the increasing sums: the first in each of equal parts of their range, and the last.
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
