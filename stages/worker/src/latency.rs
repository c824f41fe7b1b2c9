//! `latency`: measures the latency of a network, outside a pipeline.

use std::ffi::OsString;
use std::fs::read_to_string;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use tfnas::ModelConfig;
use tfnas_torch::device::find_device;
use tfnas_torch::timing::{NetworkTime, TimingOptions, time_network};

use crate::VERSION;
use crate::console::{print_error, print_line};
use crate::error::{Context as _, StageError, exit_code};

/// Untimed passes before each five timed passes.
pub(crate) const WARM_UP_PASSES: usize = 5;

/// The arguments `VERSION MODEL_CONFIG RESOLUTION BATCH THREADS PASSES SEED DEVICE`, with the version of the planner.
struct Request {
    config: PathBuf,
    /// Side length of the input images, in pixels.
    resolution: usize,
    batch: usize,
    threads: usize,
    passes: usize,
    seed: u64,
    device: String,
}

/// Measures the latency of a network like `parse`, and prints JSON with `median_ms`, `low_ms` and `high_ms` (median and quartiles
/// of the time per batch).
///
/// Exit codes: 0 on success, 1 on failure, 2 for invalid arguments.
pub fn latency(arguments: &[OsString]) -> ExitCode {
    let Some(request) = Request::parse(arguments) else {
        print_error(&format!(
            "expected VERSION MODEL_CONFIG RESOLUTION BATCH THREADS PASSES SEED DEVICE, of tfnas-pipeline {VERSION}"
        ));
        return ExitCode::from(2);
    };
    exit_code(request.run().and_then(|NetworkTime { median_ms, low_ms, high_ms }| {
        let times = json!({ "median_ms": median_ms, "low_ms": low_ms, "high_ms": high_ms });
        print_line(&times.to_string()).context("cannot write to standard output")
    }))
}

impl Request {
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let [version, config, resolution, batch, threads, passes, seed, device] = arguments else { return None };
        let at_least_one = |word: &OsString| word.to_str()?.parse().ok().filter(|number: &usize| *number > 0);
        (version == VERSION).then_some(Self {
            config: config.into(),
            resolution: at_least_one(resolution)?,
            batch: at_least_one(batch)?,
            threads: at_least_one(threads)?,
            passes: at_least_one(passes)?,
            seed: seed.to_str()?.parse().ok()?,
            device: device.to_str()?.to_owned(),
        })
    }

    fn run(&self) -> Result<NetworkTime, StageError> {
        let text = read_to_string(&self.config).context(self.config.display())?;
        let config = ModelConfig::parse(&text).context(self.config.display())?;
        let options = TimingOptions {
            batch: self.batch,
            threads: self.threads,
            passes: self.passes,
            warm_up_passes: WARM_UP_PASSES,
            seed: self.seed,
            device: find_device(&self.device).context("device")?,
        };
        Ok(time_network(&config, self.resolution, &options)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tfnas::{Architecture, Space};
    use tfnas_random::{Stream, StreamId};

    use super::*;

    fn request(words: [&str; 8]) -> Option<Request> {
        Request::parse(&words.map(OsString::from))
    }

    #[test]
    fn the_network_of_a_model_config_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::small();
        let architecture = Architecture::random(&space, &mut Stream::new(4, StreamId::RandomArchitecture, 0, 0));
        let config = ModelConfig::from_architecture(&space, &architecture, 5).unwrap();
        let path = folder.path().join("model.config");
        std::fs::write(&path, config.to_text()).unwrap();
        let words = [VERSION, path.to_str().unwrap(), "32", "2", "1", "3", "0", "cpu"];
        let time = request(words).unwrap().run().unwrap();
        assert!(0.0 < time.low_ms && time.low_ms <= time.median_ms && time.median_ms <= time.high_ms);

        let too_large = [VERSION, path.to_str().unwrap(), "1000000", "2", "1", "3", "0", "cpu"];
        assert!(request(too_large).unwrap().run().is_err());
        let no_device = [VERSION, path.to_str().unwrap(), "32", "2", "1", "3", "0", "gpu"];
        assert!(request(no_device).unwrap().run().is_err());
    }

    #[test]
    fn arguments_of_another_version_or_with_invalid_numbers_are_rejected() {
        assert!(request([VERSION, "c", "224", "1", "1", "51", "0", "cpu"]).is_some());
        assert!(request(["0.0.0", "c", "224", "1", "1", "51", "0", "cpu"]).is_none());
        assert!(request([VERSION, "c", "224", "0", "1", "51", "0", "cpu"]).is_none());
        assert!(request([VERSION, "c", "224", "1", "1", "many", "0", "cpu"]).is_none());
    }
}
