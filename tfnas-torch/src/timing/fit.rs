//! Fits block latencies to rounds of measurements: a curve over the width for each row of the table.

use std::collections::{BTreeMap, BTreeSet};

use tfnas::curve::monotone;
use tfnas::{BlockKey, Knot, LatencyCurve, NeededRow};

use super::in_place::{Round, samples_of};
use super::line::Line;
use super::median;

/// Number of rounds before and after a round whose reference times are averaged with its own.
const WINDOW: usize = 2;
/// A round is discarded if its reference time deviates by more than this fraction from those of the neighboring rounds.
const LARGEST_JUMP: f64 = 0.15;
/// Number of samples from which on a row gets a third knot in the middle of its widths.
const SAMPLES_OF_THREE_KNOTS: usize = 12;
/// Residuals beyond this many standard deviations are down-weighted (Huber).
const HUBER: f64 = 1.5;
/// Converts the median absolute residual to the standard deviation of normally distributed residuals.
const MEDIAN_TO_SD: f64 = 1.4826;
const ITERATIONS: usize = 10;

/// Result of a fit over all rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Latency outside the blocks, common to every network of the space, in milliseconds.
    pub base_ms: f64,
    /// Latency curve of each row.
    pub curves: Vec<(BlockKey, LatencyCurve)>,
    /// Latencies of the check networks and of the reference networks.
    pub checks: CheckTimes,
}

/// Latencies of check networks, related to the median latency of the reference networks.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckTimes {
    /// Latency of each network that was visited.
    pub networks: Vec<CheckTime>,
    /// Latency of the reference networks: the median over the rounds of their mean, in milliseconds.
    pub reference_ms: f64,
    /// Rounds that do not count, because the machine was disturbed.
    pub dropped: usize,
}

/// Measured latency of a check network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckTime {
    /// Index of the network.
    pub network: usize,
    /// Median over its measurements, in milliseconds.
    pub ms: f64,
    /// Relative difference between the medians of the odd and the even measurements; `None` if there is only one.
    pub difference: Option<f64>,
}

/// Fits a curve for each row; returns `None` if a row has no sample.
///
/// * `rows`: the space's [needed rows](tfnas::Space::needed_rows).
///
/// Each time is divided by the reference's around it, so that a drift of the machine cancels, and multiplied by the median of all
/// references. A curve is a robust least-squares fit (Huber's weights) of the values at two or three widths, made
/// non-decreasing.
///
/// Blocks slow each other down, as they compete for caches, so sums of blocks are too low for large networks and too high for
/// small ones. All curves are therefore multiplied by one factor, and the base is chosen, so that sums are nearest to networks that
/// were timed as a whole.
pub fn fit(rows: &[NeededRow], rounds: &[Round]) -> Option<Fitted> {
    // Samples of disturbed rounds are used only if a row has no others.
    let is_complete = |steady: &[&Round]| samples_of(rows, steady.iter().copied()).iter().all(|&count| count > 0);
    let counted = counted_rounds(rounds, is_complete);
    let mut samples: Vec<Vec<(f64, f64)>> = vec![Vec::new(); rows.len()];
    let mut base = Vec::new();
    for (round, factor) in &counted {
        base.extend(round.base_ms.iter().map(|ms| ms * factor));
        for sample in &round.samples {
            samples[sample.row].push((sample.width as f64, sample.ms * factor));
        }
    }
    let curves = rows.iter().zip(&samples).map(|(row, samples)| curve(row, samples));
    let curves: Vec<LatencyCurve> = curves.collect::<Option<_>>()?;
    let wholes = counted.iter().flat_map(|(round, factor)| round.wholes.iter().map(move |whole| (whole, factor)));
    let sums: Vec<(f64, f64)> = wholes
        .map(|(whole, factor)| {
            let sum = whole.blocks.iter().filter_map(|&(row, width)| curves.get(row)?.ms(width)).sum();
            (sum, whole.ms * factor)
        })
        .collect();
    let Line { offset_ms, factor } = Line::nearest(&sums, median(base));
    let curves = rows.iter().zip(curves).map(|(row, curve)| Some((row.key, multiplied(&curve, factor)?)));
    Some(Fitted {
        base_ms: offset_ms,
        curves: curves.collect::<Option<_>>()?,
        checks: check_times_of(rounds, &counted),
    })
}

