//! Resource limits for stages that run concurrently: `resources:` in the configuration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Stage;

/// `resources:` in the configuration: the resources that concurrently running stages (`run -j N`) may use in total. Not part of
/// any cache key, because results do not depend on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Number of cores. Default: no limit except `-j`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Memory, in GiB. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
    /// Number of CUDA devices. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<usize>,
    /// Resource requests of single stages, to override the defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<Stage, StageResources>,
}

/// Resources that one instance of a stage needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StageResources {
    /// Number of cores. Default: the number of compute threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Memory, in GiB. Default: the peak memory of earlier runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
}

impl Resources {
    pub(crate) fn problem(&self) -> Option<(String, String)> {
        let mut memory = vec![("memory_gib".to_owned(), self.memory_gib)];
        memory.extend(
            self.stages.iter().map(|(stage, needs)| (format!("stages.{}.memory_gib", stage.name()), needs.memory_gib)),
        );
        let wrong = memory
            .into_iter()
            .find_map(|(key, value)| value.filter(|gib| *gib <= 0.0 || !gib.is_finite()).map(|gib| (key, gib)));
        match wrong {
            Some((key, gib)) => Some((key, format!("must be above 0, not {gib}"))),
            None => (self.cores == Some(0)).then(|| ("cores".to_owned(), "must be at least 1, not 0".to_owned())),
        }
    }
}
