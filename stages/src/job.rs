//! The job that the planner gives to a worker, and the protocol between the two.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{OnBadImage, Stage, path_text};

/// Version of the protocol between planner and worker. Raise it when the format of [`Job`] or [`Event`](crate::Event) changes,
/// or their meaning.
///
/// The planner writes the job to a file and starts `tfnas-stage run FILE`. The worker writes events to its standard output, one
/// per line, starting with `hello`. Its standard error is kept as the log of the attempt. The planner holds the worker's
/// standard input open. A [`WorkerCommand`] line tells the worker to write a resume point and exit. End of input means that
/// the planner is gone; the worker then exits immediately. The worker writes one file for each output of the stage into the
/// output folder, and never opens the store or the ledger.
///
/// On a cluster the worker can outlive the planner. It is started as `tfnas-stage detached FOLDER SUBMISSION`, reads the job
/// from that folder, appends events to a file there, writes its status to another file
/// ([`WorkerStatus`](crate::WorkerStatus)), and stops on a signal.
///
/// If several processes run a job ([`Job::on_ranks`]), each has the environment variables of torchrun. Rank 0 is started
/// as described above; only rank 0 writes outputs and resume points. The other ranks are started as `tfnas-stage join`. They
/// receive the job from rank 0 through the store of torch.distributed, and report no events except `failed`. On rank 0,
/// `tfnas-stage release` notifies ranks that wait for a job that there are no more jobs.
///
/// Exit codes of the worker: 0 after `done`, 1 after `failed`, 2 for a job that it cannot read, [`NO_MORE_JOBS`] after a
/// release, [`INTERRUPTED`] after a stop.
pub const PROTOCOL_VERSION: u32 = 6;

/// Exit code of a rank that was told that there are no more jobs.
pub const NO_MORE_JOBS: u8 = 3;

/// Exit code of planner and worker after an interrupt: 128 + SIGINT, the convention of shells.
pub const INTERRUPTED: u8 = 130;

/// A job for a worker: one stage with its parameters and inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// [`PROTOCOL_VERSION`] of the planner.
    pub protocol: u32,
    /// Version of the planner. A worker with another version rejects the job.
    pub version: String,
    /// Name of the stage instance, for messages: the stage, or stage and target (`search@12`).
    pub id: String,
    /// The stage to run.
    pub stage: Stage,
    /// The result of [`Stage::params`].
    pub params: Value,
    /// The inputs, by port name.
    pub inputs: BTreeMap<String, Input>,
    /// An empty folder for the outputs.
    #[serde(with = "path_text")]
    pub output_dir: PathBuf,
    /// Folder for resume points. It is kept across interrupted attempts with the same cache key.
    #[serde(with = "path_text")]
    pub resume_dir: PathBuf,
    /// Time between resume points within an epoch, in seconds.
    pub resume_every_s: f64,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Number of compute threads, at least 1.
    pub threads: usize,
    /// Number of threads that decode images in advance.
    pub data_workers: usize,
    /// Whether all ranks run the job, if there are several. Otherwise only rank 0 runs it.
    pub on_ranks: bool,
    /// How long a rank waits for the other ranks, in seconds.
    pub rank_timeout_s: f64,
    /// Images to check before the stage starts, if they have not been checked before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<ImageCheck>,
    /// File for a Chrome trace: profile the stage, and report an [`Event::Profile`](crate::Event::Profile). Results do not depend
    /// on it.
    #[serde(default, with = "path_text::option", skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
}

/// A check that images can be read, which the worker runs before its stage, so that unreadable images are found before hours of
/// computation. The images need not be inputs of the stage, and results do not depend on the check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageCheck {
    /// What to do about images that cannot be read.
    pub on_bad_image: OnBadImage,
    /// The sets of images to check.
    pub sets: Vec<CheckedSet>,
}

/// A folder or list of images to check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedSet {
    /// Configuration key of the set, for messages.
    pub key: String,
    /// The folder or list.
    pub input: Input,
    /// File to which the worker writes the unreadable images and the reasons.
    #[serde(with = "path_text")]
    pub report: PathBuf,
}

