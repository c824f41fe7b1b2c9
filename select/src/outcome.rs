//! What a selection found, for reports.

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
    /// The rank, from 1, of the architecture that the search prefers.
    pub search_parse_rank: Option<usize>,
    /// What the regression learned from the first rung.
    pub regression: RegressionReport,
    /// Spearman correlation of the signals of consecutive rungs, over the candidates that were in both; 0 where fewer
    /// than two were.
    pub rung_spearman: Vec<f64>,
    /// Between which percentiles of random architectures of the same latency the best candidate stands.
    pub percentile: Percentile,
    /// How far the best candidate is ahead of the second in the last rung, in units of the noise of a score (how far
    /// training and validation loss disagree about the candidates), or in standard deviations of the scores where the
    /// noise is not known. `None` if fewer than five candidates reached the end: their losses often agree by chance.
    pub margin: Option<f64>,
    /// What a reader should know: fewer candidates than asked for, trainings that diverged.
    pub notes: Vec<String>,
}

/// One candidate with its scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranked {
    /// Its number.
    pub id: usize,
    /// Where it comes from.
    pub origin: Origin,
    /// What people call it.
    pub name: String,
    /// The architecture.
    pub architecture: Architecture,
    /// Latency by the table, in milliseconds.
    pub predicted_ms: f64,
    /// Its rank, from 1. Candidates of later rungs come first, diverged ones last.
    pub rank: usize,
    /// Its scores in each rung that it finished.
    pub rungs: Vec<RungScore>,
    /// Its training, epoch by epoch.
    pub epochs: Vec<EpochScore>,
    /// The rung, from 0, after which it did not go on; `None` for the candidates that finished the last rung.
    pub eliminated_after: Option<usize>,
    /// Whether its training diverged: a loss was not finite.
    pub diverged: bool,
}

/// What the regression learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionReport {
    /// Spearman correlation between each candidate's first rung and what a regression on all others predicts for it;
    /// 0 where it is not defined.
    pub leave_one_out_spearman: f64,
    /// Candidates that it was fitted to.
    pub candidates: usize,
    /// Its weights, largest first.
    pub coefficients: Vec<Coefficient>,
}

/// The weight of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coefficient {
    /// The feature, as `stage4.depth`.
    pub feature: String,
    /// By how much the loss (as a standard normal quantile of its rank) rises with one standard deviation of the
    /// feature: negative weights are good.
    pub weight: f64,
    /// What that means: "stage 4: fewer blocks are better".
    pub words: String,
}

/// Where the best candidate stands among random architectures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentile {
    /// Lower end of an 80 % interval (Wilson) of the share of worse random architectures, in percent. The choice among
    /// many candidates is not accounted for: it flatters.
    pub low: f64,
    /// Upper end, in percent.
    pub high: f64,
    /// Random candidates that it is better than.
    pub better_than: usize,
    /// Random candidates, itself not counted.
    pub of: usize,
    /// What this rests on.
    pub basis: String,
}
