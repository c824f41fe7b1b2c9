use tch::Device;

use crate::cuda::{CudaError, index_of};
use crate::raw::{self, Owned, RawEvent, call};

/// A point in the queue of a CUDA device, whose time the device records when it reaches it.
#[derive(Debug)]
pub struct Event {
    raw: Owned<RawEvent>,
}

impl Event {
    /// Records an event behind everything that was queued on the device so far; does not wait for it.
    ///
    /// # Errors
    /// [`CudaError`]; also for a device that is not a CUDA device.
    pub fn record(device: Device) -> Result<Self, CudaError> {
        const OPERATION: &str = "CUDA event";
        let index = index_of(device, OPERATION)?;
        // SAFETY: the shim writes an event of its `new`, which is freed as the shim says.
        let raw = unsafe {
            Owned::make(raw::c10d_event_free, |event, message| raw::c10d_event_record(index, event, message))
        };
        Ok(Self { raw: raw.map_err(CudaError::of(OPERATION))? })
    }

    /// Waits for `later` and returns the milliseconds between both, with a resolution of about half a microsecond.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn elapsed_ms(&self, later: &Self) -> Result<f64, CudaError> {
        let mut elapsed = 0.0;
        // SAFETY: both events outlive the call; the shim writes a number.
        call(|message| unsafe {
            raw::c10d_event_elapsed_ms(self.raw.as_ptr(), later.raw.as_ptr(), &mut elapsed, message)
        })
        .map_err(CudaError::of("CUDA event"))?;
        Ok(elapsed)
    }
}
