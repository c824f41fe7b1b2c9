//! The latency of complete networks over the sum of their blocks: a straight line.

use super::fit::weighted_least_squares;
use super::median;

/// Networks from which on a line is fitted to their latencies.
const MIN_NETWORKS: usize = 20;
const ITERATIONS: usize = 30;
/// Relative residuals below this count as this.
const MIN_RESIDUAL: f64 = 1e-4;
/// The least latency outside of the blocks, as a share of the measured one.
const MIN_BASE: f64 = 0.1;

/// The latency of a network over the sum of its blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub offset_ms: f64,
    pub factor: f64,
}

impl Line {
    /// Returns the line with the least sum of relative differences from the latencies of networks. It is robust: half of the
    /// networks are slower and half are faster.
    ///
    /// * `sums`: sum of the blocks and latency of each network, in milliseconds.
    /// * `base_ms`: measured latency outside of the blocks, for the case that there are few networks or that the line
    ///   starts near 0 or below.
    pub fn nearest(sums: &[(f64, f64)], base_ms: f64) -> Self {
        if sums.len() < MIN_NETWORKS {
            return Self { offset_ms: base_ms, factor: 1.0 };
        }
        let through = |offset_ms: f64| Self {
            offset_ms,
            factor: median(sums.iter().map(|(sum, ms)| (ms - offset_ms) / sum).collect()),
        };
        let rows: Vec<(Vec<f64>, f64)> = sums.iter().map(|&(sum, ms)| (vec![1.0, sum], ms)).collect();
        let mut line = through(base_ms);
        for _ in 0..ITERATIONS {
            // Least squares with the inverse of each residual as weight converges to the least sum of residuals.
            let weight = |&(sum, ms): &(f64, f64)| {
                let residual = (ms - line.offset_ms - line.factor * sum).abs() / ms;
                1.0 / (ms * ms * residual.max(MIN_RESIDUAL))
            };
            let weights: Vec<f64> = sums.iter().map(weight).collect();
            let solved = weighted_least_squares(&rows, &weights, 2);
            line = Self { offset_ms: solved[0], factor: solved[1] };
        }
        let least_ms = MIN_BASE * base_ms;
        if line.offset_ms >= least_ms && line.factor > 0.0 { line } else { through(least_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(offset_ms: f64, factor: f64) -> Vec<(f64, f64)> {
        let sums = (0..60).map(|index| 1.0 + 0.05 * f64::from(index));
        sums.map(|sum| (sum, offset_ms + factor * sum)).collect()
    }

    #[test]
    fn the_line_is_robust_to_slow_measurements() {
        let mut sums = networks(0.3, 1.1);
        sums.iter_mut().step_by(5).for_each(|pair| pair.1 *= 2.0);
        let line = Line::nearest(&sums, 0.5);
        assert!((line.offset_ms - 0.3).abs() < 1e-3 && (line.factor - 1.1).abs() < 1e-3, "{line:?}");
    }

    #[test]
    fn the_latency_outside_of_the_blocks_is_positive() {
        let line = Line::nearest(&networks(-0.4, 1.3), 0.5);
        assert!((line.offset_ms - 0.05).abs() < 1e-9 && line.factor > 1.0, "{line:?}");
    }

    #[test]
    fn few_networks_change_nothing() {
        assert_eq!(Line::nearest(&networks(0.3, 1.1)[..19], 0.5), Line { offset_ms: 0.5, factor: 1.0 });
        assert_eq!(Line::nearest(&[], 0.5), Line { offset_ms: 0.5, factor: 1.0 });
    }
}
