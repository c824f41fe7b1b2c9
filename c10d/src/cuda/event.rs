//! CUDA events, for timing.

use tch::Device;

use crate::cuda::{CudaError, index_of};
use crate::raw::{self, Owned, RawEvent, call};

/// A point in the queue of a CUDA device. The device records the time when it reaches the event.
#[derive(Debug)]
pub struct Event {
    raw: Owned<RawEvent>,
}

impl Event {
    /// Records an event after all work queued on the device so far. Does not wait for it.
    ///
    /// # Errors
    /// Returns [`CudaError`] if the device is not a CUDA device, or the event cannot be recorded.
    pub fn record(device: Device) -> Result<Self, CudaError> {
        const OPERATION: &str = "CUDA event";
        let index = index_of(device, OPERATION)?;
        // SAFETY: the shim writes an event allocated with `new`; `Owned` frees it with the shim's function.
        let raw = unsafe {
            Owned::make(raw::c10d_event_free, |event, message| raw::c10d_event_record(index, event, message))
        };
        Ok(Self { raw: raw.map_err(CudaError::of(OPERATION))? })
    }

    /// Waits for `later` and returns the time between the two events in milliseconds, with a resolution of about half a
    /// microsecond.
    ///
    /// # Errors
    /// Returns [`CudaError`] if CUDA reports an error.
    pub fn elapsed_ms(&self, later: &Self) -> Result<f64, CudaError> {
        let mut elapsed = 0.0;
        // SAFETY: both events outlive the call, and the shim writes one number.
        call(|message| unsafe {
            raw::c10d_event_elapsed_ms(self.raw.as_ptr(), later.raw.as_ptr(), &mut elapsed, message)
        })
        .map_err(CudaError::of("CUDA event"))?;
        Ok(elapsed)
    }
}
