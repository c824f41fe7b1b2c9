use std::path::PathBuf;

use tfnas_artifacts::Attempt;

/// The result of running an instance.
#[derive(Debug)]
pub enum TaskResult {
    /// A worker has run it successfully.
    Done(Box<Attempt>),
    /// Another process has run it successfully.
    Used(Box<Attempt>),
    /// It has failed.
    Failed(TaskFailure),
    /// It was stopped by the user.
    Interrupted,
    /// The job continues in the queue without this planner.
    Detached {
        /// Number of the job, if known.
        job: Option<String>,
    },
    /// An input is damaged: the instance that makes it must rerun first.
    Damaged {
        /// Index of the instance that makes the input.
        upstream: usize,
        /// What is damaged.
        message: String,
    },
}

/// Why an instance failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFailure {
    /// What went wrong.
    pub message: String,
    /// How to fix it.
    pub hint: Option<String>,
    /// Path of the worker's log file.
    pub log: Option<PathBuf>,
    /// The last lines of the log.
    pub tail: Vec<String>,
    /// Whether the worker failed only because another rank did.
    pub peer: bool,
}

impl TaskFailure {
    /// Creates a failure with only a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}
