//! The outcome of a selection, for reports.

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
    /// The regression on the first rung.
    pub regression: RegressionReport,
    /// Spearman correlation of the signals of consecutive rungs, over the candidates in both. 0 if fewer than two are
    /// in both.
    pub rung_spearman: Vec<f64>,
    /// The percentile range of the best candidate among random architectures of the same latency.
    pub percentile: Percentile,
    /// The lead of the best candidate over the second in the last rung, in units of the noise of a score (how far
    /// training and validation loss disagree about the candidates), or in standard deviations of the scores if the
    /// noise is unknown. `None` if fewer than five candidates finished: the losses of so few often agree by chance.
    pub margin: Option<f64>,
    /// Notes for the reader: fewer candidates than requested, diverged trainings.
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
    /// The display name.
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
    /// The rung, from 0, after which it was eliminated. `None` for the candidates that finished the last rung.
    pub eliminated_after: Option<usize>,
    /// Whether its training diverged: a loss was not finite.
    pub diverged: bool,
}

/// The results of the regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionReport {
    /// Spearman correlation between each candidate's result in the first rung and its prediction by a regression on all
    /// others. 0 if it is undefined.
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
    /// The effect in words: "stage 4: fewer blocks are better".
    pub words: String,
}

/// The percentile of the best candidate among random architectures.
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
    /// The data that the estimate is based on.
    pub basis: String,
}
