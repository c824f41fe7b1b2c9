use std::path::PathBuf;

use tfnas_artifacts::Attempt;

/// How the work on an instance ended.
#[derive(Debug)]
pub enum TaskResult {
    /// A worker did it.
    Done(Box<Attempt>),
    /// Another process did it meanwhile.
    Used(Box<Attempt>),
    /// It could not be done.
    Failed(TaskFailure),
    /// It was stopped from outside.
    Interrupted,
    /// It goes on without this planner, in the queue of the cluster.
    Detached {
        /// Its job, where that is known.
        job: Option<String>,
    },
    /// An input was damaged: the instance at this position has to run again first.
    Damaged {
        /// Position of the instance whose output it is.
        upstream: usize,
        /// What is wrong.
        message: String,
    },
}

/// Why an instance has no result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFailure {
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
    /// The file that keeps the worker's log.
    pub log: Option<PathBuf>,
    /// Its last lines.
    pub tail: Vec<String>,
    /// Whether the worker knows no more than that another rank does not do its part.
    pub peer: bool,
}

impl TaskFailure {
    /// A failure that is told in one message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}
