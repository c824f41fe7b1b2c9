use serde::{Deserialize, Serialize};

use super::number::{missing, nullable};
use crate::Protocol;

/// `train.json`: the training, epoch by epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Which images chose the best epoch.
    pub protocol: Protocol,
    /// Training images.
    pub images: usize,
    /// Images that chose the best epoch.
    pub val_images: usize,
    /// The epoch with the best top-1 on them, from 0.
    pub best_epoch: usize,
    /// Its top-1 on them.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub best_top1: f64,
    /// The epochs.
    pub epochs: Vec<TrainEpoch>,
}

/// One epoch of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainEpoch {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Learning rate.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub lr: f64,
    /// Mean loss of the training images, with label smoothing if the configuration asks for it.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_loss: f64,
    /// Share of training images whose first guess is right.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_top1: f64,
    /// Share of training images with the right class among the first five guesses.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_top5: f64,
    /// Mean loss of the validation images.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub val_loss: f64,
    /// Share of validation images whose first guess is right.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub val_top1: f64,
    /// Share of validation images with the right class among the first five guesses.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub val_top5: f64,
    /// Training and validation images that could not be read.
    #[serde(default)]
    pub skipped: usize,
}
