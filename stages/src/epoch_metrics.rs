//! The metrics of epochs: their names and values, for the events of a run and for the outputs of its stages alike.
//!
//! A metric's step is the number of its epoch, from 0. Values that are not finite have no entry.

use tfnas_select::EpochScore;

use crate::{SearchEpoch, TrainEpoch};

/// The target latency in milliseconds, which `search` and `select` report at their start, as step 0.
pub const TARGET_LAT_MS: &str = "target_lat_ms";
/// The predicted latency of a candidate in milliseconds.
pub const PREDICTED_LAT_MS: &str = "predicted_lat_ms";
/// Prefix of the metrics of a candidate: `candidate/7 uniform draw 3/train_loss`.
const CANDIDATE: &str = "candidate/";

impl TrainEpoch {
    /// Returns the metrics of the epoch.
    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        finite_only([
            ("lr", Some(self.lr)),
            ("train_loss", Some(self.train_loss)),
            ("train_top1", Some(self.train_top1)),
            ("train_top5", Some(self.train_top5)),
            ("val_loss", Some(self.val_loss)),
            ("val_top1", Some(self.val_top1)),
            ("val_top5", Some(self.val_top5)),
        ])
    }
}

impl SearchEpoch {
    /// Returns the metrics of the epoch, without the probabilities: see [`ProbabilityMetrics`](crate::ProbabilityMetrics).
    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        finite_only([
            ("lr", Some(self.lr)),
            ("temperature", Some(self.temperature)),
            ("train_loss", Some(self.train_loss)),
            ("train_top1", Some(self.train_top1)),
            ("architecture_loss", self.architecture_loss),
            ("expected_lat_ms", self.expected_lat_ms),
            ("val_top1", self.val_top1),
            ("operation_entropy", Some(self.operation_entropy)),
            ("agreement", self.agreement),
            ("before_lat_ms", Some(self.before_lat_ms)),
            ("after_lat_ms", Some(self.after_lat_ms)),
        ])
    }
}

fn finite_only<const N: usize>(metrics: [(&'static str, Option<f64>); N]) -> Vec<(&'static str, f64)> {
    metrics.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| value.is_finite())?))).collect()
}

/// Returns the metrics of an epoch of a candidate.
///
/// * `id` and `name`: number and display name of the candidate.
pub fn candidate_metrics(id: usize, name: &str, score: &EpochScore) -> Vec<(String, f64)> {
    let metrics = [("train_loss", Some(score.train_loss)), ("val_loss", score.val_loss), ("val_top1", score.val_top1)];
    let metrics = finite_only(metrics).into_iter();
    metrics.map(|(metric, value)| (candidate_metric(id, name, metric), value)).collect()
}

/// Returns the name of a candidate's metric.
pub fn candidate_metric(id: usize, name: &str, metric: &str) -> String {
    format!("{CANDIDATE}{id} {name}/{metric}")
}

/// Splits the name of a candidate's metric into the candidate, such as `7 uniform draw 3`, and the metric. Returns `None`
/// for other metrics.
pub fn split_candidate_metric(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(CANDIDATE)?.rsplit_once('/')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::StageOutput as _;

    #[test]
    fn epochs_have_a_metric_for_each_finite_value() {
        let json = br#"[{"epoch": 3, "lr": 0.1, "train_loss": null, "expected_lat_ms": 1.5}]"#;
        let epochs = Vec::<SearchEpoch>::from_json(json).unwrap();
        assert_eq!(epochs[0].metrics(), [("lr", 0.1), ("expected_lat_ms", 1.5)]);
        let epoch: TrainEpoch = serde_json::from_str(r#"{"epoch": 0, "val_top1": 0.5}"#).unwrap();
        assert_eq!(epoch.metrics(), [("val_top1", 0.5)]);
    }

    #[test]
    fn the_metrics_of_candidates_name_the_candidate() {
        let score = EpochScore { epoch: 2, train_loss: 1.5, val_loss: Some(f64::NAN), val_top1: Some(0.25) };
        let metrics = candidate_metrics(7, "uniform draw 3", &score);
        let name = |metric: &str| format!("candidate/7 uniform draw 3/{metric}");
        assert_eq!(metrics, [(name("train_loss"), 1.5), (name("val_top1"), 0.25)]);
        assert_eq!(split_candidate_metric(&metrics[0].0), Some(("7 uniform draw 3", "train_loss")));
        assert_eq!(split_candidate_metric("train_loss"), None);
    }
}
