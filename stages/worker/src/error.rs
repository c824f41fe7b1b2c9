use std::fmt::Display;
use std::path::Path;

use tfnas_torch::timing::TimingError;

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
    },
}

/// What a stage gives back: the numbers kept in the ledger beside its outputs.
pub type StageResult = Result<tfnas_stages::Metrics, StageError>;

impl StageError {
    /// A failure without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }

    /// A failure and its way out.
    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: Some(hint.into()) }
    }

    /// A failed operation on a file.
    pub fn file(doing: &str, path: &Path, source: &std::io::Error) -> Self {
        let hint = (source.kind() == std::io::ErrorKind::StorageFull).then(|| "free some space".to_owned());
        Self::Failed { message: format!("cannot {doing} {}: {source}", path.display()), hint }
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
