use std::path::Path;

use serde::Deserialize;
use tfnas_executor::query_worker;
use tfnas_planner::machine::Device;

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
    #[derive(Deserialize)]
    struct Reply {
        median_ms: f64,
    }
    let Load { resolution, batch, threads, passes } = load;
    let numbers = [resolution, batch, threads, passes].map(|number| number.to_string().into());
    let request = [&[config.into()], &numbers[..], &["0".into(), device.to_string().into()]].concat();
    let reply = query_worker(worker, "latency", &request)?;
    let reply: Reply = serde_json::from_slice(&reply)
        .map_err(|error| CommandError::failed(format!("{}: no latency: {error}", worker.display())))?;
    Ok(reply.median_ms)
}