/// An input of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The file, or for images the folder that contains them.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// For images: the list file, if the configuration names a list file and not a folder of class folders.
    #[serde(default, with = "path_text::option", skip_serializing_if = "Option::is_none")]
    pub list: Option<PathBuf>,
    /// BLAKE3 digest of the content, in lower-case hexadecimal.
    pub digest: String,
}

/// A command on the worker's standard input, as one line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "command")]
pub enum WorkerCommand {
    /// Write a resume point and exit with [`INTERRUPTED`].
    Stop,
}

/// Why a worker rejected a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The file could not be read.
    #[error("cannot read the job {path}: {source}")]
    Read {
        /// Path of the job file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is not a valid job.
    #[error("{path} is not a job: {source}")]
    Parse {
        /// Path of the job file.
        path: PathBuf,
        /// The syntax error or the invalid field.
        source: serde_json::Error,
    },
    /// Planner and worker have different versions.
    #[error(
        "the planner is tfnas-pipeline {planner} (protocol {planner_protocol}), this worker is tfnas-stage {worker} \
         (protocol {PROTOCOL_VERSION}): build both from the same source"
    )]
    Version {
        /// Version of the planner.
        planner: String,
        /// Protocol version of the planner.
        planner_protocol: u32,
        /// Version of the worker.
        worker: String,
    },
}

impl Job {
    /// Reads a job for a worker of version `worker`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is not a valid job, or if its planner has another version.
    pub fn read(path: &Path, worker: &str) -> Result<Self, JobError> {
        #[derive(Deserialize)]
        struct Versions {
            protocol: u32,
            version: String,
        }
        let text = std::fs::read_to_string(path).map_err(|source| JobError::Read { path: path.to_owned(), source })?;
        let parse = |source| JobError::Parse { path: path.to_owned(), source };
        // Check the versions first: a job of another protocol version may have other fields.
        let versions: Versions = serde_json::from_str(&text).map_err(parse)?;
        same_version(versions.protocol, &versions.version, worker)?;
        serde_json::from_str(&text).map_err(parse)
    }

    /// Checks that the job comes from a planner of the same version as `worker`.
    ///
    /// # Errors
    /// Returns [`JobError::Version`] if it does not.
    pub fn check_version(&self, worker: &str) -> Result<(), JobError> {
        same_version(self.protocol, &self.version, worker)
    }
}

fn same_version(protocol: u32, planner: &str, worker: &str) -> Result<(), JobError> {
    if protocol == PROTOCOL_VERSION && planner == worker {
        return Ok(());
    }
    Err(JobError::Version { planner: planner.to_owned(), planner_protocol: protocol, worker: worker.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn job() -> Job {
        Job {
            protocol: PROTOCOL_VERSION,
            version: "1.2.3".to_owned(),
            id: "split".to_owned(),
            stage: Stage::Split,
            params: serde_json::json!({"seed": 1}),
            inputs: BTreeMap::new(),
            output_dir: "out".into(),
            resume_dir: "resume".into(),
            resume_every_s: 60.0,
            device: "cpu".to_owned(),
            threads: 1,
            data_workers: 0,
            on_ranks: false,
            rank_timeout_s: 20.0,
            check: None,
            trace: Some("trace.json".into()),
        }
    }

    #[test]
    fn a_job_survives_a_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.json");
        std::fs::write(&path, serde_json::to_string(&job()).unwrap()).unwrap();
        assert_eq!(Job::read(&path, "1.2.3").unwrap(), job());
    }

    #[test]
    fn a_job_of_another_version_is_rejected_before_its_unknown_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.json");
        std::fs::write(&path, r#"{"protocol": 99, "version": "9.0.0", "novel": true}"#).unwrap();
        let message = Job::read(&path, "1.2.3").unwrap_err().to_string();
        assert!(message.contains("9.0.0") && message.contains("1.2.3"), "{message}");
    }
}
