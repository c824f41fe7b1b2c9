//! Measures how fast this machine is, to estimate durations.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tfnas::{Architecture, ModelConfig, Space};
use tfnas_images::{ExifOrientation, read_image};
use tfnas_planner::machine::Device;
use tfnas_random::{Stream, StreamId};

use crate::error::CommandError;
use crate::network_latency::{Load, measure_network};

/// Largest batch size of the timed passes.
const MAX_BATCH: usize = 32;
/// Smallest batch size of the timed passes.
const MIN_BATCH: usize = 4;
/// Number of pixels of a timed batch, between these batch sizes: with large images, one pass of 32 would take a second.
const PIXELS: usize = MAX_BATCH * 32 * 32;
/// Number of timed passes.
const PASSES: usize = 5;

/// Measures how long a random network of the space takes for one image of a batch, in seconds.
///
/// # Errors
/// Returns an error if the worker cannot measure it.
pub fn measure_pass_s(
    worker: &Path,
    space: &Space,
    classes: usize,
    device: &Device,
    threads: usize,
) -> Result<f64, CommandError> {
    let failed = |error: String| CommandError::failed(format!("cannot time a network: {error}"));
    let network = Architecture::random(space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
    let config = ModelConfig::from_architecture(space, &network, classes).map_err(|error| failed(error.to_string()))?;
    let scratch = tempfile::Builder::new().prefix("tfnas-speed-").tempdir();
    let scratch = scratch.map_err(|error| failed(error.to_string()))?;
    let file = scratch.path().join("model.config");
    std::fs::write(&file, config.to_text()).map_err(|error| failed(error.to_string()))?;
    let resolution = space.definition().resolution;
    let batch = (PIXELS / (resolution * resolution).max(1)).clamp(MIN_BATCH, MAX_BATCH);
    let load = Load { resolution, batch, threads, passes: PASSES };
    Ok(measure_network(worker, &file, load, device)? / 1e3 / batch as f64)
}

/// Measures how long it takes to read and decode an image in one thread, in seconds. Images that cannot be read count as
/// those that can: they are reported elsewhere.
pub fn measure_read_s(images: &[PathBuf]) -> f64 {
    let start = Instant::now();
    for path in images {
        // Only the time counts.
        let _ = read_image(path, ExifOrientation::Ignore);
    }
    start.elapsed().as_secs_f64() / images.len().max(1) as f64
}
