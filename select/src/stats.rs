//! Statistics of a selection. Sums run in the order of the slices, so that equal input gives equal bits.

/// Half of the central interval of a standard normal with probability 0.8.
const Z_80: f64 = 1.281_551_565_544_600_4;

pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the standard deviation, divided by the number of values.
pub(crate) fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: Vec<f64> = values.iter().map(|value| (value - mean) * (value - mean)).collect();
    self::mean(&squares).sqrt()
}

/// Returns whether a standard deviation is within the rounding error of values of this size.
pub(crate) fn is_constant(deviation: f64, mean: f64) -> bool {
    deviation <= 1e-9 * mean.abs().max(1e-12)
}

/// Returns the values scaled to mean 0 and standard deviation 1, or zeros if all values are equal.
pub(crate) fn z_scores(values: &[f64]) -> Vec<f64> {
    let (mean, deviation) = (mean(values), deviation(values));
    if is_constant(deviation, mean) {
        return vec![0.0; values.len()];
    }
    values.iter().map(|value| (value - mean) / deviation).collect()
}

/// Maximum distance of a limited value from the median, in robust standard deviations.
const LIMIT: f64 = 4.0;
/// Standard deviation of a normal distribution relative to its median absolute deviation.
const DEVIATION_OF_MAD: f64 = 1.4826;

/// Limits values to a range around their median, so that an outlier does not hide the differences between the others when
/// the values are standardized. If more than half of the values are equal, they are returned unchanged.
pub(crate) fn limited(values: &[f64]) -> Vec<f64> {
    let middle = median(values);
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let most = LIMIT * DEVIATION_OF_MAD * median(&distances);
    if most == 0.0 {
        return values.to_vec();
    }
    values.iter().map(|value| value.clamp(middle - most, middle + most)).collect()
}

/// Returns the median, or 0 without values.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 0 => f64::midpoint(sorted[half - 1], sorted[half]),
        _ => sorted[half],
    }
}

/// Returns ranks from 1. Ties get the mean of their ranks.
pub(crate) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..].iter().take_while(|&&at| values[at] == values[order[start]]).count().max(1);
        let rank = start as f64 + (tied as f64 + 1.0) / 2.0;
        for &at in &order[start..start + tied] {
            ranks[at] = rank;
        }
        start += tied;
    }
    ranks
}

/// Returns Spearman's rank correlation, or 0 if it is undefined (fewer than two values, or constant values).
pub(crate) fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (z_scores(&ranks(a)), z_scores(&ranks(b)));
    let products: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
    mean(&products).clamp(-1.0, 1.0)
}

/// Returns the values' ranks as quantiles of a standard normal (Blom's positions), so that only their order matters.
pub(crate) fn normal_scores(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    ranks(values).into_iter().map(|rank| normal_quantile((rank - 0.375) / (n + 0.25))).collect()
}

/// Returns the quantile of the standard normal at a probability in (0, 1).
///
/// Source: Acklam's rational approximation, relative error below 1.2e-9.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    const TAIL: f64 = 0.024_25;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < TAIL {
        tail(p)
    } else if p > 1.0 - TAIL {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        polynomial(&A, q * q) * q / (polynomial(&B, q * q) * q * q + 1.0)
    }
}

/// Returns the Wilson interval that contains the true fraction with probability 0.8, given `successes` of `trials`.
pub(crate) fn wilson_80(successes: usize, trials: usize) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (trials as f64, successes as f64 / trials as f64);
    let z2 = Z_80 * Z_80;
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_80 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((center - half).max(0.0), (center + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn ties_get_the_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn spearman_matches_known_values() {
        assert!(close(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 99.0]), 1.0));
        assert!(close(spearman(&[1.0, 2.0, 3.0], &[9.0, 3.0, 1.0]), -1.0));
        // Computed manually: ranks 1 2 3 4 and 1 3 2 4, 1 - 6 * 2 / (4 * 15).
        assert!(close(spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]), 0.8));
        // With ties, Pearson's correlation of the ranks 1, 2.5, 2.5, 4.
        assert!(close(spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]), 0.948_683_298));
    }

    #[test]
    fn spearman_of_constant_or_empty_values_is_0() {
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), 0.0);
        assert_eq!(spearman(&[], &[]), 0.0);
        assert_eq!(spearman(&[1.0], &[2.0]), 0.0);
    }

    #[test]
    fn z_scores_of_constants_are_0() {
        assert_eq!(z_scores(&[0.1 + 0.2, 0.3, 0.3]), [0.0; 3]);
        assert_eq!(z_scores(&[0.0, 0.0]), [0.0; 2]);
        assert_eq!(z_scores(&[1.0, 3.0]), [-1.0, 1.0]);
    }

    #[test]
    fn normal_quantiles_match_known_values() {
        for (p, x) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.01, -2.326_347_874), (0.001, -3.090_232_306)] {
            assert!(close(normal_quantile(p), x), "{p}");
        }
        let scores = normal_scores(&[5.0, 1.0, 3.0]);
        assert!(close(scores[0], -scores[1]) && close(scores[2], 0.0));
    }

    #[test]
    fn the_wilson_interval_matches_known_values() {
        // Expected values computed from the formula with another program.
        let (low, high) = wilson_80(9, 10);
        assert!(close(low, 0.717_555_699) && close(high, 0.969_589_356), "{low} {high}");
        assert_eq!(wilson_80(0, 0), (0.0, 1.0));
        assert!(close(wilson_80(0, 5).0, 0.0));
        assert!(close(wilson_80(5, 5).1, 1.0));
    }
}
