//! Latency, measured the way it is spent: of blocks inside networks, and of whole networks.
//!
//! A latency table predicts a network by the sum of its blocks. That holds as far as a block is measured in the state in
//! which a network finds it, so blocks are timed [in place](InPlace):
//!
//! * inside random networks of the space, with caches as cold and inputs as warm as there;
//! * with ordinary numbers: weights are drawn so that activations keep their scale through a network
//!   (`random_weights`), as with default weights they fade into denormal numbers, which take a CPU far longer;
//! * in networks for evaluation, channels-last, with folded batch norms
//!   ([`DerivedNetwork::folded`](crate::derived::DerivedNetwork::folded)).
//!
//! What remains is told by a [`Calibration`]: predictions beside measurements of other networks, made in the same minutes, and
//! how far two measurements of the same network are apart.
//!
//! How memory is given back to the system matters as much, and is the process's business: with glibc, `mallopt` with
//! `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD` set high.

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

/// The most memory that one call may need, in bytes (64 GiB).
const LARGEST_CALL: f64 = 64.0 * GIB;
const GIB: f64 = (1u64 << 30) as f64;

/// Passes that count of one visit to a thing. Several visits spread over the whole measurement, so that a disturbance of the
/// machine does not meet all calls of one thing.
const VISIT: usize = 5;

/// How latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimingOptions {
    /// Images of a batch, at least 1.
    pub batch: usize,
    /// Threads that compute on a CPU, at least 1.
    pub threads: usize,
    /// Passes whose times count, at least 1. A latency is the median over them.
    pub passes: usize,
    /// Passes whose times do not count, before each five of those that do.
    pub warm_up_passes: usize,
    /// Seed of weights, inputs and orders.
    pub seed: u64,
    /// The device that is measured.
    pub device: Device,
}

/// Is told, at most every tenth of a second, how many calls of how many are done; breaking stops the measurement.
pub type Progress<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

/// Why nothing was measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The progress function asked for it.
    #[error("the measurement was stopped")]
    Stopped,
    /// An option of 0 that must be at least 1.
    #[error("timing: {0} must be at least 1")]
    Zero(&'static str),
    /// More memory than any device has.
    #[error("timing {what} at batch {batch} would need {gib} GiB for one call: use a smaller batch or resolution")]
    TooLarge {
        /// "a network".
        what: String,
        /// Images of a batch.
        batch: usize,
        /// Memory of one call.
        gib: u64,
    },
}

impl TimingOptions {
    /// How many passes count at each visit, first to last.
    fn visits(&self) -> impl Iterator<Item = usize> + use<> {
        let passes = self.passes;
        (0..passes).step_by(VISIT).map(move |done| VISIT.min(passes - done))
    }

    /// How often a thing is called in all.
    fn calls(&self) -> usize {
        self.visits().map(|passes| self.warm_up_passes + passes).sum()
    }

    fn check(&self) -> Result<(), TimingError> {
        let options = [(self.batch, "the batch"), (self.threads, "the number of threads"), (self.passes, "passes")];
        match options.iter().find(|(value, _)| *value == 0) {
            Some((_, name)) => Err(TimingError::Zero(name)),
            None => Ok(()),
        }
    }

    /// Refuses what could not be allocated anyway.
    ///
    /// * `floats`: numbers that one image needs.
    fn check_memory(&self, what: impl FnOnce() -> String, floats: f64) -> Result<(), TimingError> {
        let bytes = size_of::<f32>() as f64 * floats * self.batch as f64;
        if bytes <= LARGEST_CALL {
            return Ok(());
        }
        Err(TimingError::TooLarge { what: what(), batch: self.batch, gib: (bytes / GIB).ceil() as u64 })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The value below which a share of the sorted values lies, interpolated between neighbours; NaN for no values.
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
    fn quantiles_interpolate_between_neighbours() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.0), 1.0);
        assert_eq!(quantile(&sorted, 0.5), 3.0);
        assert_eq!(quantile(&sorted, 0.75), 5.0);
        assert_eq!(quantile(&sorted, 1.0), 8.0);
        assert_eq!(quantile(&[3.0], 0.5), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
