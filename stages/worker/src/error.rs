use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use tfnas_c10d::cuda::CudaError;
use tfnas_c10d::rendezvous::RendezvousError;
use tfnas_c10d::{Cause, CollectiveError};
use tfnas_torch::timing::TimingError;
use tfnas_torch::trainer::TrainStepError;

use crate::console::complain;

/// Why a stage ended without its outputs.
#[derive(Debug)]
pub enum StageError {
    /// The planner asked it to stop; a resume point lies in the resume folder.
    Stopped,
    /// It cannot be done.
    Failed {
        /// What is wrong, and where.
        message: String,
        /// The way out, where there is one.
        hint: Option<String>,
        /// Whether all that is known here is that another rank does not do its part.
        peer: bool,
    },
}

/// What a stage gives back: the numbers kept in the ledger beside its outputs.
pub type StageResult = Result<tfnas_stages::Metrics, StageError>;

impl StageError {
    /// A failure without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None, peer: false }
    }

    /// A failure and its way out.
    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: Some(hint.into()), peer: false }
    }

    /// A failed operation on a file.
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

/// The exit code of an answer outside a pipeline; says on standard error why there is none.
pub fn answered(result: Result<(), StageError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(StageError::Failed { message, .. }) => {
            complain(&message);
            ExitCode::FAILURE
        }
        Err(StageError::Stopped) => ExitCode::FAILURE,
    }
}

/// Gives errors of the libraries their place.
pub trait Context<T> {
    /// Turns an error into a failed stage, with what was being done before it.
    fn context(self, doing: impl Display) -> Result<T, StageError>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, doing: impl Display) -> Result<T, StageError> {
        self.map_err(|error| StageError::new(format!("{doing}: {error}")))
    }
}
