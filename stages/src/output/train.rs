//! The output of `train` in addition to the weights.

use serde::{Deserialize, Serialize};

use super::number::{missing, nullable};
use crate::Protocol;

/// `train.json`: the losses and accuracies of each epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Which images trained the network and which chose the best epoch.
    pub protocol: Protocol,
    /// Number of training images.
    pub images: usize,
    /// Number of validation images, which choose the best epoch.
    pub val_images: usize,
    /// The epoch with the best validation top-1 accuracy, from 0.
    pub best_epoch: usize,
    /// Validation top-1 accuracy of that epoch.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub best_top1: f64,
    /// The epochs.
    pub epochs: Vec<TrainEpoch>,
}

/// One epoch of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainEpoch {
    /// Number of the epoch, from 0.
    pub epoch: usize,
    /// Learning rate.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub lr: f64,
    /// Mean training loss, with label smoothing.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_loss: f64,
    /// Training top-1 accuracy.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_top1: f64,
    /// Training top-5 accuracy.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_top5: f64,
    /// Mean validation loss, without label smoothing.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub val_loss: f64,
    /// Validation top-1 accuracy.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub val_top1: f64,
    /// Validation top-5 accuracy.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub val_top5: f64,
    /// Number of training and validation images that could not be read.
    #[serde(default)]
    pub skipped: usize,
}
