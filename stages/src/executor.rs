use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Stage;

/// Who starts workers. In no key: it says where work is done, not what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Executor {
    /// This machine.
    #[default]
    Local,
    /// The queue of a cluster: each stage that must run is a job of Slurm.
    Slurm,
}

/// `slurm:` in the configuration: what is asked of the cluster for each stage that `executor: slurm` submits. In no key,
/// but for the device's model where a latency is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlurmSection {
    /// Partition; left out, the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Account to charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// Time limit of one job, in minutes; left out, the partition's. A stage that needs longer goes on in another job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_min: Option<u32>,
    /// Cores of each task; left out, the threads that it computes with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Memory of each node, in GiB; left out, the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
    /// GPUs of each node; left out, one a task where the device is CUDA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<usize>,
    /// Nodes, for `train`; left out, one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
    /// Tasks on each node, for `train`; left out, one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks_per_node: Option<usize>,
    /// More flags of sbatch, as they are: `--constraint=a100`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbatch: Option<Vec<String>>,
    /// Seconds before the time limit at which the worker is asked for a resume point; left out, 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_s: Option<u32>,
    /// Jobs in the queue at a time, where `run -j` does not say.
    pub max_jobs: usize,
    /// Seconds between questions to the controller about one job.
    pub poll_s: f64,
    /// Model of the device that the nodes compute on, as `doctor` there calls it: needed where a latency is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_model: Option<String>,
    /// Frequency governor of the nodes, likewise.
    pub governor: String,
    /// What one stage asks for, where that differs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<Stage, SlurmStage>,
}

/// What one stage asks of the cluster, where that differs from what is said for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlurmStage {
    /// Partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Account to charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// Time limit of one job, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_min: Option<u32>,
    /// Cores of each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Memory of each node, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
    /// GPUs of each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<usize>,
    /// Nodes; `train` alone may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
    /// Tasks on each node; `train` alone may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks_per_node: Option<usize>,
    /// More flags of sbatch, instead of those said for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbatch: Option<Vec<String>>,
    /// Seconds before the time limit at which the worker is asked for a resume point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_s: Option<u32>,
}

/// What a job of one stage asks of the cluster, with nothing left open but what the cluster decides.
#[derive(Clone, Debug, PartialEq)]
pub struct SlurmRequest {
    /// Partition.
    pub partition: Option<String>,
    /// Account to charge.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Time limit, in minutes.
    pub time_min: Option<u32>,
    /// Cores of each task.
    pub cores: Option<usize>,
    /// Memory of each node, in GiB.
    pub memory_gib: Option<f64>,
    /// GPUs of each node.
    pub gpus: Option<usize>,
    /// Nodes: at least 1.
    pub nodes: usize,
    /// Tasks on each node: at least 1.
    pub ranks_per_node: usize,
    /// More flags of sbatch.
    pub sbatch: Vec<String>,
    /// Seconds before the time limit at which the worker is asked for a resume point.
    pub warn_s: u32,
}

/// The default of `warn_s`: a resume point of the largest state, and a slow step before it.
const WARN_S: u32 = 120;
/// The most that sbatch takes.
const MAX_WARN_S: u32 = 65_535;

impl Default for SlurmSection {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            qos: None,
            time_min: None,
            cores: None,
            memory_gib: None,
            gpus: None,
            nodes: None,
            ranks_per_node: None,
            sbatch: None,
            warn_s: None,
            max_jobs: 10,
            poll_s: 30.0,
            device_model: None,
            governor: "none".to_owned(),
            stages: BTreeMap::new(),
        }
    }
}

impl SlurmSection {
    /// Returns what a job of `stage` asks for.
    pub fn request(&self, stage: Stage) -> SlurmRequest {
        let own = self.stages.get(&stage).cloned().unwrap_or_default();
        // Other stages have one task.
        let (nodes, ranks) = if stage.runs_on_ranks() {
            (own.nodes.or(self.nodes), own.ranks_per_node.or(self.ranks_per_node))
        } else {
            (None, None)
        };
        SlurmRequest {
            partition: own.partition.or_else(|| self.partition.clone()),
            account: own.account.or_else(|| self.account.clone()),
            qos: own.qos.or_else(|| self.qos.clone()),
            time_min: own.time_min.or(self.time_min),
            cores: own.cores.or(self.cores),
            memory_gib: own.memory_gib.or(self.memory_gib),
            gpus: own.gpus.or(self.gpus),
            nodes: nodes.unwrap_or(1),
            ranks_per_node: ranks.unwrap_or(1),
            sbatch: own.sbatch.or_else(|| self.sbatch.clone()).unwrap_or_default(),
            warn_s: own.warn_s.or(self.warn_s).unwrap_or(WARN_S),
        }
    }

