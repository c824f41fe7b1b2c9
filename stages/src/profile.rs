//! What `run --profile` measures in a stage.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::path_text;

/// Where the time of a stage went. It is no output of the stage and in no cache key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Duration of the stage in seconds, without the profiler's own work: the sum of the times below.
    pub total_s: f64,
    /// Waiting for images.
    pub data_s: f64,
    /// Forward passes and losses.
    pub forward_s: f64,
    /// Backward passes.
    pub backward_s: f64,
    /// Clipping and optimizer steps.
    pub optimizer_s: f64,
    /// Evaluation on validation images, without waiting for them.
    pub validation_s: f64,
    /// Writing resume points.
    pub checkpoint_s: f64,
    /// Everything else.
    pub other_s: f64,
    /// The parts of a search: `weights` and `architecture`. Empty for other stages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, StepProfile>,
    /// The steps whose operations were recorded; `None` if none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedSteps>,
}

/// The time of one kind of steps, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepProfile {
    /// Forward passes and losses.
    pub forward_s: f64,
    /// Backward passes.
    pub backward_s: f64,
    /// Clipping and optimizer steps.
    pub optimizer_s: f64,
}

/// Operations of some steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedSteps {
    /// Number of the first recorded step of the epoch, from 0.
    pub first_step: usize,
    /// Number of recorded steps.
    pub steps: usize,
    /// The Chrome trace.
    #[serde(with = "path_text")]
    pub trace: PathBuf,
    /// Time of all operations on the host in seconds.
    pub operations_s: f64,
    /// The operations on the host that took the longest, in order.
    pub operations: Vec<OperationProfile>,
    /// Time of all kernels and copies on a CUDA device in seconds; 0 on a CPU.
    pub kernels_s: f64,
    /// The kernels that took the longest, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<OperationProfile>,
}

/// All calls of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationProfile {
    /// Name of the operation or kernel.
    pub name: String,
    /// Number of calls.
    pub calls: u64,
    /// Time of all calls in seconds, without the operations that it called itself.
    pub self_s: f64,
}
