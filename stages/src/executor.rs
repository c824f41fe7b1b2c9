//! Where workers run, and the resource requests for Slurm jobs: `executor:` and `slurm:` in the configuration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::invalid_value::{at_least_one, positive};
use crate::{Config, InvalidValue, Stage};

/// Where workers run. Not part of any cache key, because it does not change results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Executor {
    /// As processes on this machine.
    #[default]
    Local,
    /// As jobs of a Slurm cluster, one for each stage that must run.
    Slurm,
}

/// `slurm:` in the configuration: resource requests for the jobs that `executor: slurm` submits. Not part of any cache key,
/// except `device_model` and `governor` for stages that measure a latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlurmSection {
    /// Partition. Default: the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Account to charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// Time limit of one job, in minutes. Default: the limit of the partition. A stage that needs longer continues in another
    /// job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_min: Option<u32>,
    /// Cores per task. Default: the number of compute threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Memory per node, in GiB. Default: the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
    /// GPUs per node. Default: one per task if the device is CUDA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<usize>,
    /// Number of nodes for `select`, `train`, and a data-parallel `search`. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
    /// Tasks (ranks) per node for `select`, `train`, and a data-parallel `search`. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks_per_node: Option<usize>,
    /// Additional sbatch options, passed unchanged: `--constraint=a100`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbatch: Option<Vec<String>>,
    /// Time before the time limit at which the worker is asked to write a resume point, in seconds. Default: 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_s: Option<u32>,
    /// Maximum number of jobs in the queue at a time, if `run -j` is not given.
    pub max_jobs: usize,
    /// Time between queries to the Slurm controller about one job, in seconds.
    pub poll_s: f64,
    /// Device model of the nodes, as printed by `doctor` on a node. Required if a stage measures a latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_model: Option<String>,
    /// CPU frequency governor of the nodes, as printed by `doctor` on a node.
    pub governor: String,
    /// Overrides for single stages.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("default" = {}))]
    pub stages: BTreeMap<Stage, SlurmStage>,
}

/// Overrides of [`SlurmSection`] for one stage.
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
    /// Cores per task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Memory per node, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
    /// GPUs per node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<usize>,
    /// Number of nodes; above 1 only for `select`, `train`, and a data-parallel `search`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
    /// Tasks (ranks) per node; above 1 only for `select`, `train`, and a data-parallel `search`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks_per_node: Option<usize>,
    /// Additional sbatch options; replaces those of the section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbatch: Option<Vec<String>>,
    /// Time before the time limit at which the worker is asked to write a resume point, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_s: Option<u32>,
}

/// The resolved resource request of a job for one stage. For fields that are `None`, the cluster's default applies.
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
    /// Cores per task.
    pub cores: Option<usize>,
    /// Memory per node, in GiB.
    pub memory_gib: Option<f64>,
    /// GPUs per node.
    pub gpus: Option<usize>,
    /// Number of nodes, at least 1.
    pub nodes: usize,
    /// Tasks (ranks) per node, at least 1.
    pub ranks_per_node: usize,
    /// Additional sbatch options.
    pub sbatch: Vec<String>,
    /// Time before the time limit at which the worker is asked to write a resume point, in seconds.
    pub warn_s: u32,
}

/// Default of `warn_s`: long enough for a slow step and for writing the largest resume point.
const DEFAULT_WARN_S: u32 = 120;
/// Maximum that sbatch accepts.
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
    /// Returns the resource request of a job for `stage`: the section with the stage's overrides.
    ///
    /// * `on_ranks`: whether the stage runs on all ranks; otherwise it is one task.
    pub(crate) fn request(&self, stage: Stage, on_ranks: bool) -> SlurmRequest {
        let own = self.stages.get(&stage).cloned().unwrap_or_default();
        let (nodes, ranks) = if on_ranks {
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
            warn_s: own.warn_s.or(self.warn_s).unwrap_or(DEFAULT_WARN_S),
        }
    }

    pub(crate) fn validate(&self, config: &Config) -> Result<(), InvalidValue> {
        at_least_one("max_jobs", self.max_jobs)?;
        positive("poll_s", self.poll_s)?;
        for (stage, overrides) in self.stages.iter().filter(|(stage, _)| !stage.runs_on_ranks(config)) {
            for (key, value) in [("nodes", overrides.nodes), ("ranks_per_node", overrides.ranks_per_node)] {
                if value.is_some_and(|value| value != 1) {
                    let key = format!("stages.{}.{key}", stage.name());
                    let message =
                        "must be 1: only select, train, and search with search.data_parallel run as several tasks";
                    return Err(InvalidValue::new(key, message));
                }
            }
        }
        for stage in Stage::ALL {
            let section = |invalid: InvalidValue| match self.stages.contains_key(stage) {
                true => invalid.within(&format!("stages.{}", stage.name())),
                false => invalid,
            };
            self.request(*stage, stage.runs_on_ranks(config)).validate().map_err(section)?;
        }
        Ok(())
    }
}

