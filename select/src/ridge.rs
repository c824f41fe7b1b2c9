//! Ridge regression of losses on the features of architectures.

use crate::stats::{deviation, is_constant, mean, normal_scores};

/// The penalties to try, as multiples of the number of rows.
const PENALTIES: [f64; 11] = [0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// A fitted regression of rank-normalized targets on standardized features.
#[derive(Clone, Debug)]
pub(crate) struct Ridge {
    columns: Vec<Column>,
    /// For each row, the prediction by a regression without it.
    left_out: Vec<f64>,
}

/// A feature that is not constant.
#[derive(Clone, Debug)]
struct Column {
    /// Index of the feature in a row.
    feature: usize,
    mean: f64,
    deviation: f64,
    /// The range of the fitted values. Predictions are clamped to it.
    low: f64,
    high: f64,
    weight: f64,
}

impl Ridge {
    /// Fits the order of `targets`, one per row, with the penalty that has the smallest leave-one-out error.
    ///
    /// All rows must have the same number of finite features. Without rows, or if all features are constant, every
    /// prediction is 0.
    pub(crate) fn fit(rows: &[Vec<f64>], targets: &[f64]) -> Self {
        let mut columns = columns(rows);
        let standardized: Vec<Vec<f64>> = rows.iter().map(|row| standardize(&columns, row)).collect();
        let scores = normal_scores(targets);
        let center = mean(&scores);
        let scores: Vec<f64> = scores.iter().map(|score| score - center).collect();
        let gram = gram(&standardized, columns.len());
        let moments = moments(&standardized, &scores, columns.len());
        let mut best: Option<(f64, Solution)> = None;
        for penalty in PENALTIES {
            let penalty = penalty * rows.len() as f64;
            let Some(solution) = solve(&gram, &moments, penalty, &standardized, &scores) else { continue };
            let error = mean(&solution.errors.iter().map(|error| error * error).collect::<Vec<_>>());
            if best.as_ref().is_none_or(|(smallest, _)| error <= *smallest) {
                best = Some((error, solution));
            }
        }
        let Some((_, solution)) = best else { return Self { columns: Vec::new(), left_out: vec![0.0; rows.len()] } };
        for (column, weight) in columns.iter_mut().zip(&solution.weights) {
            column.weight = *weight;
        }
        let left_out = scores.iter().zip(&solution.errors).map(|(score, error)| score - error).collect();
        Self { columns, left_out }
    }

    /// Returns the predicted score of features. Each feature is clamped to the range of the fitted rows. Low scores
    /// correspond to low targets.
    pub(crate) fn predict(&self, row: &[f64]) -> f64 {
        let clamped =
            |column: &Column| (row[column.feature].clamp(column.low, column.high) - column.mean) / column.deviation;
        self.columns.iter().fold(0.0, |sum, column| sum + column.weight * clamped(column))
    }

    /// Returns for each fitted row the prediction by a regression without it.
    pub(crate) fn left_out(&self) -> &[f64] {
        &self.left_out
    }

    /// Returns the features that are not constant, each with its weight per standard deviation.
    pub(crate) fn weights(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.columns.iter().map(|column| (column.feature, column.weight))
    }
}

fn columns(rows: &[Vec<f64>]) -> Vec<Column> {
    let features = rows.first().map_or(0, Vec::len);
    let column = |feature: usize| {
        let values: Vec<f64> = rows.iter().map(|row| row[feature]).collect();
        let (mean, deviation) = (mean(&values), deviation(&values));
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (!is_constant(deviation, mean)).then_some(Column { feature, mean, deviation, low, high, weight: 0.0 })
    };
    (0..features).filter_map(column).collect()
}

fn standardize(columns: &[Column], row: &[f64]) -> Vec<f64> {
    columns.iter().map(|column| (row[column.feature] - column.mean) / column.deviation).collect()
}

fn gram(rows: &[Vec<f64>], size: usize) -> Vec<Vec<f64>> {
    let product = |i: usize, j: usize| rows.iter().fold(0.0, |sum, row| sum + row[i] * row[j]);
    (0..size).map(|i| (0..size).map(|j| product(i, j)).collect()).collect()
}

fn moments(rows: &[Vec<f64>], scores: &[f64], size: usize) -> Vec<f64> {
    let product = |i: usize| rows.iter().zip(scores).fold(0.0, |sum, (row, score)| sum + row[i] * score);
    (0..size).map(product).collect()
}

struct Solution {
    weights: Vec<f64>,
    /// Leave-one-out error of each row.
    errors: Vec<f64>,
}

/// Returns the weights for one penalty, and the exact leave-one-out errors (with the intercept, without the
/// standardization).
fn solve(gram: &[Vec<f64>], moments: &[f64], penalty: f64, rows: &[Vec<f64>], scores: &[f64]) -> Option<Solution> {
    let mut penalized = gram.to_vec();
    for (index, row) in penalized.iter_mut().enumerate() {
        row[index] += penalty;
    }
    let factor = cholesky(penalized)?;
    let half = forward(&factor, moments);
    let weights = backward(&factor, &half);
    let errors = rows.iter().zip(scores).map(|(row, score)| {
        let fitted = row.iter().zip(&weights).fold(0.0, |sum, (x, weight)| sum + x * weight);
        let leverage = forward(&factor, row).iter().fold(1.0 / rows.len() as f64, |sum, value| sum + value * value);
        (score - fitted) / (1.0 - leverage).max(1e-9)
    });
    Some(Solution { errors: errors.collect(), weights })
}

/// Returns the lower triangle L with L L' = `matrix`, or `None` if the matrix is not positive definite.
fn cholesky(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    for i in 0..matrix.len() {
        for j in 0..=i {
            let sum = (0..j).fold(matrix[i][j], |sum, k| sum - matrix[i][k] * matrix[j][k]);
            if i != j {
                matrix[i][j] = sum / matrix[j][j];
            } else if sum > 0.0 && sum.is_finite() {
                matrix[i][i] = sum.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(matrix)
}

/// Solves L x = `right`.
fn forward(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut x = Vec::with_capacity(right.len());
    for (row, &value) in factor.iter().zip(right) {
        let sum = x.iter().zip(row).fold(value, |sum, (x, l): (&f64, &f64)| sum - x * l);
        x.push(sum / row[x.len()]);
    }
    x
}

/// Solves L' x = `right`.
fn backward(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut x = right.to_vec();
    for i in (0..x.len()).rev() {
        let sum = (i + 1..x.len()).fold(x[i], |sum, k| sum - factor[k][i] * x[k]);
        x[i] = sum / factor[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::spearman;
    use tfnas_random::{Stream, StreamId};

    /// Rows of five features, the last of which is constant. The targets depend on the first two.
    fn data(noise: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut stream = Stream::new(0, StreamId::Select, 0, 0);
        let rows: Vec<Vec<f64>> = (0..40)
            .map(|_| {
                let mut row: Vec<f64> = (0..4).map(|_| stream.normal()).collect();
                row.push(7.0);
                row
            })
            .collect();
        let targets = rows.iter().map(|row| 2.0 * row[0] - row[1] + noise * stream.normal()).collect();
        (rows, targets)
    }

    #[test]
    fn weights_reflect_the_relevant_features() {
        let (rows, targets) = data(0.3);
        let ridge = Ridge::fit(&rows, &targets);
        let weights: Vec<(usize, f64)> = ridge.weights().collect();
        assert_eq!(weights.len(), 4, "the constant feature is dropped");
        assert!(weights[0].1 > 0.5 && weights[1].1 < -0.2 && weights[2].1.abs() < 0.15);
        let fitted: Vec<f64> = rows.iter().map(|row| ridge.predict(row)).collect();
        assert!(spearman(&fitted, &targets) > 0.95);
    }

    #[test]
    fn leave_one_out_errors_match_explicit_refits() {
        let (rows, targets) = data(1.0);
        let columns = columns(&rows);
        let all: Vec<Vec<f64>> = rows.iter().map(|row| standardize(&columns, row)).collect();
        let center = mean(&targets);
        let centered: Vec<f64> = targets.iter().map(|target| target - center).collect();
        let fit =
            |rows: &[Vec<f64>], targets: &[f64]| solve(&gram(rows, 4), &moments(rows, targets, 4), 5.0, rows, targets);
        let Some(full) = fit(&all, &centered) else { panic!("not positive definite") };
        // Without row 7 and with an unpenalized intercept: center the remaining rows.
        let keep = |at: &usize| *at != 7;
        let left: Vec<usize> = (0..40).filter(keep).collect();
        let means: Vec<f64> = (0..4).map(|j| mean(&left.iter().map(|&i| all[i][j]).collect::<Vec<_>>())).collect();
        let middle = mean(&left.iter().map(|&i| centered[i]).collect::<Vec<_>>());
        let shifted: Vec<Vec<f64>> =
            left.iter().map(|&i| all[i].iter().zip(&means).map(|(x, mean)| x - mean).collect()).collect();
        let scores: Vec<f64> = left.iter().map(|&i| centered[i] - middle).collect();
        let Some(part) = fit(&shifted, &scores) else { panic!("not positive definite") };
        let prediction = (0..4).fold(middle, |sum, j| sum + part.weights[j] * (all[7][j] - means[j]));
        assert!((centered[7] - prediction - full.errors[7]).abs() < 1e-9);
    }

    #[test]
    fn predictions_do_not_extrapolate() {
        let (rows, targets) = data(0.3);
        let ridge = Ridge::fit(&rows, &targets);
        let largest = rows.iter().map(|row| row[0]).fold(f64::NEG_INFINITY, f64::max);
        let at = |x: f64| ridge.predict(&[x, 0.0, 0.0, 0.0, 7.0]);
        assert_eq!(at(largest + 100.0), at(largest));
    }

    #[test]
    fn noise_is_fitted_with_small_weights() {
        let (rows, _) = data(0.0);
        let mut stream = Stream::new(1, StreamId::Select, 0, 0);
        let targets: Vec<f64> = rows.iter().map(|_| stream.normal()).collect();
        let ridge = Ridge::fit(&rows, &targets);
        assert!(ridge.weights().all(|(_, weight)| weight.abs() < 0.25));
    }

    #[test]
    fn degenerate_rows_predict_0() {
        for (rows, targets) in [
            (Vec::new(), Vec::new()),
            (vec![vec![1.0, 2.0]], vec![3.0]),
            (vec![vec![1.0]; 4], vec![1.0, 2.0, 3.0, 4.0]),
            (vec![vec![1.0], vec![2.0], vec![3.0]], vec![5.0; 3]),
        ] {
            let ridge = Ridge::fit(&rows, &targets);
            assert_eq!(ridge.left_out().len(), rows.len());
            let prediction = ridge.predict(&[1.5, 1.5]);
            assert!(prediction.abs() < 1e-12, "{prediction}");
        }
    }
}
