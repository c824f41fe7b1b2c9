use std::time::{Duration, Instant};

use tch::{Device, Tensor};

use super::{Progress, TimingError, TimingOptions};
use crate::device::{set_threads, synchronise};

/// The time between two reports: rare enough not to disturb what is measured.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// Times calls with the wanted number of threads, which lasts as long as the stopwatch does, and reports progress.
pub(super) struct Stopwatch<'a, 'b> {
    device: Device,
    threads_before: usize,
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
            threads_before: set_threads(options.threads),
            progress,
            done: 0,
            total,
            reported: Instant::now(),
        }
    }

    /// How long `call` takes until its result is there, in milliseconds; giving its memory back counts, as the next
    /// block would do it.
    pub(super) fn time_ms(&mut self, call: impl FnOnce() -> Tensor) -> Result<f64, TimingError> {
        synchronise(self.device);
        let start = Instant::now();
        let output = call();
        synchronise(self.device);
        drop(output);
        let ms = 1e3 * start.elapsed().as_secs_f64();
        self.done += 1;
        if self.done == self.total || self.reported.elapsed() >= BETWEEN_REPORTS {
            self.report()?;
        }
        Ok(ms)
    }

    fn report(&mut self) -> Result<(), TimingError> {
        let flow = (self.progress)(self.done, self.total);
        self.reported = Instant::now();
        if flow.is_break() { Err(TimingError::Stopped) } else { Ok(()) }
    }
}

impl Drop for Stopwatch<'_, '_> {
    fn drop(&mut self) {
        set_threads(self.threads_before);
    }
}