/// Returns a curve whose latencies are multiplied by a factor above 0.
fn multiplied(curve: &LatencyCurve, factor: f64) -> Option<LatencyCurve> {
    let knots = curve.knots().iter().map(|knot| Knot { ms: knot.ms * factor, ..*knot });
    LatencyCurve::new(knots.collect()).ok()
}

/// Returns the latency of each check network over rounds that may hold nothing else.
pub fn check_times(rounds: &[Round]) -> CheckTimes {
    let visited = |rounds: &[&Round]| -> BTreeSet<usize> {
        rounds.iter().flat_map(|round| round.checks.iter().map(|(network, _)| *network)).collect()
    };
    let all = visited(&rounds.iter().collect::<Vec<_>>());
    check_times_of(rounds, &counted_rounds(rounds, |steady| visited(steady) == all))
}

/// Returns the rounds to use, each with the factor that scales its times to the median of all reference times. Rounds
/// with a jump of the reference are discarded, unless `is_complete` returns false for the others.
fn counted_rounds(rounds: &[Round], is_complete: impl Fn(&[&Round]) -> bool) -> Vec<(&Round, f64)> {
    let references: Vec<f64> = rounds.iter().map(|round| round.reference_ms).collect();
    let smooth = |index: usize| {
        let window = index.saturating_sub(WINDOW)..(index + WINDOW + 1).min(references.len());
        median(references[window].to_vec())
    };
    let overall_ms = reference_ms(rounds);
    let all: Vec<(&Round, f64)> = rounds.iter().enumerate().map(|(index, round)| (round, smooth(index))).collect();
    let is_steady = |(round, around): &&(&Round, f64)| (round.reference_ms / around - 1.0).abs() <= LARGEST_JUMP;
    let steady: Vec<(&Round, f64)> = all.iter().filter(is_steady).copied().collect();
    let counted = if is_complete(&steady.iter().map(|(round, _)| *round).collect::<Vec<_>>()) { steady } else { all };
    counted.into_iter().map(|(round, around)| (round, overall_ms / around)).collect()
}

fn reference_ms(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|round| round.reference_ms).collect())
}

fn check_times_of(rounds: &[Round], counted: &[(&Round, f64)]) -> CheckTimes {
    let mut times: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (round, factor) in counted {
        for (network, ms) in &round.checks {
            times.entry(*network).or_default().push(ms * factor);
        }
    }
    CheckTimes {
        networks: times.into_iter().map(|(network, times)| CheckTime::of(network, &times)).collect(),
        reference_ms: reference_ms(rounds),
        dropped: rounds.len() - counted.len(),
    }
}

impl CheckTime {
    fn of(network: usize, times: &[f64]) -> Self {
        let ms = median(times.to_vec());
        let half = |first: usize| median(times.iter().skip(first).step_by(2).copied().collect());
        let difference = (times.len() > 1).then(|| (half(0) - half(1)).abs() / ms);
        Self { network, ms, difference }
    }
}

/// The latency curve of a row.
fn curve(row: &NeededRow, samples: &[(f64, f64)]) -> Option<LatencyCurve> {
    let least_ms = samples.iter().map(|sample| sample.1).reduce(f64::min)?;
    let (low, high) = (row.min_width, row.max_width);
    if low == high {
        // A curve needs two knots even if the row has a single width.
        let ms = median(samples.iter().map(|sample| sample.1).collect());
        let widths = if low > row.key.in_channels { [low - 1, low] } else { [low, low + 1] };
        return LatencyCurve::new(widths.map(|width| Knot { width, ms }).to_vec()).ok();
    }
    let middle = (low + high) / 2 / row.width_step * row.width_step;
    let bend = samples.len() >= SAMPLES_OF_THREE_KNOTS && low < middle && middle < high;
    let widths = if bend { vec![low, middle, high] } else { vec![low, high] };
    let values = monotone(&robust_fit(&widths, samples));
    // An extrapolated value may be too low, and a latency must be positive.
    let knots = widths.iter().zip(values).map(|(&width, ms)| Knot { width, ms: ms.max(least_ms / 2.0) });
    LatencyCurve::new(knots.collect()).ok()
}

