//! Errors of stages.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use tfnas_c10d::cuda::CudaError;
use tfnas_c10d::rendezvous::RendezvousError;
use tfnas_c10d::{Cause, CollectiveError};
use tfnas_torch::timing::TimingError;
use tfnas_torch::trainer::TrainStepError;

use crate::console::print_error;

/// Why a stage ended without outputs.
#[derive(Debug)]
pub enum StageError {
    /// The planner asked the stage to stop; the stage has written a resume point.
    Stopped,
    /// The stage failed.
    Failed {
        /// What failed, and where.
        message: String,
        /// How to fix it.
        hint: Option<String>,
        /// Whether the only known failure is that another rank is lost or failed.
        peer: bool,
    },
}

/// The result of a stage: numbers for the ledger.
pub type StageResult = Result<tfnas_stages::Metrics, StageError>;

impl StageError {
    /// Creates a failure without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None, peer: false }
    }

    /// Creates a failure with a hint.
    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: Some(hint.into()), peer: false }
    }

    /// Creates a failure for an I/O error. `doing` is a verb such as `read`.
    pub fn file(doing: &str, path: &Path, source: &std::io::Error) -> Self {
        let hint = (source.kind() == std::io::ErrorKind::StorageFull).then(|| "free some space".to_owned());
        Self::Failed { message: format!("cannot {doing} {}: {source}", path.display()), hint, peer: false }
    }
}

impl From<TimingError> for StageError {
    fn from(error: TimingError) -> Self {
        match error {
            TimingError::Stopped => Self::Stopped,
            error => Self::new(error.to_string()),
        }
    }
}

impl From<CollectiveError> for StageError {
    fn from(error: CollectiveError) -> Self {
        let peer = !matches!(error.cause, Cause::Refused { .. });
        Self::Failed { message: error.to_string(), hint: None, peer }
    }
}

impl From<CudaError> for StageError {
    fn from(error: CudaError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<RendezvousError> for StageError {
    fn from(error: RendezvousError) -> Self {
        let peer = matches!(error, RendezvousError::Missing { .. });
        Self::Failed { message: error.to_string(), hint: None, peer }
    }
}

impl From<TrainStepError> for StageError {
    fn from(error: TrainStepError) -> Self {
        match error {
            TrainStepError::Collective(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

/// Returns the exit code of a command outside a pipeline, and prints its error to standard error.
pub fn exit_code(result: Result<(), StageError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(StageError::Failed { message, .. }) => {
            print_error(&message);
            ExitCode::FAILURE
        }
        Err(StageError::Stopped) => ExitCode::FAILURE,
    }
}

/// Adds context to errors.
pub trait Context<T> {
    /// Converts an error to a failure of the stage, with `doing` as prefix of the message.
    fn context(self, doing: impl Display) -> Result<T, StageError>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, doing: impl Display) -> Result<T, StageError> {
        self.map_err(|error| StageError::new(format!("{doing}: {error}")))
    }
}
