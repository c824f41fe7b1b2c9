//! Latency measurement of blocks inside networks, and of complete networks.
//!
//! A latency table predicts the latency of a network by the sum of its blocks. The sum is accurate only if blocks are
//! measured under the conditions inside a network, so blocks are timed [in place](InPlace):
//!
//! * inside random networks of the space, with the same cache state and inputs;
//! * with normal floating-point numbers: weights are drawn so that activations keep their scale through a network
//!   (`random_weights`); with default weights they decay to denormal numbers, which are much slower on a CPU;
//! * in networks for evaluation, channels-last, with folded batch norms
//!   ([`DerivedNetwork::folded`](crate::derived::DerivedNetwork::folded)).
//!
//! A [`Calibration`] reports the remaining error: predictions and measurements of other networks, taken in the same
//! minutes, and the difference between two measurements of the same network.
//!
//! How freed memory is returned to the system matters as much. The process must configure this: with glibc, call
//! `mallopt` with high values for `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`.

mod calibration;
mod clock;
mod fit;
mod in_place;
mod input;
mod line;
mod network;
mod random_weights;
mod stopwatch;

use std::ops::ControlFlow;

use tch::Device;

pub use calibration::{Calibration, calibrate};
pub use fit::{CheckTime, CheckTimes, Fitted, check_times, fit};
pub use in_place::{InPlace, Round, Sample, Whole, samples_of};
pub use network::{NetworkTime, reference_configs, time_network, time_networks};

/// Maximum memory of one call, in bytes (64 GiB).
const MAX_CALL_BYTES: f64 = 64.0 * BYTES_PER_GIB;
const BYTES_PER_GIB: f64 = (1u64 << 30) as f64;

/// Timed passes per visit to a network. The visits are spread over the complete measurement, so that a disturbance of
/// the machine does not affect all passes of one network.
const PASSES_PER_VISIT: usize = 5;

/// Options of a latency measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimingOptions {
    /// Batch size, at least 1.
    pub batch: usize,
    /// CPU threads, at least 1.
    pub threads: usize,
    /// Number of timed passes, at least 1. A latency is the median over them.
    pub passes: usize,
    /// Number of untimed passes before every five timed ones.
    pub warm_up_passes: usize,
    /// Seed of weights, inputs and measurement order.
    pub seed: u64,
    /// The device to measure.
    pub device: Device,
}

/// Called at most every 0.1 s with the number of completed calls and the total; breaking stops the measurement.
pub type Progress<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

/// Why a measurement failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The progress function requested a stop.
    #[error("the measurement was stopped")]
    Stopped,
    /// An option is 0, but must be at least 1.
    #[error("timing: {0} must be at least 1")]
    Zero(&'static str),
    /// A call would need too much memory.
    #[error(
        "timing {what} at batch size {batch} would need {gib} GiB for one call\nhint: use a smaller batch size or resolution"
    )]
    TooLarge {
        /// What is timed: "a network".
        what: String,
        /// Batch size.
        batch: usize,
        /// Memory of one call, in GiB.
        gib: u64,
    },
}

impl TimingOptions {
    /// The number of timed passes of each visit, in order.
    fn visits(&self) -> impl Iterator<Item = usize> + use<> {
        let passes = self.passes;
        (0..passes).step_by(PASSES_PER_VISIT).map(move |done| PASSES_PER_VISIT.min(passes - done))
    }

    /// Total number of calls of a network, timed and untimed.
    fn calls(&self) -> usize {
        self.visits().map(|passes| self.warm_up_passes + passes).sum()
    }

    fn check(&self) -> Result<(), TimingError> {
        let options =
            [(self.batch, "the batch size"), (self.threads, "the number of threads"), (self.passes, "passes")];
        match options.iter().find(|(value, _)| *value == 0) {
            Some((_, name)) => Err(TimingError::Zero(name)),
            None => Ok(()),
        }
    }

    /// Returns an error if a call would need more memory than [`MAX_CALL_BYTES`].
    ///
    /// * `floats`: number of f32 values per image.
    fn check_memory(&self, what: impl FnOnce() -> String, floats: f64) -> Result<(), TimingError> {
        let bytes = size_of::<f32>() as f64 * floats * self.batch as f64;
        if bytes <= MAX_CALL_BYTES {
            return Ok(());
        }
        Err(TimingError::TooLarge { what: what(), batch: self.batch, gib: (bytes / BYTES_PER_GIB).ceil() as u64 })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The quantile `share` of sorted values, with linear interpolation; NaN without values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share * last as f64;
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_linearly() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.0), 1.0);
        assert_eq!(quantile(&sorted, 0.5), 3.0);
        assert_eq!(quantile(&sorted, 0.75), 5.0);
        assert_eq!(quantile(&sorted, 1.0), 8.0);
        assert_eq!(quantile(&[3.0], 0.5), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
