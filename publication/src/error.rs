use std::error::Error;

use tfnas_artifacts::{CacheError, FileError, LedgerError};
use tfnas_planner::config::ConfigError;
use tfnas_planner::network_file::NetworkFileError;

/// Who can fix an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user: arguments, configuration, data or store are invalid.
    Usage,
    /// The operation failed. Other arguments do not help.
    Failed,
}

/// A network cannot be published, or an audit cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PublicationError {
    /// Who can fix the error.
    pub kind: ErrorKind,
    /// What is wrong, and where.
    pub message: String,
    /// How to fix the error.
    pub hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PublicationError {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Usage, message: message.into(), hint: None, source: None }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, ..Self::usage(message) }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn of(source: impl Error + Send + Sync + 'static) -> Self {
        let message = source.to_string();
        Self { source: Some(Box::new(source)), ..Self::usage(message) }
    }
}

impl From<ConfigError> for PublicationError {
    fn from(error: ConfigError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::of(error) }
    }
}

impl From<CacheError> for PublicationError {
    fn from(error: CacheError) -> Self {
        Self::of(error)
    }
}

impl From<LedgerError> for PublicationError {
    fn from(error: LedgerError) -> Self {
        Self::of(error)
    }
}

impl From<NetworkFileError> for PublicationError {
    fn from(error: NetworkFileError) -> Self {
        Self::of(error)
    }
}

impl From<FileError> for PublicationError {
    fn from(error: FileError) -> Self {
        Self::of(error)
    }
}
