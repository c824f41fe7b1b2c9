//! The files through which a planner communicates with a detached worker, which can outlive it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Metrics;

/// Names of the files in the folder of a detached attempt. The planner writes the job and the number of the submission that may
/// run it. The worker appends its events and replaces its status.
pub mod detached {
    /// [`Job`](crate::Job).
    pub const JOB: &str = "job.json";
    /// [`Submission`](crate::Submission): which submission may run the job.
    pub const SUBMISSION: &str = "submission.json";
    /// The worker's events, one per line, of all its restarts.
    pub const EVENTS: &str = "events.jsonl";
    /// [`WorkerStatus`](crate::WorkerStatus).
    pub const STATUS: &str = "worker_status.json";
}

/// The status of a detached worker. The worker replaces it atomically when it starts and when it ends, so that a planner can
/// read how the job ended without querying the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Number of the submission, from 1.
    pub submission: u32,
    /// Number of times that the queue has restarted this submission (`SLURM_RESTART_COUNT`).
    pub restart: u32,
    /// Name of the node.
    pub host: String,
    /// The state of the worker.
    #[serde(flatten)]
    pub state: WorkerState,
}

/// The state of a detached worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum WorkerState {
    /// The worker is running, or it died without updating its status.
    Running,
    /// The outputs are in the output folder, complete and synced to disk.
    Done {
        /// Numbers for the ledger.
        metrics: Metrics,
    },
    /// The stage failed.
    Failed {
        /// What failed, and where.
        message: String,
        /// How to fix it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The worker exited because of a signal or because another rank was lost.
    Interrupted {
        /// The error after the signal, or the error about the other rank.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// The submission that may run a job, written before `sbatch` is called. If the controller does not reply, the planner submits
/// again; when the earlier submission starts after all, it finds another number here and exits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Number of the submission, from 1; 0 before the first.
    pub number: u32,
    /// Name of the job in the queue, unique to this submission.
    pub name: String,
    /// ID of the job in the queue, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Number of preceding submissions that ended without a new resume point.
    #[serde(default)]
    pub without_progress: u32,
    /// Resume points that existed at the time of the submission.
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

    /// Writes the file to `folder` atomically.
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

    /// Writes the file to `folder` atomically.
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
    fn a_status_survives_a_round_trip_and_leaves_no_temporary_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(WorkerStatus::read(folder.path()).unwrap(), None);
        let states = [
            WorkerState::Running,
            WorkerState::Done { metrics: [("top1".to_owned(), 0.5)].into() },
            WorkerState::Failed { message: "the data is invalid".to_owned(), hint: None },
            WorkerState::Interrupted { error: Some("rank 1 is gone".to_owned()) },
        ];
        for state in states {
            let status = WorkerStatus { submission: 2, restart: 1, host: "n1".to_owned(), state };
            status.write(folder.path()).unwrap();
            assert_eq!(WorkerStatus::read(folder.path()).unwrap(), Some(status));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(folder.path().join(detached::STATUS), "{").unwrap();
        assert!(WorkerStatus::read(folder.path()).is_err());
    }
}