impl SlurmRequest {
    /// Returns the total number of tasks of the job.
    pub fn tasks(&self) -> usize {
        self.nodes * self.ranks_per_node
    }

    fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("cores", self.cores.unwrap_or(1))?;
        at_least_one("nodes", self.nodes)?;
        at_least_one("ranks_per_node", self.ranks_per_node)?;
        positive("memory_gib", self.memory_gib.unwrap_or(1.0))?;
        at_least_one("time_min", self.time_min.unwrap_or(1) as usize)?;
        let requirement = format!("be between 1 and {MAX_WARN_S}");
        InvalidValue::unless((1..=MAX_WARN_S).contains(&self.warn_s), "warn_s", &requirement, self.warn_s)?;
        for (key, name) in [("partition", &self.partition), ("account", &self.account), ("qos", &self.qos)] {
            if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
                return Err(InvalidValue::new(key, "must not be empty"));
            }
        }
        match self.sbatch.iter().enumerate().find(|(_, option)| !option.starts_with('-')) {
            Some((index, option)) => {
                let message = format!("`{option}` is not an option: write each option as one value, `--name=value`");
                Err(InvalidValue::new(format!("sbatch[{index}]"), message))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A configuration with this section and a data-parallel search.
    fn config(slurm: serde_json::Value, data_parallel: bool) -> Config {
        let search = serde_json::json!({ "data_parallel": data_parallel });
        serde_json::from_value(serde_json::json!({ "data": { "root": "x" }, "slurm": slurm, "search": search }))
            .unwrap()
    }

    #[test]
    fn overrides_of_a_stage_take_precedence_over_the_section() {
        let section = serde_json::json!({
            "partition": "cpu", "time_min": 60, "nodes": 2, "sbatch": ["--nice"],
            "stages": { "train": { "partition": "gpu", "ranks_per_node": 8, "sbatch": [] } },
        });
        let alone = config(section.clone(), false);
        assert_eq!(alone.slurm.validate(&alone), Ok(()));
        let train = alone.slurm_request(Stage::Train);
        assert_eq!((train.partition.as_deref(), train.time_min, train.tasks()), (Some("gpu"), Some(60), 16));
        assert!(train.sbatch.is_empty() && train.warn_s == DEFAULT_WARN_S);
        let search = alone.slurm_request(Stage::Search);
        assert_eq!((search.partition.as_deref(), search.tasks()), (Some("cpu"), 1));
        assert_eq!(search.sbatch, ["--nice"]);
        assert_eq!(config(section, true).slurm_request(Stage::Search).tasks(), 2);
    }

    #[test]
    fn invalid_requests_name_the_key() {
        let cases = [
            (serde_json::json!({ "max_jobs": 0 }), "max_jobs"),
            (serde_json::json!({ "poll_s": 0.0 }), "poll_s"),
            (serde_json::json!({ "cores": 0 }), "cores"),
            (serde_json::json!({ "stages": { "train": { "nodes": 0 } } }), "stages.train.nodes"),
            (serde_json::json!({ "stages": { "search": { "nodes": 2 } } }), "stages.search.nodes"),
            (serde_json::json!({ "stages": { "test": { "memory_gib": -1.0 } } }), "stages.test.memory_gib"),
            (serde_json::json!({ "warn_s": 70_000 }), "warn_s"),
            (serde_json::json!({ "partition": " " }), "partition"),
            (serde_json::json!({ "sbatch": ["--x", "nice"] }), "sbatch[1]"),
        ];
        for (yaml, key) in cases {
            let config = config(yaml, false);
            assert_eq!(config.slurm.validate(&config).unwrap_err().key, key);
        }
        let config = config(serde_json::json!({ "stages": { "search": { "nodes": 2 } } }), true);
        assert_eq!(config.slurm.validate(&config), Ok(()));
    }
}
