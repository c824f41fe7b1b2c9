//! Accuracy of latencies predicted by a table.

use super::quantile;

/// How well the sum of block latencies predicts the latency of complete networks.
///
/// Errors are relative: |predicted - measured| / measured, so 0.01 is one percent.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Mean relative error.
    pub mean_error: f64,
    /// 95th percentile of the relative error.
    pub p95_error: f64,
    /// Largest relative error.
    pub worst_error: f64,
    /// Mean of predicted / measured - 1.
    pub bias: f64,
    /// Spearman's rank correlation of predicted and measured latency, -1 to 1; NaN if either is constant.
    pub rank_correlation: f64,
    /// `scale * predicted + offset_ms` is the line with the least sum of squared relative errors.
    pub scale: f64,
    /// See `scale`; in milliseconds.
    pub offset_ms: f64,
    /// Mean relative error of that line.
    pub fitted_mean_error: f64,
    /// Largest relative error of that line.
    pub fitted_worst_error: f64,
    /// Predicted and measured latency of each network, in milliseconds.
    pub networks: Vec<(f64, f64)>,
}

/// Compares predicted with measured latencies, in milliseconds. Measured latencies must be positive.
///
/// Without networks all numbers are NaN. If all predictions are equal (or there is a single network), the line is not
/// determined: the scale is 1 and only the offset is fitted.
pub fn calibrate(pairs: &[(f64, f64)]) -> Calibration {
    let (mean_error, worst_error) = errors(pairs, |predicted| predicted);
    let (scale, offset_ms) = nearest_line(pairs);
    let mut sorted: Vec<f64> = pairs.iter().map(|(predicted, measured)| (predicted / measured - 1.0).abs()).collect();
    sorted.sort_by(f64::total_cmp);
    let (fitted_mean_error, fitted_worst_error) = errors(pairs, |predicted| scale * predicted + offset_ms);
    Calibration {
        mean_error,
        p95_error: quantile(&sorted, 0.95),
        worst_error,
        bias: pairs.iter().map(|(predicted, measured)| predicted / measured - 1.0).sum::<f64>() / pairs.len() as f64,
        rank_correlation: rank_correlation(pairs),
        scale,
        offset_ms,
        fitted_mean_error,
        fitted_worst_error,
        networks: pairs.to_vec(),
    }
}

/// Returns the mean and the largest relative error of a function of the prediction.
fn errors(pairs: &[(f64, f64)], predict: impl Fn(f64) -> f64) -> (f64, f64) {
    let shares = pairs.iter().map(|&(predicted, measured)| (predict(predicted) - measured).abs() / measured);
    let mean = shares.clone().sum::<f64>() / pairs.len() as f64;
    (mean, shares.fold(f64::NAN, f64::max))
}

/// Returns scale and offset of the least relative squares: a regression weighted by 1 / measured².
fn nearest_line(pairs: &[(f64, f64)]) -> (f64, f64) {
    let weighted = |value: fn(f64, f64) -> f64| -> f64 {
        pairs.iter().map(|&(predicted, measured)| value(predicted, measured) / (measured * measured)).sum()
    };
    let weight = weighted(|_, _| 1.0);
    let mean_predicted = weighted(|predicted, _| predicted) / weight;
    let mean_measured = weighted(|_, measured| measured) / weight;
    let mut variance = 0.0;
    let mut covariance = 0.0;
    for &(predicted, measured) in pairs {
        let deviation = (predicted - mean_predicted) / (measured * measured);
        variance += deviation * (predicted - mean_predicted);
        covariance += deviation * (measured - mean_measured);
    }
    let determined = variance > f64::EPSILON * weighted(|predicted, _| predicted * predicted);
    let scale = if determined { covariance / variance } else { 1.0 };
    (scale, mean_measured - scale * mean_predicted)
}

/// Spearman's rank correlation; ties share their mean rank.
fn rank_correlation(pairs: &[(f64, f64)]) -> f64 {
    let predicted = ranks(pairs.iter().map(|pair| pair.0).collect());
    let measured = ranks(pairs.iter().map(|pair| pair.1).collect());
    let middle = (pairs.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum() };
    product(&predicted, &measured) / (product(&predicted, &predicted) * product(&measured, &measured)).sqrt()
}

/// The rank of each value, from 0.
fn ranks(values: Vec<f64>) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + (equal as f64 - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn errors_are_relative_to_the_measured_latency() {
        let calibration = calibrate(&[(9.0, 10.0), (22.0, 20.0), (40.0, 40.0)]);
        assert!(close(calibration.mean_error, 0.2 / 3.0));
        assert!(close(calibration.worst_error, 0.1));
        assert!(close(calibration.rank_correlation, 1.0));
        assert_eq!(calibration.networks.len(), 3);
    }

    #[test]
    fn calibration_recovers_an_exact_line() {
        let pairs: Vec<_> = [1.0, 2.0, 5.0, 7.0].iter().map(|&x| (x, 1.25 * x + 0.5)).collect();
        let calibration = calibrate(&pairs);
        assert!(close(calibration.scale, 1.25) && close(calibration.offset_ms, 0.5));
        assert!(calibration.fitted_worst_error < 1e-9 && calibration.fitted_mean_error < 1e-9);
        assert!(calibration.mean_error > 0.2);
    }

    #[test]
    fn rank_correlation_depends_on_order_and_averages_ties() {
        assert!(close(calibrate(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]).rank_correlation, -1.0));
        let tied = calibrate(&[(1.0, 1.0), (1.0, 2.0), (2.0, 3.0)]).rank_correlation;
        assert!(close(tied, 0.75f64.sqrt()));
    }

    #[test]
    fn one_network_fits_only_an_offset() {
        let calibration = calibrate(&[(3.0, 4.0)]);
        assert!(close(calibration.scale, 1.0) && close(calibration.offset_ms, 1.0));
        assert!(close(calibration.fitted_mean_error, 0.0));
        assert!(calibration.rank_correlation.is_nan());
    }

    #[test]
    fn calibration_without_networks_is_nan() {
        let calibration = calibrate(&[]);
        assert!(calibration.mean_error.is_nan() && calibration.worst_error.is_nan());
        assert!(calibration.rank_correlation.is_nan());
    }
}
