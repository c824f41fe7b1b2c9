//! The parts of a run's reports that a card and an audit read.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas_stages::Protocol;

use crate::publication::StageRecord;

/// `metrics/parse.json`: the network's latency, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// By the table.
    pub predicted_lat_ms: Option<f64>,
    /// Of the whole network, measured where the run was made; none where that was not asked for.
    pub measured_lat_ms: Option<f64>,
    /// Where most of the measured passes lie: lower end.
    pub measured_lat_ms_low: Option<f64>,
    /// Upper end.
    pub measured_lat_ms_high: Option<f64>,
    /// The device that measured.
    pub device_model: Option<String>,
}

/// Returns what the record of `parse` says of latency.
pub fn measured(parse: &StageRecord) -> Measured {
    let number = |name: &str| parse.metrics.get(name).and_then(Value::as_f64);
    let measured_lat_ms = number("measured_lat_ms");
    Measured {
        predicted_lat_ms: number("predicted_lat_ms"),
        measured_lat_ms,
        measured_lat_ms_low: number("measured_lat_ms_low"),
        measured_lat_ms_high: number("measured_lat_ms_high"),
        device_model: measured_lat_ms.and_then(|_| parse.fact("device_model").map(str::to_owned)),
    }
}

/// What of `architecture.json` is told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ArchitectureFacts {
    /// Side of the images, in pixels.
    pub space_resolution: usize,
    /// Outputs of the classifier.
    pub classes: usize,
    /// Latency that the search had to meet, in milliseconds.
    pub target_lat_ms: f64,
    /// Latency by the table, in milliseconds.
    pub predicted_lat_ms: f64,
    /// The part of it outside the blocks.
    pub base_lat_ms: f64,
    /// Learned numbers.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub flops: u64,
}

/// What of `test.json` is told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TestFacts {
    /// Share of images whose first guess is right.
    pub top1: f64,
    /// Share of images among whose first five guesses is the right one.
    pub top5: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Images.
    pub images: u64,
    /// Images that could not be read.
    pub skipped: u64,
    /// Classes without test images.
    #[serde(default)]
    pub untested: Vec<String>,
}

/// What of `train.json` is told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TrainFacts {
    /// Which images chose the best epoch.
    pub protocol: Protocol,
    /// Training images.
    pub images: u64,
    /// Images that chose the best epoch.
    pub val_images: u64,
    /// The best epoch, from 0.
    pub best_epoch: u64,
    /// Its top-1 on them, as a share.
    pub best_top1: f64,
    /// The epochs.
    pub epochs: Vec<Value>,
}

/// What of `history.json` is told of an epoch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SearchEpoch {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Mean entropy of the operations' probabilities, as a share of its maximum.
    pub operation_entropy: f64,
    /// The architecture parsed after it.
    pub architecture: Vec<Vec<tfnas::Choice>>,
    /// Its latency after the widths were refitted, in milliseconds.
    pub after_lat_ms: f64,
}
