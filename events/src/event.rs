use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A line of the event file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Record {
    /// When it was written, in milliseconds since 1970, UTC.
    pub time_ms: i64,
    /// The instance; `None` for an event of the whole run.
    #[serde(default)]
    pub id: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// An instance of the plan of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStage {
    /// Name of the instance.
    pub id: String,
    /// What is planned: `run`, `cached` or `unknown`.
    pub action: String,
    /// Expected duration in seconds, if known.
    #[serde(default)]
    pub expected_s: Option<f64>,
}

/// The events, with the fields that readers need. Events and fields of later versions are ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins.
    Planned {
        /// Number of the run.
        run: i64,
        /// The command line, without the program's name.
        #[serde(default)]
        arguments: Vec<String>,
        /// The instances, in an order in which they can run.
        #[serde(default)]
        stages: Vec<PlannedStage>,
    },
    /// A cached result is reused.
    Cached {},
    /// Another process works on the same key.
    Waiting {
        /// The other process.
        holder: String,
    },
    /// A worker starts.
    Started {
        /// ID of the attempt.
        #[serde(default)]
        attempt: String,
        /// Expected duration in seconds.
        #[serde(default)]
        expected_s: Option<f64>,
    },
    /// The planner attaches to a job that an earlier planner submitted.
    #[serde(rename = "taken_up")]
    Reattached {
        /// ID of the attempt.
        #[serde(default)]
        attempt: String,
    },
    /// The instance was submitted to the queue.
    Submitted {
        /// Number of the job.
        job: String,
    },
    /// The job is pending in the queue.
    Queued {
        /// Number of the job.
        job: String,
        /// The reason that Slurm gives.
        reason: String,
    },
    /// The worker continues from a resume point.
    Resumed {
        /// Position of the resume point.
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
        /// Epoch, from 0, or step.
        step: u64,
        /// Value of the metric.
        value: f64,
    },
    /// A message of the worker.
    Log {
        /// Severity: `info` or `warn`.
        level: String,
        /// Text of the message.
        message: String,
    },
    /// The instance has a new result.
    Done {
        /// Duration in seconds.
        duration_s: f64,
        /// The final metrics.
        #[serde(default)]
        metrics: BTreeMap<String, f64>,
    },
    /// Another process has produced the result.
    UsedResult {},
    /// The instance has failed.
    Failed {
        /// What went wrong.
        message: String,
    },
    /// The instance was stopped and can be resumed later.
    Interrupted,
    /// The job continues without this planner.
    #[serde(rename = "left")]
    Detached {},
    /// An input is damaged and will be made again.
    Remade {
        /// The instance that makes it.
        upstream: String,
    },
    /// The run has ended.
    Finished {
        /// `done`, `failed` or `interrupted`.
        outcome: String,
    },
    /// An event that this version does not know.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn unknown_events_and_fields_are_ignored() {
        let read = |text: &str| serde_json::from_str::<Record>(text).unwrap();
        assert_eq!(read(r#"{"time_ms":1,"event":"new","x":[1]}"#).event, Event::Other);
        let metric = read(r#"{"time_ms":2,"event":"metric","name":"lr","step":3,"value":0.1,"new":1,"id":"train"}"#);
        assert_eq!(metric.event, Event::Metric { name: "lr".to_owned(), step: 3, value: 0.1 });
        assert_eq!(read(r#"{"time_ms":3,"event":"cached","key":"k","id":"a"}"#).event, Event::Cached {});
        assert_eq!(read(r#"{"time_ms":3,"event":"interrupted","id":"a"}"#).event, Event::Interrupted);
        assert!(serde_json::from_str::<Record>(r#"{"event":"cached"}"#).is_err());
    }
}
