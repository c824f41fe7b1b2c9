//! Files through which a planner and a worker that outlives it communicate.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Metrics;

/// Files of an attempt that planners and a worker that outlives them share. The planner writes the job and which
/// submission may run it; the worker appends its events and replaces its status.
pub mod detached {
    /// The job.
    pub const JOB: &str = "job.json";
    /// [`Submission`](crate::Submission): which submission may run the job.
    pub const SUBMISSION: &str = "submission.json";
    /// The worker's events, one on each line, of all its starts.
    pub const EVENTS: &str = "events.jsonl";
    /// [`WorkerStatus`](crate::WorkerStatus).
    pub const STATUS: &str = "worker_status.json";
}

/// The status of a worker that outlives its planner, replaced atomically at each start and end. It tells a planner how the
/// job ended without asking the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Which submission of the job this is, from 1.
    pub submission: u32,
    /// How often the queue has started this submission again (`SLURM_RESTART_COUNT`).
    pub restart: u32,
    /// The machine.
    pub host: String,
    /// The word itself.
    #[serde(flatten)]
    pub state: WorkerState,
}

/// How far a worker's turn is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum WorkerState {
    /// At work; or it died without a word.
    Running,
    /// The outputs lie in the output folder, complete and synced.
    Done {
        /// What the stage found, apart from its outputs.
        metrics: Metrics,
    },
    /// The stage cannot be done.
    Failed {
        /// What is wrong, and where.
        message: String,
        /// The way out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A signal asked for an end, or another rank was lost, and the worker has ended.
    Interrupted {
        /// What went wrong: all that this rank knows of the other, or what followed the signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// Which submission of a job may run it, written before `sbatch`. A job that starts although its planner has replaced it,
/// because the controller had not replied, finds another number here and exits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// From 1; 0 before the first.
    pub number: u32,
    /// The name of the job in the queue, which no other submission has.
    pub name: String,
    /// The number of the job in the queue, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// How many submissions before it ended without a new resume point.
    #[serde(default)]
    pub without_progress: u32,
    /// The resume points that existed when it was submitted.
    #[serde(default)]
    pub resume_points: Vec<String>,
}

impl WorkerStatus {
    /// Returns the status in `folder`; `None` before the worker has written one.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is not valid.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        read(&folder.join(detached::STATUS))
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write(&folder.join(detached::STATUS), self)
    }
}

impl Submission {
    /// Returns the submission in `folder`; `None` before the first.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is not valid.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        read(&folder.join(detached::SUBMISSION))
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write(&folder.join(detached::SUBMISSION), self)
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    tfnas_fs::write_atomic(path, &serde_json::to_vec(value)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_last_word_is_read_as_it_was_written_and_leaves_nothing_half() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(WorkerStatus::read(folder.path()).unwrap(), None);
        let states = [
            WorkerState::Running,
            WorkerState::Done { metrics: [("top1".to_owned(), 0.5)].into() },
            WorkerState::Failed { message: "the data is odd".to_owned(), hint: None },
            WorkerState::Interrupted { error: Some("rank 1 is gone".to_owned()) },
        ];
        for state in states {
            let word = WorkerStatus { submission: 2, restart: 1, host: "n1".to_owned(), state };
            word.write(folder.path()).unwrap();
            assert_eq!(WorkerStatus::read(folder.path()).unwrap(), Some(word));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(folder.path().join(detached::STATUS), "{").unwrap();
        assert!(WorkerStatus::read(folder.path()).is_err());
    }
}
