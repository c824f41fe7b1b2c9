//! The outputs of stages that a page shows, as they are written; fields that a page does not need are not read.

use serde::Deserialize;
use tfnas::Choice;

/// `history.json`: one epoch of a search.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SearchEpoch {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Learning rate of the weights.
    #[serde(default)]
    pub lr: Option<f64>,
    /// Temperature of the Gumbel softmax.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Mean loss of the weight steps: after the warm-up, the sum over two sampled paths.
    #[serde(default)]
    pub train_loss: Option<f64>,
    /// Share of training images that a sampled path classifies correctly.
    #[serde(default)]
    pub train_top1: Option<f64>,
    /// Mean cross-entropy of the architecture steps; none in the warm-up.
    #[serde(default)]
    pub architecture_loss: Option<f64>,
    /// Mean expected latency of the architecture steps, in milliseconds; none in the warm-up.
    #[serde(default)]
    pub expected_lat_ms: Option<f64>,
    /// Share of validation images that a sampled path classifies correctly; in the last epochs alone.
    #[serde(default)]
    pub val_top1: Option<f64>,
    /// Mean entropy of the operations' probabilities, as a share of its maximum.
    #[serde(default)]
    pub operation_entropy: Option<f64>,
    /// The architecture that would be parsed after this epoch, `[group][kept block]`.
    #[serde(default)]
    pub architecture: Vec<Vec<Choice>>,
    /// Its latency before the widths were fitted, in milliseconds.
    #[serde(default)]
    pub before_lat_ms: Option<f64>,
    /// Its latency after, in milliseconds.
    #[serde(default)]
    pub after_lat_ms: Option<f64>,
    /// Blocks that the epoch before parsed alike, as a share of all.
    #[serde(default)]
    pub agreement: Option<f64>,
}

/// `search.json`: probabilities at the end of a search.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SearchResult {
    /// Log probabilities of the operations, `[block][operation]`; `null` is what JSON has for NaN.
    pub log_alphas: Vec<Vec<Option<f64>>>,
    /// Weights of the depths before the softmax, `[group][block]`.
    pub betas: Vec<Vec<Option<f64>>>,
}

/// `architecture.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ArchitectureReport {
    /// Side of the images, in pixels.
    pub space_resolution: usize,
    /// Classes; 0 if that is not known.
    #[serde(default)]
    pub classes: usize,
    /// Latency that it had to meet, in milliseconds.
    pub target_lat_ms: Option<f64>,
    /// Its latency by the table, in milliseconds.
    pub predicted_lat_ms: Option<f64>,
    /// The part of it outside the blocks, in milliseconds.
    pub base_lat_ms: Option<f64>,
    /// Parameters.
    pub parameters: u64,
    /// Multiply-adds.
    pub flops: u64,
    /// What was changed of the architecture that the search prefers, so that it meets the target.
    #[serde(default)]
    pub changed: Vec<String>,
    /// Its blocks.
    pub blocks: Vec<BlockReport>,
}

/// One block of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BlockReport {
    /// Its name, as `stage1.block2`.
    pub name: String,
    /// The operation, as `k5_e6_se`.
    pub operation: String,
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Channels of the squeeze-excite; 0 without.
    pub se_channels: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Channels of the depthwise convolution.
    pub width: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Stride.
    pub stride: usize,
    /// Latency by the table, in milliseconds.
    pub lat_ms: Option<f64>,
    /// Parameters.
    pub parameters: u64,
    /// Multiply-adds.
    pub flops: u64,
}

/// `train.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Training {
    /// `published` or `held_out`.
    pub protocol: String,
    /// Training images.
    pub images: usize,
    /// Validation images.
    pub val_images: usize,
    /// The epoch with the best validation, from 0.
    pub best_epoch: usize,
    /// The epochs.
    pub epochs: Vec<TrainingEpoch>,
}

