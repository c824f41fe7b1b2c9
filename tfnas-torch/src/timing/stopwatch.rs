use std::time::{Duration, Instant};

use tch::{Device, Tensor};
use tfnas_c10d::cuda::Event;

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
    ///
    /// On a CPU that is the time until a result is there; giving its memory back counts, as the next block would do it. On a
    /// CUDA device the calls are queued one behind the other, as those of a network are, and the device itself takes the
    /// time between them: a host that waited for each would measure how long a kernel takes to launch.
    pub(super) fn time_each_ms(
        &mut self,
        count: usize,
        call: impl FnMut(usize) -> Tensor,
    ) -> Result<Vec<f64>, TimingError> {
        let times = if self.device.is_cuda() { self.on_cuda(count, call) } else { on_cpu(count, call) };
        self.done += count;
        if self.done == self.total || self.reported.elapsed() >= BETWEEN_REPORTS {
            self.report()?;
        }
        Ok(times)
    }

    fn on_cuda(&self, count: usize, mut call: impl FnMut(usize) -> Tensor) -> Vec<f64> {
        let record = || Event::record(self.device).unwrap_or_else(|error| panic!("{error}"));
        let mut events = Vec::with_capacity(count + 1);
        events.push(record());
        for index in 0..count {
            drop(call(index));
            events.push(record());
        }
        let between = |pair: &[Event]| pair[0].elapsed_ms(&pair[1]).unwrap_or_else(|error| panic!("{error}"));
        events.windows(2).map(between).collect()
    }

    fn report(&mut self) -> Result<(), TimingError> {
        let flow = (self.progress)(self.done, self.total);
        self.reported = Instant::now();
        if flow.is_break() { Err(TimingError::Stopped) } else { Ok(()) }
    }
}

fn on_cpu(count: usize, mut call: impl FnMut(usize) -> Tensor) -> Vec<f64> {
    let time = |index| {
        let start = Instant::now();
        drop(call(index));
        1e3 * start.elapsed().as_secs_f64()
    };
    (0..count).map(time).collect()
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
