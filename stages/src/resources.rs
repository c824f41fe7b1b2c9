use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Stage;

/// `resources:` in the configuration: what stages that run side by side (`run -j N`) may use together. In no key:
/// results do not depend on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Cores; left out, without a limit but `-j`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Memory, in GiB; left out, without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
    /// CUDA devices; left out, one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<usize>,
    /// What one instance of a stage needs, where that is not its threads and the memory that it took before.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<Stage, StageResources>,
}

/// What one instance of a stage needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StageResources {
    /// Cores; left out, the threads that it computes with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Memory, in GiB; left out, what it took at most when it ran before.
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