/// One epoch of it; shares are of 1.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TrainingEpoch {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Learning rate.
    pub lr: Option<f64>,
    /// Mean loss of the training images.
    pub train_loss: Option<f64>,
    /// Share of training images whose first guess is right.
    pub train_top1: Option<f64>,
    /// Mean loss of the validation images.
    pub val_loss: Option<f64>,
    /// Share of validation images whose first guess is right.
    pub val_top1: Option<f64>,
    /// Share of validation images with the right class among the first five guesses.
    pub val_top5: Option<f64>,
}

/// `test.json`; shares are of 1.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Test {
    /// Share of test images whose first guess is right.
    pub top1: Option<f64>,
    /// Share of test images with the right class among the first five guesses.
    pub top5: Option<f64>,
    /// Mean loss.
    #[serde(default)]
    pub loss: Option<f64>,
    /// Test images.
    pub images: u64,
    /// Test images that could not be read.
    #[serde(default)]
    pub skipped: u64,
    /// The classes.
    #[serde(default)]
    pub classes: Vec<TestClass>,
}

/// One class of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TestClass {
    /// Its name.
    pub name: String,
    /// Its test images.
    pub images: u64,
    /// Share of them whose first guess is right; none without images.
    pub top1: Option<f64>,
}

/// `lookup.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Lookup {
    /// `measured` or `imported`.
    pub origin: String,
    /// The table's name.
    pub name: String,
    /// What it was measured on.
    #[serde(default)]
    pub device: Option<String>,
    /// Latency outside the blocks, in milliseconds.
    pub base_ms: Option<f64>,
    /// Rows.
    pub rows: usize,
    /// The fastest network of the space, in milliseconds.
    pub min_reachable_ms: Option<f64>,
    /// The slowest network of the space, in milliseconds.
    pub max_reachable_ms: Option<f64>,
    /// Its check on whole networks; none for an imported table.
    #[serde(default)]
    pub check: Option<TableCheck>,
}

/// How far sums of a table are from whole networks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TableCheck {
    /// Mean deviation, as a share of what was measured.
    pub mean_error: Option<f64>,
    /// Largest deviation.
    pub worst_error: Option<f64>,
    /// Rank correlation of predicted and measured.
    pub rank_correlation: Option<f64>,
    /// Predicted and measured, in milliseconds.
    pub networks: Vec<(f64, f64)>,
}

/// The latency of a whole network, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Measured {
    /// The median.
    #[serde(rename = "measured_lat_ms")]
    pub median: f64,
    /// The lower quartile.
    #[serde(default, rename = "measured_lat_ms_low")]
    pub low: Option<f64>,
    /// The upper quartile.
    #[serde(default, rename = "measured_lat_ms_high")]
    pub high: Option<f64>,
}

/// An output of a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Output<T> {
    /// The run has none.
    #[default]
    Absent,
    /// There is one, and it cannot be read: why.
    Unreadable(String),
    /// What it holds.
    Read(T),
}

impl<T> Output<T> {
    /// Returns what it holds.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Read(value) => Some(value),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// Returns whether the run has none.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns why it cannot be read.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Unreadable(why) => Some(why),
            Self::Absent | Self::Read(_) => None,
        }
    }
}

impl<'a, T: Deserialize<'a>> Output<T> {
    /// Reads JSON.
    pub fn from_json(bytes: &'a [u8]) -> Self {
        match serde_json::from_slice(bytes) {
            Ok(value) => Self::Read(value),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_none() {
        let read: Output<Vec<SearchEpoch>> = Output::from_json(br#"[{"epoch": 0, "train_loss": null, "unknown": 1}]"#);
        assert_eq!(read.get().map(|epochs| epochs[0].train_loss), Some(None));
        let read: Output<SearchResult> = Output::from_json(br#"{"log_alphas": [[null, -1.0]], "betas": [[0.0]]}"#);
        assert_eq!(read.get().map(|result| result.log_alphas[0][0]), Some(None));
    }

    #[test]
    fn truncated_and_foreign_bytes_are_unreadable() {
        for bytes in [&b"{\"top1\": 0."[..], b"", b"[]", b"\xff\xfe"] {
            let read: Output<Test> = Output::from_json(bytes);
            assert!(read.problem().is_some(), "{bytes:?}");
        }
    }
}
