//! Distributed training: `ranks:` in the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::InvalidValue;
use crate::invalid_value::at_least_one;

/// `ranks:` in the configuration: the processes of a distributed training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ranks {
    /// Number of processes that train together; each computes its share of every batch. WORLD_SIZE, which torchrun sets,
    /// overrides it. Part of the cache key of `train` only if `train.sync_bn` is false: otherwise the result equals that of one
    /// process, except for rounding and the last batch of an epoch. Part of the cache key of a search with `search.data_parallel`.
    pub processes: usize,
    /// How long a rank waits for the other ranks to connect or to take part in a step before it fails, in seconds. Not part of
    /// any cache key.
    pub timeout_s: f64,
}

impl Default for Ranks {
    fn default() -> Self {
        Self { processes: 1, timeout_s: 120.0 }
    }
}

impl Ranks {
    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("processes", self.processes)?;
        // c10d takes whole milliseconds; no step takes longer than a day.
        let is_valid = (0.1..=86_400.0).contains(&self.timeout_s);
        InvalidValue::unless(is_valid, "timeout_s", "be between 0.1 and 86400", self.timeout_s)
    }
}

/// The part of [`Ranks`] that changes the result of a training without synchronized batch norm, or of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankParams {
    /// See [`Ranks::processes`].
    pub processes: usize,
}