/// Returns the values at the given widths that minimize the robust distance between the linear interpolation and the
/// samples.
fn robust_fit(widths: &[usize], samples: &[(f64, f64)]) -> Vec<f64> {
    let rows: Vec<(Vec<f64>, f64)> =
        samples.iter().map(|&(width, ms)| (interpolation_weights(widths, width), ms)).collect();
    let mut weights = vec![1.0; rows.len()];
    let mut values = Vec::new();
    for _ in 0..ITERATIONS {
        values = weighted_least_squares(&rows, &weights, widths.len());
        let residual = |(interpolation_weights, ms): &(Vec<f64>, f64)| (ms - dot(interpolation_weights, &values)).abs();
        let residuals: Vec<f64> = rows.iter().map(residual).collect();
        let deviation = MEDIAN_TO_SD * median(residuals.clone());
        for (weight, residual) in weights.iter_mut().zip(&residuals) {
            *weight = if *residual <= HUBER * deviation { 1.0 } else { HUBER * deviation / residual };
        }
    }
    values
}

/// Returns the weight of each knot in the linear interpolation at a width.
fn interpolation_weights(widths: &[usize], width: f64) -> Vec<f64> {
    let last = widths.len() - 2;
    let segment = (0..last).find(|&segment| width <= widths[segment + 1] as f64).unwrap_or(last);
    let (left, right) = (widths[segment] as f64, widths[segment + 1] as f64);
    let place = (width - left) / (right - left);
    let mut interpolation_weights = vec![0.0; widths.len()];
    interpolation_weights[segment] = 1.0 - place;
    interpolation_weights[segment + 1] = place;
    interpolation_weights
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves the normal equations, with so little ridge towards the weighted mean that only knots without samples feel it.
pub(super) fn weighted_least_squares(rows: &[(Vec<f64>, f64)], weights: &[f64], count: usize) -> Vec<f64> {
    const RIDGE: f64 = 1e-6;
    let total: f64 = weights.iter().sum();
    let mean = rows.iter().zip(weights).map(|((_, ms), weight)| ms * weight).sum::<f64>() / total;
    let mut matrix = vec![vec![0.0; count + 1]; count];
    for (line, row) in matrix.iter_mut().enumerate() {
        row[line] = RIDGE * total;
        row[count] = RIDGE * total * mean;
    }
    for ((interpolation_weights, ms), weight) in rows.iter().zip(weights) {
        for (line, row) in matrix.iter_mut().enumerate() {
            for column in 0..count {
                row[column] += weight * interpolation_weights[line] * interpolation_weights[column];
            }
            row[count] += weight * interpolation_weights[line] * ms;
        }
    }
    // The matrix is symmetric and positive definite, so elimination needs no pivoting.
    for pivot in 0..count {
        let (above, below) = matrix.split_at_mut(pivot + 1);
        let pivot_row = &above[pivot];
        for row in below {
            let factor = row[pivot] / pivot_row[pivot];
            row.iter_mut().zip(pivot_row).for_each(|(entry, known)| *entry -= factor * known);
        }
    }
    let mut values = vec![0.0; count];
    for line in (0..count).rev() {
        let known = dot(&matrix[line][line + 1..count], &values[line + 1..]);
        values[line] = (matrix[line][count] - known) / matrix[line][line];
    }
    values
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tfnas::Space;

    use super::super::in_place::{Sample, Whole};
    use super::*;

    fn row(min_width: usize, max_width: usize) -> NeededRow {
        NeededRow { key: Space::small().needed_rows()[0].key, min_width, max_width, width_step: 1 }
    }

    fn round(reference_ms: f64, samples: &[(usize, f64)]) -> Round {
        let samples = samples.iter().map(|&(width, ms)| Sample { row: 0, width, ms }).collect();
        Round {
            reference_ms,
            base_ms: vec![0.5 * reference_ms],
            samples,
            checks: vec![(0, 2.0 * reference_ms)],
            ..Round::default()
        }
    }

    #[test]
    fn the_fit_is_robust_to_drift_and_disturbed_calls() {
        let rounds: Vec<Round> = (0..40)
            .map(|number| {
                // The machine becomes half as fast, and one call in ten takes three times as long.
                let speed = 1.0 + f64::from(number) / 40.0;
                let width = 20 + (number as usize * 7) % 21;
                let disturbed = if number % 10 == 3 { 3.0 } else { 1.0 };
                round(speed, &[(width, speed * disturbed * (0.1 + 0.01 * width as f64))])
            })
            .collect();
        let fitted = fit(&[row(20, 40)], &rounds).unwrap();
        let curve = &fitted.curves[0].1;
        // In units of the median speed, 1.4875.
        for width in [20, 30, 40] {
            let expected = 1.4875 * (0.1 + 0.01 * width as f64);
            assert!((curve.ms(width).unwrap() / expected - 1.0).abs() < 0.02, "{width}");
        }
        assert!((fitted.base_ms / (0.5 * 1.4875) - 1.0).abs() < 0.02);
        assert!((fitted.checks.networks[0].ms / (2.0 * 1.4875) - 1.0).abs() < 0.02);
        assert!(fitted.checks.networks[0].difference.unwrap() < 0.02);
    }

    #[test]
    fn a_disturbed_round_is_discarded() {
        let mut rounds = vec![round(1.0, &[(20, 0.3), (40, 0.5)]); 7];
        rounds[3] = round(1.5, &[(20, 9.0), (40, 9.0)]);
        let fitted = fit(&[row(20, 40)], &rounds).unwrap();
        assert_eq!(fitted.checks.dropped, 1);
        assert!((fitted.curves[0].1.ms(40).unwrap() - 0.5).abs() < 1e-4);
    }

    #[test]
    fn check_times_are_normalized_and_cover_every_network() {
        let check = |reference_ms: f64, network: usize| Round {
            reference_ms,
            checks: vec![(network, 2.0 * reference_ms)],
            ..Round::default()
        };
        let mut rounds: Vec<Round> = (0..8).map(|number| check(1.0, number % 2)).collect();
        rounds[4] = check(9.0, 0);
        let CheckTimes { networks: times, dropped, reference_ms } = check_times(&rounds);
        assert_eq!((times.len(), dropped, reference_ms), (2, 1, 1.0));
        assert!(times.iter().all(|time| (time.ms - 2.0).abs() < 1e-9));
        let CheckTimes { networks: times, dropped, .. } = check_times(&[check(1.0, 0), check(1.0, 0), check(3.0, 1)]);
        assert_eq!((times.len(), dropped), (2, 0), "a disturbed round counts if a network has no other");
    }

    #[test]
    fn curves_are_non_decreasing_and_positive() {
        let rounds = vec![round(1.0, &[(20, 0.5), (30, 0.4), (40, 0.3)]); 6];
        let curve = fit(&[row(20, 40)], &rounds).unwrap().curves.remove(0).1;
        assert!(curve.knots().windows(2).all(|pair| pair[0].ms <= pair[1].ms));
        let steep = vec![round(1.0, &[(39, 0.1), (40, 10.0)]); 6];
        let curve = fit(&[row(20, 40)], &steep).unwrap().curves.remove(0).1;
        assert!(curve.knots().iter().all(|knot| knot.ms > 0.0));
    }

    #[test]
    fn a_row_needs_at_least_one_sample() {
        let fitted = fit(&[row(20, 40)], &[round(1.0, &[(30, 0.4)])]).unwrap();
        assert!((fitted.curves[0].1.ms(30).unwrap() - 0.4).abs() < 1e-6);
        assert_eq!(fitted.checks.networks[0].difference, None);
        let single = fit(&[row(24, 24)], &[round(1.0, &[(24, 0.4)])]).unwrap();
        assert_eq!(single.curves[0].1.ms(24), Some(0.4));
        assert_eq!(fit(&[row(20, 40)], &[round(1.0, &[])]), None);
    }

    #[test]
    fn sums_are_adapted_to_complete_networks() {
        // Alone, the blocks take 0.3 and 0.5 ms. In a network each block takes 10 % more, and the other layers take
        // less.
        let rounds: Vec<Round> = (0..20)
            .map(|number| {
                let blocks = vec![(0, if number % 2 == 0 { 20 } else { 40 }); 1 + number % 3];
                let ms = 0.2 + 1.1 * blocks.iter().map(|block| if block.1 == 20 { 0.3 } else { 0.5 }).sum::<f64>();
                Round { wholes: vec![Whole { blocks, ms }], ..round(1.0, &[(20, 0.3), (40, 0.5)]) }
            })
            .collect();
        let fitted = fit(&[row(20, 40)], &rounds).unwrap();
        assert!((fitted.base_ms - 0.2).abs() < 1e-3, "{}", fitted.base_ms);
        assert!((fitted.curves[0].1.ms(40).unwrap() - 0.55).abs() < 1e-3);
    }
}
