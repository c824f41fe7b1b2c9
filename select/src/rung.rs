//! Ranks the candidates of a rung by their training and by the regression.

use serde::{Deserialize, Serialize};

use crate::score::EpochScore;
use crate::stats::{deviation, limited, mean, z_scores};

/// Last epoch up to which the sum of the training losses is a better criterion than the last loss.
const SUMMED_EPOCHS: usize = 3;

/// The scores of a candidate in one rung, standardized over the candidates of the rung. Lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungScore {
    /// The rung, from 0.
    pub rung: usize,
    /// Number of training epochs at its end.
    pub epochs: usize,
    /// Score of the training.
    pub signal: f64,
    /// Score predicted by the regression from the architecture.
    pub prediction: f64,
    /// Weighted sum of both, used for ranking.
    pub blended: f64,
}

/// The position of a rung.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rung {
    pub(crate) index: usize,
    pub(crate) epochs: usize,
    pub(crate) is_last: bool,
}

impl Rung {
    /// Returns the weight of the training; the remainder is the weight of the regression. It grows with the number of
    /// epochs.
    fn signal_weight(self) -> f64 {
        if self.is_last {
            0.9
        } else if self.index == 0 {
            0.5
        } else {
            0.65
        }
    }

    /// Returns the unstandardized signals of the trainings of one rung; lower is better. Every training must have all
    /// epochs with finite losses, and in the last rung a validation loss of its last epoch.
    pub(crate) fn signals(self, trainings: &[&[EpochScore]]) -> Vec<f64> {
        if self.is_last {
            let (train, validation) = self.last_losses(trainings);
            return train.iter().zip(&validation).map(|(train, validation)| (train + validation) / 2.0).collect();
        }
        let summed = self.epochs <= SUMMED_EPOCHS;
        let signal = |scores: &&[EpochScore]| {
            let mut losses = scores.iter().map(|score| score.train_loss);
            if summed { losses.sum() } else { losses.next_back().unwrap_or(f64::NAN) }
        };
        trainings.iter().map(signal).collect()
    }

    /// Standardized training and validation losses of the last epoch.
    fn last_losses(self, trainings: &[&[EpochScore]]) -> (Vec<f64>, Vec<f64>) {
        let last = |of: fn(&EpochScore) -> f64| -> Vec<f64> {
            let losses: Vec<f64> = trainings.iter().map(|scores| scores.last().map_or(f64::NAN, of)).collect();
            z_scores(&limited(&losses))
        };
        (last(|score| score.train_loss), last(|score| score.val_loss.unwrap_or(f64::NAN)))
    }

    /// Returns the scores of a rung, in the order of the trainings.
    pub(crate) fn scores(self, trainings: &[&[EpochScore]], predictions: &[f64]) -> Vec<RungScore> {
        let weight = self.signal_weight();
        let signals = z_scores(&limited(&self.signals(trainings)));
        let predictions = z_scores(predictions);
        let scores = signals.into_iter().zip(predictions).map(|(signal, prediction)| RungScore {
            rung: self.index,
            epochs: self.epochs,
            signal,
            prediction,
            blended: weight * signal + (1.0 - weight) * prediction,
        });
        scores.collect()
    }

    /// Returns the noise of a blended score in the last rung, estimated from the difference between training and
    /// validation loss.
    pub(crate) fn noise(self, trainings: &[&[EpochScore]]) -> Option<f64> {
        if !self.is_last || trainings.len() < 3 {
            return None;
        }
        let scale = deviation(&self.signals(trainings));
        let (train, validation) = self.last_losses(trainings);
        let squares: Vec<f64> = train.iter().zip(&validation).map(|(a, b)| (a - b) * (a - b) / 4.0).collect();
        let noise = self.signal_weight() * mean(&squares).sqrt() / scale;
        (noise.is_finite() && noise > 0.0).then_some(noise)
    }
}

