use std::num::NonZeroUsize;
use std::path::Path;

use tfnas_executor::query_worker;
use tfnas_planner::machine::Device;
use tfnas_stages::{LatencyReply, LatencyRequest, Request};

use crate::error::CommandError;

/// How a network is measured.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Side of the images, in pixels.
    pub resolution: usize,
    /// Images of a batch.
    pub batch: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Timed passes.
    pub passes: usize,
}

/// Lets the worker measure the network of a `model.config`, with random weights. Returns the median latency of a batch in
/// milliseconds.
///
/// # Errors
/// Returns an error if the worker does not start, cannot measure, or replies something else.
pub fn measure_network(worker: &Path, config: &Path, load: Load, device: &Device) -> Result<f64, CommandError> {
    let at_least_one = |number: usize| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
    let request = LatencyRequest {
        config: config.to_owned(),
        resolution: at_least_one(load.resolution),
        batch: at_least_one(load.batch),
        threads: at_least_one(load.threads),
        passes: at_least_one(load.passes),
        seed: 0,
        device: device.to_string(),
    };
    let reply = query_worker(worker, &Request::Latency(request))?;
    let reply: LatencyReply = serde_json::from_slice(&reply)
        .map_err(|error| CommandError::failed(format!("{}: no latency: {error}", worker.display())))?;
    Ok(reply.median_ms)
}
