//! Timestamps within a forward pass, on a CPU or a CUDA device.

use std::time::Instant;

use tch::Device;
use tfnas_c10d::cuda::Event;

/// Takes timestamps at points of a forward pass.
///
/// On a CPU a mark is taken when a result is available; freeing its input counts, as it would inside a network. On a
/// CUDA device the calls are queued, as those of a network are, and the device records the timestamps: synchronizing
/// after each call would measure the launch latency of a kernel.
pub(super) enum Clock {
    Cpu(Vec<Instant>),
    Cuda(Device, Vec<Event>),
}

impl Clock {
    pub(super) fn start(device: Device) -> Self {
        let mut clock = if device.is_cuda() { Self::Cuda(device, Vec::new()) } else { Self::Cpu(Vec::new()) };
        clock.mark();
        clock
    }

    pub(super) fn mark(&mut self) {
        match self {
            Self::Cpu(marks) => marks.push(Instant::now()),
            Self::Cuda(device, marks) => marks.push(Event::record(*device).unwrap_or_else(|error| panic!("{error}"))),
        }
    }

    /// Milliseconds between consecutive marks.
    pub(super) fn read_ms(&self) -> Vec<f64> {
        match self {
            Self::Cpu(marks) => marks.windows(2).map(|pair| 1e3 * (pair[1] - pair[0]).as_secs_f64()).collect(),
            Self::Cuda(_, marks) => {
                let ms = |pair: &[Event]| pair[0].elapsed_ms(&pair[1]).unwrap_or_else(|error| panic!("{error}"));
                marks.windows(2).map(ms).collect()
            }
        }
    }
}
