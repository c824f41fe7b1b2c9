use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use tfnas_artifacts::Output;
use tfnas_planner::plan::Cause;
use tfnas_stages::{Level, Metrics, Profile};

/// An event of an instance during a run, as shown in reports and in `run --json`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A cached result is reused.
    Cached {
        /// The cache key.
        key: String,
        /// The remote that the result was pulled from.
        #[serde(skip_serializing_if = "Option::is_none")]
        remote: Option<String>,
    },
    /// Waiting for another process that works on the same key.
    Waiting {
        /// A description of the process.
        holder: String,
    },
    /// A worker starts.
    Started {
        /// The cache key.
        key: String,
        /// ID of the attempt.
        attempt: String,
        /// Why the instance runs.
        because: Vec<Cause>,
        /// Expected duration in seconds.
        expected_s: Option<f64>,
        /// Path of the worker's log file.
        #[serde(serialize_with = "shown")]
        log: PathBuf,
    },
    /// A job that an earlier planner has submitted is followed again.
    #[serde(rename = "taken_up")]
    Reattached {
        /// The cache key.
        key: String,
        /// ID of the attempt.
        attempt: String,
        /// Number of the job, if known.
        job: Option<String>,
        /// Path of the worker's log file.
        #[serde(serialize_with = "shown")]
        log: PathBuf,
    },
    /// The instance was submitted to the queue.
    Submitted {
        /// Number of the job.
        job: String,
        /// Number of submissions so far.
        submission: u32,
    },
    /// The job is pending in the queue.
    Queued {
        /// Number of the job.
        job: String,
        /// The reason that Slurm gives.
        reason: String,
        /// What the reason means, if the job will not start without help.
        #[serde(skip_serializing_if = "Option::is_none")]
        obstacle: Option<String>,
    },
    /// The worker continues from a resume point.
    Resumed {
        /// Position of the resume point, such as `epoch 2`.
        at: String,
    },
    /// Progress of the worker.
    Progress {
        /// The current activity.
        phase: String,
        /// Completed units.
        done: u64,
        /// Total number of units.
        total: u64,
        /// Name of the unit.
        unit: String,
    },
    /// A value of a metric.
    Metric {
        /// Name of the metric.
        name: String,
        /// Epoch or step.
        step: u64,
        /// Value of the metric.
        value: f64,
    },
    /// A log message.
    Log {
        /// Severity of the message.
        level: Level,
        /// Text of the message.
        message: String,
    },
    /// Where the time of the instance went. It comes before the end of the instance.
    Profile(Profile),
    /// The instance has succeeded and its outputs are in the store.
    Done {
        /// The output files.
        outputs: Vec<Output>,
        /// Duration in seconds.
        duration_s: f64,
        /// Maximum resident set size of the worker in bytes.
        peak_memory_bytes: Option<u64>,
        /// The final metrics of the stage, such as the accuracy of a test.
        #[serde(skip_serializing_if = "Metrics::is_empty")]
        metrics: Metrics,
    },
    /// Another process has produced the result while this one was waiting.
    UsedResult {
        /// The cache key.
        key: String,
    },
    /// The instance has failed.
    Failed {
        /// What went wrong.
        message: String,
        /// How to fix it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Path of the worker's log file, if a worker was started.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_any")]
        log: Option<PathBuf>,
        /// The last lines of the log.
        tail: Vec<String>,
    },
    /// The instance was stopped and can be resumed later.
    Interrupted,
    /// The job continues without this planner.
    #[serde(rename = "left")]
    Detached {
        /// Number of the job, if known.
        job: Option<String>,
    },
    /// An input is damaged and will be recreated.
    Remade {
        /// The instance that must rerun to make it.
        upstream: String,
        /// What is damaged.
        message: String,
    },
}

/// Serializes a path for display: it need not be UTF-8.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn shown_if_any<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(|path| path.display().to_string()).serialize(serializer)
}
