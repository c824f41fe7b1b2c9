//! Errors of a selection.

use tfnas::elasticity::RefitError;
use tfnas::exact_fit::ExactFitError;
use tfnas::{ArchitectureError, TableError};

use crate::settings::SettingsError;

/// Why a selection cannot start or continue.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SelectError {
    /// The settings are invalid or turn the selection off.
    #[error("invalid settings of the selection: {0}")]
    Settings(#[from] SettingsError),
    /// The target is not a positive number.
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
    /// No candidate was found.
    #[error(
        "no architecture of the space comes close to the target of {target_ms} ms: there is nothing to select\n  hint: turn the selection off (candidates: 0), or use another target"
    )]
    NoCandidate {
        /// The target latency.
        target_ms: f64,
    },
    /// The parameters of the search do not match the space, or are not finite.
    #[error("the search's {place}: {problem}")]
    Search {
        /// Name of the vector, such as `stage1.block2.log_alphas`.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// The latency table does not cover the space.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The architecture does not belong to the space.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// The architecture cannot be fitted to the target.
    #[error(transparent)]
    Fit(#[from] ExactFitError),
    /// The widths cannot be scaled.
    #[error(transparent)]
    Scale(#[from] RefitError),
    /// The scores do not belong to the candidates of the step.
    #[error("scores of candidates {found:?} given, but the step trains {expected:?}")]
    Candidates {
        /// The candidates that have scores.
        found: Vec<usize>,
        /// The candidates of the step.
        expected: Vec<usize>,
    },
    /// Epochs are missing or superfluous.
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
    #[error("the score of candidate {id} in epoch {epoch} differs from the one recorded for an earlier rung")]
    Changed {
        /// The candidate.
        id: usize,
        /// The epoch.
        epoch: usize,
    },
    /// The validation loss of the last epoch is missing.
    #[error("candidate {id} has no validation loss of epoch {epoch}, the last of its rung")]
    NoValidation {
        /// The candidate.
        id: usize,
        /// The epoch.
        epoch: usize,
    },
    /// All trainings diverged.
    #[error(
        "the training of all {count} candidates diverged (a loss that is not finite)\n  hint: lower the learning rate of the candidates' training"
    )]
    AllDiverged {
        /// Number of trained candidates.
        count: usize,
    },
    /// The selection has already finished.
    #[error("the selection has finished and accepts no more scores")]
    Finished,
}
