//! Errors of a selection.

use tfnas::elasticity::RefitError;
use tfnas::exact_fit::ExactFitError;
use tfnas::{ArchitectureError, TableError};

use crate::settings::SettingsError;

/// Why a selection cannot begin or go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SelectError {
    /// The settings are invalid or turn the selection off.
    #[error("the settings of the selection are wrong: {0}")]
    Settings(#[from] SettingsError),
    /// The target is not a positive time.
    #[error("the target latency is {target_ms} ms: it must be a positive number")]
    Target {
        /// The target.
        target_ms: f64,
    },
    /// No network of the space meets the target.
    #[error(
        "no network of the space meets the target of {target_ms} ms: the fastest one takes {min_ms} ms\n  hint: use a target of at least {min_ms} ms"
    )]
    Unreachable {
        /// The target latency.
        target_ms: f64,
        /// Latency of the fastest network.
        min_ms: f64,
    },
    /// Fewer than two candidates exist.
    #[error(
        "only {found} architecture of the space meets the target of {target_ms} ms: there is nothing to select\n  hint: turn the selection off (candidates: 0), or use a larger space"
    )]
    TooFew {
        /// How many there are.
        found: usize,
        /// The target latency.
        target_ms: f64,
    },
    /// Parameters of a search that are not of this space, or not finite.
    #[error("the search's {place}: {problem}")]
    Search {
        /// Which vector, as `stage1.block2.log_alphas`.
        place: String,
        /// The problem.
        problem: String,
    },
    /// The latency table does not cover the space.
    #[error(transparent)]
    Table(#[from] TableError),
    /// An architecture of another space.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// An architecture that cannot be fitted to the target.
    #[error(transparent)]
    Fit(#[from] ExactFitError),
    /// Widths that cannot be scaled.
    #[error(transparent)]
    Scale(#[from] RefitError),
    /// The scores belong to other candidates than those of the step.
    #[error("scores of candidates {found:?} where the step trains {expected:?}")]
    Candidates {
        /// The candidates that have scores.
        found: Vec<usize>,
        /// The candidates of the step.
        expected: Vec<usize>,
    },
    /// Epochs that are missing, or too many.
    #[error("candidate {id} has scores of epochs {found:?}: they must be those of epochs 1 to {expected}, in order")]
    Epochs {
        /// The candidate.
        id: usize,
        /// The epochs that have scores.
        found: Vec<usize>,
        /// The last epoch of the rung.
        expected: usize,
    },
    /// The scores contradict those recorded before.
    #[error("candidate {id} has another score of epoch {epoch} than was recorded for an earlier rung")]
    Changed {
        /// The candidate.
        id: usize,
        /// The epoch.
        epoch: usize,
    },
    /// No validation at the end of the last rung.
    #[error("candidate {id} has no validation loss of epoch {epoch}, the last of its rung")]
    NoValidation {
        /// The candidate.
        id: usize,
        /// The epoch.
        epoch: usize,
    },
    /// Nothing has a loss to rank by.
    #[error(
        "the training of all {count} candidates diverged (a loss that is not finite)\n  hint: lower the learning rate of the candidates' training"
    )]
    AllDiverged {
        /// How many were trained.
        count: usize,
    },
    /// Scores after the end.
    #[error("the selection has finished: it takes no more scores")]
    Finished,
}