/// Returns the indices of the scores, best first. Ties keep their order.
pub(crate) fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(losses: &[f64], val_loss: f64) -> Vec<EpochScore> {
        let score = |(index, &train_loss): (usize, &f64)| {
            let val_loss = (index + 1 == losses.len()).then_some(val_loss);
            EpochScore { epoch: index + 1, train_loss, val_loss, val_top1: None }
        };
        losses.iter().enumerate().map(score).collect()
    }

    fn rung(epochs: usize, is_last: bool) -> Rung {
        Rung { index: usize::from(epochs > 1), epochs, is_last }
    }

    #[test]
    fn early_rungs_sum_losses_and_later_ones_use_the_last() {
        let (a, b) = (training(&[3.0, 1.0, 1.0], 9.0), training(&[2.0, 2.0, 2.0], 9.0));
        assert_eq!(rung(3, false).signals(&[&a, &b]), [5.0, 6.0]);
        let (a, b) = (training(&[3.0, 1.0, 1.0, 2.0], 9.0), training(&[2.0, 2.0, 2.0, 1.5], 9.0));
        assert_eq!(rung(4, false).signals(&[&a, &b]), [2.0, 1.5]);
    }

    #[test]
    fn the_last_rung_weights_training_and_validation_equally() {
        let trainings = [training(&[1.0; 5], 30.0), training(&[2.0; 5], 20.0), training(&[3.0; 5], 10.0)];
        let slices: Vec<&[EpochScore]> = trainings.iter().map(Vec::as_slice).collect();
        assert!(rung(5, true).signals(&slices).iter().all(|signal| signal.abs() < 1e-12));
    }

    #[test]
    fn blending_is_weighted_by_the_rung() {
        let (a, b) = (training(&[1.0], 1.0), training(&[2.0], 2.0));
        for (rung, weight) in [(rung(1, false), 0.5), (rung(3, false), 0.65), (rung(3, true), 0.9)] {
            let scores = rung.scores(&[&a, &b], &[5.0, 4.0]);
            assert_eq!((scores[0].signal, scores[0].prediction), (-1.0, 1.0));
            assert!((scores[0].blended - (1.0 - 2.0 * weight)).abs() < 1e-12);
        }
    }

    #[test]
    fn an_outlier_does_not_hide_the_differences_between_the_others() {
        for is_last in [false, true] {
            let losses = [1.00, 1.02, 1.04, 1.06, 1.08, 30.0];
            let trainings = losses.map(|loss| training(&[loss], loss + 0.2));
            let slices: Vec<&[EpochScore]> = trainings.iter().map(Vec::as_slice).collect();
            let scores = rung(4, is_last).scores(&slices, &[1.0, 0.5, 0.2, 0.0, -0.5, -1.2]);
            let blended: Vec<f64> = scores.iter().map(|score| score.blended).collect();
            assert_eq!(order(&blended)[5], 5, "{blended:?}");
            assert!(scores[4].signal - scores[0].signal > 1.0, "{blended:?}");
        }
        let (best, worst) = (training(&[1.00], 1.2), training(&[1.08], 1.28));
        let others = [1.02, 1.04, 1.06, 30.0].map(|loss| training(&[loss], loss + 0.2));
        let slices: Vec<&[EpochScore]> = [&best, &worst].into_iter().chain(&others).map(Vec::as_slice).collect();
        let scores = rung(4, true).scores(&slices, &[1.0, -0.5, 0.5, 0.2, 0.0, -1.2]);
        assert!(scores[0].blended < scores[1].blended, "the training decides in the last rung");
    }

    #[test]
    fn noise_is_the_difference_of_training_and_validation() {
        let agree = [training(&[1.0], 1.0), training(&[2.0], 2.0), training(&[3.0], 3.0)];
        let agree: Vec<&[EpochScore]> = agree.iter().map(Vec::as_slice).collect();
        assert_eq!(rung(1, true).noise(&agree), None);
        let differ = [training(&[1.0], 1.0), training(&[2.0], 3.0), training(&[3.0], 2.0)];
        let differ: Vec<&[EpochScore]> = differ.iter().map(Vec::as_slice).collect();
        assert!(rung(1, true).noise(&differ).is_some_and(|noise| (0.3..0.8).contains(&noise)));
        assert_eq!(rung(1, false).noise(&differ), None);
        assert_eq!(rung(1, true).noise(&differ[..2]), None);
    }

    #[test]
    fn equal_scores_keep_their_order() {
        assert_eq!(order(&[2.0, 1.0, 2.0, 1.0]), [1, 3, 0, 2]);
    }
}
