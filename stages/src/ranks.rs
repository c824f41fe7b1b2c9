use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `ranks:` in the configuration: the processes that train together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ranks {
    /// How many train together; each has its part of every batch. In the key of a training only where `train.sync_bn` is false:
    /// otherwise the work is that of one process, up to rounding. torchrun's WORLD_SIZE goes before it.
    pub processes: usize,
    /// Seconds that a rank waits for the others, to come or to do their part of a step, before it gives up. In no key.
    pub timeout_s: f64,
}

impl Default for Ranks {
    fn default() -> Self {
        Self { processes: 1, timeout_s: 120.0 }
    }
}

impl Ranks {
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        if self.processes == 0 {
            return Some(("processes", "must be at least 1, not 0".to_owned()));
        }
        // c10d counts in milliseconds, and a day is more than any step takes.
        let sensible = (0.1..=86_400.0).contains(&self.timeout_s);
        (!sensible).then(|| ("timeout_s", format!("must lie in 0.1 to 86400, not {}", self.timeout_s)))
    }
}

/// What a training's parameters say of its ranks, where their number makes it other work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankParams {
    /// As [`Ranks::processes`].
    pub processes: usize,
}
