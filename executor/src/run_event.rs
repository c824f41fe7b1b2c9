use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use tfnas_artifacts::Output;
use tfnas_planner::plan::Cause;
use tfnas_stages::Level;

/// Something that happens to an instance during a run, as reports and `run --json` show it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A result of its key is there and is used.
    Cached {
        /// The key.
        key: String,
        /// The remote that the result was pulled from.
        #[serde(skip_serializing_if = "Option::is_none")]
        remote: Option<String>,
    },
    /// Another process works on its key.
    Waiting {
        /// Who that is, for people.
        holder: String,
    },
    /// A worker begins.
    Started {
        /// The key.
        key: String,
        /// The attempt.
        attempt: String,
        /// Why it runs.
        because: Vec<Cause>,
        /// How long it will probably take, in seconds.
        expected_s: Option<f64>,
        /// The file that keeps the worker's log.
        #[serde(serialize_with = "shown")]
        log: PathBuf,
    },
    /// An earlier planner began it, and it went on without one.
    #[serde(rename = "taken_up")]
    Reattached {
        /// The key.
        key: String,
        /// The attempt.
        attempt: String,
        /// Its job in the queue of the cluster, where that is known.
        job: Option<String>,
        /// The file that keeps the worker's log.
        #[serde(serialize_with = "shown")]
        log: PathBuf,
    },
    /// It is in the queue of the cluster.
    Submitted {
        /// The job.
        job: String,
        /// How often it has been submitted.
        submission: u32,
    },
    /// Its job waits in the queue.
    Queued {
        /// The job.
        job: String,
        /// Slurm's word for why.
        reason: String,
        /// What that means, where it will not go away by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        obstacle: Option<String>,
    },
    /// The worker goes on from a resume point.
    Resumed {
        /// From where.
        at: String,
    },
    /// How far the worker is.
    Progress {
        /// What is being done.
        phase: String,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// What a unit is.
        unit: String,
    },
    /// One number over time.
    Metric {
        /// Its name.
        name: String,
        /// Epoch or step.
        step: u64,
        /// Its value.
        value: f64,
    },
    /// A line for people.
    Log {
        /// How much it matters.
        level: Level,
        /// The line.
        message: String,
    },
    /// It has a result.
    Done {
        /// The outputs.
        outputs: Vec<Output>,
        /// How long it took, in seconds.
        duration_s: f64,
        /// The largest resident set of the worker, in bytes.
        peak_memory_bytes: Option<u64>,
    },
    /// Another process made the result while this one waited.
    UsedResult {
        /// The key.
        key: String,
    },
    /// It has no result.
    Failed {
        /// What is wrong.
        message: String,
        /// The way out.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The file that keeps the worker's log, where there was a worker.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_any")]
        log: Option<PathBuf>,
        /// The last lines of that log.
        tail: Vec<String>,
    },
    /// It was stopped, and can go on later.
    Interrupted,
    /// It goes on without this planner.
    #[serde(rename = "left")]
    Detached {
        /// Its job, where that is known.
        job: Option<String>,
    },
    /// Something that it reads is damaged and will be made again.
    Remade {
        /// The instance that makes it again.
        upstream: String,
        /// What is wrong.
        message: String,
    },
}

/// Writes a path as people see it: it need not be text.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn shown_if_any<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(|path| path.display().to_string()).serialize(serializer)
}