    pub(crate) fn problem(&self) -> Option<(String, String)> {
        let own = |key: &str, message: String| Some((key.to_owned(), message));
        if self.max_jobs == 0 {
            return own("max_jobs", "must be at least 1, not 0".to_owned());
        }
        if !(self.poll_s > 0.0 && self.poll_s.is_finite()) {
            return own("poll_s", format!("must be above 0, not {}", self.poll_s));
        }
        for (stage, asked) in &self.stages {
            if stage.runs_on_ranks() {
                continue;
            }
            for (key, value) in [("nodes", asked.nodes), ("ranks_per_node", asked.ranks_per_node)] {
                if value.is_some_and(|value| value != 1) {
                    let key = format!("stages.{}.{key}", stage.name());
                    return Some((key, "must be 1: only select and train are divided among tasks".to_owned()));
                }
            }
        }
        Stage::ALL.iter().find_map(|stage| {
            let said = self.stages.contains_key(stage);
            let (key, message) = self.request(*stage).problem()?;
            Some((if said { format!("stages.{}.{key}", stage.name()) } else { key.to_owned() }, message))
        })
    }
}

impl SlurmRequest {
    /// Returns how many tasks the job has.
    pub fn tasks(&self) -> usize {
        self.nodes * self.ranks_per_node
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        let counts =
            [("cores", self.cores), ("nodes", Some(self.nodes)), ("ranks_per_node", Some(self.ranks_per_node))];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
            return Some((key, "must be at least 1, not 0".to_owned()));
        }
        if let Some(gib) = self.memory_gib.filter(|gib| *gib <= 0.0 || !gib.is_finite()) {
            return Some(("memory_gib", format!("must be above 0, not {gib}")));
        }
        if self.time_min == Some(0) {
            return Some(("time_min", "must be at least 1, not 0".to_owned()));
        }
        if self.warn_s == 0 || self.warn_s > MAX_WARN_S {
            return Some(("warn_s", format!("must lie in 1 to {MAX_WARN_S}, not {}", self.warn_s)));
        }
        let names = [("partition", &self.partition), ("account", &self.account), ("qos", &self.qos)];
        let empty = names.iter().find(|(_, name)| name.as_ref().is_some_and(|name| name.trim().is_empty()));
        if let Some((key, _)) = empty {
            return Some((key, "must not be empty".to_owned()));
        }
        let flag = self.sbatch.iter().find(|flag| !flag.starts_with('-'))?;
        Some(("sbatch", format!("`{flag}` is no flag: write each as one value, `--name=value`")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn section(yaml: serde_json::Value) -> SlurmSection {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn what_a_stage_says_goes_before_what_is_said_for_all() {
        let section = section(serde_json::json!({
            "partition": "cpu", "time_min": 60, "nodes": 2, "sbatch": ["--nice"],
            "stages": { "train": { "partition": "gpu", "ranks_per_node": 8, "sbatch": [] } },
        }));
        assert_eq!(section.problem(), None);
        let train = section.request(Stage::Train);
        assert_eq!((train.partition.as_deref(), train.time_min, train.tasks()), (Some("gpu"), Some(60), 16));
        assert!(train.sbatch.is_empty() && train.warn_s == WARN_S);
        let search = section.request(Stage::Search);
        assert_eq!((search.partition.as_deref(), search.tasks()), (Some("cpu"), 1), "only training has ranks");
        assert_eq!(search.sbatch, ["--nice"]);
    }

    #[test]
    fn impossible_requests_are_named_by_their_keys() {
        let cases = [
            (serde_json::json!({ "max_jobs": 0 }), "max_jobs"),
            (serde_json::json!({ "poll_s": 0.0 }), "poll_s"),
            (serde_json::json!({ "cores": 0 }), "cores"),
            (serde_json::json!({ "stages": { "train": { "nodes": 0 } } }), "stages.train.nodes"),
            (serde_json::json!({ "stages": { "search": { "nodes": 2 } } }), "stages.search.nodes"),
            (serde_json::json!({ "stages": { "test": { "memory_gib": -1.0 } } }), "stages.test.memory_gib"),
            (serde_json::json!({ "warn_s": 70_000 }), "warn_s"),
            (serde_json::json!({ "partition": " " }), "partition"),
            (serde_json::json!({ "sbatch": ["nice"] }), "sbatch"),
        ];
        for (yaml, key) in cases {
            assert_eq!(section(yaml).problem().unwrap().0, key);
        }
    }
}
