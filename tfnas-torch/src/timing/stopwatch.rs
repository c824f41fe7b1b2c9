use std::time::{Duration, Instant};

use tch::{Device, Tensor};

use super::clock::Clock;
use super::{Progress, TimingError, TimingOptions};
use crate::device::set_threads;

/// The time between two reports: rare enough not to disturb what is measured.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// Times calls with the wanted number of threads, which lasts as long as the stopwatch does, and reports progress.
pub(super) struct Stopwatch<'a, 'b> {
    device: Device,
    _threads: Threads,
    progress: &'a mut Progress<'b>,
    done: usize,
    total: usize,
    reported: Instant,
}

impl<'a, 'b> Stopwatch<'a, 'b> {
    /// * `total`: how many calls there will be.
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

    /// Milliseconds of each of `count` calls in a row; `call` gets their numbers.
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

/// The number of threads that compute, as long as this lives.
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
