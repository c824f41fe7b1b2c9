//! Times repeated calls and reports progress.

use std::time::{Duration, Instant};

use tch::{Device, Tensor};

use super::clock::Clock;
use super::{Progress, TimingError, TimingOptions};
use crate::device::set_threads;

/// Minimum time between two progress reports, long enough not to disturb the measurement.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// Times calls with the configured number of threads and reports progress. The number of threads is restored on drop.
pub(super) struct Stopwatch<'a, 'b> {
    device: Device,
    _threads: Threads,
    progress: &'a mut Progress<'b>,
    done: usize,
    total: usize,
    reported: Instant,
}

impl<'a, 'b> Stopwatch<'a, 'b> {
    /// * `total`: total number of calls.
    pub(super) fn new(options: &TimingOptions, total: usize, progress: &'a mut Progress<'b>) -> Self {
        Self {
            device: options.device,
            _threads: Threads::set(options.threads),
            progress,
            done: 0,
            total,
            reported: Instant::now(),
        }
    }

    /// Returns the milliseconds of each of `count` consecutive calls; `call` gets the index of the call.
    pub(super) fn time_each_ms(
        &mut self,
        count: usize,
        mut call: impl FnMut(usize) -> Tensor,
    ) -> Result<Vec<f64>, TimingError> {
        let mut clock = Clock::start(self.device);
        for index in 0..count {
            drop(call(index));
            clock.mark();
        }
        let times = clock.read_ms();
        self.done += count;
        if self.done == self.total || self.reported.elapsed() >= BETWEEN_REPORTS {
            self.report()?;
        }
        Ok(times)
    }

    fn report(&mut self) -> Result<(), TimingError> {
        let flow = (self.progress)(self.done, self.total);
        self.reported = Instant::now();
        if flow.is_break() { Err(TimingError::Stopped) } else { Ok(()) }
    }
}

/// Sets the number of CPU threads; restores it on drop.
pub(super) struct Threads {
    before: usize,
}

impl Threads {
    pub(super) fn set(threads: usize) -> Self {
        Self { before: set_threads(threads) }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        set_threads(self.before);
    }
}
