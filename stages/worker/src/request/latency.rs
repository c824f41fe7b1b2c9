//! Measures the latency of a network.

use std::fs::read_to_string;

use tfnas::ModelConfig;
use tfnas_c10d::cuda::set_numerics;
use tfnas_stages::{LatencyReply, LatencyRequest};
use tfnas_torch::device::find_device;
use tfnas_torch::timing::{NetworkTime, TimingOptions, time_network};

use crate::error::{Context as _, StageError};

/// Untimed passes before each five timed passes.
pub(crate) const WARM_UP_PASSES: usize = 5;

/// Measures a network as `parse` does.
pub(super) fn measure(request: &LatencyRequest) -> Result<LatencyReply, StageError> {
    let text = read_to_string(&request.config).context(request.config.display())?;
    let config = ModelConfig::parse(&text).context(request.config.display())?;
    let device = find_device(&request.device).context("device")?;
    if device.is_cuda() {
        set_numerics(false)?;
    }
    let options = TimingOptions {
        batch: request.batch.get(),
        threads: request.threads.get(),
        passes: request.passes.get(),
        warm_up_passes: WARM_UP_PASSES,
        seed: request.seed,
        device,
    };
    let NetworkTime { median_ms, low_ms, high_ms } = time_network(&config, request.resolution.get(), &options)?;
    Ok(LatencyReply { median_ms, low_ms, high_ms })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tfnas::{Architecture, Space};
    use tfnas_random::{Stream, StreamId};

    use super::*;

    #[test]
    fn the_network_of_a_model_config_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::small();
        let architecture = Architecture::random(&space, &mut Stream::new(4, StreamId::RandomArchitecture, 0, 0));
        let config = ModelConfig::from_architecture(&space, &architecture, 5).unwrap();
        let path = folder.path().join("model.config");
        std::fs::write(&path, config.to_text()).unwrap();
        let number = |number: usize| number.try_into().unwrap();
        let request = LatencyRequest {
            config: path,
            resolution: number(32),
            batch: number(2),
            threads: number(1),
            passes: number(3),
            seed: 0,
            device: "cpu".to_owned(),
        };
        let time = measure(&request).unwrap();
        assert!(0.0 < time.low_ms && time.low_ms <= time.median_ms && time.median_ms <= time.high_ms);

        let too_large = LatencyRequest { resolution: number(1_000_000), ..request.clone() };
        assert!(measure(&too_large).is_err());
        let no_device = LatencyRequest { device: "gpu".to_owned(), ..request };
        assert!(measure(&no_device).is_err());
    }
}
