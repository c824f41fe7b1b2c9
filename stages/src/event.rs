//! Events: what a worker reports to the planner while it runs a job.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Profile;

/// Key in [`Event::Hello`] for the path of the libtorch library that the worker has loaded. The planner records the digest of
/// the file, not its path.
pub const LIBTORCH_FILE: &str = "libtorch_file";

/// Numbers that a stage reports, by name. The name of a time ends in its unit (`_ms`, `_s`).
pub type Metrics = BTreeMap<String, f64>;

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Details for debugging the stage.
    Debug,
    /// Normal progress.
    Info,
    /// Something that the user should look at.
    Warn,
}

/// A message from a worker to the planner, written as one JSON object per line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "event")]
pub enum Event {
    /// The first event: identifies the worker and its environment.
    Hello {
        /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION) of the worker.
        protocol: u32,
        /// Version of the worker's crate.
        version: String,
        /// Entries for the environment record ([`LIBTORCH_FILE`], `worker_threads`, `cudnn`…).
        environment: BTreeMap<String, String>,
    },
    /// Progress of the stage. `done` may jump forward after a resume.
    Progress {
        /// Human-readable description of the current step: `epoch 3 of 25`.
        phase: String,
        /// Completed units.
        done: u64,
        /// Total number of units of the stage.
        total: u64,
        /// Name of the unit: `images`, `blocks`.
        unit: String,
    },
    /// One value of a time series, such as a loss or an accuracy.
    Metric {
        /// Name of the series.
        name: String,
        /// Epoch or step.
        step: u64,
        /// The value.
        value: f64,
    },
    /// A log line.
    Log {
        /// Severity.
        level: Level,
        /// The text.
        message: String,
    },
    /// The stage resumed from a resume point of an interrupted attempt.
    Resumed {
        /// Human-readable position of the resume point: `epoch 12`.
        at: String,
    },
    /// Where the time of the stage went, before it ends, if the job asked for it.
    Profile(Profile),
    /// The outputs are in the output folder, complete and synced to disk.
    Done {
        /// Numbers for the ledger. They are not part of any artifact.
        metrics: Metrics,
    },
    /// The stage failed.
    Failed {
        /// What failed, and where.
        message: String,
        /// How to fix it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Whether the only failure that this rank knows of is that another rank is lost or failed. The root cause is then
        /// reported by that rank.
        #[serde(default, skip_serializing_if = "is_false")]
        peer: bool,
    },
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn events_serialize_to_single_lines_with_a_stable_format() {
        let event = Event::Progress { phase: "epoch 1 of 2".to_owned(), done: 3, total: 4, unit: "images".to_owned() };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"progress","phase":"epoch 1 of 2","done":3,"total":4,"unit":"images"}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
