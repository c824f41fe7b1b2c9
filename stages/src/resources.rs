//! Resource limits for stages that run concurrently: `resources:` in the configuration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::invalid_value::{at_least_one, positive};
use crate::{InvalidValue, Stage};

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
    #[schemars(extend("default" = {}))]
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
    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        positive("memory_gib", self.memory_gib.unwrap_or(1.0))?;
        for (stage, request) in &self.stages {
            positive("memory_gib", request.memory_gib.unwrap_or(1.0))
                .map_err(|invalid| invalid.within(&format!("stages.{}", stage.name())))?;
        }
        at_least_one("cores", self.cores.unwrap_or(1))
    }
}
