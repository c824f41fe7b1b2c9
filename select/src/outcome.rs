//! The outcome of a selection.

use serde::{Deserialize, Serialize};
use tfnas::Architecture;

use crate::candidate::Origin;
use crate::rung::RungScore;
use crate::score::EpochScore;

/// The result of a selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// All candidates, best first.
    pub ranking: Vec<Ranked>,
    /// The id of the best candidate.
    pub winner: usize,
    /// The rank, from 1, of the architecture found by the search.
    pub search_parse_rank: Option<usize>,
    /// The regression on the first rung.
    pub regression: RegressionReport,
    /// Spearman correlation of the signals of consecutive rungs, over the candidates in both. 0 if fewer than two are
    /// in both.
    pub rung_spearman: Vec<f64>,
    /// The percentile range of the best candidate among random architectures of the same latency.
    pub percentile: Percentile,
    /// The score difference between the best and the second candidate of the last rung, in units of the noise of a
    /// score (the difference between training and validation loss), or in standard deviations of the scores if the
    /// noise is unknown. `None` if fewer than five candidates finished: the losses of so few often agree by chance.
    pub margin: Option<f64>,
    /// Notes: fewer candidates than requested, diverged trainings.
    pub notes: Vec<String>,
}

/// One candidate with its scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranked {
    /// Id of the candidate.
    pub id: usize,
    /// How the candidate was created.
    pub origin: Origin,
    /// Display name.
    pub name: String,
    /// The candidate network.
    pub architecture: Architecture,
    /// Predicted latency, in milliseconds.
    pub predicted_ms: f64,
    /// Rank, from 1. Candidates of later rungs come first, diverged ones last.
    pub rank: usize,
    /// Scores in each completed rung.
    pub rungs: Vec<RungScore>,
    /// Scores of each epoch.
    pub epochs: Vec<EpochScore>,
    /// The rung, from 0, after which it was eliminated; `None` if it completed the last rung.
    pub eliminated_after: Option<usize>,
    /// Whether the training diverged: a loss was not finite.
    pub diverged: bool,
}

/// Results of the regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionReport {
    /// Spearman correlation between each candidate's result in the first rung and its prediction by a regression on all
    /// others; 0 if undefined.
    pub leave_one_out_spearman: f64,
    /// Number of candidates used for the fit.
    pub candidates: usize,
    /// Weights, largest first.
    pub coefficients: Vec<Coefficient>,
}

/// The weight of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coefficient {
    /// Short name of the feature, such as `stage4.depth`.
    pub feature: String,
    /// Change of the loss (as a standard normal quantile of its rank) per standard deviation of the feature. Negative
    /// weights are good.
    pub weight: f64,
    /// The effect in words: "stage 4: fewer blocks are better".
    pub words: String,
}

/// The percentile of the best candidate among random architectures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentile {
    /// Lower end of an 80 % interval (Wilson) of the fraction of worse random architectures, in percent. It is biased
    /// upwards, because the winner is selected among many candidates.
    pub low: f64,
    /// Upper end of the interval, in percent.
    pub high: f64,
    /// Number of random candidates that are worse.
    pub better_than: usize,
    /// Number of random candidates, without the winner.
    pub of: usize,
    /// Description of the data that the estimate is based on.
    pub basis: String,
}
