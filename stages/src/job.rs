use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{OnBadImage, Stage, path_text};

/// Version of the protocol between planner and worker: the shapes of [`Job`] and [`Event`](crate::Event), and what
/// the two do with them. A change of either raises it.
///
/// The planner writes the job to a file and starts `tfnas-stage run FILE`. The worker answers with one event a line on
/// its standard output, the first of them `hello`; what it writes to standard error is kept as its log. The planner
/// holds the worker's standard input open: a [`WorkerCommand`] line on it asks for a resume point and an orderly end, and its
/// end means that the planner is gone, on which the worker ends at once. The worker leaves one file for each of the
/// stage's outputs in the output folder, and never opens the store or the ledger.
///
/// Where the planner need not be there (a cluster), the worker is started as `tfnas-stage detached FOLDER SUBMISSION`: it finds the
/// job in that folder, appends its events to a file there, keeps its status in another ([`WorkerStatus`](crate::WorkerStatus)), and
/// hears in signals that it is to end.
///
/// Where several processes do a job ([`Stage::runs_on_ranks`]), each has torchrun's variables in its environment. That of rank 0
/// is started as above; it alone writes outputs and resume points. The others are started as `tfnas-stage join`: each gets the
/// job from rank 0 over the store, takes part in it, and says nothing but, where it fails, `failed`. `tfnas-stage release`
/// on rank 0 tells those that wait for a job that none will come.
///
/// Exit codes of the worker: 0 after `done`, 1 after `failed`, 2 for a job it cannot read, [`NO_MORE_JOBS`] after a release,
/// [`INTERRUPTED`] after a stop.
pub const PROTOCOL_VERSION: u32 = 4;

/// Exit code of a rank that was told that no job will come.
pub const NO_MORE_JOBS: u8 = 3;

/// Exit code of planner and worker after an interrupt: 128 and the number of SIGINT, as shells count.
pub const INTERRUPTED: u8 = 130;

/// One piece of work for a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// [`PROTOCOL_VERSION`] of the planner.
    pub protocol: u32,
    /// Version of the planner; a worker of another version refuses the job.
    pub version: String,
    /// Instance of the stage, for messages: the stage's name, or name and target (`search@12`).
    pub id: String,
    /// The stage.
    pub stage: Stage,
    /// What [`Stage::params`] gave.
    pub params: Value,
    /// The inputs, by the names of their ports.
    pub inputs: BTreeMap<String, Input>,
    /// An empty folder that takes the outputs.
    #[serde(with = "path_text")]
    pub output_dir: PathBuf,
    /// A folder kept over interrupted attempts of the same action key, for resume points.
    #[serde(with = "path_text")]
    pub resume_dir: PathBuf,
    /// Seconds between resume points within an epoch.
    pub resume_every_s: f64,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads to compute with: at least 1.
    pub threads: usize,
    /// Threads that decode images ahead.
    pub data_workers: usize,
    /// Seconds that a rank waits for the others, where several processes do the job.
    pub rank_timeout_s: f64,
    /// Images to look at before anything else, where nobody has done so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<ImageCheck>,
}

/// Images that a worker looks at before its own work: they need not be inputs of its stage, and no result depends on them.
/// Those that cannot be read are found before hours were computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageCheck {
    /// Whether an image that cannot be read fails the job.
    pub on_bad_image: OnBadImage,
    /// The images.
    pub sets: Vec<CheckedSet>,
}

/// A folder or list of images to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedSet {
    /// The key of the configuration that names it, for messages.
    pub key: String,
    /// Where it is.
    pub input: Input,
    /// The file that takes the names of all images that cannot be read, and why.
    #[serde(with = "path_text")]
    pub report: PathBuf,
}

/// An input of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The file; for images, the folder that holds them.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// For images: the list file that names them, where the configuration names a list instead of class folders.
    #[serde(default, with = "path_text::option", skip_serializing_if = "Option::is_none")]
    pub list: Option<PathBuf>,
    /// BLAKE3 of the content, in lower-case hexadecimal.
    pub digest: String,
}

/// A line on the worker's standard input: make a resume point, then end with exit code 130.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "command")]
pub enum WorkerCommand {
    /// The only one there is.
    Stop,
}

/// Why a job was refused.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The file could not be read.
    #[error("cannot read the job {path}: {source}")]
    Read {
        /// The job's file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no job.
    #[error("{path} is not a job: {source}")]
    Parse {
        /// The job's file.
        path: PathBuf,
        /// Where and why it could not be read.
        source: serde_json::Error,
    },
    /// Planner and worker are of different versions.
    #[error(
        "the planner is tfnas-pipeline {planner} (protocol {planner_contract}), this worker is tfnas-stage {worker} \
         (protocol {PROTOCOL_VERSION}): build both from the same source"
    )]
    Version {
        /// The planner's version.
        planner: String,
        /// The planner's protocol.
        planner_contract: u32,
        /// The worker's version.
        worker: String,
    },
}

impl Job {
    /// Reads a job, and refuses that of another version than `worker`.
    ///
    /// # Errors
    /// Any [`JobError`].
    pub fn read(path: &Path, worker: &str) -> Result<Self, JobError> {
        #[derive(Deserialize)]
        struct Versions {
            protocol: u32,
            version: String,
        }
        let text = std::fs::read_to_string(path).map_err(|source| JobError::Read { path: path.to_owned(), source })?;
        let parse = |source| JobError::Parse { path: path.to_owned(), source };
        // The versions first: a job of another protocol may have other fields.
        let versions: Versions = serde_json::from_str(&text).map_err(parse)?;
        same_version(versions.protocol, &versions.version, worker)?;
        serde_json::from_str(&text).map_err(parse)
    }

    /// Refuses a job of another version than `worker`.
    ///
    /// # Errors
    /// [`JobError::Version`].
    pub fn check_version(&self, worker: &str) -> Result<(), JobError> {
        same_version(self.protocol, &self.version, worker)
    }
}

fn same_version(protocol: u32, planner: &str, worker: &str) -> Result<(), JobError> {
    if protocol == PROTOCOL_VERSION && planner == worker {
        return Ok(());
    }
    Err(JobError::Version { planner: planner.to_owned(), planner_contract: protocol, worker: worker.to_owned() })
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
            rank_timeout_s: 20.0,
            check: None,
        }
    }

    #[test]
    fn a_job_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.json");
        std::fs::write(&path, serde_json::to_string(&job()).unwrap()).unwrap();
        assert_eq!(Job::read(&path, "1.2.3").unwrap(), job());
    }

    #[test]
    fn a_job_of_another_version_is_refused_even_when_its_fields_are_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.json");
        std::fs::write(&path, r#"{"protocol": 99, "version": "9.0.0", "novel": true}"#).unwrap();
        let message = Job::read(&path, "1.2.3").unwrap_err().to_string();
        assert!(message.contains("9.0.0") && message.contains("1.2.3"), "{message}");
    }
}
