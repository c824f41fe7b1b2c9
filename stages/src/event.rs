use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The fact of [`Event::Hello`] that names the file of the libtorch that the worker has loaded. It is identified by its
/// digest, and its place is not kept.
pub const LIBTORCH_FILE: &str = "libtorch_file";

/// Numbers that a stage reports, by name; a time's name says its unit.
pub type Metrics = BTreeMap<String, f64>;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever looks into the stage.
    Debug,
    /// What happens.
    Info,
    /// Something that may surprise.
    Warn,
}

/// What a worker says, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "event")]
pub enum Event {
    /// The first event: who speaks, and facts that only the worker knows.
    Hello {
        /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION) of the worker.
        protocol: u32,
        /// Version of the worker.
        version: String,
        /// Facts for the environment record ([`LIBTORCH_FILE`], `worker_threads`, `cudnn`…).
        environment: BTreeMap<String, String>,
    },
    /// How far the work is. `done` may jump forward after a resume.
    Progress {
        /// What is being done, for people: `epoch 3 of 25`.
        phase: String,
        /// Units done in the whole stage.
        done: u64,
        /// Units of the whole stage.
        total: u64,
        /// What a unit is: `images`, `blocks`.
        unit: String,
    },
    /// One number over time: a loss, an accuracy.
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
    /// The stage goes on from a resume point of an interrupted attempt.
    Resumed {
        /// From where, for people: `epoch 12`.
        at: String,
    },
    /// The outputs lie in the output folder, complete and synced.
    Done {
        /// What the stage found, apart from its outputs: kept in the ledger, never part of an artifact.
        metrics: Metrics,
    },
    /// The stage cannot be done.
    Failed {
        /// What is wrong, and where.
        message: String,
        /// The way out, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Whether all that this rank knows is that another one does not do its part: that one knows why.
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
    fn events_are_single_lines_of_stable_shape() {
        let event = Event::Progress { phase: "epoch 1 of 2".to_owned(), done: 3, total: 4, unit: "images".to_owned() };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"progress","phase":"epoch 1 of 2","done":3,"total":4,"unit":"images"}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
